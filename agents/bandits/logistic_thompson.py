"""Thompson sampling with a logistic regression an item and Laplace's approximation of its posterior.

``theta_i = argmax sum w [r ln p + (1 - r) ln (1 - p)] - ridge / 2 |theta|^2``, ``p = sigmoid(theta . x)``,
``H_i = ridge I + sum w p (1 - p) x x'``, ``draw logit[n, i] ~ N(theta_i . x_n, v^2 x_n' H_i^-1 x_n)``,
``slate[n] = top K of logit[n]``

Source: Chapelle and Li 2011, algorithm 3. Departures: (1) the mode is found by Newton's method on a bounded experience
and not by one pass with the last posterior as prior, so that it is exact and can forget: discount and window weigh
showings by their age; (2) H is a full matrix, theirs is diagonal; (3) logits are drawn in place of weights, which for
one user and independent items is the same law; every user gets a draw of his own; (4) ``explore=False`` takes the
posterior mean of the click rate by MacKay's formula, ``theta . x / sqrt(1 + pi / 8 x' H^-1 x)``.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from smartrec.agents.bandits.experience import Experience, Showings
from smartrec.agents.bandits.linear import BLOCK, Scorer, sums_by_item, user_rows
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

MOST_STEPS, MOST_HALVINGS, SMALL_STEP = 50, 30, 1e-9
"""Newton's method ends at a step smaller than this; it needs about six from nothing and one or two from the last
mode."""

LEAST_CURVATURE = 1e-12
"""p (1 - p) below this divides by zero."""


@dataclass(frozen=True)
class LogisticThompsonConfig:
    """Options of ``LogisticThompson``.

    Attributes:
        v: Width of the draws, in standard deviations of the posterior, >= 0.
        ridge: Precision of the Gaussian prior of each weight, > 0.
        intercept: Whether each item has a base rate beside its weights.
        refit: Showings between two fits, >= 1.
        experience: Most showings kept, >= 1.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    v: float = 0.5
    ridge: float = 1.0
    intercept: bool = True
    refit: int = 1
    experience: int = 100_000
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(self.v >= 0, "v", self.v, "a number >= 0")
        require(self.ridge > 0, "ridge", self.ridge, "a number > 0")
        require(self.refit >= 1, "refit", self.refit, "a whole number >= 1")
        require(self.experience >= 1, "experience", self.experience, "a whole number >= 1")


