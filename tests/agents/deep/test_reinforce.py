"""REINFORCE against closed forms: gradients by hand, fixed points of its corrections, slates, masks, visits."""

import copy
from itertools import permutations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from smartrec import agents, evaluation
from smartrec.agents import exploration
from smartrec.agents.deep.reinforce import CONDITIONAL, surrogate, top_k_factor
from smartrec.agents.deep.slate_policy import log_places
from smartrec.core import Decision, Mask, Problem, Slate, Transitions
from smartrec.core.errors import InvalidConfig, InvalidInput

ITEM = np.arange(1, 11)
FALLING = (11 - ITEM) / 55
UNIFORM = np.full(10, 0.1)
TOP_TWO = np.array([10.0, 9.0] + [1.0] * 8)
ONLY_BIASES = {"hidden": (), "baseline": "none", "entropy": 0.0}
"""A user of whom nothing is seen but a zero: the scores are the biases, a softmax over a table."""


def problem(items=10, slate_size=1, discount=0.0):
    action = spaces.Discrete(items) if slate_size == 1 else Slate(items, slate_size)
    return Problem.from_spaces(spaces.Dict(x=spaces.Box(0, 1, (1,), np.float32)), action, discount=discount)


def log_of(items, responses, log_probability=None, allowed=None, **extras):
    """Return visits of one step each, all of the same user."""
    count, seen = len(items), {"x": np.zeros((len(items), 1), np.float32)}
    table = np.asarray(responses, float).reshape(count, -1)
    return Transitions(
        seen, Decision(np.asarray(items), log_probability, extras), table, np.ones(table.shape, bool), table.sum(1),
        seen, np.ones(count, bool), np.zeros(count, bool), np.arange(count), np.zeros(count, int), allowed,
    )  # fmt: skip


def policy_of(agent):
    with torch.no_grad():
        return agent.policy.network({"x": torch.zeros(1, 1)}).softmax(dim=1)[0].numpy()


def weights_of(learner):
    return [weight.detach().clone() for weight in learner.network.parameters()]


def same(one, other):
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


# Closed forms


def test_the_top_k_factor_for_ten():
    at = torch.tensor([0.0, 0.01, 0.1, 0.5, 1.0], dtype=torch.float64)
    np.testing.assert_allclose(top_k_factor(at, 10), [10, 9.1352, 3.8742, 0.01953, 0], rtol=1e-4)
    assert top_k_factor(at, 1).tolist() == [1.0] * 5


