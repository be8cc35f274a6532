"""Batches: complete, decided by seed and epoch alone, the same for any number of workers, and they can go on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.data import Interactions, Vocabulary
from smartrec.data.batches import Batches
from smartrec.data.dense import DenseFrames
from smartrec.data.frames import Frames
from smartrec.data.sequences import Sequences
from smartrec.data.trajectories import Trajectories

RNG = np.random.default_rng(0)
LENGTHS = [14, 2, 40, 3, 5, 21]
USERS = np.repeat(np.arange(6), LENGTHS)
ITEMS = RNG.integers(0, 20, len(USERS))
LOG = Interactions(USERS, ITEMS, RNG.random(len(USERS)), None, Vocabulary(range(6)), Vocabulary(range(20)))
FRAMES = Frames(Trajectories.of(LOG), 3)
VECTORS = RNG.normal(size=(20, 5)).astype(np.float32)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.none() | st.integers(0, 5), st.integers(0, 4), st.integers(0, 60))
def test_complete_and_resumable(count, size, seed, epoch, start):
    batches = Batches(count, size, seed=seed).at(epoch)
    drawn = list(batches)
    assert len(drawn) == len(batches)
    assert sorted(np.concatenate(drawn).tolist()) == list(range(count))
    assert {len(batch) for batch in drawn[:-1]} <= {size}
    start = min(start, len(batches))
    rest = list(batches.at(epoch, start))
    assert len(rest) == len(batches.at(epoch, start)) == len(drawn) - start
    assert all(np.array_equal(one, other) for one, other in zip(rest, drawn[start:], strict=True))


def test_order_follows_seed_and_epoch():
    def order(seed, epoch):
        return np.concatenate(list(Batches(50, 8, seed=seed, epoch=epoch))).tolist()

    assert order(None, 3) == list(range(50))
    orders = {(seed, epoch): tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert all(tuple(order(*key)) == value for key, value in orders.items())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any), st.integers(1, 5), st.none() | st.integers(0, 5)
)
def test_users_come_whole_and_in_order(counts, users, seed):
    ends = np.cumsum(counts)
    drawn = list(Batches.of_users(ends, users, seed))
    blocks = [list(range(end - count, end)) for end, count in zip(ends.tolist(), counts, strict=True) if count]
    assert sorted(np.concatenate(drawn).tolist()) == list(range(ends[-1]))
    for batch in drawn:
        members = [block for block in blocks if block[0] in batch]
        assert len(members) <= users
        members.sort(key=lambda block: batch.tolist().index(block[0]))
        assert batch.tolist() == [number for block in members for number in block]


def test_users_of_chosen_frames():
    chosen = FRAMES.only(np.arange(len(USERS)) % 2 == 0)
    for numbers in Batches.of_users(chosen.user_ends, 2, seed=1):
        assert len(set(chosen.windows(numbers).user.tolist())) <= 2
    drawn = [chosen.windows(numbers).ratings[:, -1] for numbers in Batches.of_users(chosen.user_ends, 2, seed=1)]
    assert len(np.concatenate(drawn)) == len(chosen)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"count": 0}, {"epoch": -1}, {"start": -1}, {"start": 4}])
def test_what_is_out_of_range(wrong):
    with pytest.raises(InvalidInput, match=f"{next(iter(wrong))} = {next(iter(wrong.values()))}; allowed"):
        Batches(**({"count": 5, "size": 2} | wrong))
    with pytest.raises(InvalidConfig, match="seed = -1"):
        Batches(5, 2, seed=-1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("whole_users", [False, True])
def test_loaders_of_torch_give_the_same_for_any_number_of_workers(workers, whole_users):
    import torch

    dense = DenseFrames(FRAMES, VECTORS)
    order = Batches.of_users(FRAMES.user_ends, 2, seed=4) if whole_users else Batches(len(FRAMES), 16, seed=4)
    loader = torch.utils.data.DataLoader(dense, sampler=order, batch_size=None, num_workers=workers)
    found = list(loader)
    assert len(found) == len(order) == len(loader)
    for batch, numbers in zip(found, order, strict=True):
        expected = dense.batch(numbers)
        assert set(batch) == set(expected)
        for name, values in batch.items():
            assert isinstance(values, torch.Tensor)
            assert np.array_equal(values.numpy(), expected[name])


def test_a_loader_that_makes_its_own_batches():
    import torch

    dense = DenseFrames(FRAMES, VECTORS)
    (batch,) = torch.utils.data.DataLoader(dense, batch_size=len(dense))
    for name, expected in dense.batch(np.arange(len(dense))).items():
        assert np.array_equal(batch[name].numpy(), expected)


def test_sequences_are_padded_in_front():
    sequences = Sequences(Trajectories.of(LOG), VECTORS)
    for users in Batches(len(sequences), 4, seed=2):
        batch = sequences[users]
        longest = max(LENGTHS[user] for user in users)
        assert batch["items"].shape == batch["mask"].shape == (len(users), longest)
        for row, user in enumerate(users):
            own, n = user == USERS, LENGTHS[user]
            assert batch["mask"][row].tolist() == [False] * (longest - n) + [True] * n
            assert batch["items"][row].tolist() == [20] * (longest - n) + ITEMS[own].tolist()
            assert np.array_equal(batch["sequence"][row, longest - n :, :-1], VECTORS[ITEMS[own]])
            assert np.array_equal(batch["sequence"][row, longest - n :, -1], LOG.ratings[own])
            assert not batch["sequence"][row, : longest - n].any()
            assert not batch["ratings"][row, : longest - n].any()


def test_sequences_keep_the_last_answers():
    batch = Sequences(Trajectories.of(LOG), longest=4)[[0, 1]]
    assert batch["mask"].tolist() == [[True] * 4, [False] * 2 + [True] * 2]
    assert batch["items"].tolist() == [ITEMS[10:14].tolist(), [20, 20, *ITEMS[14:16].tolist()]]
    assert "sequence" not in batch
    with pytest.raises(InvalidInput, match="allowed: a list of numbers 0"):
        Sequences(Trajectories.of(LOG))[[6]]
    with pytest.raises(InvalidInput, match="longest = 0"):
        Sequences(Trajectories.of(LOG), longest=0)


def test_sequences_in_loaders():
    import torch

    sequences, order = Sequences(Trajectories.of(LOG), VECTORS), Batches(6, 4, seed=2)
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(sequences, sampler=order, batch_size=None, num_workers=workers)
        for batch, users in zip(loader, order, strict=True):
            assert np.array_equal(batch["sequence"].numpy(), sequences[users]["sequence"])


@pytest.mark.parametrize("encoder", ["rnn", "gru", "lstm", "tcn", "esn", "chaos_free"])
def test_padding_changes_no_encoding(encoder):
    """The same answers padded to 9 and to 12 positions give the same state."""
    import torch

    from smartrec.agents.encoders.state import State, tensors

    outputs, weights = [], None
    for length in (9, 12):
        frames = Frames(Trajectories.of(LOG), length, padded=True)
        early = np.flatnonzero(frames.windows(np.arange(len(frames))).step <= 9)
        with torch.random.fork_rng():
            state = State(frames.problem(VECTORS), encoder, encoder_size=8).eval()
        weights = weights or state.state_dict()
        state.load_state_dict(weights)
        outputs.append(state(tensors(frames.transitions(early).observation)))
    assert outputs[0].std() > 0.01
    assert torch.allclose(*outputs, atol=1e-6)
