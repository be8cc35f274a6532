"""Any Gymnasium environment: episodes are told apart, their ends are seen, and returns are counted fairly."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.agents import Agent, Decision
from smartrec.core.errors import InvalidConfig
from smartrec.evaluation import mean_return, run

MODES = [gym.vector.AutoresetMode.NEXT_STEP, gym.vector.AutoresetMode.SAME_STEP]


class Counting(gym.Env):
    """Shows how many steps were taken, and pays that number; ends after ``length`` steps."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=3, truncates=False, as_dict=False):
        box = gym.spaces.Box(0, 9, (1,))
        self.length, self.truncates, self.as_dict = length, truncates, as_dict
        self.observation_space = gym.spaces.Dict(t=box) if as_dict else box

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), {}

    def step(self, action):
        self.t += 1
        end = self.t == self.length
        return self.seen(), float(self.t), end and not self.truncates, end and self.truncates, {}

    def seen(self):
        t = np.full(1, self.t, np.float32)
        return {"t": t} if self.as_dict else t


class Spy(Agent):
    """Takes action 0 and writes down what it is told."""

    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.acted, self.told = [], []

    def act(self, observation, *, first=None, allowed=None, explore=True):
        (shown,) = observation.values()
        self.acted.append((shown[:, 0].astype(int).tolist(), first.tolist()))
        return Decision(np.zeros(len(shown), int))

    def observe(self, transitions):
        self.told.append(transitions)


def play(mode, lengths=(3, 3), steps=12, **options):
    envs = gym.vector.SyncVectorEnv([lambda n=n: Counting(n, **options) for n in lengths], autoreset_mode=mode)
    spy = Spy(agents.registry.problem_of(envs), seed=0)
    return spy, run(spy, envs, seed=0, steps=steps)


@pytest.mark.parametrize("mode", MODES)
def test_loop_is_the_mean_return_of_the_episodes_that_ended(mode):
    spy, record = play(mode)
    assert record.metrics["loop"] == pytest.approx(1 + 2 + 3)
    assert (np.concatenate([t.reward for t in spy.told]) > 0).all()  # a reset pays nothing and is no transition


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("truncates", [False, True])
def test_a_transition_shows_where_it_led_even_when_the_next_episode_has_begun(mode, as_dict, truncates):
    spy, _ = play(mode, as_dict=as_dict, truncates=truncates)
    for told in spy.told:
        (before,), (after,) = told.observation.values(), told.next_observation.values()
        np.testing.assert_array_equal(after, before + 1)
        np.testing.assert_array_equal(told.truncated if truncates else told.terminated, after[:, 0] == 3)


@pytest.mark.parametrize("mode", MODES)
def test_first_marks_exactly_the_lanes_that_see_a_beginning(mode):
    spy, _ = play(mode, lengths=(2, 3))
    for shown, first in spy.acted:
        assert first == [t == 0 for t in shown]


@pytest.mark.parametrize("mode", MODES)
def test_the_visit_is_the_episode(mode):
    spy, _ = play(mode, lengths=(2, 3))
    episodes: dict[int, list[float]] = {}
    for told in spy.told:
        for visit, reward in zip(told.visit.tolist(), told.reward.tolist(), strict=True):
            episodes.setdefault(visit, []).append(reward)
    assert sorted(episodes) == list(range(len(episodes)))
    assert all(rewards == [1, 2, 3][: len(rewards)] for rewards in episodes.values())


@pytest.mark.parametrize("mode", MODES)
def test_before_any_episode_has_ended_its_reward_so_far_is_the_return(mode):
    assert play(mode, steps=2)[1].metrics["loop"] == pytest.approx(1 + 2)


@pytest.mark.parametrize("mode", MODES)
def test_mean_return_counts_each_lane_as_often(mode):
    envs = gym.vector.SyncVectorEnv([lambda n=n: Counting(n) for n in (1, 3)], autoreset_mode=mode)
    spy = Spy(agents.registry.problem_of(envs), seed=0)
    assert mean_return(spy, envs, episodes=4, seed=0) == pytest.approx((1 + 6) / 2)
    assert not spy.told
    with pytest.raises(InvalidConfig, match="episodes"):
        mean_return(spy, envs, episodes=0, seed=0)


@pytest.mark.parametrize(
    ("world", "fragment"), [({"n_items": 4}, r"actions are Discrete\(4\)"), ({"n_users": 60}, r"observation\['user'\]")]
)
def test_an_agent_of_another_problem_is_refused_before_the_first_step(world, fragment):
    sizes = {"n_users": 50, "n_items": 5, "iterations": 2}
    agent = agents.make("thompson", gym.make_vec("SmartRec/Task1-v0", num_envs=5, **sizes), seed=0)
    with pytest.raises(InvalidConfig, match=fragment):
        run(agent, gym.make_vec("SmartRec/Task1-v0", num_envs=5, **{**sizes, **world}), seed=0)
    run(agent, gym.make_vec("SmartRec/Task1-v0", num_envs=5, **{**sizes, "iterations": 3}), seed=0)
