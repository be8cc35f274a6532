"""Item tables from files: a table of your own, films, tags."""

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import DataError, DataNotFound, InvalidInput, SmartRecError, did_you_mean
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.features import YEAR_CENTRE, YEAR_UNIT
from smartrec.data.files import Source, files_in
from smartrec.data.films import FILM_FIELDS, read_films
from smartrec.data.table import COMMON_NAMES, integers_if_all
from smartrec.data.text import Column, Layout, first_line, read_columns
from smartrec.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TAGS = Layout(
    (Column("user", "int", 1), Column("item", "int", 1), Column("tag", "text"), Column("timestamp", "int")),
    header="userId,movieId,tag,timestamp",
    quoted=True,
)
_FILM_CATEGORIES = ("certificate", "original_language", "spoken_languages", "production_countries")
_WORD = re.compile(r"\W+")


def read_items(
    path: str | Path,
    item: str | None = None,
    texts: Collection[str] = (),
    categories: Collection[str] = (),
    numbers: Collection[str] = (),
) -> ItemTable:
    """Read what is known of items from a ``.csv`` or ``.parquet`` file with one row an item.

    A column that is not named is taken by what it holds: numbers are numbers; lists and True and False are categories,
    and so are texts with ``|`` between values, if the values have at most half as many different ones, and other texts,
    if they have at most a tenth as many different ones as there are rows. The rest are texts; those of an item are
    joined in the order of the columns. A column without a name, as pandas writes its index, is left out.

    Args:
        path: The file; CSV is UTF-8 with a header, separated by commas, semicolons or tabs. A ``.dat``, and a Parquet
            file with the columns of ``film_schema``, are read as films.
        item: The column of ids; None looks for common names.
        texts: Columns that are texts, whatever they hold.
        categories: Columns that are categories.
        numbers: Columns that are numbers; an empty cell is missing.

    Raises:
        DataNotFound: The file is not there.
        DataError: It cannot be read, an id is empty or occurs twice, or a cell of a number column is no number.
        InvalidInput: A column that is named is not there.
    """
    file = Path(path)
    if not file.is_file():
        raise DataNotFound(f"{file} is not there; check the path, relative to {Path.cwd()}")
    if file.suffix.lower() == ".dat":
        return items_of_films(read_films(file))
    frame, own = _read(file, item)
    if list(frame.columns) == list(FILM_FIELDS):
        return items_of_films(read_films(file))
    kinds = dict.fromkeys(texts, "texts") | dict.fromkeys(categories, "categories") | dict.fromkeys(numbers, "numbers")
    for name in kinds:
        if name not in frame:
            raise InvalidInput(f"{file} has no column {name!r}. {did_you_mean(name, map(str, frame.columns))}")
    ids = _ids(file, frame.pop(own))
    found = {name: (kinds.get(name) or _kind(frame[name]), frame[name]) for name in map(str, frame.columns)}
    written = [[_text(cell) for cell in column] for kind, column in found.values() if kind == "texts"]
    return ItemTable(
        ids,
        tuple(" ".join(filter(None, own)) for own in zip(*written, strict=True)) if written else ("",) * len(ids),
        {name: tuple(map(_values, column)) for name, (kind, column) in found.items() if kind == "categories"},
        {name: _numbers(file, name, column) for name, (kind, column) in found.items() if kind == "numbers"},
    )


def items_of_films(films: "pa.Table") -> ItemTable:
    """Return films by kind: plot and people are texts, each person one word; the title is left to the catalogue.

    ``genre`` and ``year`` have the names and the unit of MovieLens catalogues, so that both can be joined.
    """
    columns = {name: films[name].to_pylist() for name in films.column_names}
    people = zip(*(columns[name] for name in ("directors", "writers", "actors")), strict=True)
    words = (" ".join(_WORD.sub("_", one) for group in film for one in group) for film in people)
    texts = (f"{plot or ''} {names}".strip() for plot, names in zip(columns["plot"], words, strict=True))
    numbers = {name: np.array(columns[name], float) for name, kind in FILM_FIELDS.items() if kind in ("int", "float")}
    own, year, _ = numbers.pop("item"), numbers.pop("release_year"), numbers.pop("release_month")
    return ItemTable(
        Vocabulary(own.astype(np.int64)),
        tuple(texts),
        {"genre": tuple(map(_values, columns["genres"]))}
        | {name: tuple(map(_values, columns[name])) for name in _FILM_CATEGORIES},
        {"year": (year - YEAR_CENTRE) / YEAR_UNIT, **numbers},
    )


