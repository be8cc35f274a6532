"""One run as one line of JSON: what was run, with what, and what came out."""

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core.errors import DataError, InvalidInput, did_you_mean
from smartrec.core.provenance import versions_of
from smartrec.version import __version__

SCHEMA = 1

CURVE = ("visits", "reward", "expected", "best", "random", "regret")
"""Columns of ``RunRecord.curve``."""


@dataclass(frozen=True)
class RunRecord:
    """What a run was, and what it measured.

    Attributes:
        environment: Id of the environment, or "" for one that was not made by id.
        options: Keyword arguments it was made with.
        agent: Registered name, or ``module:Class``.
        config: All options of the agent.
        config_digest: 12 hexadecimal digits of ``config``.
        seed: Of the world.
        agent_seed: Of the agent, or None where the loop was not told.
        metrics: Name to value; see ``METRICS`` for unit and direction.
        curve: One row a point, the columns of ``CURVE``; see ``column``.
        steps: Steps of the loop.
        visits: Visits that were scored.
        feedback_delay: In steps.
        feedback_loss: Share of lost feedback, 0..1.
        wall_s: Seconds of the whole run.
        label: Name in tables; the agent's name where two rows do not share it.
        code: Digest of the sources of SmartRec and of the agent.
        commit: Of the checkout that ran, "" where there is none.
        dirty: Whether that checkout had uncommitted changes.
        versions: Of Python and the packages that decide the numbers.
        schema: Version of this layout.
    """

    environment: str
    options: dict[str, Any]
    agent: str
    config: dict[str, Any]
    config_digest: str
    seed: int
    agent_seed: int | None
    metrics: dict[str, float]
    curve: list[list[float]]
    steps: int
    visits: int
    feedback_delay: int
    feedback_loss: float
    wall_s: float
    label: str
    code: str
    commit: str
    dirty: bool
    versions: dict[str, str]
    schema: int = SCHEMA

    def column(self, name: str) -> list[float]:
        """Return a column of the curve, a value a point.

        Args:
            name: "visits" and "regret" so far; "reward", "expected", "best", "random" a visit since the point before.

        Raises:
            InvalidInput: No such column.
        """
        if name not in CURVE:
            raise InvalidInput(f"a curve has no column {name!r}. {did_you_mean(name, CURVE)}")
        return [row[CURVE.index(name)] for row in self.curve]

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False, default=_plain)

    @classmethod
    def from_json(cls, line: str, place: str = "record") -> "RunRecord":
        """Undo ``to_json``.

        Args:
            line: One line.
            place: File and line number, for the message.

        Raises:
            DataError: The line is no record.
        """
        try:
            values = json.loads(line)
        except ValueError:
            raise DataError(f"{place} is no JSON: {line[:60]!r}; remove the line") from None
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not known - {"schema"} <= set(values) or set(values) - known:
            odd = sorted(known.symmetric_difference(values if isinstance(values, dict) else ()))
            raise DataError(f"{place} is no run record (fields {', '.join(odd[:3])}); move the file away")
        if values.get("schema", SCHEMA) != SCHEMA:
            raise DataError(f"{place} has schema {values['schema']}; this version reads {SCHEMA}. Move the file away")
        record = cls(**values)
        parts = (record.metrics, record.versions, record.options, record.config)
        if not all(isinstance(part, dict) for part in parts) or not isinstance(record.curve, list):
            raise DataError(f"{place} is no run record (metrics, options, ... are no tables); move the file away")
        return record


def _plain(value: Any) -> Any:
    """Return a path or a NumPy number as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is no plain value")


@cache
def versions() -> dict[str, str]:
    """Return the versions that decide the numbers of a run."""
    packages = versions_of("numpy", "scipy", "gymnasium", "scikit-learn")
    return {"python": platform.python_version(), "smartrec": __version__, **packages}


@cache
def checkout() -> tuple[str, bool]:
    """Return the commit of the checkout that this code runs from and whether it has changes; ("", False) if none."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "", False

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "", False
