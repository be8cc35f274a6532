"""What generated actions are like: anomalies, distances, overlap, nearest items, as numbers and as plots."""

from smartrec.evaluation.diagnostics.anomaly import Anomalies, AnomalyConfig, AnomalyDetector, anomalies, density
from smartrec.evaluation.diagnostics.distances import METRICS, Pairs, distances, nearest, pairs
from smartrec.evaluation.diagnostics.figures import (
    anomaly_figure,
    nearest_figure,
    overlap_figure,
    pairs_figure,
)
from smartrec.evaluation.diagnostics.overlap import Overlap, overlap, shared_items

__all__ = [
    "METRICS",
    "Anomalies",
    "AnomalyConfig",
    "AnomalyDetector",
    "Overlap",
    "Pairs",
    "anomalies",
    "anomaly_figure",
    "density",
    "distances",
    "nearest",
    "nearest_figure",
    "overlap",
    "overlap_figure",
    "pairs",
    "pairs_figure",
    "shared_items",
]
