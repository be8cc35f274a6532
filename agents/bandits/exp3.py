"""Exp3, and Exp3.M for slates: exponential weights, for users who may change their minds at will.

``P(i in slate) = K ((1 - gamma) w[i] / sum_j w[j] + gamma / I)``, ``w[i] = exp(gamma K G[i] / I)``, capped so that no
``P`` is above 1, ``G[i] = sum of response / P(i)`` over the showings of i, with the ``P`` that it was shown with

Source: Auer, Cesa-Bianchi, Freund and Schapire 2002; for slates Uchiya, Nakamura and Kudo 2010. Departures: (1) N
users are decided with the same weights, and their feedback is added when it comes, each with the probability of its
own decision, which comes back with it: G stays unbiased after any delay; (2) slates are drawn by systematic sampling,
in random order, so that the probability of the whole slate is known too, not only that of each item; (3) an item at
the cap goes on learning; (4) under a mask P is that of the allowed items alone, and an item that could not be shown
gains nothing in that round; (5) with a discount or a window G forgets.

Where the probability of a decision is unknown (``log_probability`` is None, or for slates the extra ``inclusion`` is
missing) that of the weights at hand is taken, all items allowed. This is right for feedback that comes before the
next ``observe``, and a bias for logs of another policy: give their probabilities.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.forgetting import Evidence, Forgetting
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

INCLUSION = "inclusion"
"""Name of the extra of a slate's decision: float [N, K], the probability that each item was in the slate."""

LEAST = 1e-100
"""Probability below which a response divided by it would swallow all others, and weight that counts as none."""

MARGIN = 1e-9
"""Distance of a draw from 0 and 1, so that rounding of cumulated probabilities names no item twice."""


@dataclass(frozen=True)
class Exp3Config:
    """Options of ``Exp3``.

    Attributes:
        gamma: Share of uniformly random decisions, and I / K times the step of the weights, > 0 to 1.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    gamma: float = 0.1
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 < self.gamma <= 1, "gamma", self.gamma, "more than 0, at most 1")


class Exp3(Agent):
    """Exponential weights for exploration and exploitation."""

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, propensities=True)
    Config = Exp3Config

    def __init__(self, problem: Problem, config: Exp3Config | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        self.evidence = Evidence((self.items, 1), Forgetting(self.config.discount, self.config.window))

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Draw by exponential weights, lane by lane; ``explore=False`` takes the largest estimated gains."""
        self.evidence.look(observation)
        if not explore:
            return self._with_inclusion(self.choose(self.gains, observation, allowed), None)
        gains, candidates = self.restrict(self.gains[None], allowed)  # [1, I] or [N, C]
        inclusion = self.inclusion(gains)
        slates, log_probability = _systematic(inclusion, lanes_of(observation), self.problem.slate_size, self.rng)
        rows = np.broadcast_to(inclusion, (len(slates), inclusion.shape[1]))
        decision = self.decide(slates, log_probability, candidates)
        return self._with_inclusion(decision, np.take_along_axis(rows, slates, axis=1))

    def observe(self, transitions: Transitions) -> None:
        """Add up responses divided by the probability that their item was shown with.

        Raises:
            InvalidInput: A response outside 0..1, or a probability that is none; then nothing is added.
        """
        shown, responses, observed = transitions.items, transitions.responses, transitions.observed
        wrong = observed & ~((responses >= 0) & (responses <= 1))
        if wrong.any():
            raise InvalidInput(f"a response is {responses[wrong][0]}; allowed: 0 to 1. Scale the reward first")
        probability = self._shown_with(transitions.decision, shown)  # [B, K]
        for clock, rows in self.evidence.split(transitions):
            seen = observed[rows]
            items = shown[rows][seen]
            estimates = responses[rows][seen] / probability[rows][seen]
            sums = np.bincount(items, weights=estimates, minlength=self.items).astype(np.float64)
            counted = np.flatnonzero(np.bincount(items, minlength=self.items))
            self.evidence.add(clock, counted, sums[counted, None])

    @property
    def gains(self) -> FloatArray:
        """float [I], G: the estimated sum of responses that each item would have got."""
        return self.evidence.total[:, 0]

    def inclusion(self, gains: FloatArray) -> FloatArray:
        """Return the probability that each column is in the slate, [N, C], zero where gains are minus infinity."""
        slate_size, gamma = self.problem.slate_size, self.config.gamma
        possible = gains > -np.inf
        count = possible.sum(axis=1, keepdims=True)
        step = gamma * slate_size / self.items
        weights = np.maximum(np.exp(step * (gains - gains.max(axis=1, keepdims=True))), LEAST)
        weights = np.where(possible, weights, 0.0)
        shares = weights / weights.sum(axis=1, keepdims=True)
        if slate_size > 1 and gamma < 1:
            shares = _capped(shares, (1 / slate_size - gamma / count) / (1 - gamma), slate_size)
        return np.where(possible, slate_size * ((1 - gamma) * shares + gamma / count), 0.0)

    def _shown_with(self, decision: Decision, shown: IntArray) -> FloatArray:
        """Return the probabilities that items ``shown`` [B, K] were shown with, or raise InvalidInput."""
        known: FloatArray | None = decision.extras.get(INCLUSION)
        if self.problem.slate_size == 1 and decision.log_probability is not None:
            known = np.exp(decision.log_probability)[:, None]
        if known is None:
            known = self.inclusion(self.gains[None])[0][shown]
        wrong = ~((known >= LEAST) & (known <= 1 + 1e-9))
        if wrong.any():
            raise InvalidInput(f"a decision has the probability {known[wrong][0]}; allowed: {LEAST} to 1")
        return known

    def _with_inclusion(self, decision: Decision, inclusion: FloatArray | None) -> Decision:
        """Return the decision; a slate's with the probabilities [N, K] of its items, 1 where None was drawn."""
        if self.problem.slate_size == 1:
            return decision
        known = np.ones(decision.action.shape) if inclusion is None else inclusion
        return replace(decision, extras={INCLUSION: known})


