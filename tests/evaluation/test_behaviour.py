"""What was shown, and how fast an agent is back after a change: hand cases, closed forms, naive counts."""

import json
import time

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.agents import Agent, Decision, Tags
from smartrec.envs import Crowd, RecommendationVectorEnv, Settings
from smartrec.evaluation import METRICS, run
from smartrec.evaluation.behaviour import Showings, gini, last_change, novelty, recovery
from smartrec.response_models import DriftingPopularity, Popularity, Table

TASK_1, TASK_3 = "SmartRec/Task1-v0", "SmartRec/Task3-v0"


class Scripted(Agent):
    """Shows what a function of the step and the number of lanes says."""

    tags = Tags(vectors=True)

    def __init__(self, problem, script):
        super().__init__(problem, seed=0)
        self.script, self.acts = script, 0

    def act(self, observation, *, first=None, allowed=None, explore=True):
        lanes = len(next(iter(observation.values())))
        self.acts += 1
        return Decision(np.asarray(self.script(self.acts - 1, lanes)))


def _run(envs, script, **options):
    return run(Scripted(agents.registry.problem_of(envs), script), envs, seed=0, **options)


# Figures of showings.


def test_a_hand_case():
    showings = Showings(4)
    showings.add(np.array([[0, 1], [0, 2]]))
    showings.add(np.array([[0, 1]]))
    assert showings.counts.tolist() == [3, 2, 1, 0]
    figures = showings.figures()
    assert figures["coverage"] == 0.75
    # Ascending 0 1 2 3 with ranks 1 2 3 4: (2 * 20 - 5 * 6) / (4 * 6).
    assert figures["gini"] == pytest.approx(10 / 24)
    # Shares of the three slates 1, 2/3, 1/3: two showings of log2(3/2), one of log2(3), three of 0.
    assert figures["novelty"] == pytest.approx((2 * np.log2(1.5) + np.log2(3)) / 6)
    assert "diversity" not in figures


@pytest.mark.parametrize("n_items", [1, 2, 10, 1000])
def test_gini_runs_from_even_to_one_item(n_items):
    assert gini(np.full(n_items, 7)) == pytest.approx(0, abs=1e-12)
    assert gini(np.eye(n_items, dtype=int)[0] * 9) == pytest.approx(1 - 1 / n_items)


def test_gini_is_half_the_mean_difference_over_the_mean():
    rng = np.random.default_rng(0)
    for n_items in (2, 7, 40):
        counts = rng.integers(0, 30, n_items) + (np.arange(n_items) == 0)
        naive = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
        assert gini(counts) == pytest.approx(naive)
        assert gini(rng.permutation(counts) * 3) == pytest.approx(naive)


def test_novelty_runs_from_one_slate_to_even():
    one_slate = np.array([50, 50, 0, 0, 0, 0, 0, 0])
    assert novelty(one_slate, 50) == 0
    assert novelty(np.full(8, 25), 100) == pytest.approx(np.log2(8 / 2))
    # With one item a slate it is the entropy of what was shown.
    share = np.array([0.5, 0.25, 0.125, 0.125])
    assert novelty((share * 80).astype(int), 80) == pytest.approx(-(share * np.log2(share)).sum())
    # A slate that holds an item twice shows nothing new.
    assert novelty(np.array([20, 0]), 10) == 0


