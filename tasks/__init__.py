"""The questions: tasks, their scores and references, the leaderboard runner and the command line."""

from smartrec.tasks.base import Contender, Setting, Task
from smartrec.tasks.recommender import Recommender, recommend
from smartrec.tasks.registry import TASKS

__all__ = ["TASKS", "Contender", "Recommender", "Setting", "Task", "recommend"]
