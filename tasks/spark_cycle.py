"""One iteration after the other on Spark: visits are decided and answered on the workers, logged once, learnt from.

Workers get the agent as it is at the beginning of an iteration and the world; they decide chunk by chunk, each with a
random stream of its own, and what they write into the log is all that comes back. An agent that counts is told sums
by item, which Spark adds up, so no user passes the driver. Another agent learns from the iteration's rows, which do.

The same seeds give the same log on any number of workers and partitions, and where a lost partition is served again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.arrays import Array, IntArray
from smartrec.core.config import require
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional
from smartrec.core.spark import clear_errors
from smartrec.core.transitions import Transitions
from smartrec.envs.lanes import Lanes
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.visits import Visits
from smartrec.evaluation.episodes import seen

ROWS = (
    "user_idx long, item_idx int, step int, position int, response int, observed boolean, expected double, "
    "log_probability double"
)
"""The log: one row a shown item. ``expected`` is the slate's expected reward, shared out evenly among its rows."""

SUMS = "visits long, reward double, expected double, seconds double, shown array<long>"

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
        if not agent.tags.counts and rows > MOST_ROWS:
            raise InvalidConfig(
                f"{type(agent).__name__} learns from rows on the driver, {rows:,} an iteration; allowed: at most "
                f"{MOST_ROWS:,}. Lower users_per_iteration, or take an agent that counts, such as thompson"
            )

    def iterate(self, clock: int) -> Totals:
        """Serve, log and learn from iteration ``clock``; one that the log has already is only learnt from."""
        if clock not in self.log.iterations:
            self.log.write(self.serve(clock), clock)
        totals = self._totals(clock)
        self._learn(clock, totals)
        return totals

    def serve(self, clock: int) -> Any:
        """Return the rows of an iteration as a DataFrame; they are worked out when they are needed."""
        return self._on_workers(clock, census=False, explore=True).mapInArrow(self._server(clock), ROWS)

    def census(self, clock: int, *, explore: bool) -> Totals:
        """Serve all users once; nothing is logged or learnt."""
        server = _summing(self._server(clock, census=True, explore=explore), self.visits.crowd.n_items)
        with clear_errors():
            found = self._on_workers(clock, census=True, explore=explore).mapInArrow(server, SUMS).collect()
        rows = np.sum([row.shown for row in found], axis=0)
        sums = [sum(row[name] for row in found) for name in ("visits", "reward", "expected", "seconds")]
        return Totals(int(sums[0]), sums[1], sums[2], rows, rows, np.zeros_like(rows), sums[3])

    def _on_workers(self, clock: int, *, census: bool, explore: bool) -> Any:
        chunks, spark = self.visits.chunks(census), self.log.spark
        parts = min(chunks, 2 * spark.sparkContext.defaultParallelism)
        return spark.range(0, chunks, 1, parts)

    @cached_property
    def _world(self) -> Any:
        return self.log.spark.sparkContext.broadcast(self.visits)

    def _server(self, clock: int, *, census: bool = False, explore: bool = True) -> Callable[..., Iterator[Any]]:
        world, agent, seed = self._world, self.agent, self._seed

        def serve(batches: Iterator[Any]) -> Iterator[Any]:
            for batch in batches:
                for chunk in batch.column(0).to_pylist():
                    # Every chunk meets the agent with a stream of its own, whoever works it out.
                    agent.rng = np.random.default_rng([seed, clock, chunk, census, explore])
                    yield from _served(agent, world.value.serve(clock, chunk, census), explore)

        return serve

    def _totals(self, clock: int) -> Totals:
        functions = optional("pyspark.sql.functions", "spark", "SparkCycle")
        sums = (
            "count(*) as rows",
            "sum(response) as reward",
            "sum(expected) as expected",
            "sum(int(observed)) as shown",
            "sum(if(observed, response, 0)) as clicks",
        )
        table = self.log.read(clock).groupBy("item_idx").agg(*map(functions.expr, sums)).toArrow()
        items = table.column("item_idx").to_numpy()

        def by_item(name: str, kind: type = np.int64) -> Array:
            full: Array = np.zeros(self.visits.crowd.n_items, kind)
            full[items] = table.column(name).to_numpy()
            return full

        rows, settings = by_item("rows"), self.visits.settings
        visits = int(rows.sum()) // (settings.slate_size * settings.session_length)
        reward, expected = float(by_item("reward").sum()), float(by_item("expected", float).sum())
        return Totals(visits, reward, expected, rows, by_item("shown"), by_item("clicks"))

    def _learn(self, clock: int, totals: Totals) -> None:
        if not self.agent.tags.counts:
            self.agent.observe(self._transitions(clock))
        else:
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


def _served(agent: Agent, lanes: Lanes, explore: bool) -> Iterator[Any]:
    """Serve visits from beginning to end, and return a batch of rows a step; the seconds in ``act`` are beside it."""
    import pyarrow as pa

    step = 0
    while not lanes.done:
        observation, allowed = seen(lanes.observation)
        started = time.perf_counter()
        first = np.full(len(lanes.users), step == 0)
        decision = agent.act(observation, first=first, allowed=allowed, explore=explore)
        seconds = time.perf_counter() - started
        require(not decision.extras, "extras of a decision", sorted(decision.extras), "none on Spark: the log has none")
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


def _summing(serve: Callable[..., Iterator[Any]], n_items: int) -> Callable[..., Iterator[Any]]:
    """Return a function that serves and returns sums alone, one row a batch."""

    def sums(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        for rows in serve(batches):
            columns = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in rows.schema.names}
            found = {
                "visits": int(((columns["step"] == 0) & (columns["position"] == 0)).sum()),
                "reward": float(columns["response"].sum()),
                "expected": float(columns["expected"].sum()),
                "seconds": float(rows.schema.metadata[b"seconds"]),
                "shown": np.bincount(columns["item_idx"], minlength=n_items),
            }
            yield pa.RecordBatch.from_pydict({name: [value] for name, value in found.items()})

    return sums


def _nothing(clock: int) -> Transitions:
    none = np.zeros((0, 1))
    empty = np.zeros(0, np.int64)
    observation = {"clock": empty + clock}
    flags = np.zeros(0, bool)
    return Transitions(
        observation, Decision(empty), none, none.astype(bool), none[:, 0], observation, flags, flags, empty, empty
    )
