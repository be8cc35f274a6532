"""The MovieLens family in the publisher's own files (https://grouplens.org/datasets/movielens/).

Every user and film of the side files has a number, also those without a rating; numbers follow the order of
the side files (where there is no file of users: ascending id). A film's year is the one in its title.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from smartrec.core.arrays import Array
from smartrec.data.features import item_features, user_features, year_of_title
from smartrec.data.files import Source, files_in, pick
from smartrec.data.interactions import Catalogue, Dataset, Interactions, Vocabulary
from smartrec.data.rating_lines import read_rating_lines
from smartrec.data.text import Column, Layout, fault_at, line_of_row, read_columns, read_rows

POSITIVE = 4.0
"""The rating from which a MovieLens answer counts as a click."""

FIRST_RATING = 789_000_000
"""Just before the oldest MovieLens rating, of January 1995: a smaller time is a line cut short."""


def _ratings(kind: Literal["int", "float"], low: float) -> tuple[Column, ...]:
    return (
        Column("user", "int", 1),
        Column("item", "int", 1),
        Column("rating", kind, low, 5),
        Column("timestamp", "int", FIRST_RATING, 10**10),
    )


_RATINGS_100K = Layout(_ratings("int", 1), "\t")
_RATINGS_1M = Layout(_ratings("int", 1), "::")
_RATINGS_10M = Layout(_ratings("float", 0.5), "::")
_RATINGS_LATEST = Layout(_ratings("float", 0.5), ",", header="userId,movieId,rating,timestamp", lines=read_rating_lines)

AGE = Column("age", "int", 0, 120)
GENDER = Column("gender", "text", choices=("F", "M"))
_USER, _ZIP = Column("user", "int", 1), Column("zip", "text")
_USERS_100K = Layout((_USER, AGE, GENDER, Column("occupation", "text"), _ZIP), "|", "latin-1")
_USERS_1M = Layout((_USER, GENDER, AGE, Column("occupation", "int", 0, 20), _ZIP), "::", "latin-1")

_FILM = (Column("item", "int", 1), Column("title", "text"))
_FILMS_1M = Layout((*_FILM, Column("genres", "text")), "::", "latin-1")
_FILMS_10M = Layout((*_FILM, Column("genres", "text")), "::")
_FILMS_LATEST = Layout((*_FILM, Column("genres", "text")), ",", header="movieId,title,genres", quoted=True)
_GENRES_100K = Layout((Column("genre", "text"), Column("number", "int", 0)), "|", "latin-1")


def load_ml_100k(folder: str | Path) -> Dataset:
    """Read MovieLens 100K: ``u.data``, ``u.item``, ``u.user``, ``u.genre``, from a folder or a zip.

    Raises:
        DataError: A file is missing or damaged.
    """
    where = Path(folder)
    ratings, films, people, genre_file = pick(files_in(where), where, "u.data", "u.item", "u.user", "u.genre")
    genres = [name for name, _ in read_rows(genre_file, _GENRES_100K)]
    flags = tuple(Column(name, "int", 0, 1) for name in genres)
    dates = tuple(Column(name, "text") for name in ("release date", "video date", "address"))
    items = read_rows(films, Layout((*_FILM, *dates, *flags), "|", "latin-1"))
    users = read_rows(people, _USERS_100K)
    own = [[name for name, flag in zip(genres, row[5:], strict=True) if int(flag)] for row in items]
    user_side = user_catalogue([row[0] for row in users], [row[2] for row in users], *_columns(users, 1, 3))
    item_side = item_catalogue([row[0] for row in items], [row[1] for row in items], own, genres)
    log = read_log(ratings, _RATINGS_100K, user_side.ids, item_side.ids)
    return Dataset("ml-100k", log, user_side, item_side, f"MovieLens 100K, {where}", POSITIVE)


def load_ml_1m(folder: str | Path) -> Dataset:
    """Read MovieLens 1M: ``ratings.dat``, ``users.dat``, ``movies.dat``, from a folder or a zip.

    ``age`` is a code in these files, the lowest age of a class (1 stands for "under 18", then 18, 25, 35, 45,
    50, 56), and is scaled as if it were years; ``occupation`` is a code as well (0..20, named in the README).

    Raises:
        DataError: A file is missing or damaged.
    """
    where = Path(folder)
    ratings, people, films = pick(files_in(where), where, "ratings.dat", "users.dat", "movies.dat")
    users, items = read_rows(people, _USERS_1M), read_rows(films, _FILMS_1M)
    codes = [f"{int(row[3]):02d}" for row in users]
    user_side = user_catalogue([row[0] for row in users], [row[1] for row in users], _columns(users, 2)[0], codes)
    item_side = _films_with_genres(items)
    log = read_log(ratings, _RATINGS_1M, user_side.ids, item_side.ids)
    return Dataset("ml-1m", log, user_side, item_side, f"MovieLens 1M, {where}", POSITIVE)


def load_ml_10m(folder_or_zip: str | Path) -> Dataset:
    """Read MovieLens 10M: ``ratings.dat`` with half stars and ``movies.dat``, from a folder or a zip.

    Raises:
        DataError: A file is missing or damaged.
    """
    where = Path(folder_or_zip)
    files = pick(files_in(where), where, "ratings.dat", "movies.dat")
    return _without_people("ml-10m", where, files, _RATINGS_10M, _FILMS_10M)


def load_ml_latest(folder_or_zip: str | Path) -> Dataset:
    """Read ``ratings.csv`` and ``movies.csv`` (ml-latest, ml-20m, ml-25m, ml-32m) from a folder or a zip.

    Raises:
        DataError: A file is missing or damaged.
    """
    where = Path(folder_or_zip)
    files = pick(files_in(where), where, "ratings.csv", "movies.csv")
    name = where.resolve().name.removesuffix(".zip")
    return _without_people(name, where, files, _RATINGS_LATEST, _FILMS_LATEST)


def user_catalogue(
    ids: Sequence[str], gender: Sequence[str], age: Sequence[str], occupation: Sequence[str]
) -> Catalogue:
    """Return users with plain demographic columns, from cells that were checked."""
    female = np.array([one == "F" for one in gender])
    names, features = user_features(female, np.array(age, np.float32), occupation)
    return Catalogue(Vocabulary(map(int, ids)), tuple(ids), names, features)


def item_catalogue(
    ids: Sequence[str], titles: Sequence[str], genres: Sequence[Sequence[str]], names: Sequence[str]
) -> Catalogue:
    """Return films with genre flags and the year of the title, from cells that were checked."""
    columns = item_features([set(own) for own in genres], names, [year_of_title(title) for title in titles])
    return Catalogue(Vocabulary(map(int, ids)), tuple(titles), *columns)


def read_log(source: Source, layout: Layout, users: Vocabulary | None, items: Vocabulary) -> Interactions:
    """Read (user, item, rating, timestamp) rows and number them; ``users=None`` takes the users as they come.

    Raises:
        DataError: A bad line, or one whose user or film the side files do not have.
    """
    columns = read_columns(source, layout)
    users = users or Vocabulary(np.unique(columns["user"]))
    numbers = {
        name: numbers_of(source, layout, name, columns[name], ids) for name, ids in (("user", users), ("item", items))
    }
    return Interactions(numbers["user"], numbers["item"], columns["rating"], columns["timestamp"], users, items)


def read_rating_columns(path: Path) -> dict[str, Array]:
    """Return ``user``, ``item``, ``rating`` and ``timestamp`` [R] of a ``ratings.csv``, in the ids of the file.

    Raises:
        DataError: A bad line.
    """
    return read_columns(Source(path), _RATINGS_LATEST)


def numbers_of(source: Source, layout: Layout, name: str, ids: Array, vocabulary: Vocabulary) -> Array:
    """Return the numbers of the ids [R] that column ``name`` of a file holds.

    Raises:
        DataError: An id is not in ``vocabulary``; names its line.
    """
    numbers = vocabulary.find(ids)
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        fault = f"{name} {ids[unknown[0]]} is not among the {len(vocabulary)} {name}s of the side file"
        raise fault_at(source, line_of_row(source, layout, int(unknown[0])), fault, layout)
    return numbers


def _without_people(name: str, where: Path, files: list[Source], ratings: Layout, films: Layout) -> Dataset:
    """Read a log and its films; nothing is known of the users, who are those with a rating (D = 0)."""
    item_side = _films_with_genres(read_rows(files[1], films))
    log = read_log(files[0], ratings, None, item_side.ids)
    user_side = Catalogue.without_features(log.user_ids)
    return Dataset(name, log, user_side, item_side, f"MovieLens, {where}", POSITIVE)


def _films_with_genres(rows: list[list[str]]) -> Catalogue:
    own = [[name for name in row[2].split("|") if name not in ("", "(no genres listed)")] for row in rows]
    names = sorted({name for genres in own for name in genres})
    return item_catalogue([row[0] for row in rows], [row[1] for row in rows], own, names)


def _columns(rows: list[list[str]], *numbers: int) -> list[list[str]]:
    return [[row[number] for row in rows] for number in numbers]
