"""The ids of the outside world and our numbers 0..n-1."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array
from smartrec.core.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Unique ids in a fixed order; the place of an id in that order is its number.

    Args:
        ids: All integers or all strings, each once.

    Attributes:
        ids: int64 [n], or strings as an object array [n].

    Raises:
        InvalidInput: An id occurs twice, or the ids are neither all integers nor all strings.
    """

    ids: Array
    _sorted: NDArray[np.int64] = field(init=False, repr=False)
    _table: dict[Any, int] = field(init=False, repr=False)

    def __init__(self, ids: Iterable[int] | Iterable[str] | Array) -> None:
        array = _id_array(ids)
        put = object.__setattr__
        put(self, "ids", array)
        # Integers are looked up by binary search, millions at a time; strings through a table, because
        # NumPy's fixed-width strings drop trailing NULs and so are not the same strings any more.
        numeric = array.dtype != object
        put(self, "_sorted", np.argsort(array, kind="stable") if numeric else np.empty(0, np.int64))
        put(self, "_table", {} if numeric else {name: number for number, name in enumerate(array)})
        self._check_unique()

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: Iterable[int] | Iterable[str] | Array) -> NDArray[np.int64]:
        """Return the numbers of ``ids`` as int64 [n], -1 where an id is unknown.

        Raises:
            InvalidInput: The ids are neither all integers nor all strings.
        """
        wanted = _id_array(ids)
        if self.ids.dtype == object or wanted.dtype == object or not len(self):
            return np.fromiter((self._table.get(name, -1) for name in wanted), np.int64, len(wanted))
        return self._search(wanted)

    def numbers(self, ids: Iterable[int] | Iterable[str] | Array) -> NDArray[np.int64]:
        """Return the numbers of ``ids`` as int64 [n].

        Raises:
            InvalidInput: Some ids are unknown; the message names the first and counts them.
        """
        wanted = _id_array(ids)
        numbers = self.find(wanted)
        unknown = np.flatnonzero(numbers < 0)
        if len(unknown):
            known = f"{self.ids[0]!s} .. {self.ids[-1]!s}" if len(self) else "none"
            raise InvalidInput(
                f"id {wanted[unknown[0]]!s} is unknown, one of {len(unknown)} unknown among {len(wanted)} "
                f"ids; there are {len(self)} known ids ({known}). Pass ids of this data set, as "
                f"{'strings' if self.ids.dtype == object else 'integers'}."
            )
        return numbers

    def id(self, numbers: Any) -> Any:
        """Return the id of one number, or the ids of an array of numbers.

        Raises:
            InvalidInput: A number lies outside 0..n-1.
        """
        asked = np.asarray(numbers)
        if asked.size and (asked.min() < 0 or asked.max() >= len(self)):
            wrong = asked.min() if asked.min() < 0 else asked.max()
            raise InvalidInput(f"number {wrong} has no id; allowed: 0..{len(self) - 1}. Did you pass an id?")
        found = self.ids[asked]
        return found.item() if isinstance(found, np.generic) else found

    def _search(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        low, high = int(self.ids[self._sorted[0]]), int(self.ids[self._sorted[-1]])
        if high - low < len(wanted) and low > -(2**62) and high < 2**62:
            # Millions of rows of a small range of ids: a table by id is several times faster than a search.
            table = np.full(high - low + 3, -1)  # its ends stand for all ids outside
            table[self.ids - (low - 1)] = np.arange(len(self))
            places = np.clip(wanted, low - 1, high + 1)
            places -= low - 1
            return table[places]
        inside = (wanted >= low) & (wanted <= high)
        wanted = np.where(inside, wanted, low)
        number = self._sorted[np.searchsorted(self.ids, wanted, sorter=self._sorted)]
        return np.where(inside & (self.ids[number] == wanted), number, -1)

    def _check_unique(self) -> None:
        if self.ids.dtype == object:
            repeated = len(self._table) < len(self)
        else:
            ordered = self.ids[self._sorted]
            repeated = bool((ordered[1:] == ordered[:-1]).any())
        if repeated:
            names, counts = np.unique(self.ids, return_counts=True)
            first = names[counts > 1].tolist()[0]
            raise InvalidInput(f"id {first!r} occurs twice; each id may occur once. Remove the repeated one.")


def _id_array(ids: Iterable[int] | Iterable[str] | Array) -> Array:
    if isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind in "iu":
        return ids.astype(np.int64, copy=False)
    listed = list(ids)
    # Asked before NumPy sees the list, because it would turn [1, "a"] into two strings without a word.
    if all(isinstance(name, str) for name in listed):
        strings = np.empty(len(listed), object)
        strings[:] = [str(name) for name in listed]
        return strings if len(listed) else np.empty(0, np.int64)
    array = np.asarray(listed)
    if array.ndim != 1 or array.dtype.kind not in "iu" or any(isinstance(name, str) for name in listed):
        raise InvalidInput(
            f"ids of type {array.dtype} and shape {array.shape}; allowed: a flat list of all integers or all "
            "strings. Convert them first."
        )
    return array.astype(np.int64)
