"""Sim4Rec's building blocks: response models that are put together to others by plain constructors.

The three-part scenario, a heuristic, a fitted and a random part, is

    WeightedSum([CosineSimilarity(of_users, of_items), fitted, Noise(0.5, 0.2, n_items)], [0.5, 0.3, 0.2])

Any response model is a block. The Bernoulli draw at the end is the choice `Independent`, the only place where dice
are rolled. Formulas: Sim4Rec, ``sim4rec.response``. Departures: (1) what is no probability is no block, so noise is
clipped at 1 too, and weights must sum to 1; (2) noise is a function of tick, user and item instead of the order of
calls.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.response_models.base import ResponseModel, State
from smartrec.response_models.counters import normals
from smartrec.response_models.popularity import check_probabilities
from smartrec.response_models.preferences import Preferences

LEAST = 1e-15
"""Probabilities nearer to 0 or 1 than this are moved there before their logit is taken."""


class Constant(ResponseModel):
    """``p(click | user, item) = value``.

    Args:
        value: Probability, 0..1.
        n_items: I, >= 1.

    Raises:
        InvalidConfig: Out of range.
    """

    def __init__(self, value: float, n_items: int) -> None:
        require(0 <= value <= 1, "value", value, "a probability, 0 to 1")
        self.value, self.n_items = float(value), _checked_items(n_items)

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "Constant":
        """Return one with a uniform value."""
        return cls(np.random.default_rng(seed).random(), n_items)

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return ``value`` everywhere, float [N, K]."""
        return np.full(items.shape, self.value)


class Noise(ResponseModel):
    """``p(click | user, item) = clip(mu + sigma z, 0, 1)``, z standard normal by (seed, key of the tick, user, item).

    So it is pure: within a tick a user and an item have one value, whatever the order and size of batches. The
    next tick has another; the same world begun again has the same.

    Args:
        mu: Mean before clipping, finite.
        sigma: Standard deviation before clipping, >= 0.
        n_items: I, >= 1.
        seed: Two noises of one sum need different ones, 0 .. 2**64 - 1.

    Raises:
        InvalidConfig: Out of range.
    """

    stationary = False

    def __init__(self, mu: float, sigma: float, n_items: int, seed: int = 0) -> None:
        require(bool(np.isfinite(mu)), "mu", mu, "a finite number")
        require(bool(np.isfinite(sigma)) and sigma >= 0, "sigma", sigma, "a finite number >= 0")
        whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
        require(whole and 0 <= seed < 2**64, "seed", seed, "a whole number, 0 to 2**64 - 1")
        self.mu, self.sigma, self.seed = float(mu), float(sigma), int(seed)
        self.n_items = _checked_items(n_items)

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "Noise":
        """Return one round a half, so wide that it is clipped on both sides."""
        return cls(0.5, 0.4, n_items, seed)

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return the clipped noise of the tick, float [N, K]."""
        noise = normals(self.seed, state.key, users[:, None], items)
        clipped: FloatArray = np.clip(self.mu + self.sigma * noise, 0.0, 1.0)
        return clipped


class CosineSimilarity(ResponseModel):
    """``p(click | user, item) = 1 - arccos(clip(cos, -1, 1)) / pi``, cos that of the angle of their embeddings.

    1 for the same direction, a half for a right angle, 0 for the opposite, and 0 where an embedding is all zeros.

    Args:
        user_embeddings: float [U, D].
        item_embeddings: float [I, D].

    Raises:
        InvalidInput: The two have not the same number of columns, or hold NaN.
    """

    n_users: int

    def __init__(self, user_embeddings: FloatArray, item_embeddings: FloatArray) -> None:
        users, items = np.asarray(user_embeddings, np.float64), np.asarray(item_embeddings, np.float64)
        if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1] or not users.size * items.size:
            raise InvalidInput(
                f"user embeddings have shape {users.shape}, item embeddings {items.shape}; "
                "allowed: tables with rows and the same number of columns, at least one"
            )
        self.user_directions = _directions(users, "user_embeddings")
        self.item_directions = _directions(items, "item_embeddings")
        self.n_users, self.n_items = len(users), len(items)
        self._user_known: BoolArray = np.any(users != 0, axis=1)
        self._item_known: BoolArray = np.any(items != 0, axis=1)

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "CosineSimilarity":
        """Return one with normal embeddings, the first user's all zeros."""
        rng = np.random.default_rng(seed)
        users = rng.normal(size=(n_users, 4))
        users[0] = 0
        return cls(users, rng.normal(size=(n_items, 4)))

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return the similarities, float [N, K]."""
        of_items, of_users = self.item_directions.take(items, axis=0), self.user_directions.take(users, axis=0)
        cosines = np.einsum("nkd,nd->nk", of_items, of_users)
        return self._similarity(cosines, self._user_known[users][:, None] & self._item_known[items])

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return the similarities of all items by one matrix product, float [N, I]."""
        cosines = self.user_directions[users] @ self.item_directions.T
        return self._similarity(cosines, self._user_known[users][:, None] & self._item_known)

    @staticmethod
    def _similarity(cosines: FloatArray, known: BoolArray) -> FloatArray:
        return np.where(known, 1.0 - np.arccos(np.clip(cosines, -1.0, 1.0)) / np.pi, 0.0)


