"""What Spark's workers do: serve visits, add up what they bring, write the rows."""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.arrays import FloatArray
from smartrec.core.config import require
from smartrec.core.decision import Decision
from smartrec.core.errors import OutputError
from smartrec.envs.lanes import Lanes
from smartrec.evaluation.episodes import seen

ROWS = (
    "user_idx long, item_idx int, step int, position int, response int, observed boolean, expected double, "
    "log_probability double"
)
"""The log: one row a shown item. ``expected`` is the slate's expected reward, shared out evenly among its rows."""

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


def served(agent: Agent, lanes: Lanes, explore: bool) -> Iterator[Any]:
    """Serve visits from beginning to end, and return a batch of rows a step; the seconds in ``act`` are beside it."""
    import pyarrow as pa

    step = 0
    while not lanes.done:
        observation, allowed = seen(lanes.observation)
        started = time.perf_counter()
        first = np.full(len(lanes.users), step == 0)
        decision = agent.act(observation, first=first, allowed=allowed, explore=explore)
        seconds = time.perf_counter() - started
        _require_no_extras(agent, decision)
        outcome = lanes.respond(decision.action)
        assert outcome.items is not None
        n, k = outcome.items.shape
        known = np.full(n, np.nan) if decision.log_probability is None else decision.log_probability
        columns = {
            "user_idx": np.repeat(lanes.users, k),
            "item_idx": outcome.items.ravel().astype(np.int32),
            "step": np.full(n * k, step, np.int32),
            "position": np.tile(np.arange(k, dtype=np.int32), n),
            "response": outcome.responses.ravel().astype(np.int32),
            "observed": np.ascontiguousarray(outcome.observed).ravel(),
            "expected": np.repeat(outcome.expected / k, k),
            "log_probability": np.repeat(known, k),
        }
        batch = pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})
        yield batch.replace_schema_metadata({"seconds": repr(seconds)})
        step += 1


def _require_no_extras(agent: Agent, decision: Decision) -> None:
    """Raise if a decision carries what the log has no column for.

    Raises:
        InvalidConfig: With the agent's name.
    """
    name, allowed = type(agent).__name__, "none on Spark, whose log has none; take another agent, or NumPy's engine"
    require(not decision.extras, f"extras of {name}'s decisions", sorted(decision.extras), allowed)


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
    serve: Callable[[Iterator[Any]], Iterator[Any]], folder: str, n_items: int
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return a function that serves, writes the rows itself, and returns the names of its files with their sums.

    Columns stay columns, where Spark's own writer would take them apart into rows. A file is named by its first chunk
    and put in place by a rename, so that a task that is tried twice leaves it once.
    """

    def pieces(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import parquet

        for chunks in batches:
            if not os.path.isdir(folder):
                raise OutputError(
                    f"{folder} is not reached by this worker; choose a folder all workers mount, or hdfs://..."
                )
            name = f"part-{chunks.column(0)[0].as_py():09d}.parquet"
            unfinished = f"{folder}/.{name}.{secrets.token_hex(6)}"
            sums = np.zeros((len(SUMS), n_items))
            served_chunks = serve(iter([chunks]))
            with parquet.ParquetWriter(unfinished, _schema()) as writer:
                while group := list(islice(served_chunks, GROUP)):
                    sums += sum(sums_of(batch, n_items) for batch in group)
                    writer.write_table(pa.Table.from_batches([b.replace_schema_metadata(None) for b in group]))
            os.replace(unfinished, f"{folder}/{name}")
            yield pa.RecordBatch.from_pydict({"name": [name], "sums": [sums.ravel()]})

    return pieces


def _schema() -> Any:
    """Return ``ROWS`` as Arrow has it."""
    import pyarrow as pa

    kinds = {"long": pa.int64(), "int": pa.int32(), "boolean": pa.bool_(), "double": pa.float64()}
    return pa.schema([(name, kinds[kind]) for name, kind in (column.split() for column in ROWS.split(", "))])
