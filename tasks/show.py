"""What the command line prints: tables on a terminal, plain lines in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from smartrec.evaluation.metrics import METRICS
from smartrec.evaluation.record import RunRecord
from smartrec.evaluation.table import Leaderboard, figure_text

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 120


def console() -> "Console":
    """Return a console as wide as the terminal; in a log, wide enough for a table."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else LOG_WIDTH, highlight=False)


def print_pairs(title: str, rows: list[tuple[str, str]]) -> None:
    """Print names and what they stand for."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, about in rows:
        table.add_row(escape(name), escape(about))
    out = console()
    out.print(title, markup=False, soft_wrap=True)
    out.print(table)


def print_leaderboard(board: Leaderboard, notes: list[str]) -> None:
    """Print who wins; the files have all columns."""
    from rich.table import Table

    out = console()
    normal = f"{board.headline}_normalised"
    columns = [board.headline, normal, "regret", "decision_us"]
    table = Table(title=board.title, title_justify="left")
    table.add_column("agent", no_wrap=True)
    for name in columns:
        arrow = "↑" if METRICS[name].higher_is_better else "↓"
        table.add_column(f"{name} {arrow}", justify="right", no_wrap=True)
    for name, value in sorted(board.references.items(), key=lambda pair: -pair[1]):
        table.add_row(f"({name.replace('_', ' ')})", f"{value:.3f}", *[""] * (len(columns) - 1), style="dim")
    for row in board.rows:
        table.add_row(row.label, *[figure_text(name, row.figures[name]) for name in columns])
    out.print(table)
    for note in [board.verdict(), *notes]:
        out.print(note, markup=False)
    out.print()


def print_record(record: RunRecord) -> None:
    """Print the figures of a run, with unit and meaning."""
    rows = []
    for name, metric in METRICS.items():
        if name in record.metrics:
            rows.append((name, f"{record.metrics[name]:10.3f}  {metric.unit}: {metric.about}"))
    for name in ("random", "best_fixed", "oracle"):
        if f"final_{name}" in record.metrics:
            text = (
                f"{record.metrics[f'loop_{name}']:10.3f}  in the loop, {record.metrics[f'final_{name}']:.3f} in the end"
            )
            rows.append((f"({name})", text))
    print_pairs(f"{record.label} on {record.environment}, seed {record.seed}", rows)


@contextmanager
def progress(total: int, what: str) -> Iterator[Any]:
    """Yield a function that counts one more done: a bar on a terminal, silent in a log."""
    if total == 0 or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda *_: bar.advance(task)
