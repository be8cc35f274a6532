"""Generators of users, items and answers by the table, and selectors of what they are shown, as in Sim4Rec.

A table is an array of rows, [R] or [R, D], or a pandas DataFrame; what goes in comes out. Every call of a generator
or selector takes the next random stream of its own sequence: calls differ, and the same sequence begins anew with
`reseed`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.errors import InvalidConfig, InvalidInput


class _Streams:
    """One random stream after the other, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._begin(seed)

    def reseed(self, seed: int) -> None:
        """Begin the sequence of random streams anew.

        Args:
            seed: A whole number >= 0; the one that the constructor was given repeats everything.

        Raises:
            InvalidConfig: ``seed`` is no whole number >= 0.
        """
        self._begin(seed)

    def _begin(self, seed: int) -> None:
        if not _whole(seed) or seed < 0:
            raise InvalidConfig(f"seed = {seed!r}; allowed: a whole number >= 0")
        self._sequence = np.random.SeedSequence(int(seed))

    def _next_stream(self) -> np.random.Generator:
        return np.random.default_rng(self._sequence.spawn(1)[0])


class Generator(_Streams, ABC):
    """Makes tables of new rows.

    Args:
        seed: Of the sequence of random streams, >= 0.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._last: Any = None

    @property
    @abstractmethod
    def size(self) -> int:
        """Rows of the source."""

    @abstractmethod
    def _generate(self, n: int, rng: np.random.Generator) -> Any:
        """Return a table of ``n`` rows."""

    def generate(self, n: int) -> Any:
        """Return a new table of ``n`` rows, by the next random stream.

        Raises:
            InvalidInput: ``n`` is no whole number >= 1, or more than there can be.
        """
        if not _whole(n) or n < 1:
            raise InvalidInput(f"n = {n!r} rows; allowed: a whole number >= 1")
        self._last = self._generate(int(n), self._next_stream())
        return self._last.copy()  # whoever gets it may go on writing

    def sample(self, share: float) -> Any:
        """Return rows of the table generated last, each with probability ``share``, by the next random stream.

        Raises:
            InvalidInput: Nothing was generated yet, or ``share`` is not in 0..1.
        """
        if self._last is None:
            raise InvalidInput("nothing was generated yet to take a sample of; call generate(n) first")
        if not 0 <= share <= 1:
            raise InvalidInput(f"share = {share}; allowed: 0 to 1")
        return take(self._last, np.flatnonzero(self._next_stream().random(len(self._last)) < share))


class RealGenerator(Generator):
    """Draws rows of a real table, each at most once a call.

    Args:
        seed: Of the sequence of random streams, >= 0.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self._source: Any = None

    def fit(self, table: Any) -> Self:
        """Take ``table`` as the source; it is copied.

        Raises:
            InvalidInput: No rows, or no table.
        """
        self._source = require_table(table).copy()
        return self

    @property
    def size(self) -> int:
        """Rows of the source."""
        return len(require_fitted(self._source, self))

    def _generate(self, n: int, rng: np.random.Generator) -> Any:
        if n > self.size:
            raise InvalidInput(
                f"n = {n} rows without replacement of a table of {self.size}; allowed: 1 to {self.size}. "
                "For more rows than there are fit a CopulaGenerator"
            )
        return take(self._source, rng.choice(self.size, n, replace=False))


class CompositeGenerator(Generator):
    """Rows of several fitted generators, one part after the other; their tables have the same columns.

    Part i gives ``n * weight_i`` rows, rounded so that they add up to n (the largest remainders are rounded up).

    Args:
        generators: The parts, at least one, fitted.
        weights: One a part, >= 0, of the sum 1; None takes the sizes of their sources.
        seed: Of the sequence that `sample` takes its streams of; the parts have their own.

    Raises:
        InvalidInput: No parts, or weights that are not one share a part.
    """

    def __init__(self, generators: Sequence[Generator], weights: Sequence[float] | None = None, seed: int = 0) -> None:
        self.generators = tuple(generators)
        if not self.generators:
            raise InvalidInput("no generators; allowed: at least one")
        sizes = np.array([part.size for part in self.generators], np.float64)
        self.weights: FloatArray = sizes / sizes.sum() if weights is None else np.array(weights, np.float64)
        if self.weights.shape != sizes.shape:
            raise InvalidInput(f"weights have shape {self.weights.shape}; allowed: {len(sizes)} numbers, one a part")
        if not (self.weights >= 0).all() or not abs(self.weights.sum() - 1) < 1e-6:
            raise InvalidInput(f"weights = {self.weights.tolist()}; allowed: numbers >= 0 of the sum 1")
        super().__init__(seed)

    @property
    def size(self) -> int:
        """Rows of all sources together."""
        return sum(part.size for part in self.generators)

    def reseed(self, seed: int) -> None:
        """Begin the sequences of this generator and of its parts anew, all apart from each other.

        Two generators that were reseeded alike go on alike; one that is only made leaves its parts where they are.

        Args:
            seed: A whole number >= 0.

        Raises:
            InvalidConfig: ``seed`` is no whole number >= 0.
        """
        super().reseed(seed)
        for part, child in zip(self.generators, self._sequence.spawn(len(self.generators)), strict=True):
            part.reseed(int(child.generate_state(1, np.uint64)[0]))

    def _generate(self, n: int, rng: np.random.Generator) -> Any:
        counts = shares_of(n, self.weights)
        return _stack([part.generate(int(count)) for part, count in zip(self.generators, counts, strict=True) if count])


