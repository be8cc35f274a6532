"""From a recommender's scores, or its factors, to slates: five ways to explore, written once for all of them.

Over scores: ``greedy``, ``epsilon`` and ``softmax``. Scores of factors and of neighbours are no probabilities, so
``softmax`` takes them in standard deviations of the lane's own candidates. Over factors: ``thompson`` and ``ucb``, by
a Bayesian regression of each user's responses on the item factors f_i, beside the item's click rate b_i:

``response = b_i + f_i . theta_u + noise``, ``A_u = ridge I + sum n_ui f_i f_i'``,
``theta_u ~ N(A_u^-1 sum f_i (clicks_ui - n_ui b_i), noise^2 A_u^-1)``, ``b_i ~ N(rate_i, noise^2 / (n_i + weight))``
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from smartrec.agents import exploration
from smartrec.agents.base import Agent, lanes_of
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core.arrays import FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision

WAYS = ("greedy", "epsilon", "softmax", "thompson", "ucb")


@dataclass(frozen=True)
class Exploring:
    """Options of every recommender that explores.

    Attributes:
        exploration: "greedy", "epsilon" or "softmax" over scores, "thompson" or "ucb" over factors.
        epsilon: Share of slates that are uniformly random, 0..1; for "epsilon".
        temperature: Of "softmax", in standard deviations of a lane's scores, > 0; the smaller, the greedier.
        width: Of draws and bounds, in standard deviations of the posterior, >= 0; for "thompson" and "ucb".
        ridge: Showings of an item of ordinary size that the prior of a user's taste counts for, > 0.
        weight: Showings that the mean click rate counts for in an item's own, > 0.
        refit_every: Transitions after which it is fitted anew, >= 1; earlier where they are a quarter of all.
    """

    exploration: Literal["greedy", "epsilon", "softmax", "thompson", "ucb"] = "epsilon"
    epsilon: float = 0.1
    temperature: float = 0.25
    width: float = 0.5
    ridge: float = 10.0
    weight: float = 10.0
    refit_every: int = 1000

    def __post_init__(self) -> None:
        require(self.exploration in WAYS, "exploration", self.exploration, ", ".join(map(repr, WAYS)))
        require(0 <= self.epsilon <= 1, "epsilon", self.epsilon, "0 to 1")
        require(0 < self.temperature < np.inf, "temperature", self.temperature, "a finite number > 0")
        require(0 <= self.width < np.inf, "width", self.width, "a finite number >= 0")
        require(0 < self.ridge < np.inf, "ridge", self.ridge, "a finite number > 0")
        require(0 < self.weight < np.inf, "weight", self.weight, "a finite number > 0")
        require(self.refit_every >= 1, "refit_every", self.refit_every, "a whole number >= 1")

    @property
    def over_factors(self) -> bool:
        """Whether slates come from factors, and not from the recommender's own scores."""
        return self.exploration in ("thompson", "ucb")


def decide(
    agent: Agent, scores: FloatArray, observation: Observation, allowed: Candidates | None, explore: bool
) -> Decision:
    """Return slates by ``scores``, explored as ``agent.config`` says, with the propensity where it is known.

    It is known but for draws from a posterior.

    Args:
        agent: With an ``Exploring`` as its options.
        scores: float [N, I]; under "thompson" and "ucb" those of ``head_scores``.
        observation: Arrays [N, ...].
        allowed: Candidates, or None for all.
        explore: False takes the best, ties at random.

    Raises:
        InvalidAction: A lane has fewer candidates than a slate needs.
    """
    options: Exploring = agent.config
    scores, candidates = agent.restrict(scores, allowed)
    lanes, size, rng = lanes_of(observation), agent.problem.slate_size, agent.rng
    if explore and options.exploration == "epsilon":
        slates, known = exploration.epsilon_greedy(scores, lanes, size, options.epsilon, rng)
    elif explore and options.exploration == "softmax":
        slates, known = exploration.proportional(softmax_weights(scores, options.temperature), lanes, size, rng)
    else:
        slates, known = exploration.best(scores, lanes, size, rng)
    drawn = explore and options.exploration == "thompson"
    return agent.decide(slates, None if drawn else known, candidates)


