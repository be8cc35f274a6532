"""Recommenders that learn from who clicked what, and explore."""
