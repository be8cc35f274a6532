"""Memory over plain observations: the last frames of each lane's episode, as the sequence that an encoder reads."""

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces

from smartrec.agents.encoders.state import FRAMES_KNOWN
from smartrec.core.arrays import Array, BoolArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem


class Memory:
    """The last T observations of every lane.

    Args:
        problem: As the world shows it.
        frames: T, the newest observation and those before it in the episode, >= 0; 0 leaves observations alone.

    Attributes:
        problem: As networks see it: a Box [T, F] with ``frames_known`` [T] in the place of a Box [F].

    Raises:
        InvalidConfig: ``frames`` > 0, and observations are no Box of one axis.
    """

    def __init__(self, problem: Problem, frames: int) -> None:
        require(frames >= 0, "frames", frames, "a whole number >= 0")
        self.problem, self._length = problem, frames
        self._frames: Array = np.zeros((0, frames, 0), np.float32)  # [N, T, F]
        self._counts: IntArray = np.zeros(0, np.int64)  # [N], frames known of each lane
        if frames:
            self.problem = replace(problem, observation_space=_in_a_row(problem.observation_space, frames))

    def look(self, observation: Observation, first: BoolArray | None) -> Observation:
        """Take in what N lanes show now, and return it with what they showed before.

        Args:
            observation: Arrays [N, F].
            first: bool [N], lanes whose episode just began; None for all.
        """
        if not self._length:
            return observation
        now = np.asarray(observation["observation"], np.float32)
        if first is None or len(now) != len(self._counts):
            self._frames = np.zeros((len(now), self._length, now.shape[1]), np.float32)
            self._counts = np.zeros(len(now), np.int64)
        else:
            self._frames, self._counts = self._frames * ~first[:, None, None], self._counts * ~first
        self._frames = np.concatenate([self._frames[:, 1:], now[:, None]], axis=1)
        self._counts = np.minimum(self._counts + 1, self._length)
        known = np.arange(self._length) >= self._length - self._counts[:, None]  # [N, T]
        return {"observation": self._frames, FRAMES_KNOWN: known}

    def get_state(self) -> dict[str, Any]:
        """Return the frames of all lanes."""
        return {"frames": self._frames, "counts": self._counts}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self._frames, self._counts = state["frames"].copy(), state["counts"].copy()


def _in_a_row(space: spaces.Space[Any], frames: int) -> spaces.Dict:
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise InvalidConfig(
            f"frames = {frames} lays observations of a Box with one axis in a row, and this one is {space}; set "
            "frames = 0 (worlds of SmartRec show what was before by history=10)"
        )
    low, high = (np.tile(bound, (frames, 1)) for bound in (space.low, space.high))
    return spaces.Dict(
        {"observation": spaces.Box(low, high, dtype=np.float32), FRAMES_KNOWN: spaces.MultiBinary(frames)}
    )
