"""ddpg, td3, sac and bcq against closed forms: one-step values, linear-quadratic control, targets, masks, resume."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from smartrec import agents, evaluation
from smartrec.agents.deep.vector_networks import VectorCritic, mean_error
from smartrec.agents.deep.vectors import VectorConfig
from smartrec.core import Decision, Mask, Problem, Transitions
from smartrec.core.errors import InvalidConfig

NAMES = ["ddpg", "td3", "sac", "bcq"]
CLIMBERS = ["ddpg", "td3", "sac"]
BOX = spaces.Box(-1, 1, (1,), np.float32)


def problem_of(discount=0.0, action=BOX):
    return Problem.from_spaces(BOX, action, discount=discount)


def log_of(states, actions, rewards, followers=None, terminated=None):
    """Transitions of states [B], actions [B], rewards [B]; they terminate where there are no followers."""
    lanes = len(states)
    ended = np.full(lanes, followers is None) if terminated is None else np.asarray(terminated)
    followers = states if followers is None else followers
    shape = lambda part: {"observation": np.asarray(part, np.float32)[:, None]}  # noqa: E731
    return Transitions(
        observation=shape(states),
        decision=Decision(np.asarray(actions, np.float32)[:, None]),
        responses=np.asarray(rewards, float)[:, None],
        observed=np.ones((lanes, 1), bool),
        reward=np.asarray(rewards, float),
        next_observation=shape(followers),
        terminated=ended,
        truncated=~ended,
        visit=np.arange(lanes),
        step=np.arange(lanes),
    )


def learn(agent, log, steps):
    """Take exactly ``steps`` gradient steps on a log."""
    agent.experience.record(log)
    for _ in range(steps):
        figures = agent._learn(agent.experience.sample(agent.config.batch, agent.rng))
    return figures


def weights(network):
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def parts(states):
    return {"observation": torch.tensor(states, dtype=torch.float32)[:, None]}


@pytest.mark.parametrize("name", NAMES)
def test_values_of_one_step_are_the_expected_rewards_of_items(name, tabular):
    world = tabular(2, 4, discount=0.0, item_features=np.random.default_rng(0).normal(size=(4, 2)))
    rng = np.random.default_rng(1)
    truth = np.array([[0.1, 0.9, 0.5, 0.3], [0.8, 0.2, 0.4, 0.6]])
    states, items = rng.integers(2, size=4000), rng.integers(4, size=4000)
    clicks = rng.random(4000) < truth[states, items]
    means = np.array([[clicks[(states == s) & (items == i)].mean() for i in range(4)] for s in range(2)])
    agent = agents.make(name, world.problem, seed=0, hidden=(32, 32))
    learn(agent, world.log(states, items, clicks), 600)
    critic = agent.critic.network
    with torch.no_grad():
        seen = {"observation": torch.eye(2)}
        values = critic(seen, critic.vectors(torch.arange(4).expand(2, -1)))
    for head in values.numpy():
        np.testing.assert_allclose(head, means, atol=0.08)


@pytest.mark.parametrize("name", CLIMBERS)
def test_the_actor_finds_the_top_of_a_parabola(name):
    """r = -(a - 0.6 s)^2, so the best action is 0.6 s."""
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-1, 1, (2, 4000))
    options = {"target_entropy": -4.0} if name == "sac" else {}
    agent = agents.make(name, problem_of(), seed=0, hidden=(32, 32), batch=64, **options)
    learn(agent, log_of(states, actions, -((actions - 0.6 * states) ** 2)), 1200)
    assert slope(agent)[0] == pytest.approx(0.6, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIMBERS)
def test_linear_quadratic_control(name):
    """s' = (s + a) / 2, r = -(s^2 + a^2 / 2): the gain and the value solve a Riccati equation."""
    discount, a, b, q, r = 0.9, 0.5, 0.5, 1.0, 0.5
    worth = 1.0
    for _ in range(200):
        worth = q + discount * a**2 * worth - (discount * a * b * worth) ** 2 / (r + discount * b**2 * worth)
    gain = discount * a * b * worth / (r + discount * b**2 * worth)
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-1, 1, (2, 6000))
    log = log_of(states, actions, -(q * states**2 + r * actions**2), a * states + b * actions)
    options = {"sac": {"target_entropy": -3.0}, "td3": {"target_noise": 0.01}}.get(name, {})
    agent = agents.make(name, problem_of(discount), seed=0, tau=0.02, hidden=(32, 32), batch=64, **options)
    learn(agent, log, 2500)
    found, (at, action) = slope(agent)
    assert found == pytest.approx(-gain, rel=0.25)
    with torch.no_grad():
        values = agent.critic.network(parts(at), torch.from_numpy(action)[:, None, None])[0, :, 0]
    curve = np.polynomial.Polynomial.fit(at, values, 2).convert().coef
    assert curve[2] == pytest.approx(-worth, rel=0.2)