def test_figures_by_a_naive_count():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(9, 3))
    features[4] = 0
    slates = [rng.permutation(9)[:4].tolist() for _ in range(60)]
    showings = Showings(9, features)
    for start in range(0, 60, 7):
        showings.add(np.array(slates[start : start + 7]))
    shown = [item for slate in slates for item in slate]
    share = {item: sum(item in slate for slate in slates) / 60 for item in set(shown)}

    def distance(i, j):
        length = np.linalg.norm(features[i]) * np.linalg.norm(features[j])
        return 1 - features[i] @ features[j] / length if length else 1.0

    pairs = [distance(i, j) for slate in slates for place, i in enumerate(slate) for j in slate[place + 1 :]]
    figures = showings.figures()
    assert figures["coverage"] == len(set(shown)) / 9
    assert figures["novelty"] == pytest.approx(-np.mean([np.log2(share[item]) for item in shown]))
    assert figures["diversity"] == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([[1, 0], [5, 0]], 0.0), ([[1, 0], [0, 2]], 1.0), ([[1, 0], [-3, 0]], 2.0), ([[0, 0], [1, 1]], 1.0)],
)
def test_distances_of_parallel_orthogonal_opposite_and_featureless_items(rows, expected):
    showings = Showings(2, np.array(rows, np.float32))
    showings.add(np.array([[0, 1], [1, 0]]))
    assert showings.figures()["diversity"] == pytest.approx(expected, abs=1e-7)


# Drift and recovery.


def _best_fixed(table):
    """From probabilities [T, I] to what the best single item brings over a set of clocks."""
    table = np.asarray(table)
    return lambda clocks: float(table[np.array(clocks) - 1].mean(axis=0).max())


def test_the_last_clock_at_which_the_best_item_changes():
    first, second, third = [0.9, 0.1, 0.2], [0.1, 0.8, 0.3], [0.1, 0.2, 0.7]
    assert last_change(_best_fixed([first] * 6), 6) is None
    assert last_change(_best_fixed([first] * 4 + [second] * 2), 6) == 5
    assert last_change(_best_fixed([first, second, third, third, third]), 5) == 3
    assert last_change(_best_fixed([first] * 5 + [second]), 6) == 6
    assert last_change(_best_fixed([first]), 1) is None
    # The best falls but stays the best; or others come level with it.
    assert last_change(_best_fixed([[0.9, 0.1], [0.4, 0.1], [0.4, 0.4]]), 3) is None
    # Where no slate is best for all users nothing is said.
    assert last_change(lambda clocks: float("nan"), 5) is None


@pytest.mark.parametrize(("slate_size", "change"), [(1, 11), (2, 11), (3, 11), (5, 11), (10, None)])
def test_in_task_3_the_best_slate_changes_at_clock_11(slate_size, change):
    world = gym.make_vec(TASK_3, slate_size=slate_size).unwrapped
    assert last_change(lambda clocks: world.references(clocks).best_fixed, 30) == change


@pytest.mark.parametrize(
    ("expected", "change", "found"),
    [
        ([1, 1, 1, 1, 1, 1], 1, 0),
        ([1, 1, 0.2, 0.5, 0.9, 0.95, 1], 3, 2),
        ([1, 1, 0.2, 0.9, 0.9, 0.8, 0.9, 0.9, 0.9], 3, 4),  # back for two only, then for good
        ([1, 1, 0.2, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1], 3, 1),  # stays for three, and is lost later
        ([1, 1, 0.2, 0.5, 0.8, 0.9, 0.9], 3, 5),  # the run ends too early: at least its rest
        ([0.1, 0.1, 0.1, 0.1], 2, 3),
        ([0.1, 0.1, 0.1, 1], 4, 1),
        ([0.0, 0.9, 0.9, 0.9], 2, 0),
    ],
)
def test_recovery_by_hand(expected, change, found):
    assert recovery(np.array(expected, float), np.ones(len(expected)), change) == found
    assert recovery(np.array(expected) * 0.3, np.full(len(expected), 0.3), change) == found


