"""Figures of a run while it is under way, written where TensorBoard reads them."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core.arrays import IntArray
from smartrec.core.errors import OutputError
from smartrec.core.optional import optional

POINTS = 500
"""Most points of a curve: a run of any length spends little on them."""

FLUSH_S = 1.0
"""Seconds that points wait to be written together."""


@dataclass(frozen=True, eq=False)
class Totals:
    """What a run has come to so far; a point of a curve is what was added since the last.

    Attributes:
        decisions: Made and scored.
        reward: Sum.
        decision_s: Seconds spent on decisions.
        learning_s: Seconds spent on feedback.
        shown: int [I], how often each item was shown; None where actions are no items.
        distance: Sum of the cosine distances of all pairs of items in a slate.
        pairs: How many pairs those are.
        episodes: That have ended; 0 where visits are scored.
        returns: Sum of theirs.
    """

    decisions: int
    reward: float
    decision_s: float
    learning_s: float
    shown: IntArray | None
    distance: float
    pairs: int
    episodes: int
    returns: float


class EventFile:
    """A file of figures that TensorBoard reads.

    Args:
        folder: Where the file goes; it is made where there is none.

    Raises:
        MissingExtra: tensorboard is not installed.
        OutputError: The folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        # TensorBoard's records, written at once: torch takes a second to import, and a thread that writes takes turns
        # with the run.
        records = optional("tensorboard.summary.writer.record_writer", "tensorboard", "log")
        self._protos: Any = optional("tensorboard.compat.proto.event_pb2", "tensorboard", "log")
        self._summary: Any = optional("tensorboard.compat.proto.summary_pb2", "tensorboard", "log").Summary
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._file = (Path(folder) / f"events.out.tfevents.{time.time_ns()}").open("xb")
        except OSError as error:
            raise OutputError(f"log = {str(folder)!r} cannot be written ({error}); give a folder that can") from None
        self._records: Any = records.RecordWriter(self._file)
        self._add(wall_time=time.time(), file_version="brain.Event:2")

    def go_on(self, step: int) -> None:
        """Make what earlier files of the folder say of ``step`` and later ones void."""
        started = self._protos.SessionLog(status=self._protos.SessionLog.START)
        self._add(wall_time=time.time(), step=step, session_log=started)

    def write(self, step: int, figures: dict[str, float], wall_time: float | None = None) -> None:
        """Add a point to each curve; it is on disk after ``flush``."""
        values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
        summary = self._summary(value=values)
        self._add(wall_time=time.time() if wall_time is None else wall_time, step=step, summary=summary)

    def flush(self) -> None:
        """Write what waits."""
        self._file.flush()

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._file.close()

    def _add(self, **parts: Any) -> None:
        self._records.write(self._protos.Event(**parts).SerializeToString())


class EventLog:
    """A TensorBoard event file of a run: at most 500 points a curve, each of what happened since the last one.

    ``reward/mean`` is the reward a decision; ``reward/return`` the return of the episodes that ended, where visits are
    not scored; ``shown/items`` counts different items; ``shown/distance`` is the mean cosine distance of two items of a
    slate; ``learning/...`` are means of what ``update`` returned; ``time/decision_us`` and ``time/learning_us`` are
    microseconds a decision. The step is the loop's.

    Args:
        folder: Where the file goes; it is made where there is none.
        steps: Of the run.

    Raises:
        MissingExtra: tensorboard is not installed.
        OutputError: The folder cannot be written.
    """

    def __init__(self, folder: str | Path, steps: int) -> None:
        self._file = EventFile(folder)
        self._every, self._steps = -(-steps // POINTS), steps
        self._before: Totals | None = None
        self._learnt: list[dict[str, float]] = []
        self._waiting: list[tuple[float, int, Totals, list[dict[str, float]]]] = []

    def learnt(self, figures: dict[str, float]) -> None:
        """Take note of what ``update`` returned."""
        if figures:
            self._learnt.append(figures)

    def due(self, step: int) -> bool:
        """Return whether a point is due after so many steps."""
        return step % self._every == 0 or step == self._steps

    def write(self, step: int, totals: Totals) -> None:
        """Take a point; it is in the file a second later, or when that is closed.

        Args:
            step: Steps done, >= 1.
            totals: What the run has come to.
        """
        # Many at a time are written several times as fast as one between two steps of the run.
        self._waiting.append((time.time(), step, totals, self._learnt))
        self._learnt = []
        if time.time() - self._waiting[0][0] > FLUSH_S:
            self._flush()

    def close(self, step: int, totals: Totals) -> None:
        """Write what waits, and what came after the last step, and close the file."""
        if self._learnt:
            self.write(step, totals)
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        for wall_time, step, totals, learnt in self._waiting:
            figures = _since(self._before, totals)
            for name in sorted({name for told in learnt for name in told}):
                figures[f"learning/{name}"] = float(np.mean([told[name] for told in learnt if name in told]))
            self._file.write(step, figures, wall_time)
            self._before = totals
        self._waiting = []
        self._file.flush()


def _since(before: Totals | None, now: Totals) -> dict[str, float]:
    """Return means over what was added to ``before``, where anything was."""

    def added(name: str) -> Any:
        return getattr(now, name) - (0 if before is None else getattr(before, name))

    figures = {}
    for tag, total, count, unit in (
        ("reward/mean", "reward", "decisions", 1.0),
        ("reward/return", "returns", "episodes", 1.0),
        ("shown/distance", "distance", "pairs", 1.0),
        ("time/decision_us", "decision_s", "decisions", 1e6),
        ("time/learning_us", "learning_s", "decisions", 1e6),
    ):
        if added(count):
            figures[tag] = float(unit * added(total) / added(count))
    if now.shown is not None:
        figures["shown/items"] = float(np.count_nonzero(added("shown")))
    return figures
