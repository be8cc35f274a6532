"""Leaderboards: rows made from records, never typed."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from smartrec.evaluation.intervals import Interval, mean_interval
from smartrec.evaluation.metrics import METRICS
from smartrec.evaluation.record import RunRecord

COLUMNS = ("loop", "final", "final_expected", "exploit", "regret", "decision_us")


@dataclass(frozen=True)
class Row:
    """One agent on one task.

    Attributes:
        label: Name of the agent in the table.
        figures: Metric to its interval over seeds.
        by_seed: Headline metric by seed.
    """

    label: str
    figures: dict[str, Interval]
    by_seed: dict[int, float]


@dataclass(frozen=True)
class Leaderboard:
    """The agents on one task, best first.

    Attributes:
        title: Of the task.
        headline: Metric that decides.
        rows: Best first.
        references: Policies that know the truth, in the unit of the headline, name to value.
    """

    title: str
    headline: str
    rows: list[Row]
    references: dict[str, float]

    def verdict(self) -> str:
        """Return in a sentence who wins and by how much, paired over the seeds that both have.

        Agents whose interval of the gap to the first holds 0 cannot be told apart from it.
        """
        first, unit = self.rows[0], METRICS[self.headline].unit
        if len(self.rows) == 1:
            return f"{first.label} ran alone."
        gaps = {row.label: _gap(first, row) for row in self.rows[1:]}
        level = [label for label, gap in gaps.items() if not gap.mean > gap.half_width]
        behind = [label for label in gaps if label not in level]
        if not level:
            second = behind[0]
            return f"{first.label} wins by {gaps[second].text()} {unit} over {second} ({gaps[second].count} seeds)."
        seeds = gaps[level[0]].count
        if seeds < 2:
            return f"{first.label} leads; one seed gives no interval, so nothing is told apart."
        names = f"{', '.join([first.label, *level[:-1]])} and {level[-1]}"
        told = f"{names} cannot be told apart with {seeds} seeds"
        return f"{told}; {behind[0]} is behind by {gaps[behind[0]].text()} {unit}." if behind else f"{told}."


def leaderboard(title: str, records: Sequence[RunRecord], headline: str) -> Leaderboard:
    """Put the records of one task in order of a metric.

    Args:
        title: Of the table.
        records: At least one; a row a label, over all its seeds.
        headline: "loop" or "final".
    """
    by_label: dict[str, dict[int, RunRecord]] = defaultdict(dict)
    for record in records:
        by_label[record.label][record.seed] = record  # of a seed that was run twice, the last
    rows = [_row(label, list(group.values()), headline) for label, group in by_label.items()]
    rows.sort(key=lambda row: row.figures[headline].mean, reverse=METRICS[headline].higher_is_better)
    references = {
        name: records[0].metrics[f"{headline}_{name}"]
        for name in ("random", "best_fixed", "oracle")
        if f"{headline}_{name}" in records[0].metrics
    }
    return Leaderboard(title, headline, rows, references)


def columns_of(board: Leaderboard) -> list[str]:
    """Return the names of the columns of figures, the headline first."""
    rest = [name for name in (f"{board.headline}_normalised", *COLUMNS) if name != board.headline]
    return [board.headline, *rest]


def markdown(board: Leaderboard, columns: Sequence[str] | None = None) -> str:
    """Return the table in Markdown, references as rows of their own and the verdict below.

    Args:
        board: The table.
        columns: Metrics to show; None shows all, the headline first.
    """
    columns = columns_of(board) if columns is None else list(columns)
    heads = [f"{name} {'↑' if METRICS[name].higher_is_better else '↓'}" for name in columns]
    lines = [f"### {board.title}", "", "| agent | " + " | ".join(heads) + " | seeds |"]
    lines.append("|---|" + "---:|" * (len(columns) + 1))
    lines += [_markdown_row(board, name, value, columns) for name, value in _reference_rows(board)]
    for row in board.rows:
        cells = [figure_text(name, row.figures[name]) for name in columns]
        lines.append(f"| {row.label} | " + " | ".join(cells) + f" | {row.figures[board.headline].count} |")
    return "\n".join([*lines, "", board.verdict(), ""])


def to_csv(boards: Sequence[Leaderboard]) -> str:
    """Return all tables as one CSV text, a row an agent and metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["task", "agent", "metric", "unit", "mean", "half_width", "seeds"])
    for board in boards:
        for name, value in board.references.items():
            unit = METRICS[board.headline].unit
            writer.writerow([board.title, f"({name})", board.headline, unit, f"{value:.6g}", 0, ""])
        for row in board.rows:
            for metric in columns_of(board):
                figure = row.figures[metric]
                half_width = f"{figure.half_width:.6g}" if figure.count > 1 else ""
                unit = METRICS[metric].unit
                writer.writerow([board.title, row.label, metric, unit, f"{figure.mean:.6g}", half_width, figure.count])
    return text.getvalue()


def figure_text(metric: str, figure: Interval) -> str:
    """Return a figure as a cell shows it: regret and times without the digits that say nothing."""
    if metric == "regret":
        return figure.text(0)
    return f"{figure.mean:.1f}" if metric.endswith("_us") else figure.text(3)


def _gap(first: Row, other: Row) -> Interval:
    seeds = sorted(set(first.by_seed) & set(other.by_seed))
    return mean_interval([first.by_seed[seed] - other.by_seed[seed] for seed in seeds])


def _reference_rows(board: Leaderboard) -> list[tuple[str, float]]:
    names = {"random": "*random*", "best_fixed": "*best fixed*", "oracle": "*oracle*"}
    return [(names[name], value) for name, value in board.references.items()]


def _markdown_row(board: Leaderboard, name: str, value: float, columns: list[str]) -> str:
    cells = [f"{value:.3f}" if column == board.headline else "" for column in columns]
    return f"| {name} | " + " | ".join(cells) + " | exact |"


def _row(label: str, records: list[RunRecord], headline: str) -> Row:
    names = {f"{headline}_normalised", *COLUMNS}
    figures = {name: mean_interval([record.metrics[name] for record in records]) for name in names}
    return Row(label, figures, {record.seed: record.metrics[headline] for record in records})
