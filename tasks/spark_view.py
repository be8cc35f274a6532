"""What agents see of a simulator's DataFrames: numbers for ids of any kind, features, and what may be shown."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from smartrec.core.arrays import BoolArray, FloatArray
from smartrec.core.errors import InvalidInput
from smartrec.core.optional import optional
from smartrec.core.problem import Problem
from smartrec.core.slate import Slate
from smartrec.core.spark import clear_errors, require_columns
from smartrec.envs.spark.numbers import digest_of, numbered
from smartrec.envs.spark.selectors import Selector, all_items
from smartrec.envs.spark.simulator import Simulator
from smartrec.tasks.spark_decisions import ALLOWED, FEATURE, NUMBER

ITEM = "__item"
"""Column of the numbers of items."""


@dataclass(frozen=True, eq=False)
class View:
    """Users and items of a simulator as agents see them; ids are numbered in ascending order.

    Attributes:
        simulator: Users and items.
        selector: What a user may be shown.
        observe_user: Whether the agent sees the users' numbers.
        user_columns: Columns of users that it sees as ``user_features``.
        item_columns: Columns of items that are the problem's ``item_features``.

    Raises:
        InvalidInput: A column is missing or not of numbers.
    """

    simulator: Simulator
    selector: int | Selector
    observe_user: bool
    user_columns: tuple[str, ...]
    item_columns: tuple[str, ...]

    def __post_init__(self) -> None:
        require_columns(self.simulator.users, dict.fromkeys(self.user_columns, "number"), "users")
        require_columns(self.simulator.items, dict.fromkeys(self.item_columns, "number"), "items")

    def problem(self, iterations: int, slate_size: int, lanes: int) -> Problem:
        """Return what agents are made for.

        Raises:
            InvalidInput: A column has a missing or infinite value.
        """
        (users, _), (items, _) = self.digests
        parts: dict[str, spaces.Space[Any]] = {}
        if self.observe_user:
            parts["user"] = spaces.Discrete(users)
        if self.user_columns:
            low, high = _bounds(self.simulator.users, self.user_columns, "users")
            parts["user_features"] = spaces.Box(low, np.where(high > low, high, low + 1), dtype=np.float32)
        parts["clock"] = spaces.Discrete(iterations + 2)
        actions = spaces.Discrete(items) if slate_size == 1 else Slate(items, slate_size)
        features = self._item_features() if self.item_columns else None
        return Problem.from_spaces(spaces.Dict(parts), actions, lanes=lanes, item_features=features, discount=0.0)

    def seen(self, sampled: Any, clock: int) -> tuple[Any, BoolArray | None]:
        """Return users as ``spark_decisions.seen`` takes them, and the items [I] that all of them may be shown.

        Args:
            sampled: DataFrame of the simulator's users of an iteration.
            clock: The iteration.

        Raises:
            InvalidInput: The selector has no column of items, or names an unknown one; this a worker may notice later.
        """
        functions, user = spark_functions(), self.simulator.user
        features = [functions.col(name).cast("double") for name in self.user_columns]
        users = sampled.select(user, *(column.alias(f"{FEATURE}{n}") for n, column in enumerate(features)))
        if self.observe_user:
            users = users.join(self._users, user)
        if self.selector is all_items:
            return users, None
        selected = self.simulator.select(sampled, clock, self.selector)
        number = self._known_number().alias(ITEM)
        selected = selected.join(functions.broadcast(self.items), self.simulator.item, "left")
        if user in selected.columns:
            lists = functions.sort_array(functions.collect_set(number)).alias(ALLOWED)
            return users.join(selected.groupBy(user).agg(lists), user, "left"), None
        shared = np.zeros(len(self.ids), bool)
        with clear_errors():
            shared[selected.select(number).toArrow().column(ITEM).to_numpy()] = True
        return users, shared

    @cached_property
    def items(self) -> Any:
        """DataFrame of the ids of items with their numbers."""
        return numbered(self.simulator.items, self.simulator.item, ITEM)

    @cached_property
    def ids(self) -> Any:
        """Arrow array [I], the id of each number."""
        return self.items.orderBy(ITEM).toArrow().column(self.simulator.item).combine_chunks()

    @cached_property
    def digests(self) -> tuple[tuple[int, str], tuple[int, str]]:
        """How many users and items there are, and what tells them from others."""
        simulator = self.simulator
        return digest_of(simulator.users, simulator.user), digest_of(simulator.items, simulator.item)

    @cached_property
    def _users(self) -> Any:
        return numbered(self.simulator.users, self.simulator.user, NUMBER)

    def _known_number(self) -> Any:
        functions, item = spark_functions(), self.simulator.item
        unknown = raising(f"{item} ", functions.col(item), "of the selector is unknown; allowed: the simulator's items")
        return functions.when(functions.col(ITEM).isNull(), unknown).otherwise(functions.col(ITEM))

    def _item_features(self) -> FloatArray:
        _bounds(self.simulator.items, self.item_columns, "items")
        item = self.simulator.item
        table = self.simulator.items.select(item, *self.item_columns).join(self.items, item).orderBy(ITEM).toArrow()
        return np.column_stack([table.column(name).to_numpy() for name in self.item_columns]).astype(np.float64)


def _bounds(frame: Any, columns: tuple[str, ...], name: str) -> tuple[FloatArray, FloatArray]:
    """Return the least and the largest value of each column, float32 [D] each.

    Raises:
        InvalidInput: A value is missing or infinite.
    """
    functions = spark_functions()
    numbers = [functions.col(column).cast("double") for column in columns]
    finite = [functions.abs(number) < functions.lit(np.inf) for number in numbers]  # false for NaN, null for null
    bad = [functions.sum(functions.when(good, 0).otherwise(1)) for good in finite]
    found = frame.agg(*map(functions.min, numbers), *map(functions.max, numbers), *bad).first()
    low, high, wrong = np.array(found, object).reshape(3, -1)
    for column, count in zip(columns, wrong, strict=True):
        if count:
            raise InvalidInput(f"column {column!r} of {name} has {count} missing or infinite values; allowed: none")
    return low.astype(np.float32), high.astype(np.float32)


def raising(before: str, value: Any, after: str) -> Any:
    """Return a column that raises ``InvalidInput`` with a value where Spark comes to work it out."""
    functions = spark_functions()
    text = functions.coalesce(value.cast("string"), functions.lit("null"))
    start = functions.lit(f"smartrec.core.errors.InvalidInput: {before}")
    return functions.raise_error(functions.concat(start, text, functions.lit(f" {after}\n")))


def spark_functions() -> Any:
    """Return Spark's functions of columns."""
    return optional("pyspark.sql.functions", "spark", "Simulation")
