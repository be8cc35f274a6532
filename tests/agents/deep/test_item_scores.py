"""A score an item: forms, the duelling identity, embeddings that start from features, and the value of slates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smartrec.agents.deep.experience import Experience
from smartrec.agents.deep.item_scores import ItemScores, huber, scores_to_act_on, slate_targets
from smartrec.agents.deep.networks import built
from smartrec.agents.deep.settings import DeepConfig
from smartrec.agents.simple import Random
from smartrec.core import Items, Mask
from smartrec.core.errors import InvalidAction, InvalidConfig


def network_of(problem, form="auto", duelling=False, **options):
    return built(lambda: ItemScores(problem, DeepConfig(**options), form, duelling), np.random.default_rng(0))


def seen_by(world, states):
    return {"observation": torch.from_numpy(world.seen(states)["observation"])}


@pytest.mark.parametrize("form", ["heads", "embeddings"])
@pytest.mark.parametrize("duelling", [False, True])
def test_scores_of_some_items_are_those_of_all(tabular, form, duelling):
    world = tabular(4, 30)
    network, seen = network_of(world.problem, form, duelling), seen_by(world, [0, 1, 2, 3, 3])
    everything = network(seen)
    assert everything.shape == (5, 30)
    some = torch.tensor([29, 3, 3])
    torch.testing.assert_close(network(seen, some), everything[:, some])
    own = torch.randint(30, (5, 6), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(seen, own), everything.gather(1, own))


@pytest.mark.parametrize("form", ["heads", "embeddings"])
def test_duelling_advantages_have_mean_zero(tabular, form):
    world = tabular(4, 30)
    network, seen = network_of(world.problem, form, duelling=True), seen_by(world, [0, 1, 2, 3])
    values = network._value(network._hidden(network.state(seen)))[:, 0]
    assert values.std() > 0.01
    torch.testing.assert_close(network(seen).mean(dim=1), values)


def test_the_form_follows_the_catalogue(tabular):
    assert network_of(tabular(2, 200).problem, embedding=5).items.weight.shape == (200, 64)
    assert network_of(tabular(2, 201).problem, embedding=5).items.weight.shape == (201, 5)
    with pytest.raises(InvalidConfig, match=r'form = \'tails\'; allowed: "auto"'):
        network_of(tabular(2, 3).problem, "tails")


def test_embeddings_start_from_features(tabular):
    """Items with the same features start with the same vector, and near features with near ones."""
    features = np.random.default_rng(0).normal(size=(50, 4)) * [1, 10, 100, 1000]
    features[7] = features[3]
    table = network_of(tabular(2, 50, item_features=features).problem, "embeddings").embeddings
    assert table.shape == (50, 16)
    np.testing.assert_array_equal(table[3], table[7])
    standard = (features - features.mean(0)) / features.std(0)
    rows, columns = np.triu_indices(50, 1)
    apart = [np.linalg.norm(what[rows] - what[columns], axis=1) for what in (standard, table)]
    assert np.corrcoef(*apart)[0, 1] > 0.8  # sixteen random directions keep distances nearly


@pytest.mark.parametrize("wrong", [np.ones((3, 2)), np.full((50, 2), np.nan), np.ones(50)])
def test_wrong_features_are_refused(tabular, wrong):
    with pytest.raises(InvalidConfig, match=r"allowed: finite numbers \[I, D\]"):
        network_of(tabular(2, 50, item_features=wrong).problem, "embeddings")


def test_short_lists_are_scored_alone_and_as_in_the_whole(tabular):
    world = tabular(3, 40, slate_size=2)
    agent, network = Random(world.problem, seed=0), network_of(world.problem, "embeddings")
    seen = world.seen([0, 1, 2])
    everything, none = scores_to_act_on(agent, network, seen, None)
    assert none is None
    listed = np.array([[5, 39, -1], [0, 1, 2], [-1, 7, 8]])
    scores, items = scores_to_act_on(agent, network, seen, Items(listed))
    np.testing.assert_array_equal(items, listed)
    wanted = np.where(listed >= 0, np.take_along_axis(everything, listed, 1), -np.inf)
    np.testing.assert_allclose(scores, wanted, rtol=1e-5)
    mask = Mask(np.arange(40) < np.array([[2], [40], [9]]))
    scores, _ = scores_to_act_on(agent, network, seen, mask)
    np.testing.assert_array_equal(scores, np.where(mask.allowed, everything, -np.inf))
    for short in (Items(np.array([[5, -1], [1, 2], [1, 2]])), Mask(np.arange(40) < np.array([[2], [1], [9]]))):
        with pytest.raises(InvalidAction, match="a slate needs 2"):
            scores_to_act_on(agent, network, seen, short)


def batch_of(world, transitions):
    experience = Experience(world.problem, 100)
    experience.record(transitions)
    return experience.batch(np.arange(len(transitions)))


def test_targets_by_hand(tabular):
    """Slates of two: responses, and half of what the next two are worth for each position."""
    world = tabular(2, 3, slate_size=2, discount=0.5)
    batch = batch_of(world, world.log([0, 0, 0], [[0, 1]] * 3, [[1, 0]] * 3, [1, 1, -1]))
    values = torch.tensor([[4.0, 2.0, 1.0]] * 3)
    targets = slate_targets(batch, values, values)
    torch.testing.assert_close(targets, torch.tensor([[2.5, 1.5], [2.5, 1.5], [1.0, 0.0]]))
    # The sum over the slate is the reward and the discounted sum of the next slate.
    torch.testing.assert_close(targets[0].sum(), torch.tensor(1 + 0.5 * (4.0 + 2.0)))
    # Chosen by one network, valued by the other.
    ranking = torch.tensor([[0.0, 1.0, 2.0]] * 3)
    assert slate_targets(batch, ranking, values)[0, 0] == 1 + 0.5 * 1.5
    # Only one is left: it alone counts. Nothing is left: worth nothing.
    ranking = torch.tensor([[-torch.inf, -torch.inf, 2.0], [-torch.inf] * 3, [0.0] * 3])
    assert slate_targets(batch, ranking, values)[:, 0].tolist() == [1.5, 1.0, 1.0]


def test_truncated_goes_on_and_terminated_does_not(tabular):
    world = tabular(2, 2, discount=0.5)
    log = world.log([0, 0], [0, 0], [1, 1], [1, -1], truncated=[True, False])
    values = torch.tensor([[4.0, 2.0]] * 2)
    assert slate_targets(batch_of(world, log), values, values)[:, 0].tolist() == [3.0, 1.0]


def test_what_nobody_saw_has_no_loss(tabular):
    world = tabular(2, 3, slate_size=2)
    log = world.log([0, 0], [[0, 1]] * 2, [[1, 7], [1, 1]], observed=np.array([[True, False], [True, True]]))
    batch = batch_of(world, log)
    values = torch.zeros(2, 2, requires_grad=True)
    loss, errors = huber(values, batch.responses, batch)
    assert loss.item() == 0.5  # three positions, each 1 / 2
    assert errors.tolist() == [1, 1]
    (gradient,) = torch.autograd.grad(loss, values)
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, 0.0], [-1.0, -1.0]]) / 3)
    loss, _ = huber(values, batch.responses, replace(batch, weight=torch.tensor([1.0, 0.5])))
    assert loss.item() == pytest.approx((0.5 + 2 * 0.25) / 3)
