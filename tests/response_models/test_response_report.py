import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from smartrec.response_models.report import quality, report_rows


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_auc_and_log_loss_are_those_of_scikit_learn(seed, rows):
    rng = np.random.default_rng(seed)
    # One decimal: many ties.
    probability = rng.random(rows).round(1)
    clicks = rng.random(rows) < 0.5
    clicks[:2] = [True, False]
    found = quality(probability, clicks)
    assert found.auc == pytest.approx(roc_auc_score(clicks, probability), abs=1e-12)
    expected = log_loss(clicks, np.clip(probability, 1e-7, 1 - 1e-7))
    assert found.log_loss == pytest.approx(expected, rel=1e-9)
    assert found.answers == rows


def test_calibration_error_by_hand():
    # Twenty answers make ten groups of two. In each the mean click is 1/2; predicted are 0.1 and 0.9.
    probability = np.repeat([0.1, 0.9], 10)
    clicks = np.tile([True, False], 10)
    assert quality(probability, clicks).calibration_error == pytest.approx(0.4)
    assert quality(np.full(20, 0.5), clicks).calibration_error == pytest.approx(0.0)


def test_calibration_error_of_fewer_answers_than_groups():
    # Three groups of one: |0.2 - 0| + |0.6 - 1| + |0.7 - 1| over three.
    found = quality(np.array([0.2, 0.7, 0.6]), np.array([False, True, True]))
    assert found.calibration_error == pytest.approx(0.3)


def test_certainties_stay_finite_and_answers_that_are_all_alike_have_no_auc():
    found = quality(np.array([0.0, 1.0], np.float32), np.array([True, True]))
    assert np.isfinite(found.log_loss)
    assert np.isnan(found.auc)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        str(found)


def test_rows_are_for_people():
    found = quality(np.array([0.2, 0.7]), np.array([False, True]))
    rows = dict(report_rows(found, found, "last fifth"))
    assert rows["held out"] == "last fifth"
    assert rows["model"] == "AUC 1.000, log loss 0.290, calibration error 0.250 on 2 answers"
