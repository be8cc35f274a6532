"""What users answered to items, and what is known about both: one immutable record each."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, BoolArray
from smartrec.core.errors import InvalidInput
from smartrec.data.vocabulary import Vocabulary

__all__ = ["Catalogue", "Dataset", "Interactions", "Vocabulary"]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Rows of (user, item, rating, time), in the order in which they were read. R rows.

    Attributes:
        users: int32 [R], user numbers.
        items: int32 [R], item numbers.
        ratings: float32 [R], finite.
        timestamps: int64 [R], Unix seconds, or None where the log has no time.
        user_ids: All users, those without a row included.
        item_ids: All items, those without a row included.

    Raises:
        InvalidInput: Arrays of different lengths, numbers outside the vocabularies, NaN or infinite ratings.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ratings: NDArray[np.float32]
    timestamps: NDArray[np.int64] | None
    user_ids: Vocabulary
    item_ids: Vocabulary

    def __post_init__(self) -> None:
        rows = len(self.users)
        _put(self, "users", _numbers("users", self.users, rows, len(self.user_ids)))
        _put(self, "items", _numbers("items", self.items, rows, len(self.item_ids)))
        _put(self, "ratings", _finite("ratings", np.asarray(self.ratings, np.float32), (rows,)))
        if self.timestamps is not None:
            times = _finite("timestamps", np.asarray(self.timestamps), (rows,))
            _put(self, "timestamps", times.astype(np.int64, copy=False))

    @property
    def n_users(self) -> int:
        """All users of the vocabulary, with or without a row."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """All items of the vocabulary, with or without a row."""
        return len(self.item_ids)

    def __len__(self) -> int:
        return len(self.users)

    def positive(self, threshold: float) -> BoolArray:
        """Return bool [R]: which ratings are at least ``threshold``."""
        return np.greater_equal(self.ratings, threshold)

    def select(self, rows: Array) -> "Interactions":
        """Return the chosen rows (numbers, or a mask bool [R]), with the same vocabularies."""
        times = None if self.timestamps is None else self.timestamps[rows]
        return Interactions(self.users[rows], self.items[rows], self.ratings[rows], times, self.user_ids, self.item_ids)

    def split_by_time(self, test_share: float) -> tuple["Interactions", "Interactions"]:
        """Split into what came earlier (train) and the last ``test_share`` of the rows (test).

        Rows of one timestamp stay together: those at the cut go to test, which may so be larger than asked.

        Args:
            test_share: Between 0 and 1, both excluded.

        Raises:
            InvalidInput: There are no timestamps, the share is out of range, or a side would be empty.
        """
        if self.timestamps is None:
            raise InvalidInput("a split by time needs timestamps, and this log has none; split it another way")
        if not 0 < test_share < 1:
            raise InvalidInput(f"test_share = {test_share}; allowed: between 0 and 1, for example 0.2")
        first_of_test = len(self) - round(test_share * len(self))
        if first_of_test < len(self):
            test = self.timestamps >= np.partition(self.timestamps, first_of_test)[first_of_test]
            if not test.all():
                return self.select(~test), self.select(test)
        side = "test" if first_of_test == len(self) else "train"
        raise InvalidInput(
            f"test_share = {test_share} of {len(self)} rows leaves nothing in {side}, since rows of one "
            "timestamp stay together; choose another share, or a log with finer timestamps"
        )

    def repeats(self) -> int:
        """Return how many (user, item) pairs occur more than once."""
        return int((np.unique(self._pairs(), return_counts=True)[1] > 1).sum())

    def last_of_pairs(self) -> "Interactions":
        """Return the last row of each (user, item) pair (by time, else by file order); row order stays."""
        pairs = self._pairs()
        # lexsort is stable, so equal times (and no times) fall back on the order of the file.
        order = np.lexsort((pairs,) if self.timestamps is None else (self.timestamps, pairs))
        is_last = np.append(pairs[order][1:] != pairs[order][:-1], True)[: len(order)]
        return self.select(np.sort(order[is_last]))

    def most_rated(self, n: int) -> NDArray[np.int64]:
        """Return the numbers of the ``n`` items with the most rows, most first, ties by lower number.

        Raises:
            InvalidInput: ``n`` is not in 1..n_items.
        """
        if not 1 <= n <= self.n_items:
            raise InvalidInput(f"n = {n} items asked for; allowed: 1..{self.n_items}, the size of the catalogue")
        counts = np.bincount(self.items, minlength=self.n_items)
        return np.argsort(-counts, kind="stable")[:n].astype(np.int64)

    def _pairs(self) -> NDArray[np.int64]:
        return self.users.astype(np.int64) * self.n_items + self.items


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What is known about all items, or about all users.

    Attributes:
        ids: n ids.
        labels: n names for people: film titles; for users the id as text.
        feature_names: D names, each once.
        features: float32 [n, D], plain numeric columns, finite; D may be 0.

    Raises:
        InvalidInput: Lengths that do not agree, a repeated feature name, NaN or infinite features.
    """

    ids: Vocabulary
    labels: tuple[str, ...]
    feature_names: tuple[str, ...]
    features: NDArray[np.float32]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.ids):
            raise InvalidInput(f"{len(self.labels)} labels for {len(self.ids)} ids; pass one label an id")
        if len(set(self.feature_names)) != len(self.feature_names):
            twice = next(name for name in self.feature_names if self.feature_names.count(name) > 1)
            raise InvalidInput(f"feature name {twice!r} occurs twice; each may occur once. Rename one.")
        shape = (len(self.ids), len(self.feature_names))
        _put(self, "features", _finite("features", np.asarray(self.features, np.float32), shape))

    @classmethod
    def without_features(cls, ids: Vocabulary) -> "Catalogue":
        """Return a catalogue that knows the ids and nothing else (D = 0)."""
        return cls(ids, tuple(map(str, ids.ids)), (), np.empty((len(ids), 0), np.float32))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A log with its users and items.

    Attributes:
        name: For example ``"ml-100k"``.
        interactions: The log; its numbers are row numbers of ``users`` and ``items``.
        users: What is known about the users.
        items: What is known about the items.
        source: One line: where it was read from.
        positive: The rating from which an answer counts as a click.

    Raises:
        InvalidInput: The catalogues list other ids than the log, or in another order.
    """

    name: str
    interactions: Interactions
    users: Catalogue
    items: Catalogue
    source: str
    positive: float

    def __post_init__(self) -> None:
        log = self.interactions
        for what, catalogue, ids in (
            ("users", self.users, log.user_ids),
            ("items", self.items, log.item_ids),
        ):
            if catalogue.ids is not ids and not np.array_equal(catalogue.ids.ids, ids.ids):
                raise InvalidInput(
                    f"the catalogue of {what} ({len(catalogue)} ids) and the log ({len(ids)} ids) differ in "
                    "ids or their order; build both on one Vocabulary"
                )

    def describe(self) -> list[tuple[str, str]]:
        """Return (what, value) rows for people: counts, ratings, time span, density, repeats, features."""
        log = self.interactions
        share = log.positive(self.positive).mean() if len(log) else 0.0
        return [
            ("name", self.name),
            ("source", self.source),
            ("users", _rated(log.users, log.n_users)),
            ("items", _rated(log.items, log.n_items)),
            ("ratings", f"{len(log):,}"),
            ("density", f"{len(log) / max(1, log.n_users * log.n_items):.2%}"),
            ("pairs that repeat", f"{log.repeats():,}"),
            ("time span", _span(log.timestamps)),
            *((f"rating {value:g}", f"{count:,}") for value, count in _histogram(log.ratings)),
            (f"clicks (rating >= {self.positive:g})", f"{share:.1%}"),
            ("user features", ", ".join(self.users.feature_names) or "none"),
            ("item features", ", ".join(self.items.feature_names) or "none"),
        ]

    def digest(self) -> str:
        """Return 12 hexadecimal digits, equal for equal ids, arrays, feature names and ``positive``."""
        log = self.interactions
        state = hashlib.blake2b(digest_size=6)
        names = [[*self.users.feature_names], [*self.items.feature_names]]
        for texts in (log.user_ids.ids.tolist(), log.item_ids.ids.tolist(), *names):
            state.update(repr(texts).encode())
        times = np.empty(0, np.int64) if log.timestamps is None else log.timestamps
        for array in (log.users, log.items, log.ratings, times, self.users.features, self.items.features):
            _add(state, array)
        _add(state, np.array([self.positive], np.float64))
        return state.hexdigest()


def _put(owner: object, name: str, value: object) -> None:
    object.__setattr__(owner, name, value)


def _numbers(name: str, values: Array, rows: int, count: int) -> NDArray[np.int32]:
    array = np.asarray(values)
    if array.shape != (rows,) or array.dtype.kind not in "iu":
        raise InvalidInput(f"{name} is {array.dtype} {array.shape}; allowed: integers of shape ({rows},)")
    if rows and (array.min() < 0 or array.max() >= count):
        wrong = array.min() if array.min() < 0 else array.max()
        raise InvalidInput(
            f"{name} has number {wrong}; allowed: 0..{count - 1}. Turn ids into numbers: Vocabulary.numbers."
        )
    return array.astype(np.int32, copy=False)


def _finite(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape != shape:
        raise InvalidInput(f"{name} has shape {array.shape}; allowed: {shape}, one row a row of the log or an id")
    if not np.isfinite(array).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise InvalidInput(f"{name}{list(where)} is {array[where]}; allowed: finite numbers. Fill or drop it.")
    return array


def _add(state: "hashlib.blake2b", array: Array) -> None:
    # The shape goes in too: without it, moving a value from one array to its neighbour would change nothing.
    state.update(f"{array.dtype.kind}{array.shape}".encode())
    state.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes())


def _rated(numbers: Array, count: int) -> str:
    return f"{count:,} ({len(np.unique(numbers)):,} with ratings)"


def _span(timestamps: NDArray[np.int64] | None) -> str:
    if timestamps is None or not len(timestamps):
        return "no timestamps"
    ends = timestamps.min(), timestamps.max()
    return " to ".join(datetime.fromtimestamp(int(end), UTC).date().isoformat() for end in ends)


def _histogram(ratings: NDArray[np.float32]) -> list[tuple[float, int]]:
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) <= 12:
        return list(zip(values.tolist(), counts.tolist(), strict=True))
    # Too many values to list, as with listening counts: the quartiles say more.
    marks = np.quantile(ratings, [0, 0.25, 0.5, 0.75, 1], method="lower")
    return [(float(mark), int((ratings == mark).sum())) for mark in np.unique(marks)]
