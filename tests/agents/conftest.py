"""Problems and feedback made by hand."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from smartrec.core import Decision, Problem, Slate, Transitions


def _problem(items: int, slate_size: int = 1, features: int = 0, clock: bool = True) -> Problem:
    observed: dict[str, spaces.Space[Any]] = {"user": spaces.Discrete(100_000)}
    if clock:
        observed["clock"] = spaces.Discrete(1_000_000)
    if features:
        observed["user_features"] = spaces.Box(-np.inf, np.inf, (features,), np.float64)
    action = spaces.Discrete(items) if slate_size == 1 else Slate(items, slate_size)
    # Items have features where users have: two each, all different.
    known = np.random.default_rng(items).normal(size=(items, 2)) if features else None
    return Problem.from_spaces(spaces.Dict(observed), action, item_features=known, discount=0.0)


def _seen(lanes: int, clock: Any = None, features: Any = None) -> dict[str, Any]:
    observation: dict[str, Any] = {"user": np.arange(lanes)}
    if clock is not None:
        observation["clock"] = np.broadcast_to(clock, lanes).copy()
    if features is not None:
        observation["user_features"] = features
    return observation


def _feedback(
    items: Any, responses: Any, clock: Any = None, features: Any = None, observed: Any = None, step: Any = 0
) -> Transitions:
    action = np.asarray(items)
    lanes = len(action)
    table = np.asarray(responses, float).reshape(lanes, action.size // max(lanes, 1) or 1)
    seen = _seen(lanes, clock, features)
    return Transitions(
        observation=seen,
        decision=Decision(action),
        responses=table,
        observed=np.ones(table.shape, bool) if observed is None else np.asarray(observed).reshape(table.shape),
        reward=table.sum(axis=1),
        next_observation=seen,
        terminated=np.ones(lanes, bool),
        truncated=np.zeros(lanes, bool),
        visit=np.arange(lanes),
        step=np.broadcast_to(step, lanes).copy(),
    )


@pytest.fixture(scope="session")
def problem() -> Any:
    """``problem(items, slate_size=1, features=0, clock=True)``."""
    return _problem


@pytest.fixture(scope="session")
def seen() -> Any:
    """``seen(lanes, clock=None, features=None)``: an observation."""
    return _seen


@pytest.fixture(scope="session")
def feedback() -> Any:
    """``feedback(items, responses, clock=None, features=None, observed=None, step=0)``: transitions."""
    return _feedback
