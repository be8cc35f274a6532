"""An agent in a simulation on DataFrames: ids of any kind, candidates by a selector, answers by a pipeline of stages.

In each iteration users are sampled and candidates selected by the ``Simulator``; the agent decides on the workers, in
groups of users; the pipeline answers; the log is written once, and the agent learns from it, as in ``spark_cycle``:
from sums by item if it counts, so that no user comes to the driver, and otherwise from rows.

Who is in which group, and with which random stream, is a function of seed, iteration and id. So the same seeds give the
same decisions however the DataFrames are partitioned. Our stages' answers are such functions too; those of sim4rec draw
by partition and by row, so theirs repeat only where sessions, settings and DataFrames do.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.config import digest, require, to_dict
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional
from smartrec.core.problem import Problem
from smartrec.core.provenance import code_of
from smartrec.core.seeding import generator_state, generators
from smartrec.core.spark import clear_errors, require_columns
from smartrec.core.transitions import Transitions
from smartrec.envs.spark.selectors import GROUPS, Selector, all_items, hash_of
from smartrec.envs.spark.simulator import Simulator
from smartrec.envs.spark.visits import CHUNK
from smartrec.tasks.spark_cycle import Totals, learn_sums, learns_from_rows, require_numbers
from smartrec.tasks.spark_decisions import GROUP, chosen, deciding, seen
from smartrec.tasks.spark_extras import Extras
from smartrec.tasks.spark_view import ITEM, View, raising, spark_functions


@dataclass(frozen=True, eq=False, kw_only=True)
class Simulation:
    """What agents meet in a ``Simulator``; ids become the numbers of their ``problem``, in ascending order.

    The log has the columns of users and items, ``position``, ``log_probability``, what the agent's decisions carry
    (see ``spark_extras``), the response and, where it is named, its probability. A log from before (iteration 0) needs
    the same columns; ``fit`` the agent to it first.

    Attributes:
        simulator: Users, items and the log.
        pipeline: What users do, anything with ``transform``; it answers each pair with one row.
        iterations: How many, >= 1.
        share: Probability of each user to come in an iteration, or None.
        count: How many users come, or None; one of the two.
        slate_size: K, items a user is shown.
        selector: What a user may be shown, see ``selectors.Selector``; a number k for k random items.
        observe_user: Whether the agent sees the users' numbers.
        user_columns: Columns of the simulator's users, numbers, that the agent sees as ``user_features``.
        item_columns: Columns of its items, likewise, that are the problem's ``item_features``.
        user_features: DataFrame to join by user before the pipeline, or None.
        item_features: DataFrame to join by item, or None.
        params: From the iteration to the params of stages, ``lambda iteration: {stage.clock: iteration}``, or None.
        response: The pipeline's column that the agent learns from.
        probability: Its column of expected responses, kept in the log and summed up; "" where there is none.

    Raises:
        InvalidConfig: A value out of range.
        InvalidInput: A column is missing, not of numbers, or has a missing or infinite value.
    """

    simulator: Simulator
    pipeline: Any
    iterations: int = 20
    share: float | None = None
    count: int | None = None
    slate_size: int = 1
    selector: int | Selector = all_items
    observe_user: bool = True
    user_columns: tuple[str, ...] = ()
    item_columns: tuple[str, ...] = ()
    user_features: Any = None
    item_features: Any = None
    params: Callable[[int], dict[Any, Any]] | None = None
    response: str = "response"
    probability: str = ""

    def __post_init__(self) -> None:
        require(self.iterations >= 1, "iterations", self.iterations, "a whole number >= 1")
        if (self.share is None) == (self.count is None):
            raise InvalidConfig(f"share = {self.share}, count = {self.count}; allowed: one of the two, the other None")
        _ = self._view  # which looks at the columns

    @cached_property
    def problem(self) -> Problem:
        """What agents are made for: ``smartrec.agents.make(name, simulation.problem, seed=0)``."""
        return self._view.problem(self.iterations, self.slate_size, max(self._expected, 1))

    def run(self, agent: Agent, *, seed: int, progress: Callable[[int, int], None] | None = None) -> list[Totals]:
        """Let an agent serve the users of all iterations, and return what each brought.

        Iterations that the log has already (of a ``Simulator`` with ``resume=True``) are learnt from and not served
        again. With a new agent and a new pipeline, stages that count their own calls go on as well, and the run ends
        as if it had not been interrupted.

        Args:
            agent: New, made for ``problem``.
            seed: Of the agent's draws on the workers, >= 0.
            progress: Called after every iteration with how many are done and how many there are.

        Raises:
            InvalidConfig: The agent is for another problem, or takes more to the driver than it should.
            InvalidInput: The pipeline lacks a column, leaves a pair without an answer, or gives it several; a response
                is missing, or outside 0..1 for an agent that counts; the selector names an unknown item.
            InvalidAction: A user has fewer candidates than a slate needs.
            DataError: The folder holds another run, or one of other code.
        """
        agent.problem.require_same(self.problem, type(agent).__name__)
        by_rows = learns_from_rows(agent, self._expected * self.slate_size)
        extras = self._tried(deepcopy(agent))
        require_numbers(agent, self._expected * extras.numbers if by_rows else 0)
        log, came = self.simulator.log, list[Totals]()
        draws = int(generators(seed, 2)[1].integers(2**63))
        identity = self._identity(agent, seed)
        log.write_header(json.dumps(identity, sort_keys=True))
        for clock in range(1, self.iterations + 1):
            if clock in log.iterations:
                self._answers(agent, self._nobody(extras), clock)  # which moves stages that count their calls
            else:
                self._serve(agent, clock, extras, draws)
            came.append(self._totals(clock))
            if by_rows:
                agent.observe(self._transitions(clock, extras, sum(totals.visits for totals in came[:-1])))
            else:
                learn_sums(agent, clock, came[-1])
            agent.update()
            if progress is not None:
                progress(clock, self.iterations)
        return came

    def _serve(self, agent: Agent, clock: int, extras: Extras, draws: int) -> None:
        functions, names = spark_functions(), (self.simulator.user, self.simulator.item)
        sampled = self._sampled(clock)
        users, shared = self._view.seen(sampled, clock)
        groups = -(-max(self._expected, 1) // CHUNK)
        group = functions.pmod(hash_of(names[0], self.simulator.seed, clock, GROUPS), functions.lit(groups))
        decide = deciding(agent, clock, shared, self._sent, names, extras, draws)
        shown = users.withColumn(GROUP, group).groupBy(GROUP).applyInArrow(decide, self._nobody(extras).schema)
        size = self.count if self.count is not None else sampled.count()
        answers = self._answers(agent, shown, clock)
        self.simulator.update_log(answers, clock, known=True, rows=size * self.slate_size)

    def _tried(self, agent: Agent) -> Extras:
        """Let an agent decide for a user of the first iteration, and return what its decision carries.

        What is wrong shows here, before anything is written.
        """
        users, shared = self._view.seen(self._sampled(1), 1)
        with clear_errors():
            one = users.limit(1).toArrow()
        name = type(agent).__name__
        return Extras.of(name, chosen(agent, one, 1, shared)[0]) if len(one) else Extras(name, {})

    def _sampled(self, clock: int) -> Any:
        return self.simulator.sample_users(clock, share=self.share, count=self.count)

    def _answers(self, agent: Agent, shown: Any, clock: int) -> Any:
        """Return what the pipeline answers to what was shown, the log's columns alone."""
        functions, simulator = spark_functions(), self.simulator
        answers = simulator.sample_responses(
            shown,
            self.pipeline,
            user_features=self.user_features,
            item_features=self.item_features,
            params=self.params(clock) if self.params else None,
            known=True,
        )
        kept = [name for name in (self.response, self.probability) if name]
        require_columns(answers, dict.fromkeys(kept, "number"), "what the pipeline returns")
        response = functions.col(self.response)
        number = response.cast("double")
        wrong = number.isNull() | functions.isnan(number)
        if agent.tags.counts:
            wrong |= ~number.between(0, 1)
        unfit = raising(f"{self.response} ", response, f"is no response that {type(agent).__name__} learns from")
        checked = functions.when(wrong, unfit).otherwise(response).alias(self.response)
        return answers.select(*shown.columns, checked, *kept[1:])

    def _totals(self, clock: int) -> Totals:
        functions, item = spark_functions(), self.simulator.item
        expected = functions.sum(self.probability) if self.probability else functions.lit(np.nan)
        sums = (functions.count("*").alias("rows"), functions.sum(self.response).alias("clicks"))
        by_item = self.simulator.log.read(clock).groupBy(item).agg(*sums, expected.alias("expected"))
        table = by_item.join(self._view.items, item).toArrow()
        places = table.column(ITEM).to_numpy()
        full = np.zeros((3, len(self._view.ids)))
        full[:, places] = [table.column(name).to_numpy() for name in ("rows", "clicks", "expected")]
        rows = full[0].astype(np.int64)
        return Totals(
            visits=int(rows.sum()) // self.slate_size,
            reward=float(full[1].sum()),
            expected=float(full[2].sum()),
            rows=rows,
            shown=rows,
            clicks=full[1],
        )

    def _transitions(self, clock: int, extras: Extras, before: int) -> Transitions:
        """Return an iteration's rows as transitions, in the order of the ids; ``before`` it were so many visits."""
        import pyarrow.compute as pc

        user, k = self.simulator.user, self.slate_size
        users, shared = self._view.seen(self._sampled(clock), clock)
        rows = self.simulator.log.read(clock).join(users, user).orderBy(user, "position").toArrow()
        observation, allowed = seen(rows.take(np.arange(0, len(rows), k)), clock, shared)
        columns = {name: rows.column(name).to_numpy().reshape(-1, k) for name in (self.response, "log_probability")}
        action = (
            pc.index_in(rows.column(self.simulator.item), self._view.ids).to_numpy().astype(np.int64).reshape(-1, k)
        )
        responses, known = columns[self.response].astype(np.float64), columns["log_probability"][:, 0]
        probability = None if np.isnan(known).any() else known
        n = len(responses)
        visit = before + np.arange(n)
        return Transitions(
            observation=observation,
            decision=Decision(action[:, 0] if k == 1 else action, probability, extras.read(rows)),
            responses=responses,
            observed=np.ones((n, k), bool),
            reward=responses.sum(axis=1),
            next_observation=observation,
            terminated=np.ones(n, bool),
            truncated=np.zeros(n, bool),
            visit=visit,
            step=visit,
            allowed=allowed,
            next_allowed=allowed,
        )

    @cached_property
    def _view(self) -> View:
        return View(self.simulator, self.selector, self.observe_user, self.user_columns, self.item_columns)

    @cached_property
    def _sent(self) -> Any:
        return self.simulator.log.spark.sparkContext.broadcast(self._view.ids)

    @property
    def _expected(self) -> int:
        """How many users are expected in an iteration."""
        return self.count if self.count is not None else round((self.share or 0.0) * self._view.digests[0][0])

    def _nobody(self, extras: Extras) -> Any:
        """Return a DataFrame of what was shown to nobody."""
        types = optional("pyspark.sql.types", "spark", "Simulation")
        simulator = self.simulator
        keys = [
            frame.select(key).schema[0]
            for frame, key in ((simulator.users, simulator.user), (simulator.items, simulator.item))
        ]
        schema = types.StructType([types.StructField(field.name, field.dataType) for field in keys])
        schema = schema.add("position", "integer").add("log_probability", "double")
        if extras.parts:
            schema = types.StructType(
                schema.fields + types.StructType.fromDDL(extras.columns.removeprefix(", ")).fields
            )
        return simulator.log.spark.createDataFrame([], schema)

    def _identity(self, agent: Agent, seed: int) -> dict[str, Any]:
        """Return what makes two runs the same; of the pipeline there is nothing but names."""
        return {
            "agent": f"{type(agent).__module__}:{type(agent).__qualname__}",
            "config_digest": digest(to_dict(agent.config)),
            "agent_stream": digest(generator_state(agent.rng)),
            "code": code_of(type(agent)),
            "seed": seed,
            "sampled": [self.simulator.seed, self.share, self.count],
            "users_and_items": self._view.digests,
            "selector": getattr(self.selector, "__qualname__", repr(self.selector)),
            "slate_size": self.slate_size,
            "seen": [self.observe_user, self.user_columns, self.item_columns],
            "columns": [self.response, self.probability],
        }
