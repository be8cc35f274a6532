"""What decisions carry on Spark: any type and shape comes back, what no column holds is refused by name."""

import gymnasium as gym
import numpy as np
import pytest

import smartrec
from smartrec.agents.base import Agent, Tags
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.seeding import generators
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.visits import Visits
from smartrec.tasks.spark import run
from smartrec.tasks.spark_cycle import SparkCycle
from smartrec.tasks.spark_rows import served

pytestmark = [pytest.mark.spark, pytest.mark.slow]
SEED, MOST = 4, 25


class Carrying(Agent):
    """Shows item 0 or 1, and wants back whatever ``carried`` says."""

    tags = Tags(slates=False)

    def carried(self, observation):
        n = len(observation["clock"])
        return {name: value[:n] for name, value in EVERYTHING.items()}

    def act(self, observation, *, first=None, allowed=None, explore=True):
        return Decision(self.rng.integers(2, size=len(observation["clock"])), None, self.carried(observation))

    def observe(self, transitions):
        self.came = transitions


RNG = np.random.default_rng(0)
EVERYTHING = {
    "flags": RNG.random((MOST, 2, 3)) < 0.5,
    "bytes_": RNG.integers(-128, 128, (MOST,), np.int8),
    "shorts": RNG.integers(-(2**15), 2**15, (MOST, 1), np.int16),
    "ints": RNG.integers(-(2**31), 2**31, (MOST, 2), np.int32),
    "longs": RNG.integers(-(2**62), 2**62, (MOST, 2), np.int64),
    "floats": np.where(RNG.random((MOST, 4)) < 0.3, np.nan, RNG.standard_normal((MOST, 4))).astype(np.float32),
    "doubles": np.array([0.0, -0.0, np.inf, -np.inf, 5e-324])[RNG.integers(5, size=(MOST, 3, 1, 2))],
    "none": np.zeros((MOST, 0)),
}


def test_every_type_and_shape_comes_back(spark, tmp_path):
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=50, users_per_iteration=20, iterations=1)
    agent = Carrying(envs.unwrapped.problem, seed=0)
    run(agent, envs, spark=spark, seed=SEED, folder=str(tmp_path / "log"))
    found = agent.came.decision.extras
    assert set(found) == set(EVERYTHING)
    of_world = int(generators(SEED, 1)[0].integers(2**63))
    base = envs.unwrapped
    order = np.argsort(Visits(base.crowd, base.settings, of_world).serve(1, 0).users)
    for name, value in EVERYTHING.items():
        assert found[name].tobytes() == value[:20][order].tobytes()
        assert (found[name].dtype, found[name].shape) == (value.dtype, (20, *value.shape[1:]))


class Repeating(Agent):
    """Shows item 0 twice, and is sure of it."""

    def act(self, observation, *, first=None, allowed=None, explore=True):
        n = len(observation["clock"])
        return Decision(np.zeros((n, 2), int), np.zeros(n))


def test_how_likely_it_was_is_not_known_where_the_world_shows_another_slate():
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=50, slate_size=2, on_repeat="replace")
    base = envs.unwrapped
    lanes = Visits(base.crowd, base.settings, 0).serve(1, 0)
    (batch,) = served(Repeating(base.problem, seed=0), lanes, True)
    items = batch.column("item_idx").to_numpy().reshape(-1, 2)
    assert (items[:, 0] != items[:, 1]).all()
    assert np.isnan(batch.column("log_probability").to_numpy()).all()


class WithObjects(Carrying):
    def carried(self, observation):
        return {"note": np.array(["a"] * len(observation["clock"]), object)}


class WithOne(Carrying):
    def carried(self, observation):
        return {"temperature": np.float32(1)}


class WithTwins(Carrying):
    def carried(self, observation):
        return {"a": np.zeros(len(observation["clock"])), "A": np.zeros(len(observation["clock"]))}


class Changing(Carrying):
    def carried(self, observation):
        return {"proto": np.zeros(len(observation["clock"]), np.float32 if observation["clock"][0] < 2 else float)}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (WithObjects, r"extras\['note'\] of WithObjects's decisions is object \(1,\), and the log has no column"),
        (WithOne, r"extras\['temperature'\] of WithOne's decisions is float32, and the log has no column for it"),
        (WithTwins, r"extras\['a'\] of WithTwins's decisions cannot name a column"),
    ],
)
def test_what_no_column_holds_is_refused_before_anything_runs(spark, tmp_path, kind, message):
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=50)
    with pytest.raises(InvalidConfig, match=message):
        run(kind(envs.unwrapped.problem, seed=0), envs, spark=spark, seed=0, folder=str(tmp_path / "log"))
    assert not (tmp_path / "log").exists()


def test_extras_that_change_are_named(spark, tmp_path):
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=50, iterations=3)
    message = r"decisions were proto: float32 \(\), and then proto: float64 \(\); allowed on Spark: the same names"
    with pytest.raises(InvalidConfig, match=message):
        run(Changing(envs.unwrapped.problem, seed=0), envs, spark=spark, seed=0, folder=str(tmp_path / "log"))
    assert IterationLog(spark, str(tmp_path / "log"), resume=True).iterations == [1]


def test_a_log_of_other_columns_is_refused(spark, tmp_path):
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=50, slate_size=2)
    base = envs.unwrapped
    visits = Visits(base.crowd, base.settings, 0)
    SparkCycle(smartrec.agents.make("random", envs, seed=0), visits, IterationLog(spark, str(tmp_path)), 0).iterate(1)
    log = IterationLog(spark, str(tmp_path), resume=True)
    with pytest.raises(InvalidInput, match=r"does not fit the log in .* \(extra_inclusion: array<double>, not none\)"):
        SparkCycle(smartrec.agents.make("exp3", envs, seed=0), visits, log, 0).iterate(1)
