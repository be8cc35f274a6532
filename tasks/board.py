"""A leaderboard from beginning to end: which tasks on which data, the runs, and the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartrec.agents import make
from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, MissingExtra, OutputError
from smartrec.core.files import atomic_write
from smartrec.data.sber import find_tables
from smartrec.evaluation.plots import curves, save_figure
from smartrec.evaluation.record import RunRecord
from smartrec.evaluation.store import RecordStore
from smartrec.evaluation.table import Leaderboard, leaderboard, markdown, to_csv
from smartrec.tasks.base import Contender, Setting, Task
from smartrec.tasks.registry import TASKS
from smartrec.tasks.sber import REPLAY

EVALUATION_SEED = 1000
"""First seed of leaderboards; options are tuned on seeds below it, never on these."""

REAL, PUBLISHED = "ml-100k", "sber-small"
REAL_TASKS = ("2", "4")
"""Data that a leaderboard takes unasked where they are on the machine, and the tasks they are taken for."""

RECORDS, TABLE, CSV, PLOT = "records.jsonl", "leaderboard.md", "leaderboard.csv", "curves.png"


@dataclass(frozen=True)
class Entry:
    """One table of a leaderboard.

    Attributes:
        task: The question.
        setting: Its configuration.
        notes: Where the crowd comes from, and how well a fitted model does.
        contenders: The rows.
    """

    task: Task
    setting: Setting
    notes: list[str]
    contenders: tuple[Contender, ...]

    @property
    def title(self) -> str:
        """Task, data and question in a line."""
        options = {key: value for key, value in self.setting.options.items() if key != "dataset"}
        text = "".join(f", {key}={value}" for key, value in options.items())
        return f"Task {self.task.name} on {self.setting.name}{text}: {self.task.question}"


def plan(
    tasks: Sequence[str],
    datasets: Sequence[str],
    agents: Sequence[str],
    options: dict[str, Any],
    *,
    deep: bool = False,
    spark: bool = False,
) -> tuple[list[Entry], list[str]]:
    """Choose the tables, and make each world once so that what is wrong shows before anything runs.

    Args:
        tasks: Names; empty takes all that the data allow.
        datasets: Names or paths; empty takes synthetic crowds, and real data where they are.
        agents: Labels of the tasks' rows, registered names or ``module:Class``; empty takes the tasks' rows.
        options: Further keyword arguments of the environments.
        deep: Whether ``agents`` left empty takes the deep rows too.
        spark: Whether it takes those of Spark too, as far as they can be.

    Returns:
        Tables, and lines that say what was left out and why.

    Raises:
        SmartRecError: A name is unknown, an option wrong, or data that were asked for are missing.
    """
    wanted = [(name, data) for data in datasets or ("synthetic",) for name in tasks or TASKS]
    if not datasets:
        real = [REAL] if find_tables(PUBLISHED) is None else [REAL, PUBLISHED]
        wanted += [(name, data) for data in real for name in tasks or TASKS if name in REAL_TASKS]
    entries: list[Entry] = []
    left_out: list[str] = []
    for name, dataset in wanted:
        task: Task = TASKS.get(name)
        try:
            entry, unfit = _entry(
                task,
                task.setting(dataset, **options),
                contenders_of(task, agents, deep, spark),
                strict=bool(tasks),
                may_miss=() if agents else task.spark,
            )
            entries += [entry] if entry.contenders else []
            left_out += unfit
        except DataNotFound as error:
            if datasets:
                raise
            left_out.append(f"Task {name} on {dataset} is left out: {error}")
        except DataError as error:
            if tasks:
                raise
            left_out.append(f"Task {name} on {dataset} is left out: {error}")
    return entries, left_out


def contenders_of(task: Task, agents: Sequence[str], deep: bool = False, spark: bool = False) -> tuple[Contender, ...]:
    """Return the rows of a task with these labels; other names are agents with their default options."""
    if not agents:
        return task.contenders + (task.spark if spark else ()) + (task.deep if deep else ())
    rows = {row.label: row for row in REPLAY + task.contenders + task.deep}
    return tuple(rows.get(name, Contender(name, name)) for name in agents)


def write_files(folder: Path, tables: Sequence[tuple[Entry, Leaderboard, Sequence[RunRecord]]]) -> None:
    """Write the tables in Markdown and CSV and the plot, each all or nothing."""
    boards = [board for _, board, _ in tables]
    with atomic_write(folder / TABLE) as file:
        for entry, board, _ in tables:
            file.write(markdown(board) + "".join(f"\n{note}\n" for note in entry.notes) + "\n")
    with atomic_write(folder / CSV) as file:
        file.write(to_csv(boards))
    save_figure(curves([(_short(entry), records) for entry, _, records in tables]), folder / PLOT)


def open_store(folder: Path) -> RecordStore:
    """Return the records of a folder, made if need be.

    Raises:
        OutputError: It cannot be written, or holds files that are no leaderboard's.
        DataError: Its records are damaged.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RECORDS).exists():
        raise OutputError(f"{folder} holds other files and no {RECORDS} to go on from; choose a new folder")
    return RecordStore(folder / RECORDS)


def table_of(entry: Entry, records: Sequence[RunRecord]) -> Leaderboard:
    """Return the table of an entry."""
    return leaderboard(entry.title, records, entry.task.headline)


def _entry(
    task: Task, setting: Setting, contenders: Sequence[Contender], *, strict: bool, may_miss: Sequence[Contender]
) -> tuple[Entry, list[str]]:
    """Return a table to be, and lines on the agents that cannot play it.

    With ``strict`` those are errors, but for the rows that ``may_miss``.
    """
    envs = task.make(setting)
    world: Any = envs.unwrapped
    crowd = world.crowd
    notes = [
        f"{crowd.about}: {crowd.n_users:,} users, {crowd.n_items:,} items, {world.settings.slate_size} a visit, "
        f"{world.iterations} iterations of {world.users_per_iteration} users"
    ]
    notes += [f"{name}: {value}" for name, value in crowd.report]
    fit: list[Contender] = []
    unfit: list[str] = []
    for row in contenders:
        try:
            make(row.agent, envs, seed=0, **row.config)
            fit.append(row)
        except (InvalidConfig, MissingExtra) as error:
            if strict and row not in may_miss:
                raise
            unfit.append(f"Task {task.name}: {row.label} is left out: {error}")
    return Entry(task, setting, notes, tuple(fit)), unfit


def _short(entry: Entry) -> str:
    return f"Task {entry.task.name} on {entry.setting.name}"
