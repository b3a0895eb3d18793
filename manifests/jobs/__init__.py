"""Jobs: a manifest in YAML, its plan, its run."""
