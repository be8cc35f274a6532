import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from smartrec.core.decision import Mask
from smartrec.core.errors import InvalidAction, InvalidInput
from smartrec.envs import Crowd, RecommendationEnv, RecommendationVectorEnv, Settings, check_env
from smartrec.response_models import Popularity

N_USERS, N_ITEMS = 40, 6


def even_or_odd(users, clock):
    """Users see the items of their own parity; from clock 3 on, of the other."""
    return Mask((np.arange(N_ITEMS) + users[:, None] + (clock > 2)) % 2 == 0)


def first_three(users, clock):
    return Mask(np.arange(N_ITEMS)[None] < 3)


def _world(lanes=1, mask=even_or_odd, **options):
    crowd = Crowd(Popularity(np.linspace(0.1, 0.6, N_ITEMS)), N_USERS, mask=mask)
    return RecommendationVectorEnv(crowd, Settings(**options), lanes)


@pytest.mark.parametrize("mask", [even_or_odd, first_three])
@pytest.mark.parametrize(
    "options", [{}, {"slate_size": 3}, {"history": 2}, {"session_length": 2, "on_repeat": "replace"}], ids=str
)
def test_a_masked_world_keeps_the_contract(mask, options):
    check_env(_world(mask=mask, **options))


@pytest.mark.parametrize(("slate_size", "columns"), [(1, 6), (2, 12)])
def test_masks_in_the_observation_and_tiled(slate_size, columns):
    world = _world(4, slate_size=slate_size)
    observation, _ = world.reset(seed=0)
    expected = even_or_odd(observation["user"], 1).allowed
    assert (observation["allowed"] == expected).all()
    assert observation["allowed"].dtype == np.int8
    assert world.action_masks().shape == (4, columns)
    assert (world.action_masks() == np.tile(expected, slate_size)).all()
    env = RecommendationEnv(_world(slate_size=slate_size))
    seen, _ = env.reset(seed=0)
    assert env.action_masks().shape == (columns,)
    assert (env.action_masks() == np.tile(seen["allowed"] == 1, slate_size)).all()


def test_masks_follow_the_clock_in_one_batch():
    world = _world(8, users_per_iteration=4)
    observation, _ = world.reset(seed=0)
    observation, *_ = world.step(observation["allowed"].argmax(axis=1))
    assert observation["clock"].tolist() == [3] * 4 + [4] * 4
    assert (observation["allowed"] == even_or_odd(observation["user"], 3).allowed).all()


def test_worlds_without_a_mask_allow_all():
    plain = RecommendationVectorEnv(Crowd(Popularity([0.5] * 3), 20), Settings(slate_size=2), 5)
    assert plain.action_masks().shape == (5, 6)
    assert plain.action_masks().all()
    assert RecommendationEnv(RecommendationVectorEnv(plain.crowd)).action_masks().tolist() == [True] * 3


def test_an_item_that_is_not_allowed_is_refused():
    world = _world(3)
    observation, _ = world.reset(seed=0)
    actions = observation["allowed"].argmax(axis=1)
    actions[1] = observation["allowed"][1].argmin()
    with pytest.raises(InvalidAction, match=rf"item {actions[1]} is not allowed in lane 1; .*observation\['allowed'\]"):
        world.step(actions)
    actions[1] = observation["allowed"][1].argmax()
    *_, info = world.step(actions)
    assert info["visit"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("slate_size", [1, 2, 3])
def test_or_replaced_and_counted(slate_size):
    world = _world(20, slate_size=slate_size, on_repeat="replace", history=slate_size, users_per_iteration=20)
    observation, _ = world.reset(seed=0)
    actions = np.tile(np.arange(slate_size), (20, 1))
    allowed = observation["allowed"]
    *_, info = world.step(actions[:, 0] if slate_size == 1 else actions)
    wrong = ~np.take_along_axis(allowed, actions, axis=1).astype(bool)
    assert (info["replaced"] == wrong.sum(axis=1)).all()
    assert wrong.any()
    (visits,) = world.census(1)
    visits.respond(np.tile(actions, (2, 1))[:, 0] if slate_size == 1 else np.tile(actions, (2, 1)))
    shown = visits.observation["history_items"]
    ok = even_or_odd(np.arange(N_USERS), 1).allowed
    assert np.take_along_axis(ok, shown, axis=1).all()
    assert all(len(set(row)) == slate_size for row in shown.tolist())
    # What was allowed stays where it was.
    kept = np.take_along_axis(ok, np.tile(actions, (2, 1)), axis=1)
    assert (shown == np.tile(actions, (2, 1)))[kept].all()


def test_bounds_look_at_allowed_items_only():
    world = _world(2, reference=True, mask=first_three, slate_size=2)
    world.reset(seed=0)
    *_, info = world.step(np.array([[0, 1], [1, 2]]))
    assert info["best_expected_reward"] == pytest.approx([0.5, 0.5])
    assert info["random_expected_reward"] == pytest.approx([0.4, 0.4])
    found = world.references([1])
    assert (found.oracle, found.random) == (pytest.approx(0.5), pytest.approx(0.4))
    assert np.isnan(found.best_fixed)


def test_references_see_a_mask_that_follows_the_clock():
    def one_item(users, clock):
        return Mask(np.arange(N_ITEMS)[None] == min(clock, 5))

    found = _world(mask=one_item).references([1, 3])
    assert found.oracle == pytest.approx((0.2 + 0.4) / 2)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (
            lambda users, clock: Mask(np.ones((1, 4), bool)),
            InvalidInput,
            r"shape \(1, 4\); allowed: \(5, 6\), or \(1, 6\)",
        ),
        (lambda users, clock: Mask(np.ones((3, 6), bool)), InvalidInput, r"the mask of 5 users has shape \(3, 6\)"),
        (lambda users, clock: Mask(np.ones(6, bool)), InvalidInput, r"shape \(6,\)"),
        (
            lambda users, clock: Mask(np.arange(6)[None] == 0),
            InvalidAction,
            "lane 0 may be shown 1 items, but a slate needs 2",
        ),
    ],
)
def test_bad_masks(mask, error, message):
    world = _world(5, mask=mask, slate_size=2, users_per_iteration=5)
    with pytest.raises(error, match=message):
        world.reset(seed=0)


def test_masks_of_whole_numbers_do():
    world = _world(5, mask=lambda users, clock: Mask(np.array([[1, 1, 0, 0, 0, 0]])))
    world.reset(seed=0)
    world.step(np.array([0, 1, 0, 1, 0]))
    with pytest.raises(InvalidAction, match="item 2 is not allowed in lane 4"):
        world.step(np.array([0, 1, 0, 1, 2]))


@pytest.mark.parametrize("world", [_world(2), RecommendationEnv(_world())])
def test_masks_before_reset(world):
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before action_masks\(\)"):
        world.action_masks()
