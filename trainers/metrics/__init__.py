"""The metrics: pure functions of predictions and references."""