def test_recovery_is_measured_against_the_oracle_of_the_time():
    best = np.array([0.8, 0.8, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert recovery(np.full(7, 0.45), best, 3) == 5
    assert recovery(np.full(7, 0.55), best, 3) == 0


@pytest.mark.parametrize(("delay", "found"), [(0, 0), (1, 1), (4, 4), (17, 17), (18, 20), (30, 20)])
def test_an_agent_that_turns_round_after_the_drift_recovers_by_that_delay(delay, found):
    """At clock 11 the best of task 3 is an unpopular bread; step t is clock t + 1."""
    envs = gym.make_vec(TASK_3, num_envs=500)
    popularity = envs.unwrapped.crowd.model.popularity(1)
    old, new = int(popularity.argmax()), int(popularity.argmin())
    record = _run(envs, lambda step, lanes: np.full(lanes, old if step < 10 + delay else new))
    assert record.metrics["recovery"] == found


@pytest.mark.parametrize("lanes", [7, 100, 500, 1250])
def test_recovery_counts_ticks_at_any_number_of_lanes(lanes):
    envs = gym.make_vec(TASK_3, num_envs=lanes)
    popularity = envs.unwrapped.crowd.model.popularity(1)
    best = [int(popularity.argmax()), int(popularity.argmin())]

    class Late(Scripted):
        def act(self, observation, **_):
            return Decision(np.where(observation["clock"] < 15, *best))

    record = run(Late(envs.unwrapped.problem, None), envs, seed=0)
    assert record.metrics["recovery"] == 4


# Through the loop.


def test_every_figure_of_a_script_is_exact():
    """Task 1: 20 ticks of 500, bread 2 (0.75) in the even ones and bread 6 in the odd ones."""
    envs = gym.make_vec(TASK_1, num_envs=500)
    popularity = envs.unwrapped.crowd.model.popularity
    pair = [int(popularity.argmax()), int(popularity.argmin())]
    record = _run(envs, lambda step, lanes: np.full(lanes, pair[step % 2] if step < 20 else 5))
    metrics = record.metrics
    assert metrics["coverage"] == 0.2
    assert metrics["final_coverage"] == 0.1
    assert metrics["gini"] == pytest.approx(0.8)
    assert metrics["novelty"] == pytest.approx(1.0)
    assert (metrics["regret"], metrics["static_regret"]) == pytest.approx((3250, 3250))  # 5000 * (0.75 - 0.10)
    assert not {"recovery", "diversity"} & set(metrics)


def test_static_regret_is_what_one_slate_would_have_got_more():
    """Personal tastes: serving each their best is worth more than the best slate for all, so the regret is negative."""
    crowd = Crowd(Table(np.array([[0.9, 0.2, 0.5], [0.1, 0.8, 0.5]])), 2)
    envs = RecommendationVectorEnv(crowd, Settings(users_per_iteration=2, iterations=6), 2)
    envs.reset(seed=0)

    class Personal(Scripted):
        def act(self, observation, **_):
            return Decision(self.script[observation["user"]])

    personal = run(Personal(envs.problem, np.array([0, 1])), envs, seed=0).metrics
    assert personal["regret"] == pytest.approx(0)
    assert personal["static_regret"] == pytest.approx(12 * 0.5 - 6 * (0.9 + 0.8))
    for_all = run(Personal(envs.problem, np.array([0, 0])), envs, seed=0).metrics
    assert for_all["static_regret"] == pytest.approx(0)
    assert for_all["regret"] == pytest.approx(6 * (1.7 - 1.0))


def test_static_regret_is_of_the_whole_run_and_of_whole_visits():
    crowd = Crowd(DriftingPopularity([0.9, 0.5, 0.1], start=1, end=4), 20)
    envs = RecommendationVectorEnv(crowd, Settings(users_per_iteration=4, iterations=5, session_length=3), 4)
    by_tick = np.array([crowd.model.popularity(clock) for clock in range(1, 6)])
    record = _run(envs, lambda step, lanes: np.full(lanes, 1))
    assert record.metrics["static_regret"] == pytest.approx(4 * 3 * (by_tick.sum(axis=0).max() - by_tick[:, 1].sum()))
    assert record.metrics["regret"] == pytest.approx(4 * 3 * (by_tick.max(axis=1).sum() - by_tick[:, 1].sum()))


@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_what_is_not_scored_is_not_counted(lanes):
    """40 scored visits; the lanes beyond show item 9, which must not be covered."""
    envs = gym.make_vec(TASK_1, num_envs=lanes, n_users=100, iterations=4)
    record = _run(envs, lambda step, n: np.where(step * lanes + np.arange(n) < 40, step % 3, 9))
    assert record.metrics["coverage"] == len({step % 3 for step in range(-(-40 // lanes))}) / 10


def test_what_was_shown_counts_where_the_world_repairs_a_slate():
    crowd = Crowd(Popularity(np.full(5, 0.5)), 50)
    envs = RecommendationVectorEnv(crowd, Settings(slate_size=5, on_repeat="replace", iterations=3), 5)
    record = _run(envs, lambda step, lanes: np.zeros((lanes, 5), int))
    assert record.metrics["coverage"] == record.metrics["final_coverage"] == 1.0
    assert record.metrics["gini"] == pytest.approx(0)
    assert record.metrics["novelty"] == pytest.approx(0)


def test_diversity_in_a_world_with_item_features():
    envs = gym.make_vec("SmartRec/Task2-v0", num_envs=20, n_users=200, iterations=2, slate_size=3)
    features = envs.unwrapped.problem.item_features.astype(float)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    record = _run(envs, lambda step, lanes: np.tile([4, 0, 7], (lanes, 1)))
    expected = 1 - np.mean([unit[4] @ unit[0], unit[4] @ unit[7], unit[0] @ unit[7]])
    assert record.metrics["diversity"] == pytest.approx(expected)
    one = gym.make_vec("SmartRec/Task2-v0", num_envs=20, n_users=200, iterations=2)
    assert "diversity" not in _run(one, lambda step, lanes: np.zeros(lanes, int)).metrics


class Bare(gym.Env):
    """Pays nothing; items or a vector."""

    observation_space = gym.spaces.Box(0, 1, (1,))

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}


def _other(space):
    return gym.vector.SyncVectorEnv([lambda: Bare(space)] * 2)


def test_other_environments_have_figures_where_they_have_items():
    record = _run(_other(gym.spaces.Discrete(4)), lambda step, lanes: np.array([0, 1 + step % 2]), steps=8)
    assert record.metrics["coverage"] == 0.75
    assert record.metrics["novelty"] == pytest.approx(1.5)
    assert not {"regret", "static_regret", "recovery", "final_coverage"} & set(record.metrics)
    record = _run(_other(gym.spaces.MultiDiscrete([4, 4])), lambda step, n: np.tile([3, 3], (n, 1)), steps=8)
    assert (record.metrics["coverage"], record.metrics["novelty"]) == (0.25, 0.0)


def test_vectors_have_none():
    record = _run(_other(gym.spaces.Box(0, 1, (3,))), lambda step, lanes: np.zeros((lanes, 3)), steps=8)
    assert set(record.metrics) == {"loop", "decision_us", "learning_us"}


@pytest.mark.parametrize("task", ["1", "2", "3", "4"])
def test_every_metric_has_a_unit_and_a_direction_and_a_line_stays_short(task):
    options = {"n_items": 50} if task == "4" else {"slate_size": 2}
    envs = gym.make_vec(f"SmartRec/Task{task}-v0", num_envs=30, n_users=300, iterations=12, **options)
    record = run(agents.make("random", envs, seed=0), envs, seed=0)
    references = {f"{when}_{name}" for when in ("loop", "final") for name in ("random", "best_fixed", "oracle")}
    assert set(record.metrics) - references <= set(METRICS)
    assert {"coverage", "final_coverage", "gini", "novelty", "static_regret"} <= set(record.metrics)
    assert ("diversity" in record.metrics) == (task == "2")
    assert ("recovery" in record.metrics) == (task == "3")
    assert all(metric.unit and metric.about for metric in METRICS.values())
    line = record.to_json()
    assert json.loads(line)["metrics"] == record.metrics
    assert len(line) < 4000


def test_counting_costs_little():
    """Of a step of task 4 (604 slates of ten, some 7 ms with a random agent) counting is a small part."""
    showings, items = Showings(1000), np.random.default_rng(0).integers(0, 1000, (604, 10))
    best = min(_seconds(lambda: showings.add(items)) for _ in range(50))
    assert best < 1e-3


def _seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
