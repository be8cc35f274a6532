"""Learning curves with bands, drawn from records."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.core.files import atomic_write
from smartrec.evaluation.intervals import mean_interval
from smartrec.evaluation.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLOURS = 20
"""Agents that colours tell apart."""

BEST = 10
"""Agents of a panel that are named, at most, where there are more than ``COLOURS`` in all; the others are grey."""

_OTHERS: dict[str, Any] = {"color": "0.8", "lw": 0.8, "zorder": 1}


def curves(panels: Sequence[tuple[str, Sequence[RunRecord]]]) -> "Figure":
    """Draw expected clicks over the iterations, a panel a task, a line an agent, with 95 % bands over seeds.

    Of more than ``COLOURS`` agents, those that end best in a panel are named, and the others are grey lines without a
    band.

    Args:
        panels: Title and records of each task.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    labels = _named(panels)
    beside = 5 if columns > 1 else 3  # names in a row of the legend
    size = 6.4 * columns, 3.9 * rows + 0.2 * max(0, len(labels) / beside - 5)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    palette = colormaps["tab10" if len(labels) <= 10 else "tab20"]
    styles = {label: {"color": palette(number), "lw": 1.6} for number, label in enumerate(labels)}
    for axis, (title, records) in zip(axes, panels, strict=False):
        _panel(axis, title, records, styles)
    handles = {line.get_label(): line for axis in axes for line in axis.get_lines() if line.get_label()[0] != "_"}
    names = [name for name in handles if name not in labels] + labels
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=beside, fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def training_curves(points: Sequence[Mapping[str, float]], title: str = "") -> "Figure":
    """Draw each figure of a training over its epochs, the train side beside the test side.

    Args:
        points: Of ``evaluation.training.train``, or the lines of its ``curves.jsonl``.
        title: Of the whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted({tag.partition("/")[2] for point in points for tag in point if "/" in tag})
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        for side, style in (("train", "-"), ("test", "--")):
            there = [(point["epoch"], point[f"{side}/{name}"]) for point in points if f"{side}/{name}" in point]
            if there:
                axis.plot(*zip(*there, strict=True), style, lw=1.5, label=side)
        axis.set(title=name, xlabel="epoch")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, under a temporary name first.

    Raises:
        OutputError: The folder cannot be written.
    """
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})


def _named(panels: Sequence[tuple[str, Sequence[RunRecord]]]) -> list[str]:
    """Return the agents that are named, in the order of the alphabet."""
    best: set[str] = set()
    labels = {record.label for _, records in panels for record in records}
    for _, records in panels:
        ends = defaultdict(list)
        for record in records:
            ends[record.label].append(record.column("expected")[-1])
        best.update(sorted(ends, key=lambda label: (-np.mean(ends[label]), label))[: min(BEST, COLOURS // len(panels))])
    return sorted(labels if len(labels) <= COLOURS else best)


def _panel(axis: "Axes", title: str, records: Sequence[RunRecord], styles: dict[str, dict[str, Any]]) -> None:
    from matplotlib.ticker import MaxNLocator

    by_label: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        by_label[record.label].append(record)
    visits = np.array(records[0].column("visits"))
    iteration = visits / visits[0]  # the first point is at iteration 1
    for name, style, label in (("best", "--", "oracle"), ("random", ":", "random (exact)")):
        mean = np.mean([record.column(name) for record in records], axis=0)
        axis.plot(iteration, mean, color="0.35", ls=style, lw=1.2, label=label)
    fixed, oracle = (
        np.mean([record.metrics.get(name, np.nan) for record in records])
        for name in ("final_best_fixed", "final_oracle")
    )
    if fixed < oracle - 1e-9:  # where users differ
        axis.axhline(float(fixed), color="0.35", ls="-.", lw=1.2, label="best fixed, at the end")
    for label in sorted(by_label, key=lambda name: -np.mean([r.column("expected")[-1] for r in by_label[name]])):
        _line(axis, iteration, by_label[label], label, styles.get(label))
    axis.set(title=title, xlabel="iteration", ylabel="expected clicks a user")
    axis.set_xlim(1, max(2, iteration[-1]))
    axis.grid(alpha=0.25)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _line(
    axis: "Axes", iteration: FloatArray, records: list[RunRecord], label: str, style: dict[str, Any] | None
) -> None:
    points = np.array([record.column("expected") for record in records]).T
    intervals = [mean_interval(point.tolist()) for point in points]
    mean = np.array([interval.mean for interval in intervals])
    axis.plot(iteration, mean, **({"label": f"_{label}", **_OTHERS} if style is None else {"label": label, **style}))
    if style is not None and len(records) > 1:
        half = np.array([interval.half_width for interval in intervals])
        axis.fill_between(iteration, np.maximum(mean - half, 0), mean + half, color=style["color"], alpha=0.18, lw=0)
