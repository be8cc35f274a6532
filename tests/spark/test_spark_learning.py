"""Agents on Spark meet and learn, bit for bit, what they would from the same visits served here one after the other.

What decisions carry comes back as it was made, and users show what they did, in mid-visit and across iterations.
"""

import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest

import smartrec
from smartrec.core.errors import InvalidConfig
from smartrec.core.seeding import generators
from smartrec.core.transitions import Transitions
from smartrec.envs.history import History
from smartrec.envs.lanes import Lanes
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.visits import Visits
from smartrec.evaluation.episodes import seen
from smartrec.tasks import spark_cycle
from smartrec.tasks.spark import run
from smartrec.tasks.spark_cycle import SparkCycle

pytestmark = [pytest.mark.spark, pytest.mark.slow]

CHUNK, USERS, COME, ITERATIONS, SEED = 25, 90, 60, 3, 4
SMALL = {"hidden": (8,), "train_every": 8, "warmup": 16, "embedding": 4}
GRU = {**SMALL, "encoder": "gru", "encoder_size": 6}
SESSIONS = {"session_length": 2, "history": 5}
CASES = {
    "ddpg": (2, {}, "ddpg", {**SMALL, "batch": 8}),
    "bcq with candidates": (2, {"slate_size": 2, "candidates": 6}, "bcq", {**SMALL, "batch": 8, "samples": 3}),
    "reinforce": (1, {"slate_size": 3, "choice": "cascade"}, "reinforce", {**SMALL, "correction": "off_policy"}),
    "exp3": (1, {"slate_size": 2}, "exp3", {}),
    "ppo": (2, {}, "ppo", {"every": 50, "options": {"batch_size": 20, "n_epochs": 1}}),
    "dqn with a memory": (1, SESSIONS, "dqn", {**GRU, "batch_size": 8}),
    "dqn with a memory of slates": (
        2, {**SESSIONS, "slate_size": 3, "choice": "cascade"}, "dqn", {**GRU, "batch_size": 8},
    ),
    "td3 with a memory of slates": (3, {**SESSIONS, "history": 3, "slate_size": 2}, "td3", {**GRU, "batch": 8}),
    "thompson where users remember": (1, {**SESSIONS, "slate_size": 2}, "thompson", {}),
}  # fmt: skip


def made(case):
    task, options, name, config = CASES[case]
    envs = gym.make_vec(
        f"SmartRec/Task{task}-v0", num_envs=1, n_users=USERS, users_per_iteration=COME, iterations=ITERATIONS, **options
    )
    return envs, smartrec.agents.make(name, envs, seed=7, **config)


class Here:
    """The same run without Spark: chunks in turn, one table of what users did, written as in a stream of visits."""

    def __init__(self, envs, agent):
        self.base, self.agent, self.learnt = envs.unwrapped, agent, []
        of_world = int(generators(SEED, 1)[0].integers(2**63))
        self.of_agent = int(generators(SEED, 2)[1].integers(2**63))
        self.visits = Visits(self.base.crowd, self.base.settings, of_world, CHUNK)
        self.history = History(USERS, self.base.crowd.n_items, self.base.settings.history or 1)
        for clock in range(1, ITERATIONS + 1):
            self.learn(self.transitions(clock))
        self.final, _ = self.census(True)
        _, self.exploit = self.census(False)

    def chunks(self, clock, explore, census=False, history=None):
        """Each step of each chunk: transitions, and expected clicks."""
        settings, shows = self.base.settings, self.base.settings.history
        for chunk in range(self.visits.chunks(census)):
            parts = self.visits.serve(clock, chunk, census, past=self.history if shows else None).parts
            lanes = Lanes(self.base.crowd, settings, parts, history if shows else None, None)
            actor = pickle.loads(pickle.dumps(self.agent))
            actor.rng = np.random.default_rng([self.of_agent, clock, chunk, census, explore])
            for step in range(settings.session_length):
                observation, allowed = seen(lanes.observation)
                first = np.full(len(lanes.users), step == 0)
                decision = actor.act(observation, first=first, allowed=allowed, explore=explore)
                outcome = lanes.respond(decision.action)
                then, next_allowed = seen(lanes.observation)
                done, steps = np.full(len(first), lanes.done), np.full(len(first), step)
                transitions = Transitions(
                    observation, decision, outcome.responses, outcome.observed, outcome.reward, then, done,
                    np.zeros_like(done), lanes.visit, steps, allowed, next_allowed,
                )  # fmt: skip
                yield transitions, outcome.expected

    def transitions(self, clock):
        whole = joined([step for step, _ in self.chunks(clock, True, history=self.history)])
        order = np.lexsort((whole.step, whole.observation["user"]))
        whole = whole[order]
        visit = (clock - 1) * COME + np.arange(len(order)) // self.base.session_length
        vars(whole).update(visit=visit, step=visit * self.base.session_length + whole.step)
        return whole

    def learn(self, transitions):
        self.learnt.append(transitions)
        self.agent.observe(transitions)
        self.agent.update()

    def census(self, explore):
        """Return clicks and expected clicks a user."""
        steps = list(self.chunks(ITERATIONS + 1, explore, census=True, history=self.history.copy()))
        return sum(step.reward.sum() for step, _ in steps) / USERS, sum(sure.sum() for _, sure in steps) / USERS


def joined(steps):
    def cat(*values):
        if values[0] is None:
            return None
        if isinstance(values[0], dict):
            return {key: cat(*(value[key] for value in values)) for key in values[0]}
        if isinstance(values[0], np.ndarray):
            return np.concatenate(values)
        return type(values[0])(*(cat(*parts) for parts in zip(*(vars(v).values() for v in values), strict=True)))

    return cat(*steps)


