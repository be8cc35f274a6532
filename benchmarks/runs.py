"""Rows 6 and 8: how long whole runs take, and whether memory grows with what was decided."""

import gc
import statistics
import tracemalloc
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from benchmarks.peers import transitions
from benchmarks.table import Row, seconds
from benchmarks.timing import in_turn
from smartrec import agents, evaluation

BANDITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("random", {}),
    ("epsilon_greedy", {}),
    ("ucb", {}),
    ("thompson", {}),
    ("thompson", {"discount": 0.7}),
)
LANES = 1000
MOST_BYTES = 20_000
"""A fiftieth of a byte a visit, over a million visits: less than anything that is kept a visit could take."""


def whole_runs(quick: bool) -> list[Row]:
    """Each bandit on tasks 1 and 3, the environment there already."""
    rows = []
    for task in (1, 3):
        envs = gymnasium.make_vec(f"SmartRec/Task{task}-v0", num_envs=500)
        times = in_turn([_run(envs, name, config) for name, config in BANDITS], 1 if quick else 7)
        for (name, config), taken in zip(BANDITS, times, strict=True):
            label = " ".join([name, *(f"{option} {value:g}" for option, value in config.items())])
            took = statistics.median(taken)
            rows.append(Row(6, f"task {task}, a whole run of {label}", seconds(took), "-", took, "s", bar=0.2))
    return rows


def memory(quick: bool) -> list[Row]:
    """Bytes that an agent and its world hold more after a million visits (100,000 if quick)."""
    rows = []
    steps = 100 if quick else 1000
    for name in ("thompson", "lin_ucb"):
        grown = _growth(name, steps)
        what = f"memory held after {steps * LANES:,} more visits of {name}, task 2, N = {LANES:,}"
        rows.append(Row(8, what, f"{grown:+,} B", "-", grown, "B", bar=MOST_BYTES))
    return rows


def _run(envs: gymnasium.vector.VectorEnv[Any, Any, Any], name: str, config: dict[str, Any]) -> Callable[[], None]:
    def run() -> None:
        evaluation.run(agents.make(name, envs, seed=1, **config), envs, seed=0)

    return run


def _growth(name: str, steps: int) -> int:
    envs = gymnasium.make_vec(
        "SmartRec/Task2-v0", num_envs=LANES, n_users=10 * LANES, users_per_iteration=LANES, iterations=2 * steps
    )
    agent = agents.make(name, envs, seed=1)
    observation, _ = envs.reset(seed=0)
    warm = 20
    tracemalloc.start()
    before = 0
    for step in range(warm + steps):
        if step == warm:
            before = _held()
        decision = agent.act(observation)
        seen, (observation, reward, *_) = observation, envs.step(decision.action)
        agent.observe(transitions(seen, decision.action, np.asarray(reward)))
        agent.update()
    grown = _held() - before
    tracemalloc.stop()
    return grown


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
