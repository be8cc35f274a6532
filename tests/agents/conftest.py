"""Problems and feedback made by hand, and the loop of the regret tests."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from smartrec import agents
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


def _regret(name: str, seed: int, table: Any, options: dict[str, Any]) -> Any:
    """Return the cumulated pseudo-regret of one run, float [T]: an agent of its own that serves one user a step.

    Args:
        name: A registered agent.
        seed: Of agent and users.
        table: Click rates, float [T, I].
        options: Of the agent.
    """
    steps, items = table.shape
    agent = agents.make(name, _problem(items, clock=False), seed=seed, **options)
    dice = np.random.default_rng([seed, 1]).random(steps)
    seen, yes, no = {"user": np.zeros(1, int)}, np.ones((1, 1), bool), np.zeros(1, bool)
    lost = np.empty(steps)
    for step in range(steps):
        decision = agent.act(seen)
        rate = table[step, decision.action[0]]
        reward = np.array([float(dice[step] < rate)])
        numbers = np.array([step])
        agent.observe(Transitions(seen, decision, reward[:, None], yes, reward, seen, yes[0], no, numbers, numbers))
        agent.update()
        lost[step] = table[step].max() - rate
    return np.cumsum(lost)


def _mean_regret(name: str, runs: int, steps: int, means: Any, **options: Any) -> tuple[Any, Any]:
    table = np.broadcast_to(means, (steps, np.shape(means)[-1]))
    curves = np.array([_regret(name, seed, table, options) for seed in range(runs)])
    return curves.mean(axis=0), curves.std(axis=0, ddof=1) / np.sqrt(runs)


def _agrees(found: Any, reference: float, reference_se: float) -> bool:
    mean, se = (float(curve[-1]) for curve in found)
    return abs(mean - reference) <= 4 * np.hypot(se, reference_se) + 0.05 * reference


@pytest.fixture(scope="session")
def mean_regret() -> Any:
    """``mean_regret(agent, runs, steps, means, **options)``: mean and standard error over runs, float [T] each.

    ``means`` are click rates, float [I], or [T, I] where they change.
    """
    return _mean_regret


@pytest.fixture(scope="session")
def agrees() -> Any:
    """``agrees(mean_regret(...), reference, its_se)``: within four s.e. at the end, and 5 % for the rounding."""
    return _agrees


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