class LogisticModels:
    """One logistic regression an item.

    Args:
        items: I.
        d: D, number of weights an item.
        ridge: Precision of the prior, > 0.

    Attributes:
        scorer: Modes, and inverses of H.
    """

    def __init__(self, items: int, d: int, ridge: float) -> None:
        self.scorer = Scorer(items, d)
        self._center = np.zeros((items, d))
        self._precision = np.tile(ridge * np.eye(d), (items, 1, 1))
        self._shown = np.zeros(items)
        self._ridge = ridge
        self.scorer.put(np.arange(items), self._center, np.linalg.inv(self._precision))

    def fit(self, fresh: BoolArray, showings: Showings, weights: FloatArray) -> None:
        """Find the modes of the items in ``fresh`` [I], from showings and their weights [R]."""
        chosen = np.flatnonzero(fresh)
        rows = np.flatnonzero(fresh[showings.items])
        place = np.cumsum(fresh) - 1  # of an item among the chosen
        x, items = showings.x[rows], place[showings.items[rows]]
        responses, weights = showings.responses[rows], weights[rows]
        center, precision = self._center[chosen], self._precision[chosen]
        theta: FloatArray = self.scorer.theta[chosen]

        def loss(theta: FloatArray) -> FloatArray:
            logits = np.einsum("rd,rd->r", x, theta[items])
            rows = weights * (np.logaddexp(0.0, logits) - responses * logits)
            off = theta - center
            prior = np.einsum("md,mde,me->m", off, precision, off) / 2
            total: FloatArray = np.bincount(items, weights=rows, minlength=len(chosen)) + prior
            return total

        for _ in range(MOST_STEPS):
            hessian, gradient = _derivatives(x, items, responses, weights, theta)
            hessian += precision
            gradient -= np.matmul(precision, (theta - center)[:, :, None])[:, :, 0]
            step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
            theta = theta + _damped(step, theta, loss)
            if np.abs(step).max(initial=0.0) < SMALL_STEP:
                break
        hessian, _ = _derivatives(x, items, responses, weights, theta)
        self._shown[chosen] = np.bincount(items, weights=weights, minlength=len(chosen))
        self.scorer.put(chosen, theta, np.linalg.inv(hessian + precision))

    def grow(self, came: NewItems) -> None:
        """Take in items that come; their priors are centered where the modes of the known ones say that such
        features lie, with the precision of ``came.weight`` showings of even chance.
        """
        d = self._center.shape[1]
        center: FloatArray = np.zeros((came.count, d))
        precision = np.tile(self._ridge * np.eye(d), (came.count, 1, 1))
        predicted = came.predict(self.scorer.theta, self._shown)
        if predicted is not None:
            center = predicted
            precision += came.weight / 4 * np.eye(d)
        known = len(self._center)
        self._center = np.concatenate([self._center, center])
        self._precision = np.concatenate([self._precision, precision])
        self._shown = np.concatenate([self._shown, np.zeros(came.count)])
        self.scorer.grow(came)
        self.scorer.put(np.arange(known, known + came.count), center, np.linalg.inv(precision))

    def get_state(self) -> dict[str, Any]:
        """Return arrays that ``set_state`` reads."""
        own = {"center": self._center, "precision": self._precision, "shown": self._shown}
        return {**own, **self.scorer.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self._center, self._precision, self._shown = state["center"], state["precision"], state["shown"]
        self.scorer.set_state(state)


class LogisticThompson(Agent):
    """Thompson sampling on logistic regressions.

    Attributes:
        models: The regressions; ``models.scorer.theta`` [I, D] holds the modes, the intercept first.
        experience: The showings that they are fitted to.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, needs_features=True)
    Config = LogisticThompsonConfig

    def __init__(self, problem: Problem, config: LogisticThompsonConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        d = problem.user_features + self.config.intercept
        forgetting = Forgetting(self.config.discount, self.config.window)
        self.experience = Experience(self.config.experience, d, forgetting)
        self.models = LogisticModels(self.items, d, self.config.ridge)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the best of a draw a lane; ``explore=False`` takes the posterior means."""
        if self.experience.look(observation) and self.experience.ages and len(self.experience.old.items):
            self._fit()
        x = user_rows(self.problem, observation, self.config.intercept).astype(np.float32)  # [N, D]
        logits, variances = self.models.scorer.means(x), self.models.scorer.variances(x)  # [N, I]
        if explore:
            spread = np.sqrt(variances, out=variances)
            logits += self.config.v * spread * self.rng.standard_normal(spread.shape, np.float32)
        else:
            logits /= np.sqrt(1 + np.float32(np.pi / 8) * variances)
        return self.choose(logits, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Keep the showings.

        Raises:
            InvalidInput: A feature is not finite, or a response outside 0..1; then nothing is kept.
        """
        self.experience.record(transitions, user_rows(self.problem, transitions.observation, self.config.intercept))

    def update(self) -> dict[str, float]:
        """Fit the items that got feedback, once ``refit`` showings have come."""
        if self.experience.fresh >= self.config.refit:
            self._fit()
        return {}

    def _fit(self) -> None:
        before = np.bincount(self.experience.old.items, minlength=self.items)
        came = np.zeros(self.items, bool)
        came[self.experience.fresh_items()] = True
        showings = self.experience.settle()
        # What fell out of a bounded experience changes its items too; with forgetting, everything changes.
        lost = before > np.bincount(showings.items, minlength=self.items)
        fresh = (before > 0) | came if self.experience.ages else came | lost
        self.models.fit(fresh, showings, self.experience.weights())


def _derivatives(
    x: FloatArray, items: IntArray, responses: FloatArray, weights: FloatArray, theta: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the curvature [M, D, D] and slope [M, D] of the weighted log-likelihood, its sign turned for the first."""
    count, d = theta.shape
    rows, columns = np.triu_indices(d + 1)
    triangles = np.zeros((count, len(rows)))
    for start in range(0, len(items), BLOCK):
        part = slice(start, start + BLOCK)
        p = 1 / (1 + np.exp(-np.clip(np.einsum("rd,rd->r", x[part], theta[items[part]]), -500, 500)))
        root = np.sqrt(weights[part] * np.maximum(p * (1 - p), LEAST_CURVATURE))
        # Products of z = [root x, residual / root] are both sums at once.
        residual = weights[part] * (responses[part] - p) / root
        different, sums = sums_by_item(items[part], root[:, None] * x[part], residual)
        triangles[different] += sums
    full = np.empty((count, d + 1, d + 1))
    full[:, rows, columns] = full[:, columns, rows] = triangles
    return full[:, :d, :d], full[:, :d, d]


def _damped(step: FloatArray, theta: FloatArray, loss: Any) -> FloatArray:
    """Return Newton's step [M, D], halved for each item until its loss does not rise."""
    before, step = loss(theta), step.copy()
    for _ in range(MOST_HALVINGS):
        worse = loss(theta + step) > before + 1e-12 * np.abs(before)
        if not worse.any():
            break
        step[worse] /= 2
    return step
