"""What every block of an item embedding is: one kind of knowledge, turned into columns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from smartrec.core.arrays import Array, FloatArray
from smartrec.core.errors import InvalidInput
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.interactions import Interactions

_SMALL = 1000
"""Rows or columns up to which directions are exact: the product of 1000 with itself takes less than a second."""

_ROUNDS = 12


@dataclass(eq=False)
class Block(ABC):
    """One kind of knowledge about items, turned into columns.

    A row of NaN means that the block knows nothing of that item; the embedder puts it at the mean of the others. A
    block's own fields are its configuration; ``arrays`` holds what was fitted, and is all that is saved.

    Attributes:
        name: Of the block, in files and messages.
        arrays: What was fitted, by name.
    """

    name: ClassVar[str]
    arrays: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    @abstractmethod
    def fit(self, items: ItemTable, log: Interactions, before: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Learn from I items and return their columns.

        Args:
            items: All items of the log.
            log: What users answered to them.
            before: float [I, C], the columns of the blocks before this one.
            rng: Draws what the fit starts from.

        Returns:
            float [I, d]; d = 0 where there is nothing of this kind.
        """

    @abstractmethod
    def transform(self, items: ItemTable, before: FloatArray) -> FloatArray:
        """Return the columns of n items, float [n, d], which need not have been there when the block was fitted."""

    def settle(self, columns: FloatArray, weight: float) -> FloatArray:
        """Learn centre and scale from what ``fit`` returned, so that the total variance is ``weight``; scale it."""
        known = columns[~np.isnan(columns).any(axis=1)]
        self.arrays["centre"] = known.mean(axis=0) if len(known) else np.zeros(columns.shape[1])
        spread = float(((known - self.arrays["centre"]) ** 2).sum()) / max(len(columns), 1)
        self.arrays["scale"] = np.array(np.sqrt(weight / spread) if spread > 0 else 0.0)
        return self.scaled(columns)

    def scaled(self, columns: FloatArray) -> FloatArray:
        """Return columns [n, d] centred and scaled, with 0 in place of NaN."""
        result: FloatArray = np.nan_to_num((columns - self.fitted("centre")) * self.fitted("scale"))
        return result

    def config(self) -> dict[str, Any]:
        """Return the settings, as plain values."""
        return {own.name: getattr(self, own.name) for own in fields(self) if own.init}

    def fitted(self, name: str) -> Array:
        """Return an array that was fitted.

        Raises:
            InvalidInput: Nothing was fitted yet.
        """
        if name not in self.arrays:
            raise InvalidInput(f"block {self.name!r} is not fitted; call fit first")
        return self.arrays[name]


def signed(directions: FloatArray) -> FloatArray:
    """Return columns [C, d] with the sign that makes the entry of largest size positive.

    Singular vectors are free up to a sign; so the same data gives the same columns on every machine.
    """
    if not directions.size:
        return directions
    largest = np.abs(directions).argmax(axis=0)
    result: FloatArray = directions * np.where(directions[largest, np.arange(directions.shape[1])] < 0, -1.0, 1.0)
    return result


def leading(matrix: Any, size: int, rng: np.random.Generator) -> FloatArray:
    """Return the leading right singular vectors of a sparse matrix [R, C], float [C, d], largest first.

    d is ``size``, or the rank where that is smaller. Exact where R or C is at most 1000; else by subspace iteration
    from a start of ``rng`` (Halko, Martinsson and Tropp 2011), since ARPACK starts anew from dice of its own where
    directions tie, and would not repeat.
    """
    if not matrix.nnz:
        return np.empty((matrix.shape[1], 0))
    sizes, right = _exact(matrix) if min(matrix.shape) <= _SMALL else _iterated(matrix, size, rng)
    rank = int((sizes > 1e-6 * sizes[0]).sum())
    return signed(right[:, : min(size, rank)])


def _exact(matrix: Any) -> tuple[FloatArray, FloatArray]:
    """Return all singular values and right vectors, by the product of the shorter side with itself."""
    wide = matrix.shape[0] < matrix.shape[1]
    values, vectors = np.linalg.eigh((matrix @ matrix.T if wide else matrix.T @ matrix).toarray())
    sizes, vectors = np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]
    return sizes, matrix.T @ vectors / np.maximum(sizes, 1e-300) if wide else vectors


def _iterated(matrix: Any, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    from sklearn.utils.extmath import randomized_svd

    seed = int(rng.integers(2**31))
    _, sizes, right = randomized_svd(matrix, min(size, *matrix.shape), n_iter=_ROUNDS, random_state=seed)
    return sizes, right.T
