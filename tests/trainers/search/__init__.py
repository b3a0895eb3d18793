"""Tests of the search over blends."""
