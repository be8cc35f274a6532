import random

import numpy as np
import pytest

from smartrec.core.errors import CheckFailed, InvalidInput
from smartrec.response_models import (
    RESPONSE_MODELS,
    DriftingPopularity,
    Popularity,
    Preferences,
    ResponseModel,
    State,
    Table,
    check_response_model,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", list(RESPONSE_MODELS))
def test_every_registered_model_passes(name):
    model = RESPONSE_MODELS.get(name).example(9, 5, seed=1)
    assert isinstance(model, RESPONSE_MODELS.get(name))
    assert model.n_items == 5
    check_response_model(model, 9)
    check_response_model(RESPONSE_MODELS.get(name).example(1, 1), 1)
    assert RESPONSE_MODELS.entry(name).about


def test_a_model_without_an_example_says_what_is_missing():
    with pytest.raises(InvalidInput, match="_Fine has no example; write the class method"):
        _Fine.example(3, 3)


@pytest.mark.parametrize(
    "model",
    [
        Popularity.breads(),
        Popularity([0.5]),
        DriftingPopularity(Popularity.breads().popularity),
        Table(RNG.random((9, 4), np.float32)),
        Preferences(RNG.normal(size=(9, 3)), RNG.normal(size=(5, 3))),
        Preferences(1000 * RNG.normal(size=(9, 3)), RNG.normal(size=(5, 3))),
    ],
)
def test_ours_pass(model):
    check_response_model(model, 9)


class _Fine(ResponseModel):
    n_items = 5

    def probability(self, users, items, state):
        return np.full(items.shape, 0.5)


class _OutOfRange(_Fine):
    def probability(self, users, items, state):
        return np.where(items == 3, 1.5, 0.5)


class _NotANumber(_Fine):
    def probability(self, users, items, state):
        return np.where(items == 3, np.nan, 0.5)


class _Squeezes(_Fine):
    def probability(self, users, items, state):
        return np.full(items.shape, 0.5).squeeze()

    def scores(self, users, state):
        return np.full((len(users), 5), 0.5)


class _Rolls(_Fine):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def probability(self, users, items, state):
        return self.rng.random(items.shape)


class _Counts(_Fine):
    calls = 0

    def probability(self, users, items, state):
        self.calls += 1
        return np.full(items.shape, 1 / (1 + self.calls))

    def scores(self, users, state):
        return np.full((len(users), 5), 1 / (2 + self.calls))


class _OtherScores(_Fine):
    def scores(self, users, state):
        return np.full((len(users), 5), 0.5001)


class _Writes(_Fine):
    def probability(self, users, items, state):
        items[:] = items[:, ::-1].copy()
        return np.full(items.shape, 0.5)

    def scores(self, users, state):
        return np.full((len(users), 5), 0.5)


class _WritesUsers(_Fine):
    def scores(self, users, state):
        users[:] = 0
        return np.full((len(users), 5), 0.5)


class _StandsStill(_Fine):
    def advance(self, state):
        return state


class _OneKey(_Fine):
    def advance(self, state):
        return State(state.clock + 1)


class _LooksSideways(_Fine):
    def probability(self, users, items, state):
        return np.broadcast_to(np.arange(len(items))[:, None] / len(items), items.shape)


class _Global(_Fine):
    def probability(self, users, items, state):
        np.random.random()  # noqa: NPY002
        return np.full(items.shape, 0.5)


class _GlobalPython(_Fine):
    def probability(self, users, items, state):
        random.random()
        return np.full(items.shape, 0.5)


class _Whole(_Fine):
    def probability(self, users, items, state):
        return np.ones(items.shape, int)


class _SecretlyDrifts(_Fine):
    def probability(self, users, items, state):
        return np.full(items.shape, 1 / (1 + state.clock))


class _KnowsFew(_Fine):
    n_users = 3


class _NoItems(_Fine):
    n_items = 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_OutOfRange(), r"lies in \[0, 1\]. Seen: 1.5"),
        (_NotANumber(), r"lies in \[0, 1\]. Seen: nan"),
        (_Squeezes(), "keep every axis, also at N = 1 or K = 1"),
        (_Rolls(), "roll no dice|compute both from the same"),
        (_Counts(), "probability is pure: twice the same|permutation|scores"),
        (_OtherScores(), "scores equals probability of all items .*a difference of 0.0001"),
        (_Writes(), "probability leaves its arguments as they are"),
        (_WritesUsers(), "scores leaves its arguments as they are"),
        (_StandsStill(), r"advance\(\) returns a state one tick later .*Seen: clocks 1, 1"),
        (_OneKey(), r"another key every tick, .*Seen: keys \[0, 0, 0\] at clocks \[1, 2, 12\]"),
        (_LooksSideways(), "a permutation of the lanes permutes the probabilities"),
        (_Global(), "the global generators .* stay untouched"),
        (_GlobalPython(), "the global generators .* stay untouched"),
        (_Whole(), "returns floating-point numbers. Seen: int64"),
        (_SecretlyDrifts(), "set the class variable stationary = False"),
        (_KnowsFew(), "knows every user it is asked about. Seen: n_users = 9, model.n_users = 3"),
        (_NoItems(), "n_items is a whole number >= 1. Seen: 0"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ResponseModel) else None,
)
def test_each_broken_rule_is_named(model, message):
    check_response_model(_Fine(), 9)
    with pytest.raises(CheckFailed, match=message):
        check_response_model(model, 9)


def test_at_is_that_many_ticks_from_the_start():
    model = _Fine()
    assert model.at(1) == model.start() == State(1, 0)
    assert model.at(4) == model.advance(model.advance(model.advance(model.start())))
    assert model.at(4).clock == 4


def test_keys_differ_by_tick_and_repeat_from_the_start():
    model, keys = _Fine(), []
    for _ in range(2):
        state = model.start()
        keys.append([])
        for _ in range(1000):
            keys[-1].append(state.key)
            state = model.advance(state)
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 1000
    assert all(0 <= key < 2**64 for key in keys[0])
