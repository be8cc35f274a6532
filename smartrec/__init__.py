"""SmartRec: train and judge reinforcement-learning recommenders on simulated crowds of users.

Importing the package registers the environment ids with Gymnasium and loads none of the rooms: each of
``smartrec.agents``, ``smartrec.envs``, ``smartrec.evaluation``, ... is imported when it is first used.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

import gymnasium

from smartrec.version import __version__

__all__ = ["ENVIRONMENTS", "__version__"]

ROOMS = ("core", "data", "response_models", "envs", "agents", "evaluation", "tasks")

ENVIRONMENTS = {
    "SmartRec/Task1-v0": "smartrec.envs.popularity:Popularity",
    "SmartRec/Task2-v0": "smartrec.envs.features:Features",
    "SmartRec/Task3-v0": "smartrec.envs.drift:Drift",
    "SmartRec/Task4-v0": "smartrec.envs.preferences:Preferences",
    "SmartRec/Logged-v0": "smartrec.envs.logged:Logged",
    "SmartRec/ML20M-v0": "smartrec.envs.ml20m:ML20M",
}
"""Environment id -> module and the name that its two classes begin with: ``...Env`` and ``...VectorEnv``."""

# In a checkout the rooms lie beside this folder. With the checkout as current folder Python finds this folder
# before any installed copy, so it has to be told where the rooms are; in a wheel they are inside, and nothing is added.
_checkout = Path(__file__).parent.parent
if not (Path(__file__).parent / "core").is_dir() and (_checkout / "core" / "registry.py").is_file():
    __path__.append(str(_checkout))

for _id, _target in ENVIRONMENTS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(_id, entry_point=f"{_target}Env", vector_entry_point=f"{_target}VectorEnv")


def __getattr__(name: str) -> ModuleType:
    if name in ROOMS:
        return import_module(f"smartrec.{name}")
    raise AttributeError(f"module 'smartrec' has no attribute {name!r}; its rooms are {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return [*globals(), *ROOMS]
