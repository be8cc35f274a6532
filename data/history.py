"""What one person rated: a file, a DataFrame or a list of (id, rating[, time])."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import IntArray
from smartrec.core.errors import DataError, InvalidInput
from smartrec.data.table import Table, find_columns, floats, is_id, read_file, times_of

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("item", "rating")
OF_A_LIST = ("item", "rating", "timestamp")
WITH_POINT = re.compile(r"-?[0-9]+\.0+")
"""A whole number as a table with gaps writes it, "7.0"."""


@dataclass(frozen=True, eq=False)
class History:
    """R ratings of one person, oldest first; equal times, and a history without times, keep their order.

    Attributes:
        ids: R ids of items as text: 7, 7.0 and "7" are the same.
        ratings: float64 [R].
    """

    ids: tuple[str, ...]
    ratings: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ids)


def read_history(
    source: "str | Path | pd.DataFrame | Sequence[tuple[Any, ...]]",
    scale: tuple[float, float],
    columns: Mapping[str, str] | None = None,
    user: str | int | None = None,
) -> History:
    """Read what one person rated.

    Args:
        source: A ``.csv`` or ``.parquet`` file or a DataFrame with columns for item and rating, and perhaps timestamp
            and user, or a list of (id, rating) or (id, rating, time).
        scale: Lowest and highest rating there may be.
        columns: Our names (``item``, ``rating``, ``timestamp``, ``user``) to its; None: found by common names.
        user: Whose rows to take; None where all are of one person.

    Raises:
        DataNotFound: The file is not there.
        DataError: It is damaged, lacks a column, has a cell that cannot be used or a rating off the scale, or is of
            several people.
        InvalidInput: It is nothing of these, empty, or nobody in it is ``user``.
    """
    table = _table(source, columns or {}, NEEDED if user is None else (*NEEDED, "user"))
    ids, ratings = _texts(table, "item"), floats(table, "rating")
    off = (ratings < scale[0]) | (ratings > scale[1])
    rows = _rows_of(table, user, len(ids))
    if off[rows].any():
        allowed = f"allowed: {scale[0]:g} to {scale[1]:g}, the scale that the agent learnt from"
        raise table.fault("rating", int(rows[off[rows].argmax()]), allowed)
    if "timestamp" in table.columns:
        rows = rows[np.argsort(times_of(table)[rows], kind="stable")]
    return History(tuple(ids[row] for row in rows), ratings[rows])


def id_text(value: Any) -> str:
    """Return an id as it is compared: a whole number without a point, text as it is."""
    return str(int(value)) if isinstance(value, (float, np.floating)) and value.is_integer() else str(value)


def id_texts(values: Iterable[Any]) -> list[str]:
    """Return ids of one column as they are compared: text too has no point where all are written like "7.0"."""
    texts = [id_text(value) for value in values]
    return [text.partition(".")[0] for text in texts] if all(map(WITH_POINT.fullmatch, texts)) else texts


def _table(source: Any, columns: Mapping[str, str], needed: tuple[str, ...]) -> Table:
    import pandas as pd

    if isinstance(source, (str, Path)):
        return read_file(Path(source), columns, needed)
    if not isinstance(source, pd.DataFrame):
        source = _frame(source)
    if not len(source):
        raise InvalidInput("the history is empty; rate one item at least")
    source = source.set_axis([*map(str, source.columns)], axis=1)
    found = find_columns(Path("history"), [*source.columns], columns, needed)
    return Table(Path("history"), {ours: _arrow(source[theirs]) for ours, theirs in found.items()}, None)


def _frame(rows: Any) -> "pd.DataFrame":
    """Return a list of tuples as a table."""
    import pandas as pd

    rows = rows if isinstance(rows, Sequence) else [rows]
    widths = [len(row) if isinstance(row, Sequence) and not isinstance(row, str) else 0 for row in rows]
    width = 3 if 3 in widths else 2
    if wrong := [row for row, own in zip(rows, widths, strict=True) if own != width]:
        raise InvalidInput(
            f"the history holds {wrong[0]!r}; allowed: a path, a DataFrame, or a list whose rows are all (id, rating) "
            "or all (id, rating, time)"
        )
    return pd.DataFrame([[*row] for row in rows], columns=OF_A_LIST[:width], dtype=object)


def _arrow(column: "pd.Series[Any]") -> Any:
    import pyarrow as pa

    try:
        return pa.chunked_array([pa.array(column, from_pandas=True)])
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # numbers and text in one column
        texts = [None if one is None or one != one else id_text(one) for one in column]
        return pa.chunked_array([pa.array(texts, pa.string())])


def _texts(table: Table, name: str) -> list[str]:
    cells = table.columns[name].to_pylist()
    for row, cell in enumerate(cells):
        if not is_id(cell):
            raise table.fault(name, row, "an id is wanted: an integer or a string")
    return id_texts(cells)


def _rows_of(table: Table, user: str | int | None, count: int) -> IntArray:
    """Return the rows of ``user``, in their order."""
    if "user" not in table.columns:
        return np.arange(count)
    users = np.array(_texts(table, "user"), object)
    if user is None:
        if (users != users[0]).any():
            raise DataError(f"{table.path} holds ratings of {len(set(users))} users; name one by user={users[0]!r}")
        return np.arange(count)
    rows = np.flatnonzero(users == id_text(user))
    if not len(rows):
        known = f"it has those of {len(set(users))}, the first {users[0]}"
        raise InvalidInput(f"{table.path} has no ratings of user {user}; {known}")
    return cast("IntArray", rows)
