"""A point becomes the items nearest to it, in one lane and in a batch, under masks and for slates."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import smartrec  # noqa: F401 (registers the ids)
from smartrec.core.errors import InvalidAction, InvalidConfig, InvalidInput
from smartrec.envs import EmbeddingActions, VectorEmbeddingActions


def batch(task=2, lanes=60, **options):
    return gym.make_vec(f"SmartRec/Task{task}-v0", num_envs=lanes, **options)


def nearest_by_hand(table, points, count):
    distances = np.linalg.norm(points[:, None] - table, axis=2)
    order = distances.argsort(axis=1)[:, :count]
    return order, np.take_along_axis(distances, order, 1).mean(axis=1)


@pytest.mark.parametrize("slate_size", [1, 3])
@pytest.mark.parametrize("scale", [True, False])
def test_what_is_shown_is_nearest_and_the_world_answers_as_it_would_to_those_items(slate_size, scale):
    rng = np.random.default_rng(0)
    embeddings = 5 * rng.normal(size=(10, 4))
    plain, wrapped = (batch(slate_size=slate_size) for _ in range(2))
    wrapped = VectorEmbeddingActions(wrapped, embeddings, scale=scale)
    bound = 1.0 if scale else np.abs(embeddings).max()
    assert wrapped.single_action_space.shape == (4,)
    assert wrapped.action_space.shape == (60, 4)
    np.testing.assert_allclose(
        [wrapped.single_action_space.low[0], wrapped.single_action_space.high[0]], [-bound, bound]
    )
    plain.reset(seed=3)
    wrapped.reset(seed=3)
    table = embeddings / np.abs(embeddings).max() if scale else embeddings
    for _ in range(3):
        points = wrapped.action_space.sample()
        items, distance = nearest_by_hand(table, points, slate_size)
        seen, reward, *_, info = wrapped.step(points)
        expected, its_reward, *_ = plain.step(items if slate_size > 1 else items[:, 0])
        assert np.array_equal(info["items"], items)
        np.testing.assert_allclose(info["distance"], distance)
        assert np.array_equal(reward, its_reward)
        assert all(np.array_equal(seen[key], expected[key]) for key in expected)


def test_one_lane_is_the_single_environment():
    single, lane = EmbeddingActions(gym.make("SmartRec/Task2-v0")), VectorEmbeddingActions(batch(lanes=1))
    seen, lanes_seen = single.reset(seed=5)[0], lane.reset(seed=5)[0]
    for _ in range(20):
        assert all(np.array_equal(seen[key], lanes_seen[key][0]) for key in seen)
        point = single.action_space.sample()
        _, reward, terminated, _, info = single.step(point)
        lanes_seen, rewards, _, _, infos = lane.step(point[None])
        assert (reward, info["items"].tolist()) == (rewards[0], infos["items"][0].tolist())
        assert info["distance"] == infos["distance"][0]
        assert terminated
        seen, _ = single.reset()


def test_own_points_bring_own_items_and_features_are_the_default():
    envs = batch(lanes=10)
    wrapped = VectorEmbeddingActions(envs)
    features = envs.unwrapped.problem.item_features
    wrapped.reset(seed=0)
    info = wrapped.step((features / np.abs(features).max()).astype(np.float32))[-1]
    np.testing.assert_allclose(info["distance"], 0, atol=1e-6)
    assert wrapped.problem is envs.unwrapped.problem


@pytest.mark.parametrize("metric", ["l2", "inner", "cosine"])
def test_masks_are_kept(metric):
    wrapped = VectorEmbeddingActions(batch(availability="rolling", candidates=3), metric=metric)
    seen, _ = wrapped.reset(seed=1)
    for _ in range(10):
        allowed = seen["allowed"].astype(bool)
        seen, *_, info = wrapped.step(wrapped.action_space.sample())
        assert np.take_along_axis(allowed, info["items"], 1).all()
    single = EmbeddingActions(gym.make("SmartRec/Task2-v0", candidates=2), metric=metric)
    for _ in range(10):
        allowed = single.reset()[0]["allowed"]
        assert allowed[single.step(single.action_space.sample())[-1]["items"]].all()


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
def test_gymnasium_accepts_the_single_one():
    check_env(EmbeddingActions(gym.make("SmartRec/Task2-v0").unwrapped), skip_render_check=True)


def test_embeddings_that_cannot_be_used():
    for make, world in ((EmbeddingActions, gym.make("SmartRec/Task1-v0")), (VectorEmbeddingActions, batch(1))):
        with pytest.raises(InvalidInput, match=r"no item features; pass embeddings, an array \[I, D\]"):
            make(world)
        with pytest.raises(InvalidInput, match=r"shape \(9, 2\); allowed: \[10, D\]"):
            make(world, np.ones((9, 2)))
        with pytest.raises(InvalidInput, match="row 4 has NaN"):
            make(world, np.where(np.arange(10) == 4, np.nan, 1.0)[:, None])
        with pytest.raises(InvalidConfig, match="metric = 'l1'"):
            make(world, np.ones((10, 2)), metric="l1")
    with pytest.raises(InvalidConfig, match="has no items"):
        EmbeddingActions(gym.make("Pendulum-v1"), np.ones((10, 2)))


def test_actions_that_cannot_be_taken():
    wrapped = VectorEmbeddingActions(batch(lanes=4))
    wrapped.reset(seed=0)
    with pytest.raises(InvalidAction, match=r"shape \(4, 2\); allowed: \(4, 13\)"):
        wrapped.step(np.zeros((4, 2)))
    with pytest.raises(InvalidInput, match="row 2 has NaN"):
        wrapped.step(np.where(np.arange(4)[:, None] == 2, np.nan, np.zeros((4, 13))))