def test_the_top_k_factor_is_the_slope_of_the_chance_to_be_shown():
    at = torch.tensor([0.05, 0.3, 0.9], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((1 - (1 - at) ** 4).sum(), at)
    torch.testing.assert_close(top_k_factor(at.detach(), 4), slope)


def test_the_gradient_by_hand():
    scores = torch.tensor([[0.1, 0.7, -0.4], [1.0, 0.0, 0.5]], dtype=torch.float64, requires_grad=True)
    items, returns = torch.tensor([[1], [0]]), torch.tensor([[2.0], [3.0]], dtype=torch.float64)
    beta, base = torch.tensor([[0.5], [0.02]], dtype=torch.float64), torch.tensor([[0.3], [0.1]], dtype=torch.float64)
    seen = torch.ones(2, 1, dtype=torch.bool)
    loss, weight = surrogate(log_places(scores, items), beta.log(), returns, base, seen, k=3, cap=5.0)
    (found,) = torch.autograd.grad(loss, scores)
    pi = np.exp(scores.detach().numpy())
    pi /= pi.sum(axis=1, keepdims=True)
    expected = np.zeros((2, 3))
    for row, (item, reward, chance, b) in enumerate([(1, 2.0, 0.5, 0.3), (0, 3.0, 0.02, 0.1)]):
        ratio = min(pi[row, item] / chance, 5.0)
        gain = ratio * (3 * (1 - pi[row, item]) ** 2 * reward - b)
        expected[row] = -gain * ((np.arange(3) == item) - pi[row]) / 2
        assert weight[row, 0].item() == pytest.approx(ratio)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert weight[1, 0] == 5.0  # it was capped


def expected_gradient(scores, logging, rewards, corrected, k):
    """Return the gradient of the loss over all items, as often as they are logged: no sampling."""
    counts = np.rint(logging * 110).astype(int)
    items = torch.from_numpy(np.repeat(np.arange(10), counts))[:, None]
    places = log_places(scores.expand(len(items), -1), items)
    beta = torch.from_numpy(np.log(logging))[items] if corrected else places.detach()
    seen, zero = torch.ones(len(items), 1, dtype=torch.bool), torch.zeros(len(items), 1)
    loss, _ = surrogate(places, beta, torch.from_numpy(rewards)[items], zero, seen, k=k, cap=1e9)
    return torch.autograd.grad(loss, scores)[0]


@pytest.mark.parametrize(
    ("logging", "rewards", "corrected", "k", "fixed"),
    [
        (FALLING, ITEM.astype(float), False, 1, ITEM * (11 - ITEM) / 220),
        (FALLING, ITEM.astype(float), True, 1, np.eye(10)[9]),
        (UNIFORM, TOP_TWO, True, 1, np.eye(10)[0]),
        (UNIFORM, TOP_TWO, True, 2, np.array([10 / 19, 9 / 19] + [0.0] * 8)),
    ],
)
def test_expected_gradients_lead_to_the_fixed_points(logging, rewards, corrected, k, fixed):
    scores = torch.zeros(1, 10, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([scores], lr=0.1)
    for _ in range(1000):
        scores.grad = expected_gradient(scores, logging, rewards, corrected, k)
        optimiser.step()
    np.testing.assert_allclose(scores.detach().softmax(dim=1)[0], fixed, atol=1e-3)
    there = torch.from_numpy(np.log(np.maximum(fixed, 1e-30)))[None].requires_grad_()
    assert expected_gradient(there, logging, rewards, corrected, k).abs().max() < 1e-12


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("baseline", ["none", "value"])
def test_the_agent_learns_the_fixed_points_from_a_log(known, baseline):
    """On 4,000 draws; where the logging policy is unknown it is learnt. A baseline moves no corrected optimum."""
    rng = np.random.default_rng(0)
    options = {**ONLY_BIASES, "baseline": baseline, "rate": 0.1, "cap": 100.0, "epochs": 15, "batch_size": 256}
    for correction, k, logging, rewards, fixed in (
        ("off_policy", 0, FALLING, ITEM, np.eye(10)[9]),
        ("off_policy", 0, UNIFORM, TOP_TWO, np.eye(10)[0]),
        ("top_k", 2, UNIFORM, TOP_TWO, np.array([10 / 19, 9 / 19] + [0.0] * 8)),
    ):
        items = rng.choice(10, 4000, p=logging)
        logged = log_of(items, rewards[items], np.log(logging[items]) if known else None)
        agent = agents.make("reinforce", problem(), seed=0, correction=correction, k=k, **options)
        figures = agent.fit(logged)
        np.testing.assert_allclose(policy_of(agent), fixed, atol=0.03)
        assert ("behaviour_loss" in figures) == (not known)


def test_without_correction_the_agent_learns_what_the_log_shows_often():
    items = np.random.default_rng(0).choice(10, 5500, p=FALLING)
    options = {**ONLY_BIASES, "rate": 0.01, "epochs": 25, "batch_size": 256}
    agent = agents.make("reinforce", problem(), seed=0, **options)
    agent.fit(log_of(items, ITEM[items]))
    learnt, shown = policy_of(agent), np.bincount(items, weights=ITEM[items])
    np.testing.assert_allclose(learnt, shown / shown.sum(), atol=0.02)  # of this very log
    np.testing.assert_allclose(learnt, ITEM * (11 - ITEM) / 220, atol=0.03)  # of the policy that it is a sample of


def test_top_k_of_one_is_off_policy_bit_for_bit():
    both = [agents.make("reinforce", problem(), seed=3, correction=name) for name in ("off_policy", "top_k")]
    decisions = []
    for agent in both:
        rng, items = np.random.default_rng(0), []
        for _ in range(6):
            decision = agent.act({"x": np.zeros((40, 1), np.float32)})
            agent.observe(log_of(decision.action, rng.random(40), decision.log_probability))
            assert agent.update()
            items.append(decision.action)
        decisions.append(np.concatenate(items))
    np.testing.assert_array_equal(*decisions)
    assert same(*(weights_of(agent.policy) for agent in both))
    assert both[0].policy.steps == 7  # 240 transitions, a step every 32


# The behaviour policy


def test_the_behaviour_head_learns_the_frequencies_and_leaves_the_policy_alone():
    """With rewards of zero the policy has no gradient: what moves it would be the behaviour's."""
    items = np.random.default_rng(1).choice(10, 2000, p=FALLING)
    options = {**ONLY_BIASES, "hidden": (8,), "correction": "off_policy", "rate": 0.02}
    agent = agents.make("reinforce", problem(), seed=0, **options)
    before = weights_of(agent.policy)
    agent.fit(log_of(items, np.zeros(2000)))
    assert same(before, weights_of(agent.policy))
    with torch.no_grad():
        beta = agent.behaviour.network(torch.zeros(1, 1)).softmax(dim=1)[0]
    np.testing.assert_allclose(beta, FALLING, atol=0.03)


def test_a_slate_the_world_changed_is_of_unknown_probability():
    """The decision's extras come back, but they tell of another slate."""
    agent = agents.make("reinforce", problem(slate_size=2), seed=0, correction="off_policy")
    places = np.log(np.full((3, 2), 0.1))
    agent.observe(log_of([[0, 1]] * 3, np.ones((3, 2)), None, **{CONDITIONAL: places}))
    agent.observe(log_of([[0, 1]] * 3, np.ones((3, 2)), places.sum(1), **{CONDITIONAL: places}))
    agent.observe(log_of([[0, 1]] * 3, np.ones((3, 2)), places.sum(1)))  # of the slate as a whole, nothing by position
    kept = agent.experience.batch(np.arange(9)).extras[CONDITIONAL]
    assert kept.isnan().all(dim=1).tolist() == [True] * 3 + [False] * 3 + [True] * 3


# Slates


def test_positions_of_all_slates_have_the_law_of_plackett_and_luce():
    weights = np.array([0.5, 0.2, 0.2, 0.1])
    slates = np.array(list(permutations(range(4), 3)))
    scores = torch.from_numpy(np.log(weights)).expand(len(slates), -1)
    places = log_places(scores, torch.from_numpy(slates)).numpy()
    assert np.exp(places.sum(axis=1)).sum() == pytest.approx(1)
    by_hand = [np.log([0.2 / 1.0, 0.5 / 0.8, 0.1 / 0.3])]
    np.testing.assert_allclose(places[(slates == [1, 0, 3]).all(axis=1)], by_hand)
    independent = log_places(scores, torch.from_numpy(slates), independent=True)
    np.testing.assert_allclose(independent, np.log(weights)[slates])
    drawn, chance = exploration.proportional(weights[None], 50, 3, np.random.default_rng(0))
    ours = log_places(scores[:1].expand(50, -1), torch.from_numpy(drawn)).sum(dim=1)
    np.testing.assert_allclose(ours, chance)


def test_a_decision_carries_the_probability_of_each_position():
    agent = agents.make("reinforce", problem(slate_size=3), seed=0)
    decision = agent.act({"x": np.ones((20, 1), np.float32)})
    np.testing.assert_allclose(decision.extras[CONDITIONAL].sum(axis=1), decision.log_probability, rtol=1e-5)


@pytest.mark.parametrize("correction", ["none", "off_policy", "top_k"])
def test_slates_come_to_hold_the_best_items(correction):
    rates, rng = np.array([0.1, 0.9, 0.2, 0.8, 0.1, 0.3]), np.random.default_rng(0)
    options = {"hidden": (), "rate": 0.02, "correction": correction}
    agent = agents.make("reinforce", problem(items=6, slate_size=2), seed=0, **options)
    for _ in range(150):
        decision = agent.act({"x": np.zeros((32, 1), np.float32)})
        responses = rng.random((32, 2)) < rates[decision.action]
        agent.observe(log_of(decision.action, responses, decision.log_probability, **decision.extras))
        agent.update()
    best = agent.act({"x": np.zeros((50, 1), np.float32)}, explore=False).action
    assert (np.sort(best, axis=1) == [1, 3]).all()
    drawn = agent.act({"x": np.zeros((500, 1), np.float32)}).action
    assert rates[drawn].sum(axis=1).mean() > 1.5  # of 1.7; a random slate brings 0.8


# Masks


def test_what_was_not_allowed_learns_nothing():
    agent = agents.make("reinforce", problem(items=4), seed=0, **ONLY_BIASES)
    before = agent.policy.network.items.bias.detach().clone()
    allowed = Mask(np.array([[True, True, False, True]]))
    decision = agent.act({"x": np.zeros((64, 1), np.float32)}, allowed=allowed)
    agent.observe(log_of(decision.action, decision.action == 1, decision.log_probability, allowed))
    assert agent.update()
    after = agent.policy.network.items.bias.detach()
    assert (after != before).tolist() == [True, True, False, True]
    weights = np.exp(before.numpy()) * allowed.allowed[0]
    chance = (weights / weights.sum())[decision.action]
    np.testing.assert_allclose(np.exp(decision.log_probability), chance, rtol=1e-5)


def test_an_item_that_was_shown_was_allowed_whatever_the_log_says():
    agent = agents.make("reinforce", problem(items=4), seed=0, correction="off_policy")
    figures = agent.fit(log_of([0, 1, 2, 3] * 8, np.ones(32), allowed=Mask(np.array([[False, True, True, True]]))))
    assert np.isfinite(list(figures.values())).all()


# Visits, cadence, resume


def test_without_correction_each_transition_counts_once():
    agent = agents.make("reinforce", problem(), seed=0, train_every=32, gradient_steps=2)
    for count, steps in ((30, 0), (10, 2), (24, 4), (128, 12)):
        agent.observe(log_of(np.zeros(count, int), np.ones(count)))
        agent.update()
        assert agent.policy.steps == steps
        assert agent.fresh.sum() == (30 if steps == 0 else 0)


def walk(agent, rounds, seed=0):
    """Serve visits of two steps whose second is paid for what was chosen in the first; feedback comes in a muddle."""
    rng, late, choices = np.random.default_rng(seed), [], []
    for number in range(rounds):
        visit, no = np.arange(16) + 16 * number, np.zeros(16, bool)
        first, then = {"x": np.zeros((16, 1), np.float32)}, {"x": np.ones((16, 1), np.float32)}
        chosen, second = agent.act(first), agent.act(then)
        choices.append(chosen.action)
        for seen, led_to, decision, reward, end in (
            (first, then, chosen, np.zeros(16), no),
            (then, first, second, (chosen.action == 1).astype(float), ~no),
        ):
            step = np.full(16, 2 * number + int(end[0]))
            yes = np.ones((16, 1), bool)
            late.append(
                Transitions(seen, decision, reward[:, None], yes, reward, led_to, end, no, visit, step)[
                    rng.permutation(16)
                ]
            )
        if len(late) == 6:
            for place in rng.permutation(6):
                agent.observe(late[place])
                agent.update()
            late = []
    return np.concatenate(choices)


@pytest.mark.parametrize("correction", ["none", "off_policy"])
def test_what_pays_only_later_is_learnt(correction):
    options = {"rate": 0.02, "hidden": (8,), "correction": correction}
    agent = agents.make("reinforce", problem(items=3, discount=0.9), seed=0, **options)
    choices = walk(agent, 120)
    assert (choices[-160:] == 1).mean() > 0.9
    assert (choices[:160] == 1).mean() < 0.6


def test_it_goes_on_exactly_in_the_middle_of_visits(tmp_path):
    agent = agents.make("reinforce", problem(items=3, discount=0.9), seed=0)
    walk(agent, 7)  # the last visits wait for their feedback
    unfinished = log_of([1, 2], [0.0, 1.0])
    agent.observe(unfinished)
    agent.save(tmp_path)
    loaded = agents.load(tmp_path)
    twin = copy.deepcopy(agent)
    expected = walk(twin, 12, seed=5)
    np.testing.assert_array_equal(walk(loaded, 12, seed=5), expected)
    assert same(weights_of(loaded.policy), weights_of(twin.policy))


# Bad input


def test_bad_input_is_refused_and_nothing_is_kept():
    agent = agents.make("reinforce", problem(), seed=0, experience=20)
    with pytest.raises(InvalidInput, match="finite"):
        agent.observe(log_of([1], [np.nan]))
    with pytest.raises(InvalidInput, match="21 transitions, and experience = 20"):
        agent.fit(log_of([1] * 21, np.ones(21)))
    assert agent.experience.size == agent.cadence.transitions == 0


@pytest.mark.parametrize(
    "option",
    [{"correction": "both"}, {"k": -1}, {"cap": 0.0}, {"baseline": "median"}, {"entropy": -1.0}, {"epochs": 0.0}],
)
def test_options_out_of_range(option):
    with pytest.raises(InvalidConfig, match=next(iter(option))):
        agents.make("reinforce", problem(), seed=0, **option)


@pytest.mark.learning
def test_cartpole(learning_seeds):
    """Without correction and without replay: each transition counts once."""
    returns = []
    for seed in learning_seeds:
        envs = gym.make_vec("CartPole-v1", num_envs=8)
        agent = agents.make("reinforce", envs, seed=seed, train_every=256, gradient_steps=4)
        evaluation.run(agent, envs, seed=seed, steps=40_000 // 8)
        returns.append(evaluation.mean_return(agent, envs, episodes=24, seed=100 + seed))
    assert np.median(returns) > 300, returns  # 500 is the most there is, a random agent has 22
