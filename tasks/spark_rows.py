"""What Spark's workers do: serve visits, add up what they bring, write the rows."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.arrays import FloatArray
from smartrec.core.errors import OutputError
from smartrec.envs.lanes import Lanes
from smartrec.envs.spark.visits import Visits
from smartrec.evaluation.episodes import seen
from smartrec.tasks.spark_extras import KINDS, Extras

ROWS = (
    "user_idx long, item_idx int, step int, position int, response int, observed boolean, expected double, "
    "log_probability double"
)
"""The log: one row a shown item. ``expected`` is the slate's expected reward, shared out evenly among its rows.

What decisions carry stands behind these, see ``spark_extras``.
"""

SUMS = {
    "rows": "count(*)",
    "reward": "sum(response)",
    "expected": "sum(expected)",
    "shown": "sum(int(observed))",
    "clicks": "sum(if(observed, response, 0))",
    "seconds": "0.0d",
}
"""What is added up by item, and how Spark's SQL says it; the log has no seconds."""

PIECES = "name string, sums array<double>"

GROUP = 32
"""Batches of rows that a worker holds before it writes them: half a million visits."""


def tried(agent: Agent, visits: Visits) -> Extras:
    """Let an agent decide for the first user of the first iteration, and return what its decisions carry.

    Raises:
        InvalidConfig: No column can hold it.
        InvalidAction: Its decisions cannot be shown.
    """
    lanes = replace(visits, chunk_size=1).serve(1, 0, past=visits.past())
    observation, allowed = seen(lanes.observation)
    decision = agent.act(observation, first=np.ones(1, bool), allowed=allowed)
    lanes.respond(decision.action)
    return Extras.of(type(agent).__name__, decision)


def served(agent: Agent, lanes: Lanes, explore: bool, extras: Extras | None = None) -> Iterator[Any]:
    """Serve visits from beginning to end, and return a batch of rows a step; the seconds in ``act`` are beside it.

    Args:
        agent: Who decides.
        lanes: The visits.
        explore: As for ``act``.
        extras: What its decisions carry; None leaves it out.

    Raises:
        InvalidConfig: A decision carries something else.
    """
    import pyarrow as pa

    step = 0
    while not lanes.done:
        observation, allowed = seen(lanes.observation)
        started = time.perf_counter()
        first = np.full(len(lanes.users), step == 0)
        decision = agent.act(observation, first=first, allowed=allowed, explore=explore)
        seconds = time.perf_counter() - started
        outcome = lanes.respond(decision.action)
        assert outcome.items is not None
        n, k = outcome.items.shape
        known = np.full(n, np.nan) if decision.log_probability is None else decision.log_probability
        if outcome.replaced is not None:  # nobody knows how likely it was that just this is shown
            known = np.where(outcome.replaced > 0, np.nan, known)
        columns = {
            "user_idx": np.repeat(lanes.users, k),
            "item_idx": outcome.items.ravel().astype(np.int32),
            "step": np.full(n * k, step, np.int32),
            "position": np.tile(np.arange(k, dtype=np.int32), n),
            "response": outcome.responses.ravel().astype(np.int32),
            "observed": np.ascontiguousarray(outcome.observed).ravel(),
            "expected": np.repeat(outcome.expected / k, k),
            "log_probability": np.repeat(known, k),
            **dict(extras.written(decision, k) if extras else ()),
        }
        batch = pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})
        yield batch.replace_schema_metadata({"seconds": repr(seconds)})
        step += 1


def sums_of(rows: Any, n_items: int) -> FloatArray:
    """Return the sums of a batch of rows by item, float [6, I]."""
    items, response, observed, expected = (
        rows.column(name).to_numpy(zero_copy_only=False) for name in ("item_idx", "response", "observed", "expected")
    )
    sums = np.zeros((len(SUMS), n_items))
    weights = (None, response, expected, observed, response * observed)
    sums[:-1] = [np.bincount(items, weight, n_items) for weight in weights]
    sums[-1, 0] = float(rows.schema.metadata[b"seconds"])
    return sums


def writing(
    serve: Callable[[Iterator[Any]], Iterator[Any]], folder: str, n_items: int, columns: str = ROWS
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return a function that serves, writes the rows itself, and returns the names of its files with their sums.

    Columns stay columns, where Spark's own writer would take them apart into rows. A file is named by its first chunk
    and put in place by a rename, so that a task that is tried twice leaves it once.
    """

    def pieces(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import parquet

        schema = _schema(columns)
        for chunks in batches:
            if not os.path.isdir(folder):
                raise OutputError(
                    f"{folder} is not reached by this worker; choose a folder all workers mount, or hdfs://..."
                )
            name = f"part-{chunks.column(0)[0].as_py():09d}.parquet"
            unfinished = f"{folder}/.{name}.{secrets.token_hex(6)}"
            sums = np.zeros((len(SUMS), n_items))
            served_chunks = serve(iter([chunks]))
            with parquet.ParquetWriter(unfinished, schema, **_encoding(schema)) as writer:
                while group := list(islice(served_chunks, GROUP)):
                    sums += sum(sums_of(batch, n_items) for batch in group)
                    writer.write_table(pa.Table.from_batches([b.replace_schema_metadata(None) for b in group]))
            os.replace(unfinished, f"{folder}/{name}")
            yield pa.RecordBatch.from_pydict({"name": [name], "sums": [sums.ravel()]})

    return pieces


def _schema(columns: str) -> Any:
    """Return columns that Spark's SQL has named as Arrow has them."""
    import pyarrow as pa

    kinds = {sql: pa.from_numpy_dtype(kind) for kind, sql in KINDS.items()}
    kinds |= {f"array<{sql}>": pa.list_(kind) for sql, kind in kinds.items()}
    return pa.schema([(name, kinds[kind]) for name, kind in (column.split() for column in columns.split(", "))])


def _encoding(schema: Any) -> dict[str, Any]:
    """Return how the writer packs columns; users hardly repeat, so that a dictionary of them is work for nothing."""
    return {
        "use_dictionary": [name for name in schema.names if name != "user_idx"],
        "column_encoding": {"user_idx": "DELTA_BINARY_PACKED"},
    }
