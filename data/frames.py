"""Frames: windows that slide over what each user answered, as steps of a decision process.

Step t of a user with items ``i_0, i_1, ..`` and ratings ``r_0, r_1, ..`` has the state ``(i_t .. i_t+f-1,
r_t .. r_t+f-1)``, the action ``i_t+f``, the reward ``r_t+f``, and as next state the window moved on by one; the user's
last is done. A user with T answers has ``T - f`` steps. Padded, each of the T answers is the action of a step: the
state holds the up to f answers before it, padded in front with the item number I and the rating 0.
"""

from typing import Self

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions
from smartrec.data.interactions import Interactions
from smartrec.data.trajectories import Trajectories
from smartrec.data.windows import Windows, problem_of_windows


class Frames:
    """All frames of a log, as numbers into it: nothing is copied until some are asked for.

    Frames are numbered 0..len - 1, by user and, of a user, by time.

    Args:
        trajectories: The log; users with ``frame_size`` answers or fewer have no frame, unless padded.
        frame_size: f, answers in a state, >= 1.
        padded: Whether steps begin with the user's first answer, states padded in front.

    Raises:
        InvalidInput: ``frame_size`` is below 1, or no user has a frame.
    """

    def __init__(self, trajectories: Trajectories, frame_size: int = 10, padded: bool = False) -> None:
        if frame_size < 1:
            raise InvalidInput(f"frame_size = {frame_size}; allowed: 1 or more answers")
        self.trajectories, self.frame_size, self.padded = trajectories, frame_size, padded
        skipped = 0 if padded else frame_size
        counts = np.maximum(trajectories.lengths - skipped, 0)
        self.user_ends = np.cumsum(counts)
        """int64 [U], of each row of ``Trajectories.users`` the number after its last frame."""
        # Frame g of user u has its action at row g + offset[u] of the log, unless some were chosen.
        self._offsets = trajectories.starts[:-1] + skipped - (self.user_ends - counts)
        self._chosen: IntArray | None = None
        if not self.user_ends[-1]:
            raise InvalidInput(
                f"no user has more than frame_size = {frame_size} answers (the longest has "
                f"{trajectories.lengths.max()}); take a smaller frame_size, padded=True, or a longer log"
            )

    def only(self, rows: BoolArray) -> Self:
        """Return the frames whose action is among ``rows``, bool [R]; their states still see all rows before.

        Raises:
            InvalidInput: ``rows`` has another shape or type, or no frame has its action there.
        """
        if np.shape(rows) != self.trajectories.items.shape or np.asarray(rows).dtype != bool:
            raise InvalidInput(f"rows has shape {np.shape(rows)}; allowed: bool {self.trajectories.items.shape}")
        actions = self.actions(np.arange(len(self)))
        chosen = actions[rows[actions]]
        if not len(chosen):
            raise InvalidInput(
                f"none of the {np.count_nonzero(rows)} rows has {self.frame_size} answers of its user before it; take "
                "a smaller frame_size, or padded=True"
            )
        frames = type(self)(self.trajectories, self.frame_size, self.padded)
        frames._chosen = chosen
        frames.user_ends = np.searchsorted(chosen, self.trajectories.starts[1:])
        return frames

    def __len__(self) -> int:
        return int(self.user_ends[-1])

    def actions(self, frames: IntArray) -> IntArray:
        """Return the row of the log that is the action of each frame, int64 [B].

        Raises:
            InvalidInput: A number is outside 0..len - 1.
        """
        numbers = np.asarray(frames, np.int64)
        # Read as unsigned, a negative number is too large as well.
        if numbers.size and numbers.view(np.uint64).max() >= len(self):
            wrong = numbers.min() if numbers.min() < 0 else numbers.max()
            raise InvalidInput(f"frame {wrong} was asked for; allowed: 0..{len(self) - 1}")
        if self._chosen is not None:
            return self._chosen[numbers]
        actions: IntArray = numbers + self._offsets[self.user_ends.searchsorted(numbers, side="right")]
        return actions

    def windows(self, frames: IntArray) -> Windows:
        """Return frames [B] as numbers.

        Raises:
            InvalidInput: A number is outside 0..len - 1.
        """
        log, last = self.trajectories, self.actions(frames)
        user = np.searchsorted(log.starts, last, side="right") - 1
        first, done = log.starts[user], last + 1 == log.starts[user + 1]
        rows = last[:, None] + np.arange(-self.frame_size, 1)
        if not self.padded:
            return Windows(log.items[rows], log.ratings[rows], done, user, last - first - self.frame_size)
        known, rows = rows >= first[:, None], np.maximum(rows, 0)
        items = np.where(known, log.items[rows], np.int32(log.n_items))
        ratings = np.where(known, log.ratings[rows], np.float32(0))
        return Windows(items, ratings, done, user, last - first)

    def transitions(self, frames: IntArray) -> Transitions:
        """Return frames [B] as agents learn from them: histories of item numbers and ratings, nothing gathered yet.

        Raises:
            InvalidInput: A number is outside 0..len - 1.
        """
        return self.windows(frames).transitions()

    def problem(self, item_features: FloatArray | None = None, discount: float = 0.99) -> Problem:
        """Return the problem that these are steps of.

        Args:
            item_features: float [I, D], vectors of the items, or None.
            discount: Of future reward, 0..1.
        """
        log = self.trajectories
        low, high = float(log.ratings.min()), float(log.ratings.max())
        return problem_of_windows(log.n_items, self.frame_size, low, high, item_features, discount)


def split_frames(
    train: Interactions, test: Interactions, frame_size: int = 10, padded: bool = False
) -> tuple[Frames, Frames]:
    """Return the frames of both parts of a split log; test states may look back into train, never the other way.

    Train frames are made from ``train`` alone: a user's last answer in train is done. Test frames are those of the
    whole log whose action is a row of ``test``.

    Args:
        train: Of any split of ``smartrec.data``: by time, by user, leave-last-out, cold start.
        test: Its other part.
        frame_size: f, answers in a state.
        padded: As in ``Frames``.

    Raises:
        InvalidInput: The parts do not belong together, or one has no frame.
    """
    trajectories, held_out = Trajectories.joined(train, test)
    seen = Frames(Trajectories.of(train), frame_size, padded)
    return seen, Frames(trajectories, frame_size, padded).only(held_out)
