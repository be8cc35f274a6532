"""How alike two samples or tables are: a synthetic population beside the real one, answers beside answers.

Every score has no unit, lies in 0..1, and higher is better: 1 means that the two cannot be told apart.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from smartrec.core.arrays import Array, FloatArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput

FLOOR = 1e-5
"""Added to every bin's probability, so that an empty one costs much and not everything."""

FOLDS = 3

SVM_ROWS = 2000
"""Rows of each table that a support vector machine takes; its time goes with their square."""


@dataclass(frozen=True)
class Similarity:
    """How alike a real and a synthetic table are; all without unit, 0..1, higher is better, 1: no difference.

    Attributes:
        ks: Kolmogorov-Smirnov score, mean over the columns.
        kl: Kullback-Leibler score, mean over the columns.
        detection: Detection score of whole rows by a logistic regression.
        svm_detection: Detection score of whole rows by a support vector machine.
        ks_columns: Kolmogorov-Smirnov score by column.
        kl_columns: Kullback-Leibler score by column.
    """

    ks: float
    kl: float
    detection: float
    svm_detection: float
    ks_columns: dict[str, float]
    kl_columns: dict[str, float]

    def __str__(self) -> str:
        return (
            f"KS score {self.ks:.3f}, KL score {self.kl:.3f}, detection score {self.detection:.3f} (logistic), "
            f"{self.svm_detection:.3f} (SVM) (1: alike)"
        )


def ks_score(real: Any, synthetic: Any) -> float:
    """Return ``1 - sup_x |F_real(x) - F_synthetic(x)|``: one minus the two-sample Kolmogorov-Smirnov distance.

    No unit, 0..1, higher is better: 1 where the empirical laws are the same, 0 where all of one sample lies below
    all of the other. Two samples of one law of N numbers each score about ``1 - 0.87 sqrt(2 / N)``.

    Args:
        real: Numbers, [R].
        synthetic: Numbers, [S].

    Raises:
        InvalidInput: No numbers, or some that are not finite.
    """
    a, b = np.sort(_sample(real, "real")), np.sort(_sample(synthetic, "synthetic"))
    at = np.concatenate([a, b])
    below_a = np.searchsorted(a, at, side="right") / len(a)
    below_b = np.searchsorted(b, at, side="right") / len(b)
    return float(1 - np.abs(below_a - below_b).max())


def kl_score(real: Any, synthetic: Any, bins: int = 10) -> float:
    """Return ``1 / (1 + KL)`` with ``KL = sum_b p_b ln(p_b / q_b)``, p of the real and q of the synthetic sample.

    No unit, 0..1, higher is better: 1 where both fill the bins alike. Bins are of equal width over the range of
    both samples; p and q are probabilities, with 1e-5 added and brought to the sum 1 again. (Sim4Rec sums raw
    counts, which scores two samples of one law at 0.03 to 0.1.)

    Args:
        real: Numbers, [R].
        synthetic: Numbers, [S].
        bins: At least 1.

    Raises:
        InvalidInput: No numbers, or some that are not finite.
        InvalidConfig: ``bins`` is below 1.
    """
    require(bins >= 1, "bins", bins, "a whole number >= 1")
    a, b = _sample(real, "real"), _sample(synthetic, "synthetic")
    edges = np.histogram_bin_edges(np.concatenate([a, b]), bins)
    p, q = (np.histogram(values, edges)[0] / len(values) + FLOOR for values in (a, b))
    p, q = p / p.sum(), q / q.sum()
    return float(1 / (1 + max(np.sum(p * np.log(p / q)), 0.0)))


def detection_score(real: Any, synthetic: Any, seed: int = 0) -> float:
    """Return ``1 - 2 (max(AUC, 1/2) - 1/2)`` of a logistic regression that tells synthetic rows from real ones.

    No unit, 0..1, higher is better: 1 where it cannot tell them apart, 0 where it always can. The AUC is of rows it
    has not seen, mean over three folds; columns are standardised. What no linear function of the columns shows it
    does not see either.

    Args:
        real: Table, [R], [R, D] or a DataFrame; columns that are no numbers become one 0/1 column a value;
            leave out ids.
        synthetic: Table of the same columns, [S] or [S, D].
        seed: Of the folds.

    Raises:
        InvalidInput: Other columns, values that are not finite, or fewer than three rows.
    """
    return _detection(*_columns(real, synthetic), seed)


