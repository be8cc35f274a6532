"""Bandits: agents that learn how good each item is, from counts or by linear models."""
