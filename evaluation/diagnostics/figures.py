"""Plots of diagnostics; ``evaluation.save_figure`` writes them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.evaluation.diagnostics.anomaly import Anomalies, density
from smartrec.evaluation.diagnostics.distances import Pairs
from smartrec.evaluation.diagnostics.overlap import Overlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 400
LARGEST_LABELLED = 12
"""Rows of a matrix up to which its cells show their numbers."""


def anomaly_figure(found: Anomalies) -> "Figure":
    """Draw the density of each group's anomaly scores on a logarithmic axis, with its distance from the first."""
    figure = _figure(7.0, 3.9)
    axis = figure.subplots()
    logs = {name: np.log10(np.maximum(scores, 1e-9)) for name, scores in found.scores.items()}
    low, high = min(map(np.min, logs.values())), max(map(np.max, logs.values()))
    at = np.linspace(low - 0.2, high + 0.2, POINTS)
    for number, (name, values) in enumerate(logs.items()):
        label = name if number == 0 else f"{name}: W = {found.wasserstein[name]:.3g}"
        (line,) = axis.plot(10**at, density(values, at), lw=1.6, label=label)
        axis.fill_between(10**at, density(values, at), color=line.get_color(), alpha=0.15, lw=0)
    first = next(iter(found.scores))
    axis.set(xscale="log", xlabel="anomaly score (squared error)", ylabel="density over log10 of the score")
    axis.set(title=f"Anomaly scores; W: Wasserstein distance from {first}", ylim=(0, None))
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8)
    return figure


def pairs_figure(found: Sequence[Pairs]) -> "Figure":
    """Draw matrices of distances side by side, lines between real and generated actions."""
    figure = _figure(5.0 * len(found), 4.4)
    for axis, one in zip(figure.subplots(1, len(found), squeeze=False).ravel(), found, strict=True):
        image = axis.imshow(one.table, cmap="viridis", interpolation="nearest")
        for draw in (axis.axhline, axis.axvline):
            draw(one.n_real - 0.5, color="white", lw=1.2)
        middle = [one.n_real / 2, (one.n_real + len(one.table)) / 2]
        axis.set_xticks(middle, ["real", "generated"])
        axis.set_yticks(middle, ["real", "generated"], rotation=90, va="center")
        axis.tick_params(length=0)
        figures = one.figures
        axis.set_title(f"{one.metric} distance\nspread {figures['spread']:.2f}, nearest {figures['nearest']:.2f}")
        figure.colorbar(image, ax=axis, shrink=0.85)
    return figure


def overlap_figure(found: Overlap) -> "Figure":
    """Draw which share of their items each two actions have in common, and how far apart they are."""
    figure = _figure(10.0, 4.9)
    left, right = figure.subplots(1, 2)
    k = found.items.shape[1]
    _matrix(figure, left, found.shared, f"share of the top {k} in common", (0.0, 1.0))
    _matrix(figure, right, found.apart, "distance of the actions", (0.0, float(found.apart.max()) or 1.0))
    return figure


def nearest_figure(found: Mapping[str, tuple[IntArray, FloatArray]], names: Sequence[str] | None = None) -> "Figure":
    """Draw the items nearest to an action by each metric, a panel a metric, a bar an item, as long as its distance.

    Args:
        found: Metric to items int [1, K] and distances float [1, K], as ``nearest`` returns them.
        names: Of the items, [I]; None takes their numbers.
    """
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    count = max(items.shape[1] for items, _ in found.values())
    figure = _figure(4.6 * columns, rows * (0.8 + 0.22 * count))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (metric, (items, apart)) in zip(axes, found.items(), strict=False):
        labels = [str(item) if names is None else _short(names[item]) for item in items[0].tolist()]
        axis.barh(range(len(labels)), apart[0], color="C0", alpha=0.75)
        axis.set_yticks(range(len(labels)), labels, fontsize=7)
        axis.invert_yaxis()
        axis.set_title(metric, fontsize=9)
        axis.tick_params(axis="x", labelsize=7)
        axis.grid(alpha=0.25, axis="x")
    for axis in axes[len(found) :]:
        axis.set_visible(False)
    return figure


def _matrix(figure: "Figure", axis: "Axes", table: FloatArray, title: str, span: tuple[float, float]) -> None:
    image = axis.imshow(table, cmap="viridis", vmin=span[0], vmax=span[1], interpolation="nearest")
    figure.colorbar(image, ax=axis, shrink=0.85)
    axis.set(title=title, xlabel="action", ylabel="action")
    ticks = np.unique(np.linspace(0, len(table) - 1, min(len(table), LARGEST_LABELLED)).astype(int))
    axis.set_xticks(ticks)
    axis.set_yticks(ticks)
    if len(table) <= LARGEST_LABELLED:
        for (row, column), value in np.ndenumerate(table):
            dark = value < (span[0] + span[1]) / 2
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color="w" if dark else "k")


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
