"""Generators and selectors against the laws they were fitted to, and their streams."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.data import CompositeGenerator, CopulaGenerator, RandomSelector, RealGenerator
from smartrec.data.generators import shares_of

JOBS = np.array(["clerk", "artist", "engineer", "baker"])
LATENT = np.array([[1, 0.7, 0.5, -0.4], [0.7, 1, 0.2, 0], [0.5, 0.2, 1, 0.4], [-0.4, 0, 0.4, 1]])


def people(rows=5000, seed=0):
    """Skewed numbers, counts, flags and categories with known latent correlations."""
    z = np.random.default_rng(seed).multivariate_normal(np.zeros(4), LATENT, rows)
    return pd.DataFrame(
        {
            "id": [f"u{number}" for number in range(rows)],
            "age": 30 * np.exp(0.5 * z[:, 0]),
            "children": np.floor(np.exp(z[:, 1])).astype(np.int8),
            "premium": z[:, 2] > 0.5,
            "job": pd.Categorical(JOBS[np.digitize(z[:, 3], [-1, 0, 0.8])]),
        }
    )


def numbers(frame):
    place = {job: number for number, job in enumerate(JOBS)}
    return np.stack([frame.age, frame.children, frame.premium, frame.job.map(place)], axis=1).astype(float)


def makers():
    table = np.random.default_rng(0).normal(size=(50, 2))
    return {
        "real": lambda seed: RealGenerator(seed).fit(table),
        "copula": lambda seed: CopulaGenerator(seed=seed).fit(table),
        "composite": lambda seed: CompositeGenerator(
            [RealGenerator(seed).fit(table), CopulaGenerator(seed=seed + 1).fit(table)], seed=seed
        ),
    }


by_maker = pytest.mark.parametrize("make", makers().values(), ids=makers())


@by_maker
def test_calls_differ_and_the_same_sequence_begins_anew(make):
    generator = make(3)
    first = [generator.generate(30), generator.sample(0.5), generator.generate(30), generator.sample(0.5)]
    assert (first[0] != first[2]).any()
    assert first[1].shape != first[3].shape or (first[1] != first[3]).any()
    again, other = make(3), make(4)
    for table in first:
        repeated = again.generate(30) if len(table) == 30 else again.sample(0.5)
        assert np.array_equal(table, repeated)
    assert not np.array_equal(other.generate(30), first[0])
    generator.reseed(8)
    once = [generator.generate(30) for _ in range(2)]
    generator.reseed(8)
    assert all(np.array_equal(table, generator.generate(30)) for table in once)


@by_maker
def test_a_table_handed_out_may_be_written(make):
    generator = make(0)
    table = generator.generate(40)
    kept = table.copy()
    table[:] = np.inf
    assert np.isfinite(generator.sample(1.0)).all()
    assert np.array_equal(generator.sample(1.0), kept)
    assert np.isfinite(generator.generate(40)).all()


# Real rows


def test_real_rows_are_rows_of_the_source_each_at_most_once():
    frame = people(100)
    found = RealGenerator(1).fit(frame).generate(60)
    assert list(found.index) == list(range(60))
    assert found.id.nunique() == 60
    source = frame.set_index("id").loc[found.id].reset_index()
    pd.testing.assert_frame_equal(found, source, check_dtype=True)
    assert sorted(RealGenerator(1).fit(frame).generate(100).id) == sorted(frame.id)


def test_every_real_row_is_as_likely_as_another():
    generator = RealGenerator(0).fit(np.arange(10))
    counts = np.bincount(np.concatenate([generator.generate(3) for _ in range(4000)]), minlength=10)
    assert stats.chisquare(counts).pvalue > 0.001


def test_a_sample_is_a_coin_a_row_of_what_was_generated_last():
    generator = RealGenerator(0).fit(np.arange(20_000))
    generator.generate(100)
    last = generator.generate(10_000)
    sampled = generator.sample(0.3)
    assert np.array_equal(sampled, last[np.isin(last, sampled)])
    assert abs(len(sampled) - 3000) < 5 * np.sqrt(10_000 * 0.3 * 0.7)
    assert len(generator.sample(0)) == 0
    assert len(generator.sample(1)) == 10_000


# Composites


def test_parts_have_their_weights():
    parts = [RealGenerator().fit(np.full(2000, mark)) for mark in (1, 2)]
    assert Counter(CompositeGenerator(parts, [0.3, 0.7]).generate(1000).tolist()) == {1: 300, 2: 700}
    sized = [RealGenerator().fit(np.full(size, mark)) for mark, size in ((1, 100), (2, 300))]
    assert Counter(CompositeGenerator(sized).generate(40).tolist()) == {1: 10, 2: 30}
    assert CompositeGenerator(sized).size == 400
    assert Counter(CompositeGenerator(parts, [0.0, 1.0]).generate(7).tolist()) == {2: 7}


@given(st.integers(1, 5000), st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any))
def test_shares_add_up_and_are_less_than_one_off(n, sizes):
    weights = np.array(sizes) / sum(sizes)
    counts = shares_of(n, weights)
    assert counts.sum() == n
    assert (np.abs(counts - n * weights) < 1 + 1e-6).all()


def test_composites_of_frames_keep_columns_and_ids():
    frame = people(200)
    parts = [RealGenerator().fit(frame), CopulaGenerator("id", "new").fit(frame[frame.columns[::-1]])]
    found = CompositeGenerator(parts, [0.25, 0.75]).generate(100)
    assert list(found.columns) == list(frame.columns)
    assert list(found.index) == list(range(100))
    assert found.id[:25].isin(frame.id).all()
    assert list(found.id[25:]) == [f"new_{k}" for k in range(75)]
    nested = CompositeGenerator([CompositeGenerator(parts), parts[0]]).generate(60)
    assert found.dtypes.to_dict() == nested.dtypes.to_dict()


# Copula


def test_columns_keep_their_law_and_pairs_their_correlation():
    frame = people()
    found = CopulaGenerator("id", seed=1).fit(frame).generate(20_000)
    old, new = numbers(frame), numbers(found)
    for column in range(4):
        assert 1 - stats.ks_2samp(old[:, column], new[:, column]).statistic > 0.97
    assert np.abs(np.corrcoef(old.T) - np.corrcoef(new.T)).max() < 0.04
    # The categories went in without an order, and fell into theirs by what the numbers say.
    assert np.corrcoef(old.T)[0, 3] < -0.25


def test_latent_correlations_are_found_through_any_columns():
    generator = CopulaGenerator("id").fit(people(50_000))
    found = generator._factor @ generator._factor.T
    signs = np.sign(found[0]) * np.sign(LATENT[0])  # categories may be numbered from either end
    assert np.abs(found * np.outer(signs, signs) - LATENT).max() < 0.03


@pytest.mark.parametrize("rho", [-0.95, -0.5, 0.0, 0.3, 0.8, 0.98])
def test_flags_keep_their_correlation(rho):
    z = np.random.default_rng(0).multivariate_normal([0, 0], [[1, rho], [rho, 1]], 20_000)
    flags = np.stack([z[:, 0] > 0, z[:, 1] > 1], axis=1).astype(int)
    found = CopulaGenerator(seed=2).fit(flags).generate(40_000)
    assert abs(np.corrcoef(flags.T)[0, 1] - np.corrcoef(found.T)[0, 1]) < 0.03
    assert np.abs(flags.mean(axis=0) - found.mean(axis=0)).max() < 0.015


def test_what_comes_out_is_what_went_in():
    frame = people(300)
    found = CopulaGenerator("id", "synthetic").fit(frame).generate(500)
    assert list(found.columns) == list(frame.columns)
    assert found.dtypes.drop("id").to_dict() == frame.dtypes.drop("id").to_dict()
    assert list(found.id) == [f"synthetic_{k}" for k in range(500)]
    for name in ("age", "children", "premium", "job"):
        assert set(found[name]) <= set(frame[name])
    table = np.random.default_rng(0).random((40, 3), np.float32)
    assert CopulaGenerator().fit(table).generate(7).dtype == np.float32
    assert CopulaGenerator().fit(table).generate(7).shape == (7, 3)
    assert CopulaGenerator().fit(table[:, 0]).generate(7).shape == (7,)
    words = np.array([["a", "x"], ["b", "y"], ["b", "z"]], object)
    assert set(CopulaGenerator().fit(words).generate(200)[:, 1]) == {"x", "y", "z"}


def test_dates_and_constants_are_columns_too():
    days = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=400), "country": "N", "n": np.arange(400)})
    found = CopulaGenerator(seed=0).fit(days).generate(300)
    assert found.day.dtype == days.day.dtype
    assert (found.country == "N").all()
    assert np.corrcoef(found.day.astype("int64"), found.n)[0, 1] > 0.99


def test_columns_that_no_copula_fits_get_the_nearest():
    # Each pair as far apart as it can be: three normals cannot all be opposite to each other.
    table = np.repeat(np.eye(3, dtype=int), 400, axis=0)
    found = CopulaGenerator(seed=0).fit(table).generate(30_000)
    assert np.abs(found.mean(axis=0) - 1 / 3).max() < 0.015
    assert (np.corrcoef(found.T)[np.triu_indices(3, 1)] < -0.25).all()


# Selectors


def test_a_selector_shows_all_users_the_same_items():
    selector, items = RandomSelector(4, seed=1), np.arange(100, 120)
    calls = [selector.select(items, 6) for _ in range(3)]
    for found in calls:
        assert found.shape == (6, 4)
        assert (found == found[0]).all()
        assert len(set(found[0])) == 4
        assert set(found[0]) <= set(items)
    assert any((left != right).any() for left, right in pairwise(calls))
    again = RandomSelector(4, seed=1)
    assert all((again.select(items, 6) == found).all() for found in calls)
    again.reseed(1)
    assert (again.select(items, 6) == calls[0]).all()
    drawn = np.concatenate([selector.select(items, 1)[0] for _ in range(5000)])
    assert stats.chisquare(np.bincount(drawn - 100, minlength=20)).pvalue > 0.001
    assert selector.select(np.array(["a", "b", "c", "d"]), 2).shape == (2, 4)


# Bad input

REAL = RealGenerator().fit(np.arange(5))


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: REAL.generate(6), InvalidInput, r"n = 6 rows without replacement of a table of 5; allowed: 1 to 5"),
        (lambda: REAL.generate(0), InvalidInput, "n = 0 rows; allowed: a whole number >= 1"),
        (lambda: REAL.generate(2.0), InvalidInput, "n = 2.0 rows"),
        (lambda: RealGenerator().fit(np.arange(5)).sample(0.5), InvalidInput, r"nothing .* call generate\(n\) first"),
        (lambda: makers()["copula"](0).sample(0.5), InvalidInput, "nothing was generated yet"),
        (lambda: RealGenerator().generate(1), InvalidInput, r"this RealGenerator has no source yet; call fit"),
        (lambda: CopulaGenerator().generate(1), InvalidInput, r"this CopulaGenerator has no source yet"),
        (lambda: RealGenerator(-1), InvalidConfig, "seed = -1; allowed: a whole number >= 0"),
        (lambda: REAL.reseed(None), InvalidConfig, "seed = None"),
        (lambda: RealGenerator().fit(np.zeros((0, 2))), InvalidInput, "at least one row and one column"),
        (lambda: RealGenerator().fit(np.zeros((2, 2, 2))), InvalidInput, r"shape \(2, 2, 2\); allowed"),
        (lambda: CompositeGenerator([]), InvalidInput, "no generators; allowed: at least one"),
        (lambda: CompositeGenerator([RealGenerator()]), InvalidInput, "no source yet"),
        (lambda: CompositeGenerator([REAL], [0.5, 0.5]), InvalidInput, r"shape \(2,\); allowed: 1 numbers"),
        (lambda: CompositeGenerator([REAL, REAL], [0.5, 0.6]), InvalidInput, "allowed: numbers >= 0 of the sum 1"),
        (lambda: CompositeGenerator([REAL, REAL], [1.5, -0.5]), InvalidInput, "allowed: numbers >= 0 of the sum 1"),
        (lambda: CompositeGenerator([REAL]).generate(6), InvalidInput, "n = 6 rows without replacement"),
        (
            lambda: CompositeGenerator([REAL, RealGenerator().fit(people(9))]).generate(4),
            InvalidInput,
            "allowed: all arrays or all DataFrames, of the same columns",
        ),
        (lambda: CopulaGenerator("name").fit(people(9)), InvalidInput, r"id_column = 'name'; allowed: None or one of"),
        (lambda: CopulaGenerator("id").fit(people(9)[["id"]]), InvalidInput, "no column beside 'id'"),
        (lambda: CopulaGenerator().fit([[1.0, np.nan]]), InvalidInput, "column 1 has 1 missing .* first in row 0"),
        (lambda: CopulaGenerator().fit(pd.DataFrame({"a": ["x", None]})), InvalidInput, "'a' has 1 missing .* row 1"),
        (lambda: CopulaGenerator().fit(pd.DataFrame({"a": ["x", np.nan]})), InvalidInput, "'a' has 1 missing"),
        (
            lambda: CopulaGenerator().fit(pd.DataFrame({"a": pd.array(["x", pd.NA], "string")})),
            InvalidInput,
            "'a' has 1 missing",
        ),
        (
            lambda: CopulaGenerator().fit(pd.DataFrame({"a": pd.to_datetime(["2024-01-01", None])})),
            InvalidInput,
            "'a' has 1 missing",
        ),
        (lambda: RandomSelector(0), InvalidConfig, "k = 0 items a user; allowed"),
        (lambda: RandomSelector(3).select([1, 2], 5), InvalidInput, "2 items, but k = 3 are to be shown"),
        (lambda: RandomSelector(1).select([1, 1], 5), InvalidInput, "repeat one; allowed"),
        (lambda: RandomSelector(1).select([1], 0), InvalidInput, "n_users = 0; allowed"),
    ],
)
def test_bad_input_is_refused(act, error, message):
    with pytest.raises(error, match=message):
        act()