def require_same(found, expected):
    """Demand the same parts, types and bits."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            require_same(found[key], value)
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)
    elif expected is None:
        assert found is None
    else:
        assert type(found) is type(expected)
        require_same(vars(found), vars(expected))


def require_same_agents(found, expected, folder):
    for name, agent in (("found", found), ("expected", expected)):
        agent.save(folder / name)
    texts = [(folder / name / "agent.json").read_text() for name in ("found", "expected")]
    assert texts[0] == texts[1]
    require_same(*(dict(np.load(folder / name / "arrays.npz")) for name in ("found", "expected")))


@pytest.fixture
def seen_here(monkeypatch):
    """What transitions the driver makes of the log, and its cycles; worlds come in small chunks."""
    learnt, cycles, original = [], [], spark_cycle.transitions_of

    def note(*arguments):
        learnt.append(original(*arguments))
        return learnt[-1]

    def cycle(*arguments):
        cycles.append(SparkCycle(*arguments))
        return cycles[-1]

    monkeypatch.setattr(spark_cycle, "transitions_of", note)
    monkeypatch.setattr("smartrec.tasks.spark.SparkCycle", cycle)
    monkeypatch.setattr("smartrec.tasks.spark.Visits", partial(Visits, chunk_size=CHUNK))
    return learnt, cycles


@pytest.mark.parametrize("case", CASES)
def test_an_agent_learns_what_it_would_here(spark, tmp_path, seen_here, case):
    envs, agent = made(case)
    here = Here(*made(case))
    record = run(agent, envs, spark=spark, seed=SEED, folder=str(tmp_path / "log"))
    learnt, (cycle,) = seen_here
    for found, expected in zip(learnt, here.learnt, strict=not agent.tags.counts):
        require_same(found, expected)
    require_same_agents(agent, here.agent, tmp_path)
    if envs.unwrapped.settings.history:
        require_same(cycle._past, here.history)
    clicks = sum(part.reward.sum() for part in here.learnt)
    assert record.metrics["loop"] * ITERATIONS * COME == pytest.approx(clicks)
    assert record.metrics["final"] == pytest.approx(here.final)
    assert record.metrics["exploit"] == pytest.approx(here.exploit)


def log_of(spark, folder):
    order = ("__iter", "user_idx", "step", "position")
    table = spark.read.parquet(f"{folder}/log.parquet").orderBy(*order).toArrow()
    return table.select(sorted(table.column_names)).to_pydict()


def test_a_run_that_died_goes_on_with_what_users_did_and_what_decisions_carried(spark, tmp_path, seen_here):
    case = "td3 with a memory of slates"
    learnt, _ = seen_here

    def go(folder, **options):
        envs, agent = made(case)
        learnt.clear()
        return agent, run(agent, envs, spark=spark, seed=SEED, folder=str(folder), **options).metrics

    def die(done, _):
        if done == 2:
            raise KeyboardInterrupt

    whole, metrics = go(tmp_path / "whole")
    expected = list(learnt)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", progress=die)
    cut, again = go(tmp_path / "cut", resume=True)
    for found, other in zip(learnt, expected, strict=True):
        require_same(found, other)
    require_same_agents(cut, whole, tmp_path)
    for name in ("loop", "final", "exploit", "gini"):
        assert metrics[name] == again[name]
    found = log_of(spark, tmp_path / "cut")
    assert repr(found) == repr(log_of(spark, tmp_path / "whole"))  # NaN is like NaN
    assert [len(proto) for proto in found["extra_proto"][:4]] == [len(found["extra_proto"][0]), 0] * 2


def test_the_log_is_the_same_however_the_work_is_cut(spark, tmp_path, seen_here, monkeypatch):
    case = "td3 with a memory of slates"
    envs, agent = made(case)
    run(agent, envs, spark=spark, seed=SEED, folder=str(tmp_path / "a"))
    monkeypatch.setattr(
        SparkCycle, "_on_workers", lambda self, clock, *, census: spark.range(self.visits.chunks(census)).repartition(3)
    )
    monkeypatch.setattr(IterationLog, "on_disk", False)  # as on HDFS: Spark writes, and adds up on the way
    envs, agent = made(case)
    run(agent, envs, spark=spark, seed=SEED, folder=str(tmp_path / "b"))
    assert repr(log_of(spark, tmp_path / "a")) == repr(log_of(spark, tmp_path / "b"))


def test_more_than_the_driver_holds_is_refused(monkeypatch):
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=100, users_per_iteration=40, history=3, slate_size=2)
    base = envs.unwrapped
    visits = Visits(base.crowd, base.settings, 0)
    count, learn = (smartrec.agents.make(name, envs, seed=0) for name in ("thompson", "exp3"))
    monkeypatch.setattr(spark_cycle, "MOST_NUMBERS", 300)
    SparkCycle(count, visits, None, 0)
    with pytest.raises(InvalidConfig, match=r"what Exp3's decisions carry, take 620 numbers .* 300"):
        SparkCycle(learn, visits, None, 0)
    monkeypatch.setattr(spark_cycle, "MOST_NUMBERS", 299)
    with pytest.raises(InvalidConfig, match=r"take 300 numbers on the driver; allowed: at most 299"):
        SparkCycle(count, visits, None, 0)
    monkeypatch.setattr(spark_cycle, "MOST_ROWS", 79)
    with pytest.raises(InvalidConfig, match=r"history = 3 keeps users' rows on the driver, 80 an iteration"):
        SparkCycle(count, visits, None, 0)
    with pytest.raises(InvalidConfig, match=r"Exp3 learns from rows on the driver, 80 an iteration"):
        SparkCycle(learn, visits, None, 0)
