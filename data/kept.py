"""Data sets that were read once are kept as plain columns, and mapped into memory the next time."""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core.config import digest
from smartrec.core.errors import OutputError
from smartrec.core.files import atomic_write, cache_folder, ensure_folder
from smartrec.core.provenance import package_digest
from smartrec.data.interactions import Catalogue, Dataset, Interactions
from smartrec.data.published import PUBLISHED, data_roots
from smartrec.data.sources import load
from smartrec.data.vocabulary import Vocabulary


def load_kept(
    name_or_path: str | Path, columns: Mapping[str, str] | None = None, positive: float | None = None
) -> Dataset:
    """Return what ``load`` returns, from ``$SMARTREC_CACHE`` where the same files were read before.

    Files count as the same if paths, sizes, times of change, the arguments and SmartRec's sources are. The arrays of
    the log are mapped from the file and cannot be written to.

    Args:
        name_or_path: As in ``load``.
        columns: As in ``load``.
        positive: As in ``load``.

    Raises:
        SmartRecError: As ``load`` does.
    """
    place = _place(name_or_path)
    if place is None:
        return load(name_or_path, columns, positive)
    path = cache_folder() / f"{digest(_key(place, name_or_path, columns, positive))}.arrow"
    # Whatever is wrong with a file that is kept, the remedy is to read the data set again.
    with suppress(Exception):
        return _read(path)
    dataset = load(name_or_path, columns, positive)
    try:
        ensure_folder(path.parent)
        _write(path, dataset)
    except OutputError as error:
        print(f"{dataset.name} is not kept for the next time: {error}", file=sys.stderr)
    return dataset


def _place(name_or_path: str | Path) -> Path | None:
    """Return the file or folder that will be read, None where it is not there or has no place of its own."""
    spec = PUBLISHED.get(str(name_or_path))
    place = Path(name_or_path) if spec is None else spec.find(data_roots())
    return place if place is not None and place.exists() else None


def _key(
    place: Path, name_or_path: str | Path, columns: Mapping[str, str] | None, positive: float | None
) -> dict[str, Any]:
    files = [place] if place.is_file() else sorted(file for file in place.iterdir() if file.is_file())
    return {
        "name": str(name_or_path),
        "files": [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files],
        "columns": dict(columns or {}),
        "positive": positive,
        "code": package_digest(),
    }


def _write(path: Path, dataset: Dataset) -> None:
    """Write three tables one after the other: the log, the users, the items."""
    import pyarrow as pa

    log = dataset.interactions
    rows: dict[str, Any] = {"users": log.users, "items": log.items, "ratings": log.ratings}
    if log.timestamps is not None:
        rows["timestamps"] = log.timestamps
    about = {"name": dataset.name, "source": dataset.source, "positive": dataset.positive}
    with atomic_write(path, "wb") as file:
        for columns, noted in ((rows, about), _columns_of(dataset.users), _columns_of(dataset.items)):
            batch = pa.record_batch(columns).replace_schema_metadata({"about": json.dumps(noted)})
            with pa.ipc.new_stream(file, batch.schema) as writer:
                writer.write_batch(batch)


def _columns_of(catalogue: Catalogue) -> tuple[dict[str, Any], dict[str, Any]]:
    features = {f"feature {number}": column for number, column in enumerate(catalogue.features.T)}
    columns = {"ids": catalogue.ids.ids, "labels": list(catalogue.labels), **features}
    return columns, {"features": list(catalogue.feature_names)}


def _read(path: Path) -> Dataset:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        parts = [next(iter(pa.ipc.open_stream(file).read_all().to_batches())) for _ in range(3)]
    log, users, items = parts
    sides = [_catalogue(part) for part in (users, items)]
    columns = {name: log[name].to_numpy() for name in log.schema.names}
    times = columns.get("timestamps")
    rows = Interactions(columns["users"], columns["items"], columns["ratings"], times, sides[0].ids, sides[1].ids)
    return Dataset(interactions=rows, users=sides[0], items=sides[1], **_about(log))


def _catalogue(part: Any) -> Catalogue:
    ids, labels = (part[name].to_numpy(zero_copy_only=False) for name in ("ids", "labels"))
    names = tuple(_about(part)["features"])
    features = np.empty((len(ids), len(names)), np.float32)
    for number in range(len(names)):
        features[:, number] = part[f"feature {number}"].to_numpy()
    return Catalogue(Vocabulary(ids), tuple(labels.tolist()), names, features)


def _about(part: Any) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(part.schema.metadata[b"about"])
    return about
