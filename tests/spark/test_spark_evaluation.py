"""Metrics of DataFrames: scikit-learn and SciPy as oracles, samples, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as oracle

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.evaluation.frames import FRAME_METRICS, RANKING, frame_metrics, frame_ranking, frame_similarity
from smartrec.evaluation.ranking import rank
from smartrec.evaluation.similarity import table_similarity

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    score = rng.random(1500).round(3)  # with ties
    return pd.DataFrame(
        {
            "score": score,
            "click": (rng.random(1500) < score).astype(int),
            "rating": rng.normal(3, 1, 1500) + score,
            "guess": rng.integers(0, 3, 1500),
            "kind": rng.integers(0, 3, 1500),
        }
    )


@pytest.fixture(scope="module")
def frame(spark, answers):
    return spark.createDataFrame(answers).repartition(2).cache()


def test_regression_is_scikit_learns(frame, answers):
    found = frame_metrics(frame, ["mae", "rmse", "mse", "r2", "var"], "score", "rating")
    y, x = answers.rating, answers.score
    assert list(found) == ["mae", "rmse", "mse", "r2", "var"]
    assert found == pytest.approx(
        {
            "mae": oracle.mean_absolute_error(y, x),
            "rmse": oracle.mean_squared_error(y, x) ** 0.5,
            "mse": oracle.mean_squared_error(y, x),
            "r2": oracle.r2_score(y, x),
            "var": ((x - y.mean()) ** 2).mean(),
        },
        rel=1e-9,
    )


def test_areas_and_log_loss_are_scikit_learns(frame, answers):
    found = frame_metrics(frame, ["areaUnderROC", "areaUnderPR", "logLoss"], "score", "click")
    precision, recall, _ = oracle.precision_recall_curve(answers.click, answers.score)
    precision[-1] = precision[-2]  # Spark draws the curve from the first point's precision, not from 1
    assert found["areaUnderROC"] == pytest.approx(oracle.roc_auc_score(answers.click, answers.score), rel=1e-9)
    assert found["areaUnderPR"] == pytest.approx(oracle.auc(recall, precision), rel=1e-9)
    probabilities = np.clip(answers.score, 1e-15, 1 - 1e-15)
    assert found["logLoss"] == pytest.approx(oracle.log_loss(answers.click, probabilities), rel=1e-9)


def test_classes_are_scikit_learns(frame, answers):
    names = ["f1", "accuracy", "weightedPrecision", "weightedRecall", "hammingLoss"]
    found = frame_metrics(frame, names, "guess", "kind")
    y, x = answers.kind, answers.guess
    wanted = [
        oracle.f1_score(y, x, average="weighted"),
        oracle.accuracy_score(y, x),
        oracle.precision_score(y, x, average="weighted"),
        oracle.recall_score(y, x, average="weighted"),
        oracle.hamming_loss(y, x),
    ]
    assert list(found.values()) == pytest.approx(wanted, rel=1e-9)


def test_ks_is_scipys_and_kl_is_of_probabilities(spark, frame, answers):
    found = frame_metrics(frame, ["ks", "rmse", "kl"], "score", "rating")
    assert found["ks"] == pytest.approx(1 - stats.ks_2samp(answers.rating, answers.score).statistic, abs=1e-12)
    rng = np.random.default_rng(1)
    alike = pd.DataFrame({"a": rng.normal(size=10_000), "b": rng.normal(size=10_000)})
    found = frame_metrics(spark.createDataFrame(alike), ["kl", "ks"], "a", "b")
    assert found["kl"] > 0.99  # on raw counts: 0.1 or less
    assert found["ks"] > 0.97


def test_tables(spark):
    rng = np.random.default_rng(2)
    parts = [
        pd.DataFrame({"age": rng.normal(shift, 1, 6000), "sex": rng.choice(["f", "m"], 6000)}) for shift in (0, 0, 3)
    ]
    real, alike, apart = (spark.createDataFrame(part).repartition(2) for part in parts)
    found = frame_similarity(real, alike.select("sex", "age"))
    assert min(found.ks, found.kl, found.detection) > 0.95
    assert found.ks_columns == table_similarity(parts[0], parts[1]).ks_columns
    sampled = frame_similarity(real, apart, sample=1000)
    assert sampled.ks_columns["age"] == pytest.approx(1 - (2 * stats.norm.cdf(1.5) - 1), abs=0.05)
    assert sampled.detection < 0.1
    assert sampled.svm_detection < 0.1
    assert found.svm_detection > 0.9
    with pytest.raises(InvalidInput, match="only one of the tables has age; allowed: the same"):
        frame_similarity(real.drop("age"), real)
    with pytest.raises(InvalidConfig, match="sample = 2; allowed"):
        frame_similarity(real, real, sample=2)


@pytest.fixture(scope="module")
def lists():
    """Scored items of 60 users, and what they chose; user 3 has no list, user 60 chose nothing."""
    rng = np.random.default_rng(3)
    scored = pd.DataFrame(
        [(u, i, s) for u in range(61) if u != 3 for i, s in enumerate(rng.random(20).round(1)) if rng.random() < 0.6],
        columns=["user_idx", "item_idx", "relevance"],
    )
    chosen = [(u, int(i)) for u in range(60) for i in rng.choice(20, rng.integers(1, 12), replace=False)]
    return scored, pd.DataFrame(chosen, columns=["user_idx", "item_idx"])


@pytest.mark.parametrize("k", [1, 5, 30])
def test_ranking_is_ours(spark, lists, k):
    scored, chosen = lists
    ours = np.full((60, k), -1)
    best_first = scored.sort_values(["relevance", "item_idx"], ascending=False)
    for user, items in best_first[best_first.user_idx < 60].groupby("user_idx").item_idx:
        ours[user, : len(items)] = items.to_numpy()[:k]
    starts = np.concatenate([[0], np.cumsum(np.bincount(chosen.user_idx))])
    ranking = rank(ours, starts, chosen.item_idx.to_numpy(), 20)
    found = frame_ranking(*map(spark.createDataFrame, lists), k=k)
    assert list(found) == list(RANKING)
    for name, values in ranking.figures().items():
        assert found[name] == pytest.approx(values.mean(), rel=1e-12), name
    places = np.arange(1, k + 1)
    average = (ranking.hits * ranking.hits.cumsum(axis=1) / places).sum(axis=1) / np.minimum(k, ranking.held_out)
    assert found["map"] == pytest.approx(average.mean(), rel=1e-12)
    doubled = spark.createDataFrame(pd.concat([chosen, chosen]))
    renamed = spark.createDataFrame(scored.rename(columns={"relevance": "score"}))
    assert frame_ranking(renamed, doubled, ["recall"], k, score="score") == {"recall": found["recall"]}


def test_bad_lists_are_refused(spark, lists):
    scored, chosen = map(spark.createDataFrame, lists)
    for recommendations, truth, options, message in [
        (scored, chosen, {"metrics": "ndgc"}, "no metric 'ndgc' of DataFrames.*ndcg"),
        (scored.drop("relevance"), chosen, {}, "no column 'relevance'"),
        (scored, chosen.selectExpr("user_idx"), {}, "no column 'item_idx'"),
        (scored.union(scored), chosen, {}, "is recommended item .* 2 times; allowed: each item once"),
        (scored, chosen.limit(0), {}, "0 of 0 rows of truth lack a value"),
        (scored.selectExpr("user_idx", "item_idx", "double('nan') relevance"), chosen, {}, "rows of recommendations"),
        (scored, chosen.selectExpr("nullif(user_idx, 3) user_idx", "item_idx"), {}, "rows of truth lack a value"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            frame_ranking(recommendations, truth, **options)
    with pytest.raises(InvalidConfig, match="k = 0; allowed"):
        frame_ranking(scored, chosen, k=0)


def test_bad_input_is_refused(frame):
    with pytest.raises(InvalidInput) as caught:
        frame_metrics(frame, ["rmse", "areaUnderRock"], "score", "click")
    assert "no metric 'areaUnderRock'" in str(caught.value)
    assert all(name in str(caught.value) for name in FRAME_METRICS)
    for names, prediction, label, message in [
        ("rmse", "scores", "click", "no column 'scores'"),
        ("areaUnderROC", "score", "kind", "labels are neither 0 nor 1"),
        ("logLoss", "rating", "click", "outside 0..1; logLoss needs probabilities"),
        ("f1", "score", "click", "f1 compares classes. Round the"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            frame_metrics(frame, names, prediction, label)
    for rows, message in [
        (frame.selectExpr("score", "nullif(click, 1) click"), "of 1500 rows lack a finite prediction"),
        (frame.selectExpr("log(0.0) * 0 + score score", "click").limit(9), "9 of 9 rows lack a finite"),
        (frame.selectExpr("if(click > 0, double('nan'), -double('inf')) score", "click"), "1500 of 1500 rows lack"),
        (frame.selectExpr("score", "click").limit(0), "0 of 0 rows lack"),
        (frame.selectExpr("score", "0 click"), "0 of 1500 labels are 1; areaUnderROC needs both"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            frame_metrics(rows, ["areaUnderROC"], "score", "click")
    with pytest.raises(InvalidConfig, match="sample = 0"):
        frame_metrics(frame, ["ks"], "score", "click", sample=0)
