"""The parts that deep agents share, against what they must equal: PyTorch's own Adam, a deque, closed forms."""

import math
from collections import deque

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from smartrec.agents.deep.experience import Experience
from smartrec.agents.deep.networks import built, mlp
from smartrec.agents.deep.schedules import Cadence, Schedule
from smartrec.agents.deep.training import Learner
from smartrec.core import Decision, Problem, Transitions
from smartrec.core.decision import Items, Mask
from smartrec.core.errors import Diverged, InvalidConfig


def network(seed=0, sizes=(3, 8, 2)):
    return built(lambda: mlp(sizes), np.random.default_rng(seed))


def weights(learner):
    return [weight.detach().clone() for weight in learner.network.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


INPUTS = torch.linspace(-1, 1, 12).reshape(4, 3)


def loss_of(learner, inputs=INPUTS):
    return (learner.network(inputs) - 1).pow(2).mean()


def test_networks_come_from_their_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    assert same(network(1).parameters(), network(1).parameters())
    assert not same(network(1).parameters(), network(2).parameters())
    assert torch.equal(before, torch.get_rng_state())


def test_an_unknown_device_is_named():
    with pytest.raises(InvalidConfig, match="device = 'abacus'"):
        built(lambda: mlp((1, 1)), np.random.default_rng(0), "abacus")


def test_steps_are_those_of_adam_with_clipped_gradients():
    learner, plain = Learner(network(), "net", rate=0.01, clip=0.1), network()
    optimiser = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(5):
        learner.step(loss_of(learner))
        optimiser.zero_grad()
        (plain(INPUTS) - 1).pow(2).mean().backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
        optimiser.step()
    for mine, theirs in zip(learner.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_step_goes_down_and_touches_no_other_network():
    actor, critic = Learner(network(0, (3, 4, 3)), "actor", rate=0.01), Learner(network(1), "critic", rate=0.01)
    before = weights(critic)
    losses = [actor.step(-critic.network(actor.network(INPUTS)).mean()) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert same(before, weights(critic))
    assert all(weight.grad is None for weight in critic.network.parameters())


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"rate": -1e-3}, {"rate": 1e-3, "clip": -1.0}])
def test_rates_and_clips_that_would_reverse_the_gradient_are_refused(options):
    with pytest.raises(InvalidConfig, match=r"net = -?[0-9.]+"):
        Learner(network(), "net", **options)


@pytest.mark.parametrize("tau", [0.0, 0.25, 1.0])
def test_tau_moves_the_target_exactly(tau):
    learner = Learner(network(), "net", rate=0.1, target=True)
    old = [weight.clone() for weight in learner.target.parameters()]
    assert same(old, weights(learner))
    learner.step(loss_of(learner))
    learner.follow(tau)
    for target, before, now in zip(learner.target.parameters(), old, weights(learner), strict=True):
        torch.testing.assert_close(target.data, before + tau * (now - before))
        assert not target.requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_gone_astray_is_named_and_changes_nothing(bad):
    learner = Learner(network(), "critic", rate=0.1)
    learner.step(loss_of(learner))
    before, state = weights(learner), learner.get_state()
    with pytest.raises(Diverged, match="critic diverged after 1 gradient steps"):
        learner.step(loss_of(learner, INPUTS * bad))
    assert same(before, weights(learner))
    assert all(np.array_equal(state[key], value) for key, value in learner.get_state().items())


def test_a_learner_goes_on_exactly():
    one = Learner(network(), "net", rate=0.1, target=True)
    for _ in range(3):
        one.step(loss_of(one))
    one.follow(0.5)
    other = Learner(network(9), "net", rate=0.1, target=True)
    other.set_state(one.get_state())
    for learner in (one, other):
        learner.step(loss_of(learner))
        learner.follow(0.5)
    assert same(weights(one), weights(other))
    assert same(one.target.parameters(), other.target.parameters())
    assert one.steps == other.steps == 4


def test_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match="size mismatch"):
        Learner(network(), "net", rate=0.1).set_state(Learner(network(0, (4, 8, 2)), "net", rate=0.1).get_state())


@pytest.mark.parametrize(("shape", "half"), [("linear", 0.55), ("exponential", math.sqrt(0.1)), ("cosine", 0.55)])
def test_schedules_go_from_start_to_end(shape, half):
    schedule = Schedule(1.0, 0.1, 100, shape)
    assert schedule.at(0) == 1.0
    assert schedule.at(50) == pytest.approx(half)
    assert schedule.at(100) == schedule.at(10**9) == 0.1
    values = [schedule.at(count) for count in range(101)]
    assert values == sorted(values, reverse=True)
    assert Schedule(1.0, 0.1, 0, shape).at(0) == 0.1


