"""Feedback that comes late or never, in a world that drifts."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.agents import Agent, Decision
from smartrec.evaluation import run

TASK_3 = "SmartRec/Task3-v0"


class Scripted(Agent):
    """Shows item ``t mod 10`` at step t, and keeps what it is told and when."""

    def __init__(self, problem):
        super().__init__(problem, seed=0)
        self.acts, self.told, self.told_after = 0, [], []

    def act(self, observation, *, first=None, allowed=None, explore=True):
        self.acts += 1
        return Decision(np.full(len(observation["clock"]), (self.acts - 1) % 10))

    def observe(self, transitions):
        self.told.append(transitions)
        self.told_after.append(self.acts)


def _run(**options):
    """Thirty steps of 50 users, one a tick."""
    envs = gym.make_vec(TASK_3, num_envs=50, n_users=500)
    agent = Scripted(envs.unwrapped.problem)
    return agent, run(agent, envs, seed=0, **options)


@pytest.mark.parametrize("delay", [1, 7, 29])
def test_late_feedback_is_of_its_own_time(delay):
    agent, record = _run(feedback_delay=delay)
    assert [int(t.step[0]) for t in agent.told] == list(range(30))
    for transitions in agent.told:
        step = int(transitions.step[0])
        assert (transitions.observation["clock"] == step + 1).all()
        assert (transitions.items == step % 10).all()
        assert (transitions.visit == np.arange(step * 50, step * 50 + 50)).all()
    assert record.feedback_delay == delay


@pytest.mark.parametrize("delay", [30, 31, 10_000])
def test_a_delay_beyond_the_run_brings_everything_after_it(delay):
    agent, late = _run(feedback_delay=delay)
    assert agent.told_after == [30] * 30
    _, prompt = _run()
    behaviour = ("loop", "regret", "static_regret", "coverage", "gini", "novelty", "recovery")
    assert {name: late.metrics[name] for name in behaviour} == {name: prompt.metrics[name] for name in behaviour}


def test_with_a_delay_beyond_the_run_an_agent_cannot_learn_in_it_but_knows_what_is_best_now_after_it():
    envs = gym.make_vec(TASK_3, num_envs=500)

    def played(**options):
        return run(agents.make("thompson", envs, seed=1, discount=0.7), envs, seed=1, **options).metrics

    prompt, late, random = played(), played(feedback_delay=1000), run(agents.make("random", envs, seed=1), envs, seed=1)
    assert abs(late["loop_normalised"]) < 0.03
    assert abs(late["gini"] - random.metrics["gini"]) < 0.02
    assert late["recovery"] == 20
    assert prompt["recovery"] < 6
    # Feedback of clock c weighs discount^(now - c) whenever it comes, so the old favourites do not win.
    assert late["exploit"] > 0.95 * late["final_oracle"]


@pytest.mark.parametrize("delay", [0, 3, 40])
def test_half_of_the_feedback_is_lost_at_random_and_the_same_at_any_delay(delay):
    def played(delay):
        agent, record = _run(feedback_delay=delay, feedback_loss=0.5)
        return np.concatenate([t.visit for t in agent.told]).tolist(), record

    arrived, record = played(delay)
    assert len(arrived) + record.metrics["lost_feedback"] == 1500
    assert abs(len(arrived) - 750) < 4 * np.sqrt(1500 / 4)
    assert len(set(arrived)) == len(arrived)
    assert arrived == sorted(arrived)
    assert arrived == played(0)[0]
    # What is lost was shown all the same.
    assert record.metrics["gini"] == pytest.approx(0)
    assert (record.feedback_delay, record.feedback_loss) == (delay, 0.5)


def test_with_all_feedback_lost_nothing_is_observed():
    agent, record = _run(feedback_loss=1.0, feedback_delay=2)
    assert agent.told == []
    assert record.metrics["lost_feedback"] == 1500
    assert record.metrics["coverage"] == 1.0


def test_an_agent_that_forgets_recovers_from_drift_though_half_its_feedback_is_lost_and_the_rest_late():
    envs = gym.make_vec(TASK_3, num_envs=500)
    record = run(agents.make("thompson", envs, seed=2, discount=0.7), envs, seed=2, feedback_delay=2, feedback_loss=0.5)
    never = run(agents.make("thompson", envs, seed=2), envs, seed=2, feedback_delay=2, feedback_loss=0.5)
    assert record.metrics["recovery"] < 10
    assert never.metrics["recovery"] > record.metrics["recovery"]
    assert record.metrics["static_regret"] < 0 < never.metrics["static_regret"]
