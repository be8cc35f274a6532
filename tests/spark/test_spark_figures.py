"""Figures of a run on Spark against those of the loop: recovery, static regret, time to learn."""

import time

import gymnasium as gym
import numpy as np
import pytest

import smartrec
from smartrec.agents.base import Agent
from smartrec.core.decision import Decision
from smartrec.core.seeding import generators
from smartrec.envs.spark.visits import Visits
from smartrec.evaluation import run as run_here
from smartrec.evaluation.behaviour import last_change
from smartrec.tasks.spark import run
from smartrec.tasks.spark_rows import served
from smartrec.tasks.spark_transitions import transitions_of

pytestmark = [pytest.mark.spark, pytest.mark.slow]
USERS, ITERATIONS, DISCOUNT = 600, 20, 0.85
SEEDS = 60


def made(num_envs):
    return gym.make_vec("SmartRec/Task3-v0", num_envs=num_envs, n_users=USERS, iterations=ITERATIONS)


def by_hand(seed):
    """Recovery and static regret of a run of the Spark protocol, worked out here."""
    envs = made(1)
    base = envs.unwrapped
    agent = smartrec.agents.make("thompson", envs, seed=seed, discount=DISCOUNT)
    of_world, of_agent = (int(generators(seed, n)[n - 1].integers(2**63)) for n in (1, 2))
    visits, expected = Visits(base.crowd, base.settings, of_world), []
    for clock in range(1, ITERATIONS + 1):
        agent.rng = np.random.default_rng([of_agent, clock, 0, False, True])
        (batch,) = served(agent, visits.serve(clock, 0), True)
        columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}
        expected.append(columns["expected"].mean())
        agent.observe(transitions_of(columns, visits, clock))
    p = np.array([base.crowd.model.probability(np.zeros(1, int), np.arange(10)[None], base.crowd.model.at(clock))[0]
                  for clock in range(1, ITERATIONS + 1)])  # fmt: skip
    change = last_change(lambda clocks: p[np.array(clocks) - 1].mean(axis=0).max(), ITERATIONS)
    good = np.array(expected) >= 0.9 * p.max(axis=1)
    after = [t for t in range(change - 1, ITERATIONS - 2) if good[t : t + 3].all()]
    recovery = after[0] - (change - 1) if after else ITERATIONS + 1 - change
    return [recovery, USERS // 10 * (ITERATIONS * p.mean(axis=0).max() - np.sum(expected))]


def test_recovery_and_static_regret_are_the_same_by_hand_and_within_three_standard_errors_of_the_loop(spark, tmp_path):
    names = ("recovery", "static_regret")
    for seed in range(2):
        envs = made(1)
        agent = smartrec.agents.make("thompson", envs, seed=seed, discount=DISCOUNT)
        found = run(agent, envs, spark=spark, seed=seed, folder=str(tmp_path / str(seed))).metrics
        np.testing.assert_allclose([found[name] for name in names], by_hand(seed), atol=1e-9)
    ours, many, theirs = np.array([by_hand(seed) for seed in range(SEEDS)]), made(USERS // 10), []
    for seed in range(SEEDS):
        agent = smartrec.agents.make("thompson", many, seed=seed, discount=DISCOUNT)
        metrics = run_here(agent, many, seed=seed).metrics
        theirs.append([metrics[name] for name in names])
    assert found.keys() - metrics.keys() == {"cycle_s"}
    assert metrics.keys() <= found.keys()
    error = np.sqrt((ours.var(axis=0, ddof=1) + np.var(theirs, axis=0, ddof=1)) / SEEDS)
    assert (error > 0).all()
    assert (abs(ours.mean(axis=0) - np.mean(theirs, axis=0)) <= 3 * error).all()


class Slow(Agent):
    """Takes 30 ms to observe and 20 ms to update."""

    def act(self, observation, *, first=None, allowed=None, explore=True):
        return Decision(self.rng.integers(2, size=len(observation["clock"])))

    def observe(self, transitions):
        time.sleep(0.03)

    def update(self):
        time.sleep(0.02)
        return {}


def test_the_time_to_learn_is_the_drivers(spark, tmp_path):
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=100, iterations=4)
    found = run(Slow(envs.unwrapped.problem, seed=0), envs, spark=spark, seed=0, folder=str(tmp_path / "log")).metrics
    assert 5000 <= found["learning_us"] < 8000  # 4 x 50 ms over 40 visits
    assert found["learning_us"] < 1e6 * found["cycle_s"] * 4 / 40
