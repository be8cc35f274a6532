"""Item vectors in files: id to vector, without pickle."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.core.files import atomic_write
from smartrec.core.optional import optional
from smartrec.data.table import integers_if_all
from smartrec.data.vocabulary import Vocabulary

_ADVICE = (
    "reading a pickle can run any code that is in it. Where you trust the file, load it yourself and write it again: "
    'numpy.savez("vectors.npz", **{str(key): numpy.asarray(v) for key, v in loaded.items()})'
)


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """Vectors of n items.

    Attributes:
        ids: n ids.
        vectors: float32 [n, D], finite.

    Raises:
        InvalidInput: Another shape than one row an id, or NaN or infinite numbers.
    """

    ids: Vocabulary
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.ids):
            raise InvalidInput(f"vectors {self.vectors.shape} for {len(self.ids)} ids; allowed: one row an id")
        bad = ~np.isfinite(self.vectors).all(axis=1)
        if bad.any():
            raise InvalidInput(f"the vector of item {self.ids.ids[bad.argmax()]} has NaN or infinite numbers")

    def of(self, ids: Vocabulary) -> NDArray[np.float32]:
        """Return the vectors of ``ids``, in their order, float32 [len(ids), D].

        Raises:
            InvalidInput: An item has no vector; the message names the first and counts them.
        """
        rows = self.ids.find(ids.ids)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise InvalidInput(
                f"item {ids.ids[missing[0]]} has no vector, one of {len(missing)} of {len(ids)} items; drop their "
                "rows from the log, or make vectors for all with smartrec.data.embed"
            )
        return self.vectors[rows]


def read_vectors(path: str | Path) -> ItemVectors:
    """Read item vectors: an ``.npz`` with one array an id, or what ``ItemEmbedder.save`` wrote; or a ``.pt`` of torch.

    A ``.pt`` or ``.pth`` file holds a dict of id to tensor, written by ``torch.save``; it is read with
    ``weights_only=True``, which runs no code. Other pickles are refused. Ids are integers where all are written so.

    Raises:
        DataNotFound: The file is not there.
        DataError: The file is damaged, a pickle, or its vectors have different lengths.
    """
    file = Path(path)
    if not file.is_file():
        raise DataNotFound(f"{file} is not there; check the path, relative to {Path.cwd()}")
    kind = file.suffix.lower()
    if kind in (".pt", ".pth"):
        return _of_mapping(file, _read_torch(file))
    if kind != ".npz":
        raise DataError(f"{file} is no .npz, .pt or .pth file; if it is a pickle: {_ADVICE}")
    try:
        with np.load(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
    except Exception as error:  # a damaged zip can raise nearly anything
        raise DataError(f"{file} is no sound file of arrays ({error}); write it again, without pickle") from None
    if {"ids", "vectors"} <= arrays.keys():
        return ItemVectors(Vocabulary(arrays["ids"]), arrays["vectors"].astype(np.float32))
    return _of_mapping(file, arrays)


def write_vectors(path: str | Path, ids: Vocabulary, vectors: NDArray[np.float32]) -> None:
    """Write an ``.npz`` with one array [D] an id: ``dict(numpy.load(path))`` is the mapping.

    Raises:
        InvalidInput: Another shape than one row an id, or NaN or infinite numbers.
        OutputError: The file cannot be written.
    """
    checked = ItemVectors(ids, np.asarray(vectors, np.float32))
    # Not by savez, which takes names as keyword arguments, so that an item may not be called "file".
    with atomic_write(Path(path), "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for own, vector in zip(ids.ids, checked.vectors, strict=True):
            with archive.open(f"{own}.npy", "w") as member:
                np.lib.format.write_array(member, vector, allow_pickle=False)


def _of_mapping(file: Path, found: Mapping[Any, Any]) -> ItemVectors:
    rows = [np.asarray(vector, np.float32).reshape(-1) for vector in found.values()]
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1:
        raise DataError(f"{file} has vectors of lengths {lengths}; allowed: one or more, all of one length")
    ids = np.empty(len(rows), object)
    ids[:] = [str(key) for key in found]
    return ItemVectors(Vocabulary(integers_if_all(ids)), np.stack(rows))


def _read_torch(file: Path) -> Mapping[Any, Any]:
    torch = optional("torch", "deep", f"reading {file}")
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(
            f"{file} is no torch file of plain tensors ({type(error).__name__}); if it is a pickle: {_ADVICE}"
        ) from None
    if not isinstance(found, dict):
        raise DataError(f"{file} holds a {type(found).__name__}; allowed: a dict of id to tensor")
    return {key: value.detach().float().numpy() for key, value in found.items()}
