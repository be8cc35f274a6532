"""DQN against linear equations, hand-made targets, planted worlds and CartPole."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch

from smartrec import agents
from smartrec.agents.deep.dqn import DQN, DQNConfig
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.evaluation import mean_return, run

EXACT = {"hidden": (), "rate": 0.02, "batch_size": 32, "tau": 0.1}
"""Linear in the one-hot state, so the network is a table."""


def taught(world, log, steps=900, **options):
    options = {**EXACT, **options}
    epochs = steps * options["batch_size"] / log.observed.any(axis=1).sum()
    agent = DQN(world.problem, DQNConfig(**options, epochs=epochs), seed=0)
    agent.fit(log)
    assert agent.values.steps in (steps, steps + 1)  # epochs are rounded up
    return agent


def q_of(agent, world):
    with torch.no_grad():
        return agent.values.network({"observation": torch.eye(world.states)}).numpy()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"double": False},
        {"duelling": True},
        {"priority": 0.6},
        {"form": "embeddings", "embedding": 8},
        {"tau": 1.0, "target_every": 10},
    ],
    ids=str,
)
def test_values_of_a_tiny_world_solve_its_equations(three_states, options):
    best = three_states.values(np.array([[0, 1], [0, 1], [1, 0]]))
    np.testing.assert_allclose(best[2], [3.0, 0.6])
    agent = taught(three_states.world, three_states.log(), steps=1200, **options)
    np.testing.assert_allclose(q_of(agent, three_states.world), best, atol=0.02)
    assert agent.act(three_states.world.seen([0, 1, 2]), explore=False).action.tolist() == [1, 1, 0]


def test_masks_hold_in_the_targets(three_states):
    """Where staying is not allowed, the way out is the best that can follow."""
    next_allowed = np.ones((6, 2), bool)
    next_allowed[[3, 4]] = [False, True]  # what leads to state 2
    agent = taught(three_states.world, three_states.log(next_allowed=next_allowed), steps=600)
    values = q_of(agent, three_states.world)
    np.testing.assert_allclose(values[[1, 2], [1, 0]], [0.9 * 0.6, 0.3 + 0.9 * 0.6], atol=5e-3)


def test_a_state_where_nothing_is_allowed_is_worth_nothing(tabular):
    world = tabular(2, 2)
    agent = taught(world, world.log([0, 1], [0, 1], [0.5, 0.7], [1, 1], next_allowed=[[False, False]] * 2), steps=300)
    np.testing.assert_allclose(q_of(agent, world)[[0, 1], [0, 1]], [0.5, 0.7], atol=5e-3)


def test_truncated_goes_on_and_terminated_does_not(tabular):
    world = tabular(1, 1, discount=0.5)
    for follower, expected in ((0, 1.0 / (1 - 0.5)), (-1, 1.0)):
        log = world.log([0], [0], [1.0], [follower], truncated=np.array([follower == 0]))
        agent = taught(world, log, steps=250)
        assert q_of(agent, world)[0, 0] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("double", "expected"), [(True, 1 + 0.9 * 2), (False, 1 + 0.9 * 5)])
def test_double_lets_the_network_choose_and_the_target_value(tabular, double, expected):
    world = tabular(2, 2)
    agent = DQN(world.problem, DQNConfig(hidden=(), double=double), seed=0)
    for network, values in ((agent.values.network, [3.0, 1.0]), (agent.values.target, [2.0, 5.0])):
        with torch.no_grad():
            network.items.weight.zero_()
            network.items.bias.copy_(torch.tensor(values))
    agent.observe(world.log([0], [0], [1.0], [1]))
    batch = agent.experience.batch(np.array([0]))
    assert agent._targets(batch).item() == pytest.approx(expected)


@pytest.mark.parametrize(("every", "tau"), [(1, 0.25), (3, 1.0)])
def test_the_target_moves_by_tau_and_only_then(three_states, every, tau):
    agent = DQN(three_states.world.problem, DQNConfig(target_every=every, tau=tau), seed=0)
    agent.observe(three_states.log())
    for step in range(1, 7):
        before = [weight.clone() for weight in agent.values.target.parameters()]
        agent._learn(agent.experience.sample(agent.config.batch_size, agent.rng))
        share = tau if step % every == 0 else 0.0
        pairs = zip(before, agent.values.network.parameters(), agent.values.target.parameters(), strict=True)
        for old, mine, new in pairs:
            torch.testing.assert_close(new, old + share * (mine.detach() - old))


@pytest.mark.parametrize("form", ["heads", "embeddings"])
def test_in_a_bandit_values_are_mean_responses(tabular, form):
    """Means an item in two contexts; slates of two, each position for itself; what nobody saw does not count."""
    world, rng = tabular(2, 5, slate_size=2, discount=0.0), np.random.default_rng(0)
    means = np.array([[0.1, 0.3, 0.5, 0.7, 0.9], [0.9, 0.1, 0.8, 0.2, 0.5]])
    states, slates = rng.integers(2, size=4000), rng.permuted(np.tile(np.arange(5), (4000, 1)), axis=1)[:, :2]
    clicks = rng.random(slates.shape) < means[states[:, None], slates]
    observed = rng.random(slates.shape) < 0.7
    log = world.log(states, slates, np.where(observed, clicks, 7.0), observed=observed)
    agent = taught(world, log, steps=600, form=form, embedding=8, rate=0.01, batch_size=512)
    seen = (np.repeat(states, 2), slates.ravel())
    counts, sums = np.zeros((2, 5)), np.zeros((2, 5))
    np.add.at(counts, seen, observed.ravel())
    np.add.at(sums, seen, (clicks & observed).ravel())
    np.testing.assert_allclose(q_of(agent, world), sums / counts, atol=0.07)
    assert agent.values.target is agent.values.network  # nothing to bootstrap, so no target is kept


def test_the_value_of_a_slate_is_the_sum_of_its_items(tabular):
    """One state, everything pays its number for ever: slates of two learn ``r_i + discount (r_2 + r_3) / 2 ...``."""
    world, pay = tabular(1, 4, slate_size=2, discount=0.5), np.array([0.1, 0.2, 0.3, 0.4])
    slates = np.array([(i, j) for i in range(4) for j in range(4) if i != j])
    agent = taught(world, world.log(np.zeros(12, int), slates, pay[slates], np.zeros(12, int)), steps=500)
    slate = (pay[2] + pay[3]) / (1 - 0.5)  # the best slate, for ever
    np.testing.assert_allclose(q_of(agent, world)[0], pay + 0.5 * slate / 2, atol=0.01)


def test_several_steps_count_before_what_follows(tabular):
    """One visit 0, 1, 2, 3, then cut off: two steps of reward, and the value of where they lead."""
    world = tabular(4, 1, discount=0.5)
    agent = DQN(world.problem, DQNConfig(n_step=2, hidden=()), seed=0)
    log = world.log([0, 1, 2], [0, 0, 0], [1.0, 2.0, 4.0], [1, 2, 3], truncated=np.array([False, False, True]))
    agent.observe(replace(log, visit=np.zeros(3, int), step=np.arange(3)))
    after = agent.values.target({"observation": torch.eye(4)})[:, 0].detach().numpy()
    targets = agent._targets(agent.experience.batch(np.arange(3)))[:, 0]
    np.testing.assert_allclose(targets, [2 + after[2] / 4, 4 + after[3] / 4, 4 + after[3] / 2], rtol=1e-6)


def test_few_candidates_find_the_maximum_in_the_long_run(tabular):
    """One item in 300 pays; a maximum over 30 sampled items has it in one batch out of ten."""
    world = tabular(2, 300, discount=0.5)
    agent = DQN(world.problem, DQNConfig(candidates=30, form="heads"), seed=0)
    sampled = np.array([agent._sampled().numpy() for _ in range(2000)])
    assert all(len(set(row)) == 30 for row in sampled)
    shown = np.bincount(sampled.ravel(), minlength=300) / 2000
    assert np.abs(shown - 0.1).max() < 6 * np.sqrt(0.1 * 0.9 / 2000)
    agent.observe(world.log([0], [0], [1.0], [1], next_allowed=np.arange(300)[None] == 5))
    with torch.no_grad():
        agent.values.target.items.bias[5] = 100.0
    batch = agent.experience.batch(np.array([0]))
    targets = np.array([agent._targets(batch).item() for _ in range(300)])
    assert set(targets[targets > 1]) == {targets.max()}
    assert 0.02 < (targets > 1).mean() < 0.2
    assert (targets >= 1).all()
    assert agents.make("dqn", world.problem, seed=0)._sampled() is None


def test_items_that_behave_alike_end_up_together(tabular):
    """Sixty items of four kinds, users of four kinds: after training, kin are near and strangers are not."""
    world, rng = tabular(4, 60, discount=0.0), np.random.default_rng(0)
    kind, states, items = np.arange(60) % 4, rng.integers(4, size=20_000), rng.integers(60, size=20_000)
    clicks = rng.random(20_000) < np.where(kind[items] == states, 0.8, 0.2)
    agent = DQN(world.problem, DQNConfig(form="embeddings", rate=0.01, epochs=5), seed=0)
    agent.fit(world.log(states, items, clicks))
    table = agent.item_embeddings
    assert table.shape == (60, 16)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosine, kin = unit @ unit.T, kind[:, None] == kind
    near, far = cosine[kin & ~np.eye(60, dtype=bool)], cosine[~kin]
    assert near.mean() > 0.85
    assert far.mean() < 0.1
    closest = (cosine - 2 * np.eye(60)).argmax(axis=1)
    assert (kind[closest] == kind).mean() > 0.95


def test_priorities_are_the_errors(three_states):
    """What was sampled comes again as often as its error was large."""
    agent = DQN(three_states.world.problem, DQNConfig(hidden=(), priority=1.0, batch_size=100), seed=0)
    agent.observe(three_states.log())
    batch = agent.experience.batch(np.arange(6))
    errors = (
        (agent._targets(batch) - agent.values.network(batch.observation, batch.action)).abs()[:, 0].detach().numpy()
    )
    agent._learn(agent.experience.sample(agent.config.batch_size, agent.rng))
    drawn = agent.experience.sample(20_000, np.random.default_rng(0)).rows
    share = errors / errors.sum()
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, share, atol=6 * np.sqrt(0.25 / 20_000))


def test_nothing_changes_while_acting(three_states):
    agent = DQN(three_states.world.problem, seed=0)
    agent.observe(three_states.log())
    agent._learn(agent.experience.sample(agent.config.batch_size, agent.rng))
    values = q_of(agent, three_states.world)
    for explore in (True, False):
        agent.act(three_states.world.seen([0, 1, 2] * 50), explore=explore)
    np.testing.assert_array_equal(q_of(agent, three_states.world), values)


def test_epsilon_falls_with_the_transitions(tabular):
    world = tabular(2, 2, discount=0.0)
    agent = DQN(world.problem, DQNConfig(epsilon=1.0, final_epsilon=0.1, epsilon_over=100, warmup=10_000), seed=0)
    crowd = world.seen(np.zeros(10_000, int))
    greedy = int(q_of(agent, world)[0].argmax())
    for chance in (1.0, 0.55, 0.1, 0.1):
        decision = agent.act(crowd)
        share = (decision.action != greedy).mean()
        assert share == pytest.approx(chance / 2, abs=0.025)
        np.testing.assert_allclose(np.exp(decision.log_probability[decision.action != greedy]), chance / 2)
        agent.observe(world.log([0] * 50, [0] * 50, [0] * 50))
    assert (agent.act(crowd, explore=False).action == greedy).all()


def test_a_batch_costs_no_more_steps_than_its_transitions_one_by_one(tabular):
    world = tabular(2, 2, discount=0.0)
    crowd, alone = (DQN(world.problem, DQNConfig(train_every=10, warmup=0), seed=0) for _ in range(2))
    log = world.log([0, 1] * 50, [0] * 100, [1] * 100)
    crowd.observe(log)
    crowd.update()
    for row in range(100):
        alone.observe(log[row : row + 1])
        alone.update()
    assert crowd.values.steps == alone.values.steps == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tau": 0.0}, "tau = 0.0; allowed: more than 0"),
        ({"epsilon": 1.5}, "epsilon = 1.5; allowed: 0 to 1"),
        ({"batch_size": 0}, "batch_size = 0; allowed: a whole number >= 1"),
        ({"clip": -1.0}, "clip of the Q-network = -1.0; allowed: a number > 0"),
        ({"train_every": 0}, "train_every = 0"),
        ({"epochs": 0}, "epochs = 0"),
    ],
)
def test_bad_options_are_refused(three_states, options, said):
    with pytest.raises(InvalidConfig, match=said):
        DQN(three_states.world.problem, DQNConfig(**options), seed=0)


def test_a_log_longer_than_the_experience_is_refused(three_states):
    agent = DQN(three_states.world.problem, DQNConfig(experience=5), seed=0)
    with pytest.raises(InvalidInput, match="6 transitions, and experience = 5"):
        agent.fit(three_states.log())
    assert agent.experience.size == 0


@pytest.mark.parametrize("name", ["dqn", "discrete_sac", "discrete_bcq"])
def test_what_is_no_number_is_refused_before_anything_is_kept(tabular, name):
    world = tabular(2, 3, slate_size=2)
    agent = agents.make(name, world.problem, seed=0)
    log = world.log([0, 1], [[0, 1], [1, 2]], [[1, 0], [0, 1]], [1, 0])
    wrong = {
        "responses": replace(log, responses=np.array([[1, 0], [np.nan, 1]])),
        "reward": replace(log, reward=np.array([1, np.inf])),
        "next.observation": replace(log, next_observation={"observation": np.full((2, 2), np.nan, np.float32)}),
    }
    for part, transitions in wrong.items():
        with pytest.raises(InvalidInput, match=f"{part} of a transition is .* allowed: finite numbers"):
            agent.observe(transitions)
    assert agent.experience.size == agent.cadence.transitions == 0
    agent.observe(replace(wrong["responses"], observed=np.array([[True, True], [False, True]])))
    assert agent.experience.batch(np.arange(2)).responses.tolist() == [[1, 0], [0, 1]]


def test_a_run_that_was_saved_goes_on_bit_for_bit(tmp_path):
    """2 N steps of CartPole are N, save, load, N: weights, optimiser, experience, generator."""
    options = {"train_every": 4, "warmup": 32, "priority": 0.5, "epsilon_over": 300}

    def made():
        return agents.make("dqn", gym.make_vec("CartPole-v1", num_envs=2), seed=3, **options)

    unbroken, first = made(), made()
    for agent in (unbroken, first):
        run(agent, gym.make_vec("CartPole-v1", num_envs=2), seed=0, steps=200)
    first.save(tmp_path)
    second = agents.load(tmp_path)
    for agent in (unbroken, second):
        run(agent, gym.make_vec("CartPole-v1", num_envs=2), seed=1, steps=200)
    assert unbroken.values.steps == second.values.steps > 100
    expected, found = unbroken.values.get_state(), second.values.get_state()
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(value, found[key])
    assert unbroken.rng.bit_generator.state == second.rng.bit_generator.state
    assert np.array_equal(
        unbroken.experience.batch(np.arange(400)).reward, second.experience.batch(np.arange(400)).reward
    )


def test_figures_tell_loss_and_values(three_states):
    agent = DQN(three_states.world.problem, DQNConfig(train_every=1, warmup=0), seed=0)
    assert agent.update() == {}
    agent.observe(replace(three_states.log(), observed=np.zeros((6, 1), bool)))
    assert agent.update() == {}
    agent.observe(three_states.log())
    assert set(agent.update()) == {"loss", "q_mean"}


CARTPOLE = {"hidden": (128, 128), "train_every": 4, "gradient_steps": 2, "tau": 0.02, "n_step": 5, "warmup": 1000}


@pytest.mark.learning
def test_it_balances_the_pole(learning_seeds):
    """CartPole-v1, 50,000 steps: the median over the seeds of the mean return of 50 episodes."""
    returns = []
    for seed in learning_seeds:
        envs = gym.make_vec("CartPole-v1", num_envs=1)
        agent = agents.make("dqn", envs, seed=seed, epsilon_over=8000, final_epsilon=0.04, batch_size=64, **CARTPOLE)
        run(agent, envs, seed=seed, steps=50_000)
        crowd = gym.make_vec("CartPole-v1", num_envs=10, vectorization_mode="sync")
        returns.append(mean_return(agent, crowd, episodes=50, seed=seed + 1000))
    assert np.median(returns) >= 475, returns
