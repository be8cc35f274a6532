"""Vectors of items, given or learnt, and of points of a box: what agents that act by vectors are told of actions."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, get_args

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from smartrec.agents.deep.settings import DeepConfig
from smartrec.core.arrays import FloatArray
from smartrec.core.config import require
from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput
from smartrec.core.nearest import Backend, Metric
from smartrec.core.problem import Problem

KNOWN = ("auto", "features", "learnt")
"""Where vectors come from, other than a file."""


@dataclass(frozen=True)
class VectorConfig(DeepConfig):
    """Options that agents acting by vectors share.

    Attributes:
        embeddings: Vectors of the items: "features" of the problem; "learnt", a table of length ``embedding`` that
            the critic learns; the path of a ``.npy`` file [I, D], which takes the place of the features; "auto":
            features where there are some, else learnt. In a Box space not used.
        metric: What is near: "l2", "inner" or "cosine".
        backend: Who makes the short list of the look-up: "numpy", or "faiss" for very many items.
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
    backend: Backend = "numpy"
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
        for name, known in (("metric", Metric), ("backend", Backend)):
            require(getattr(self, name) in get_args(known), name, getattr(self, name), ", ".join(get_args(known)))
        for name in ("neighbours", "refresh", "batch", "capacity", "train_every", "gradient_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(self.warmup >= 0, "warmup", self.warmup, "a whole number >= 0")
        for name in ("actor_rate", "critic_rate", "clip"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a number > 0")
        require(0 < self.tau <= 1, "tau", self.tau, "above 0, to 1")


V = TypeVar("V", bound=VectorConfig)


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
        InvalidInput: Features of another shape, or not finite.
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


def with_embeddings(problem: Problem, config: V) -> tuple[Problem, V]:
    """Return problem and options in which embeddings out of a file are item features: so they are saved, too.

    Raises:
        DataNotFound: There is no such file.
        DataError: The file is damaged.
        InvalidInput: Embeddings of another shape, or not finite.
    """
    source = config.embeddings
    if source in KNOWN or problem.items is None:
        return problem, config
    if not Path(source).is_file():
        raise DataNotFound(f"embeddings = {source!r}; allowed: {', '.join(KNOWN)}, or a .npy file that is there")
    try:
        table = np.load(source, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"embeddings {source} is no .npy file ({type(error).__name__}); write it with numpy.save"
        ) from None
    if not isinstance(table, np.ndarray):
        raise DataError(f"embeddings {source} holds several arrays; allowed: one, written with numpy.save")
    table = _checked(table, f"embeddings {source}", problem.items)
    return replace(problem, item_features=table), replace(config, embeddings="features")


def _embeddings(problem: Problem, source: str) -> FloatArray | None:
    """Return given vectors of the items, float [I, D]; None where they are to be learnt."""
    if source == "learnt" or (source == "auto" and problem.item_features is None):
        return None
    if problem.item_features is None:
        raise InvalidConfig(
            f"action space {problem.action_space} for an agent of vectors, embeddings = {source!r}, and this "
            "problem has no item features; take embeddings = 'learnt', or the path of a .npy file [I, D]"
        )
    return _checked(problem.item_features, "item features", problem.items)


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
