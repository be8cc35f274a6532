"""Records in a file, one a line, appended as they come and never lost."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from smartrec.core.config import digest
from smartrec.core.errors import DataError, OutputError
from smartrec.core.files import atomic_write, ensure_folder
from smartrec.evaluation.record import RunRecord

TORN = '{"environment":'
"""How every record begins, and so also what is left of one whose writing was cut off."""


@dataclass(frozen=True)
class RunKey:
    """What makes two runs the same: what ran where, how, and by which code.

    Attributes:
        environment: Id.
        options: Keyword arguments it was made with.
        oracle: What the best slates would bring after the last iteration, in clicks a user: it tells worlds apart
            whose data have changed under the same name; 0 where that is not known.
        agent: ``module:Class``.
        config_digest: Of the agent's options.
        seed: Of the world.
        agent_seed: Of the agent.
        feedback_delay: In steps.
        feedback_loss: Share, 0..1.
        code: Digest of the sources of SmartRec and of the agent.
    """

    environment: str
    options: dict[str, Any]
    oracle: float
    agent: str
    config_digest: str
    seed: int
    agent_seed: int | None
    code: str
    feedback_delay: int = 0
    feedback_loss: float = 0.0

    @classmethod
    def of(cls, record: RunRecord) -> "RunKey":
        """Return the key of a record."""
        return cls(
            record.environment,
            record.options,
            record.metrics.get("final_oracle", 0.0),
            record.agent,
            record.config_digest,
            record.seed,
            record.agent_seed,
            record.code,
            record.feedback_delay,
            record.feedback_loss,
        )

    def digest(self) -> str:
        """Return 12 hexadecimal digits, the same for equal keys."""
        return digest({**asdict(self), "oracle": round(self.oracle, 9)})


class RecordStore:
    """The file of a leaderboard's records.

    A record that a crash tore off at the end of the file is dropped when the file is opened; everything before it is
    kept. A file that is anything else is left as it is.

    Args:
        path: The file; its folder is made.
        kind: What its lines are.

    Raises:
        OutputError: It cannot be written.
        DataError: A line that is not the last one is no record.
    """

    def __init__(self, path: Path, kind: type[RunRecord] = RunRecord) -> None:
        ensure_folder(path.parent)
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give the name of a file for the records")
        self.path, self._kind = path, kind
        self.records = self._recover()
        self._by_key = {RunKey.of(record).digest(): record for record in self.records}

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def __getitem__(self, key: str) -> RunRecord:
        return self._by_key[key]

    def append(self, record: RunRecord) -> None:
        """Add a record; it is on disk when this returns.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(record.to_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {self.path} ({error.strerror}); what was there is kept") from None
        self.records.append(record)
        self._by_key[RunKey.of(record).digest()] = record

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from writing the same file while the block runs.

        Raises:
            OutputError: Another one is writing it.
        """
        with self.path.open("a") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except OSError:
                raise OutputError(
                    f"another process is writing {self.path}; wait for it, or choose another folder"
                ) from None
            yield

    def _recover(self) -> list[RunRecord]:
        if not self.path.exists():
            return []
        text = _text_of(self.path)
        whole, line = text[: text.rfind("\n") + 1], text[text.rfind("\n") + 1 :]
        if line:
            kept = _or_none(line, self._kind)
            if kept is None and not line.startswith(TORN):
                self._kind.from_json(line, f"{self.path}, last line")
            records = _records_of(whole, self.path, self._kind)
            with atomic_write(self.path) as file:
                file.write(whole if kept is None else f"{text}\n")
            return records if kept is None else [*records, kept]
        return _records_of(text, self.path, self._kind)


def read_records(path: Path, kind: type[RunRecord] = RunRecord) -> list[RunRecord]:
    """Read a file of records.

    Args:
        path: One record a line.
        kind: What its lines are.

    Raises:
        DataError: A line is no record; file and line are named.
    """
    return _records_of(_text_of(path), path, kind)


def _records_of(text: str, path: Path, kind: type[RunRecord]) -> list[RunRecord]:
    lines = text.split("\n")[: -1 if text.endswith("\n") else None]
    return [kind.from_json(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if text]


def _or_none(line: str, kind: type[RunRecord]) -> RunRecord | None:
    try:
        return kind.from_json(line)
    except DataError:
        return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); it should hold one JSON record a line") from None


def write_records(path: Path, records: Iterable[RunRecord]) -> None:
    """Write records to a file of their own, all or nothing."""
    with atomic_write(path) as file:
        file.writelines(record.to_json() + "\n" for record in records)
