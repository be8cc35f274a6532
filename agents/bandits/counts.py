"""How often each item was shown and clicked."""

import numpy as np

from smartrec.agents.forgetting import Evidence, Forgetting
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import FloatArray
from smartrec.core.errors import InvalidInput
from smartrec.core.transitions import Transitions


class Counts(Evidence):
    """Sums of clicks and of showings, one row an item, which forget as told.

    Args:
        items: I.
        forgetting: Window and discount.
    """

    def __init__(self, items: int, forgetting: Forgetting) -> None:
        super().__init__((items, 2), forgetting)

    @property
    def clicks(self) -> FloatArray:
        """float [I], weighted number of clicks."""
        return self.total[:, 0]

    @property
    def shown(self) -> FloatArray:
        """float [I], weighted number of showings that somebody saw."""
        return self.total[:, 1]

    def mean(self, unseen: float) -> FloatArray:
        """Return clicks a showing, float [I]; ``unseen`` where an item was never shown."""
        means: FloatArray = np.full(len(self.sums), float(unseen))
        return np.divide(self.clicks, self.shown, out=means, where=self.shown > 0)

    def grow(self, came: NewItems, prior: FloatArray | None = None) -> None:
        """Take in items that come; their click rates are at first what the rates of the known ones say of such
        features, as if seen ``came.weight`` times.

        Args:
            came: The items.
            prior: float [count, 2], clicks and showings to start from instead.
        """
        rates = came.predict(self.mean(unseen=0.0)[:, None], self.shown)
        if prior is None and rates is not None:
            clicks = came.weight * np.clip(rates[:, 0], 0.0, 1.0)
            prior = np.column_stack([clicks, np.full(came.count, came.weight)])
        super().grow(came, prior)

    def record(self, transitions: Transitions) -> None:
        """Count feedback.

        Raises:
            InvalidInput: A response outside 0..1; then nothing is counted.
        """
        shown, responses, observed = transitions.items, transitions.responses, transitions.observed
        seen = responses[observed]
        if seen.size and not (seen.min() >= 0 and seen.max() <= 1):
            raise InvalidInput(
                f"responses from {seen.min()} to {seen.max()}; allowed: 0 to 1 for an agent that counts "
                "clicks. Scale the reward first"
            )
        count = len(self.sums)
        for clock, rows in self.split(transitions):
            picked = observed[rows]
            items = shown[rows][picked]
            clicks = np.bincount(items, weights=responses[rows][picked], minlength=count)
            showings = np.bincount(items, minlength=count)
            counted = np.flatnonzero(showings)
            self.add(clock, counted, np.column_stack([clicks[counted], showings[counted]]))
