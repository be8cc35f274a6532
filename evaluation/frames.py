"""Metrics of answers and lists that lie in DataFrames, and how alike two DataFrames are.

Regression, areas and classes are those of ``pyspark.ml.evaluation``, over all rows, areas without bins; ranking is by
RePlay's metrics, over all users. ``ks``, ``kl`` and the scores of whole tables are those of
``smartrec.evaluation.similarity``; they need rows side by side, so a sample of them comes to the driver.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from smartrec.core.config import require
from smartrec.core.errors import InvalidInput, did_you_mean
from smartrec.core.optional import optional
from smartrec.core.spark import require_columns
from smartrec.evaluation.similarity import Similarity, kl_score, ks_score, table_similarity

REGRESSION = ("rmse", "mse", "r2", "mae", "var")
AREAS = ("areaUnderROC", "areaUnderPR")
CLASSES = (
    *("f1", "accuracy", "weightedPrecision", "weightedRecall", "weightedFMeasure", "weightedTruePositiveRate"),
    *("weightedFalsePositiveRate", "hammingLoss"),
)
LOG_LOSS = "logLoss"
SAMPLED = {"ks": ks_score, "kl": kl_score}
FRAME_METRICS = (*REGRESSION, *AREAS, *CLASSES, LOG_LOSS, *SAMPLED)
"""Names that ``frame_metrics`` knows."""

RANKING = {
    "ndcg": "NDCG",
    "hit_rate": "HitRate",
    "recall": "Recall",
    "precision": "Precision",
    "mrr": "MRR",
    "map": "MAP",
}
"""Names that ``frame_ranking`` knows, with RePlay's."""

SAMPLE = 100_000
"""Rows that come to the driver, about."""


def frame_metrics(
    frame: Any,
    metrics: Iterable[str],
    prediction: str = "prediction",
    label: str = "response",
    sample: int = SAMPLE,
    seed: int = 0,
) -> dict[str, float]:
    """Return metrics of a column of predictions against a column of labels.

    ``rmse, mse, r2, mae, var`` take numbers; ``areaUnderROC, areaUnderPR`` scores against 0 and 1; ``logLoss`` the
    probability of 1, cut off at 1e-15 from 0 and 1, against 0 and 1; ``f1, accuracy, weighted..., hammingLoss`` classes
    0, 1, 2, ...; ``var`` is the mean square of prediction less mean label, ``f1`` the mean of the classes' weighted by
    their rows. ``ks`` and ``kl`` compare the two laws, 1 where they are the same. Each metric passes over the rows
    once more: cache the frame if it is dear to make.

    Args:
        frame: DataFrame.
        metrics: Names of ``FRAME_METRICS``.
        prediction: Column of numbers.
        label: Column of numbers.
        sample: Rows that ``ks`` and ``kl`` take, about; all where there are no more.
        seed: Of the sample.

    Returns:
        Name to value, in the order of ``metrics``.

    Raises:
        InvalidInput: An unknown metric, a missing column, no rows, values that are missing or not finite, or that a
            metric does not take.
        InvalidConfig: ``sample`` is below 1.
    """
    names = _known(metrics, FRAME_METRICS)
    require(sample >= 1, "sample", sample, "1 or more rows")
    require_columns(frame, {prediction: "number", label: "number"}, "the table")
    functions = optional("pyspark.sql.functions", "spark", "frame_metrics")
    pairs = frame.select(
        functions.col(prediction).cast("double").alias("prediction"), functions.col(label).cast("double").alias("label")
    )
    _require_values(pairs, names)
    found = {name: _by_spark(pairs, name) for name in names if name not in SAMPLED}
    if SAMPLED.keys() & set(names):
        rows = _sampled(pairs, sample, seed)
        found |= {name: SAMPLED[name](rows.label, rows.prediction) for name in names if name in SAMPLED}
    return {name: found[name] for name in names}


