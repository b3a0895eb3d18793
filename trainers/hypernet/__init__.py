"""Task adapters generated from instructions (Liao et al., "TAGI", NeurIPS 2024), for decoder-only models."""
