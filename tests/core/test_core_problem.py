import json

import numpy as np
import pytest
from gymnasium import spaces

from smartrec.core.decision import Decision, Items, Mask
from smartrec.core.errors import InvalidAction, InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.seeding import generator_state, generators, restore_generator
from smartrec.core.slate import Slate
from smartrec.core.transitions import Transitions

OBSERVATION = spaces.Dict(
    {
        "user": spaces.Discrete(7),
        "user_features": spaces.Box(np.float32([0, -1]), np.float32([1, 2])),
        "clock": spaces.Discrete(4),
        "history_items": spaces.MultiDiscrete([6] * 3),
        "history_responses": spaces.MultiBinary(3),
        "allowed": spaces.MultiBinary([5]),
    }
)


@pytest.mark.parametrize(
    ("action", "items", "slate_size"),
    [
        (spaces.Discrete(5), 5, 1),
        (Slate(5, 2), 5, 2),
        (spaces.MultiDiscrete([5, 5, 5]), 5, 3),
        (spaces.Box(-1, 1, (4,)), None, 1),
    ],
)
def test_sizes_and_round_trip_through_json(action, items, slate_size):
    features = np.ones((5, 2))
    problem = Problem.from_spaces(OBSERVATION, action, lanes=3, item_features=features, discount=0.5)
    assert (problem.users, problem.items, problem.slate_size) == (7, items, slate_size)
    assert (problem.user_features, problem.lanes, problem.discount) == (2, 3, 0.5)
    back = Problem.from_dict(json.loads(json.dumps(problem.to_dict())), features)
    assert back.observation_space == OBSERVATION
    assert back.action_space == action
    assert back == problem


@pytest.mark.parametrize(
    "action",
    [
        spaces.Discrete(5, start=1),
        spaces.MultiDiscrete([5, 4]),
        spaces.MultiDiscrete([5, 5], start=[1, 1]),
        spaces.MultiBinary(3),
        spaces.Dict({}),
    ],
)
def test_action_spaces_that_no_agent_acts_in(action):
    with pytest.raises(InvalidConfig, match="allowed: Discrete, Slate, MultiDiscrete of equal sizes"):
        Problem.from_spaces(OBSERVATION, action)


def test_plain_observations_have_no_users():
    problem = Problem.from_spaces(spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
    assert (problem.users, problem.user_features) == (None, 0)


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0", None])
def test_bad_seeds(seed):
    with pytest.raises(InvalidConfig, match="allowed: a whole number >= 0"):
        generators(seed, 1)


def test_generators_share_nothing_and_repeat():
    one, two = generators(0, 2)
    again, _ = generators(np.int64(0), 2)
    first = one.random(5)
    assert not np.isin(first, two.random(5)).any()
    assert (again.random(5) == first).all()


def test_a_generator_is_put_back_where_it_was():
    (rng,) = generators(3, 1)
    rng.random(7)
    state = json.loads(json.dumps(generator_state(rng)))
    expected = rng.random(4)
    restore_generator(rng, state)
    assert (rng.random(4) == expected).all()


def test_candidates_need_a_full_slate():
    mask = Mask(np.array([[1, 1, 1], [1, 0, 0]], bool))
    mask.require(1)
    with pytest.raises(InvalidAction, match=r"lane 1 may be shown 1 items, but a slate needs 2 \(1 such lanes\)"):
        mask.require(2)
    items = Items(np.array([[4, 2, -1], [7, -1, -1]]))
    items.require(1)
    with pytest.raises(InvalidAction, match="lane 1 may be shown 1 items"):
        items.require(2)
    assert items[1:].items.tolist() == [[7, -1, -1]]
    assert mask[1:].allowed.tolist() == [[True, False, False]]
    shared = Mask(np.ones((1, 3), bool))
    assert shared[np.array([5, 6])] is shared


def _transitions(rows, action):
    return Transitions(
        observation={"user": np.arange(rows)},
        decision=Decision(action, np.zeros(rows), {"x": np.arange(rows)}),
        responses=np.zeros((rows, 1)),
        observed=np.ones((rows, 1), bool),
        reward=np.arange(rows, dtype=float),
        next_observation={"user": np.arange(rows)},
        terminated=np.ones(rows, bool),
        truncated=np.zeros(rows, bool),
        visit=np.arange(rows),
        step=np.zeros(rows, int),
        allowed=Mask(np.ones((rows, 4), bool)),
    )


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_transitions_keep_their_shapes(rows):
    one = _transitions(rows, np.arange(rows))
    assert one.items.shape == (rows, 1)
    assert _transitions(rows, np.zeros((rows, 3), int)).items.shape == (rows, 3)
    none = one[np.zeros(rows, bool)]
    assert len(none) == 0
    assert none.items.shape == (0, 1)


def test_rows_of_transitions_belong_together():
    part = _transitions(5, np.arange(5))[np.array([3, 1])]
    columns = (part.observation["user"], part.decision.action, part.decision.extras["x"], part.reward, part.visit)
    assert all(column.tolist() == [3, 1] for column in columns)
    assert part.allowed.allowed.shape == (2, 4)
