"""Runs on Spark: the protocol's numbers, the same log however it is cut, exactly once, resumed."""

from contextlib import suppress
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import smartrec
from smartrec.agents import AGENTS
from smartrec.core.errors import DataError, InvalidConfig, InvalidInput, MissingExtra, OutputError
from smartrec.core.seeding import generators
from smartrec.envs.spark import visits
from smartrec.envs.spark.log import IterationLog
from smartrec.evaluation import run as run_here
from smartrec.tasks.runner import agent_seed
from smartrec.tasks.spark import run
from smartrec.tasks.spark_cycle import SparkCycle, Totals, transitions_of
from smartrec.tasks.spark_rows import served, writing

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def world(task=1, **options):
    return gym.make_vec(f"SmartRec/Task{task}-v0", num_envs=1, **options)


def rows(spark, folder):
    columns = ("__iter", "user_idx", "step", "position", "item_idx", "response", "log_probability")
    table = spark.read.parquet(f"{folder}/log.parquet").select(*columns).orderBy(*columns[:4]).toArrow()
    return np.column_stack([table.column(name).to_numpy().astype(float) for name in columns])


def by_hand(task, seed):
    """Return the figures of a run of the Spark protocol, worked out here, in chunks as on workers but without Spark."""
    envs = world(task, n_users=3000, iterations=14)
    base, name = envs.unwrapped, "thompson"
    agent = smartrec.agents.make(name, envs, seed=agent_seed(seed), discount=0.7)
    of_world = int(generators(seed, 1)[0].integers(2**63))
    of_agent = int(generators(agent_seed(seed), 2)[1].integers(2**63))
    visits_of = visits.Visits(base.crowd, base.settings, of_world)

    def serve(clock, census, explore):
        agent.rng = np.random.default_rng([of_agent, clock, 0, census, explore])
        (batch,) = served(agent, visits_of.serve(clock, 0, census), explore)
        return {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}

    clicks = []
    for clock in range(1, 15):
        columns = serve(clock, False, True)
        clicks.append(columns["response"].mean())
        agent.observe(transitions_of(columns, visits_of, clock))
    final, exploit = serve(15, True, True), serve(15, True, False)
    return [np.mean(clicks), final["response"].mean(), final["expected"].mean(), exploit["expected"].mean()]


@pytest.mark.parametrize("task", [1, 3])
def test_tasks_1_and_3_are_the_same_by_hand_and_within_three_standard_errors_of_the_loop(spark, tmp_path, task):
    names = ("loop", "final", "final_expected", "exploit")

    def metrics_of(record):
        return [record.metrics[name] for name in names]

    envs = world(task, n_users=3000, iterations=14)
    for seed in range(2):
        agent = smartrec.agents.make("thompson", envs, seed=agent_seed(seed), discount=0.7)
        folder = str(tmp_path / str(seed))
        record = run(agent, envs, spark=spark, seed=seed, folder=folder, agent_seed=agent_seed(seed))
        np.testing.assert_allclose(metrics_of(record), by_hand(task, seed), atol=1e-12)
    ours = np.array([by_hand(task, seed) for seed in range(60)])
    many = gym.make_vec(f"SmartRec/Task{task}-v0", num_envs=300, n_users=3000, iterations=14)
    theirs = [
        metrics_of(run_here(smartrec.agents.make("thompson", many, seed=seed, discount=0.7), many, seed=seed))
        for seed in range(60)
    ]
    error = np.sqrt((ours.var(axis=0, ddof=1) + np.var(theirs, axis=0, ddof=1)) / 60)
    assert (abs(ours.mean(axis=0) - np.mean(theirs, axis=0)) <= 3 * error + 1e-12).all()


