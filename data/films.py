"""Films as a typed table: one record a film, read and written as Parquet."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartrec.core.errors import DataError, DataNotFound, InvalidInput, did_you_mean
from smartrec.core.files import atomic_write
from smartrec.data.files import Source
from smartrec.data.text import Column, Layout, read_rows

if TYPE_CHECKING:
    import pyarrow as pa

FILM_FIELDS = {
    "item": "int",
    "title": "text",
    "adult": "bool",
    "collection": "text",
    "genres": "texts",
    "original_language": "text",
    "spoken_languages": "texts",
    "production_companies": "texts",
    "production_countries": "texts",
    "release_year": "int",
    "release_month": "int",
    "runtime": "float",
    "popularity": "float",
    "vote_average": "float",
    "vote_count": "int",
    "budget": "float",
    "revenue": "float",
    "revenue_d": "float",
    "certificate": "text",
    "directors": "texts",
    "writers": "texts",
    "actors": "texts",
    "plot": "text",
}
"""Field -> kind. ``item`` is the id; runtime is in minutes, budget and revenue in dollars, months are 1..12;
``revenue_d`` is a second figure of the revenue, as the source has it. What is not known is null; a list is never null,
but may be empty."""

_TYPES = {"int": "int", "float": "a number", "text": "text", "bool": "True or False", "texts": "a list of texts"}
_NAMES = ("id", "title", "year", "certificate", "date", "genres", "directors", "writers", "actors", "plot", "poster")
_ML_1M_TEXT = Layout(
    (Column("id", "int", 1), *(Column(name, "int" if name == "year" else "text") for name in _NAMES[1:])), "::"
)
_OUTSIDE_BRACKETS = re.compile(r",\s+(?![^()]*\))")
_ROLE = re.compile(r"\s*\([^()]*\)")


def film_schema() -> "pa.Schema":
    """Return the columns of a film table with their types."""
    import pyarrow as pa

    types = {
        "int": pa.int64(),
        "float": pa.float64(),
        "text": pa.string(),
        "bool": pa.bool_(),
        "texts": pa.list_(pa.string()),
    }
    return pa.schema([(name, types[kind]) for name, kind in FILM_FIELDS.items()])


def film_table(records: Iterable[Mapping[str, Any]]) -> "pa.Table":
    """Return records as a table, with the columns of ``film_schema``; fields that a record lacks are null.

    Raises:
        InvalidInput: A record without ``item``, an ``item`` that occurs twice, an unknown field, a value of another
            type, or a month outside 1..12.
    """
    import pyarrow as pa

    films = [_checked(record, place) for place, record in enumerate(records)]
    seen: set[int] = set()
    for film in films:
        if film["item"] in seen:
            raise InvalidInput(f"item {film['item']} occurs twice; each film may occur once. Remove one.")
        seen.add(film["item"])
    return pa.Table.from_pylist(films, film_schema())


def write_films(films: "pa.Table", path: str | Path) -> None:
    """Write a film table as Parquet; what is read again is equal.

    Raises:
        InvalidInput: The table has other columns than ``film_schema``.
        OutputError: The file cannot be written.
    """
    from pyarrow import parquet

    if not films.schema.equals(film_schema()):
        raise InvalidInput(f"a table of columns {', '.join(films.column_names)}; make one with film_table")
    with atomic_write(Path(path), "wb") as file:
        parquet.write_table(films, file)


def read_films(path: str | Path) -> "pa.Table":
    """Read a film table that ``write_films`` wrote, or (``.dat``) texts about the films of MovieLens 1M.

    The latter has 11 fields a line, separated by ``::``: id, title, year, certificate, release date, genres, directors,
    writers, actors, plot, address of a poster. The date gives the month, ``N/A`` is null, what stands in brackets
    after a name is dropped, and so is the poster.

    Raises:
        DataNotFound: The file is not there.
        DataError: The file is damaged, or has other columns.
    """
    import pyarrow as pa
    from pyarrow import parquet

    file = Path(path)
    if not file.is_file():
        raise DataNotFound(f"{file} is not there; check the path, relative to {Path.cwd()}")
    if file.suffix.lower() == ".dat":
        return film_table(_of_line(cells) for cells in read_rows(Source(file), _ML_1M_TEXT))
    try:
        films = parquet.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is no sound Parquet file ({error}). Write it again with write_films.") from None
    if not films.schema.equals(film_schema()):
        raise DataError(f"{file} has columns {', '.join(films.column_names)}; write it with write_films")
    return films


def _of_line(cells: list[str]) -> dict[str, Any]:
    own = dict(zip(_NAMES, ("" if cell == "N/A" else cell for cell in cells), strict=True))
    film: dict[str, Any] = {name: own[name] or None for name in ("title", "certificate", "plot")}
    film |= {name: _names(own[name]) for name in ("genres", "directors", "writers", "actors")}
    film |= {"item": int(own["id"]), "release_year": int(own["year"])}
    try:
        film["release_month"] = datetime.strptime(own["date"], "%d %b %Y").month
    except ValueError:
        film["release_month"] = None
    return film


def _names(cell: str) -> list[str]:
    names = (_ROLE.sub("", part).strip() for part in _OUTSIDE_BRACKETS.split(cell))
    return [*dict.fromkeys(name for name in names if name)]  # a writer may stand there once a role


def _checked(record: Mapping[str, Any], place: int) -> dict[str, Any]:
    for name in record:
        if name not in FILM_FIELDS:
            raise InvalidInput(f"film {place} has a field {name!r}. {did_you_mean(name, FILM_FIELDS)}")
    if record.get("item") is None:
        raise InvalidInput(f"film {place} ({record.get('title')!r}) has no item; each film needs its id, an integer")
    film = {name: record.get(name) for name in FILM_FIELDS}
    for name, kind in FILM_FIELDS.items():
        if kind == "texts":
            film[name] = [] if film[name] is None else film[name]
        if film[name] is not None and not _fits(film[name], kind):
            raise InvalidInput(f"{name} of film {record['item']} is {film[name]!r}; allowed: {_TYPES[kind]}")
    if film["release_month"] not in (None, *range(1, 13)):
        raise InvalidInput(f"release_month of film {record['item']} is {film['release_month']}; allowed: 1..12")
    return film


def _fits(value: Any, kind: str) -> bool:
    if kind == "texts":
        return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)
    if kind in ("text", "bool"):
        return isinstance(value, str if kind == "text" else bool)
    return isinstance(value, int if kind == "int" else (int, float)) and not isinstance(value, bool)
