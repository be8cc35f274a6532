"""From vectors to what is executed: a point of a box, or the items whose vectors lie nearest to it.

An agent for vectors answers with a proto-action ``p`` in ``[-1, 1]^D``. In a Box space it is stretched to the box.
Among items it is looked up: ``items = K nearest of vector_1 .. vector_I to p``; with ``neighbours`` > K the critic
ranks so many nearest anew and the best K are shown (Wolpertinger, Dulac-Arnold et al. 2015, arXiv 1512.07679).
The vectors are given, or a table that the critic learns.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from smartrec.agents import exploration
from smartrec.agents.base import Agent, lanes_of
from smartrec.agents.deep.vectors import VectorConfig, Vectors
from smartrec.core.arrays import FloatArray, IntArray, Observation
from smartrec.core.decision import Candidates, Decision, Items, Mask
from smartrec.core.nearest import NearestItems
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

RECENT = 1000
"""Items shown last, among which different ones are counted."""

SPARE = 8
"""Items looked up beyond a slate, so that ties at its end are broken at random."""


class Lookup:
    """Finds what a proto-action stands for, and keeps an eye on how far that is from it.

    Args:
        problem: Its action space.
        config: ``metric``, ``backend``, ``neighbours`` and ``refresh``.
        vectors: Of the items.

    Raises:
        MissingExtra: ``backend`` is "faiss", and it is not installed.
    """

    def __init__(self, problem: Problem, config: VectorConfig, vectors: Vectors) -> None:
        self._problem, self._refresh = problem, config.refresh
        self._metric, self._backend = config.metric, config.backend
        self._slate = problem.slate_size
        self._neighbours = max(config.neighbours, self._slate)
        self._ranks = config.neighbours > self._slate
        self._nearest: NearestItems | None = None
        self._at = 0
        self._distance: float | None = None
        self._recent = np.full(RECENT, -1)
        if problem.items is not None:
            self._look_in(vectors.table())

    @property
    def table(self) -> FloatArray | None:
        """The vectors that are looked up in, float [I, D]; None in a Box space."""
        return None if self._nearest is None else self._nearest.embeddings

    def decide(
        self,
        agent: Agent,
        proto: FloatArray,
        allowed: Candidates | None,
        values: Callable[[IntArray], FloatArray],
    ) -> Decision:
        """Return what proto-actions stand for, among items with ``proto`` [N, D] in the extras.

        Args:
            agent: Who decides; breaks ties.
            proto: float [N, D], -1..1.
            allowed: Candidates, or None for all.
            values: Of items int [N, C], float [N, C]; asked for where they are ranked anew.

        Raises:
            InvalidAction: A lane has fewer candidates than a slate needs.
        """
        if self._nearest is None:
            return Decision(self._stretched(proto))
        if allowed is not None:
            allowed.require(self._slate)
        items, distances = self.find(proto, self._neighbours if self._ranks else self._slate + SPARE, allowed)
        scores = values(np.maximum(items, 0)) if self._ranks else -distances
        scores = np.where(items >= 0, scores, -np.inf)
        columns, _ = exploration.best(scores, len(items), self._slate, agent.rng)
        return replace(agent.decide(columns, None, items), extras={"proto": proto.astype(np.float32)})

    def anything(self, agent: Agent, observation: Observation, allowed: Candidates | None) -> Decision:
        """Return uniformly random actions; their proto-actions are the means of the vectors of their items."""
        if self._nearest is None:
            shape = (lanes_of(observation), int(np.prod(self._problem.action_space.shape or ())))
            return Decision(self._stretched(agent.rng.uniform(-1, 1, shape)))
        decision = agent.choose(np.zeros((1, agent.items)), observation, allowed)
        shown = decision.action.reshape(-1, self._slate)  # [N, K]
        proto = self._nearest.embeddings[shown].mean(axis=1)
        return replace(decision, log_probability=None, extras={"proto": proto.astype(np.float32)})

    def find(self, proto: FloatArray, count: int, allowed: Candidates | None) -> tuple[IntArray, FloatArray]:
        """Return the nearest items [N, C] and their distances [N, C], C <= ``count``; -1 and infinity fill up."""
        assert self._nearest is not None
        count = min(count, len(self._nearest.embeddings))
        if allowed is None:
            return self._nearest.find(proto, count)
        table = allowed.items >= 0 if isinstance(allowed, Items) else allowed.allowed
        enough = np.broadcast_to(np.minimum(table.sum(axis=1), count), len(proto))
        items, distances = np.full((len(proto), count), -1), np.full((len(proto), count), np.inf)
        for few in np.unique(enough[enough > 0]):
            lanes = np.flatnonzero(enough == few)
            items[lanes, :few], distances[lanes, :few] = self._nearest.find(proto[lanes], int(few), allowed[lanes])
        return items, distances

    @torch.no_grad()
    def candidates(self, proto: Tensor, allowed: Tensor | None, vectors: Vectors) -> tuple[Tensor, Tensor]:
        """Return what proto-actions [B, D] could become, for targets.

        Args:
            proto: float [B, D].
            allowed: bool [B, I], or None for all.
            vectors: Of the target network.

        Returns:
            Vectors float [B, C, D], and bool [B, C], False where there is no item; C = 1 in a box.
        """
        if self._nearest is None:
            return proto[:, None], torch.ones(len(proto), 1, dtype=torch.bool, device=proto.device)
        mask = None if allowed is None else Mask(allowed.cpu().numpy())
        found, _ = self.find(proto.cpu().numpy(), self._neighbours, mask)
        items = torch.from_numpy(found).to(proto.device)
        return vectors(items.clamp(min=0)), items >= 0

    def worth(self, values: Tensor, known: Tensor) -> Tensor:
        """Return the mean of the K best values [B, C] that are ``known``, float [B]; 0 where none is."""
        if self._nearest is None:
            return values[:, 0]
        best = torch.where(known, values, -torch.inf).topk(min(self._slate, values.shape[1]), dim=1).values
        there = best > -torch.inf
        return torch.where(there, best, 0.0).sum(dim=1) / there.sum(dim=1).clamp(min=1)

    def follow(self, vectors: Vectors, steps: int) -> None:
        """Take over a learnt table where ``refresh`` gradient steps have passed."""
        if vectors.learnt and steps - self._at >= self._refresh:
            self._look_in(vectors.table())
            self._at = steps

    def note(self, transitions: Transitions) -> Transitions:
        """Take note of what was shown, and how far from the proto-actions; return all but those, to be learnt from."""
        proto = transitions.decision.extras.get("proto")
        if self._nearest is None or proto is None:
            return transitions
        if len(transitions):
            shown = transitions.items
            apart = self._nearest.embeddings[shown] - proto[:, None]  # [B, K, D]
            self._distance = float(np.linalg.norm(apart, axis=2).mean())
            self._recent = np.concatenate([self._recent, shown.reshape(-1)])[-RECENT:]
        return replace(transitions, decision=replace(transitions.decision, extras={}))

    def figures(self) -> dict[str, float]:
        """Return ``distance``, the mean from proto-actions to items of late, and ``distinct_items`` of the last 1000.

        Proto-actions far from every item, and few distinct items, tell of a policy that has collapsed.
        """
        if self._nearest is None:
            return {}
        distance = {} if self._distance is None else {"distance": self._distance}
        return {**distance, "distinct_items": float(len(np.unique(self._recent[self._recent >= 0])))}

    def get_state(self) -> dict[str, Any]:
        """Return the table looked up in, and what was noted."""
        state = {"at": self._at, "distance": self._distance, "recent": self._recent}
        return state if self._nearest is None else {**state, "table": self._nearest.embeddings}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self._at, self._distance, self._recent = int(state["at"]), state["distance"], state["recent"]
        if self._nearest is not None:
            self._look_in(state["table"])

    def _look_in(self, table: FloatArray) -> None:
        self._nearest = NearestItems(table, self._metric, backend=self._backend)

    def _stretched(self, proto: FloatArray) -> FloatArray:
        """Return proto-actions [N, D] as points of the box [N, ...]."""
        space = self._problem.action_space
        assert isinstance(space, spaces.Box)
        points = proto.reshape(len(proto), *space.shape)
        points = space.low + (points + 1) / 2 * (space.high - space.low)
        stretched: FloatArray = np.clip(points, space.low, space.high).astype(space.dtype)
        return stretched
