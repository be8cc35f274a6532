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
    """Print who wins, in as many columns as fit; the files have all of them."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    columns = [board.headline, f"{board.headline}_normalised", "regret", "decision_us"]
    rows = [[row.label, *(figure_text(name, row.figures[name]) for name in columns)] for row in board.rows]
    heads = [f"{name} {'↑' if METRICS[name].higher_is_better else '↓'}" for name in columns]
    shown = _columns_that_fit([["agent", *heads], *rows], out.width)
    table = Table(title=Text(board.title), title_justify="left")
    table.add_column("agent", overflow="fold")
    for head in heads[: shown - 1]:
        table.add_column(head, justify="right", no_wrap=True)
    for name, value in sorted(board.references.items(), key=lambda pair: -pair[1]):
        table.add_row(f"({name.replace('_', ' ')})", f"{value:.3f}", style="dim")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row[:shown]))
    out.print(table)
    count = board.rows[0].figures[board.headline].count
    about = f"mean ± 95 % interval over {count} seeds" if count > 1 else "one seed"
    for note in [board.verdict(), *notes, about]:
        out.print(note, markup=False)
    out.print()


def _columns_that_fit(cells: list[list[str]], width: int) -> int:
    """Return how many columns fit without cutting a number: names may be folded, figures are left out."""
    shown = len(cells[0])
    while shown > 2:
        widths = [max(len(row[place]) for row in cells) for place in range(shown)]
        if sum(widths) + 3 * shown + 1 <= width:
            break
        shown -= 1
    return shown


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


def point_text(point: dict[str, float]) -> str:
    """Return a point of a training's curves in a line."""
    figures = " ".join(f"{name} {value:.4g}" for name, value in point.items() if "/" in name)
    return f"batch {point['batch']:,} epoch {point['epoch']:.2f}: {figures}"


@contextmanager
def progress(total: int, what: str) -> Iterator[Any]:
    """Yield a function that counts one more done: a bar on a terminal, silent in a log.

    Called with two numbers, it takes the first for how many are done.
    """
    if total == 0 or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)

        def tick(*counts: Any) -> None:
            if len(counts) == 2:
                bar.update(task, completed=counts[0])
            else:
                bar.advance(task)

        yield tick
