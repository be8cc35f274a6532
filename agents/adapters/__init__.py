"""Other libraries' learners in our worlds, and as agents."""
