"""Generators of ``smartrec.data`` on Spark: fitted here, new rows made on the workers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.core.spark import require_session
from smartrec.data.copula import CopulaGenerator
from smartrec.data.generators import CompositeGenerator, Generator, RealGenerator, shares_of
from smartrec.data.sdv import SdvGenerator

ROWS = 50_000
"""Rows made at once, by a random stream of their own."""


class FrameGenerator:
    """Makes DataFrames of new rows by a generator that was fitted to a pandas DataFrame.

    Rows are a function of the seed, the call and their number, whatever the generator did before and however many
    partitions there are: calls differ, and a partition that is lost is made again as it was. Copulas make theirs on the
    workers, any number of them; real rows, which are drawn without replacement, are drawn here. So are those of SDV,
    whose random sequence takes no seed: they alone go on from where SDV's generator stands.

    Args:
        spark: Session.
        generator: A fitted ``CopulaGenerator``, ``RealGenerator`` or ``SdvGenerator``, or a ``CompositeGenerator``.
        seed: >= 0.

    Raises:
        InvalidInput: Another generator, or one that was not fitted to a DataFrame.
    """

    def __init__(self, spark: Any, generator: Generator, seed: int = 0) -> None:
        require(isinstance(seed, int) and seed >= 0, "seed", seed, "a whole number >= 0")
        self._spark, self._generator, self._seed, self._calls = require_session(spark), generator, seed, 0
        for part in _parts(generator):
            if not isinstance(part, (CopulaGenerator, RealGenerator, SdvGenerator)):
                raise InvalidInput(
                    f"{type(part).__name__}; allowed: CopulaGenerator, RealGenerator, SdvGenerator, a composite of them"
                )
            if not hasattr(_row(part), "columns"):
                raise InvalidInput(f"this {type(part).__name__} was fitted to an array; fit it to a pandas DataFrame")

    def generate(self, n: int) -> Any:
        """Return a DataFrame of ``n`` new rows.

        Raises:
            InvalidInput: ``n`` is no whole number >= 1, or more real rows than there are.
        """
        if not isinstance(n, int) or n < 1:
            raise InvalidInput(f"n = {n!r} rows; allowed: a whole number >= 1")
        generator, parts = self._generator, _parts(self._generator)
        counts = shares_of(n, generator.weights) if isinstance(generator, CompositeGenerator) else [n]
        self._calls += 1
        frames = [
            self._copula(part, int(count), number)
            if isinstance(part, CopulaGenerator)
            else self._here(part, int(count), number)
            for number, (part, count) in enumerate(zip(parts, counts, strict=True))
            if count
        ]
        whole = frames[0]
        for frame in frames[1:]:
            whole = whole.unionByName(frame)
        return whole

    def _here(self, part: Generator, count: int, number: int) -> Any:
        rng = np.random.default_rng([self._seed, self._calls, number])
        return self._spark.createDataFrame(part._generate(count, rng))

    def _copula(self, part: CopulaGenerator, count: int, number: int) -> Any:
        key, chunks = (self._seed, self._calls, number), -(-count // ROWS)
        schema = self._spark.createDataFrame(_row(part)).schema
        sent = self._spark.sparkContext.broadcast(part)

        def make(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow as pa

            generator: CopulaGenerator = sent.value
            for batch in batches:
                for chunk in batch.column(0).to_pylist():
                    first = chunk * ROWS
                    rng = np.random.default_rng([*key, chunk])
                    rows = generator._generate(min(ROWS, count - first), rng)
                    if generator.id_column is not None:
                        rows[generator.id_column] = [f"{generator.label}_{first + k}" for k in range(len(rows))]
                    yield pa.RecordBatch.from_pandas(rows, preserve_index=False)

        parts = min(chunks, 2 * self._spark.sparkContext.defaultParallelism)
        return self._spark.range(0, chunks, 1, parts).mapInArrow(make, schema)


def _row(part: Generator) -> Any:
    """Return a row of a generator, whose own random streams stay where they are."""
    return part._generate(1, np.random.default_rng(0))


def _parts(generator: Generator) -> tuple[Generator, ...]:
    return generator.generators if isinstance(generator, CompositeGenerator) else (generator,)
