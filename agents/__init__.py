"""The zoo: agents behind one interface. They know the problem, never the simulator."""

from smartrec.agents.base import Agent, Tags
from smartrec.agents.checks import check_agent
from smartrec.agents.registry import AGENTS, make
from smartrec.agents.registry import load_agent as load
from smartrec.core.decision import Candidates, Decision, Items, Mask
from smartrec.core.errors import CheckFailed
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

__all__ = [
    "AGENTS",
    "Agent",
    "Candidates",
    "CheckFailed",
    "Decision",
    "Items",
    "Mask",
    "Problem",
    "Tags",
    "Transitions",
    "check_agent",
    "load",
    "make",
]