class WeightedSum(ResponseModel):
    """``p(click | user, item) = sum_b weight_b p_b(click | user, item)``.

    Args:
        blocks: At least one response model, all of the same items.
        weights: One a block, >= 0, of the sum 1; they are not normalised silently, because weights of another sum
            mean something else: half of a block is `Calibration(block, 0.5)`.

    Raises:
        InvalidInput: Blocks or weights do not fit together.
    """

    def __init__(self, blocks: Sequence[ResponseModel], weights: Sequence[float]) -> None:
        self.blocks = tuple(blocks)
        if not self.blocks:
            raise InvalidInput("no blocks; allowed: at least one response model")
        for block in self.blocks:
            _require_plain_state(block)
        sizes = sorted({block.n_items for block in self.blocks})
        if len(sizes) > 1:
            raise InvalidInput(f"blocks know {sizes} items; allowed: all the same number")
        self.n_items = sizes[0]
        known = [block.n_users for block in self.blocks if block.n_users is not None]
        self.n_users = min(known, default=None)
        self.stationary = all(block.stationary for block in self.blocks)
        self.weights = _checked_weights(np.asarray(weights, np.float64), len(self.blocks))

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "WeightedSum":
        """Return a heuristic, a fitted and a random part."""
        parts = [kind.example(n_users, n_items, seed) for kind in (CosineSimilarity, Preferences, Noise)]
        return cls(parts, [0.5, 0.3, 0.2])

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return the sum, float [N, K]."""
        return self._sum([block.probability(users, items, state) for block in self.blocks])

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return the sum of the blocks' scores, float [N, I]."""
        return self._sum([block.scores(users, state) for block in self.blocks])

    def _sum(self, parts: list[FloatArray]) -> FloatArray:
        total = np.zeros(parts[0].shape)
        for weight, part in zip(self.weights, parts, strict=True):
            total += weight * part
        return np.minimum(total, 1.0)  # rounding may pass 1 by a last digit


