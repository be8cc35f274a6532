"""What an agent wants back beside the feedback on its decisions: columns of the log, as exact as the arrays.

Each extra is a column ``extra_<name>`` of lists, at the first position of a slate, and empty lists at the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from smartrec.core.arrays import Array
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig

KINDS = {
    np.dtype("bool"): "boolean",
    np.dtype("int8"): "byte",
    np.dtype("int16"): "short",
    np.dtype("int32"): "int",
    np.dtype("int64"): "long",
    np.dtype("float32"): "float",
    np.dtype("float64"): "double",
}
"""Types of numbers that a column can hold, and what Spark calls them."""


@dataclass(frozen=True)
class Extras:
    """The extras of an agent's decisions.

    Attributes:
        agent: Its name, for messages.
        parts: Name to type and shape of what a lane has of it.
    """

    agent: str
    parts: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]

    @classmethod
    def of(cls, agent: str, decision: Decision) -> "Extras":
        """Return what a decision carries.

        Raises:
            InvalidConfig: No column can hold it.
        """
        lanes, names = len(decision.action), [name.lower() for name in decision.extras]
        parts = {}
        for name, extra in decision.extras.items():
            what = f"extras[{name!r}] of {agent}'s decisions"
            if not name.isidentifier() or names.count(name.lower()) > 1:
                raise InvalidConfig(
                    f"{what} cannot name a column; allowed on Spark: letters, digits and _, different in more than "
                    "upper and lower case. Rename it"
                )
            if not isinstance(extra, np.ndarray) or extra.dtype not in KINDS or extra.shape[:1] != (lanes,):
                found = f"{extra.dtype} {extra.shape}" if isinstance(extra, np.ndarray) else type(extra).__name__
                kinds = ", ".join(map(str, KINDS))
                raise InvalidConfig(
                    f"{what} is {found}, and the log has no column for it; allowed on Spark: arrays ({lanes}, ...), a "
                    f"row a decision, of {kinds}. Make it one, or take another agent, or NumPy's engine"
                )
            parts[name] = extra.dtype, extra.shape[1:]
        return cls(agent, parts)

    @property
    def numbers(self) -> int:
        """How many numbers a decision carries."""
        return sum(int(np.prod(shape)) for _, shape in self.parts.values())

    @property
    def columns(self) -> str:
        """Names and types of the columns, as Spark's SQL says them, each after a comma."""
        return "".join(f", {_column(name)} array<{KINDS[kind]}>" for name, (kind, _) in self.parts.items())

    def written(self, decision: Decision, slate_size: int) -> Iterator[tuple[str, Any]]:
        """Return the columns of a decision, by name.

        Raises:
            InvalidConfig: It carries something else than the first one did.
        """
        import pyarrow as pa

        found = Extras.of(self.agent, decision)
        if found != self:
            raise InvalidConfig(
                f"extras of {self.agent}'s decisions were {_told(self)}, and then {_told(found)}; allowed on Spark: "
                "the same names, types and shapes every time"
            )
        for name, extra in decision.extras.items():
            width = np.prod(extra.shape[1:], dtype=np.int32)
            lengths = np.zeros((len(extra), slate_size), np.int32)
            lengths[:, 0] = width
            ends = np.concatenate([[np.int32(0)], lengths.ravel().cumsum(dtype=np.int32)])
            yield _column(name), pa.ListArray.from_arrays(ends, pa.array(extra.ravel()))

    def read(self, table: Any) -> dict[str, Array]:
        """Return the arrays [B, ...] that the rows of an Arrow table have, in their order."""
        from pyarrow import compute

        found = {}
        for name, (kind, shape) in self.parts.items():
            numbers = compute.list_flatten(table.column(_column(name))).to_numpy()
            slates = int(np.count_nonzero(table.column("position").to_numpy() == 0))
            found[name] = numbers.astype(kind).reshape(slates, *shape)
        return found


def _column(name: str) -> str:
    return f"extra_{name}"


def _told(extras: Extras) -> str:
    return ", ".join(f"{name}: {kind} {shape}" for name, (kind, shape) in extras.parts.items()) or "none"
