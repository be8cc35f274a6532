"""Rows 10 and 11: gradient steps and decisions of continuous agents against Stable-Baselines3, and the look-up."""

import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from benchmarks.peers import missing, named
from benchmarks.table import Row, short
from benchmarks.timing import in_turn
from smartrec import agents
from smartrec.agents import Agent
from smartrec.core import Decision, Problem, Transitions
from smartrec.core.nearest import NearestItems

STATE, ACTION, BATCH, HIDDEN = 300, 128, 256, (256, 256)
KEPT = 2000
SB3 = "stable-baselines3"


class _Still(gym.Env[Any, Any]):
    """Nothing happens; Stable-Baselines3 asks for an environment."""

    observation_space = spaces.Box(-1.0, 1.0, (STATE,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (ACTION,), np.float32)


def continuous(quick: bool) -> list[Row]:
    """Gradient steps of ddpg and td3, then decisions of td3 for 256 and 4096 users a call; one thread each."""
    one_thread()
    rows = [_gradient_steps(name, 3 if quick else 12) for name in ("ddpg", "td3")]
    return rows + [_acting(users, 2 if quick else 10) for users in (256, 4096)]


def look_up(quick: bool) -> list[Row]:
    """The 32 nearest of 10,000 and of 100,000 items to 256 vectors, against faiss on the same table."""
    rows, rng = [], np.random.default_rng(0)
    reason = missing("faiss", "faiss-cpu")
    for items in (10_000, 100_000):
        table = rng.normal(size=(items, ACTION)).astype(np.float32)
        vectors = rng.normal(size=(BATCH, ACTION)).astype(np.float32)
        what = f"32 nearest of {items:,} items to {BATCH} vectors, d={ACTION}, exact, look-ups a CPU-second"
        ours = NearestItems(table)
        sides: list[Callable[[], object]] = [partial(ours.find, vectors, 32)]
        if not reason:
            index = import_module("faiss").IndexFlatL2(ACTION)
            index.add(table)
            sides.append(partial(index.search, vectors, 32))
        times = in_turn(sides, 2 if quick else 5, time.process_time)
        mine, *theirs = (BATCH / min(side) for side in times)
        told = f"{named('faiss-cpu')} {short(theirs[0])}/s" if theirs else reason
        rows.append(Row(11, what, f"{short(mine)}/s", told, mine / theirs[0] if theirs else None, at_least=True))
    return rows


def one_thread() -> None:
    """Give PyTorch one thread."""
    import_module("torch").set_num_threads(1)


def _gradient_steps(name: str, rounds: int) -> Row:
    """Compare gradient steps, drawing the batch counted in."""
    size = f"state {STATE}, action {ACTION}, batch {BATCH}, hidden {HIDDEN[0]} x {HIDDEN[1]}"
    what, bars = f"{name}, {size}, gradient steps a CPU-second", {"bar": 1.25, "at_least": True, "goal": 1.4}
    reason = missing("stable_baselines3", SB3)
    if reason:
        return Row(10, what, "-", reason, None, **bars)  # type: ignore[arg-type]
    steps, ours, theirs = 10, _ours(name), _theirs(name.upper())

    def mine() -> None:
        ours.cadence.count(steps)
        ours.update()

    sides = [mine, lambda: theirs.train(gradient_steps=steps, batch_size=BATCH)]
    here, there = (steps / min(side) for side in in_turn(sides, rounds, time.process_time))
    return Row(10, what, f"{short(here)}/s", f"{named(SB3)} {short(there)}/s", here / there, **bars)  # type: ignore[arg-type]


def _acting(users: int, rounds: int) -> Row:
    what = f"td3, state {STATE}, action {ACTION}, {users:,} users a call, decisions a CPU-second"
    reason = missing("stable_baselines3", SB3)
    if reason:
        return Row(10, what, "-", reason, None)
    ours, theirs = _ours("td3"), _theirs("TD3")
    seen = np.random.default_rng(0).uniform(-1, 1, (users, STATE)).astype(np.float32)
    sides = [
        lambda: ours.act({"observation": seen}, explore=False),
        lambda: theirs.predict(seen, deterministic=True),
    ]
    here, there = (users / min(side) for side in in_turn(sides, rounds, time.process_time))
    return Row(10, what, f"{short(here)}/s", f"{named(SB3)} {short(there)}/s", here / there, at_least=True)


def _ours(name: str) -> Any:
    """Return our agent with some experience."""
    problem = Problem.from_spaces(_Still.observation_space, _Still.action_space)
    options = {"hidden": HIDDEN, "batch": BATCH, "warmup": 0, "train_every": 1}
    agent: Agent = agents.make(name, problem, seed=0, **options)
    seen, action, reward, following = _happened()
    ended = np.zeros(KEPT, bool)
    agent.observe(
        Transitions(
            observation={"observation": seen},
            decision=Decision(action),
            responses=reward[:, None],
            observed=~ended[:, None],
            reward=reward,
            next_observation={"observation": following},
            terminated=ended,
            truncated=ended,
            visit=np.arange(KEPT),
            step=np.arange(KEPT),
        )
    )
    agent.cadence.due()  # type: ignore[attr-defined]
    return agent


def _theirs(name: str) -> Any:
    """Return Stable-Baselines3's algorithm with the same experience."""
    algorithm = getattr(import_module("stable_baselines3"), name)
    logger = import_module("stable_baselines3.common.logger")
    options = {"policy_kwargs": {"net_arch": list(HIDDEN)}, "buffer_size": KEPT, "device": "cpu", "seed": 0}
    learner = algorithm("MlpPolicy", _Still(), batch_size=BATCH, **options)
    learner.set_logger(logger.Logger(folder=None, output_formats=[]))
    seen, action, reward, following = _happened()
    for row in range(KEPT):
        at = slice(row, row + 1)
        learner.replay_buffer.add(seen[at], following[at], action[at], reward[at], np.zeros(1, bool), [{}])
    return learner


def _happened() -> tuple[Any, ...]:
    """Return states, actions, rewards and next states."""
    rng = np.random.default_rng(0)
    seen, following = rng.uniform(-1, 1, (2, KEPT, STATE)).astype(np.float32)
    action = rng.uniform(-1, 1, (KEPT, ACTION)).astype(np.float32)
    return seen, action, rng.normal(size=KEPT), following
