"""Your own log: a CSV or Parquet file with one row an answer."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array
from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.data.files import Source
from smartrec.data.interactions import Catalogue, Dataset, Interactions, Vocabulary
from smartrec.data.text import Column, Layout, first_line, line_of_row, read_arrow

if TYPE_CHECKING:
    import pyarrow as pa

COMMON_NAMES = {
    "user": ("user_id", "userid", "user"),
    "item": ("item_id", "itemid", "movieid", "movie_id", "item"),
    "rating": ("rating", "relevance", "response"),
    "timestamp": ("timestamp", "time"),
}
"""Our names, and the column names (in lower case) that are taken for them where nobody maps."""

_SUFFIXES = (".csv", ".parquet")
_REMEDY = "Correct or remove that line."
_LATEST_SECOND = 10**11


@dataclass(frozen=True)
class Table:
    """The columns we use, and how to say where a row lies.

    Attributes:
        path: The file.
        columns: By our names.
        layout: Of a text file; None where rows have no lines.
    """

    path: Path
    columns: "Mapping[str, pa.ChunkedArray]"
    layout: Layout | None

    def fault(self, name: str, row: int, allowed: str) -> DataError:
        """Return the error that says where a cell lies, what it is and what is allowed."""
        cell = self.columns[name][row].as_py()
        missing = cell is None or cell == "" or cell != cell  # NaN differs from itself
        text = f"{name} is {'empty' if missing else repr(cell)}; {allowed}"
        if self.layout is None:
            return DataError(f"{self.path}, row {row + 1}: {text}. Correct or remove that row.")
        line = line_of_row(Source(self.path), self.layout, row)
        return DataError(f"{self.path}, line {line}: {text}. {_REMEDY}")


def load_table(path: str | Path, columns: Mapping[str, str] | None = None, positive: float | None = None) -> Dataset:
    """Read a ``.csv`` or ``.parquet`` file.

    Ids are integers where all of them are written as integers, otherwise strings; numbers follow the sorted
    ids. A CSV file is UTF-8 with a header, separated by commas, semicolons or tabs.

    Args:
        path: The file.
        columns: Our names (``user``, ``item``, ``rating``, ``timestamp``) to the file's, for example
            ``{"user": "reader_id"}``; what is left out is found by common names. Without a rating column
            every rating is 1. The timestamp may be absent; it is Unix seconds, or ISO 8601 dates (UTC where
            they name no zone).
        positive: The rating from which an answer is a click; None: 1 if all ratings lie in [0, 1], else 4.

    Raises:
        DataNotFound: The file is not there.
        DataError: The file is damaged, or a column or cell cannot be used.
        InvalidInput: ``columns`` maps a name that is not ours.
    """
    file = Path(path)
    log = _interactions(read_file(file, columns or {}))
    threshold = _threshold(log.ratings) if positive is None else positive
    how = "set by the caller" if positive is not None else "chosen by the range of the ratings"
    source = f"{file}, a rating >= {threshold:g} counts as a click ({how})"
    users, items = (Catalogue.without_features(ids) for ids in (log.user_ids, log.item_ids))
    return Dataset(file.stem, log, users, items, source, threshold)


def read_file(file: Path, columns: Mapping[str, str], needed: Collection[str] = ("user", "item")) -> Table:
    """Read the columns that we use of a ``.csv`` or ``.parquet`` file.

    Args:
        file: The file.
        columns: Our names to the file's; what is left out is found by common names.
        needed: Our names of columns that have to be there.

    Raises:
        DataNotFound: The file is not there.
        DataError: The file is damaged, or lacks a column.
        InvalidInput: ``columns`` maps a name that is not ours.
    """
    if not file.is_file():
        raise DataNotFound(f"{file} is not there; check the path, relative to {Path.cwd()}")
    if file.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{file} ends in {file.suffix!r}; allowed: {', '.join(_SUFFIXES)}. Save it as one of them.")
    return (_read_csv if file.suffix.lower() == ".csv" else _read_parquet)(file, columns, needed)


def _interactions(table: Table) -> Interactions:
    users, user_ids = _ids(table, "user")
    items, item_ids = _ids(table, "item")
    has = table.columns.__contains__
    ratings = floats(table, "rating") if has("rating") else np.ones(len(users))
    times = times_of(table) if has("timestamp") else None
    return Interactions(users, items, ratings.astype(np.float32), times, user_ids, item_ids)


def _threshold(ratings: NDArray[np.float32]) -> float:
    return 1.0 if ratings.min() >= 0 and ratings.max() <= 1 else 4.0


def find_columns(path: Path, names: list[str], columns: Mapping[str, str], needed: Collection[str]) -> dict[str, str]:
    """Return our names to those of the columns that are there; see ``read_file``."""
    taken = [theirs for number, theirs in enumerate(columns.values()) if theirs in list(columns.values())[:number]]
    if taken:
        raise InvalidInput(f"columns maps two of ours to {taken[0]!r}; allowed: a column of its own for each")
    for ours in columns:
        if ours not in COMMON_NAMES:
            raise InvalidInput(
                f"columns maps {ours!r}; allowed: {', '.join(COMMON_NAMES)}, as in {{'user': 'reader_id'}}"
            )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"{path}, line 1: column {twice[0]!r} occurs {names.count(twice[0])} times; rename all but one")
    lower = {name.lower(): name for name in names}
    found: dict[str, str] = {}
    for ours, common in COMMON_NAMES.items():
        theirs = columns.get(ours) or next((lower[name] for name in common if name in lower), None)
        if theirs in names:
            found[ours] = str(theirs)
        elif theirs is not None or ours in needed:
            wanted = repr(theirs) if theirs else f"for {ours} (looked for {', '.join(common)})"
            raise DataError(
                f"{path}, line 1: no column {wanted}; there are {', '.join(names)}. "
                f"Map it: columns={{{ours!r}: {names[0]!r}}}, with the name that is right."
            )
    return found


def _read_csv(path: Path, columns: Mapping[str, str], needed: Collection[str]) -> Table:
    import csv

    source = Source(path)
    header = first_line(source)
    separator = max(",;\t", key=header.count)
    names = next(csv.reader([header], delimiter=separator))
    found = find_columns(path, names, columns, needed)
    # Column names go back in as they are: what a cell has to be is only known once the whole column is seen.
    plain = separator.join(names)
    layout = Layout(tuple(Column(name, "text") for name in names), separator, header=plain, quoted=True, remedy=_REMEDY)
    cells = read_arrow(source, layout)
    return Table(path, {ours: cells[theirs] for ours, theirs in found.items()}, layout)


def _read_parquet(path: Path, columns: Mapping[str, str], needed: Collection[str]) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found = find_columns(path, parquet.read_schema(path).names, columns, needed)
        table = parquet.read_table(path, columns=list(found.values()))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no sound Parquet file ({error}). Write or fetch it again.") from None
    if not table.num_rows:
        raise DataError(f"{path} has no rows. Write or fetch it again.")
    return Table(path, {ours: _decoded(table[theirs]) for ours, theirs in found.items()}, None)


def _decoded(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _ids(table: Table, name: str) -> tuple[Array, Vocabulary]:
    # Only the different ids are looked at one by one; the rows stay numbers all the way.
    encoded = table.columns[name].dictionary_encode().unify_dictionaries().combine_chunks()
    if encoded.null_count:
        row = int(encoded.is_null().to_numpy(zero_copy_only=False).argmax())
        raise table.fault(name, row, "an id is wanted")
    rows, ids = encoded.indices.to_numpy(), encoded.dictionary.to_numpy(zero_copy_only=False)
    faults = np.array([not is_id(one) for one in ids.tolist()])
    if faults.any():
        raise table.fault(name, int(faults[rows].argmax()), "an id is wanted: an integer or a string")
    ids, order = np.unique(integers_if_all(ids), return_inverse=True)
    return order[rows], Vocabulary(ids)


def is_id(value: object) -> bool:
    """Return whether a cell can be an id: text, or a whole number."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "nan", "none", "null")
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def integers_if_all(ids: Array) -> Array:
    """Return int64 where all strings are integers in their usual spelling ("7", not "007"), else strings."""
    if ids.dtype != object:
        return ids.astype(np.int64)
    try:
        integers = np.array([int(one) for one in ids], np.int64)
    except (ValueError, OverflowError):
        return ids
    return integers if [*map(str, integers.tolist())] == ids.tolist() else ids


