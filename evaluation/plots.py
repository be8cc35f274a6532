"""Learning curves with bands, drawn from records."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smartrec.core.files import atomic_write
from smartrec.evaluation.intervals import mean_interval
from smartrec.evaluation.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VISITS, REWARD, EXPECTED, BEST, RANDOM, REGRET = range(6)
"""Columns of ``RunRecord.curve``."""


def curves(panels: Sequence[tuple[str, Sequence[RunRecord]]]) -> "Figure":
    """Draw expected clicks over the iterations, a panel a task, a line an agent, with 95 % bands over seeds.

    Args:
        panels: Title and records of each task.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4 * columns, 3.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, (title, records) in zip(axes, panels, strict=False):
        _panel(axis, title, records)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, under a temporary name first.

    Raises:
        OutputError: The folder cannot be written.
    """
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=110, metadata={"Software": None})


def _panel(axis: "Axes", title: str, records: Sequence[RunRecord]) -> None:
    by_label: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        by_label[record.label].append(np.array(record.curve))
    everything = [run for runs in by_label.values() for run in runs]
    iteration = np.arange(1, len(everything[0]) + 1)
    axis.plot(iteration, np.mean([run[:, BEST] for run in everything], axis=0), color="0.2", ls="--", label="oracle")
    axis.plot(
        iteration,
        np.mean([run[:, RANDOM] for run in everything], axis=0),
        color="0.6",
        ls=":",
        label="random (exact)",
    )
    ends = {label: float(np.mean([run[-1, EXPECTED] for run in runs])) for label, runs in by_label.items()}
    for label in sorted(by_label, key=lambda name: -ends[name]):
        intervals = [mean_interval(point) for point in np.array([run[:, EXPECTED] for run in by_label[label]]).T]
        mean = np.array([interval.mean for interval in intervals])
        (line,) = axis.plot(iteration, mean, label=label, lw=1.6)
        if intervals[0].count > 1:
            half = np.array([interval.half_width for interval in intervals])
            axis.fill_between(iteration, mean - half, mean + half, color=line.get_color(), alpha=0.18, lw=0)
    axis.set(title=title, xlabel="iteration", ylabel="expected clicks a user")
    axis.set_xlim(1, iteration[-1])
    axis.grid(alpha=0.25)
    axis.legend(fontsize=7, ncols=2, framealpha=0.6)
