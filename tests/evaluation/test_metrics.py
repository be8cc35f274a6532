"""Intervals, curves and scales against closed forms."""

import numpy as np
import pytest
from scipy import stats

from smartrec.core.errors import InvalidInput
from smartrec.evaluation import mean_interval
from smartrec.evaluation.metrics import MOST_POINTS, Ledger, curve_points, normalised


def test_the_interval_is_students():
    values = [1.0, 2.0, 4.0, 8.0]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    interval = mean_interval(values)
    assert interval.mean - interval.half_width == pytest.approx(low)
    assert interval.mean + interval.half_width == pytest.approx(high)


def test_intervals_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    inside = [abs((i := mean_interval(row)).mean) <= i.half_width for row in rng.normal(size=(2000, 10)).tolist()]
    assert abs(np.mean(inside) - 0.95) < 0.015


def test_one_value_has_no_interval_and_none_is_an_error():
    assert mean_interval([3.0]).text() == "3.000"
    assert mean_interval([3.0]).half_width == np.inf
    with pytest.raises(InvalidInput, match="at least one"):
        mean_interval([])


def test_the_scale_runs_from_random_to_the_oracle():
    assert normalised(0.4, 0.4, 0.8) == 0.0
    assert normalised(0.8, 0.4, 0.8) == 1.0
    assert normalised(0.2, 0.4, 0.8) == pytest.approx(-0.5)
    assert normalised(0.5, 0.5, 0.5) == 1.0


def test_curves_have_every_iteration_or_log_spaced_ones():
    assert curve_points(30).tolist() == list(range(1, 31))
    points = curve_points(10_000)
    assert len(points) <= MOST_POINTS
    assert (points[0], points[-1]) == (1, 10_000)
    assert (np.diff(points) > 0).all()


def test_curve_rows_are_means_since_the_point_before():
    ledger = Ledger.of(6)
    ledger.reward[:] = [1, 0, 1, 1, 0, 0]
    ledger.expected[:] = 0.5
    ledger.best[:] = 0.75
    ledger.random[:] = 0.25
    assert ledger.curve(3) == [
        [2, 0.5, 0.5, 0.75, 0.25, 0.5],
        [4, 1.0, 0.5, 0.75, 0.25, 1.0],
        [6, 0.0, 0.5, 0.75, 0.25, 1.5],
    ]
    assert ledger.regret == pytest.approx(1.5)
    assert ledger.normalised == pytest.approx(0.5)
