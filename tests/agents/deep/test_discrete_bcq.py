"""Discrete BCQ: the identities at both ends of its threshold, and a log of a half-trained DQN."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from smartrec.agents.deep.discrete_bcq import DiscreteBCQ, DiscreteBCQConfig, likely
from smartrec.agents.deep.dqn import DQN, DQNConfig
from smartrec.agents.registry import problem_of
from smartrec.core import Decision, Mask, Transitions
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.evaluation import mean_return, run

EXACT = {"hidden": (), "rate": 0.03, "batch_size": 32, "tau": 0.1}


def values_of(learner, states):
    with torch.no_grad():
        return learner.network({"observation": torch.eye(states)}).numpy()


def test_likely_by_hand():
    shares = torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.1, 0.1, 0.8, 0.0]])
    logits = shares.log()
    assert likely(logits, 0.5, 1).tolist() == [[True, True, False, False], [False, False, True, False]]
    assert likely(logits, 0.0, 1).tolist() == [[True, True, True, False]] * 2
    assert likely(logits, 1.0, 1).tolist() == [[True, False, False, False], [False, False, True, False]]
    # A slate of three can always be filled, and what is tied with its last place is in.
    assert likely(logits, 1.0, 3).tolist() == [[True, True, True, False]] * 2
    assert likely(logits, 1.0, 2).tolist() == [[True, True, False, False], [True, True, True, False]]
    assert not likely(torch.full((1, 3), -torch.inf), 0.3, 2).any()
    # A difference of logits that no probability in single precision could tell from 0.
    assert likely(torch.tensor([[0.0, -500.0]]), 0.0, 1).all()


def walk(world, rng, count):
    """A random walk over all states and items of a world with numbered rewards."""
    states, items = rng.integers(world.states, size=count), rng.integers(world.items, size=count)
    followers = np.where(rng.random(count) < 0.1, -1, rng.integers(world.states, size=count))
    return world.log(states, items, rng.random(count) * (items == states % world.items), followers)


def test_threshold_0_is_dqn(tabular):
    """The same first weights and the same batches: the same Q after 200 steps, and the same decisions."""
    world = tabular(5, 4)
    log = walk(world, np.random.default_rng(0), 500)
    options = {"epochs": 200 * 32 / 500, "batch_size": 32, "rate": 3e-3}
    dqn = DQN(world.problem, DQNConfig(**options), seed=0)
    bcq = DiscreteBCQ(world.problem, DiscreteBCQConfig(threshold=0.0, **options), seed=0)
    bcq.values.set_state(dqn.values.get_state())
    bcq.rng.bit_generator.state = dqn.rng.bit_generator.state
    dqn.fit(log)
    bcq.fit(log)
    assert dqn.values.steps == bcq.values.steps == 200
    np.testing.assert_allclose(values_of(bcq.values, 5), values_of(dqn.values, 5), atol=1e-6)
    for mine, other in zip(bcq.values.target.parameters(), dqn.values.target.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=0)
    seen = world.seen(np.arange(5))
    np.testing.assert_array_equal(bcq.act(seen, explore=False).action, dqn.act(seen, explore=False).action)


def test_threshold_1_is_behavioural_cloning(tabular):
    """It shows what the log showed most, however badly that paid, and its ``g`` is the log's policy."""
    world, rng = tabular(3, 4), np.random.default_rng(0)
    policy = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1]])
    states = rng.integers(3, size=6000)
    items = (rng.random((6000, 1)) > policy[states].cumsum(axis=1)).sum(axis=1)
    log = world.log(states, items, items == 2, rng.integers(3, size=6000))
    options = {**EXACT, "batch_size": 256, "rate": 0.02, "epochs": 20}
    agent = DiscreteBCQ(world.problem, DiscreteBCQConfig(threshold=1.0, **options), seed=0)
    agent.fit(log)
    logits = values_of(agent.behaviour, 3)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, policy, atol=0.06)
    for explore in (True, False):
        assert agent.act(world.seen([0, 1, 2] * 50), explore=explore).action.tolist() == [3, 0, 1] * 50
    assert values_of(agent.values, 3).argmax(axis=1).tolist() == [2, 2, 2]


def test_values_follow_what_the_log_may_have_done(three_states):
    """Where the log never stays in state 2, its value there is that of the way out, and DQN's is a dream."""
    log = three_states.log()[np.array([0, 1, 2, 3, 5])]
    agent = DiscreteBCQ(three_states.world.problem, DiscreteBCQConfig(epochs=900 * 32 / 5, **EXACT), seed=0)
    with torch.no_grad():  # what the log does not show looks splendid at first
        for network in (agent.values.network, agent.values.target):
            network.items.weight[0, 2] = 50.0
    agent.fit(log)
    best = three_states.values(np.array([[1, 0], [1, 0], [0, 1]]))
    assert best[0, 0] > best[0, 1]
    found = values_of(agent.values, 3)
    known = np.array([0, 1, 2, 3, 5])
    np.testing.assert_allclose(found.ravel()[known], best.ravel()[known], atol=0.02)
    assert found[2, 0] > 10
    assert agent.act(three_states.world.seen([0, 1, 2]), explore=False).action.tolist() == [0, 0, 1]


