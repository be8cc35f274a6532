"""Records in a file, one a line, appended as they come and never lost."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smartrec.core.config import digest
from smartrec.core.errors import DataError, OutputError
from smartrec.core.files import atomic_write, ensure_folder
from smartrec.evaluation.record import RunRecord
from smartrec.version import __version__


def run_key(
    environment: str,
    options: dict[str, Any],
    oracle: float,
    agent: str,
    config_digest: str,
    seed: int,
    version: str = __version__,
) -> str:
    """Return what makes two runs the same.

    Args:
        environment: Id.
        options: Keyword arguments it was made with.
        oracle: What the best slates would bring after the last iteration, in clicks a user: it tells worlds apart
            whose data have changed under the same name.
        agent: ``module:Class``.
        config_digest: Of the agent's options.
        seed: Of the world.
        version: Of SmartRec.
    """
    return digest([environment, options, round(oracle, 9), agent, config_digest, seed, version])


def key_of(record: RunRecord) -> str:
    """Return the ``run_key`` of a record."""
    return run_key(
        record.environment,
        record.options,
        record.metrics["final_oracle"],
        record.agent,
        record.config_digest,
        record.seed,
        record.versions["smartrec"],
    )


class RecordStore:
    """The file of a leaderboard's records.

    A line that a crash tore off at the end of the file is dropped when the file is opened; everything before it is
    kept.

    Args:
        path: The file; its folder is made.

    Raises:
        OutputError: It cannot be written.
        DataError: A line that is not the last one is no record.
    """

    def __init__(self, path: Path) -> None:
        ensure_folder(path.parent)
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give the name of a file for the records")
        self.path = path
        self.records = self._recover()
        self._by_key = {key_of(record): record for record in self.records}

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
        self._by_key[key_of(record)] = record

    def _recover(self) -> list[RunRecord]:
        if not self.path.exists():
            return []
        records = read_records(self.path, forgive_last=True)
        text = self.path.read_text(encoding="utf-8")
        whole = "".join(record.to_json() + "\n" for record in records)
        if not text.endswith("\n") and text:
            with atomic_write(self.path) as file:
                file.write(whole)
        return records


def read_records(path: Path, forgive_last: bool = False) -> list[RunRecord]:
    """Read a file of records.

    Args:
        path: One record a line.
        forgive_last: Leave out a last line that is not complete.

    Raises:
        DataError: A line is no record; file and line are named.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); it should hold one JSON record a line") from None
    if forgive_last and lines and not lines[-1].endswith("\n"):
        lines = lines[:-1]
    return [RunRecord.from_json(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def write_records(path: Path, records: Iterable[RunRecord]) -> None:
    """Write records to a file of their own, all or nothing."""
    with atomic_write(path) as file:
        file.writelines(record.to_json() + "\n" for record in records)