@pytest.mark.parametrize("batch", [1, 3, 50, 1000])
def test_gradient_steps_are_counted_in_transitions_whatever_the_batch(batch):
    cadence, steps = Cadence(every=10, steps=2, warmup=0), 0
    for _ in range(3000 // batch):
        cadence.count(batch)
        steps += cadence.due()
    assert steps == 2 * (3000 // batch * batch // 10)


def test_nothing_is_due_until_the_warmup_is_over_and_nothing_is_caught_up():
    cadence = Cadence(every=1, steps=1, warmup=5)
    due = []
    for _ in range(8):
        cadence.count(1)
        due.append(cadence.due())
    assert due == [0, 0, 0, 0, 0, 1, 1, 1]


def problem(discount=0.9, items=5):
    return Problem.from_spaces(spaces.Box(-1, 1, (2,)), spaces.Discrete(items), discount=discount)


def transitions(values, **options):
    """Return transitions whose every part tells their value."""
    values = np.asarray(values, float)
    ended = values % 4 == 3
    return Transitions(
        observation={"observation": np.stack([values, -values], 1)},
        decision=Decision(values.astype(int) % 5),
        responses=values[:, None],
        observed=np.ones((len(values), 1), bool),
        reward=values,
        next_observation={"observation": np.stack([values + 0.5, -values], 1)},
        terminated=ended,
        truncated=np.zeros(len(values), bool),
        visit=values.astype(int),
        step=values.astype(int),
        **options,
    )


@pytest.mark.parametrize("sizes", [[1] * 25, [3] * 9, [7, 1, 30, 2], [100]])
def test_the_ring_keeps_the_last_transitions_whole(sizes):
    experience, kept, count = Experience(problem(), 10), deque(maxlen=10), 0
    for size in sizes:
        values = np.arange(count, count + size)
        experience.record(transitions(values))
        kept.extend(values.tolist())
        count += size
    batch = experience.batch(np.arange(experience.size))
    values = batch.reward
    assert sorted(values.tolist()) == list(kept)
    torch.testing.assert_close(batch.observation["observation"], torch.stack([values, -values], 1))
    torch.testing.assert_close(batch.next_observation["observation"], torch.stack([values + 0.5, -values], 1))
    torch.testing.assert_close(batch.responses[:, 0], values)
    torch.testing.assert_close(batch.discount, torch.where(values % 4 == 3, 0.0, 0.9))
    assert batch.action.tolist() == (values.long() % 5)[:, None].tolist()


def test_a_bandit_stores_no_next_observation():
    experience = Experience(problem(discount=0.0), 10)
    experience.record(transitions(range(4)))
    batch = experience.batch(np.arange(4))
    assert batch.next_observation is batch.observation
    assert batch.discount.tolist() == [0, 0, 0, 0]
    assert not any(name.startswith("columns.next") for name in experience.get_state())


def test_masks_come_back_in_every_form_and_all_is_allowed_where_none_was_given():
    experience = Experience(problem(), 10)
    table = np.array([[True, False, True, False, True], [False, True, True, False, False]])
    experience.record(transitions([0, 1]))
    experience.record(transitions([2, 3], allowed=Mask(table), next_allowed=Mask(table[:1])))
    experience.record(transitions([4], allowed=Items(np.array([[4, -1, 0]]))))
    batch = experience.batch(np.arange(5))
    everything = [True] * 5
    assert batch.allowed.tolist() == [everything] * 2 + table.tolist() + [[True, False, False, False, True]]
    assert batch.next_allowed.tolist() == [everything] * 2 + [table[0].tolist()] * 2 + [everything]
    assert Experience(problem(), 3).size == 0


def test_sampling_by_priority_is_in_proportion_and_its_weights_undo_it():
    experience = Experience(problem(), 8, priority=1.0, correction=1.0)
    experience.record(transitions(range(4)))
    experience.prioritise(np.arange(4), np.array([1.0, -2.0, 3.0, 4.0]))
    batch = experience.sample(100_000, np.random.default_rng(0))
    share = np.bincount(batch.rows, minlength=4) / 100_000
    np.testing.assert_allclose(share, [0.1, 0.2, 0.3, 0.4], atol=0.006)
    weight = np.array([batch.weight[batch.rows == row][0] for row in range(4)])
    np.testing.assert_allclose(weight * [1, 2, 3, 4], weight[0], rtol=1e-4)
    experience.record(transitions([4]))
    assert experience.get_state()["columns.priority"][4] == pytest.approx(4.0)


@pytest.mark.parametrize("priority", [0.0, 0.6])
def test_an_experience_goes_on_exactly(priority):
    one = Experience(problem(), 10, priority=priority)
    one.record(transitions(range(7)))
    other = Experience(problem(), 10, priority=priority)
    other.set_state(one.get_state())
    for experience in (one, other):
        experience.record(transitions(range(7, 12)))
    left, right = (experience.sample(50, np.random.default_rng(1)) for experience in (one, other))
    assert torch.equal(left.reward, right.reward)
    assert sorted(set(left.reward.tolist())) == list(range(2, 12))


def test_nothing_to_sample_is_said():
    with pytest.raises(IndexError, match="empty"):
        Experience(problem(), 10).sample(1, np.random.default_rng(0))
