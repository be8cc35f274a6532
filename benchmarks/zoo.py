"""Row 9: every registered agent at 1000 users a call and 1000 items."""

import time
from dataclasses import replace

import numpy as np
from gymnasium import spaces

from benchmarks.peers import transitions
from benchmarks.table import Row, short
from smartrec import agents
from smartrec.core import Problem

USERS, ITEMS, D = 1000, 1000, 10


def every_agent(quick: bool) -> list[Row]:
    """Decisions and updates of each agent, the first calls left out; no bar, for comparison among themselves."""
    rng = np.random.default_rng(0)
    space = spaces.Dict(
        user_features=spaces.Box(-5.0, 5.0, (D,), np.float32),
        clock=spaces.Discrete(1000),
    )
    features = rng.normal(size=(ITEMS, D)).astype(np.float32)
    problem = Problem.from_spaces(space, spaces.Discrete(ITEMS), item_features=features, discount=0.0)
    rounds = 2 if quick else 8
    what = f"{{}}, {USERS:,} users a call, {ITEMS:,} items, decisions + updates a CPU-second"
    speeds = {name: _speed(name, problem, rng, rounds) for name in agents.AGENTS}
    return [Row(9, what.format(name), f"{short(speed)}/s", "-", speed, "/s") for name, speed in speeds.items()]


def _speed(name: str, problem: Problem, rng: np.random.Generator, rounds: int) -> float:
    agent = agents.make(name, problem, seed=0)
    warm, spent = 2, 0.0
    for clock in range(1, warm + rounds + 1):
        users = rng.normal(size=(USERS, D)).astype(np.float32)
        observation = {"user_features": users, "clock": np.full(USERS, clock)}
        clicks = (rng.random(USERS) < 0.3).astype(float)
        started = time.process_time()
        decision = agent.act(observation)
        agent.observe(replace(transitions(observation, decision.action, clicks), decision=decision))
        agent.update()
        spent += (time.process_time() - started) * (clock > warm)
    return USERS * rounds / spent
