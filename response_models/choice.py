"""From probabilities to what users do: the only place where dice are rolled, and they are handed in."""

from typing import Protocol

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray


class Choice(Protocol):
    """How a user goes through a slate."""

    def respond(self, probability: FloatArray, uniforms: FloatArray) -> BoolArray:
        """Return bool [N, K], from probabilities [N, K] and uniforms [N, K] in [0, 1)."""

    def expected(self, probability: FloatArray) -> FloatArray:
        """Return float [N], expected number of responses to slates of ``probability`` [N, K]."""

    def best(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return float [N], expected number of responses to the best slate out of ``scores`` [N, I]."""


class Independent:
    """Each position is judged by itself, ``response = uniform < probability``, as in Sim4Rec."""

    def respond(self, probability: FloatArray, uniforms: FloatArray) -> BoolArray:
        """Return ``uniforms < probability``, bool [N, K]."""
        return np.less(uniforms, probability)

    def expected(self, probability: FloatArray) -> FloatArray:
        """Return the sum over the slate, float [N]."""
        total: FloatArray = probability.sum(axis=1, dtype=np.float64)
        return total

    def best(self, scores: FloatArray, slate_size: int) -> FloatArray:
        """Return the sum of the ``slate_size`` largest scores, float [N]."""
        if slate_size == 1:
            best: FloatArray = scores.max(axis=1).astype(np.float64)
            return best
        split = scores.shape[1] - slate_size
        return self.expected(np.partition(scores, split, axis=1)[:, split:])