class Calibration(ResponseModel):
    """Another model's probability p, put right.

    ``"linear"``: ``clip(shift + scale p, 0, 1)``, so that ``Calibration(model, 0.5)`` halves it.
    ``"platt"``: ``sigmoid(shift + scale logit(p))`` (Platt 1999).

    Args:
        model: What is calibrated.
        scale: Factor, finite; negative turns the order of the items around.
        shift: Added, finite; probability for "linear", logits for "platt".
        kind: "linear" or "platt".

    Raises:
        InvalidConfig: ``scale`` or ``shift`` is not finite, or another kind.
    """

    def __init__(
        self, model: ResponseModel, scale: float = 1.0, shift: float = 0.0, kind: Literal["linear", "platt"] = "linear"
    ) -> None:
        require(bool(np.isfinite(scale)), "scale", scale, "a finite number")
        require(bool(np.isfinite(shift)), "shift", shift, "a finite number")
        require(kind in ("linear", "platt"), "kind", kind, "'linear', 'platt'")
        _require_plain_state(model)
        self.model, self.scale, self.shift, self.kind = model, float(scale), float(shift), kind
        self.n_items, self.n_users, self.stationary = model.n_items, model.n_users, model.stationary

    @classmethod
    def example(cls, n_users: int, n_items: int, seed: int = 0) -> "Calibration":
        """Return a steeper and lower version of hidden preferences."""
        return cls(Preferences.example(n_users, n_items, seed), 1.5, -0.5, "platt")

    def probability(self, users: IntArray, items: IntArray, state: State) -> FloatArray:
        """Return the calibrated probabilities, float [N, K]."""
        return self._calibrated(self.model.probability(users, items, state))

    def scores(self, users: IntArray, state: State) -> FloatArray:
        """Return the calibrated scores, float [N, I]."""
        return self._calibrated(self.model.scores(users, state))

    def _calibrated(self, probability: FloatArray) -> FloatArray:
        if self.kind == "linear":
            line: FloatArray = np.clip(self.shift + self.scale * probability.astype(np.float64), 0.0, 1.0)
            return line
        # By tanh, which neither overflows nor warns.
        sigmoid: FloatArray = 0.5 + 0.5 * np.tanh(0.5 * (self.shift + self.scale * logit(probability)))
        return sigmoid


def logit(probability: FloatArray) -> FloatArray:
    """Return ``ln(p / (1 - p))`` in float64, finite also at 0 and 1: +-34.5."""
    p = np.clip(probability.astype(np.float64), LEAST, 1.0 - LEAST)
    odds: FloatArray = np.log(p) - np.log1p(-p)
    return odds


def _checked_items(n_items: int) -> int:
    whole = isinstance(n_items, (int, np.integer)) and not isinstance(n_items, bool)
    require(whole and n_items >= 1, "n_items", n_items, "a whole number >= 1")
    return int(n_items)


def _checked_weights(weights: FloatArray, count: int) -> FloatArray:
    if weights.shape != (count,):
        raise InvalidInput(f"weights have shape {weights.shape}; allowed: {count} numbers, one a block")
    total = float(weights.sum())
    if not abs(total - 1) < 1e-6:
        raise InvalidInput(f"weights {weights.tolist()} sum to {total:g}; allowed: a sum of 1. Divide them by theirs")
    return check_probabilities(weights, "weights") / total


def _directions(embeddings: FloatArray, name: str) -> FloatArray:
    """Return the rows at length 1; a row of zeros stays one."""
    wrong = np.argwhere(~np.isfinite(embeddings))
    if len(wrong):
        row, column = wrong[0]
        raise InvalidInput(f"{name}[{row}, {column}] = {embeddings[row, column]}; allowed: finite numbers")
    # Scaled first, so that squares of the very small and the very large stay in range.
    largest = np.abs(embeddings).max(axis=1, keepdims=True)
    scaled = embeddings / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    directions: FloatArray = scaled / np.where(length > 0, length, 1.0)
    return directions


def _require_plain_state(block: ResponseModel) -> None:
    """Raise if a block keeps a state of its own, which a composition, having one state, would lose."""
    plain = type(block).start is ResponseModel.start and type(block).advance is ResponseModel.advance
    if not plain:
        raise InvalidInput(
            f"block {type(block).__name__} has a start() or advance() of its own; allowed: models whose only state "
            "is clock and key. Use it alone, or put the others into it"
        )
