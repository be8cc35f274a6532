from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrec.core.config import digest, from_dict, require, to_dict
from smartrec.core.errors import CheckFailed, InvalidConfig, SmartRecError, did_you_mean


@dataclass(frozen=True)
class Config:
    """For tests."""

    rate: float = 0.1
    steps: int = 3
    mode: Literal["fast", "slow"] = "fast"
    sizes: tuple[int, ...] = (8, 8)
    limit: float | None = None
    names: dict[str, str] | None = None
    on: bool = False
    where: str = "here"


def test_values_are_taken_in_the_types_of_the_fields():
    config = from_dict(Config, {"rate": 1, "sizes": [4, 2], "limit": 2, "steps": np.int64(5), "where": Path("x")}, "it")
    assert config == Config(rate=1.0, sizes=(4, 2), limit=2.0, steps=5, where="x")
    assert [type(value) for value in (config.rate, config.limit, config.steps)] == [float, float, int]


@given(st.floats(0, 9), st.integers(), st.lists(st.integers(), max_size=3), st.one_of(st.none(), st.floats(0, 9)))
def test_round_trip(rate, steps, sizes, limit):
    config = Config(rate, steps, "slow", tuple(sizes), limit, {"a": "b"}, True)
    assert from_dict(Config, to_dict(config), "it") == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rat": 1.0}, "it has no option 'rat'. Did you mean 'rate'"),
        ({"stepz": 1}, "Did you mean 'steps'"),
        ({"zzzzzz": 1}, "it has no option 'zzzzzz'. Known: limit, mode"),
        ({"rate": "fast"}, "it: rate = 'fast'; allowed: a value of type float"),
        ({"rate": True}, "it: rate = True"),
        ({"rate": None}, "it: rate = None"),
        ({"steps": 1.5}, "it: steps = 1.5; allowed: a value of type int"),
        ({"steps": False}, "it: steps = False"),
        ({"steps": "3"}, "it: steps = '3'"),
        ({"mode": "Fast"}, "it: mode = 'Fast'; allowed: 'fast', 'slow'"),
        ({"sizes": 8}, "it: sizes = 8; allowed: a value of type tuple"),
        ({"sizes": [8, "8"]}, r"it: sizes\[1\] = '8'; allowed: a value of type int"),
        ({"names": ["a"]}, "it: names = .*allowed: a value of type dict"),
        ({"on": 1}, "it: on = 1; allowed: a value of type bool"),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(InvalidConfig, match=message):
        from_dict(Config, values, "it")


def test_digest_ignores_the_order_of_keys_and_nothing_else():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])
    assert len(digest({})) == 12
    # By sha256sum of {"a":1,"b":[true,null,"x"]}.
    # A changed digest would lose every cached fit and every comparison of records.
    assert digest({"a": 1, "b": [True, None, "x"]}) == "eca8cfb31ab7"


def test_digest_sees_every_entry_of_an_array():
    # str() of a long array leaves out the middle, so that arrays which differ there would look equal.
    one = np.zeros(5000)
    two = one.copy()
    two[2500] = 1
    assert digest({"x": one}) != digest({"x": two})
    assert digest({"x": one}) == digest({"x": one.tolist()})
    assert digest({"x": Path("a")}) == digest({"x": "a"})


def test_digest_refuses_what_need_not_look_equal():
    with pytest.raises(InvalidConfig, match="value in a digest"):
        digest({"x": object()})


def test_require():
    require(True, "x", 1, "anything")
    with pytest.raises(InvalidConfig, match="x = 1; allowed: 2 to 3"):
        require(False, "x", 1, "2 to 3")


def test_did_you_mean():
    assert did_you_mean("tompson", ["ucb", "thompson"]) == "Did you mean 'thompson'? Known: thompson, ucb."
    assert did_you_mean("q", ["ucb"]) == "Known: ucb."
    assert did_you_mean("q", []) == "Known: none."


def test_check_failed_is_both_errors_and_says_three_things():
    error = CheckFailed("one is one", "two", "count again")
    assert isinstance(error, AssertionError)
    assert isinstance(error, SmartRecError)
    assert str(error) == "rule: one is one. Seen: two. What to do: count again."