def test_the_log_is_the_same_however_the_work_is_cut(spark, tmp_path, monkeypatch):
    monkeypatch.setattr("smartrec.tasks.spark.Visits", partial(visits.Visits, chunk_size=64))

    options = {"n_users": 2000, "iterations": 3, "slate_size": 3, "choice": "cascade"}
    envs = world(1, **options)
    first = run(smartrec.agents.make("ucb", envs, seed=1), envs, spark=spark, seed=2, folder=str(tmp_path / "a"))
    monkeypatch.setattr(
        SparkCycle,
        "_on_workers",
        lambda self, clock, *, census: spark.range(self.visits.chunks(census)).repartition(3),
    )
    monkeypatch.setattr(IterationLog, "on_disk", False)  # as on HDFS: Spark writes, and adds up on the way
    second = run(smartrec.agents.make("ucb", envs, seed=1), envs, spark=spark, seed=2, folder=str(tmp_path / "b"))
    np.testing.assert_array_equal(rows(spark, tmp_path / "a"), rows(spark, tmp_path / "b"))
    # What the workers added up on the way is what the log holds.
    log = IterationLog(spark, str(tmp_path / "a"), resume=True)
    base = envs.unwrapped
    cycle = SparkCycle(smartrec.agents.make("ucb", envs, seed=1), visits.Visits(base.crowd, base.settings, 0), log, 0)
    read = [cycle.logged(clock) for clock in (1, 2, 3)]
    assert sum(totals.reward for totals in read) == pytest.approx(600 * first.metrics["loop"])
    assert sum(totals.expected for totals in read) == pytest.approx(200 * sum(first.column("expected")))
    assert 0 < sum(totals.shown.sum() for totals in read) < 1800
    assert first.metrics["final"] == second.metrics["final"]
    np.testing.assert_allclose(first.curve, second.curve)


def test_a_run_that_died_goes_on_as_if_it_had_not(spark, tmp_path, monkeypatch):

    envs = world(1, n_users=800, iterations=5)

    def go(folder, **options):
        agent = smartrec.agents.make("thompson", envs, seed=1, discount=0.9)
        return run(agent, envs, spark=spark, seed=2, folder=str(folder), **options)

    whole = go(tmp_path / "whole")
    original = IterationLog.write_pieces

    def dies(self, job, iteration):
        if iteration == 3:  # between write and commit: what was written lies there under its other name
            folder = tmp_path / "cut" / "log.parquet" / "_unfinished-3-dead"
            folder.mkdir()
            names = job(str(folder))
            assert [path.name for path in folder.iterdir()] == names
            raise KeyboardInterrupt
        original(self, job, iteration)

    monkeypatch.setattr(IterationLog, "write_pieces", dies)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut")
    monkeypatch.setattr(IterationLog, "write_pieces", original)
    with pytest.raises(OutputError, match=r"holds log.parquet, run.json; choose a new folder, or go on by resume=True"):
        go(tmp_path / "cut")
    cut = go(tmp_path / "cut", resume=True)
    found = rows(spark, tmp_path / "cut")
    np.testing.assert_array_equal(found, rows(spark, tmp_path / "whole"))
    assert len(np.unique(found[:, :2], axis=0)) == len(found) == 5 * 80
    assert not list((tmp_path / "cut" / "log.parquet").glob("_unfinished*"))
    assert cut.metrics["final"] == whole.metrics["final"]
    with pytest.raises(DataError, match="holds another run"):
        run(
            smartrec.agents.make("ucb", envs, seed=1),
            envs,
            spark=spark,
            seed=2,
            folder=str(tmp_path / "cut"),
            resume=True,
        )


def test_rows_teach_as_the_loop_does(spark, tmp_path):
    """An agent that learns from rows: features, slates of three, sessions of two, candidates, cascades."""
    options = {
        "n_users": 300, "iterations": 8, "slate_size": 3, "session_length": 2, "candidates": 7, "choice": "cascade",
    }  # fmt: skip
    envs = world(2, **options)
    agent = smartrec.agents.make("lin_ts", envs, seed=0)
    record = run(agent, envs, spark=spark, seed=0, folder=str(tmp_path / "log"))
    assert record.visits == 8 * 30
    here = [
        run_here(smartrec.agents.make("lin_ts", w, seed=seed), w, seed=seed).metrics["loop"]
        for seed in range(15)
        for w in [gym.make_vec("SmartRec/Task2-v0", num_envs=30, **options)]
    ]
    assert abs(record.metrics["loop"] - np.mean(here)) < 4 * np.std(here)
    found = rows(spark, tmp_path / "log")
    assert len(found) == 8 * 30 * 2 * 3


COUNTING = ("most_popular", "epsilon_greedy", "ucb", "thompson", "softmax", "ucb1", "kl_ucb", "bayes_ucb")


def test_who_counts():
    found = set()
    for name in AGENTS:
        with suppress(MissingExtra):
            found |= {name} if AGENTS.get(name).tags.counts else set()
    assert found == set(COUNTING)


