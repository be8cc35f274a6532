"""The compact layout in Parquet: for pandas, Spark, DuckDB and whatever else reads tables.

A row a frame: ``items`` and ``ratings`` are lists of f + 1 values, ``done``, ``user`` and ``step`` plain columns.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smartrec.core.arrays import Array, FloatArray
from smartrec.core.errors import DataError
from smartrec.data.frames import Frames
from smartrec.data.static_compact import FACTS, PARTS, CompactFrames, facts_of, kinds_of
from smartrec.data.static_files import new_file, readable
from smartrec.data.static_rows import slices_of

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = 100_000
"""Frames of a row group."""


def write_parquet(path: str | Path, frames: Frames) -> Path:
    """Write all frames of a log as whole numbers, in Parquet.

    Args:
        path: The file; nothing may be there yet.
        frames: The log.

    Returns:
        The path.

    Raises:
        OutputError: Something is at ``path``, or there is no room for it; nothing is kept.
    """
    import pyarrow as pa
    from pyarrow import parquet

    path, kinds = Path(path), kinds_of(frames)
    types = {
        name: pa.list_(pa.from_numpy_dtype(kind), width[0]) if width else pa.from_numpy_dtype(kind)
        for name, (width, kind) in kinds.items()
    }
    schema = pa.schema(list(types.items()), metadata={name: repr(value) for name, value in facts_of(frames).items()})
    with new_file(path, 0) as temporary, parquet.ParquetWriter(temporary, schema, compression="zstd") as file:
        for part in slices_of(len(frames), GROUP):
            windows = vars(frames.windows(np.arange(part.start, part.stop)))
            columns = [_arrow(windows[name].astype(kind), types[name]) for name, (_, kind) in kinds.items()]
            file.write_table(pa.table(columns, schema))
    return path


class ParquetFile(CompactFrames):
    """A Parquet file in the compact layout, read into memory whole: about 70 bytes a frame of 10 items.

    Args:
        path: The file.
        embeddings: float [I, d], a vector for each item; None where only numbers are asked for.

    Raises:
        DataNotFound: It is not there.
        DataError: It is damaged, or its columns have other names or shapes.
        InvalidInput: Embeddings of another shape.
    """

    def __init__(self, path: str | Path, embeddings: FloatArray | None = None) -> None:
        path = Path(path)
        table = _table(path)
        self._columns = {name: _numpy(table[name]) for name in PARTS}
        shapes = {name: column.shape for name, column in self._columns.items()}
        said = table.schema.metadata or {}
        facts = {name: said[name.encode()] for name in FACTS if name.encode() in said}
        super().__init__(path, shapes, facts, embeddings)

    def _read(self, column: str, rows: Array | slice) -> Array:
        return self._columns[column][rows]


def _table(path: Path) -> "pa.Table":
    from pyarrow import parquet

    with readable(path, "Parquet"):
        names = parquet.read_schema(path).names
        missing = [name for name in PARTS if name not in names]
        if missing:
            raise DataError(f"{path} has no column {missing[0]!r}; it holds {', '.join(names) or 'nothing'}")
        return parquet.read_table(path, columns=list(PARTS))


def _arrow(column: Array, kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if column.ndim == 1:
        return pa.array(column, kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(column.reshape(-1)), type=kind)


def _numpy(column: "pa.ChunkedArray") -> Array:
    """Return a column as an array: [N], or [N, L] for lists of one length."""
    import pyarrow as pa

    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column)
    values = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
    return np.asarray(values).reshape(-1, column.type.list_size)