def svm_detection_score(real: Any, synthetic: Any, seed: int = 0) -> float:
    """Return `detection_score` by a support vector machine with Gaussian kernels, which sees curves too.

    It takes at most 2000 random rows of each table, columns standardised; kernels are ``exp(-|x - y|^2 / D)``.

    Args:
        real: Table, [R], [R, D] or a DataFrame; columns that are no numbers become one 0/1 column a value;
            leave out ids.
        synthetic: Table of the same columns, [S] or [S, D].
        seed: Of the rows and the folds.

    Raises:
        InvalidInput: Other columns, values that are not finite, or fewer than three rows.
    """
    return _detection(*_columns(real, synthetic), seed, svm=True)


def table_similarity(real: Any, synthetic: Any, seed: int = 0) -> Similarity:
    """Return all scores of two tables; see `ks_score`, `kl_score`, `detection_score` and `svm_detection_score`.

    Args:
        real: Table, [R], [R, D] or a DataFrame; columns that are no numbers become one 0/1 column a value;
            leave out ids.
        synthetic: Table of the same columns, [S] or [S, D].
        seed: Of the folds of the detection.

    Raises:
        InvalidInput: Other columns, values that are not finite, or fewer than three rows.
    """
    left, right = _columns(real, synthetic)
    ks = {name: ks_score(column, right[name]) for name, column in left.items()}
    kl = {name: kl_score(column, right[name]) for name, column in left.items()}
    ks_mean, kl_mean = (float(np.mean(list(scores.values()))) for scores in (ks, kl))
    logistic, svm = (_detection(left, right, seed, svm=svm) for svm in (False, True))
    return Similarity(ks_mean, kl_mean, logistic, svm, ks, kl)


Columns = dict[str, FloatArray]


def _detection(real: Columns, synthetic: Columns, seed: int, *, svm: bool = False) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    rows = [np.stack(list(columns.values()), axis=1) for columns in (real, synthetic)]
    if min(map(len, rows)) < FOLDS:
        raise InvalidInput(f"tables of {len(rows[0])} and {len(rows[1])} rows; allowed: {FOLDS} or more each")
    if svm:
        rng = np.random.default_rng(seed)
        rows = [part if len(part) <= SVM_ROWS else rng.choice(part, SVM_ROWS, replace=False) for part in rows]
    labels = np.repeat([0, 1], [len(rows[0]), len(rows[1])])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    telling = make_pipeline(StandardScaler(), SVC() if svm else LogisticRegression(max_iter=1000))
    auc = cross_val_score(telling, np.concatenate(rows), labels, cv=folds, scoring="roc_auc").mean()
    return float(1 - 2 * (max(auc, 0.5) - 0.5))


def _columns(real: Any, synthetic: Any) -> tuple[Columns, Columns]:
    """Return two tables column by column, as numbers, by the same names."""
    a, b = _named(real, "real"), _named(synthetic, "synthetic")
    if list(a) != list(b):
        raise InvalidInput(f"real has columns {list(a)}, synthetic {list(b)}; allowed: the same, in the same order")
    left: Columns = {}
    right: Columns = {}
    for name, column in a.items():
        plain = [side.dtype.kind in "iufb" for side in (column, b[name])]
        if any(plain) and not all(plain):
            raise InvalidInput(f"column {name!r} holds numbers in one table and none in the other; convert one of them")
        if all(plain):
            left[name] = _sample(column, f"real column {name!r}")
            right[name] = _sample(b[name], f"synthetic column {name!r}")
            continue
        for value in dict.fromkeys([*column.tolist(), *b[name].tolist()]):
            flag = f"{name}={value}"
            left[flag], right[flag] = (
                np.array([one == value for one in side.tolist()], np.float64) for side in (column, b[name])
            )
    return left, right


def _named(table: Any, name: str) -> dict[str, Array]:
    if hasattr(table, "columns") and hasattr(table, "iloc"):
        columns = {str(column): table[column].to_numpy() for column in table.columns}
    else:
        array = np.asarray(table)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise InvalidInput(f"{name} has shape {array.shape}; allowed: [rows], [rows, columns] or a DataFrame")
        columns = {str(d): column for d, column in enumerate(array.T)}
    if not columns or not len(next(iter(columns.values()))):
        raise InvalidInput(f"{name} has no rows or no columns; allowed: at least one of each")
    return columns


def _sample(values: Any, name: str) -> FloatArray:
    try:
        sample = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} holds values that are no numbers; allowed: numbers") from None
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise InvalidInput(
            f"{name} has shape {sample.shape} and {int((~np.isfinite(sample)).sum())} values that are not finite; "
            "allowed: [rows], at least one, all finite. Drop or fill missing values first"
        )
    return sample
