"""What holds for every state encoder of the registry."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import pad

from smartrec.agents.deep.networks import built
from smartrec.agents.deep.training import Learner
from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.agents.encoders.registry import ENCODERS
from smartrec.agents.encoders.state import State, tensors
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem

SHAPE = Shape(length=6, features=8, static=3, attributes=4, items=True)
ALL = list(ENCODERS)
OPTIONS = [*((name, {}) for name in ALL), ("drr", {"variant": "u"}), ("drr", {"variant": "p"}), ("esn", {"leak": 0.4})]
OPTIONS += [
    ("gru", {"layers": 2}),
    ("attention", {"layers": 2}),
    ("tcn", {"kernel": 3}),
    ("multi_matching", {"recent": 9}),
]
FOLLOWS = [(name, options) for name, options in OPTIONS if name != "frame"]


def encoder_of(name: str, shape: Shape = SHAPE, size: int = 8, seed: int = 0, **options):
    return built(lambda: ENCODERS.get(name)(shape, size, **options), np.random.default_rng(seed))


def reading_of(counts, length: int = 6, seed: int = 0, shape: Shape = SHAPE) -> Reading:
    """Made-up histories with so many known positions each; what is not known is noise, and must not matter."""
    draw = torch.Generator().manual_seed(seed)
    counts = torch.as_tensor(counts)
    known = torch.arange(length) >= length - counts[:, None]
    sequence = torch.randn(len(counts), length, shape.features, generator=draw)
    attributes = (torch.rand(len(counts), length, shape.attributes, generator=draw) < 0.5).float()
    responses = (torch.rand(len(counts), length, generator=draw) < 0.6).float()
    sequence = torch.cat([sequence[..., :-1], responses[..., None]], dim=2)
    static = torch.randn(len(counts), shape.static, generator=draw)
    return Reading(static, sequence, known, attributes, responses)


def padded(reading: Reading, more: int, fill: float = 7.0) -> Reading:
    """The same histories with ``more`` unknown positions in front."""
    front = (0, 0, more, 0)
    return Reading(
        reading.static,
        pad(reading.sequence, front, value=fill),
        pad(reading.known, (more, 0)),
        pad(reading.attributes, front, value=fill),
        pad(reading.responses, (more, 0), value=fill),
    )


@pytest.mark.parametrize(("name", "options"), FOLLOWS)
@settings(max_examples=10, deadline=None)
@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=5), more=st.integers(1, 7), seed=st.integers(0, 99))
def test_padding_changes_nothing(name, options, counts, more, seed):
    encoder, reading = encoder_of(name, **options), reading_of(counts, seed=seed)
    torch.testing.assert_close(encoder(padded(reading, more)), encoder(reading), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), FOLLOWS)
def test_each_lane_is_encoded_by_itself_and_whatever_stands_where_nothing_is_known(name, options):
    encoder, reading = encoder_of(name, **options), reading_of([3, 0, 6, 1])
    alone = [encoder(Reading(*(part[row : row + 1] for part in vars(reading).values()))) for row in range(4)]
    torch.testing.assert_close(torch.cat(alone), encoder(reading), rtol=1e-5, atol=1e-6)
    unknown = ~reading.known[..., None]
    noisy = replace(reading, sequence=reading.sequence + 5 * unknown, attributes=reading.attributes + 2 * unknown)
    torch.testing.assert_close(encoder(noisy), encoder(reading), rtol=1e-5, atol=1e-6)


def test_a_padded_frame_is_longer_by_zeros_in_front():
    reading = reading_of([3, 0])
    short, long = encoder_of("frame")(reading), encoder_of("frame")(padded(reading, 2))
    assert torch.equal(long[:, -short.shape[1] :], short)
    assert not long[:, : -short.shape[1]].any()


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_the_state_has_the_length_that_was_promised_and_is_finite_for_an_empty_history(name, options):
    encoder = encoder_of(name, **options)
    empty = encoder(reading_of([0, 0]))
    assert empty.shape == (2, encoder.size)
    assert empty.isfinite().all()
    alike = replace(reading_of([0, 0]), static=torch.zeros(2, 3))
    assert torch.equal(*encoder(alike))  # what stands in the places of an empty history is not looked at


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_gradients_reach_every_parameter_and_only_finite_ones(name, options):
    encoder, reading = encoder_of(name, **options), reading_of([6] * 30 + [0, 1, 2])
    sequence = reading.sequence.requires_grad_()
    out = encoder(replace(reading, sequence=sequence))
    weights = dict(encoder.named_parameters())
    if not out.requires_grad:
        assert name == "esn"
        assert not weights
        return
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for key, weight in weights.items():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key
        assert weight.grad.any(), key
    assert sequence.grad.isfinite().all()
    assert not sequence.grad[~reading.known].any()


@pytest.mark.parametrize("name", ALL)
def test_the_seed_decides_and_nothing_is_drawn_while_encoding(name):
    reading = reading_of([5, 2])
    one, same = encoder_of(name), encoder_of(name)
    before = torch.get_rng_state()
    assert torch.equal(one(reading), same(reading))
    assert torch.equal(one(reading), one(reading))
    assert torch.equal(before, torch.get_rng_state())
    other = encoder_of(name, seed=1)
    assert name == "frame" or not torch.equal(one(reading), other(reading))


@pytest.mark.parametrize("name", ALL)
def test_a_learner_brings_an_encoder_back_as_it_was(name):
    def learner(seed: int) -> Learner[nn.Module]:
        encoder = encoder_of(name, seed=seed)
        network = nn.Sequential(encoder, built(lambda: nn.Linear(encoder.size, 1), np.random.default_rng(seed)))
        return Learner(network, "test", rate=0.01, target=True)

    reading, one, other = reading_of([5, 2, 0]), learner(0), learner(1)
    one.step(one.network(reading).square().mean())
    one.follow(0.5)
    other.set_state(copy.deepcopy(one.get_state()))
    assert torch.equal(one.network(reading), other.network(reading))
    assert torch.equal(one.target(reading), other.target(reading))


OBSERVED = spaces.Dict(
    user=spaces.Discrete(5),
    user_features=spaces.Box(-1, 1, (3,), np.float32),
    history_items=spaces.MultiDiscrete([8] * 4),
    history_responses=spaces.MultiBinary(4),
)


@pytest.mark.parametrize("name", ALL)
def test_a_state_is_read_off_a_world_with_history(name):
    features = np.random.default_rng(0).normal(size=(7, 2))
    problem = Problem.from_spaces(OBSERVED, spaces.Discrete(7), item_features=features)
    state = built(lambda: State(problem, name, 8), np.random.default_rng(0))
    seen = {
        "user": np.arange(3),
        "user_features": np.eye(3, dtype=np.float32),
        "history_items": np.array([[7, 7, 7, 7], [7, 7, 2, 3], [0, 1, 2, 3]]),
        "history_responses": np.array([[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1, 1]], np.int8),
    }
    out = state(tensors(seen))
    assert out.shape == (3, state.size)
    assert torch.equal(out[:, :3], torch.eye(3))
    moved = {**seen, "history_responses": np.array([[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]], np.int8)}
    differs = (state(tensors(moved)) != out).any(dim=1).tolist()
    assert differs == [False, False, True]


BARE = spaces.Dict(history_items=OBSERVED["history_items"], history_responses=OBSERVED["history_responses"])
FRAMES = spaces.Box(-1, 1, (4, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "options", "observed", "advice"),
    [
        ("hierarchical_attention", {}, OBSERVED, "hand in item_features"),
        ("mac", {}, BARE, "user_embedding"),
        ("drr", {}, BARE, "variant"),
        ("drr", {}, FRAMES, "history_items"),
        ("gru", {}, spaces.Box(-1, 1, (3,), np.float32), "history=10"),
        ("multi_matching", {"recent": 0}, BARE, "recent = 0"),
        ("attention", {"heads": 3}, OBSERVED, "a divisor of encoder_size = 8"),
        ("attention", {"layers": 0}, OBSERVED, "layers = 0"),
        ("gru", {"units": 3}, OBSERVED, "units"),
        ("gru", {"layers": 0}, OBSERVED, "layers = 0"),
        ("esn", {"radius": 1.0}, OBSERVED, "radius = 1.0"),
        ("esn", {"density": 0.0}, OBSERVED, "density = 0.0"),
        ("tcn", {"kernel": 1}, OBSERVED, "kernel = 1"),
        ("mac", {"steps": 0}, OBSERVED, "steps = 0"),
        ("drr", {"variant": "q"}, OBSERVED, "variant = 'q'"),
    ],
)
def test_what_is_missing_or_out_of_range_is_said(name, options, observed, advice):
    problem = Problem.from_spaces(observed, spaces.Discrete(7))
    with pytest.raises(InvalidConfig, match=advice):
        State(problem, name, 8, options)


def rising(count: int, seed: int) -> tuple[Reading, torch.Tensor]:
    """Whether the first feature rose from the last but one position to the newest: order decides."""
    draw = torch.Generator().manual_seed(seed)
    reading = reading_of(torch.randint(2, 7, (count,), generator=draw), seed=seed)
    return reading, reading.sequence[:, -1, 0] > reading.sequence[:, -2, 0]


def item_liked_last(reading: Reading) -> torch.Tensor:
    newest = torch.where(reading.responses > 0, torch.arange(1, 7), 0).argmax(dim=1)
    return reading.sequence[torch.arange(len(newest)), newest]


def kind(count: int, seed: int) -> tuple[Reading, torch.Tensor]:
    """Whether the first feature of the item liked last is positive."""
    reading = reading_of(torch.full((count,), 6), seed=seed)
    return reading, item_liked_last(reading)[:, 0] > 0


def match(count: int, seed: int) -> tuple[Reading, torch.Tensor]:
    """Whether the item liked last suits the user."""
    reading = reading_of(torch.full((count,), 6), seed=seed)
    return reading, (item_liked_last(reading)[:, :3] * reading.static).sum(dim=1) > 0


def asked(count: int, seed: int) -> tuple[Reading, torch.Tensor]:
    """Whether the first feature is positive, at the newest position or the one before, as the user asks."""
    reading = reading_of(torch.full((count,), 6), seed=seed)
    first = reading.sequence[..., 0]
    return reading, torch.where(reading.static[:, 0] > 0, first[:, -1], first[:, -2]) > 0


def held(count: int, seed: int) -> tuple[Reading, torch.Tensor]:
    """Whether the first feature, added up over the items that have the first attribute, is positive."""
    reading = reading_of(torch.full((count,), 6), seed=seed)
    return reading, (reading.sequence[..., 0] * reading.attributes[..., 0]).sum(dim=1) > 0


LEARNS = [(name, 16, {}, rising) for name in ALL if name not in ("esn", "drr", "mac", "hierarchical_attention")] + [
    ("esn", 64, {}, rising),
    ("mac", 16, {}, asked),
    ("hierarchical_attention", 16, {}, held),
    ("drr", 16, {"variant": "p"}, kind),
    ("drr", 16, {"variant": "u"}, match),
    ("drr", 16, {"variant": "ave"}, match),
]


@pytest.mark.parametrize(("name", "size", "options", "task"), LEARNS)
def test_it_learns_what_it_is_made_to_see(name, size, options, task):
    encoder = encoder_of(name, size=size, **options)
    head = built(lambda: nn.Linear(encoder.size, 1), np.random.default_rng(0))
    optimiser = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.01)
    for step in range(200):
        reading, label = task(128, seed=step)
        loss = nn.functional.binary_cross_entropy_with_logits(head(encoder(reading))[:, 0], label.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    reading, label = task(1024, seed=1000)
    right = ((head(encoder(reading))[:, 0] > 0) == label).float().mean()
    assert right >= 0.85
