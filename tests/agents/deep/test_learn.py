"""``learn`` and ``test`` on a log: a step is that of ``update``, a test pass moves nothing, taste is found."""

import numpy as np
import pytest
import torch

from smartrec import agents
from smartrec.agents.saving import state_of
from smartrec.core.errors import InvalidInput
from smartrec.data.frames import Frames
from smartrec.data.interactions import Interactions, Vocabulary
from smartrec.data.trajectories import Trajectories

VECTORS = ("ddpg", "td3", "sac", "bcq")
ITEMS = ("dqn", "discrete_bcq", "discrete_sac")
LEARNERS = (*VECTORS, *ITEMS, "reinforce")
CIRCLE = np.exp(2j * np.pi * np.arange(8) / 8)
FEATURES = np.column_stack([CIRCLE.real, CIRCLE.imag])
BEST = np.array([1, 5])
"""The item that each of two tastes likes most; the further away on the circle, the less."""


def ratings_of(taste, items):
    return 5 * np.cos(2 * np.pi * (items - BEST[taste]) / 8)


@pytest.fixture(scope="module")
def planted():
    """Users of two tastes who rated eight items on a circle at random: what they rated gives them away."""
    rng, users, length = np.random.default_rng(0), 400, 14
    taste = np.arange(users) % 2
    items = rng.integers(8, size=(users, length))
    log = Interactions(
        np.repeat(np.arange(users), length),
        items.ravel(),
        ratings_of(taste[:, None], items).ravel(),
        np.tile(np.arange(length), users),
        Vocabulary(np.arange(users)),
        Vocabulary(np.arange(8)),
    )
    return Frames(Trajectories.of(log), 3), taste


def made(name, frames, discount=0.5, **options):
    options = {"hidden": (32,), **options}
    return agents.make(name, frames.problem(FEATURES, discount), seed=0, **options)


def state(agent, *left_out):
    plain, arrays = state_of(agent, frozenset({"problem", "config", *left_out}))
    return {**plain, **{key: (value.dtype, value.shape, value.tobytes()) for key, value in arrays.items()}}


@pytest.mark.parametrize("name", [*VECTORS, *ITEMS])
@pytest.mark.parametrize("encoder", ["frame", "gru"])
def test_a_step_on_a_batch_is_the_step_of_update_on_the_same_batch(planted, name, encoder, monkeypatch):
    frames, _ = planted
    steady = {"encoder": encoder, "train_every": 64, "warmup": 0}
    by_ring, by_batch = (made(name, frames, **steady) for _ in range(2))
    for number in range(3):
        rows = np.arange(64) * 7 + number
        ring = by_ring.experience
        by_ring.observe(frames.transitions(rows))
        monkeypatch.setattr(ring, "sample", lambda count, rng, ring=ring, n=number: ring.batch(np.arange(64) + 64 * n))
        told = by_ring.update()
        learnt = by_batch.learn(frames.transitions(rows))
        assert learnt.items() <= told.items()
    monkeypatch.undo()
    no_ring = ("experience", "cadence")
    assert state(by_ring, *no_ring) == state(by_batch, *no_ring)
    assert by_batch.experience.size == 0


