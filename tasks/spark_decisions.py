"""What a worker does with a group of users of a simulation: show them to the agent, and note what it shows them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.arrays import BoolArray, IntArray, Observation
from smartrec.core.decision import Candidates, Decision, Items, Mask
from smartrec.core.errors import InvalidAction
from smartrec.envs.actions import as_items, refuse_illegal
from smartrec.tasks.spark_extras import Extras

GROUP, NUMBER, FEATURE, ALLOWED = "__group", "__user", "__feature", "__allowed"
"""Columns of a table of users beside their ids: the group they are decided in, their numbers, their features (with a
number each), the numbers of the items that they may be shown."""


def seen(users: Any, clock: int, shared: BoolArray | None) -> tuple[Observation, Candidates | None]:
    """Return what an agent sees of a table of N users, and what it may choose from.

    Args:
        users: Arrow table with ``NUMBER``, ``FEATURE`` and ``ALLOWED``, as far as there are.
        clock: The iteration.
        shared: bool [I], what all users alike may be shown; None for everything, or where each has items of his own.
    """
    names = users.column_names
    observation = {"clock": np.full(len(users), clock)}
    if NUMBER in names:
        observation["user"] = users.column(NUMBER).to_numpy().copy()  # Arrow's own memory cannot be written
    features = [users.column(name).to_numpy() for name in names if name.startswith(FEATURE)]
    if features:
        observation["user_features"] = np.column_stack(features).astype(np.float32)
    if ALLOWED in names:
        return observation, Items(_filled(users.column(ALLOWED).combine_chunks()))
    return observation, None if shared is None else Mask(shared[None])


def deciding(
    agent: Agent, clock: int, shared: BoolArray | None, ids: Any, names: tuple[str, str], extras: Extras, seed: int
) -> Callable[[Any], Any]:
    """Return the function that decides a group of users.

    Every group meets the agent in the order of its ids and with a random stream of its own, whoever works it out.

    Args:
        agent: As it is at the beginning of the iteration.
        clock: The iteration.
        shared: As for ``seen``.
        ids: Broadcast Arrow array [I], the id of each item's number.
        names: Of the columns of users and of items.
        extras: What its decisions carry.
        seed: Of the agent's draws, >= 0.
    """

    def decide(table: Any) -> Any:
        table = table.sort_by(names[0])
        agent.rng = np.random.default_rng([seed, clock, table.column(GROUP)[0].as_py()])
        return decided(agent, table, clock, shared, ids.value, names, extras)

    return decide


def decided(
    agent: Agent, users: Any, clock: int, shared: BoolArray | None, ids: Any, names: tuple[str, str], extras: Extras
) -> Any:
    """Return what an agent shows a table of users, a row an item.

    The columns are users, items, ``position``, ``log_probability``, and what decisions carry.

    Raises:
        InvalidAction: It shows what it may not.
        InvalidConfig: Its decisions carry something else than ``extras`` says.
    """
    import pyarrow as pa

    decision, items = chosen(agent, users, clock, shared)
    n, k = items.shape
    known = np.full(n, np.nan) if decision.log_probability is None else decision.log_probability
    columns = {
        names[0]: users.column(names[0]).take(pa.array(np.repeat(np.arange(n), k))),
        names[1]: ids.take(pa.array(items.ravel())),
        "position": pa.array(np.tile(np.arange(k, dtype=np.int32), n)),
        "log_probability": pa.array(np.repeat(known, k).astype(np.float64)),
        **dict(extras.written(decision, k)),
    }
    return pa.table(columns)


def chosen(agent: Agent, users: Any, clock: int, shared: BoolArray | None) -> tuple[Decision, IntArray]:
    """Return an agent's decision for a table of users, and the numbers of the items that it shows, int [N, K].

    Raises:
        InvalidAction: It shows what it may not.
    """
    observation, allowed = seen(users, clock, shared)
    n = len(users)
    decision = agent.act(observation, first=np.ones(n, bool), allowed=allowed)
    items = as_items(decision.action, n, agent.problem.slate_size, agent.items)
    refuse_illegal(items, allowed if isinstance(allowed, Mask) else None)
    if isinstance(allowed, Items):
        _refuse_others(items, allowed)
    return decision, items


def _filled(lists: Any) -> IntArray:
    """Return lists of numbers as int [N, C], rows that are shorter, or missing, filled up with -1."""
    lengths = np.nan_to_num(lists.value_lengths().to_numpy(zero_copy_only=False)).astype(np.int64)
    rows = np.full((len(lists), lengths.max(initial=0)), -1, np.int64)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = lists.flatten().to_numpy()
    return rows


def _refuse_others(items: IntArray, allowed: Items) -> None:
    for place in range(items.shape[1]):
        wrong = np.flatnonzero(~(allowed.items == items[:, [place]]).any(axis=1))
        if len(wrong):
            raise InvalidAction(
                f"item {items[wrong[0], place]} is not allowed in lane {wrong[0]}; choose among those of the selector"
            )
