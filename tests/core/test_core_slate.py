import pickle

import numpy as np
import pytest
from gymnasium.spaces import MultiDiscrete
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.core.errors import InvalidConfig
from smartrec.core.slate import Slate, has_repeats


def test_ten_thousand_samples_never_repeat_and_use_every_item():
    space = Slate(10, 3, seed=0)
    samples = np.stack([space.sample() for _ in range(10_000)])
    assert not has_repeats(samples).any()
    assert all(space.contains(row) for row in samples[:100])
    # Each position shows each item in a tenth of the draws: 1000 +- 30.
    counts = np.stack([np.bincount(samples[:, place], minlength=10) for place in range(3)])
    assert np.abs(counts - 1000).max() < 150


def test_a_plain_multi_discrete_does_repeat():
    plain = MultiDiscrete([10, 10, 10], seed=0)
    assert has_repeats(np.stack([plain.sample() for _ in range(500)])).mean() > 0.2


@pytest.mark.parametrize(
    "no_member",
    [
        [0, 0, 1],
        [0, 1],
        [0, 1, 10],
        [-1, 0, 1],
        [0.0, 1.0, 2.0],
        [[0, 1, 2]],
        [[0, 1], [2]],
        [True, False, True],
        "abc",
        None,
    ],
)
def test_contains_nothing_else(no_member):
    assert not Slate(10, 3).contains(no_member)


def test_contains_lists_and_arrays_in_any_order():
    assert Slate(10, 3).contains([9, 0, 4])
    assert Slate(10, 3).contains(np.array([9, 0, 4], np.int32))
    assert Slate(3, 3).contains([2, 1, 0])


def test_mask():
    space = Slate(10, 3, seed=0)
    mask = np.zeros(10, np.int8)
    mask[[1, 4, 7, 8]] = 1
    seen = {int(item) for _ in range(200) for item in space.sample(mask=mask)}
    assert seen == {1, 4, 7, 8}
    mask[[7, 8]] = 0
    with pytest.raises(ValueError, match="mask allows 2 items; a slate needs 3"):
        space.sample(mask=mask)
    with pytest.raises(ValueError, match="pass no probability"):
        space.sample(probability=np.ones(10) / 10)


def test_batch():
    space = Slate(10, 3, lanes=5, seed=0)
    sample = space.sample()
    assert sample.shape == (5, 3)
    assert sample.dtype == np.int64
    assert space.contains(sample)
    assert not has_repeats(sample).any()
    sample[4] = [1, 1, 2]
    assert not space.contains(sample)
    assert len({tuple(row) for row in space.sample()}) > 1


def test_seeding():
    one, two = Slate(10, 3, seed=7), Slate(10, 3)
    two.seed(7)
    assert [one.sample().tolist() for _ in range(5)] == [two.sample().tolist() for _ in range(5)]


def test_equality():
    assert Slate(10, 3) == Slate(10, 3, seed=1)
    assert Slate(10, 3) != Slate(10, 2)
    assert Slate(10, 3) != Slate(9, 3)
    assert Slate(10, 3) != Slate(10, 3, lanes=1)
    assert Slate(10, 3) != MultiDiscrete([10, 10, 10])
    assert MultiDiscrete([10, 10, 10]) != Slate(10, 3)


def test_pickling_keeps_the_generator():
    space = Slate(10, 3, lanes=2, seed=3)
    space.sample()
    twin = pickle.loads(pickle.dumps(space))
    assert twin == space
    assert (twin.sample() == space.sample()).all()
    assert repr(twin) == "Slate(10, 3, lanes=2)"


def test_jsonable_round_trip():
    space = Slate(10, 3, seed=0)
    samples = [space.sample() for _ in range(4)]
    back = space.from_jsonable(space.to_jsonable(samples))
    assert np.array_equal(back, samples)


@pytest.mark.parametrize("slate_size", [0, 4, -1])
def test_size_out_of_range(slate_size):
    with pytest.raises(InvalidConfig, match=rf"slate_size = {slate_size}; allowed: 1 to the number of items, 3"):
        Slate(3, slate_size)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.data())
def test_samples_are_members(n_items, data):
    slate_size = data.draw(st.integers(1, n_items))
    lanes = data.draw(st.one_of(st.none(), st.integers(1, 5)))
    space = Slate(n_items, slate_size, lanes, seed=data.draw(st.integers(0, 99)))
    assert space.contains(space.sample())