def slope(agent):
    """Return the slope of the best guess over the state, by least squares, and the points."""
    at = np.linspace(-0.8, 0.8, 33, dtype=np.float32)
    action = agent.act({"observation": at[:, None]}, explore=False).action[:, 0]
    return float(at @ action / (at @ at)), (at, action)


@pytest.mark.parametrize("name", NAMES)
def test_targets_move_by_tau_exactly(name):
    agent = agents.make(name, problem_of(0.9), seed=0, tau=0.1, **({"policy_delay": 1} if name == "td3" else {}))
    rng = np.random.default_rng(0)
    log = log_of(*rng.uniform(-1, 1, (4, 50)))
    learners = [agent.critic] if name == "sac" else [agent.critic, agent.actor]
    before = [weights(learner.target) for learner in learners]
    learn(agent, log, 1)
    for learner, old in zip(learners, before, strict=True):
        mine, moved = weights(learner.network), weights(learner.target)
        for key in old:
            torch.testing.assert_close(moved[key], 0.9 * old[key] + 0.1 * mine[key], rtol=0, atol=1e-7)
            assert key.endswith(("low", "high")) or not torch.equal(moved[key], old[key])


@pytest.mark.parametrize("name", NAMES)
def test_truncated_bootstraps_and_terminated_does_not_and_nothing_is_clipped(name):
    options = {"target_noise": 0.0} if name == "td3" else {"samples": 1} if name == "bcq" else {}
    agent = agents.make(name, problem_of(0.9), seed=0, **options)
    with torch.no_grad():  # every value is 1000 / 0.1
        for critic in (agent.critic.network, agent.critic.target):
            critic.weights[-1].zero_()
            critic.biases[-1].fill_(1e4)
    agent.experience.record(log_of([0.1, 0.2], [0, 0], [1000, 1000], [0.3, 0.4], [False, True]))
    targets = agent._targets(agent.experience.batch(np.arange(2)))
    entropy = 5.0 if name == "sac" else 1e-3
    np.testing.assert_allclose(targets[:, 0], [1e4, 1000], atol=entropy)
    assert targets[1, 0] == 1000
    assert not targets.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_masks_hold_in_targets(name, tabular):
    """Of three items only the one allowed next counts; where none is, nothing follows."""
    world = tabular(1, 3, item_features=np.array([[-1.0], [0], [1]]))
    agent = agents.make(name, world.problem, seed=0, neighbours=3, **({"alpha": 1e-9} if name == "sac" else {}))
    masks = [[True, False, False], [False, False, True], [False, False, False]]
    agent.experience.record(world.log([0] * 3, [0] * 3, [0.5] * 3, [0] * 3, next_allowed=masks))
    batch = agent.experience.batch(np.arange(3))
    critic = agent.critic.target
    with torch.no_grad():
        values = critic(batch.next_observation, critic.vectors(torch.arange(3).expand(3, -1)))
    wary = {"ddpg": values[0], "bcq": 0.75 * values.amin(0) + 0.25 * values.amax(0)}.get(name, values.amin(0))
    expected = 0.5 + 0.9 * np.array([float(wary[0, 0]), float(wary[1, 2]), 0.0])
    np.testing.assert_allclose(agent._targets(batch)[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_a_slate_add_up_to_its_bellman_target(name, tabular):
    world = tabular(1, 4, 3, item_features=np.arange(4.0)[:, None])
    agent = agents.make(name, world.problem, seed=0, neighbours=4, **({"alpha": 1e-9} if name == "sac" else {}))
    agent.experience.record(world.log([0], [[0, 1, 2]], [[0.1, 0.2, 0.4]], [0]))
    batch = agent.experience.batch(np.arange(1))
    critic = agent.critic.target
    with torch.no_grad():
        values = critic(batch.next_observation, critic.vectors(torch.arange(4)[None]))[:, 0]
    wary = {"ddpg": values[0], "bcq": 0.75 * values.amin(0) + 0.25 * values.amax(0)}.get(name, values.amin(0))
    slate = 0.7 + 0.9 * wary.topk(3).values.sum()
    torch.testing.assert_close(agent._targets(batch).sum(), slate, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_position_nobody_saw_changes_nothing(name, tabular):
    world, rng = tabular(2, 6, 2, discount=0.0), np.random.default_rng(0)
    slates = np.array([rng.permutation(6)[:2] for _ in range(64)])
    clicks, observed = rng.random((64, 2)), rng.random((64, 2)) < 0.6
    learnt = []
    for hidden in (0.0, 50.0):
        agent = agents.make(name, world.problem, seed=0, warmup=0)
        log = world.log(rng.integers(1, size=64), slates, np.where(observed, clicks, hidden), observed=observed)
        agent.observe(log)
        assert agent.experience.size == observed.any(axis=1).sum()
        agent.update()
        learnt.append(weights(agent.critic.network) | weights(agent.actor.network))
    for key, value in learnt[0].items():
        assert torch.equal(value, learnt[1][key]), key


def test_error_counts_observed_positions_of_all_heads():
    values = torch.tensor([[[1.0, 5.0]], [[3.0, 7.0]]])
    targets, observed = torch.tensor([[0.0, 0.0]]), torch.tensor([[True, False]])
    assert mean_error(values, targets, observed) == 1 + 9


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_step_raises_the_value(name):
    """A step with the gradient turned round would lower it."""
    agent = agents.make(name, problem_of(), seed=0, critic_rate=1e-9, **_silent(name))
    rng = np.random.default_rng(0)
    states, actions = rng.uniform(-1, 1, (2, 500))
    with torch.no_grad():  # a critic that likes large actions, and stays as it is
        agent.critic.network.of_vector.weight.abs_()
        for weight in agent.critic.network.weights:
            weight.abs_()
    before = learn(agent, log_of(states, actions, 0 * states), 1)["actor_loss"]
    after = learn(agent, log_of(states, actions, 0 * states), 40)["actor_loss"]
    assert after < before - 0.01


def _silent(name):
    return {"sac": {"alpha": 1e-9, "learn_alpha": False}, "td3": {"policy_delay": 1}, "bcq": {"phi": 1.0}}.get(name, {})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{"clip": -1.0}, {"clip": 0.0}, {"tau": 0.0}])
def test_gradients_are_never_turned_round_and_targets_never_stand_still(name, options):
    with pytest.raises(InvalidConfig, match="allowed: "):
        agents.make(name, problem_of(), seed=0, **options)


@pytest.mark.parametrize("name", CLIMBERS)
def test_the_best_guess_has_no_noise(name):
    agent = agents.make(name, problem_of(), seed=0)
    learn(agent, log_of(*np.random.default_rng(0).uniform(-1, 1, (3, 50))), 2)
    seen = {"observation": np.zeros((500, 1), np.float32)}
    assert len(np.unique(agent.act(seen, explore=False).action)) == 1
    assert len(np.unique(agent.act(seen).action)) > 400
    assert agent.act({"observation": np.zeros((1, 1), np.float32)}).action.shape == (1, 1)


def test_ddpg_noise_has_the_asked_width():
    agent = agents.make("ddpg", problem_of(), seed=0, noise=0.2)
    agent.critic.steps = 1
    action = agent.act({"observation": np.zeros((20_000, 1), np.float32)}).action
    assert action.std() == pytest.approx(0.2, rel=0.03)


def test_td3_noise_of_targets_is_clipped_and_stays_in_the_box():
    agent = agents.make("td3", problem_of(0.9), seed=0, target_noise=0.2, target_noise_clip=0.3)
    noise = agent._noisy(torch.zeros(50_000, 1)).numpy()
    assert np.abs(noise).max() == pytest.approx(0.3)
    # Of a normal of width 0.2, the share beyond 0.3 is 13.4 %.
    assert (np.abs(noise) > 0.3 - 1e-6).mean() == pytest.approx(0.1336, abs=0.005)
    assert agent._noisy(torch.ones(100, 1)).max() <= 1


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_td3_actor_and_targets_wait(delay):
    agent = agents.make("td3", problem_of(0.9), seed=0, policy_delay=delay)
    log = log_of(*np.random.default_rng(0).uniform(-1, 1, (4, 50)))
    for step in range(1, 8):
        before = weights(agent.critic.target)
        figures = learn(agent, log, 1)
        moved = any(not torch.equal(value, before[key]) for key, value in weights(agent.critic.target).items())
        assert moved == (step % delay == 0) == ("actor_loss" in figures)
        assert agent.actor.steps == step // delay


@pytest.mark.parametrize("name", ["td3", "sac", "bcq"])
def test_both_critics_learn_and_differ(name):
    agent = agents.make(name, problem_of(), seed=0)
    before = weights(agent.critic.network)
    learn(agent, log_of(*np.random.default_rng(0).uniform(-1, 1, (3, 50))), 1)
    after = weights(agent.critic.network)
    for key in after:
        assert key.startswith("vectors") or not torch.equal(after[key], before[key]), key
    assert not torch.equal(*after["weights.0"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lanes", [1, 500])
def test_any_number_of_lanes_among_learnt_items(name, lanes, tabular):
    world = tabular(3, 40, 5)
    agent = agents.make(name, world.problem, seed=0, warmup=0, train_every=100)
    allowed = np.random.default_rng(0).random((lanes, 40)) < 0.5
    for _ in range(2):
        states = np.arange(lanes) % 3
        decision = agent.act(world.seen(states), allowed=Mask(allowed))
        assert decision.action.shape == (lanes, 5)
        assert np.take_along_axis(allowed, decision.action, 1).all()
        agent.observe(replace(world.log(states, decision.action, np.ones((lanes, 5)), states), decision=decision))
        for _ in range(2):
            agent._learn(agent.experience.sample(8, agent.rng))


@pytest.mark.parametrize("name", NAMES)
def test_pendulum_goes_on_exactly_after_loading(name, tmp_path):
    def run(agent, seed):
        evaluation.run(agent, gym.make_vec("Pendulum-v1", num_envs=2), seed=seed, steps=60)
        return agent

    fresh = lambda: agents.make(name, gym.make_vec("Pendulum-v1", num_envs=2), seed=3, warmup=40, batch=16)  # noqa: E731
    unbroken = run(run(fresh(), 0), 1)
    run(fresh(), 0).save(tmp_path)
    resumed = run(agents.load(tmp_path), 1)
    for mine, theirs in ((unbroken.critic, resumed.critic), (unbroken.actor, resumed.actor)):
        for key, value in weights(mine.network).items():
            assert torch.equal(value, weights(theirs.network)[key]), key
    ours, theirs = unbroken.experience.get_state(), resumed.experience.get_state()
    assert all(np.array_equal(value, theirs[key]) for key, value in ours.items())
    assert ours["size"] == 240


@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])
def test_the_critic_is_an_mlp_a_head_on_state_and_vector(hidden, tabular):
    config = VectorConfig(hidden=hidden)
    world = tabular(3, 4, item_features=np.random.default_rng(0).normal(size=(4, 2)))
    critic = VectorCritic(world.problem, config, heads=2)
    states, vectors = torch.rand(7, 3), torch.rand(7, 4, 2)
    both = critic({"observation": states}, vectors)
    assert both.shape == (2, 7, 4)
    units = (*hidden, 1)[0]
    for head in range(2):
        rows = slice(head * units, (head + 1) * units)
        first = torch.cat([critic.of_state.weight[rows], critic.of_vector.weight[rows]], dim=1)
        expected = torch.cat([states[:, None].expand(-1, 4, -1), vectors], dim=2) @ first.T + critic.of_state.bias[rows]
        for weight, bias in zip(critic.weights, critic.biases, strict=True):
            expected = torch.relu(expected) @ weight[head] + bias[head]
        torch.testing.assert_close(both[head], expected[..., 0])
    torch.testing.assert_close(critic({"observation": states}, vectors, heads=1), both[:1])
    for one in range(4):
        torch.testing.assert_close(critic({"observation": states}, vectors[:, [one]]), both[:, :, [one]])
