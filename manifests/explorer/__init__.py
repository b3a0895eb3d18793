"""The explorer: a manifest as an interactive page in the browser, made of a marimo notebook and Altair plots."""
