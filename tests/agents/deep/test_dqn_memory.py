"""A recurrent DQN remembers what it was shown once; without frames it cannot know."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.evaluation import mean_return, run


class Cue(gym.Env):
    """Shows -1 or 1 at first and 0 from then on; pays 1 for the action that the cue called for, at the third step."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_, self.cue = 0, int(self.np_random.integers(2))
        return np.array([2 * self.cue - 1], np.float32), {}

    def step(self, action):
        self.step_ += 1
        end = self.step_ == 3
        return np.zeros(1, np.float32), float(end and action == self.cue), end, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["gru", "frame"])
def test_frames_let_it_remember(encoder):
    envs = gym.vector.SyncVectorEnv([Cue] * 16)
    options = {"frames": 3, "encoder": encoder, "encoder_size": 16, "hidden": [32], "rate": 3e-3, "epsilon_over": 1500}
    agent = agents.make("dqn", envs, seed=0, **options)
    run(agent, envs, seed=0, steps=400)
    assert mean_return(agent, envs, episodes=64, seed=1) > 0.95


@pytest.mark.slow
def test_without_them_it_guesses():
    envs = gym.vector.SyncVectorEnv([Cue] * 16)
    agent = agents.make("dqn", envs, seed=0, hidden=[32], rate=3e-3, epsilon_over=1500)
    run(agent, envs, seed=0, steps=400)
    assert mean_return(agent, envs, episodes=640, seed=1) < 0.65