def floats(table: Table, name: str) -> Array:
    """Return a column as float64 [R].

    Raises:
        DataError: A cell is no finite number; names the first.
    """
    import pandas as pd
    import pyarrow as pa

    column = table.columns[name]
    try:
        values: Array = column.cast(pa.float64(), safe=False).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        numbers = pd.to_numeric(pd.Series(column.to_pylist(), dtype=object), errors="coerce")
        values = np.asarray(numbers, np.float64)
    bad = ~(np.abs(values) < np.finfo(np.float32).max)  # catches NaN as well
    if bad.any():
        raise table.fault(name, int(bad.argmax()), "allowed: finite numbers")
    return values


def times_of(table: Table) -> NDArray[np.int64]:
    """Return the timestamps as Unix seconds, int64 [R].

    Raises:
        DataError: A cell is no time; names the first.
    """
    import pyarrow as pa

    column = table.columns["timestamp"]
    kind = column.type
    first = column[0].as_py()
    if pa.types.is_temporal(kind) or (isinstance(first, str) and not _is_number(first)):
        return _dates(table)
    seconds = floats(table, "timestamp")
    late = np.abs(seconds) > _LATEST_SECOND
    if late.any():
        allowed = "allowed: Unix seconds. Divide milliseconds by 1000"
        raise table.fault("timestamp", int(late.argmax()), allowed)
    return seconds.astype(np.int64)


def _dates(table: Table) -> NDArray[np.int64]:
    import pandas as pd

    cells = table.columns["timestamp"].to_pandas()
    dates = pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True)
    bad = np.asarray(dates.isna())
    if bad.any():
        allowed = "allowed: Unix seconds or dates like 2024-05-31 18:00:00"
        raise table.fault("timestamp", int(bad.argmax()), allowed)
    return np.asarray(dates.dt.tz_localize(None).astype("datetime64[s]")).astype(np.int64)


def _is_number(cell: str) -> bool:
    try:
        float(cell or 0)
    except ValueError:
        return False
    return True
