"""One iteration after the other on Spark: visits are decided and answered on the workers, logged once, learnt from.

Workers get the agent as it is at the beginning of an iteration and the world; they decide chunk by chunk, each with a
random stream of its own, and what they write into the log is all that comes back. An agent that counts is told sums
by item, which Spark adds up, so no user passes the driver. Another agent learns from the iteration's rows, which do.

Where users show what they did, the driver keeps that of all users, and sends it along with each iteration. It is made
of the log's rows alone, so that it is there again when a run goes on.

The same seeds give the same log on any number of workers and partitions, and where a lost partition is served again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional
from smartrec.core.spark import clear_errors
from smartrec.core.transitions import Transitions
from smartrec.envs.spark.log import ITERATION, IterationLog
from smartrec.envs.spark.visits import Visits
from smartrec.tasks.spark_rows import PIECES, ROWS, SUMS, served, sums_of, tried, writing
from smartrec.tasks.spark_transitions import nothing, transitions_of

CHUNKS_A_TASK = 4
"""Fewer are not worth a task of their own."""

MOST_ROWS = 20_000_000
"""Rows of an iteration that may come to the driver, about 1 GB."""

MOST_NUMBERS = 50_000_000
"""Numbers beside the rows that the driver may hold, 450 MB: what decisions carry, and what users show they did."""

PAST = ("user_idx", "step", "position", "item_idx", "response")
"""Columns of the log that tell what users did."""


@dataclass(frozen=True, eq=False)
class Totals:
    """What an iteration, or a census, brought.

    Attributes:
        visits: Users served.
        reward: Clicks, in sum.
        expected: Expected clicks, in sum.
        rows: int [I], how often each item was shown.
        shown: int [I], how often somebody saw it.
        clicks: int [I].
        decision_s: Seconds in ``act``, over all workers; 0 for an iteration that came from the log.
    """

    visits: int
    reward: float
    expected: float
    rows: IntArray
    shown: IntArray
    clicks: IntArray
    decision_s: float = 0.0


class SparkCycle:
    """An agent in a world on Spark.

    Args:
        agent: It learns here, on the driver; what ``act`` changes in it on a worker is lost.
        visits: Of the world.
        log: Where iterations are written.
        seed: Of the agent's draws on the workers, >= 0.

    Attributes:
        extras: What the agent's decisions carry.
        learning_s: Seconds in ``observe`` and ``update`` so far.

    Raises:
        InvalidConfig: The log has no columns for what decisions carry, or more than the driver should hold comes to it.
    """

    def __init__(self, agent: Agent, visits: Visits, log: IterationLog, seed: int) -> None:
        self.agent, self.visits, self.log, self._seed = agent, visits, log, seed
        settings = visits.settings
        rows = (settings.users_per_iteration or 0) * settings.slate_size * settings.session_length
        self._by_rows = learns_from_rows(agent, rows)
        self.extras = tried(deepcopy(agent), visits)  # what cannot be is refused here, not in a worker
        self._require_room(rows)
        self._past = visits.past()
        self.learning_s = 0.0

    def iterate(self, clock: int) -> Totals:
        """Serve, log and learn from iteration ``clock``; one that the log has already is only learnt from.

        Iterations are to come in order, from 1.

        Raises:
            InvalidInput: The iteration that is there has other columns.
        """
        logged = clock in self.log.iterations
        if logged:
            self.log.require_columns(self._columns)
        totals = self.logged(clock) if logged else self._serve(clock)
        rows = self._rows(clock) if self._by_rows or self._past is not None else None
        self._learn(clock, totals, rows)
        if self._past is not None:
            self._remember(rows)
        return totals

    def _serve(self, clock: int) -> Totals:
        """Serve and log an iteration in one Spark job, which adds up what it brought on the way.

        The job has one stage, whose tasks Spark counts once each, however often one is tried.
        """
        spark, n_items = self.log.spark, self.visits.crowd.n_items
        if self.log.on_disk:
            found: list[Any] = []

            def job(folder: str) -> list[str]:
                with self._sent() as past:
                    pieces = writing(self._server(clock, None, past), folder, n_items, self._columns)
                    found.extend(self._on_workers(clock, census=False).mapInArrow(pieces, PIECES).collect())
                return [row.name for row in found]

            self.log.write_pieces(job, clock)
            return self._totals(np.sum([row.sums for row in found], axis=0).reshape(len(SUMS), -1))
        sums = spark.sparkContext.accumulator(np.zeros((len(SUMS), n_items)), _adding())
        with self._sent() as past:
            server = self._server(clock, sums, past)
            self.log.write(self._on_workers(clock, census=False).mapInArrow(server, self._columns), clock)
        return self._totals(sums.value)

    def census(self, clock: int, *, explore: bool) -> Totals:
        """Serve all users once; nothing is logged or learnt."""
        n_items = self.visits.crowd.n_items

        def sums(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow as pa

            for rows in server(batches):
                yield pa.RecordBatch.from_pydict({"sums": [sums_of(rows, n_items).ravel()]})

        with self._sent() as past, clear_errors():
            server = self._server(clock, None, past, census=True, explore=explore)
            found = self._on_workers(clock, census=True).mapInArrow(sums, "sums array<double>").collect()
        return self._totals(np.sum([row.sums for row in found], axis=0).reshape(len(SUMS), -1))

    def logged(self, clock: int) -> Totals:
        """Return what the log has of an iteration, added up by Spark."""
        functions = optional("pyspark.sql.functions", "spark", "SparkCycle")
        sums = [functions.expr(f"{sql} as {name}") for name, sql in SUMS.items()]
        table = self.log.read(clock).groupBy("item_idx").agg(*sums).toArrow()
        full = np.zeros((len(SUMS), self.visits.crowd.n_items))
        full[:, table.column("item_idx").to_numpy()] = [table.column(name).to_numpy() for name in SUMS]
        return self._totals(full)

    def _totals(self, sums: FloatArray) -> Totals:
        settings = self.visits.settings
        by_name = dict(zip(SUMS, sums, strict=True))
        rows, shown, clicks = (by_name[name].astype(np.int64) for name in ("rows", "shown", "clicks"))
        return Totals(
            visits=int(rows.sum()) // (settings.slate_size * settings.session_length),
            reward=float(by_name["reward"].sum()),
            expected=float(by_name["expected"].sum()),
            rows=rows,
            shown=shown,
            clicks=clicks,
            decision_s=float(by_name["seconds"].sum()),
        )

    def _on_workers(self, clock: int, *, census: bool) -> Any:
        chunks, spark = self.visits.chunks(census), self.log.spark
        tasks = min(-(-chunks // CHUNKS_A_TASK), 2 * spark.sparkContext.defaultParallelism)
        return spark.range(0, chunks, 1, tasks)

    @cached_property
    def _world(self) -> Any:
        return self.log.spark.sparkContext.broadcast(self.visits)

    @contextmanager
    def _sent(self) -> Iterator[Any]:
        """Send what users did so far to the workers, and take it back when the block ends; None where none show it."""
        if self._past is None:
            yield None
            return
        sent = self.log.spark.sparkContext.broadcast(self._past)
        try:
            yield sent
        finally:
            sent.destroy()

    def _server(
        self, clock: int, sums: Any, past: Any, *, census: bool = False, explore: bool = True
    ) -> Callable[[Iterator[Any]], Iterator[Any]]:
        world, agent, seed, n_items = self._world, self.agent, self._seed, self.visits.crowd.n_items
        extras = None if census else self.extras

        def serve(batches: Iterator[Any]) -> Iterator[Any]:
            for batch in batches:
                for chunk in batch.column(0).to_pylist():
                    # Every chunk meets the agent with a stream of its own, whoever works it out.
                    agent.rng = np.random.default_rng([seed, clock, chunk, census, explore])
                    lanes = world.value.serve(clock, chunk, census, None if past is None else past.value)
                    for rows in served(agent, lanes, explore, extras):
                        if sums is not None:
                            sums.add(sums_of(rows, n_items))
                        yield rows

        return serve

    def _learn(self, clock: int, totals: Totals, rows: Any = None) -> None:
        came = self._transitions(clock, rows) if self._by_rows else None
        started = time.perf_counter()
        if came is None:
            learn_sums(self.agent, clock, totals)
        else:
            self.agent.observe(came)
        self.agent.update()
        self.learning_s += time.perf_counter() - started

    def _transitions(self, clock: int, rows: Any) -> Transitions:
        """Return the iteration's rows as what the agent learns from."""
        names = [column.split()[0] for column in ROWS.split(", ")]
        columns = {name: rows.column(name).to_numpy() for name in names}
        return transitions_of(columns, self.visits, clock, self._past, self.extras.read(rows))

    def _remember(self, rows: Any) -> None:
        """Take an iteration's rows into what users did."""
        assert self._past is not None
        visit = (-1, self.visits.settings.session_length * self.visits.settings.slate_size)
        users, items, responses = (
            rows.column(name).to_numpy().reshape(visit) for name in ("user_idx", "item_idx", "response")
        )
        self._past.record(users[:, 0], items, responses)

    def _rows(self, clock: int) -> Any:
        """Return the iteration's rows as an Arrow table, in the order of users, steps and positions."""
        frame = self.log.read(clock).drop(ITERATION).orderBy("user_idx", "step", "position")
        return (frame if self._by_rows else frame.select(*PAST)).toArrow()

    @property
    def _columns(self) -> str:
        return ROWS + self.extras.columns

    def _require_room(self, rows: int) -> None:
        """Raise if more comes to the driver than it should hold.

        Raises:
            InvalidConfig: With what and how much.
        """
        settings, history = self.visits.settings, self.visits.settings.history
        decisions = (settings.users_per_iteration or 0) * settings.session_length
        numbers = history * self.visits.crowd.n_users
        if self._by_rows:
            numbers += decisions * (self.extras.numbers + 2 * history)
        if history and rows > MOST_ROWS:
            raise InvalidConfig(
                f"history = {history} keeps users' rows on the driver, {rows:,} an iteration; allowed: at most "
                f"{MOST_ROWS:,}. Lower users_per_iteration, or take history = 0 and an agent that counts, as thompson"
            )
        require_numbers(self.agent, numbers)


