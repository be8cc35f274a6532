"""The published tables of the four Sber tasks, read from the folder that holds them."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import DataError, DataNotFound
from smartrec.data.vocabulary import Vocabulary

POPULARITY = "popular_items_popularity.parquet"
RELEVANCE = "context_relevance*.parquet"
PREFERENCES = "als_response*.parquet"


@dataclass(frozen=True)
class SberTable:
    """Click probabilities of pairs, and what is known of users and items.

    Attributes:
        probability: float32 [U, I], rows and columns in ascending order of the ids.
        users: Ids of the rows.
        items: Ids of the columns.
        user_features: float32 [U, D], or None.
        item_features: float32 [I, D], or None.
        titles: Of the items, or empty.
    """

    probability: FloatArray
    users: Vocabulary
    items: Vocabulary
    user_features: FloatArray | None = None
    item_features: FloatArray | None = None
    titles: tuple[str, ...] = ()


def find_tables(dataset: str | Path) -> Path | None:
    """Return the folder with published tables that ``dataset`` names: a path, or a name under ``$SMARTREC_DATA``."""
    roots = [Path(), *(Path(root) for root in [os.environ.get("SMARTREC_DATA")] if root)]
    for folder in (root / dataset for root in roots):
        if folder.is_dir() and any(any(folder.glob(name)) for name in (POPULARITY, RELEVANCE, PREFERENCES)):
            return folder
    return None


def load_popularity(folder: str | Path) -> FloatArray:
    """Return the click probabilities of the breads of tasks 1 and 3, float64 [I], in the order of the ids.

    Raises:
        DataNotFound: The table is not there.
        DataError: It is damaged or lacks a column.
    """
    columns = _read(folder, POPULARITY, ("item_idx", "popularity"))
    return columns["popularity"][np.argsort(columns["item_idx"])].astype(np.float64)


def load_relevance(folder: str | Path) -> SberTable:
    """Return the table of task 2 with the features of users and films.

    Raises:
        DataNotFound: A table is not there.
        DataError: One is damaged, lacks a column or a pair.
    """
    probability, users, items = _pairs(folder, RELEVANCE)
    names = tuple(f"user_feature_{k}" for k in range(4))
    user_features = _features(folder, "users_context.parquet", "user_idx", names, users)
    names = tuple(f"item_feature_{k}" for k in range(4))
    item_features = _features(folder, "items_context.parquet", "item_idx", names, items)
    return SberTable(probability, users, items, user_features, item_features, _titles(folder, items))


def load_preferences(folder: str | Path) -> SberTable:
    """Return the table of task 4.

    Raises:
        DataNotFound: The table is not there.
        DataError: It is damaged, lacks a column or a pair.
    """
    return SberTable(*_pairs(folder, PREFERENCES))


def _pairs(folder: str | Path, pattern: str) -> tuple[FloatArray, Vocabulary, Vocabulary]:
    columns = _read(folder, pattern, ("user_idx", "item_idx", "popularity"))
    users, rows = np.unique(columns["user_idx"], return_inverse=True)
    items, places = np.unique(columns["item_idx"], return_inverse=True)
    counts = np.bincount(rows * len(items) + places, minlength=len(users) * len(items))
    if (counts != 1).any():
        user, item = divmod(int(np.flatnonzero(counts != 1)[0]), len(items))
        raise DataError(
            f"{folder}/{pattern}: user {users[user]}, item {items[item]} has "
            f"{counts[user * len(items) + item]} rows; allowed: exactly one for each pair"
        )
    table = np.empty((len(users), len(items)), columns["popularity"].dtype)
    table[rows, places] = columns["popularity"]
    return table, Vocabulary(users), Vocabulary(items)


def _features(folder: str | Path, name: str, key: str, columns: tuple[str, ...], ids: Vocabulary) -> FloatArray:
    read = _read(folder, name, (key, *columns))
    rows = Vocabulary(read[key]).numbers(ids.ids)
    return np.stack([read[column] for column in columns], axis=1)[rows].astype(np.float32)


def _titles(folder: str | Path, items: Vocabulary) -> tuple[str, ...]:
    import pandas as pd

    path = Path(folder) / "items_context_titles.csv"
    if not path.is_file():
        return ()
    titles = pd.read_csv(path).set_index("item_id")["title"]
    return tuple(str(titles.get(item, item)) for item in items.ids.tolist())


def _read(folder: str | Path, pattern: str, columns: tuple[str, ...]) -> dict[str, FloatArray]:
    from pyarrow import ArrowInvalid, parquet

    paths = sorted(Path(folder).glob(pattern))
    if not paths:
        raise DataNotFound(f"{folder} has no {pattern}; this task of the published tables needs it")
    try:
        table = parquet.read_table(paths[0])
    except (ArrowInvalid, OSError) as error:
        raise DataError(f"{paths[0]} is no readable Parquet file ({error}); fetch it again") from None
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise DataError(f"{paths[0]} lacks the column {missing[0]!r}; it has {', '.join(table.column_names)}")
    return {name: table.column(name).to_numpy() for name in columns}