def test_masks_hold_for_both_networks(tabular):
    """What was not allowed is neither cloned nor missed; what is not allowed next is no value; nor is it shown."""
    world = tabular(1, 3)
    allowed = np.array([[True, True, False]] * 4)
    log = world.log([0] * 4, [0, 1, 0, 1], [1, 0, 1, 0], [0] * 4, allowed=allowed, next_allowed=~allowed)
    agent = DiscreteBCQ(world.problem, DiscreteBCQConfig(epochs=200 * 32 / 4, **EXACT), seed=0)
    with torch.no_grad():
        agent.behaviour.network.items.bias[2] = 9.0
    agent.fit(log)
    logits = values_of(agent.behaviour, 1)[0]
    assert logits[0] == pytest.approx(logits[1], abs=0.3)
    assert logits[2] > 8  # its logit was never touched
    batch = agent.experience.batch(np.arange(4))
    third = agent.values.target({"observation": torch.ones(1, 1)})[0, 2].item()
    np.testing.assert_allclose(agent._targets(batch)[:, 0], np.array([1, 0, 1, 0]) + 0.9 * third, rtol=1e-5)
    shown = agent.act(world.seen([0] * 20), allowed=Mask(np.array([[False, True, False]])), explore=False)
    assert (shown.action == 1).all()


def test_a_slate_is_cloned_item_by_item(tabular):
    world, rng = tabular(1, 6, slate_size=2, discount=0.0), np.random.default_rng(0)
    slates = np.array([[0, 1], [0, 2], [1, 0], [2, 0]])[rng.integers(4, size=2000)]
    agent = DiscreteBCQ(world.problem, DiscreteBCQConfig(epochs=20, rate=0.02, hidden=(), threshold=0.3), seed=0)
    agent.fit(world.log(np.zeros(2000, int), slates, slates == 2))
    logits = values_of(agent.behaviour, 1)[0]
    shares = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25, 0, 0, 0], atol=0.03)
    shown = agent.act(world.seen([0] * 100), explore=False).action
    assert (shown[:, 0] == 2).all()
    assert set(shown[:, 1]) <= {0, 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [({"threshold": 1.5}, "threshold = 1.5; allowed: 0 to 1"), ({"tau": 2.0}, "tau = 2.0"), ({"epochs": -1}, "epochs")],
)
def test_bad_options_are_refused(options, said):
    with pytest.raises(InvalidConfig, match=said):
        DiscreteBCQConfig(**options)


def test_a_log_longer_than_the_experience_is_refused(three_states):
    agent = DiscreteBCQ(three_states.world.problem, DiscreteBCQConfig(experience=5), seed=0)
    with pytest.raises(InvalidInput, match="6 transitions, and experience = 5"):
        agent.fit(three_states.log())


def envs():
    return gym.make_vec("CartPole-v1", num_envs=10, vectorization_mode="sync")


def half_trained_log(seed):
    """A DQN stopped half-way, and 10,000 transitions of it with epsilon = 0.3."""
    options = DQNConfig(
        hidden=(64, 64), train_every=4, warmup=500, epsilon_over=3000, final_epsilon=0.3, tau=0.02, batch_size=64
    )
    half = DQN(problem_of(envs()), options, seed=seed)
    run(half, envs(), seed=seed, steps=600)
    log = Keeper(half)
    run(log, envs(), seed=seed + 100, steps=1000)
    return half, log.transitions()


class Keeper:
    """Acts as another agent does, learns nothing and keeps all it is told."""

    def __init__(self, agent):
        self.agent, self.problem, self.tags, self.config = agent, agent.problem, agent.tags, agent.config
        self.act, self.kept = agent.act, []

    def observe(self, transitions):
        self.kept.append(transitions)

    def update(self):
        return {}

    def transitions(self):
        def joined(name):
            return np.concatenate([getattr(part, name) for part in self.kept])

        names = ("responses", "observed", "reward", "terminated", "truncated", "visit", "step")
        return Transitions(
            observation={"observation": np.concatenate([part.observation["observation"] for part in self.kept])},
            decision=Decision(np.concatenate([part.decision.action for part in self.kept])),
            next_observation={
                "observation": np.concatenate([part.next_observation["observation"] for part in self.kept])
            },
            **{name: joined(name) for name in names},
        )


@pytest.mark.learning
def test_on_the_log_of_a_half_trained_dqn_it_beats_the_log_and_dqn(learning_seeds):
    """Medians over the seeds of the mean return of 50 episodes."""
    returns = []
    for seed in learning_seeds:
        half, log = half_trained_log(seed)
        options = {"epochs": 4000 * 64 / len(log), "batch_size": 64, "tau": 0.02}
        learners = [
            DiscreteBCQ(half.problem, DiscreteBCQConfig(**options), seed=seed),
            DQN(half.problem, DQNConfig(**options), seed=seed),
        ]
        for learner in learners:
            learner.fit(log)
        behaviour = mean_return(half, envs(), episodes=50, seed=seed + 200, explore=True)
        returns.append([behaviour, *(mean_return(agent, envs(), episodes=50, seed=seed + 200) for agent in learners)])
    behaviour, bcq, dqn = np.median(returns, axis=0)
    assert bcq >= behaviour, returns
    assert bcq > dqn, returns
