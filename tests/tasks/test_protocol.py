"""What the tasks must show: the figures of the published protocol, means of ten seeds."""

import os
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import smartrec
from smartrec.evaluation import run

SEEDS = range(10)


def data(name):
    return str(Path(os.environ["SMARTREC_DATA"]) / name)


def play(task, agent, *, num_envs=None, world=None, seeds=SEEDS, **config):
    """Mean metrics over seeds; N is the users of an iteration unless given."""
    env_id, world = f"SmartRec/Task{task}-v0", world or {}
    lanes = num_envs or gym.make_vec(env_id, num_envs=1, **world).unwrapped.users_per_iteration
    envs = gym.make_vec(env_id, num_envs=lanes, **world)
    records = [run(smartrec.agents.make(agent, envs, seed=seed, **config), envs, seed=seed) for seed in seeds]
    return {name: float(np.mean([record.metrics[name] for record in records])) for name in records[0].metrics}


@pytest.mark.parametrize("source", ["synthetic", pytest.param("sber-small", marks=pytest.mark.data)])
class TestTask1:
    def world(self, source, **options):
        return {"dataset": source if source == "synthetic" else data(source), **options}

    def test_random(self, source):
        found = play(1, "random", world=self.world(source))
        assert found["final"] == pytest.approx(0.415, abs=0.01)
        assert found["loop"] == pytest.approx(0.415, abs=0.01)

    def test_thompson(self, source):
        found = play(1, "thompson", world=self.world(source))
        assert found["final"] >= 0.74
        assert found["loop"] >= 0.72

    def test_ucb_sampling(self, source):
        found = play(1, "ucb", world=self.world(source), sample=True, coefficient=0.1)
        assert found["final"] == pytest.approx(0.55, abs=0.02)

    def test_thompson_shows_three(self, source):
        assert play(1, "thompson", world=self.world(source, slate_size=3))["final"] >= 2.2


@pytest.fixture(scope="module")
def task_2():
    world = {"dataset": data("sber-small")}
    return {
        "random": play(2, "random", world=world),
        "thompson": play(2, "thompson", world=world),
        "with": play(2, "lin_ucb", world=world),
        "without": play(2, "lin_ucb", world=world, intercept=False),
    }


@pytest.mark.data
class TestTask2:
    def test_random(self, task_2):
        assert task_2["random"]["final"] == pytest.approx(0.525, abs=0.01)

    def test_an_intercept_is_what_makes_lin_ucb_worth_it(self, task_2):
        assert task_2["with"]["final"] >= 0.885
        assert task_2["with"]["final_expected"] > task_2["thompson"]["final_expected"]

    def test_without_it_plain_counting_wins(self, task_2):
        assert 0.80 <= task_2["without"]["final"] <= 0.87
        assert task_2["without"]["final"] <= task_2["thompson"]["final"] - 0.02


class TestTask3:
    def test_random(self):
        assert play(3, "random")["loop"] == pytest.approx(0.415, abs=0.01)

    def test_without_forgetting_thompson_is_worse_than_random(self):
        found = play(3, "thompson")
        assert found["loop"] < found["loop_random"]

    @pytest.mark.slow
    @pytest.mark.parametrize("lanes", [1, 10, 100, 500])
    def test_with_it_at_any_number_of_lanes(self, lanes):
        assert play(3, "thompson", num_envs=lanes, discount=0.7)["loop"] >= 0.62


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("agent", ["most_popular", "epsilon_greedy", "thompson"])
def test_task_4_agents_lie_between_random_and_what_no_personal_taste_can_beat(agent):
    world = {"dataset": data("sber-small")}
    found = play(4, agent, world=world, seeds=range(3))
    assert found["final_random"] == pytest.approx(3.1328, abs=1e-4)
    assert found["final_best_fixed"] == pytest.approx(3.4544, abs=1e-4)
    assert found["final_oracle"] == pytest.approx(7.4599, abs=1e-4)
    assert found["final_random"] < found["final_expected"] < found["final_best_fixed"]


@pytest.mark.data
@pytest.mark.parametrize("task", [1, 2, 3, 4])
def test_real_movielens_is_fitted_reported_and_played(task):
    world = {"dataset": "ml-100k"}
    crowd = gym.make_vec(f"SmartRec/Task{task}-v0", num_envs=1, **world).unwrapped.crowd
    assert [name for name, _ in crowd.report] == ["held out", "model", "item mean"]
    assert all("AUC" in text for name, text in crowd.report if name != "held out")
    if task == 2:
        assert "Star Wars (1977)" in crowd.item_labels
        assert crowd.report[0][1] == "last fifth by time"
    found = play(task, "thompson", world=world, seeds=[0])
    assert found["loop"] > found["loop_random"]
    assert found["final_expected"] <= found["final_oracle"] + 1e-9


@pytest.mark.data
def test_latest_small_works_for_task_4():
    found = play(4, "thompson", world={"dataset": "ml-latest-small", "iterations": 10}, seeds=[0])
    assert found["final_random"] < found["final_expected"]


def test_a_table_of_ones_own_works_for_task_4(tmp_path):
    rng = np.random.default_rng(0)
    liked = rng.random((60, 40)) < np.linspace(0.1, 0.9, 40)
    rows = [f"u{user},b{item},{5 if liked[user, item] else 2}" for user in range(60) for item in range(40)]
    path = tmp_path / "log.csv"
    path.write_text("reader,book,stars\n" + "\n".join(rows) + "\n")
    world = {"dataset": str(path), "columns": {"user": "reader", "item": "book", "rating": "stars"}, "slate_size": 5}
    found = play(4, "thompson", world=world, seeds=[0])
    assert found["final_random"] < found["final_expected"] <= found["final_oracle"]


@pytest.mark.data
def test_a_damaged_published_table_is_named(tmp_path):
    source = Path(data("sber-small"))
    for name in ("users_context.parquet", "items_context.parquet"):
        shutil.copy(source / name, tmp_path)
    (tmp_path / "context_relevance_x.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(smartrec.core.SmartRecError, match=r"context_relevance_x\.parquet"):
        gym.make("SmartRec/Task2-v0", dataset=str(tmp_path))
