"""N users being served: what is seen of them, and what they do. All of a world's physics is here."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.decision import Mask
from smartrec.core.world import Outcome
from smartrec.envs.actions import as_items, refuse_illegal, repair
from smartrec.envs.crowd import Crowd
from smartrec.envs.history import History
from smartrec.envs.settings import Settings
from smartrec.response_models.base import State


@dataclass(frozen=True, eq=False)
class Part:
    """Users of one tick, with the dice they were dealt.

    Attributes:
        state: Of the response model in that tick.
        users: int [N].
        dice: float [N, S, K], uniforms for each step and position.
        first: Number of the first of these visits; the others follow.
    """

    state: State
    users: IntArray
    dice: FloatArray
    first: int

    def cut(self, start: int, stop: int) -> "Part":
        """Return the visits from ``start`` to ``stop``."""
        return Part(self.state, self.users[start:stop], self.dice[start:stop], self.first + start)


class Lanes:
    """N visits under way, all at the same step; they may belong to several ticks.

    Args:
        crowd: Who is served.
        settings: Of the world, sizes filled in.
        parts: The visits, in order.
        history: Read and written, or None.
        repair_key: Key of the draws that replace repeated items; None refuses them.
        rows: int [N], rows of ``history`` that are the users'; None where their numbers say it.
    """

    def __init__(
        self,
        crowd: Crowd,
        settings: Settings,
        parts: list[Part],
        history: History | None,
        repair_key: int | None,
        rows: IntArray | None = None,
    ) -> None:
        self._crowd, self._settings, self.parts = crowd, settings, parts
        self._history, self._repair_key = history, repair_key
        self._step = 0
        self.users = _join([part.users for part in parts])
        self._rows = self.users if rows is None else rows

    @property
    def visit(self) -> IntArray:
        """Running numbers of the visits, int [N]."""
        first = self.parts[0].first
        return np.arange(first, first + len(self.users))

    @property
    def done(self) -> bool:
        """Whether the visits have ended."""
        return self._step == self._settings.session_length

    @cached_property
    def allowed(self) -> Mask | None:
        """What may be shown during these visits, bool [N, I]; None for all items.

        Raises:
            InvalidInput: The crowd's mask has another shape.
            InvalidAction: It leaves a lane too few items for a slate.
        """
        if self._crowd.mask is None:
            return None
        mask = Mask(_join([self._crowd.allowed(part.users, part.state.clock) for part in self.parts]))
        mask.require(self._settings.slate_size)
        return mask

    @property
    def observation(self) -> dict[str, Array]:
        """What an agent sees now: fresh arrays [N, ...]."""
        seen: dict[str, Array] = {}
        if self._settings.observe_user:
            seen["user"] = self.users.copy()
        if self._crowd.user_features is not None:
            seen["user_features"] = self._crowd.user_features[self.users]
        seen["clock"] = _join([np.full(len(part.users), part.state.clock) for part in self.parts])
        if self._history is not None:
            seen.update(self._history.observation(self._rows))
        allowed = self.allowed
        if allowed is not None:
            seen["allowed"] = allowed.allowed.astype(np.int8)
        return seen

    def respond(self, action: Any) -> Outcome:
        """Show the users ``action``, int [N] or [N, K], and return what they do.

        Raises:
            InvalidAction: It cannot be shown.
        """
        settings, crowd = self._settings, self._crowd
        items = as_items(action, len(self.users), settings.slate_size, crowd.n_items)
        replaced = None
        if self._repair_key is None:
            refuse_illegal(items, self.allowed)
        else:
            items, replaced = repair(items, self.allowed, crowd.n_items, self._repair_key, self.visit, self._step)
        probability = self._by_part(lambda part, rows: crowd.model.probability(part.users, items[rows], part.state))
        dice = _join([part.dice[:, self._step] for part in self.parts])
        responses, observed = crowd.choice.respond(probability, dice)
        if self._history is not None:
            self._history.record(self._rows, items, responses)
        self._step += 1
        return Outcome(responses.astype(np.float64), observed, crowd.choice.expected(probability), replaced, items)

    def _by_part(self, function: Any) -> Any:
        """Call ``function(part, rows)`` for each part, and join what comes back."""
        start, results = 0, []
        for part in self.parts:
            results.append(function(part, slice(start, start + len(part.users))))
            start += len(part.users)
        return _join(results)


def _join(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
