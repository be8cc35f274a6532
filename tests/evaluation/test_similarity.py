"""How alike two tables are: closed forms, SciPy as an oracle, and the defect of counting instead of sharing."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.evaluation import detection_score, kl_score, ks_score, svm_detection_score, table_similarity


def two_normals(rows, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=rows), rng.normal(size=rows) + shift


@pytest.mark.parametrize("sizes", [(3, 2), (50, 80), (1000, 7)])
def test_ks_is_scipys(sizes):
    rng = np.random.default_rng(0)
    for a, b in [
        (rng.normal(size=sizes[0]), rng.normal(size=sizes[1]) + 0.5),
        (rng.integers(4, size=sizes[0]), rng.integers(3, size=sizes[1])),  # with ties
    ]:
        assert ks_score(a, b) == pytest.approx(1 - stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-12)
        assert ks_score(a, b) == ks_score(b, a)


def test_ks_by_hand():
    assert ks_score([1, 2, 3], [3, 1, 2]) == 1
    assert ks_score([1, 2], [3, 4]) == 0
    assert ks_score([0, 0, 1, 1], [0, 1, 1, 1]) == pytest.approx(0.75)
    a, b = two_normals(200_000, shift=1.0)
    assert ks_score(a, b) == pytest.approx(1 - (2 * stats.norm.cdf(0.5) - 1), abs=0.005)


def test_kl_by_hand():
    # Two bins: shares 1/4, 3/4 against 1/2, 1/2.
    divergence = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    assert kl_score([0, 1, 1, 1], [0, 0, 1, 1], bins=2) == pytest.approx(1 / (1 + divergence), abs=1e-4)
    assert kl_score([5, 5], [5, 5]) == 1
    # One bin each of ten, apart: ln of 1e5 in the bin that only the real sample fills.
    assert kl_score([0, 0], [1, 1]) == pytest.approx(1 / (1 + np.log(1e5)), abs=1e-3)


def test_kl_does_not_depend_on_how_many_rows_there_are():
    a, b = two_normals(1000, shift=1.0)
    assert kl_score(np.tile(a, 20), np.tile(b, 20)) == pytest.approx(kl_score(a, b), abs=1e-12)
    assert kl_score(np.tile(a, 20), b) == pytest.approx(kl_score(a, b), abs=1e-12)


def by_counts(a, b):
    """The score on raw counts, as Sim4Rec makes it."""
    edges = np.histogram_bin_edges(np.concatenate([a, b]), 10)
    p, q = (np.histogram(values, edges)[0] + 1e-5 for values in (a, b))
    return 1 / (1 + np.sum(p * np.log(p / q)))


def test_identical_laws_score_near_one_and_counts_would_not():
    for seed in range(5):
        a, b = two_normals(10_000, seed=seed)
        assert kl_score(a, b) > 0.99
        assert ks_score(a, b) > 0.97
    assert table_similarity(*two_normals(10_000)).detection == detection_score(*two_normals(10_000)) > 0.97
    counted = [by_counts(*two_normals(10_000, seed=seed)) for seed in range(5)]
    shared = [kl_score(*two_normals(10_000, seed=seed)) for seed in range(5)]
    assert np.median(counted) < 0.5 < 0.99 < min(shared)


def test_the_further_apart_the_lower():
    shifts = [0.0, 0.3, 1.0, 3.0]
    for score in (ks_score, kl_score, detection_score, svm_detection_score):
        found = [score(*two_normals(4000, shift)) for shift in shifts]
        assert found == sorted(found, reverse=True)
        assert 0 <= found[-1] < 0.5 < found[0] <= 1


def test_detection_is_the_auc_of_the_best_line():
    a, b = two_normals(20_000, shift=1.0)
    auc = stats.norm.cdf(1 / np.sqrt(2))  # P(N(1, 1) > N(0, 1)), and no score separates better
    assert detection_score(a, b) == pytest.approx(1 - 2 * (auc - 0.5), abs=0.02)
    assert detection_score(np.zeros(100), np.ones(100)) == 0
    assert detection_score(np.zeros(100), np.zeros(100)) == 1


def test_a_support_vector_machine_sees_what_no_line_shows():
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(0, 1, 3000), rng.normal(0, 3, 3000)
    auc = 2 / np.pi * np.arctan(3)  # P(|N(0, 9)| > |N(0, 1)|), and no score separates better than |x|
    assert svm_detection_score(narrow, wide) == pytest.approx(1 - 2 * (auc - 0.5), abs=0.06)
    assert detection_score(narrow, wide) > 0.9
    assert svm_detection_score(narrow, rng.normal(0, 1, 3000)) > 0.9
    assert svm_detection_score(narrow, wide) == svm_detection_score(narrow, wide)


def frame(rows, shift, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.normal(40 + shift, 10, rows),
            "premium": rng.random(rows) < 0.3,
            "job": rng.choice(["clerk", "artist"], rows, p=[0.75, 0.25]),
        }
    )


def test_tables_column_by_column():
    real = frame(6000, 0, 0)
    alike, apart = table_similarity(real, frame(6000, 0, 1)), table_similarity(real, frame(6000, 20, 2))
    assert list(alike.ks_columns) == list(alike.kl_columns) == ["age", "premium", "job=clerk", "job=artist"]
    assert min(alike.ks, alike.kl, alike.detection) > 0.96
    assert alike.ks == pytest.approx(np.mean(list(alike.ks_columns.values())))
    assert apart.ks_columns["age"] == pytest.approx(ks_score(real.age, frame(6000, 20, 2).age))
    assert apart.ks_columns["job=clerk"] > 0.95
    assert apart.ks_columns["age"] < 0.4
    assert apart.detection < 0.2
    assert apart.svm_detection == svm_detection_score(real, frame(6000, 20, 2)) < 0.2
    assert alike.svm_detection > 0.9
    assert "KS score" in str(apart)
    array = table_similarity(np.random.default_rng(0).normal(size=(500, 2)), np.random.default_rng(1).random((400, 2)))
    assert list(array.ks_columns) == ["0", "1"]


def test_a_category_that_one_side_lacks_is_a_column():
    real, synthetic = pd.DataFrame({"job": ["a", "b"] * 50}), pd.DataFrame({"job": ["a", "c"] * 50})
    found = table_similarity(real, synthetic).ks_columns
    assert found == {"job=a": 1.0, "job=b": 0.5, "job=c": 0.5}


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda: ks_score([], [1]), InvalidInput, r"real has shape \(0,\)"),
        (lambda: ks_score([1], [np.nan]), InvalidInput, "synthetic .* 1 values that are not finite"),
        (lambda: ks_score([[1]], [1]), InvalidInput, r"real has shape \(1, 1\)"),
        (lambda: ks_score(["a"], [1]), InvalidInput, "real holds values that are no numbers"),
        (lambda: kl_score([1], [1], bins=0), InvalidConfig, "bins = 0; allowed"),
        (lambda: detection_score([1, 2], [1, 2, 3]), InvalidInput, "tables of 2 and 3 rows; allowed: 3 or more"),
        (lambda: detection_score(np.zeros((9, 2)), np.zeros((9, 3))), InvalidInput, "allowed: the same, in the same"),
        (lambda: table_similarity(frame(9, 0, 0), np.zeros((9, 3))), InvalidInput, "real has columns"),
        (
            lambda: table_similarity(pd.DataFrame({"a": [1, 2, 3]}), pd.DataFrame({"a": ["1", "2", "3"]})),
            InvalidInput,
            "column 'a' holds numbers in one table and none in the other",
        ),
        (lambda: table_similarity(np.zeros((0, 2)), np.zeros((9, 2))), InvalidInput, "real has no rows"),
        (lambda: table_similarity(np.zeros((2, 2, 2)), np.zeros((9, 2))), InvalidInput, r"shape \(2, 2, 2\)"),
        (lambda: table_similarity(np.array([[np.inf]]), np.array([[1.0]])), InvalidInput, "real column '0'"),
    ],
)
def test_bad_input_is_refused(act, error, message):
    with pytest.raises(error, match=message):
        act()