def tags_of(where: Path) -> ItemTable | None:
    """Return the tags of a MovieLens folder or zip as texts of its films; None where it has no ``tags.csv``.

    Raises:
        DataError: The file is damaged.
    """
    source = files_in(where).get("tags.csv")
    if source is None:
        return None
    rows = read_columns(source, _TAGS)
    tags: dict[int, list[str]] = {}
    for own, tag in zip(rows["item"].tolist(), rows["tag"], strict=True):
        tags.setdefault(own, []).append(tag)
    return ItemTable(Vocabulary(tags), tuple(" ".join(own) for own in tags.values()), {}, {})


def _read(file: Path, item: str | None) -> "tuple[pd.DataFrame, str]":
    """Return the table, and the name of its column of ids."""
    import pandas as pd

    try:
        if file.suffix.lower() == ".parquet":
            frame = pd.read_parquet(file)
            return frame, _id_column(file, list(frame.columns), item)
        header = first_line(Source(file))
        separator = max(",;\t", key=header.count)
        own = _id_column(file, next(csv.reader([header], delimiter=separator)), item)
        # Ids are read as they are written: 007 is not 7.
        frame = pd.read_csv(file, sep=separator, dtype={own: str}, index_col=False)
        return frame.loc[:, [not str(name).startswith("Unnamed: ") for name in frame]], own
    except SmartRecError:
        raise
    except (ValueError, OSError) as error:
        raise DataError(f"{file} cannot be read as a table ({error}). Write it again.") from None


def _id_column(file: Path, names: list[str], item: str | None) -> str:
    common = [name for known in (*COMMON_NAMES["item"], "id") for name in names if name.lower() == known]
    own = item or next(iter(common), None)
    if own not in names:
        wanted = repr(own) if own else f"of ids (looked for {', '.join(COMMON_NAMES['item'])}, id)"
        raise DataError(f"{file} has no column {wanted}; there are {', '.join(names)}. Name it: item={names[0]!r}.")
    return own


def _ids(file: Path, column: "pd.Series[Any]") -> Vocabulary:
    if column.isna().any():
        raise DataError(f"{file}, row {int(column.isna().argmax()) + 1}: {column.name} is empty; an id is wanted")
    if column.duplicated().any():
        twice = column[column.duplicated()].iloc[0]
        raise DataError(f"{file} has id {twice!r} twice in {column.name}; one row an item is wanted. Remove one.")
    return Vocabulary(integers_if_all(column.to_numpy()))


def _kind(column: "pd.Series[Any]") -> str:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_bool_dtype(column):
        return "categories"
    if is_numeric_dtype(column):
        return "numbers"
    cells = column.dropna()
    values = [value for cell in cells for value in _values(cell)]
    several = len(values) > len(cells)
    if len(cells) and not isinstance(cells.iloc[0], str):
        return "categories"
    few = len(values) / 2 if several else len(column) / 10
    return "categories" if 0 < len(set(values)) <= few else "texts"


def _text(cell: Any) -> str:
    return cell.strip() if isinstance(cell, str) else "" if cell is None or cell != cell else str(cell)


def _values(cell: Any) -> tuple[str, ...]:
    """Return the values of a cell: of a list, of text with bars, or the one."""
    parts = cell if isinstance(cell, (list, tuple, np.ndarray)) else _text(cell).split("|")
    return tuple(filter(None, (str(part).strip() for part in parts)))


def _numbers(file: Path, name: str, column: "pd.Series[Any]") -> FloatArray:
    import pandas as pd

    values = np.asarray(pd.to_numeric(column, errors="coerce"), float)
    bad = (np.isnan(values) & ~column.isna().to_numpy()) | np.isinf(values)
    if bad.any():
        cell = column.iloc[int(bad.argmax())]
        raise DataError(f"{file}, row {int(bad.argmax()) + 1}: {name} is {cell!r}; allowed: finite numbers, or empty")
    return values
