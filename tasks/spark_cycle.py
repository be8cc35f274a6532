"""One iteration after the other on Spark: visits are decided and answered on the workers, logged once, learnt from.

Workers get the agent as it is at the beginning of an iteration and the world; they decide chunk by chunk, each with a
random stream of its own, and what they write into the log is all that comes back. An agent that counts is told sums
by item, which Spark adds up, so no user passes the driver. Another agent learns from the iteration's rows, which do.

The same seeds give the same log on any number of workers and partitions, and where a lost partition is served again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional
from smartrec.core.spark import clear_errors
from smartrec.core.transitions import Transitions
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.visits import Visits
from smartrec.tasks.spark_rows import PIECES, ROWS, SUMS, served, sums_of, writing

CHUNKS_A_TASK = 4
"""Fewer are not worth a task of their own."""

MOST_ROWS = 20_000_000
"""Rows of an iteration that an agent which learns from rows may take to the driver, about 1 GB."""


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

    Raises:
        InvalidConfig: The agent takes more rows to the driver than it should.
    """

    def __init__(self, agent: Agent, visits: Visits, log: IterationLog, seed: int) -> None:
        self.agent, self.visits, self.log, self._seed = agent, visits, log, seed
        settings = visits.settings
        rows = (settings.users_per_iteration or 0) * settings.slate_size * settings.session_length
        self._by_rows = not agent.tags.counts and type(agent).observe is not Agent.observe
        if self._by_rows and rows > MOST_ROWS:
            raise InvalidConfig(
                f"{type(agent).__name__} learns from rows on the driver, {rows:,} an iteration; allowed: at most "
                f"{MOST_ROWS:,}. Lower users_per_iteration, or take an agent that counts, such as thompson"
            )

    def iterate(self, clock: int) -> Totals:
        """Serve, log and learn from iteration ``clock``; one that the log has already is only learnt from."""
        totals = self.logged(clock) if clock in self.log.iterations else self._serve(clock)
        self._learn(clock, totals)
        return totals

    def _serve(self, clock: int) -> Totals:
        """Serve and log an iteration in one Spark job, which adds up what it brought on the way.

        The job has one stage, whose tasks Spark counts once each, however often one is tried.
        """
        spark, n_items = self.log.spark, self.visits.crowd.n_items
        if self.log.on_disk:
            found: list[Any] = []

            def job(folder: str) -> list[str]:
                pieces = writing(self._server(clock, None), folder, n_items)
                found.extend(self._on_workers(clock, census=False).mapInArrow(pieces, PIECES).collect())
                return [row.name for row in found]

            self.log.write_pieces(job, clock)
            return self._totals(np.sum([row.sums for row in found], axis=0).reshape(len(SUMS), -1))
        sums = spark.sparkContext.accumulator(np.zeros((len(SUMS), n_items)), _adding())
        frame = self._on_workers(clock, census=False).mapInArrow(self._server(clock, sums), ROWS)
        self.log.write(frame, clock)
        return self._totals(sums.value)

    def census(self, clock: int, *, explore: bool) -> Totals:
        """Serve all users once; nothing is logged or learnt."""
        server = self._server(clock, None, census=True, explore=explore)

        def sums(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow as pa

            for rows in server(batches):
                yield pa.RecordBatch.from_pydict({"sums": [sums_of(rows, n_items).ravel()]})

        n_items = self.visits.crowd.n_items
        with clear_errors():
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

    def _server(
        self, clock: int, sums: Any, *, census: bool = False, explore: bool = True
    ) -> Callable[[Iterator[Any]], Iterator[Any]]:
        world, agent, seed, n_items = self._world, self.agent, self._seed, self.visits.crowd.n_items

        def serve(batches: Iterator[Any]) -> Iterator[Any]:
            for batch in batches:
                for chunk in batch.column(0).to_pylist():
                    # Every chunk meets the agent with a stream of its own, whoever works it out.
                    agent.rng = np.random.default_rng([seed, clock, chunk, census, explore])
                    for rows in served(agent, world.value.serve(clock, chunk, census), explore):
                        if sums is not None:
                            sums.add(sums_of(rows, n_items))
                        yield rows

        return serve

    def _learn(self, clock: int, totals: Totals) -> None:
        if self._by_rows:
            self.agent.observe(self._transitions(clock))
        elif self.agent.tags.counts:
            counts: Any = self.agent.counts  # type: ignore[attr-defined]
            items = np.flatnonzero(totals.shown)
            counts.add(clock, items, np.column_stack([totals.clicks[items], totals.shown[items]]))
            self.agent.observe(_nothing(clock))  # what was worked out from the counts is stale now
        self.agent.update()

    def _transitions(self, clock: int) -> Transitions:
        """Return the iteration as transitions, in the order of users and steps."""
        frame = self.log.read(clock).drop("__iter").orderBy("user_idx", "step", "position")
        table = frame.toArrow()
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        return transitions_of(columns, self.visits, clock)


def transitions_of(columns: dict[str, Array], visits: Visits, clock: int) -> Transitions:
    """Return the rows of an iteration as transitions.

    Args:
        columns: Of the log, in the order of users, steps and positions.
        visits: Of the world.
        clock: The iteration.
    """
    crowd, settings = visits.crowd, visits.settings
    k, steps = settings.slate_size, settings.session_length
    table = {name: values.reshape(-1, k) for name, values in columns.items()}
    users, step = table["user_idx"][:, 0], table["step"][:, 0]
    observation: dict[str, Array] = {"clock": np.full(len(users), clock)}
    if settings.observe_user:
        observation["user"] = users
    if crowd.user_features is not None:
        observation["user_features"] = crowd.user_features[users]
    allowed = None if crowd.mask is None else crowd.mask(users, clock)
    known = table["log_probability"][:, 0]
    action = table["item_idx"].astype(np.int64)
    responses = table["response"].astype(np.float64)
    visit = (clock - 1) * (settings.users_per_iteration or 0) + np.arange(len(users)) // steps
    return Transitions(
        observation=observation,
        decision=Decision(action[:, 0] if k == 1 else action, None if np.isnan(known).any() else known),
        responses=responses,
        observed=table["observed"].astype(bool),
        reward=responses.sum(axis=1),
        next_observation=observation,  # nothing that is seen of a user changes within a visit
        terminated=step == steps - 1,
        truncated=np.zeros(len(users), bool),
        visit=visit,
        step=visit * steps + step,
        allowed=allowed,
        next_allowed=allowed,
    )


def _nothing(clock: int) -> Transitions:
    none = np.zeros((0, 1))
    empty = np.zeros(0, np.int64)
    observation = {"clock": empty + clock}
    flags = np.zeros(0, bool)
    return Transitions(
        observation, Decision(empty), none, none.astype(bool), none[:, 0], observation, flags, flags, empty, empty
    )


def _adding() -> Any:
    """Return how Spark adds up arrays from its workers."""
    param: Any = optional("pyspark.accumulators", "spark", "SparkCycle").AccumulatorParam

    class Adding(param):  # type: ignore[misc]
        def zero(self, value: FloatArray) -> FloatArray:
            return np.zeros_like(value)

        def addInPlace(self, one: FloatArray, other: FloatArray) -> FloatArray:  # noqa: N802 (Spark's name)
            return one + other

    return Adding()
