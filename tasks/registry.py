"""The names of the tasks. A new task is one file and one line here."""

from smartrec.core.registry import Registry

TASKS = Registry("task")
TASKS.add("1", "smartrec.tasks.sber:TASK_1", "popularity: which items do users like?")
TASKS.add("2", "smartrec.tasks.sber:TASK_2", "features: which user likes which item?")
TASKS.add("3", "smartrec.tasks.sber:TASK_3", "drift: what do users like now?")
TASKS.add("4", "smartrec.tasks.sber:TASK_4", "hidden preferences: which ten of a thousand items?")
