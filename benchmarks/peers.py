"""Learners on linear features, ours and others', behind the same two calls."""

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from smartrec import agents
from smartrec.core import Decision, Problem, Transitions
from smartrec.core.arrays import Array, FloatArray, IntArray, Observation

ALPHA = RIDGE = 1.0


class Learner(Protocol):
    """Chooses an item for each user and learns from what came of it."""

    def decide(self, x: FloatArray) -> IntArray:
        """Return an item for each row of features [N, D]."""

    def learn(self, x: FloatArray, items: IntArray, rewards: FloatArray) -> None:
        """Take in what ``items`` [N], shown to users with features [N, D], brought, [N]."""


class Ours:
    """LinUCB of SmartRec without intercept, so that it has as many weights as its peers.

    Args:
        n_items: I.
        d: D, number of features.
    """

    def __init__(self, n_items: int, d: int) -> None:
        observation = spaces.Dict({"user_features": spaces.Box(-9, 9, (d,))})
        problem = Problem.from_spaces(observation, spaces.Discrete(n_items), discount=0.0)
        self._agent = agents.make("lin_ucb", problem, seed=0, alpha=ALPHA, ridge=RIDGE, intercept=False)

    def decide(self, x: FloatArray) -> IntArray:
        """Return an item for each row of features [N, D]."""
        return self._agent.act({"user_features": x}).action

    def learn(self, x: FloatArray, items: IntArray, rewards: FloatArray) -> None:
        """Take in what ``items`` [N] brought."""
        self._agent.observe(transitions({"user_features": x}, items, rewards))
        self._agent.update()


class Mabwiser:
    """LinUCB of MABWiser.

    Args:
        n_items: I.
        d: Not needed.
    """

    def __init__(self, n_items: int, d: int) -> None:
        mab: Any = import_module("mabwiser.mab")
        policy = mab.LearningPolicy.LinUCB(alpha=ALPHA, l2_lambda=RIDGE)
        self._mab = mab.MAB(list(range(n_items)), policy)

    def decide(self, x: FloatArray) -> IntArray:
        """Return an item for each row of features [N, D]."""
        return np.atleast_1d(np.asarray(self._mab.predict(x)))  # one row gives an item, not a list of it

    def learn(self, x: FloatArray, items: IntArray, rewards: FloatArray) -> None:
        """Take in what ``items`` [N] brought."""
        self._mab.partial_fit(items, rewards, x)


class Contextualbandits:
    """LinUCB of contextualbandits, in double precision and without its extra prior.

    Args:
        n_items: I.
        d: Not needed.
    """

    def __init__(self, n_items: int, d: int) -> None:
        online: Any = import_module("contextualbandits.online")
        self._policy = online.LinUCB(
            n_items,
            alpha=ALPHA,
            lambda_=RIDGE,
            fit_intercept=False,
            use_float=False,
            beta_prior=None,
            ucb_from_empty=False,
            random_state=1,
        )

    def decide(self, x: FloatArray) -> IntArray:
        """Return an item for each row of features [N, D]."""
        return np.asarray(self._policy.predict(x))

    def learn(self, x: FloatArray, items: IntArray, rewards: FloatArray) -> None:
        """Take in what ``items`` [N] brought."""
        self._policy.partial_fit(x, items, rewards)


def transitions(observation: Observation, items: Array, rewards: FloatArray) -> Transitions:
    """Return feedback on single items [N] that ended N visits."""
    lanes = len(items)
    ended = np.ones(lanes, bool)
    return Transitions(
        observation=observation,
        decision=Decision(items),
        responses=rewards[:, None],
        observed=ended[:, None],
        reward=rewards,
        next_observation=observation,
        terminated=ended,
        truncated=~ended,
        visit=np.arange(lanes),
        step=np.zeros(lanes, np.int64),
    )


def missing(module: str, distribution: str) -> str:
    """Return why a peer cannot be measured, by name; "" if it can."""
    return "" if find_spec(module) else f"{distribution} is not installed: pip install {distribution}"


def named(distribution: str) -> str:
    """Return name and version of a peer."""
    return f"{distribution} {version(distribution)}"
