"""Numbers as columns: standardised, with a documented place for missing ones."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.data.embeddings.blocks import Block
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.interactions import Interactions

_SKEWED = 2.0
"""Skewness from which a column that is never negative is taken as log(1 + x): votes, revenue, popularity."""


@dataclass(eq=False)
class NumberBlock(Block):
    """Each number column as ``(x - mean) / standard deviation``.

    A missing number becomes the mean, and a further column says (1 or 0, standardised) that it is missing, where
    the column missed some when it was fitted. Columns that are never negative and have a skewness above 2 are taken
    as log(1 + x). Columns without spread are left out.
    """

    name: ClassVar[str] = "numbers"

    def fit(self, items: ItemTable, log: Interactions, before: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Learn means, deviations and which columns are skewed; see ``Block.fit``."""
        names = [name for name, values in items.numbers.items() if not np.isnan(values).all()]
        values = _columns(items, names)
        self.arrays["names"] = np.array(names, str)
        self.arrays["logged"] = np.array([_is_skewed(column[~np.isnan(column)]) for column in values.T], bool)
        wide = self._wide(values)
        known = np.where(np.isnan(wide), 0, wide)
        counts = np.maximum((~np.isnan(wide)).sum(axis=0), 1)
        self.arrays["mean"] = known.sum(axis=0) / counts
        spread = np.where(np.isnan(wide), 0, wide - self.arrays["mean"])
        self.arrays["deviation"] = np.sqrt((spread**2).sum(axis=0) / counts)
        return self.transform(items, before)

    def transform(self, items: ItemTable, before: FloatArray) -> FloatArray:
        """Return float [n, d]; an item without a single number is NaN."""
        wide = self._wide(_columns(items, self.fitted("names").tolist()))
        deviation, mean = self.arrays["deviation"], self.arrays["mean"]
        kept = deviation > 1e-12 * np.maximum(1, np.abs(mean))
        columns: FloatArray = ((wide - mean) / np.where(kept, deviation, 1))[:, kept]
        nothing = np.isnan(wide[:, : wide.shape[1] // 2]).all(axis=1)
        columns = np.where(np.isnan(columns), 0.0, columns)
        columns[nothing] = np.nan
        return columns

    def _wide(self, values: FloatArray) -> FloatArray:
        """Return the columns, and beside them whether each is missing, float [n, 2 d]."""
        logged = self.arrays["logged"]
        values = np.where(logged, np.log1p(np.maximum(values, 0)), values)
        return np.hstack([values, np.isnan(values).astype(float)])


def _columns(items: ItemTable, names: list[str]) -> FloatArray:
    missing = np.full(len(items), np.nan)
    columns = [np.asarray(items.numbers.get(name, missing), float) for name in names]
    return np.column_stack(columns) if columns else np.empty((len(items), 0))


def _is_skewed(values: FloatArray) -> bool:
    deviation = values.std()
    if deviation == 0 or values.min() < 0:
        return False
    return bool((((values - values.mean()) / deviation) ** 3).mean() > _SKEWED)
