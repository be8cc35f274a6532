"""The loop: what is scored, what arrives when, and figures against closed forms."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.agents import Agent, Decision, Tags
from smartrec.core.errors import InvalidConfig
from smartrec.evaluation import run

TASK_1, TASK_3 = "SmartRec/Task1-v0", "SmartRec/Task3-v0"


class Spy(Agent):
    """Shows item 2 and writes down what it is told."""

    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.seen = []
        self.first = []
        self.acts = 0

    def act(self, observation, *, first=None, allowed=None, explore=True):
        self.acts += 1
        self.first.append(first)
        lanes = len(observation["clock"])
        return Decision(np.full(lanes, 2))

    def observe(self, transitions):
        self.seen.append((self.acts, transitions))


def small(lanes, **options):
    return gym.make_vec(TASK_1, num_envs=lanes, n_users=100, iterations=4, **options)


def test_figures_of_a_fixed_item_are_exact():
    envs = small(10)
    record = run(Spy(envs.unwrapped.problem, seed=0), envs, seed=3)
    assert record.metrics["final_expected"] == pytest.approx(0.75)
    assert record.metrics["exploit"] == pytest.approx(0.75)
    assert record.metrics["regret"] == pytest.approx(0.0)
    assert record.metrics["loop_normalised"] == pytest.approx(1.0)
    assert record.metrics["final_random"] == pytest.approx(0.415)
    assert record.metrics["final_oracle"] == record.metrics["final_best_fixed"] == pytest.approx(0.75)
    assert (record.steps, record.visits) == (4, 40)
    assert [row[0] for row in record.curve] == [10, 20, 30, 40]
    assert record.metrics["loop"] == pytest.approx(np.mean([row[1] for row in record.curve]))


def test_random_is_zero_and_normalised_by_the_visits():
    envs = gym.make_vec(TASK_3, num_envs=500)
    record = run(agents.make("random", envs, seed=0), envs, seed=0)
    assert abs(record.metrics["loop_normalised"]) < 0.03
    assert record.metrics["loop_random"] == pytest.approx(0.415)
    assert record.metrics["loop_oracle"] == pytest.approx(2 / 3)
    assert record.metrics["loop_best_fixed"] == pytest.approx(0.51)


@pytest.mark.parametrize("lanes", [1, 3, 10, 16, 64])
def test_what_lies_beyond_the_last_iteration_is_neither_scored_nor_learnt(lanes):
    envs = small(lanes)
    spy = Spy(envs.unwrapped.problem, seed=0)
    record = run(spy, envs, seed=3)
    visits = np.concatenate([t.visit for _, t in spy.seen])
    assert sorted(visits.tolist()) == list(range(40))
    assert max(t.observation["clock"].max() for _, t in spy.seen) == 4
    assert record.steps == -(-40 // lanes)
    same = small(10)
    other = run(Spy(same.unwrapped.problem, seed=0), same, seed=3)
    assert record.metrics["loop"] == other.metrics["loop"]
    assert record.metrics["final"] == other.metrics["final"]


def test_feedback_arrives_after_the_delay_and_all_of_it_before_the_end():
    envs = small(10)
    spy = Spy(envs.unwrapped.problem, seed=0)
    run(spy, envs, seed=3, feedback_delay=2)
    assert [(acts, int(t.step[0])) for acts, t in spy.seen] == [(3, 0), (4, 1), (4, 2), (4, 3)]


def test_lost_feedback_is_dropped_and_counted():
    envs = gym.make_vec(TASK_1, num_envs=500)
    spy = Spy(envs.unwrapped.problem, seed=0)
    record = run(spy, envs, seed=3, feedback_loss=0.3)
    arrived = sum(len(t) for _, t in spy.seen)
    assert arrived + record.metrics["lost_feedback"] == 10_000
    assert abs(arrived / 10_000 - 0.7) < 0.03


def test_first_marks_the_lanes_whose_visit_begins():
    envs = small(10, session_length=2)
    spy = Spy(envs.unwrapped.problem, seed=0)
    record = run(spy, envs, seed=3)
    assert [bool(first.all()) for first in spy.first[: record.steps]] == [True, False] * 4
    assert record.metrics["final_expected"] == pytest.approx(1.5)


def test_an_agent_never_sees_info_and_the_reference_is_switched_back():
    envs = small(10)
    run(Spy(envs.unwrapped.problem, seed=0), envs, seed=3)
    assert envs.unwrapped.reference is False
    envs.reset(seed=0)
    assert "best_expected_reward" not in envs.step(np.zeros(10, int))[4]


def test_the_same_seeds_give_the_same_record():
    def once():
        envs = small(10)
        record = run(agents.make("thompson", envs, seed=5), envs, seed=3)
        return {k: v for k, v in record.metrics.items() if not k.endswith("_us")}, record.curve

    assert once() == once()


def test_the_global_generators_stay_untouched():
    np.random.seed(1)  # noqa: NPY002 - the global generator is what this test watches
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    envs = small(10)
    run(agents.make("thompson", envs, seed=5), envs, seed=3)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ({"feedback_delay": -1}, "feedback_delay = -1"),
        ({"feedback_loss": 1.5}, "feedback_loss = 1.5"),
        ({"steps": 3}, "its own iterations"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_bad_options_are_refused(options, fragment):
    envs = small(10)
    with pytest.raises(InvalidConfig, match=fragment):
        run(Spy(envs.unwrapped.problem, seed=0), envs, **{"seed": 0, **options})


def test_a_single_environment_is_refused_with_what_to_do():
    with pytest.raises(InvalidConfig, match="make_vec"):
        run(agents.make("random", gym.make(TASK_1), seed=0), gym.make(TASK_1), seed=0)


def test_an_agent_that_needs_order_refuses_delay():
    class Ordered(Spy):
        tags = Tags(in_order=True)

    envs = small(10)
    with pytest.raises(InvalidConfig, match="in order"):
        run(Ordered(envs.unwrapped.problem, seed=0), envs, seed=0, feedback_delay=1)


class RepeatsItself(Spy):
    """Shows the same item three times."""

    def act(self, observation, *, first=None, allowed=None, explore=True):
        return Decision(np.full((len(observation["clock"]), 3), 2), np.zeros(len(observation["clock"])))


def test_feedback_on_a_repaired_slate_is_on_what_was_shown():
    envs = small(10, slate_size=3, on_repeat="replace")
    spy = RepeatsItself(envs.unwrapped.problem, seed=0)
    run(spy, envs, seed=3)
    for _, transitions in spy.seen:
        assert (transitions.items[:, 0] == 2).all()
        assert all(len(set(row)) == 3 for row in transitions.items.tolist())
        assert transitions.decision.log_probability is None
