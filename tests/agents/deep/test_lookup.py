"""The look-up against brute force; masks, ties, scales, and embeddings that cannot be used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec import agents
from smartrec.agents.deep.lookup import Lookup
from smartrec.agents.deep.vectors import VectorConfig, Vectors, with_embeddings
from smartrec.core import Decision, Items, Mask, Problem, Slate
from smartrec.core.errors import DataError, DataNotFound, InvalidAction, InvalidConfig, InvalidInput

SEEN = spaces.Box(-1, 1, (2,), np.float32)


def problem_of(items, slate_size=1, features=None):
    action = spaces.Discrete(items) if slate_size == 1 else Slate(items, slate_size)
    return Problem.from_spaces(SEEN, action, item_features=features, discount=0.0)


def made(problem, **options):
    problem, config = with_embeddings(problem, VectorConfig(**options))
    vectors = Vectors(problem, config)
    return Lookup(problem, config, vectors), vectors


def seen(lanes):
    return {"observation": np.random.default_rng(lanes).uniform(-1, 1, (lanes, 2)).astype(np.float32)}


def test_l2_stretches_each_column_to_the_box_and_other_metrics_keep_directions():
    features = np.random.default_rng(0).normal(size=(50, 3)) * [1, 100, 0] + [5, 0, 7]
    vectors = Vectors(problem_of(50, features=features), VectorConfig()).table()
    np.testing.assert_allclose(vectors.min(axis=0), [-1, -1, 0])
    np.testing.assert_allclose(vectors.max(axis=0), [1, 1, 0])
    for column in (0, 1):
        assert np.array_equal(vectors[:, column].argsort(), features[:, column].argsort())
    for metric in ("inner", "cosine"):
        vectors = Vectors(problem_of(50, features=features), VectorConfig(metric=metric)).table()
        np.testing.assert_allclose(vectors, features / np.abs(features).max(), rtol=1e-6)


def test_a_box_is_stretched_and_shrunk_exactly():
    low, high = np.array([[-2.0, 0.0, 10.0], [2.0, 1.0, 30.0]], np.float32)[:, None]
    space = spaces.Box(low, high)
    problem = Problem.from_spaces(SEEN, space)
    lookup, vectors = made(problem)
    proto = np.array([[-1, -1, -1], [0, 0, 0], [1, 0.5, -0.5]], np.float32)
    decision = lookup.decide(agents.make("random", problem_of(2), seed=0), proto, None, None)
    np.testing.assert_allclose(decision.action, [[[-2, 0, 10]], [[0, 0.5, 20]], [[2, 0.75, 15]]])
    assert decision.action.dtype == space.dtype
    np.testing.assert_allclose(vectors(torch.from_numpy(decision.action))[:, 0], proto, atol=1e-6)
    assert lookup.figures() == {}


def test_a_box_without_bounds_is_refused():
    problem = Problem.from_spaces(SEEN, spaces.Box(-np.inf, np.inf, (2,)))
    with pytest.raises(InvalidConfig, match="allowed: a Box with bounds"):
        agents.make("ddpg", problem, seed=0)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_nearest_allowed_items_and_no_others(data):
    items, slate_size = data.draw(st.integers(3, 60)), data.draw(st.integers(1, 3))
    neighbours, lanes = data.draw(st.integers(1, 12)), data.draw(st.sampled_from([1, 6]))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    problem = problem_of(items, slate_size, rng.normal(size=(items, 4)))
    lookup, vectors = made(problem, neighbours=neighbours)
    table = rng.random((lanes, items)) < data.draw(st.sampled_from([0.1, 0.9]))
    for row in table:
        row[rng.permutation(items)[:slate_size]] = True
    listed = np.full((lanes, items), -1)
    for lane, row in enumerate(table):
        listed[lane, : row.sum()] = rng.permutation(np.flatnonzero(row))
    proto, agent = rng.uniform(-1, 1, (lanes, 4)), agents.make("random", problem, seed=0)
    worth = rng.normal(size=items)
    apart = np.linalg.norm(vectors.table()[None] - proto[:, None], axis=2)
    near = np.where(table, apart, np.inf).argsort(axis=1)
    for allowed in (Mask(table), Items(listed)):
        decision = lookup.decide(agent, proto, allowed, lambda found: worth[found])
        shown = decision.action.reshape(lanes, slate_size)
        np.testing.assert_allclose(decision.extras["proto"], proto, atol=1e-6)
        assert decision.log_probability is None
        for lane in range(lanes):
            expected = near[lane, :slate_size]
            if neighbours > slate_size:
                pool = near[lane, : min(neighbours, table[lane].sum())]
                expected = pool[(-worth[pool]).argsort()][:slate_size]
            assert shown[lane].tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["ddpg", "td3", "sac", "bcq"])
def test_agents_refuse_to_fill_a_slate_from_too_few(name, tabular):
    agent = agents.make(name, problem_of(9, 3), seed=0, warmup=0)
    table = np.ones((4, 9), bool)
    table[2, 2:] = False
    for _ in range(2):
        with pytest.raises(InvalidAction, match="lane 2 may be shown 2"):
            agent.act(seen(4), allowed=Mask(table))
        decision = agent.act(seen(4))
        feedback = tabular(2, 9, 3).log([0, 1, 0, 1], decision.action, np.ones((4, 3)))
        agent.observe(replace(feedback, observation=seen(4), decision=decision))
        assert agent.update()


def test_items_of_the_same_vector_take_turns():
    features = np.array([[0.0], [1.0], [1.0], [1.0]])
    problem = problem_of(4, features=features)
    lookup, _ = made(problem)
    decision = lookup.decide(agents.make("random", problem, seed=0), np.ones((3000, 1)), None, None)
    counts = np.bincount(decision.action, minlength=4)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 1000, atol=150)


def test_all_neighbours_ranked_is_the_best_item_by_the_critic():
    agent = agents.make("td3", problem_of(30), seed=0, neighbours=30)
    agent.critic.steps = 1  # it no longer acts at random
    users = seen(20)
    parts = {"observation": torch.from_numpy(users["observation"])}
    critic = agent.critic.network
    with torch.no_grad():
        everything = critic.vectors(torch.arange(30).expand(20, -1))
        best = critic(parts, everything).amin(dim=0).argmax(dim=1)
    assert np.array_equal(agent.act(users, explore=False).action, best.numpy())


def test_before_anything_is_learnt_items_are_uniform():
    agent = agents.make("ddpg", problem_of(10, 2), seed=0)
    shown = agent.act(seen(5000)).action
    np.testing.assert_allclose(np.bincount(shown.ravel()), 1000, atol=150)
    assert (shown[:, 0] != shown[:, 1]).all()


def test_targets_take_the_mean_of_what_may_be_shown_and_nothing_is_worth_nothing():
    problem = problem_of(5, 2, np.arange(5.0)[:, None])
    lookup, vectors = made(problem)
    allowed = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 1]]).bool()
    found, known = lookup.candidates(torch.full((4, 1), -0.9), allowed, vectors)
    assert known.tolist() == [[True, True], [True, False], [False, False], [True, True]]
    worth = lookup.worth(10 * found[..., 0], known)  # items 0..4 have vectors -1, -.5, 0, .5, 1
    assert worth.tolist() == [-7.5, 5.0, 0.0, 2.5]
    lookup, vectors = made(problem, neighbours=4)
    found, known = lookup.candidates(torch.full((1, 1), -0.9), None, vectors)
    assert lookup.worth(10 * found[..., 0], known).tolist() == [2.5]  # the best two of items 0..3


def test_figures_tell_distance_and_variety():
    features = np.array([[-1.0, 0], [1, 0], [0, 1], [0, -1]])
    lookup, _ = made(problem_of(4, features=features))
    assert lookup.figures() == {"distinct_items": 0.0}
    proto = np.array([[-1.0, 0.5], [1, 0], [1, 1]])
    lookup.note(_shown([0, 1, 1], proto))
    assert lookup.figures() == {"distance": pytest.approx((0.5 + 0 + 1) / 3), "distinct_items": 2.0}
    for _ in range(400):
        lookup.note(_shown([3, 3, 3], proto))
    assert lookup.figures()["distinct_items"] == 1


def _shown(items, proto):
    lanes = np.ones(len(items), bool)
    extras = {"proto": np.asarray(proto, np.float32)}
    parts = seen(len(items))
    return agents.Transitions(
        parts, Decision(np.array(items), None, extras), np.ones((len(items), 1)), lanes[:, None], np.ones(len(items)),
        parts, lanes, ~lanes, np.arange(len(items)), np.arange(len(items)),
    )  # fmt: skip


def test_a_learnt_table_goes_to_the_look_up_now_and_then():
    agent = agents.make("ddpg", problem_of(6), seed=0, warmup=0, train_every=1, refresh=10, batch=8)
    before = agent.lookup.find(np.zeros((1, 16)), 6, None)[1]
    for step in range(12):
        decision = agent.act(seen(1))
        agent.observe(_shown(decision.action, decision.extras["proto"]))
        agent.update()
        moved = not np.array_equal(agent.lookup.find(np.zeros((1, 16)), 6, None)[1], before)
        assert moved == (step + 1 >= 10)
    assert not agent.experience.batch(np.arange(3)).extras  # noted, and not kept


def test_embeddings_from_a_file(tmp_path):
    path, table = tmp_path / "items.npy", np.random.default_rng(0).normal(size=(7, 3))
    np.save(path, table)
    vectors = made(problem_of(7), embeddings=str(path))[1]
    assert vectors.size == 3
    assert not vectors.learnt
    np.save(path, table[:5])
    with pytest.raises(InvalidInput, match=r"shape \(5, 3\); allowed: numbers of shape \[7, D\]"):
        made(problem_of(7), embeddings=str(path))
    table[4, 1] = np.nan
    np.save(path, table)
    with pytest.raises(InvalidInput, match="row 4 has NaN or infinity"):
        made(problem_of(7), embeddings=str(path))
    path.write_bytes(b"no array")
    with pytest.raises(DataError, match=r"items\.npy"):
        made(problem_of(7), embeddings=str(path))
    with pytest.raises(DataNotFound, match="allowed: auto, features, learnt"):
        made(problem_of(7), embeddings="learned")


def test_an_agent_brings_its_embeddings_along(tmp_path):
    path, table = tmp_path / "items.npy", np.random.default_rng(0).normal(size=(7, 3))
    np.save(path, table)
    agent = agents.make("td3", problem_of(7), seed=0, embeddings=str(path), metric="inner")
    agent.save(tmp_path / "agent")
    path.unlink()
    loaded = agents.load(tmp_path / "agent")
    np.testing.assert_array_equal(loaded.critic.network.vectors.table(), agent.critic.network.vectors.table())
    np.testing.assert_array_equal(loaded.problem.item_features, table)


def test_another_back_end_finds_the_same_items():
    protos = np.random.default_rng(1).uniform(-1, 1, (20, 16))
    found = [
        agents.make("td3", problem_of(60), seed=0, backend=backend).lookup.find(protos, 5, None)
        for backend in ("numpy", "faiss")
    ]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    with pytest.raises(InvalidConfig, match="backend = 'annoy'; allowed: 'numpy', 'faiss'"):
        agents.make("td3", problem_of(60), seed=0, backend="annoy")


def test_items_without_features_are_refused_where_features_are_asked_for():
    with pytest.raises(InvalidConfig, match="no item features; take embeddings = 'learnt'"):
        agents.make("td3", problem_of(7), seed=0, embeddings="features")
    assert agents.make("td3", problem_of(7), seed=0).critic.network.vectors.learnt


@pytest.mark.parametrize(
    ("option", "value"),
    [("metric", "manhattan"), ("neighbours", 0), ("refresh", 0), ("clip", -1.0), ("tau", 0.0), ("tau", 1.5)],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(InvalidConfig, match=option):
        VectorConfig(**{option: value})
