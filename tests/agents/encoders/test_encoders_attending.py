"""Attention, hierarchical attention, MAC, multi-matching and DRR: what they look at, and formulas by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from smartrec.agents.deep.networks import built
from smartrec.agents.encoders.attending import Heads, ages, weights
from smartrec.agents.encoders.drr import DRR
from smartrec.agents.encoders.hierarchical_attention import HierarchicalAttention
from smartrec.agents.encoders.mac import Mac
from smartrec.agents.encoders.multi_matching import MultiMatching
from smartrec.agents.encoders.reading import Reading, Shape

SHAPE = Shape(length=4, features=5, static=2, attributes=3, items=True)


def made(encoder, size: int = 4, **options):
    return built(lambda: encoder(SHAPE, size, **options), np.random.default_rng(0))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reading_of(known, attributes=None, responses=None) -> Reading:
    known = torch.tensor(known)
    lanes, length = known.shape
    attributes = torch.zeros(lanes, length, 3) if attributes is None else torch.tensor(attributes)
    responses = torch.zeros(lanes, length) if responses is None else torch.tensor(responses)
    return Reading(noise(lanes, 2), noise(lanes, length, 5), known, attributes, responses)


def test_weights_add_up_to_one_over_what_is_known():
    known = torch.tensor([[False, True, True], [False, False, True], [False, False, False]])
    share = weights(torch.tensor([[9.0, 1.0, 2.0]] * 3), known)
    e = np.exp(1.0)
    torch.testing.assert_close(share, torch.tensor([[0, 1 / (1 + e), e / (1 + e)], [0, 0, 1.0], [0, 0, 0]]).float())


def test_ages_are_told_from_the_newest():
    told = ages(torch.zeros(1, 4, 6))
    assert told[-1].tolist() == [0, 1, 0, 1, 0, 1]  # sines and cosines of 0
    torch.testing.assert_close(told[0, :2], torch.tensor([np.sin(3), np.cos(3)]).float())
    torch.testing.assert_close(ages(torch.zeros(1, 7, 6))[-4:], told)
    assert ages(torch.zeros(1, 4, 5)).shape == (4, 5)


def test_heads_equal_those_of_torch():
    heads = built(lambda: Heads(8, 2), np.random.default_rng(0))
    torchs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([heads.query.weight, heads.key.weight, heads.value.weight]))
        torchs.in_proj_bias.copy_(torch.cat([heads.query.bias, torch.zeros(8), heads.value.bias]))
        torchs.out_proj.weight.copy_(heads.join.weight)
        torchs.out_proj.bias.zero_()
    asked, places = noise(3, 2, 8), noise(3, 5, 8, seed=1)
    known = torch.arange(5) >= torch.tensor([[0], [2], [4]])
    found, share = torchs(asked, places, places, key_padding_mask=~known, average_attn_weights=False)
    torch.testing.assert_close(heads(asked, places, known), found)
    torch.testing.assert_close(heads.weights(asked, places, known), share)
    assert not heads(asked, places, torch.zeros(3, 5, dtype=torch.bool)).any()


def test_hierarchical_attention_looks_within_an_attribute_at_its_items_only():
    network = made(HierarchicalAttention)
    held = [[[1.0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]]
    reading = reading_of([[False, True, True, True]], held)
    share, member = network.within(reading, noise(1, 4, 4))
    looked = (share[0] > 0).tolist()
    assert looked == [[False, True, True, False], [False, False, True, True], [False] * 4, [False, True, True, True]]
    assert member.tolist() == [[True, True, False, True]]
    torch.testing.assert_close(share.sum(dim=2), member.float())


def test_hierarchical_attention_weighs_items_by_how_much_they_have():
    network = made(HierarchicalAttention)
    with torch.no_grad():
        network.queries.zero_()
    graded = [[[0.5, 0, -3.0], [1, 0, 1], [2, 0, 0], [0.5, 0, 0]]]
    share, _ = network.within(reading_of([[True] * 4], graded), noise(1, 4, 4))
    torch.testing.assert_close(share[0, 0], torch.tensor([0.125, 0.25, 0.5, 0.125]))
    torch.testing.assert_close(share[0, 2], torch.tensor([0.75, 0.25, 0, 0]))


def test_hierarchical_attention_by_hand():
    network = made(HierarchicalAttention)
    reading = reading_of([[False, False, True, True]], [[[0.0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]])
    x = network.inputs(reading.sequence[0, 2:]) + ages(torch.zeros(1, 2, 4))
    groups = {1: x[:1], 3: x}  # attribute 1 has one item, the last stands for all
    found, score = [], []
    for k, items in groups.items():
        share = torch.softmax(network.key(items) @ network.queries[k] / 2, dim=0)
        found.append(network.groups[k] + share @ network.value(items))
        score.append(network.score(torch.tanh(network.of_group(found[-1]) + network.of_user(reading.static[0]))))
    share = torch.softmax(torch.cat(score), dim=0)
    torch.testing.assert_close(network(reading)[0], share[0] * found[0] + share[1] * found[1])


def test_a_mac_step_by_hand():
    network, reading = made(Mac, steps=1), reading_of([[False, True, True, True]])
    control, memory = network.first_control, network.first_memory
    static = reading.static[0]
    history = network.norm(network.inputs(reading.sequence[0, 1:]) + ages(torch.zeros(1, 3, 4)))
    words = static[:, None] * network.value + network.name
    asked = network.control(torch.cat([control, network.questions[0](static)]))
    control = torch.softmax(network.control_score(asked * words), dim=0)[:, 0] @ words
    met = network.of_memory(memory) * network.of_history(history)
    looked = control * (network.read_met(met) + network.read_history(history))
    found = torch.softmax(network.read_score(nn.functional.elu(looked)), dim=0)[:, 0] @ history
    gate = torch.sigmoid(network.gate(control))
    written = gate * memory + (1 - gate) * network.write(torch.cat([found, memory]))
    torch.testing.assert_close(network(reading)[0], written)


def test_a_mac_gate_starts_open_for_what_is_remembered():
    assert made(Mac).gate.bias.item() == 1.0


def test_multi_matching_joins_what_each_query_found():
    network, reading = made(MultiMatching, heads=1, recent=1), reading_of([[True] * 4])
    history = network.inputs(reading.sequence) + ages(torch.zeros(1, 4, 4))
    asked = torch.stack([network.user(reading.static[0]), history[0, -1]])
    found = network.heads(asked[None], history, reading.known)[0]
    joined = network.join(torch.cat([found[0], asked[0] * found[0], found[1], asked[1] * found[1]]))
    torch.testing.assert_close(network(reading)[0], joined)


LIKED = [[1.0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("variant", ["ave", "u", "p"])
def test_drr_by_hand(variant):
    network = made(DRR, variant=variant, memory=2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([0.5, 2.0]))
    reading = reading_of([[False, True, True, True], [True] * 4, [True] * 4], responses=LIKED)
    liked = [[3, 2], [0], []]  # newest first; lane 0 knows nothing of its first position
    out = network(reading)
    for lane, places in enumerate(liked):
        items = torch.zeros(2, 4)
        for k, place in enumerate(places):
            items[k] = network.weight[k] * (network.item.weight @ reading.sequence[lane, place, :-1])
        user = torch.zeros(4) if network.user is None else network.user.weight @ reading.static[lane]
        mean = items.sum(dim=0) / max(len(places), 1)
        by_hand = {
            "ave": [user, user * mean, mean],
            "u": [user * items[0], user * items[1], items[0] * items[1]],
            "p": [items[0], items[1], items[0] * items[1]],
        }
        torch.testing.assert_close(out[lane], torch.cat(by_hand[variant]))
    assert network.size == out.shape[1]


def test_drr_is_as_long_as_the_paper_says():
    assert [made(DRR, 4, variant=v, memory=5).size for v in ("ave", "u", "p")] == [12, 60, 60]