class RandomSelector(_Streams):
    """Shows every user the same random items, other ones each time.

    Args:
        k: Items a user.
        seed: Of the sequence of random streams, >= 0.

    Raises:
        InvalidConfig: ``k`` or ``seed`` is out of range.
    """

    def __init__(self, k: int, seed: int = 0) -> None:
        if not _whole(k) or k < 1:
            raise InvalidConfig(f"k = {k!r} items a user; allowed: a whole number >= 1")
        self.k = int(k)
        super().__init__(seed)

    def select(self, items: Array, n_users: int) -> Array:
        """Return ``k`` different ones of ``items``, the same row for every user, [n_users, k].

        Args:
            items: [I], all different.
            n_users: Rows, >= 1.

        Raises:
            InvalidInput: Fewer than ``k`` items, a repeated item, or no users.
        """
        items = np.asarray(items)
        if items.ndim != 1 or len(np.unique(items)) < len(items):
            raise InvalidInput(f"items have shape {items.shape} or repeat one; allowed: [items], all different")
        if len(items) < self.k:
            raise InvalidInput(f"{len(items)} items, but k = {self.k} are to be shown; lower k or give more items")
        if not _whole(n_users) or n_users < 1:
            raise InvalidInput(f"n_users = {n_users!r}; allowed: a whole number >= 1")
        return np.tile(self._next_stream().choice(items, self.k, replace=False), (n_users, 1))


def shares_of(n: int, weights: FloatArray) -> IntArray:
    """Return whole numbers in proportion to ``weights`` (of the sum 1) that add up to ``n``, by largest remainder."""
    exact = n * weights
    counts: IntArray = np.floor(exact + 1e-9).astype(np.int64)
    first = np.argsort(counts - exact, kind="stable")[: n - counts.sum()]
    counts[first] += 1
    return counts


def take(table: Any, rows: IntArray) -> Any:
    """Return rows of an array or a DataFrame, by number; a DataFrame is numbered anew."""
    return table.iloc[rows].reset_index(drop=True) if is_frame(table) else table[rows]


def is_frame(table: Any) -> bool:
    """Return whether ``table`` is a pandas DataFrame, without importing pandas."""
    return hasattr(table, "iloc") and hasattr(table, "columns")


def require_table(table: Any) -> Any:
    """Return ``table``, a list of rows as an array.

    Raises:
        InvalidInput: Neither an array [R] or [R, D] nor a DataFrame, or one without rows.
    """
    if not is_frame(table):
        table = np.asarray(table)
        if table.ndim not in (1, 2):
            raise InvalidInput(f"a table of shape {table.shape}; allowed: [rows], [rows, columns] or a DataFrame")
    if not len(table) or 0 in table.shape:
        raise InvalidInput(f"a table of shape {table.shape}; allowed: at least one row and one column")
    return table


def require_fitted(source: Any, generator: Generator) -> Any:
    """Return ``source``.

    Raises:
        InvalidInput: It is None.
    """
    if source is None:
        raise InvalidInput(f"this {type(generator).__name__} has no source yet; call fit(table) first")
    return source


def _stack(tables: list[Any]) -> Any:
    """Return the rows of all tables, one after the other.

    Raises:
        InvalidInput: They have not the same columns.
    """
    kinds = [(True, sorted(map(str, t.columns))) if is_frame(t) else (False, t.shape[1:]) for t in tables]
    if any(kind != kinds[0] for kind in kinds):
        raise InvalidInput(
            f"parts have columns {[kind[1] for kind in kinds]}; "
            "allowed: all arrays or all DataFrames, of the same columns"
        )
    if not kinds[0][0]:
        return np.concatenate(tables)
    import pandas as pd

    return pd.concat([table[tables[0].columns] for table in tables], ignore_index=True)


def _whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