def softmax_weights(scores: FloatArray, temperature: float) -> FloatArray:
    """Return ``exp(z / temperature)``, z the scores in standard deviations of their row; the row's largest is 1.

    Args:
        scores: float [N, C]; minus infinity where a column may not be chosen, and stays so.
        temperature: > 0.
    """
    possible = scores > -np.inf
    values = np.where(possible, scores, 0.0).astype(np.float64)
    count = possible.sum(axis=1, keepdims=True)
    centred = np.where(possible, values - values.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    # Equal scores differ by rounding alone, which no standard deviation may blow up.
    size = np.abs(values).max(axis=1, keepdims=True)
    z = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > exploration.RELATIVE_TIE_SINGLE * size)
    top = np.where(possible, z, -np.inf).max(axis=1, keepdims=True)
    return np.where(possible, np.exp((z - top) / temperature), -np.inf)


def head_scores(
    options: Exploring,
    feedback: Feedback,
    factors: FloatArray,
    users: IntArray,
    rng: np.random.Generator | None,
) -> FloatArray:
    """Return draws or bounds of the click rates by each user's regression on the item factors, float [N, I].

    A user without feedback has the prior's taste: none, so that the items' click rates decide.

    Args:
        options: Way, width and prior.
        feedback: Of all users.
        factors: float [I, F], of any size.
        users: int [N].
        rng: Draws; None asks for the means.
    """
    rates, shown = feedback.rates(options.weight)
    noise = float(np.sqrt(np.mean(rates * (1 - rates))))
    base = noise / np.sqrt(shown + options.weight)  # [I], standard deviations of the click rates
    scaled = _scaled(factors)
    means, covariance = heads(*feedback.rows(users), scaled, rates, options.ridge)
    scores: FloatArray = rates + means @ scaled.T  # [N, I]
    if rng is None:
        return scores
    if options.exploration == "ucb":
        squares = (scaled[:, :, None] * scaled[:, None]).reshape(len(scaled), -1)  # [I, F F]
        variance = covariance.reshape(len(users), -1) @ squares.T  # [N, I]
        scores += options.width * np.sqrt(noise**2 * np.maximum(variance, 0.0) + base**2)
        return scores
    tastes = noise * np.einsum("nfg,ng->nf", np.linalg.cholesky(covariance), rng.standard_normal(means.shape))
    scores += options.width * (tastes @ scaled.T + base * rng.standard_normal(scores.shape))
    return scores


def heads(
    shown: csr_matrix, clicks: csr_matrix, factors: FloatArray, rates: FloatArray, ridge: float
) -> tuple[FloatArray, FloatArray]:
    """Return the posteriors of the users' tastes, in units of the noise.

    Args:
        shown: float [N, I], showings.
        clicks: float [N, I], sums of responses.
        factors: float [I, F].
        rates: float [I], what is expected without a taste.
        ridge: Diagonal of ``A`` before any feedback, > 0.

    Returns:
        Means float [N, F], and covariances divided by noise^2, float [N, F, F].
    """
    size = factors.shape[1]
    upper = np.triu_indices(size)
    precision = np.empty((shown.shape[0], size, size))
    sums = shown @ (factors[:, upper[0]] * factors[:, upper[1]])  # [N, F (F + 1) / 2]
    precision[:, upper[0], upper[1]] = precision[:, upper[1], upper[0]] = sums
    precision[:, np.arange(size), np.arange(size)] += ridge
    covariance = np.linalg.inv(precision)
    surprise = clicks @ factors - shown @ (rates[:, None] * factors)  # [N, F]
    return np.einsum("nfg,ng->nf", covariance, surprise), covariance


def _scaled(factors: FloatArray) -> FloatArray:
    """Return factors in double precision, of mean square length 1 over the items that have any."""
    squares = (factors.astype(np.float64) ** 2).sum(axis=1)
    length = np.sqrt(squares[squares > 0].mean()) if squares.any() else 1.0
    return factors / length
