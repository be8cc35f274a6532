"""Tiny worlds whose true values are known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from smartrec.core import Decision, Mask, Problem, Slate, Transitions


@dataclass(frozen=True)
class Tabular:
    """A world of S numbered states, seen one-hot."""

    states: int
    items: int
    slate_size: int = 1
    discount: float = 0.9
    item_features: Any = None

    @property
    def problem(self) -> Problem:
        seen = spaces.Box(0, 1, (self.states,), np.float32)
        action = spaces.Discrete(self.items) if self.slate_size == 1 else Slate(self.items, self.slate_size)
        return Problem.from_spaces(seen, action, item_features=self.item_features, discount=self.discount)

    def seen(self, states: Any) -> dict[str, Any]:
        return {"observation": np.eye(self.states, dtype=np.float32)[np.asarray(states)]}

    def log(self, states: Any, items: Any, responses: Any, followers: Any = None, **parts: Any) -> Transitions:
        """Transitions of lists; ``followers`` None or below 0: the episode terminated."""
        responses = np.asarray(responses, float).reshape(len(states), -1)
        followers = np.full(len(states), -1) if followers is None else np.asarray(followers)
        for name in ("allowed", "next_allowed"):
            if name in parts:
                parts[name] = Mask(np.asarray(parts[name], bool))
        options: dict[str, Any] = {
            "observed": np.ones(responses.shape, bool),
            "truncated": np.zeros(len(states), bool),
            **parts,
        }
        return Transitions(
            observation=self.seen(states),
            decision=Decision(np.asarray(items)),
            responses=responses,
            reward=responses.sum(axis=1),
            next_observation=self.seen(np.maximum(followers, 0)),
            terminated=followers < 0,
            visit=np.arange(len(states)),
            step=np.zeros(len(states), int),
            **options,
        )


@dataclass(frozen=True)
class ThreeStates:
    """Three states, two items, one way out; ``followers`` [3, 2] is -1 where the episode ends."""

    world: Tabular
    rewards: Any
    followers: Any

    def log(self, **parts: Any) -> Transitions:
        states, items = np.divmod(np.arange(6), 2)
        return self.world.log(states, items, self.rewards.ravel(), self.followers.ravel(), **parts)

    def values(self, policy: Any) -> Any:
        """Q [3, 2] of a policy [3, 2], by its linear equations ``Q = r + discount * P Q``."""
        step = np.zeros((6, 6))
        for pair, follower in enumerate(self.followers.ravel()):
            if follower >= 0:
                step[pair, 2 * follower : 2 * follower + 2] = policy[follower]
        return np.linalg.solve(np.eye(6) - self.world.discount * step, self.rewards.ravel()).reshape(3, 2)


@pytest.fixture(scope="session")
def tabular() -> type[Tabular]:
    return Tabular


@pytest.fixture(scope="session")
def three_states() -> ThreeStates:
    """Item 0 pays at once in state 0; it is better to go on to state 2 and stay there, and not to take the way out."""
    rewards = np.array([[0.15, 0.0], [0.05, 0.0], [0.3, 0.6]])
    return ThreeStates(Tabular(3, 2), rewards, np.array([[0, 1], [0, 2], [2, -1]]))
