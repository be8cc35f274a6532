"""Items that come while an agent lives: what is known of them, and who can take them in."""

from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from smartrec.core.arrays import FloatArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.slate import Slate


@dataclass(frozen=True, eq=False)
class NewItems:
    """Items that come.

    Attributes:
        count: How many.
        features: float [count, D], or None where nothing is known of them.
        known: float [I, D], features of the items so far, or None.
        weight: Showings that a prior fitted on features counts for, >= 0.
    """

    count: int
    features: FloatArray | None
    known: FloatArray | None
    weight: float

    def predict(self, values: FloatArray, shown: FloatArray) -> FloatArray | None:
        """Return what the features say that the new items' ``values`` are, float [count, M].

        By ridge regression of the known items' values on their standardised features. An item shown n times
        weighs ``n / (n + weight)``: however often it was shown, it is one item.

        Args:
            values: float [I, M], of the known items.
            shown: float [I], how often each was shown.

        Returns:
            None where there are no features, or nothing was shown yet.
        """
        if self.features is None or self.known is None:
            return None
        usable = (shown > 0) & np.isfinite(self.known).all(axis=1)
        if not usable.any():
            return None
        known, values, shown = self.known[usable], values[usable], shown[usable]
        center, scale = known.mean(axis=0), known.std(axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        x = _with_ones((known - center) / scale)
        weights = (shown / (shown + self.weight))[:, None]
        penalty = np.eye(x.shape[1])
        penalty[0, 0] = 1e-9  # the base rate is no matter of features
        fitted = np.linalg.solve(x.T @ (weights * x) + penalty, x.T @ (weights * values))
        predicted: FloatArray = _with_ones((self.features - center) / scale) @ fitted
        return predicted


@runtime_checkable
class Grows(Protocol):
    """A part of an agent with something an item, which can take in more items."""

    def grow(self, came: NewItems) -> None:
        """Take in items that come."""


def new_items(problem: Problem, count: int, features: FloatArray | None, weight: float) -> NewItems:
    """Return the items that come, examined.

    Raises:
        InvalidConfig: ``count`` or ``weight`` is out of range, or the problem has no item features.
        InvalidInput: The features are of another shape than the known items', or not finite.
    """
    require(isinstance(count, (int, np.integer)) and count >= 1, "count", count, "a whole number >= 1")
    require(weight >= 0, "weight", weight, "a number >= 0")
    known = problem.item_features
    if features is not None:
        features = np.asarray(features, np.float64)
        if known is None:
            raise InvalidConfig(
                "item_features were given, and the problem has none of the known items to compare them with; "
                "leave them out, or make the agent with a problem that has item features"
            )
        expected = (count, known.shape[1])
        if features.shape != expected or not np.isfinite(features).all():
            raise InvalidInput(f"item_features {features.shape}; allowed: finite numbers of shape {expected}")
    return NewItems(int(count), features, known, weight)


def grown(problem: Problem, came: NewItems) -> Problem:
    """Return the problem with more items; features that nobody knows are NaN."""
    items = (problem.items or 0) + came.count
    space: spaces.Space[Any] = problem.action_space
    if isinstance(space, spaces.Discrete):
        space = spaces.Discrete(items)
    else:
        space = (Slate if isinstance(space, Slate) else _places)(items, problem.slate_size)
    features = came.known
    if features is not None:
        unknown = np.full((came.count, features.shape[1]), np.nan)
        features = np.concatenate([features, unknown if came.features is None else came.features])
    return replace(problem, items=items, action_space=space, item_features=features)


def _places(items: int, slate_size: int) -> spaces.MultiDiscrete:
    return spaces.MultiDiscrete([items] * slate_size)


def _with_ones(x: FloatArray) -> FloatArray:
    return np.concatenate([np.ones((len(x), 1)), x], axis=1)