def learns_from_rows(agent: Agent, rows: int) -> bool:
    """Return whether an agent learns from the rows of an iteration, and neither from sums alone nor from nothing.

    Raises:
        InvalidConfig: It does, and there are more rows than should come to the driver.
    """
    if agent.tags.counts or type(agent).observe is Agent.observe:
        return False
    if rows > MOST_ROWS:
        raise InvalidConfig(
            f"{type(agent).__name__} learns from rows on the driver, {rows:,} an iteration; allowed: at most "
            f"{MOST_ROWS:,}. Serve fewer users an iteration, or take an agent that counts, such as thompson"
        )
    return True


def require_numbers(agent: Agent, numbers: int) -> None:
    """Raise if ``numbers`` of an iteration, beside its rows, are more than the driver should hold.

    Raises:
        InvalidConfig: They are.
    """
    if numbers > MOST_NUMBERS:
        raise InvalidConfig(
            f"what users show they did, and what {type(agent).__name__}'s decisions carry, take {numbers:,} numbers on "
            f"the driver; allowed: at most {MOST_NUMBERS:,}. Lower the history, or the users of an iteration"
        )


def learn_sums(agent: Agent, clock: int, totals: Totals) -> None:
    """Tell an agent that counts what an iteration brought by item; others learn nothing of it."""
    if agent.tags.counts:
        counts: Any = agent.counts  # type: ignore[attr-defined]
        items = np.flatnonzero(totals.shown)
        counts.add(clock, items, np.column_stack([totals.clicks[items], totals.shown[items]]))
        agent.observe(nothing(clock))  # what was worked out from the counts is stale now


def _adding() -> Any:
    """Return how Spark adds up arrays from its workers."""
    param: Any = optional("pyspark.accumulators", "spark", "SparkCycle").AccumulatorParam

    class Adding(param):  # type: ignore[misc]
        def zero(self, value: FloatArray) -> FloatArray:
            return np.zeros_like(value)

        def addInPlace(self, one: FloatArray, other: FloatArray) -> FloatArray:  # noqa: N802 (Spark's name)
            return one + other

    return Adding()
