"""How well probabilities fit answers that the model has not seen."""

from dataclasses import dataclass

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Quality:
    """Fit of probabilities to held-out answers.

    Attributes:
        auc: Probability that a click is ranked above a non-click, 0..1; higher is better, 0.5 is chance.
        log_loss: Mean negative log-likelihood in nats, >= 0; lower is better.
        calibration_error: Mean distance of predicted and seen click rate over ten groups of equal size, 0..1;
            lower is better.
        answers: Number of held-out answers.
    """

    auc: float
    log_loss: float
    calibration_error: float
    answers: int

    def __str__(self) -> str:
        return (
            f"AUC {self.auc:.3f}, log loss {self.log_loss:.3f}, "
            f"calibration error {self.calibration_error:.3f} on {self.answers:,} answers"
        )


def quality(probability: FloatArray, clicks: BoolArray) -> Quality:
    """Compare probabilities [R] with answers [R].

    Calibration error: the answers are sorted by probability and cut into ten groups of equal size;
    ``sum_g n_g / n * |mean p_g - mean click_g|`` (Naeini et al. 2015, with equal-mass bins).
    """
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    y = clicks.astype(np.float64)
    log_loss = -np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))
    groups = np.array_split(np.argsort(p, kind="stable"), CALIBRATION_BINS)
    error = sum(len(g) * abs(p[g].mean() - y[g].mean()) for g in groups if len(g)) / len(y)
    return Quality(_auc(p, clicks), float(log_loss), float(error), len(y))


def report_rows(model: Quality, baseline: Quality, split: str) -> tuple[tuple[str, str], ...]:
    """Return the rows that an environment shows of a fitted model."""
    return (("held out", split), ("model", str(model)), ("item mean", str(baseline)))


def _auc(probability: FloatArray, clicks: BoolArray) -> float:
    """Mann-Whitney statistic with mid-ranks for ties; NaN where all answers are alike."""
    from scipy.stats import rankdata

    positives = int(clicks.sum())
    negatives = len(clicks) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    rank_sum = rankdata(probability)[clicks].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))
