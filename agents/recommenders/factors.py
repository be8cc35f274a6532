"""Vectors of users and items, fitted by the library implicit or found in a table of similar items."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import Diverged
from smartrec.core.optional import optional

_ROUNDS = 5
"""Of the subspace iteration: directions are where the similarity is, to a few per cent."""


def fit_quietly(make: Callable[[], Any], clicks: csr_matrix) -> Any:
    """Return what ``make`` makes, an estimator of implicit, fitted to clicks [U, I] in one thread.

    Without a progress bar, and without warnings of what is in its own hands (sparse formats) or in ours: the threads
    of the linear algebra are held to one, as it wants.
    """
    limits = optional("threadpoolctl", "recommenders", "the package implicit").threadpool_limits
    unasked = optional("implicit.utils", "recommenders", "this recommender").ParameterWarning
    with limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", unasked)
        fitted = make()
        try:
            fitted.fit(clicks.astype(np.float32), show_progress=False)
        except Exception as error:
            if type(error).__name__ != "ModelFitError":
                raise
            raise Diverged(
                f"{type(fitted).__name__} diverged: {error}; take a smaller learning rate or confidence, or more "
                "regularization"
            ) from None
    return fitted


def with_mean_user(user_factors: FloatArray, clicks: csr_matrix) -> FloatArray:
    """Return user vectors [U, F] in which users without clicks have the mean vector of the others."""
    without = np.diff(clicks.indptr) == 0
    result = user_factors.copy()
    if not without.all():
        result[without] = user_factors[~without].mean(axis=0)
    return result


def similarity_factors(similarity: Any, size: int, rng: np.random.Generator) -> FloatArray:
    """Return items as vectors, float [I, F], F = min(size, I): the leading directions of a table of weights.

    By subspace iteration (Halko, Martinsson and Tropp 2011): ARPACK starts anew from dice of its own where
    directions tie, and would not repeat.

    Args:
        similarity: float [I, I], dense or sparse; row i are the weights that a click on item i gives.
        size: Most directions.
        rng: Draws what the iteration starts from.
    """
    items = similarity.shape[0]
    directions = rng.standard_normal((items, min(size, items)))
    for _ in range(_ROUNDS):
        directions, _ = np.linalg.qr(similarity.T @ (similarity @ directions))
    factors: FloatArray = similarity @ directions  # [I, F]
    return factors


def mean_profile(clicks: csr_matrix) -> FloatArray:
    """Return the mean row of clicks [U, I] over users who have some, float [I]: whom a stranger is taken for."""
    known = int(np.count_nonzero(np.diff(clicks.indptr)))
    mean: FloatArray = np.asarray(clicks.sum(axis=0)).reshape(-1) / max(known, 1)
    return mean