def _capped(shares: FloatArray, cap: FloatArray, slate_size: int) -> FloatArray:
    """Return shares [N, C] of which none is above cap [N, 1], the rest in proportion; rows add up to 1."""
    over = np.zeros(shares.shape, bool)
    for _ in range(slate_size):  # each round caps one more item at least, and there is room for K at most
        more = over | (shares > cap * (1 + 1e-12))
        if (more == over).all():
            break
        over = more
        free = 1 - cap * over.sum(axis=1, keepdims=True)
        rest = np.where(over, 0.0, shares)
        left = rest.sum(axis=1, keepdims=True)
        shares = np.where(over, cap, rest * np.maximum(free, 0.0) / np.where(left > 0, left, 1.0))
    return shares


def _systematic(
    inclusion: FloatArray, lanes: int, slate_size: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Draw slates in which each column is with its probability; return them and their log-probability.

    Probabilities are laid end to end on a line of length K; a uniform u picks what lies at u, u + 1, .., u + K - 1
    (Madow 1949). No other u between the nearest ends of the K stretches gives the same set, so how far these are apart
    is its probability.

    Args:
        inclusion: float [N, C] or [1, C], rows add up to K.
        lanes: N.
        slate_size: K.
        rng: Draws.
    """
    ends = np.cumsum(inclusion, axis=1)
    ends = ends / ends[:, -1:] * slate_size
    u = MARGIN + (1 - 2 * MARGIN) * rng.random((lanes, 1))
    places = np.arange(slate_size)
    if len(ends) == 1:
        slates = np.searchsorted(ends[0], u + places, side="right")
    else:
        slates = np.column_stack([(ends <= u + place).sum(axis=1) for place in places])
    rows = np.broadcast_to(ends, (lanes, ends.shape[1]))
    high = np.take_along_axis(rows, slates, axis=1) - places
    low = np.where(slates > 0, np.take_along_axis(rows, np.maximum(slates - 1, 0), axis=1), 0.0) - places
    width = np.minimum(high.min(axis=1), 1.0) - np.maximum(low.max(axis=1), 0.0)
    log_probability = np.log(np.clip(width, 1e-300, 1.0)) - math.lgamma(slate_size + 1)
    return rng.permuted(slates, axis=1) if slate_size > 1 else slates, log_probability
