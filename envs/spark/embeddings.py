"""Vectors of rows on Spark: an autoencoder that was fitted here, used by the workers, without torch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from smartrec.core.optional import optional
from smartrec.core.spark import require_columns
from smartrec.data.embeddings.autoencoder import Autoencoder


def embed_frame(frame: Any, autoencoder: Autoencoder) -> Any:
    """Return a DataFrame with the vectors in place of the autoencoder's inputs; all other columns stay as they are.

    The workers make the vectors by NumPy as ``autoencoder.transform`` does here.

    Args:
        frame: DataFrame.
        autoencoder: A fitted one; fit it to as many rows as fit into memory, such as
            ``frame.sample(0.01, seed=0).toArrow().to_pandas()``.

    Returns:
        DataFrame of the kept columns, then ``autoencoder.outputs`` (float).

    Raises:
        InvalidInput: Not fitted, an input is missing or no number, or an output's name is taken. A missing value is
            found by a worker, when the rows are asked for (``smartrec.core.spark.clear_errors``).
    """
    types = optional("pyspark.sql.types", "spark", "embed_frame")
    kept = autoencoder.kept(frame.columns)
    require_columns(frame, dict.fromkeys(autoencoder.inputs, "number"), "the table")
    autoencoder.encode(np.zeros((0, len(autoencoder.inputs))))  # it is fitted
    fields = [frame.schema[name] for name in kept]
    fields += [types.StructField(name, types.FloatType(), False) for name in autoencoder.outputs]

    def press(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for batch in batches:
            columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in autoencoder.inputs]
            vectors = autoencoder.encode(np.stack(columns, axis=1).astype(np.float64))
            arrays = [batch.column(name) for name in kept] + [pa.array(vector) for vector in vectors.T]
            yield pa.RecordBatch.from_arrays(arrays, [*kept, *autoencoder.outputs])

    return frame.mapInArrow(press, types.StructType(fields))