@pytest.mark.parametrize("correction", ["none", "off_policy", "top_k"])
def test_reinforce_takes_the_step_of_its_ring_on_whole_visits(planted, correction):
    frames, _ = planted
    rows = np.random.default_rng(0).permutation(33)  # three users, eleven steps each, in a muddle
    by_ring, by_batch = (made("reinforce", frames, correction=correction) for _ in range(2))
    for _ in range(3):
        by_ring.observe(frames.transitions(rows))
        by_ring._known()
        kept = np.flatnonzero(by_ring.fresh)
        by_ring.fresh[:] = False
        assert by_ring._learn(by_ring.experience.batch(kept), by_ring.visits.rest[kept]) == by_batch.learn(
            frames.transitions(rows)
        )
    for part in ("policy", "value", "behaviour"):
        mine, theirs = (getattr(agent, part).get_state() for agent in (by_batch, by_ring))
        assert all(np.array_equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("discount", [0.0, 0.5])
def test_a_test_pass_changes_nothing(planted, name, discount):
    frames, _ = planted
    agent = made(name, frames, discount)
    batch = frames.transitions(np.arange(33))
    for _ in range(3):
        agent.learn(batch)
    before = state(agent)
    told = agent.test(batch)
    assert agent.test(batch) == told
    assert state(agent) == before
    assert agent.learn(batch).keys() <= told.keys()
    assert state(agent) != before


def test_a_test_pass_that_fails_lets_go_of_the_agent(planted):
    frames, _ = planted
    agent = made("td3", frames)
    before = state(agent)
    with pytest.raises(InvalidInput, match="0 transitions"):
        agent.test(frames.transitions(np.arange(0)))
    assert state(agent) == before
    agent.learn(frames.transitions(np.arange(33)))
    assert state(agent) != before


@pytest.mark.parametrize("name", LEARNERS)
def test_bad_batches_are_refused_before_anything_is_learnt(planted, name):
    frames, _ = planted
    agent = made(name, frames)
    before = state(agent)
    broken = frames.transitions(np.arange(33))
    broken.next_observation["history_responses"][5, 1] = np.nan
    for batch, message in ((broken, "finite"), (broken[:0], "0 transitions")):
        with pytest.raises(InvalidInput, match=message):
            agent.learn(batch)
    assert state(agent) == before


@pytest.mark.parametrize("name", VECTORS)
def test_the_critic_sees_the_vector_of_what_was_done(planted, name):
    """So items of the same vector teach the same, whatever their numbers."""
    frames, _ = planted
    agent = made(name, frames)
    twins = frames.problem(np.concatenate([FEATURES[:7], FEATURES[:1]]), 0.5)
    both = [type(agent)(twins, agent.config, seed=0) for _ in range(2)]
    batch = frames.transitions(np.arange(64))
    for learner, item in zip(both, (0, 7), strict=True):
        batch.decision.action[:] = item
        learner.learn(batch)
    assert state(both[0]) == state(both[1])


def histories(taste, rng):
    items = rng.integers(8, size=(len(taste), 3))
    return {"history_items": items, "history_responses": ratings_of(taste[:, None], items).astype(np.float32)}


@pytest.mark.parametrize(
    ("name", "steps", "options"),
    [
        ("td3", 600, {}),
        ("bcq", 600, {"samples": 20}),
        ("ddpg", 600, {}),
        ("sac", 600, {}),
        ("dqn", 400, {"encoder": "gru", "encoder_size": 16}),
        ("discrete_bcq", 400, {"threshold": 0.1}),
        ("reinforce", 400, {"rate": 3e-3, "correction": "off_policy"}),
    ],
)
def test_taste_is_learnt_from_a_log(planted, name, steps, options):
    """The item shown is the best of the taste, or beside it, though the log shows all alike."""
    frames, _ = planted
    agent = made(name, frames, **{"hidden": (64, 64), **options})
    rng = np.random.default_rng(1)
    for _ in range(steps):
        if name == "reinforce":  # whole visits
            rows = (11 * rng.choice(400, 24, replace=False)[:, None] + np.arange(11)).ravel()
        else:
            rows = rng.integers(len(frames), size=256)
        agent.learn(frames.transitions(rows))
    taste = np.arange(400) % 2
    shown = agent.act(histories(taste, rng), explore=False).action
    assert ratings_of(taste, shown).mean() > 4.4  # of 5, and of 0 for a random item
    assert np.mean(shown == BEST[taste]) > 0.7


@pytest.mark.parametrize("name", LEARNERS)
def test_a_catalogue_of_movielens_20m_fits(name):
    """26,744 items of 128 numbers: a step of 64 rows takes well under a second and stays finite."""
    items, rng = 26_744, np.random.default_rng(0)
    log = Interactions(
        np.repeat(np.arange(8), 19), rng.integers(items, size=152), rng.normal(size=152), None,
        Vocabulary(np.arange(8)), Vocabulary(np.arange(items)),
    )  # fmt: skip
    frames = Frames(Trajectories.of(log), 10)
    features = rng.normal(size=(items, 128)).astype(np.float32)
    agent = agents.make(name, frames.problem(features, 0.9), seed=0, encoder="gru", encoder_size=16)
    batch = frames.transitions(np.arange(64))
    before = agent.test(batch)
    agent.learn(batch)
    assert np.isfinite(list(before.values())).all()
    if name in ITEMS:
        assert agent.test(batch)["loss"] < before["loss"]
    elif name != "reinforce":
        assert agent.test(batch)["critic_loss"] < before["critic_loss"]


# REINFORCE: corrections by ``learn`` alone, of a log whose policy is unknown

FALLING = (10 - np.arange(10)) / 55
PAID = np.arange(10) + 1.0
ONLY_A_TABLE = {"hidden": (), "baseline": "none", "entropy": 0.0, "cap": 100.0}


@pytest.mark.parametrize(
    ("correction", "rate", "steps", "fixed"),
    [("none", 0.005, 1500, PAID * FALLING / (PAID * FALLING).sum()), ("off_policy", 0.05, 400, np.eye(10)[9])],
)
def test_the_correction_finds_the_best_and_without_it_the_log_wins(tabular, correction, rate, steps, fixed):
    """Users who look alike, shown the worst items most: without correction the policy is ``(i + 1) (10 - i) / 220``."""
    world, rng = tabular(1, 10, discount=0.0), np.random.default_rng(0)
    agent = agents.make("reinforce", world.problem, seed=0, correction=correction, rate=rate, **ONLY_A_TABLE)
    for _ in range(steps):
        items = rng.choice(10, p=FALLING, size=256)
        agent.learn(world.log(np.zeros(256, int), items, PAID[items]))
    seen = {"observation": torch.ones(1, 1)}
    with torch.no_grad():
        policy = agent.policy.network(seen).softmax(dim=1)[0]
        behaviour = agent.behaviour.network(torch.ones(1, 1)).softmax(dim=1)[0]
    np.testing.assert_allclose(policy, fixed, atol=0.03)
    if correction == "off_policy":  # learnt beside the policy, on the same items
        np.testing.assert_allclose(behaviour, FALLING, atol=0.04)


def test_the_top_two_correction_shares_out_the_policy(tabular):
    """Of rewards 10, 9, 1, .. under a uniform log, the best two items share it as 10 to 9."""
    world, items = tabular(1, 10, discount=0.0), np.repeat(np.arange(10), 20)
    options = {**ONLY_A_TABLE, "rate": 0.02, "correction": "top_k", "k": 2}
    agent = agents.make("reinforce", world.problem, seed=0, **options)
    paid = np.array([10.0, 9.0] + [1.0] * 8)
    for _ in range(600):
        agent.learn(world.log(np.zeros(200, int), items, paid[items]))
    with torch.no_grad():
        policy = agent.policy.network({"observation": torch.ones(1, 1)}).softmax(dim=1)[0]
    np.testing.assert_allclose(policy, [10 / 19, 9 / 19] + [0.0] * 8, atol=0.04)
