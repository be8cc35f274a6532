"""Which user comes when, with which dice: the same for a seed at any number of lanes."""

from collections.abc import Iterator

import numpy as np

from smartrec.core.errors import InvalidConfig
from smartrec.envs.crowd import Crowd
from smartrec.envs.history import History
from smartrec.envs.lanes import Lanes, Part
from smartrec.envs.settings import Settings


class VisitStream:
    """Deals out visits in order, tick by tick.

    A tick's users are drawn without replacement, together with all their dice, when the tick begins. After
    the last scored tick the clock stops: whoever is served later is served at clock ``iterations + 1``.

    Args:
        crowd: Who is served.
        settings: Of the world, sizes filled in.
        entropy: Seed of this world, >= 0.
    """

    def __init__(self, crowd: Crowd, settings: Settings, entropy: int) -> None:
        self._crowd, self._settings, self._entropy = crowd, settings, entropy
        self._rng = np.random.default_rng([entropy, 0])
        # One item out of all can be no repeat; then nothing is looked for and nothing is counted.
        self._repairs = settings.on_repeat == "replace" and (settings.slate_size > 1 or crowd.mask is not None)
        self._history = History(crowd.n_users, crowd.n_items, settings.history) if settings.history else None
        self._tick = self._draw(None)
        self._cursor = 0

    def take(self, lanes: int) -> Lanes:
        """Return the next ``lanes`` visits."""
        parts = []
        while lanes:
            part = self.take_part(lanes)
            lanes -= len(part.users)
            parts.append(part)
        return Lanes(self._crowd, self._settings, parts, self._history, self._repair_key(0))

    def take_part(self, most: int) -> Part:
        """Return the next visits of one tick, at most ``most``."""
        size = len(self._tick.users)
        if self._cursor == size:
            self._tick, self._cursor = self._draw(self._tick), 0
        start, self._cursor = self._cursor, min(self._cursor + most, size)
        return self._tick if self._cursor - start == size else self._tick.cut(start, self._cursor)

    def census(self, clock: int, lanes: int) -> Iterator[Lanes]:
        """Serve every user once at ``clock``, ``lanes`` at a time, with dice of their own."""
        settings, n_users = self._settings, self._crowd.n_users
        dice = np.random.default_rng([self._entropy, 1, clock]).random(self._dice_shape(n_users))
        everyone = Part(self._crowd.model.at(clock), np.arange(n_users), dice, 0)
        history = None if self._history is None else self._history.copy()
        for start in range(0, n_users, lanes):
            part = everyone.cut(start, min(start + lanes, n_users))
            yield Lanes(self._crowd, settings, [part], history, self._repair_key(clock))

    def _draw(self, last: Part | None) -> Part:
        model, n_users = self._crowd.model, self._crowd.n_users
        size = self._settings.users_per_iteration
        assert size is not None
        if last is None:
            state, first = model.start(), 0
        else:
            state, first = last.state, last.first + size
            if state.clock <= self._settings.iterations:
                state = model.advance(state)
        users = self._rng.choice(n_users, size, replace=False)
        return Part(state, users, self._rng.random(self._dice_shape(size)), first)

    def _repair_key(self, census: int) -> int | None:
        """Return the key of the draws that fill slates up: 0 for the stream, the clock for a census."""
        return self._entropy + (census << 64) if self._repairs else None

    def _dice_shape(self, users: int) -> tuple[int, int, int]:
        return users, self._settings.session_length, self._settings.slate_size


def require_divisor(lanes: int, users_per_iteration: int, why: str) -> None:
    """Raise unless ticks can be served in whole batches.

    Raises:
        InvalidConfig: ``lanes`` does not divide ``users_per_iteration``; the message lists what does.
    """
    if users_per_iteration % lanes:
        divisors = [n for n in range(1, users_per_iteration + 1) if users_per_iteration % n == 0]
        raise InvalidConfig(
            f"num_envs = {lanes} does not divide users_per_iteration = {users_per_iteration}, and {why}, so "
            f"a batch must not straddle two ticks; allowed: {', '.join(map(str, divisors))}"
        )
