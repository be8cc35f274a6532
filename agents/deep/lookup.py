"""From vectors to what is executed: a point of a box, or the items whose vectors lie nearest to it.

An agent for vectors answers with a proto-action ``p`` in ``[-1, 1]^D``. In a Box space it is stretched to the box.
Among items it is looked up: ``items = K nearest of vector_1 .. vector_I to p``; with ``neighbours`` > K the critic
ranks so many nearest anew and the best K are shown (Wolpertinger, Dulac-Arnold et al. 2015, arXiv 1512.07679).
The vectors are given, or a table that the critic learns.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from smartrec.agents import exploration
from smartrec.agents.base import Agent, lanes_of
from smartrec.agents.deep.settings import DeepConfig
from smartrec.core.arrays import FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision, Items, Mask
from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput
from smartrec.core.nearest import Metric, NearestItems
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

RECENT = 1000
"""Items shown last, among which different ones are counted."""

SPARE = 8
"""Items looked up beyond a slate, so that ties at its end are broken at random."""


@dataclass(frozen=True)
class VectorConfig(DeepConfig):
    """Options that agents acting by vectors share.

    Attributes:
        embeddings: Vectors of the items: "features" of the problem; "learnt", a table of length ``embedding`` that
            the critic learns; the path of a ``.npy`` file [I, D]; "auto": features where there are some, else learnt.
            In a Box space not used.
        metric: What is near: "l2", "inner" or "cosine".
        neighbours: Nearest items that the critic ranks anew, >= 1; not more than a slate ranks none.
        refresh: Gradient steps after which a learnt table goes to the look-up, >= 1.
        batch: Transitions a gradient step, >= 1.
        capacity: Transitions kept, >= 1.
        warmup: Transitions before learning starts, >= 0; until then actions are uniformly random.
        train_every: Transitions between two rounds of learning, >= 1.
        gradient_steps: Gradient steps a round, >= 1.
        actor_rate: Learning rate of the actor, > 0.
        critic_rate: Learning rate of the critic, > 0.
        clip: Largest norm of a gradient, > 0.
        tau: Share of the way that targets go to their networks a gradient step, above 0, to 1.
    """

    embeddings: str = "auto"
    metric: Metric = "l2"
    neighbours: int = 1
    refresh: int = 20
    batch: int = 256
    capacity: int = 100_000
    warmup: int = 16
    train_every: int = 4
    gradient_steps: int = 1
    actor_rate: float = 1e-3
    critic_rate: float = 1e-3
    clip: float = 40.0
    tau: float = 0.005

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.metric in get_args(Metric), "metric", self.metric, ", ".join(get_args(Metric)))
        for name in ("neighbours", "refresh", "batch", "capacity", "train_every", "gradient_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(self.warmup >= 0, "warmup", self.warmup, "a whole number >= 0")
        for name in ("actor_rate", "critic_rate", "clip"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a number > 0")
        require(0 < self.tau <= 1, "tau", self.tau, "above 0, to 1")


class Vectors(nn.Module):
    """What was executed, as vectors in ``[-1, 1]^D``: a part of the critic, for a learnt table is learnt with it.

    Under "l2" each column of given vectors is stretched to -1..1; under "inner" and "cosine" all are divided by the
    largest number in them, so that directions stay.

    Args:
        problem: Its action space, and item features where those are asked for.
        config: ``embeddings``, ``metric`` and ``embedding``.

    Attributes:
        size: D.
        learnt: Whether the vectors are learnt.

    Raises:
        InvalidConfig: Item features are asked for and there are none, or a box without bounds.
        InvalidInput: Embeddings of another shape, or not finite.
        DataNotFound: There is no such file.
        DataError: The file is damaged.
    """

    low: Tensor
    high: Tensor
    given: Tensor

    def __init__(self, problem: Problem, config: VectorConfig) -> None:
        super().__init__()
        self.learnt = False
        if isinstance(problem.action_space, spaces.Box):
            space = problem.action_space
            wide = bool(space.is_bounded() and (space.high > space.low).all())
            require(wide, "action space", space, "a Box with bounds, low < high; wrap it in RescaleAction")
            self.size = int(np.prod(space.shape))
            self.register_buffer("low", torch.from_numpy(space.low.astype(np.float32).reshape(-1)))
            self.register_buffer("high", torch.from_numpy(space.high.astype(np.float32).reshape(-1)))
            return
        table = _embeddings(problem, config.embeddings)
        if table is None:
            self.learnt, self.size = True, config.embedding
            self.raw = nn.Parameter(torch.randn(problem.items or 0, self.size) / 2)
            return
        self.size = table.shape[1]
        self.register_buffer("given", torch.from_numpy(_scaled(table, config.metric).astype(np.float32)))

    def forward(self, actions: Tensor) -> Tensor:
        """Return items int [B, C], or points of the box [B, ...], as vectors [B, C, D] (C = 1 in a box)."""
        if self.learnt:
            return torch.tanh(self.raw[actions])
        if hasattr(self, "given"):
            return self.given[actions]
        points = actions.float().flatten(1)  # [B, D]
        return (2 * (points - self.low) / (self.high - self.low) - 1)[:, None]

    @torch.no_grad()
    def table(self) -> FloatArray:
        """Return the vectors of all items, float [I, D]."""
        table = torch.tanh(self.raw) if self.learnt else self.given
        return table.cpu().numpy().copy()


class Lookup:
    """Finds what a proto-action stands for, and keeps an eye on how far that is from it.

    Args:
        problem: Its action space.
        config: ``metric``, ``neighbours`` and ``refresh``.
        vectors: Of the items.
    """

    def __init__(self, problem: Problem, config: VectorConfig, vectors: Vectors) -> None:
        self._problem, self._metric, self._refresh = problem, config.metric, config.refresh
        self._slate = problem.slate_size
        self._neighbours = max(config.neighbours, self._slate)
        self._ranks = config.neighbours > self._slate
        self._nearest: NearestItems | None = None
        self._at = 0
        self._distance: float | None = None
        self._recent = np.full(RECENT, -1)
        if problem.items is not None:
            self._nearest = NearestItems(vectors.table(), self._metric)

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
            self._nearest, self._at = NearestItems(vectors.table(), self._metric), steps

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
            self._nearest = NearestItems(state["table"], self._metric)

    def _stretched(self, proto: FloatArray) -> FloatArray:
        """Return proto-actions [N, D] as points of the box [N, ...]."""
        space = self._problem.action_space
        assert isinstance(space, spaces.Box)
        points = proto.reshape(len(proto), *space.shape)
        points = space.low + (points + 1) / 2 * (space.high - space.low)
        stretched: FloatArray = np.clip(points, space.low, space.high).astype(space.dtype)
        return stretched


def _embeddings(problem: Problem, source: str) -> FloatArray | None:
    """Return given vectors of the items, float [I, D]; None where they are to be learnt."""
    if source == "learnt" or (source == "auto" and problem.item_features is None):
        return None
    if source in ("auto", "features"):
        if problem.item_features is None:
            raise InvalidConfig(
                f"action space {problem.action_space} for an agent of vectors, embeddings = {source!r}, and this "
                "problem has no item features; take embeddings = 'learnt', or the path of a .npy file [I, D]"
            )
        return _checked(problem.item_features, "item features", problem.items)
    if not Path(source).is_file():
        raise DataNotFound(f"embeddings = {source!r}; allowed: auto, features, learnt, or a .npy file that is there")
    try:
        table = np.load(source, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"embeddings {source} is no .npy file ({type(error).__name__}); write it with numpy.save"
        ) from None
    if not isinstance(table, np.ndarray):
        raise DataError(f"embeddings {source} holds several arrays; allowed: one, written with numpy.save")
    return _checked(table, f"embeddings {source}", problem.items)


def _checked(table: FloatArray, name: str, items: int | None) -> FloatArray:
    if table.ndim != 2 or len(table) != items or table.shape[1] == 0 or table.dtype.kind not in "fiu":
        raise InvalidInput(f"{name}: {table.dtype} of shape {table.shape}; allowed: numbers of shape [{items}, D]")
    broken = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(broken):
        raise InvalidInput(f"{name}: row {broken[0]} has NaN or infinity ({len(broken)} such rows); fill them in")
    return table.astype(np.float64)


def _scaled(table: FloatArray, metric: str) -> FloatArray:
    """Return embeddings [I, D] as vectors in [-1, 1]^D."""
    if metric != "l2":
        return np.asarray(table / max(np.abs(table).max(), np.finfo(np.float64).tiny))
    low, high = table.min(axis=0), table.max(axis=0)
    scaled: FloatArray = np.where(high > low, 2 * (table - low) / np.where(high > low, high - low, 1.0) - 1, 0.0)
    return scaled