@pytest.mark.parametrize("name", COUNTING)
def test_sums_teach_an_agent_that_counts_as_rows_do(name):
    envs = world(1, n_users=500, slate_size=2, choice="cascade")
    base = envs.unwrapped
    world_of = visits.Visits(base.crowd, base.settings, 5)
    by_sums, by_rows = (smartrec.agents.make(name, envs, seed=1) for _ in range(2))
    cycle = SparkCycle(by_sums, world_of, None, 0)
    rng = np.random.default_rng(0)
    for clock in (1, 2, 4):
        items = rng.random((50, 10)).argsort(axis=1)[:, :2]
        clicks, seen = rng.integers(2, size=(50, 2)), rng.random((50, 2)) < 0.7
        columns = {
            "user_idx": np.repeat(np.arange(50), 2), "step": np.zeros(100, int), "item_idx": items.ravel(),
            "response": clicks.ravel(), "observed": seen.ravel(), "log_probability": np.full(100, np.nan),
        }  # fmt: skip
        by_rows.observe(transitions_of(columns, world_of, clock))
        by_rows.update()
        shown, clicked = np.bincount(items[seen], minlength=10), np.bincount(items[seen], clicks[seen], 10)
        cycle._learn(clock, Totals(50, 0.0, 0.0, shown, shown, clicked))
    observation = {"clock": np.full(40, 5), "user": np.arange(40)}
    for explore in (True, False):
        np.testing.assert_array_equal(
            by_sums.act(observation, explore=explore).action, by_rows.act(observation, explore=explore).action
        )


def test_what_dead_tasks_left_is_not_committed(spark, tmp_path):
    def job(folder):
        for name in ("part-0.parquet", ".part-0.parquet.dead", "part-1.parquet"):
            (Path(folder) / name).write_text("")
        return ["part-0.parquet"]

    IterationLog(spark, str(tmp_path)).write_pieces(job, 1)
    assert [path.name for path in (tmp_path / "log.parquet" / "__iter=1").iterdir()] == ["part-0.parquet"]


def test_a_worker_that_does_not_reach_the_folder_says_so():
    pieces = writing(iter, "/none/such", 10)
    with pytest.raises(OutputError, match=r"/none/such is not reached by this worker; choose a folder all workers"):
        next(pieces(iter([None])))


def test_workers_that_do_not_reach_the_folder_are_noticed(spark, tmp_path):
    log = IterationLog(spark, str(tmp_path / "log"))
    with pytest.raises(OutputError, match=r"part-0.parquet of iteration 1 did not come to .* all workers reach"):
        log.write_pieces(lambda folder: ["part-0.parquet"], 1)
    assert log.iterations == []


def test_what_cannot_be_on_spark_is_refused(spark, tmp_path):
    envs = world(1, history=2, n_users=100)
    agent = smartrec.agents.make("random", envs, seed=0)
    with pytest.raises(InvalidInput, match="allowed: a SmartRec world"):
        run(agent, gym.make_vec("CartPole-v1", num_envs=1), spark=spark, seed=0, folder=str(tmp_path / "a"))
    plain = world(1, n_users=100)
    with pytest.raises(InvalidConfig, match="Random is for another problem"):
        run(agent, plain, spark=spark, seed=0, folder=str(tmp_path / "a"))
    agent = smartrec.agents.make("random", plain, seed=0)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "diary.txt").write_text("")
    with pytest.raises(OutputError, match=r"holds diary.txt"):
        run(agent, plain, spark=spark, seed=0, folder=str(tmp_path / "b"))
    with pytest.raises(OutputError, match=r"holds other files"):
        run(agent, plain, spark=spark, seed=0, folder=str(tmp_path / "b"), resume=True)
    assert not (tmp_path / "a").exists()


def test_a_relative_folder_is_pythons(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    envs = world(1, n_users=100, iterations=1)
    run(smartrec.agents.make("random", envs, seed=0), envs, spark=spark, seed=0, folder="logs/a")
    assert IterationLog(spark, str(tmp_path / "logs" / "a"), resume=True).iterations == [1]


def test_a_log_of_other_code_or_without_a_header_is_another_log(spark, tmp_path, monkeypatch):
    envs = world(1, n_users=100, iterations=1)

    def go(folder):
        agent = smartrec.agents.make("random", envs, seed=0)
        return run(agent, envs, spark=spark, seed=0, folder=str(folder), resume=True)

    go(tmp_path / "a")
    monkeypatch.setattr("smartrec.tasks.spark.code_of", lambda cls: "other")
    with pytest.raises(DataError, match=r"holds another run"):
        go(tmp_path / "a")
    IterationLog(spark, str(tmp_path / "b")).write(spark.range(2), 1)
    with pytest.raises(DataError, match=r"holds iterations without run.json: another log"):
        go(tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["log.parquet"]
