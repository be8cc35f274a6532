"""Small made-up problems, users and feedback for ``check_agent``; no simulator."""

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from smartrec.agents.base import Agent
from smartrec.core.arrays import Array, BoolArray, Observation
from smartrec.core.decision import Candidates, Decision, Items, Mask
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.slate import Slate
from smartrec.core.transitions import Transitions

WIDE = 1e6
"""Bounds of a box beyond this are taken for none."""


@dataclass
class Subject:
    """An agent class under examination on one problem, and the means to feed it.

    Attributes:
        cls: The agent's class.
        problem: What it is asked to solve.
        rng: Draws users and feedback.
        tick: The clock of the last observation.
    """

    cls: type[Agent]
    problem: Problem
    rng: np.random.Generator
    tick: int = 0

    def make(self, seed: int = 0) -> Agent:
        """Return a new agent."""
        return self.cls(self.problem, seed=seed)

    def observation(self, lanes: int) -> dict[str, Array]:
        """Return what ``lanes`` users show at the next tick."""
        self.tick += 1
        space = self.problem.observation_space
        parts = space.spaces if isinstance(space, spaces.Dict) else {"observation": space}
        seen = {key: _draw(part, lanes, self.rng) for key, part in parts.items() if key != "allowed"}
        clock = parts.get("clock")
        if isinstance(clock, spaces.Discrete):
            seen["clock"] = np.full(lanes, min(self.tick, int(clock.start + clock.n - 1)))
        return seen

    def identical(self, lanes: int) -> dict[str, Array]:
        """Return ``lanes`` users who look the same."""
        return {key: np.repeat(value, lanes, axis=0) for key, value in self.observation(1).items()}

    def feedback(self, observation: Observation, decision: Decision) -> Transitions:
        """Return made-up feedback: a click or none at each position, everything seen."""
        lanes = len(decision.action)
        responses = self.rng.integers(2, size=(lanes, self.problem.slate_size)).astype(np.float64)
        return Transitions(
            observation=observation,
            decision=decision,
            responses=responses,
            observed=np.ones(responses.shape, bool),
            reward=responses.sum(axis=1),
            next_observation=observation,
            terminated=np.ones(lanes, bool),
            truncated=np.zeros(lanes, bool),
            visit=np.arange(lanes) + lanes * self.tick,
            step=np.full(lanes, self.tick),
        )

    def live(self, agent: Agent, steps: int, lanes: int = 8) -> list[Decision]:
        """Let ``agent`` act, observe and update, and return its decisions."""
        decisions = []
        for _ in range(steps):
            seen = self.observation(lanes)
            decisions.append(agent.act(seen, first=np.ones(lanes, bool)))
            agent.observe(self.feedback(seen, decisions[-1]))
            agent.update()
        return decisions

    def learnt(self) -> Agent:
        """Return an agent that has lived a little."""
        agent = self.make()
        self.live(agent, 5)
        return agent

    def candidates(self, lanes: int) -> list[tuple[Candidates, BoolArray]]:
        """Return candidates of each form, some just enough for a slate, and as tables bool [N, I]."""
        items, slate_size = self.problem.items or 0, self.problem.slate_size
        order = self.rng.permuted(np.tile(np.arange(items), (lanes, 1)), axis=1)
        counts = self.rng.integers(slate_size, items + 1, size=lanes)
        counts[0] = slate_size
        listed = np.where(np.arange(items) < counts[:, None], order, -1)
        table = np.zeros((lanes, items), bool)
        np.put_along_axis(table, order, listed >= 0, axis=1)
        return [
            (Mask(table), table),
            (Mask(table[:1]), np.repeat(table[:1], lanes, axis=0)),
            (Items(listed), table),
            (Items(self.rng.permuted(listed, axis=1)), table),
        ]


def made_up_problems(cls: type[Agent]) -> list[Problem]:
    """Return the problems that an agent with the tags of ``cls`` has to solve."""
    observed = spaces.Dict(
        user=spaces.Discrete(50),
        clock=spaces.Discrete(1000),
        user_features=spaces.Box(-1, 1, (3,), np.float32),
    )
    actions: list[spaces.Space[Any]] = [spaces.Discrete(7)]
    actions += [Slate(7, 3)] if cls.tags.slates else []
    items = np.random.default_rng(2).normal(size=(7, 2))
    problems = [Problem.from_spaces(observed, action, lanes=8, item_features=items, discount=0.0) for action in actions]
    if not cls.tags.vectors:
        return problems
    try:
        cls(problems[0], seed=0)
    except InvalidConfig:  # an agent for vectors alone says so
        problems = []
    return [*problems, Problem.from_spaces(observed, spaces.Box(-1, 1, (2,), np.float32), lanes=8)]


def tiny(problem: Problem) -> Problem:
    """Return ``problem`` with so few items that every slate comes up often."""
    if problem.items is None or problem.items <= 4 or problem.slate_size > 4:
        return problem
    action = spaces.Discrete(4) if problem.slate_size == 1 else Slate(4, 2)
    features = None if problem.item_features is None else problem.item_features[:4]
    return Problem.from_spaces(
        problem.observation_space, action, lanes=problem.lanes, item_features=features, discount=problem.discount
    )


def global_states() -> dict[str, Any]:
    """Return what the global generators of random, NumPy and, where it is loaded, PyTorch are at."""
    legacy: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - looked at, not drawn from
    states = {"random": random.getstate(), "numpy.random": (legacy["state"]["key"].tobytes(), repr(legacy))}
    torch = sys.modules.get("torch")
    return states if torch is None else {**states, "torch": torch.get_rng_state().numpy().tobytes()}


def contents(*values: Any) -> list[bytes]:
    """Return the bytes of all arrays in ``values``, however deep in dicts and dataclasses."""
    return [array.tobytes() for array in _arrays(values)]


def _arrays(value: Any) -> Iterator[Array]:
    if isinstance(value, np.ndarray):
        yield value
    parts: Any = value if isinstance(value, tuple) else ()
    if isinstance(value, dict):
        parts = value.values()
    elif is_dataclass(value):
        parts = (getattr(value, part.name) for part in fields(value))
    for part in parts:
        yield from _arrays(part)


def _draw(space: spaces.Space[Any], lanes: int, rng: np.random.Generator) -> Array:
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, size=lanes)
    if isinstance(space, spaces.MultiDiscrete):
        return rng.integers(space.nvec, size=(lanes, *space.shape))
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(2, size=(lanes, *space.shape)).astype(np.int8)
    if isinstance(space, spaces.Box):
        # Bounds like 3e38 stand for none; users from such a range would be no users.
        low = np.where(space.low > -WIDE, space.low, np.minimum(space.high - 1.0, -1.0))
        high = np.where(space.high < WIDE, space.high, np.maximum(low + 1.0, 1.0))
        return rng.uniform(low, high, (lanes, *space.shape)).astype(space.dtype)
    raise InvalidConfig(f"observation space {space}; allowed: Dict of Discrete, MultiDiscrete, MultiBinary, Box")
