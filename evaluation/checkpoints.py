"""Checkpoints of a training: whole folders that take each other's place, so that a crash leaves one that is whole."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from smartrec.core.config import from_dict
from smartrec.core.errors import DataError, DataNotFound, OutputError
from smartrec.core.files import atomic_write, ensure_folder

LAST, BEST = "last", "best"
CURVES, LOCK = "curves.jsonl", ".lock"
STATE = "training.json"


@dataclass
class Stage:
    """How far a training has come.

    Attributes:
        epoch: Epochs done.
        start: Batches done of the next one.
        batches: Batches done in all.
        rows: Transitions in them.
        best: The best value of the figure that is watched so far, or None.
        since_best: Points of the curves since then.
        options: What a training that goes on must agree with.
    """

    epoch: int = 0
    start: int = 0
    batches: int = 0
    rows: int = 0
    best: float | None = None
    since_best: int = 0
    options: dict[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The folder of a training: ``last`` and ``best``, each a saved agent and its stage, and the curves.

    A checkpoint is written beside the one that it replaces and then renamed. Points of the curves that came after the
    last checkpoint are dropped when training goes on from there, for they are made again.

    Args:
        folder: It is made where there is none.
        resume: Whether it must hold a training; where it does not, nothing is made.

    Raises:
        DataNotFound: It must, and does not.
        OutputError: It cannot be written.
    """

    def __init__(self, folder: Path, resume: bool = False) -> None:
        if resume and not any((folder / name).exists() for name in (LAST, f".{LAST}.before")):
            raise DataNotFound(f"{folder} holds no training that could go on ({LAST} is missing); check the path")
        self.folder = ensure_folder(folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from training in the same folder while the block runs; all is whole when it begins.

        Raises:
            OutputError: Another one does.
        """
        with (self.folder / LOCK).open("a") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except OSError:
                raise OutputError(f"another process trains in {self.folder}; wait, or choose another folder") from None
            for name in (LAST, BEST):
                place, before = self.folder / name, self.folder / f".{name}.before"
                if before.exists() and not place.exists():  # it was cut off between two renames
                    before.rename(place)
            yield

    def stage(self) -> Stage:
        """Return the stage of the last checkpoint.

        Raises:
            DataNotFound: There is none.
            DataError: Its file is damaged.
        """
        path = self.folder / LAST / STATE
        if not path.is_file():
            raise DataNotFound(f"{self.folder} holds no training that could go on ({LAST}/{STATE} is missing)")
        try:
            return from_dict(Stage, json.loads(path.read_text(encoding="utf-8")), STATE)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is damaged ({error}); train anew in another folder") from None

    def save(self, name: str, agent: Any, stage: Stage) -> None:
        """Write a checkpoint; until it is whole, the one before stays.

        Raises:
            OutputError: It cannot be written.
        """
        place, new, before = (self.folder / part for part in (name, f".{name}.new", f".{name}.before"))
        try:
            shutil.rmtree(new, ignore_errors=True)
            agent.save(new)
            with atomic_write(new / STATE) as file:
                json.dump(asdict(stage), file, indent=1)
            shutil.rmtree(before, ignore_errors=True)
            with suppress(FileNotFoundError):
                place.rename(before)
            new.rename(place)
            shutil.rmtree(before, ignore_errors=True)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            kept = f"; the one before is in {place}" if place.exists() else ""
            raise OutputError(f"checkpoint {place} cannot be written ({error.strerror or error}){kept}") from error

    def clear(self) -> None:
        """Remove what a training left that was cut off before its first checkpoint.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            (self.folder / CURVES).unlink(missing_ok=True)
            if (self.folder / BEST / STATE).is_file():  # a folder that is none of ours stays
                shutil.rmtree(self.folder / BEST)
        except OSError as error:
            raise OutputError(f"cannot clear {self.folder} ({error}); choose another folder") from error

    def points(self) -> list[dict[str, float]]:
        """Return the points of the curves up to the last checkpoint, and drop those after it from the file.

        Raises:
            DataError: A line before it is no point.
        """
        path, done = self.folder / CURVES, self.stage().batches
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        points: list[dict[str, float]] = []
        for number, line in enumerate(lines, 1):
            try:
                point = json.loads(line)
                if point["batch"] > done:
                    break
            except (ValueError, TypeError, KeyError):
                if number == len(lines):
                    break  # torn off by the crash
                raise DataError(f"{path}, line {number}, is no point of a curve; take the line out") from None
            points.append(point)
        if len(points) < len(lines):
            with atomic_write(path) as file:
                file.writelines(lines[: len(points)])
        return points

    def add_point(self, point: dict[str, float]) -> None:
        """Add a point to the curves; it is on disk when this returns.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            with (self.folder / CURVES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(point) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self.folder / CURVES} ({error.strerror}); {LAST} is kept") from None