def frame_ranking(
    recommendations: Any,
    truth: Any,
    metrics: Iterable[str] = tuple(RANKING),
    k: int = 10,
    *,
    user: str = "user_idx",
    item: str = "item_idx",
    score: str = "relevance",
) -> dict[str, float]:
    """Return how well lists of items do against what users chose afterwards, mean over the users of ``truth``.

    ``ndcg, hit_rate, recall, precision, mrr`` are those of ``smartrec.evaluation.ranking``; ``map`` is the mean of
    ``sum_j h_j (h_1 + ... + h_j) / j / min(k, R)`` over the first k places j, with h_j 1 where place j holds one of
    the R chosen items. A user of ``truth`` without a list counts as 0, one without ``truth`` not at all. Each metric
    passes over the rows once more, by RePlay: cache frames that are dear to make.

    Args:
        recommendations: DataFrame, a row a user and recommended item, each pair once; the first k by ``score`` count,
            of equal scores the larger item first.
        truth: DataFrame, a row a user and chosen item; repeats count once.
        metrics: Names of ``RANKING``.
        k: Places that count, >= 1.
        user: Column of both.
        item: Column of both.
        score: Column of ``recommendations``, numbers.

    Returns:
        Name to value, 0..1, higher is better, in the order of ``metrics``.

    Raises:
        InvalidInput: An unknown metric, a missing column, no truth, missing values, or an item twice in a list.
        InvalidConfig: ``k`` is below 1.
        MissingExtra: RePlay is not installed.
    """
    names = _known(metrics, tuple(RANKING))
    require(isinstance(k, int) and k >= 1, "k", k, "a whole number >= 1")
    replay = optional("replay.metrics", "spark", "frame_ranking")
    require_columns(recommendations, {user: "", item: "", score: "number"}, "the table of recommendations")
    require_columns(truth, {user: "", item: ""}, "the table of truth")
    lists, chosen = recommendations.select(user, item, score), truth.select(user, item)
    _require_lists(lists, chosen, score)
    columns = {"query_column": user, "item_column": item, "rating_column": score}
    found = [getattr(replay, RANKING[name])(k, **columns)(lists, chosen) for name in names]
    return {name: float(*values.values()) for name, values in zip(names, found, strict=True)}


def frame_similarity(real: Any, synthetic: Any, sample: int = SAMPLE, seed: int = 0) -> Similarity:
    """Return how alike two DataFrames are: KS, KL and two detections; see ``table_similarity``.

    About ``sample`` rows of each come to the driver, each row with the same probability; all where there are no more.

    Args:
        real: DataFrame; leave out ids.
        synthetic: DataFrame of the same columns.
        sample: Rows of each, at least 3.
        seed: Of the samples and of the folds of the detection.

    Raises:
        InvalidInput: Other columns, missing values, or fewer than three rows.
        InvalidConfig: ``sample`` is below 3.
    """
    require(sample >= 3, "sample", sample, "3 or more rows")
    missing = sorted(set(real.columns) ^ set(synthetic.columns))
    if missing:
        raise InvalidInput(f"only one of the tables has {', '.join(missing)}; allowed: the same columns in both")
    left, right = (_sampled(frame.select(real.columns), sample, seed) for frame in (real, synthetic))
    return table_similarity(left, right, seed)


