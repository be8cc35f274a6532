"""The anomaly detector tells noise from what it has learnt the law of, and leaves torch's generator alone."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.data import by_user, load
from smartrec.data.embeddings import embed
from smartrec.evaluation import save_figure
from smartrec.evaluation.diagnostics import (
    METRICS,
    AnomalyConfig,
    AnomalyDetector,
    anomalies,
    anomaly_figure,
    nearest,
    nearest_figure,
    overlap,
    overlap_figure,
    pairs,
    pairs_figure,
)

QUICK = AnomalyConfig(epochs=40)


def on_a_plane(n, seed):
    """Vectors of 16 numbers, negative ones too, that lie on a plane of 3 dimensions."""
    plane = np.random.default_rng(99).normal(size=(3, 16))
    return np.random.default_rng(seed).normal(size=(n, 3)) @ plane


def like(vectors, seed):
    """Noise of the same mean and deviation in each coordinate."""
    return np.random.default_rng(seed).normal(vectors.mean(axis=0), vectors.std(axis=0), vectors.shape)


def test_held_out_vectors_are_five_times_nearer_than_noise_of_the_same_moments():
    train, test = on_a_plane(600, 0), on_a_plane(200, 1)
    detector = AnomalyDetector(QUICK, seed=0)
    detector.fit(train)
    found = anomalies(detector, {"train": train, "test": test, "noise": like(test, 2)})
    assert found.wasserstein["train"] == 0
    assert found.wasserstein["test"] < found.wasserstein["noise"] / 5
    wanted = wasserstein_distance(found.scores["train"], found.scores["noise"])
    assert found.wasserstein["noise"] == pytest.approx(wanted)
    # What is rebuilt best is still far better than rebuilding the mean: 16 in these units.
    assert np.median(found.scores["test"]) < 2


@pytest.mark.data
@pytest.mark.slow
def test_on_movielens_100k_real_films_and_choices_are_five_times_nearer_than_noise():
    dataset = load("ml-100k")
    vectors = embed(dataset).vectors
    order = np.random.default_rng(0).permutation(len(vectors))
    films = vectors[order[:1345]], vectors[order[1345:]]
    choices = [vectors[side.items[::5]] for side in by_user(dataset.interactions, 0.2, seed=0)]
    for (train, test), factor in ((films, 5), (choices, 20)):
        detector = AnomalyDetector(seed=0)
        detector.fit(train)
        found = anomalies(detector, {"train": train, "test": test, "noise": like(train, 1)})
        assert found.wasserstein["test"] < found.wasserstein["noise"] / factor


def test_the_same_seed_learns_the_same_and_the_global_generator_is_left_alone():
    train = on_a_plane(100, 0)
    before = torch.get_rng_state()
    scores = []
    for seed in (3, 3, 4):
        detector = AnomalyDetector(AnomalyConfig(epochs=3), seed=seed)
        detector.fit(train)
        scores.append(detector.scores(train).tolist())
    assert scores[0] == scores[1] != scores[2]
    assert torch.equal(torch.get_rng_state(), before)


def test_scores_neither_depend_on_the_batch_nor_change_anything():
    train = on_a_plane(100, 0)
    detector = AnomalyDetector(AnomalyConfig(epochs=3), seed=0)
    detector.fit(train)
    alone = [float(detector.scores(train[row : row + 1])[0]) for row in range(5)]
    assert detector.scores(train)[:5] == pytest.approx(np.array(alone), rel=1e-4)
    assert detector.scores(train).tolist() == detector.scores(train).tolist()


def test_bad_input_is_named():
    detector = AnomalyDetector(seed=0)
    with pytest.raises(InvalidConfig, match="call fit first"):
        detector.scores(np.zeros((2, 3)))
    with pytest.raises(InvalidInput, match="9 vectors to learn from"):
        detector.fit(np.zeros((9, 3)))
    for share, left in ((0.9, 1), (0.96, 0)):
        with pytest.raises(InvalidInput, match=f"held_out = {share} of 10 vectors leaves {left} to learn from"):
            AnomalyDetector(AnomalyConfig(held_out=share), seed=0).fit(np.eye(10))
    with pytest.raises(InvalidConfig, match="epochs = 0"):
        AnomalyConfig(epochs=0)
    with pytest.raises(InvalidInput, match="no groups"):
        anomalies(detector, {})
    detector = AnomalyDetector(AnomalyConfig(epochs=1), seed=0)
    assert np.isfinite(detector.fit(np.ones((12, 3)))["held_out"])
    with pytest.raises(InvalidInput, match="vectors have shape"):
        detector.scores(np.zeros((2, 4)))


def test_every_plot_is_a_picture_of_its_numbers(tmp_path):
    items = on_a_plane(60, 0)
    detector = AnomalyDetector(AnomalyConfig(epochs=2), seed=0)
    detector.fit(items)
    groups = {"train": items, "generated": items[:1].repeat(5, 0), "noise": like(items, 1)}
    found = anomalies(detector, groups)
    figures = {
        "anomaly": anomaly_figure(found),
        "pairs": pairs_figure([pairs(items, like(items, 1)[:20], metric) for metric in ("euclidean", "cosine")]),
        "overlap": overlap_figure(overlap(items[:6], items, 10)),
        "nearest": nearest_figure({metric: nearest(items[:1], items, 10, metric) for metric in METRICS}),
    }
    texts = {text.get_text() for text in figures["anomaly"].axes[0].get_legend().get_texts()}
    assert f"noise: W = {found.wasserstein['noise']:.3g}" in texts
    assert len([axis for axis in figures["nearest"].axes if axis.get_title() in METRICS]) == len(METRICS)
    for name, figure in figures.items():
        save_figure(figure, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
