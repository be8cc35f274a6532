"""Which items the users of an iteration may be shown, and the draws that samples and selectors are made of.

Every draw is a hash of the row's key and of whole numbers, so that it is the same whenever and wherever Spark works it
out, and however the rows are partitioned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.core.optional import optional

Selector = Callable[[Any, Any, int], Any]
"""From users of an iteration and items, DataFrames with all their columns, and its number to who may be shown what: a
DataFrame of users and items, one row a pair, or of items alone, which then stand for every user. Called twice for the
same iteration it has to select the same."""

USERS, ITEMS, PAIRS, GROUPS = 1, 2, 3, 4
"""What a draw is for, so that no two go together."""


def all_items(users: Any, items: Any, iteration: int) -> Any:
    """Select every item for every user."""
    return items


@dataclass(frozen=True)
class RandomItems:
    """Selects ``k`` random items, the same ones for every user and other ones in each iteration.

    Attributes:
        k: >= 1.
        item: Name of the column of items.
        seed: >= 0.

    Raises:
        InvalidConfig: ``k`` or ``seed`` is out of range.
        InvalidInput: When asked, fewer than ``k`` items.
    """

    k: int
    item: str = "item_idx"
    seed: int = 0

    def __post_init__(self) -> None:
        require(isinstance(self.k, int) and self.k >= 1, "k", self.k, "a whole number >= 1")
        require(isinstance(self.seed, int) and 0 <= self.seed < 2**31, "seed", self.seed, "0 to 2**31 - 1")

    def __call__(self, users: Any, items: Any, iteration: int) -> Any:
        """Return the items of an iteration."""
        return sample(items, self.item, (self.seed, iteration, PAIRS), count=self.k, name="items")


def sample(
    frame: Any, key: str, numbers: tuple[int, ...], *, share: float | None = None, count: int | None = None, name: str
) -> Any:
    """Return rows of a DataFrame, each with probability ``share``, or exactly ``count``.

    Args:
        frame: DataFrame.
        key: Column that tells its rows apart.
        numbers: What the draw is a function of, beside the key.
        share: 0..1, or None.
        count: >= 0, or None.
        name: Of the rows, for messages.

    Raises:
        InvalidInput: Not one of ``share`` and ``count``, or one out of range; or fewer rows than ``count``.
    """
    if (share is None) == (count is None):
        raise InvalidInput(f"share = {share}, count = {count}; allowed: one of the two, the other None")
    hashed = hash_of(key, *numbers)
    if share is not None:
        if not 0 <= share <= 1:
            raise InvalidInput(f"share = {share}; allowed: 0 to 1")
        functions = _functions()
        # The 53 highest bits as a whole number, so that shares of 0 and 1 are exact.
        return frame.where(functions.shiftrightunsigned(hashed, 11) < functions.lit(int(share * 2**53)))
    assert count is not None
    there = frame.count()
    if not 0 <= count <= there:
        raise InvalidInput(f"{count} {name} asked for; allowed: 0 to {there}, all there are")
    return frame.orderBy(hashed, _functions().col(key)).limit(count)


def hash_of(key: str, *numbers: int) -> Any:
    """Return a column of 64 even bits that are a function of a column and of whole numbers."""
    functions = _functions()
    return functions.xxhash64(functions.col(key), *map(functions.lit, numbers))


def _functions() -> Any:
    return optional("pyspark.sql.functions", "spark", "Simulator")
