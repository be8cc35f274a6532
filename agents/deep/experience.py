"""Experience: the last transitions on preallocated arrays, sampled as tensors."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smartrec.agents.deep.n_step import n_step_return
from smartrec.agents.deep.sequences import Links
from smartrec.agents.encoders.state import FRAMES_KNOWN
from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Mask
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True, eq=False)
class Batch:
    """B transitions as tensors.

    Attributes:
        observation: [B, ...] a part.
        action: Items int64 [B, K], or vectors float32 [B, D].
        responses: float32 [B, K].
        observed: bool [B, K].
        reward: float32 [B].
        next_observation: [B, ...] a part; the observation itself where nothing is ever bootstrapped.
        discount: float32 [B], what the value of ``next_observation`` counts: 0 where the episode terminated.
        allowed: bool [B, I], or None where every item always was.
        next_allowed: bool [B, I], or None.
        extras: What the decision carried, [B, ...] a part.
        rows: int [B], places in the experience; empty where the transitions are not kept there.
        weight: float32 [B], correction for sampling by priority; ones where it was uniform.
    """

    observation: dict[str, Tensor]
    action: Tensor
    responses: Tensor
    observed: Tensor
    reward: Tensor
    next_observation: dict[str, Tensor]
    discount: Tensor
    allowed: Tensor | None
    next_allowed: Tensor | None
    extras: dict[str, Tensor]
    rows: IntArray
    weight: Tensor


class Experience:
    """A ring of the last ``capacity`` transitions.

    Arrays are allocated when the first transitions come, in single precision; masks take a bit an item.

    Args:
        problem: What the transitions are of.
        capacity: Most transitions kept, >= 1.
        priority: Exponent alpha of priorities: 0 samples uniformly, 1 in proportion to them (Schaul et al. 2016,
            arXiv 1511.05952). 0..1.
        correction: Exponent beta of the weights that correct for it, 0..1.
        n_step: Steps whose rewards count before the value of what follows does, >= 1; fewer where a
            step is not there, or has not come yet (see ``agents.deep.n_step``).
        frames: Observations of an episode laid in a row as ``Memory`` does, >= 0; 0 leaves them as they came.
        device: Where sampled tensors go.

    Attributes:
        size: Transitions kept now.
    """

    def __init__(
        self,
        problem: Problem,
        capacity: int,
        *,
        priority: float = 0.0,
        correction: float = 0.4,
        n_step: int = 1,
        frames: int = 0,
        device: str = "cpu",
    ) -> None:
        require(capacity >= 1, "capacity", capacity, "a whole number >= 1")
        require(0 <= priority <= 1, "priority", priority, "0 to 1")
        require(0 <= correction <= 1, "correction", correction, "0 to 1")
        require(n_step >= 1, "n_step", n_step, "a whole number >= 1")
        self._problem, self._capacity, self._device = problem, capacity, device
        self._alpha, self._beta = priority, correction
        self._columns: dict[str, Array] = {}
        self._next = self.size = 0
        self._steps, self._frames = n_step if problem.discount > 0 else 1, frames
        self._links = Links(capacity) if self._steps > 1 or frames else None

    def record(self, transitions: Transitions, discount: FloatArray | None = None) -> IntArray:
        """Keep transitions; the oldest give way.

        Args:
            transitions: B of them.
            discount: float [B], what the value of the next observation counts; None takes the problem's, and 0 where
                the episode terminated.

        Returns:
            Places in the ring, int [B], of the last ``capacity`` of them.

        Raises:
            InvalidInput: A number is not finite (but for a response nobody saw), or a part is missing or of another
                shape than before; then nothing is kept.
        """
        if discount is None:
            discount = np.where(transitions.terminated, 0.0, self._problem.discount)
        columns = self._rows_of(transitions, discount)
        _require_finite(columns)
        self._require_shapes(columns)
        count = len(transitions)
        if count > self._capacity:
            columns = {name: rows[-self._capacity :] for name, rows in columns.items()}
            count = self._capacity
        places = (self._next + np.arange(count)) % self._capacity
        for name, rows in columns.items():
            self._column(name, rows)[places] = rows
        for name in ("allowed", "next_allowed"):
            if name in self._columns and name not in columns:
                self._columns[name][places] = 255
        if self._links is not None:
            first = len(transitions) - count
            self._links.record(places, transitions.visit[first:], transitions.step[first:], self.leads)
        self._next = (self._next + count) % self._capacity
        self.size = min(self.size + count, self._capacity)
        return places

    def sample(self, count: int, rng: np.random.Generator) -> Batch:
        """Return ``count`` transitions drawn with replacement.

        Raises:
            IndexError: There are none yet.
        """
        if self.size == 0:
            raise IndexError("the experience is empty; record transitions before sampling")
        if self._alpha == 0:
            return self.batch(rng.integers(self.size, size=count))
        share = self._columns["priority"][: self.size] ** self._alpha
        upper = np.cumsum(share, dtype=np.float64)
        rows = np.searchsorted(upper, rng.random(count) * upper[-1], side="right").clip(max=self.size - 1)
        weight = (upper[-1] / (self.size * share[rows])) ** self._beta
        return self.batch(rows, weight / weight.max())

    def prioritise(self, rows: IntArray, errors: Array) -> None:
        """Set priorities: sizes of the temporal-difference errors [B] of sampled ``rows`` [B]."""
        self._columns["priority"][rows] = np.abs(errors) + 1e-6

    def batch(self, rows: IntArray, weight: FloatArray | None = None) -> Batch:
        """Return the transitions in places ``rows`` [B] as tensors."""
        taken = {name: column.take(rows, axis=0) for name, column in self._columns.items() if name != "priority"}
        if self._links is not None:
            taken.update(self._along(self._links, rows))
        observation = self._parts("observation.", taken)
        return Batch(
            observation=observation,
            action=self._tensor(taken["action"]),
            responses=self._tensor(taken["responses"]),
            observed=self._tensor(taken["observed"]),
            reward=self._tensor(taken["reward"]),
            next_observation=self._parts("next.", taken) or observation,
            discount=self._tensor(taken["discount"]),
            allowed=self._mask(taken.get("allowed")),
            next_allowed=self._mask(taken.get("next_allowed")),
            extras=self._parts("extras.", taken),
            rows=rows,
            weight=self._tensor(np.ones(len(rows), np.float32) if weight is None else weight.astype(np.float32)),
        )

    def batch_of(self, transitions: Transitions) -> Batch:
        """Return B transitions as tensors without keeping them, as a ring that held them and no others would.

        With ``n_step`` or ``frames``, other steps of a visit count as far as they are among these.

        Raises:
            InvalidInput: There are none, or a number is not finite (but for a response nobody saw).
        """
        count = len(transitions)
        if not count:
            raise InvalidInput("a batch of 0 transitions; allowed: 1 or more. Leave empty batches out")
        options: dict[str, Any] = {"n_step": self._steps, "frames": self._frames, "device": self._device}
        alone = Experience(self._problem, count, **options)
        alone.record(transitions)
        return replace(alone.batch(np.arange(count)), rows=np.zeros(0, np.int64))

    def get_state(self) -> dict[str, Any]:
        """Return what is kept, and where the next transition goes."""
        kept = {f"columns.{name}": column[: self.size] for name, column in self._columns.items()}
        links = {} if self._links is None else self._links.get_state()
        kept.update({f"links.{name}": value for name, value in links.items()})
        return {"next": self._next, "size": self.size, **kept}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self._next, self.size = int(state["next"]), int(state["size"])
        self._columns = {}
        for name, rows in state.items():
            if name.startswith("columns."):
                self._column(name.removeprefix("columns."), rows)[: self.size] = rows
        if self._links is not None:
            self._links.set_state({name: state[f"links.{name}"] for name in self._links.get_state()})

    def leads(self, earlier: IntArray, later: IntArray) -> BoolArray:
        """Return whether what was seen after some steps [M] is what was seen before others, bool [M].

        Numbers alone do not tell: a world that begins anew numbers its visits anew.
        """
        same = np.ones(len(earlier), bool)
        for name, column in self._columns.items():
            if name.startswith("next."):
                before = self._columns[f"observation.{name.removeprefix('next.')}"]
                same &= (column[earlier] == before[later]).all(axis=tuple(range(1, column.ndim)))
        return same

    def _along(self, links: Links, rows: IntArray) -> dict[str, Array]:
        """Return the columns that other steps of the visits have a part in, in places ``rows`` [B]."""
        places, known = links.ahead(rows, self._steps)  # [B, n]
        responses = self._columns["responses"]
        reward = responses.sum(axis=1)
        total, discount, last = n_step_return(reward[places], self._columns["discount"][places], known)
        end = np.take_along_axis(places, last[:, None], axis=1)[:, 0]
        later = (total - reward[rows])[:, None] / responses.shape[1]  # shared out among the positions of a slate
        following = {name: column[end] for name, column in self._columns.items() if name.startswith("next")}
        if self._frames:
            following.update(self._laid_in_a_row(links, rows, end))
        return {
            "reward": total.astype(np.float32),
            "responses": (responses[rows] + later).astype(np.float32),
            "discount": discount.astype(np.float32),
            **following,
        }

    def _laid_in_a_row(self, links: Links, rows: IntArray, end: IntArray) -> dict[str, Array]:
        """Return the frames up to ``rows`` [B], and up to what followed on ``end`` [B]."""
        seen, after = self._columns["observation.observation"], self._columns["next.observation"]
        places, known = links.windows(rows, self._frames)  # [B, T]
        places_after, known_after = links.windows(end, self._frames)
        frames_after = np.concatenate([seen[places_after][:, 1:], after[end][:, None]], axis=1)
        known_after = np.concatenate([known_after[:, 1:], np.ones_like(known_after[:, :1])], axis=1)
        return {
            "observation.observation": seen[places] * known[..., None],
            f"observation.{FRAMES_KNOWN}": known,
            "next.observation": frames_after * known_after[..., None],
            f"next.{FRAMES_KNOWN}": known_after,
        }

    def _rows_of(self, transitions: Transitions, discount: FloatArray) -> dict[str, Array]:
        """Return transitions as columns [B, ...]."""
        vectors = self._problem.items is None
        columns: dict[str, Array] = {
            "action": transitions.decision.action if vectors else transitions.items,
            "responses": np.where(transitions.observed, transitions.responses, 0.0),
            "observed": transitions.observed,
            "reward": transitions.reward,
            "discount": discount,
        }
        columns.update({f"observation.{key}": part for key, part in transitions.observation.items()})
        columns.update({f"extras.{key}": part for key, part in transitions.decision.extras.items()})
        if self._problem.discount > 0 or self._links is not None:
            columns.update({f"next.{key}": part for key, part in transitions.next_observation.items()})
        for name in ("allowed", "next_allowed"):
            known: Candidates | None = getattr(transitions, name)
            if known is not None:
                columns[name] = np.packbits(self._table(known, len(transitions)), axis=1)
        if self._alpha:
            # What was never sampled is sampled soon.
            top = self._columns["priority"][: self.size].max() if self.size else 1.0
            columns["priority"] = np.full(len(transitions), top)
        return columns

    def _require_shapes(self, columns: dict[str, Array]) -> None:
        """Raise, before anything is written, where transitions have other parts than those kept."""
        for name, column in self._columns.items():
            if name.endswith("allowed"):
                continue
            if name not in columns or columns[name].shape[1:] != column.shape[1:]:
                found = f"shape {columns[name].shape[1:]}" if name in columns else "none"
                raise InvalidInput(f"{name} of a transition: {found}; those before have shape {column.shape[1:]}")

    def _column(self, name: str, like: Array) -> Array:
        """Return a column; a mask that comes late says of earlier transitions that all was allowed."""
        if name not in self._columns:
            kind = np.float32 if like.dtype.kind == "f" else like.dtype
            column = np.zeros((self._capacity, *like.shape[1:]), kind)
            if name.endswith("allowed"):
                column[:] = 255
            self._columns[name] = column
        return self._columns[name]

    def _table(self, known: Candidates, count: int) -> Array:
        items = self._problem.items or 0
        if isinstance(known, Mask):
            return np.broadcast_to(known.allowed, (count, items))
        table = np.zeros((count, items + 1), bool)
        np.put_along_axis(table, known.items, True, axis=1)  # -1 marks the column that is cut off
        return table[:, :items]

    def _mask(self, bits: Array | None) -> Tensor | None:
        if bits is None:
            return None
        return self._tensor(np.unpackbits(bits, axis=1, count=self._problem.items).view(bool))

    def _parts(self, prefix: str, taken: dict[str, Array]) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): self._tensor(part) for key, part in taken.items() if key.startswith(prefix)}

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _require_finite(columns: dict[str, Array]) -> None:
    for name, rows in columns.items():
        # Extras are the agent's own: NaN may have a meaning there.
        if not name.startswith("extras.") and rows.dtype.kind == "f" and not (fine := np.isfinite(rows)).all():
            raise InvalidInput(
                f"{name} of a transition is {rows[~fine][0]} ({(~fine).sum()} such numbers); allowed: finite numbers"
            )
