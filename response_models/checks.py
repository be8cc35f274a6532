"""The examination of a response model: a user's own gets the one that ours get."""

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.errors import CheckFailed
from smartrec.response_models.base import ResponseModel, State

TOLERANCE = 1e-6
"""Largest difference of two ways to the same probability."""

LANES = (1, 7, 64)
CLOCKS = (1, 2, 12)


def check_response_model(model: ResponseModel, n_users: int) -> None:
    """Raise unless a response model keeps its contract.

    Probabilities lie in [0, 1] and have the right shapes for any number of lanes and items; ``scores`` is
    ``probability`` of all items; both are pure and judge each lane by itself; ``advance`` moves the clock by 1 and
    takes the next key;
    a model that calls itself stationary does not change with the clock; no global generator is touched.

    Args:
        model: The model.
        n_users: U, how many users it is asked about, >= 1; users 0 .. U-1 are tried.

    Raises:
        CheckFailed: With the rule, what was seen, and what to do.
    """
    _sizes(model, n_users)
    with_untouched_generators(lambda: _examine(model, n_users))


def with_untouched_generators(examine: Callable[[], None]) -> None:
    """Call ``examine`` and raise if it drew from the global generators of NumPy or Python.

    Raises:
        CheckFailed: It did.
    """
    before = _global_generators()
    examine()
    if _global_generators() != before:
        raise CheckFailed(
            "the global generators of numpy.random and random stay untouched",
            "one of them has moved",
            "draw from a numpy.random.Generator that is handed in",
        )


def _global_generators() -> tuple[bytes, Any]:
    state = np.random.get_state()  # noqa: NPY002 (to see that nobody uses it)
    return pickle.dumps(state), random.getstate()


def _sizes(model: ResponseModel, n_users: int) -> None:
    known = model.n_users
    if n_users < 1 or (known is not None and known < n_users):
        raise CheckFailed(
            "the model knows every user it is asked about",
            f"n_users = {n_users}, model.n_users = {known}",
            "ask for 1 to model.n_users users, or set n_users to None where all users are alike",
        )
    if not isinstance(model.n_items, int) or model.n_items < 1:
        raise CheckFailed("model.n_items is a whole number >= 1", repr(model.n_items), "set n_items in the constructor")


def _examine(model: ResponseModel, n_users: int) -> None:
    rng = np.random.default_rng(0)
    _clock(model)
    for clock in CLOCKS:
        state = model.at(clock)
        for lanes in LANES:
            users = rng.choice(n_users, lanes, replace=n_users < lanes)
            _tables(model, users, state)
            for slate_size in sorted({1, min(3, model.n_items), model.n_items}):
                items = rng.random((lanes, model.n_items)).argsort(axis=1)[:, :slate_size]
                _slates(model, users, items, state, rng)
        if model.stationary:
            _agree(
                model.scores(users, state),
                model.scores(users, model.start()),
                f"a stationary model is at clock {clock} what it was at the start",
                "set the class variable stationary = False",
            )


def _clock(model: ResponseModel) -> None:
    state = model.start()
    following = model.advance(state)
    if (state.clock, following.clock) != (1, 2) or model.advance(following).clock != 3:
        raise CheckFailed(
            "start() is at clock 1, advance() returns a state one tick later and leaves the old one as it was",
            f"clocks {state.clock}, {following.clock}, {model.advance(following).clock}",
            "return dataclasses.replace(super().advance(state), ...)",
        )
    keys = [model.at(clock).key for clock in CLOCKS]
    if len(set(keys)) < len(keys) or keys != [model.at(clock).key for clock in CLOCKS]:
        raise CheckFailed(
            "advance() takes another key every tick, the same ones from every start",
            f"keys {keys} at clocks {list(CLOCKS)}",
            "leave the key to ResponseModel.advance",
        )


def _tables(model: ResponseModel, users: IntArray, state: State) -> None:
    """Check ``scores`` against ``probability`` of all items."""
    before = users.copy()
    scores = model.scores(users, state)
    _probabilities(scores, (len(users), model.n_items), "scores(users [N], state)")
    _same_input(users, before, "scores")
    every_item = np.tile(np.arange(model.n_items), (len(users), 1))
    _agree(
        scores,
        model.probability(users, every_item, state),
        f"scores equals probability of all items within {TOLERANCE}",
        "compute both from the same parameters, or do not override scores",
    )
    _agree(scores, model.scores(users, state), "scores is pure: twice the same", "keep no state, roll no dice")


def _slates(model: ResponseModel, users: IntArray, items: IntArray, state: State, rng: np.random.Generator) -> None:
    """Check ``probability`` of one batch: shape, range, purity, lanes by themselves."""
    users_before, items_before = users.copy(), items.copy()
    probability = np.array(model.probability(users, items, state))
    _probabilities(probability, items.shape, "probability(users [N], items [N, K], state)")
    _same_input(users, users_before, "probability")
    _same_input(items, items_before, "probability")
    order = rng.permutation(len(users))
    _agree(
        model.probability(users[order], items[order], state),
        probability[order],
        "a permutation of the lanes permutes the probabilities, nothing else",
        "let each lane depend on its own user and items only",
    )
    again = model.probability(users, items, state)
    if not np.array_equal(again, probability):
        raise CheckFailed(
            "probability is pure: twice the same",
            f"a difference of {np.abs(again - probability).max():g} at the second call",
            "keep no state and roll no dice; only a choice does, with uniforms handed in",
        )


def _probabilities(values: FloatArray, shape: tuple[int, ...], call: str) -> None:
    if not isinstance(values, np.ndarray) or values.shape != shape:
        seen = getattr(values, "shape", type(values).__name__)
        raise CheckFailed(f"{call} returns an array {shape}", f"{seen}", "keep every axis, also at N = 1 or K = 1")
    if values.dtype.kind != "f":
        raise CheckFailed(f"{call} returns floating-point numbers", str(values.dtype), "convert to float")
    wrong = np.argwhere(~((values >= 0) & (values <= 1)))
    if len(wrong):
        place = tuple(int(index) for index in wrong[0])
        raise CheckFailed(
            f"{call} lies in [0, 1]",
            f"{values[place]} at {list(place)} ({len(wrong)} of {values.size})",
            "map scores to probabilities, for example by a sigmoid, and fill NaN",
        )


def _same_input(now: IntArray, before: IntArray, call: str) -> None:
    if not np.array_equal(now, before):
        raise CheckFailed(f"{call} leaves its arguments as they are", "an argument was changed", "write to a copy")


def _agree(left: FloatArray, right: FloatArray, rule: str, fix: str) -> None:
    difference = float(np.abs(np.asarray(left, np.float64) - right).max())
    if not difference <= TOLERANCE:
        raise CheckFailed(rule, f"a difference of {difference:g}", fix)
