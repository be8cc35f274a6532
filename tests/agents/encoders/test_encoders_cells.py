"""Recurrent networks, convolutions, reservoirs: against torch's own cells, formulas by hand, and what is proven."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from smartrec.agents.deep.networks import built
from smartrec.agents.encoders.chaos_free import ChaosFree
from smartrec.agents.encoders.esn import EchoState
from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.agents.encoders.recurrent import GRU, LSTM, RNN
from smartrec.agents.encoders.tcn import TemporalConvolution

FEATURES = 3


def reading_of(sequence, known=None) -> Reading:
    """A history [B, T, F] with nothing beside it."""
    sequence = torch.as_tensor(sequence, dtype=torch.float32)
    lanes, length = sequence.shape[:2]
    known = torch.ones(lanes, length, dtype=torch.bool) if known is None else known
    return Reading(torch.zeros(lanes, 0), sequence, known, torch.zeros(lanes, length, 0), torch.zeros(lanes, length))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(encoder, size: int, length: int = 6, seed: int = 0, **options):
    shape = Shape(length, FEATURES, static=0)
    return built(lambda: encoder(shape, size, **options), np.random.default_rng(seed))


@pytest.mark.parametrize(("encoder", "cell"), [(RNN, nn.RNNCell), (GRU, nn.GRUCell), (LSTM, nn.LSTMCell)])
def test_recurrent_networks_equal_a_cell_run_by_hand_over_what_is_known(encoder, cell):
    network, by_hand = made(encoder, 5), cell(FEATURES, 5)
    by_hand.load_state_dict({key.removesuffix("_l0"): value for key, value in network.cell.state_dict().items()})
    sequence, counts = noise(4, 6, FEATURES), [6, 3, 1, 0]
    known = torch.arange(6) >= 6 - torch.tensor(counts)[:, None]
    out = network(reading_of(sequence, known))
    for lane, count in enumerate(counts):
        state = None
        for x in sequence[lane, 6 - count :]:
            state = by_hand(x[None], state)
        hidden = torch.zeros(1, 5) if state is None else state[0] if isinstance(state, tuple) else state
        torch.testing.assert_close(out[lane], hidden[0])


@pytest.mark.parametrize(("kernel", "levels", "reach"), [(2, 1, 3), (2, 2, 7), (2, 3, 15), (3, 2, 13), (3, 3, 29)])
def test_a_temporal_convolution_sees_its_reach_and_not_the_future(kernel, levels, reach):
    network = made(TemporalConvolution, 8, kernel=kernel, levels=levels)
    assert network.reach == reach
    with torch.no_grad():  # positive weights, so that no ReLU hides what is seen
        for weight in network.parameters():
            weight.abs_()
    length = reach + 4
    sequence = noise(1, length, FEATURES).abs().requires_grad_()
    outputs = network.outputs(reading_of(sequence))
    for t in (reach, length - 1):
        (seen,) = torch.autograd.grad(outputs[0, t].sum(), sequence, retain_graph=True)
        touched = (seen[0] != 0).any(dim=1).nonzero()[:, 0]
        assert touched.tolist() == list(range(t - reach + 1, t + 1))


def test_a_temporal_convolution_is_causal():
    network, sequence = made(TemporalConvolution, 8), noise(2, 6, FEATURES)
    before = network.outputs(reading_of(sequence))
    for t in range(5):
        changed = sequence.clone()
        changed[:, t + 1 :] += noise(2, 5 - t, FEATURES, seed=1)
        assert torch.equal(network.outputs(reading_of(changed))[:, : t + 1], before[:, : t + 1])


@pytest.mark.parametrize(("length", "levels"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 2), (8, 3), (15, 3), (16, 4)])
def test_a_temporal_convolution_has_the_fewest_levels_that_see_the_history(length, levels):
    network = made(TemporalConvolution, 4, length=length)
    assert len(network.levels) == levels
    assert network.reach >= length


def test_weight_norm_parts_length_and_direction():
    conv = made(TemporalConvolution, 4).levels[0].first
    length = conv.parametrizations.weight.original0.flatten()
    torch.testing.assert_close(conv.weight.flatten(1).norm(dim=1), length)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
@pytest.mark.parametrize("radius", [0.3, 0.99])
@pytest.mark.parametrize("density", [0.05, 1.0])
def test_a_reservoir_has_the_spectral_radius_asked_for(size, radius, density):
    network = made(EchoState, size, radius=radius, density=density)
    inner = network.inner.double().numpy()
    assert np.abs(np.linalg.eigvals(inner)).max() == pytest.approx(radius, rel=1e-4)
    assert ((inner != 0).sum(axis=0) == max(1, round(density * size))).all()


def test_a_reservoir_is_never_trained():
    network = made(EchoState, 16)
    assert not list(network.parameters())
    sequence = noise(2, 6, FEATURES).requires_grad_()
    assert not network(reading_of(sequence)).requires_grad
    assert set(network.state_dict()) == {"inner", "outer", "bias"}  # and yet saved


def test_a_reservoir_by_hand_and_its_echo_fades():
    network, sequence = made(EchoState, 16, leak=0.3), noise(1, 6, FEATURES)
    state = torch.zeros(16)
    for x in sequence[0]:
        state = 0.7 * state + 0.3 * torch.tanh(network.inner.T @ state + network.outer.T @ x + network.bias)
    torch.testing.assert_close(network(reading_of(sequence))[0], state)
    tail = noise(1, 300, FEATURES, seed=1)
    one, other = (network(reading_of(torch.cat([noise(1, 9, FEATURES, seed=s), tail], dim=1))) for s in (2, 3))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_chaos_free_unit_by_hand():
    network = made(ChaosFree, 1)
    weights = (network.gates.weight, network.outer.weight, network.inner.weight, network.gates.bias)
    v, w, u, b = (weight.detach() for weight in weights)
    assert b.tolist() == [1.0, -1.0]
    h, sequence = 0.0, noise(1, 4, FEATURES)
    for x in sequence[0]:
        keep, take = (1 / (1 + math.exp(-float(u[k, 0] * h + v[k] @ x + b[k]))) for k in (0, 1))
        h = keep * math.tanh(h) + take * math.tanh(float(w[0] @ x))
    assert network(reading_of(sequence)).item() == pytest.approx(h, rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_chaos_free_state_decays_without_input_whatever_its_weights(seed):
    network = made(ChaosFree, 32, seed=seed)
    with torch.no_grad():
        network.inner.weight.copy_(5 * noise(64, 32, seed=seed))  # a plain RNN with such weights is chaotic
        network.gates.weight.mul_(5)
        network.outer.weight.mul_(5)
    heard, silence = noise(8, 5, FEATURES, seed=seed), torch.zeros(8, 200, FEATURES)
    before, after = network(reading_of(heard)), network(reading_of(torch.cat([heard, silence], dim=1)))
    assert before.abs().max() > 0.1
    assert after.abs().max() < 1e-3


def test_a_chaos_free_state_never_grows_without_input():
    network, heard = made(ChaosFree, 16), noise(4, 5, FEATURES)
    sizes = []
    for steps in range(6):
        quiet = torch.cat([heard, torch.zeros(4, steps, FEATURES)], dim=1)
        sizes.append(network(reading_of(quiet)).abs())
    assert all((later < sooner).all() for sooner, later in pairwise(sizes))
