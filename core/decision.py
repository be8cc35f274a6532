"""What an agent may choose from, and what it chose."""

from dataclasses import dataclass, field

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.errors import InvalidAction


@dataclass(frozen=True, eq=False)
class Mask:
    """Which items each lane may be shown, as a table.

    Attributes:
        allowed: bool [N, I]; a single row [1, I] holds for all lanes.
    """

    allowed: BoolArray

    def require(self, slate_size: int) -> None:
        """Raise unless every lane has a full slate to choose from.

        Raises:
            InvalidAction: With the first lane that has too few items.
        """
        _require_enough(self.allowed.sum(axis=1), slate_size)

    def __getitem__(self, lanes: Array | slice) -> "Mask":
        return self if len(self.allowed) == 1 else Mask(self.allowed[lanes])


@dataclass(frozen=True, eq=False)
class Items:
    """Which items each lane may be shown, as short lists: for catalogues too large for a table.

    Attributes:
        items: int [N, C], different items in a row; -1 fills up a row that is shorter.
    """

    items: IntArray

    def require(self, slate_size: int) -> None:
        """Raise unless every lane has a full slate to choose from.

        Raises:
            InvalidAction: With the first lane that has too few items.
        """
        _require_enough((self.items >= 0).sum(axis=1), slate_size)

    def __getitem__(self, lanes: Array | slice) -> "Items":
        return Items(self.items[lanes])


Candidates = Mask | Items
"""What a lane may be shown; None stands for all items."""


@dataclass(frozen=True, eq=False)
class Decision:
    """What an agent chose for N lanes.

    Attributes:
        action: int [N] for one item, int [N, K] for a slate, float [N, D] for a vector: what ``step`` takes.
        log_probability: float [N], natural logarithm of the probability with which exactly this action was
            drawn; None where it is unknown (never 1).
        extras: Arrays [N, ...] that the agent wants back beside the feedback on this decision.
    """

    action: Array
    log_probability: FloatArray | None = None
    extras: dict[str, Array] = field(default_factory=dict)

    def __getitem__(self, lanes: Array | slice) -> "Decision":
        return Decision(
            self.action[lanes],
            None if self.log_probability is None else self.log_probability[lanes],
            {name: value[lanes] for name, value in self.extras.items()},
        )


def _require_enough(counts: IntArray, slate_size: int) -> None:
    short = np.flatnonzero(counts < slate_size)
    if len(short):
        lane = short[0]
        raise InvalidAction(
            f"lane {lane} may be shown {counts[lane]} items, but a slate needs {slate_size} "
            f"({len(short)} such lanes); allow more items or make slates shorter"
        )
