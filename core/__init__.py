"""The ground: array aliases, what passes between rooms, configuration, registries, errors. Knows nobody."""

from smartrec.core.decision import Candidates, Decision, Items, Mask
from smartrec.core.errors import SmartRecError
from smartrec.core.problem import Problem
from smartrec.core.slate import Slate
from smartrec.core.transitions import Transitions
from smartrec.core.world import Outcome, References, Visits, World

__all__ = [
    "Candidates",
    "Decision",
    "Items",
    "Mask",
    "Outcome",
    "Problem",
    "References",
    "Slate",
    "SmartRecError",
    "Transitions",
    "Visits",
    "World",
]
