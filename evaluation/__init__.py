"""Judging agents: the loop, metrics, records, intervals, leaderboards and plots."""

from smartrec.evaluation.episodes import mean_return
from smartrec.evaluation.intervals import Interval, mean_interval
from smartrec.evaluation.loop import run
from smartrec.evaluation.metrics import METRICS
from smartrec.evaluation.plots import curves, save_figure, training_curves
from smartrec.evaluation.record import RunRecord
from smartrec.evaluation.similarity import (
    Similarity,
    detection_score,
    kl_score,
    ks_score,
    svm_detection_score,
    table_similarity,
)
from smartrec.evaluation.store import RecordStore, read_records
from smartrec.evaluation.table import Leaderboard, leaderboard, markdown, to_csv
from smartrec.evaluation.training import Training, train

__all__ = [
    "METRICS",
    "Interval",
    "Leaderboard",
    "RecordStore",
    "RunRecord",
    "Similarity",
    "Training",
    "curves",
    "detection_score",
    "kl_score",
    "ks_score",
    "leaderboard",
    "markdown",
    "mean_interval",
    "mean_return",
    "read_records",
    "run",
    "save_figure",
    "svm_detection_score",
    "table_similarity",
    "to_csv",
    "train",
    "training_curves",
]
