"""From probabilities to what users do: the only place where dice are rolled, and they are handed in."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.response_models.blocks import logit
from smartrec.response_models.popularity import check_probabilities
from smartrec.response_models.slates import random_products


class Answers(NamedTuple):
    """What users did with their slates.

    Attributes:
        responses: bool [N, K].
        observed: bool [N, K], False where nobody saw the position, which is no failure of its item.
    """

    responses: BoolArray
    observed: BoolArray


class Choice(Protocol):
    """How a user goes through a slate. Scores of minus infinity stand for items that may not be shown."""

    @property
    def skips(self) -> bool:
        """Whether positions may go unseen."""

    @property
    def additive(self) -> bool:
        """Whether expected responses to a slate are the sum of its probabilities."""

    def respond(self, probability: FloatArray, uniforms: FloatArray) -> Answers:
        """Return responses and observed, from probabilities [N, K] and uniforms [N, K] in [0, 1)."""

    def expected(self, probability: FloatArray) -> FloatArray:
        """Return float [N], expected number of responses to slates of ``probability`` [N, K]."""

    def best(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return float [N], expected number of responses to the best slate out of ``scores`` [N, I]."""

    def random(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return float [N], expected number of responses to a uniformly random slate out of ``scores`` [N, I]."""


class Independent:
    """Each position is judged by itself, ``response = uniform < probability``: Sim4Rec's Bernoulli response."""

    skips = False
    additive = True

    def respond(self, probability: FloatArray, uniforms: FloatArray) -> Answers:
        """Return ``uniforms < probability``; all is seen."""
        return _all_seen(np.less(uniforms, probability))

    def expected(self, probability: FloatArray) -> FloatArray:
        """Return the sum over the slate, float [N]."""
        total: FloatArray = probability.sum(axis=1, dtype=np.float64)
        return total

    def best(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return the sum of the ``slate_size`` largest scores, float [N]."""
        if slate_size == 1:
            best: FloatArray = scores.max(axis=1).astype(np.float64)
            return best
        return self.expected(_largest(scores, slate_size))

    def random(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return ``slate_size`` times the mean score of the items that may be shown, float [N]."""
        allowed = scores > -np.inf
        if allowed.all():
            mean: FloatArray = scores.mean(axis=1, dtype=np.float64)
        else:
            mean = np.where(allowed, scores, 0.0).sum(axis=1, dtype=np.float64) / allowed.sum(axis=1)
        return slate_size * mean


class MultinomialLogit:
    """At most one click a slate: items and no click compete (McFadden 1974; Luce 1959).

    ``P(i) = exp(u_i) / (exp(u_0) + sum_j exp(u_j))`` with ``u_i = utility(probability_i)``. With logits and
    u_0 = 0 an item alone on its slate is clicked with its probability, and more items take from each other. Of a
    lane's uniforms the first is used. The user sees the whole slate.

    Args:
        no_click: u_0, utility of clicking nothing, finite, in logits.
        utility: From probabilities (any shape) to finite utilities, never falling; None takes the logit. A
            function of a module, so that environments can be pickled.

    Raises:
        InvalidConfig: ``no_click`` is not finite.
    """

    skips = False
    additive = False

    def __init__(self, no_click: float = 0.0, utility: Callable[[FloatArray], FloatArray] | None = None) -> None:
        require(bool(np.isfinite(no_click)), "no_click", no_click, "a finite number")
        self.no_click, self.utility = float(no_click), logit if utility is None else utility

    def respond(self, probability: FloatArray, uniforms: FloatArray) -> Answers:
        """Return at most one click a lane: where the first uniform falls among the shares of the items."""
        shares = self.shares(probability)
        ends = shares.cumsum(axis=1)
        draw = uniforms[:, :1]
        return _all_seen((draw < ends) & (draw >= np.concatenate([np.zeros_like(draw), ends[:, :-1]], axis=1)))

    def shares(self, probability: FloatArray) -> FloatArray:
        """Return P(i) of each position, float [N, K]; what is missing to 1 is no click."""
        utility = self._utility(probability)
        # Taking off the largest leaves the shares as they are and keeps exp() in range.
        top = np.maximum(utility.max(axis=1, keepdims=True), self.no_click)
        weights = np.exp(utility - top)
        shares: FloatArray = weights / (np.exp(self.no_click - top) + weights.sum(axis=1, keepdims=True))
        return shares

    def expected(self, probability: FloatArray) -> FloatArray:
        """Return the probability of a click, ``sum_i P(i)``, float [N]."""
        total: FloatArray = self.shares(probability).sum(axis=1)
        return total

    def best(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return the value of the ``slate_size`` largest scores, float [N]: P(no click) falls with each utility."""
        return self.expected(_largest(scores, slate_size))

    def random(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return the value of a random slate, float [N], right to 1e-6.

        With ``w_i = exp(u_i - u_0)`` and the sum S of a slate's w, ``P(no click) = 1 / (1 + S)``, which is the
        integral over t > 0 of ``exp(-t) prod_i exp(-t w_i)``; the mean of the product over all slates has a
        recursion (see `random_products`). With ``t = exp(x)`` the trapezoidal rule converges exponentially.
        """
        allowed = scores > -np.inf
        utility = self._utility(np.where(allowed, scores, 0.5)) - self.no_click
        # Sorted, so that what may not be shown is NaN at the end of its lane; the order of items does not matter.
        weights = np.sort(np.where(allowed, np.exp(np.minimum(utility, 700.0)), np.nan), axis=1)
        rates, found = np.exp(_NODES)[:, None], np.empty(len(scores))
        for start in range(0, len(scores), _LANES_AT_ONCE):
            block = weights[start : start + _LANES_AT_ONCE]
            columns = (np.exp(-np.minimum(rates * column, 700.0)).ravel() for column in block.T)
            products = random_products(columns, slate_size)[-1].reshape(len(_NODES), len(block))
            found[start : start + _LANES_AT_ONCE] = 1.0 - _NODE_STEP * np.exp(_NODES - np.exp(_NODES)) @ products
        return found

    def _utility(self, probability: FloatArray) -> FloatArray:
        utility = np.asarray(self.utility(probability), np.float64)
        # Of an unknown probability the utility is unknown too, and so is what is made of it.
        wrong = utility.shape != probability.shape or ~(np.isfinite(utility) | np.isnan(probability))
        if np.any(wrong):
            raise InvalidInput(
                f"utility of probabilities {probability.shape} has shape {utility.shape} and "
                f"{int(np.sum(~np.isfinite(utility)))} values that are not finite; allowed: one finite number each"
            )
        return utility


_NODE_STEP = 0.6
_NODES = np.arange(-15.0, 3.7, _NODE_STEP)
_LANES_AT_ONCE = 64
"""Few enough for the nodes' tables to stay in the processor's cache, which is several times faster."""


class Cascade:
    """The user goes down the slate and stops after a click (Craswell et al. 2008), with position bias.

    Where no position above was clicked, position k is looked at with probability ``bias[k]`` and then clicked with
    the probability p_k of its item; what is not looked at is passed over. One uniform u a position tells both:
    ``u < bias[k] p_k`` is a click, ``u < bias[k]`` a look. Positions passed over or below the click are unseen.

    Args:
        bias: Probability of looking at each position, 0..1, at least as many as a slate has; all 1 is the plain
            cascade.

    Raises:
        InvalidInput: No row of probabilities.
    """

    skips = True
    additive = False

    def __init__(self, bias: Sequence[float]) -> None:
        values = np.array(bias, np.float64)
        if values.ndim != 1 or not len(values):
            raise InvalidInput(f"bias has shape {values.shape}; allowed: [positions], one probability a position")
        self.bias = check_probabilities(values, "bias")

    def respond(self, probability: FloatArray, uniforms: FloatArray) -> Answers:
        """Return at most one click a lane, and which positions were looked at."""
        bias = self._bias(probability.shape[1])
        clicks = uniforms < bias * probability
        before = np.logical_or.accumulate(clicks, axis=1)
        before[:, 1:] = before[:, :-1].copy()
        before[:, 0] = False
        return Answers(clicks & ~before, (uniforms < bias) & ~before)

    def expected(self, probability: FloatArray) -> FloatArray:
        """Return the probability of a click, ``1 - prod_k (1 - bias[k] p_k)``, float [N]."""
        passed: FloatArray = (1.0 - self._bias(probability.shape[1]) * probability).prod(axis=1)
        return 1.0 - passed

    def best(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return the value of the largest scores, the k-th largest at the k-th largest bias, float [N].

        Right by exchange: ``(1 - b p)(1 - b' p') <= (1 - b p')(1 - b' p)`` where b >= b' and p >= p'.
        """
        top = np.sort(_largest(scores, slate_size), axis=1)
        bias = np.sort(self._bias(slate_size))
        passed: FloatArray = (1.0 - bias * top).prod(axis=1)
        return 1.0 - passed

    def random(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return the value of a random slate, float [N], exactly.

        A user who would not click anything looks at m positions with probability w_m, the law of a sum of coins
        ``bias[k]``; m random items all fail with the mean probability of the product of their 1 - p (see
        `random_products`).
        """
        looks = np.zeros(slate_size + 1)
        looks[0] = 1.0
        for bias in self._bias(slate_size):
            looks[1:] = (1 - bias) * looks[1:] + bias * looks[:-1]
            looks[0] *= 1 - bias
        # Sorted, so that what may not be shown is NaN at the end of its lane; the order of items does not matter.
        failures = np.sort(np.where(scores > -np.inf, 1.0 - np.maximum(scores, 0.0), np.nan), axis=1)
        passed: FloatArray = looks @ random_products(failures.T, slate_size)
        return 1.0 - passed

    def _bias(self, slate_size: int) -> FloatArray:
        if len(self.bias) < slate_size:
            raise InvalidInput(
                f"bias has {len(self.bias)} positions, a slate {slate_size}; give a probability for each position"
            )
        return self.bias[:slate_size]


CHOICES: dict[str, Callable[[int], Choice]] = {
    "independent": lambda positions: Independent(),
    "logit": lambda positions: MultinomialLogit(),
    "cascade": lambda positions: Cascade((1 / np.log2(np.arange(positions) + 2)).tolist()),
}
"""Name -> the choice, from the number of positions of a slate. The cascade's bias is the discount of NDCG."""


def _all_seen(responses: BoolArray) -> Answers:
    return Answers(responses, np.broadcast_to(np.True_, responses.shape))


def _largest(scores: FloatArray, slate_size: int) -> FloatArray:
    """Return the ``slate_size`` largest scores of each lane, in any order, float [N, K]."""
    split = scores.shape[1] - slate_size
    return np.partition(scores, split, axis=1)[:, split:]
