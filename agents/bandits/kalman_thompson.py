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
from typing import ClassVar

import numpy as np

from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import clocks_of
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


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


class KalmanThompson(Agent):
    """Thompson sampling on a local linear trend an item.

    Attributes:
        state: float [I, 2], expected level and slope.
        covariance: float [I, 2, 2], of level and slope.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True)
    Config = KalmanThompsonConfig

    def __init__(self, problem: Problem, config: KalmanThompsonConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.state: FloatArray = np.zeros((self.items, 2))
        self.state[:, 0] = self.config.prior_mean
        self.covariance: FloatArray = np.zeros((self.items, 2, 2))
        self.covariance[:, 0, 0] = self.config.prior_deviation**2
        self.now = -1
        self.noise: FloatArray = np.full(self.items, 0.25)  # variance of an answer in the tick under way
        self._set_noise()

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the best of a draw a lane; ``explore=False`` takes the expected levels."""
        clock = observation.get("clock")
        self._advance(self.now + 1 if clock is None else int(clock.max()))
        level = self.state[:, 0]
        if not explore:
            return self.choose(level, observation, allowed)
        spread = self.config.sharpness * np.sqrt(self.covariance[:, 0, 0])
        draws = level + spread * self.rng.standard_normal((lanes_of(observation), self.items))
        return self.choose(draws, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Filter the answers, tick by tick."""
        if not len(transitions):
            return
        clocks = clocks_of(transitions)
        for clock in np.unique(clocks):
            rows = transitions[clocks == clock]
            self._advance(int(clock))
            shown, answers = rows.items[rows.observed], rows.responses[rows.observed]
            count = np.bincount(shown, minlength=self.items)
            total = np.bincount(shown, weights=answers, minlength=self.items)
            seen = np.flatnonzero(count)
            self._correct(seen, total[seen] / count[seen], count[seen], self.now - int(clock))

    def _advance(self, now: int) -> None:
        """Let time pass up to ``now``, tick by tick."""
        config = self.config
        step = np.array([[1.0, 1.0], [0.0, config.damping]])
        drift = np.diag([config.level_drift**2, config.slope_drift**2])
        for _ in range(now - self.now if self.now >= 0 else 0):
            self.state = self.state @ step.T
            self.covariance = step @ self.covariance @ step.T + drift
        if now > self.now:
            self.now = now
            self._set_noise()

    def _correct(self, items: IntArray, mean: FloatArray, count: IntArray, age: int) -> None:
        """Update ``items`` [M] with the mean [M] of ``count`` [M] answers, ``age`` ticks old."""
        look = np.array([1.0, -float(age)])
        late = age * (self.config.level_drift**2 + age * self.config.slope_drift**2)
        gain = self.covariance[items] @ look  # [M, 2]
        variance = gain @ look + self.noise[items] / count + late
        surprise = mean - self.state[items] @ look
        self.state[items] += gain * (surprise / variance)[:, None]
        self.covariance[items] -= gain[:, :, None] * gain[:, None, :] / variance[:, None, None]

    def _set_noise(self) -> None:
        level = np.clip(self.state[:, 0], 0.05, 0.95)
        self.noise = level * (1 - level)
