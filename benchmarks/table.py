"""Rows of the table, what they are held to, and how they look."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

HEADER = ("row", "what", "ours", "peer", "ratio", "bar", "goal", "verdict")


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        number: Of the group of rows that it belongs to.
        what: What is compared, on what size.
        ours: Our figure with its unit.
        peer: The peer's name and figure; where it is not there, its name and why.
        value: What the bar is about; None where the peer is not there.
        unit: Of the value: "x" for a ratio, else what it counts.
        bar: Where the value has to be; None for a row that only informs.
        at_least: Whether the bar is a least value, not a most.
        goal: Where we would like it to be, or None.
    """

    number: int
    what: str
    ours: str
    peer: str
    value: float | None
    unit: str = "x"
    bar: float | None = None
    at_least: bool = False
    goal: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the value was measured and is on the wrong side of the bar."""
        if self.value is None or self.bar is None:
            return False
        return self.value < self.bar if self.at_least else self.value > self.bar

    @property
    def verdict(self) -> str:
        """Return "ok" or "MISSED"; "skipped" without a peer, "-" without a bar."""
        if self.value is None:
            return "skipped"
        if self.bar is None:
            return "-"
        return "MISSED" if self.missed else "ok"

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, a cell for each part of ``HEADER``."""
        sign = ">=" if self.at_least else "<="
        limits = ["-" if limit is None else f"{sign} {limit:g} {self.unit}" for limit in (self.bar, self.goal)]
        return (str(self.number), self.what, self.ours, self.peer, self._value(), *limits, self.verdict)

    def _value(self) -> str:
        if self.value is None:
            return "-"
        return seconds(self.value) if self.unit == "s" else f"{short(self.value)} {self.unit}"


def short(number: float) -> str:
    """Return three significant digits, with thousands and millions as k and M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def seconds(time: float) -> str:
    """Return a time, or a difference of times, in s, ms or us, three significant digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if abs(time) >= size:
            return f"{time / size:.3g} {unit}"
    return f"{time * 1e6:.3g} us"


def markdown(rows: Sequence[Row]) -> str:
    """Return the table, its columns padded so that it also reads well in a terminal."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    text.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in text)


def summary(rows: Sequence[Row]) -> str:
    """Return one line: how many bars hold, which are missed, what was skipped."""
    held = sum(row.verdict == "ok" for row in rows)
    missed = [f"{row.number} ({row.what})" for row in rows if row.missed]
    skipped = [row.peer for row in rows if row.value is None]
    parts = [f"{held} of {held + len(missed)} bars hold"]
    if missed:
        parts.append("missed: " + ", ".join(missed))
    if skipped:
        parts.append("skipped: " + ", ".join(dict.fromkeys(skipped)))
    return "; ".join(parts)


def machine() -> str:
    """Return what the numbers depend on: processor kind, cores and versions."""
    packages = ", ".join(f"{package} {version(package)}" for package in ("numpy", "gymnasium", "smartrec"))
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{system}, Python {platform.python_version()}, {packages}"
