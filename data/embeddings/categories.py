"""Categories as columns, by correspondence analysis of the table of items and values.

With the table ``N`` (sum n), ``P = N / n``, row and column masses ``r`` and ``c``::

    S = diag(r)^-1/2 (P - r c') diag(c)^-1/2 = U diag(s) V'
    rows F = diag(r)^-1/2 U diag(s),  columns G = diag(c)^-1/2 V diag(s),  inertia sum(s^2) = chi-square / n

A further row with profile ``p`` (its counts by their sum) lies at ``p' diag(c)^-1/2 V``, and so does each row of the
table itself. Source: Greenacre, Correspondence Analysis in Practice (2017), chapters 4, 8 and 12. On columns that each
have one value an item this is multiple correspondence analysis.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.data.embeddings.blocks import Block, signed
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Correspondence analysis of a table [R, J].

    Attributes:
        inertias: float [d], of each axis, largest first; they sum to chi-square / n.
        rows: float [R, d], principal coordinates; 0 for rows that are empty.
        columns: float [J, d], principal coordinates.
        standard: float [J, d], what a row's profile is multiplied by.
    """

    inertias: FloatArray
    rows: FloatArray
    columns: FloatArray
    standard: FloatArray


def correspondence(table: FloatArray) -> Correspondence:
    """Return the correspondence analysis of counts [R, J]; the largest entry of each axis of ``standard`` is positive.

    Raises:
        InvalidInput: A negative count, or a column or table that is empty.
    """
    if (table < 0).any() or not (table.sum(axis=0) > 0).all() or not table.size:
        raise InvalidInput(f"a table {table.shape} with negative counts or empty columns; allowed: counts, none empty")
    c = table.sum(axis=0) / table.sum()
    r = table.sum(axis=1) / table.sum()
    held = np.where(r > 0, r, 1)
    residual = (table / table.sum() - np.outer(r, c)) / np.sqrt(np.outer(held, c))  # [R, J]
    # J is small and R is not, so axes come from the J x J product.
    values, axes = np.linalg.eigh(residual.T @ residual)
    kept = np.flatnonzero(values > 1e-12)[::-1]
    standard = signed(axes[:, kept] / np.sqrt(c)[:, None])
    rows = profiles(table) @ standard
    return Correspondence(values[kept], rows, standard * np.sqrt(values[kept]), standard)


def profiles(table: FloatArray) -> FloatArray:
    """Return each row by its sum, 0 where that is 0; float [R, J]."""
    sums = table.sum(axis=1, keepdims=True)
    result: FloatArray = table / np.where(sums > 0, sums, 1)
    return result


@dataclass(eq=False)
class CategoryBlock(Block):
    """Genres, languages, certificates: values that items share.

    Values of fewer than ``min_count`` items are left out: in the chi-square metric a value that one item has alone
    would own an axis. An item without a value is NaN.

    Attributes:
        size: Most columns, >= 1.
        min_count: Items that must have a value, >= 1.
    """

    name: ClassVar[str] = "categories"
    size: int = 32
    min_count: int = 5

    def __post_init__(self) -> None:
        require(self.size >= 1, "size", self.size, "1 or more columns")
        require(self.min_count >= 1, "min_count", self.min_count, "1 or more items")

    def fit(self, items: ItemTable, log: Interactions, before: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Learn the axes; see ``Block.fit``."""
        counts: dict[str, int] = {}
        for own in _values(items):
            for value in own:
                counts[value] = counts.get(value, 0) + 1
        kept = sorted(value for value, count in counts.items() if count >= self.min_count)
        self.arrays = {"values": np.array(kept, str), "standard": np.empty((len(kept), 0))}
        if kept:
            self.arrays["standard"] = correspondence(self._table(items)).standard[:, : self.size]
        return self.transform(items, before)

    def transform(self, items: ItemTable, before: FloatArray) -> FloatArray:
        """Return float [n, d]; NaN where an item has no known value."""
        standard = self.fitted("standard")
        table = self._table(items)
        coordinates: FloatArray = profiles(table) @ standard
        coordinates[table.sum(axis=1) == 0] = np.nan
        return coordinates

    def _table(self, items: ItemTable) -> FloatArray:
        column = {value: number for number, value in enumerate(self.arrays["values"].tolist())}
        table = np.zeros((len(items), len(column)))
        for row, own in enumerate(_values(items)):
            table[row, [column[value] for value in own if value in column]] = 1
        return table


def _values(items: ItemTable) -> list[set[str]]:
    """Return what each item has, as ``column=value``."""
    found: list[set[str]] = [set() for _ in range(len(items))]
    for name, column in items.categories.items():
        for own, values in zip(found, column, strict=True):
            own |= {f"{name}={value}" for value in values}
    return found
