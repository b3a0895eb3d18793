"""Tests of what a program can check."""