def _known(metrics: Iterable[str], allowed: Sequence[str]) -> list[str]:
    """Return the names of metrics.

    Raises:
        InvalidInput: One is not ``allowed``.
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in allowed:
            raise InvalidInput(f"no metric {name!r} of DataFrames. {did_you_mean(name, allowed)}")
    return names


def _require_lists(lists: Any, chosen: Any, score: str) -> None:
    """Raise unless there are choices, no value is missing, and no list has an item twice."""
    f = optional("pyspark.sql.functions", "spark", "frame_ranking")
    for frame, what in ((lists, "recommendations"), (chosen, "truth")):
        missing = f.greatest(*(f.col(name).isNull() for name in frame.columns))
        if what == "recommendations":
            missing |= f.isnan(f.col(score).cast("double"))
        counts = frame.agg(f.count_if(missing).alias("missing"), f.count("*").alias("rows")).first()
        if counts.missing or (what == "truth" and not counts.rows):
            raise InvalidInput(
                f"{counts.missing} of {counts.rows} rows of {what} lack a value; allowed: all values there, and at "
                "least one row of truth. Drop the others first"
            )
    pair = [name for name in lists.columns if name != score]
    twice = lists.groupBy(*pair).count().filter("count > 1").first()
    if twice is not None:
        raise InvalidInput(
            f"user {twice[0]} is recommended item {twice[1]} {twice[2]} times; allowed: each item once a list. Keep "
            "its best score"
        )


def _by_spark(pairs: Any, name: str) -> float:
    """Return a metric that Spark knows, of columns prediction and label."""
    evaluation = optional("pyspark.ml.evaluation", "spark", "frame_metrics")
    if name in REGRESSION:
        judge = evaluation.RegressionEvaluator(metricName=name, labelCol="label")
    elif name in AREAS:
        judge = evaluation.BinaryClassificationEvaluator(
            metricName=name, labelCol="label", rawPredictionCol="prediction", numBins=0
        )
    else:
        judge = evaluation.MulticlassClassificationEvaluator(metricName=name, labelCol="label")
    return float(judge.evaluate(_with_probabilities(pairs) if name == LOG_LOSS else pairs))


def _with_probabilities(pairs: Any) -> Any:
    """Return ``pairs`` with the vector of both probabilities, as Spark's log loss wants it."""
    functions = optional("pyspark.sql.functions", "spark", "frame_metrics")
    vector = optional("pyspark.ml.functions", "spark", "frame_metrics").array_to_vector
    both = functions.array(1 - functions.col("prediction"), functions.col("prediction"))
    likelier = (functions.col("prediction") > 0.5).cast("double")
    return pairs.select("label", likelier.alias("prediction"), vector(both).alias("probability"))


def _require_values(pairs: Any, names: list[str]) -> None:
    """Raise unless all values are there and fit the metrics, by one pass over the rows."""
    f = optional("pyspark.sql.functions", "spark", "frame_metrics")
    y, label = f.col("prediction"), f.col("label")
    whole = (label >= 0) & (label == f.floor(label)) & (y >= 0) & (y == f.floor(y))
    missing = y.isNull() | label.isNull() | ~(f.abs(y) < np.inf) | ~(f.abs(label) < np.inf)
    wrong = {
        "rows": f.lit(True),
        "missing": missing,
        "not binary": ~missing & ~label.isin(0.0, 1.0),
        "ones": label == 1,
        "not probabilities": ~missing & ~y.between(0, 1),
        "no classes": ~missing & ~whole,
    }
    counts = pairs.agg(*[f.count_if(is_so).alias(name) for name, is_so in wrong.items()]).first().asDict()
    if not counts["rows"] or counts["missing"]:
        raise InvalidInput(
            f"{counts['missing']} of {counts['rows']} rows lack a finite prediction or label; allowed: one row or "
            "more, and both in each. Drop or fill the others first"
        )
    areas = [name for name in names if name in AREAS]
    if (areas or LOG_LOSS in names) and counts["not binary"]:
        raise InvalidInput(f"{counts['not binary']} labels are neither 0 nor 1; {', '.join(AREAS)} and logLoss need it")
    if areas and counts["ones"] in (0, counts["rows"]):
        raise InvalidInput(f"{counts['ones']} of {counts['rows']} labels are 1; {areas[0]} needs both 0 and 1")
    if LOG_LOSS in names and counts["not probabilities"]:
        raise InvalidInput(f"{counts['not probabilities']} predictions are outside 0..1; logLoss needs probabilities")
    classes = [name for name in names if name in CLASSES]
    if classes and counts["no classes"]:
        raise InvalidInput(
            f"{counts['no classes']} rows hold other than whole numbers >= 0; {classes[0]} compares classes. Round the "
            "predictions, or take areaUnderROC for scores"
        )


def _sampled(frame: Any, size: int, seed: int) -> Any:
    """Return about ``size`` rows as a pandas DataFrame, all where there are no more."""
    count = frame.count()
    chosen = frame if count <= size else frame.sample(size / count, seed=seed)
    return chosen.toArrow().to_pandas()
