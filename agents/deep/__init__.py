"""Deep agents, in the extra ``deep``: an algorithm a file, on shared parts that have names of their own."""

from smartrec.core.optional import optional

optional("torch", "deep", "a deep agent")
