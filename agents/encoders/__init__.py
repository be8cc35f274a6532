"""State encoders: what an agent has seen of a user, as one vector. An encoder a file."""

from smartrec.core.optional import optional

optional("torch", "deep", "a state encoder")
