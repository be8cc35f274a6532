"""The questions: tasks, their scores and references, the leaderboard runner and the command line."""

from typing import TYPE_CHECKING, Any

from smartrec.tasks.base import Contender, Setting, Task
from smartrec.tasks.registry import TASKS

if TYPE_CHECKING:
    from smartrec.tasks.recommender import Recommender, recommend

__all__ = ["TASKS", "Contender", "Recommender", "Setting", "Task", "recommend"]


def __getattr__(name: str) -> Any:
    # The command line imports this room before it knows what it is asked.
    if name in ("Recommender", "recommend"):
        from smartrec.tasks import recommender

        return getattr(recommender, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
