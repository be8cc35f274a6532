"""Thompson sampling on click rates that move: a level and a slope an item, followed by a Kalman filter.

Between ticks ``level += slope + N(0, level_drift^2)``, ``slope = damping * slope + N(0, slope_drift^2)``; an answer
is ``level + N(0, p (1 - p))``. ``draw p[n, i] ~ N(level[i], (sharpness sd[i])^2)``, ``slate[n] = top K of p[n]``.

The uncertainty of an item that is not shown grows, so it is tried again; the slope lets what rises be expected before
it is seen. Source: the local linear trend model (West and Harrison 1997, chapter 7) with the posterior draws of
Thompson 1933; for restless bandits, Gupta, Granmo and Agrawala 2011. Departures: (1) p in the variance of an answer is
the level expected at the beginning of the tick, kept within 0.05 .. 0.95, so that the filter gives the same result in
one batch and in many; (2) an answer that comes late is one on the level of its tick, ``level - age * slope``, with the
drift since then as further noise; (3) ``sharpness`` below 1 draws nearer to the level than the posterior does.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import clocks_of
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

LEAST = 1e-12
"""Variance of a level below this divides by zero."""


@dataclass(frozen=True)
class KalmanThompsonConfig:
    """Options of ``KalmanThompson``.

    Attributes:
        level_drift: Standard deviation of a tick's change of a level, in clicks, >= 0.
        slope_drift: Standard deviation of a tick's change of a slope, in clicks a tick, >= 0.
        damping: Share of a slope that is left a tick later, 0..1.
        sharpness: Factor on the standard deviation of the draws, > 0; 1 is Thompson sampling.
        prior_mean: Level before any answer, in clicks.
        prior_deviation: Its standard deviation, in clicks, > 0.
    """

    level_drift: float = 0.03
    slope_drift: float = 0.03
    damping: float = 0.7
    sharpness: float = 0.5
    prior_mean: float = 0.5
    prior_deviation: float = 0.28

    def __post_init__(self) -> None:
        for name in ("level_drift", "slope_drift"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "a number >= 0")
        require(0 <= self.damping <= 1, "damping", self.damping, "0 to 1")
        for name in ("sharpness", "prior_deviation"):
            require(getattr(self, name) > 0, name, getattr(self, name), "a number > 0")


class Trends:
    """A level and a slope an item, as far as they are known.

    Args:
        items: I.
        config: Drift and prior.

    Attributes:
        state: float [I, 2], expected level and slope.
        covariance: float [I, 2, 2], of level and slope.
        now: The latest tick; -1 before the first.
        noise: float [I], variance of an answer in the tick under way.
    """

    def __init__(self, items: int, config: KalmanThompsonConfig) -> None:
        self._config = config
        self.now = -1
        self.state, self.covariance = self._prior(items)
        self.noise: FloatArray = _noise(self.level)

    @property
    def level(self) -> FloatArray:
        """float [I], expected levels."""
        return self.state[:, 0]

    @property
    def variance(self) -> FloatArray:
        """float [I], of the levels."""
        return self.covariance[:, 0, 0]

    def advance(self, now: int) -> None:
        """Let time pass up to ``now``, tick by tick."""
        config = self._config
        step = np.array([[1.0, 1.0], [0.0, config.damping]])
        drift = np.diag([config.level_drift**2, config.slope_drift**2])
        for _ in range(now - self.now if self.now >= 0 else 0):
            self.state = self.state @ step.T
            self.covariance = step @ self.covariance @ step.T + drift
        if now > self.now:
            self.now = now
            self.noise = _noise(self.level)

    def correct(self, items: IntArray, mean: FloatArray, count: IntArray, age: int) -> None:
        """Update ``items`` [M] with the mean [M] of ``count`` [M] answers, ``age`` ticks old."""
        look = np.array([1.0, -float(age)])
        late = age * (self._config.level_drift**2 + age * self._config.slope_drift**2)
        gain = self.covariance[items] @ look  # [M, 2]
        variance = gain @ look + self.noise[items] / count + late
        surprise = mean - self.state[items] @ look
        self.state[items] += gain * (surprise / variance)[:, None]
        self.covariance[items] -= gain[:, :, None] * gain[:, None, :] / variance[:, None, None]

    def grow(self, came: NewItems) -> None:
        """Take in items that come; their levels are at first what those of the known ones say of such features, as
        if ``came.weight`` answers had been seen.
        """
        state, covariance = self._prior(came.count)
        # An item counts by the answers that would leave as much doubt about its level as there is now.
        prior = 1 / self._config.prior_deviation**2
        answers = np.maximum(self.noise * (1 / np.maximum(self.variance, LEAST) - prior), 0.0)
        levels = came.predict(self.level[:, None], answers)
        if levels is not None:
            state[:, 0] = np.clip(levels[:, 0], 0.0, 1.0)
            covariance[:, 0, 0] = 1 / (prior + came.weight / _noise(state[:, 0]))
        self.state = np.concatenate([self.state, state])
        self.covariance = np.concatenate([self.covariance, covariance])
        self.noise = np.concatenate([self.noise, _noise(state[:, 0])])

    def get_state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``set_state`` reads."""
        return {"state": self.state, "covariance": self.covariance, "now": self.now, "noise": self.noise}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.state, self.covariance, self.noise = state["state"], state["covariance"], state["noise"]
        self.now = int(state["now"])

    def _prior(self, items: int) -> tuple[FloatArray, FloatArray]:
        state, covariance = np.zeros((items, 2)), np.zeros((items, 2, 2))
        state[:, 0], covariance[:, 0, 0] = self._config.prior_mean, self._config.prior_deviation**2
        return state, covariance


class KalmanThompson(Agent):
    """Thompson sampling on a local linear trend an item.

    Attributes:
        trends: Levels and slopes.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True)
    Config = KalmanThompsonConfig

    def __init__(self, problem: Problem, config: KalmanThompsonConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.trends = Trends(self.items, self.config)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the best of a draw a lane; ``explore=False`` takes the expected levels."""
        clock, trends = observation.get("clock"), self.trends
        trends.advance(trends.now + 1 if clock is None else int(clock.max()))
        if not explore:
            return self.choose(trends.level, observation, allowed)
        spread = self.config.sharpness * np.sqrt(trends.variance)
        draws = trends.level + spread * self.rng.standard_normal((lanes_of(observation), self.items))
        return self.choose(draws, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Filter the answers, tick by tick."""
        if not len(transitions):
            return
        clocks, trends = clocks_of(transitions), self.trends
        for clock in np.unique(clocks):
            rows = transitions[clocks == clock]
            trends.advance(int(clock))
            shown, answers = rows.items[rows.observed], rows.responses[rows.observed]
            count = np.bincount(shown, minlength=self.items)
            total = np.bincount(shown, weights=answers, minlength=self.items)
            seen = np.flatnonzero(count)
            trends.correct(seen, total[seen] / count[seen], count[seen], trends.now - int(clock))


def _noise(level: FloatArray) -> FloatArray:
    """Return the variance of an answer at ``level`` [I]."""
    level = np.clip(level, 0.05, 0.95)
    return level * (1 - level)
