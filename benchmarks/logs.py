"""Row 12: a log of MovieLens-20M's layout and size, read, kept, sorted, windowed and passed over once."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.big_log import ROWS
from benchmarks.peers import missing, named
from benchmarks.table import Row, seconds, short
from benchmarks.timing import in_turn
from smartrec.core.arrays import Array
from smartrec.data import Batches, DenseFrames, Frames, Trajectories
from smartrec.data.kept import load_kept
from smartrec.data.movielens import read_rating_columns
from smartrec.data.sources import load

FRAME, WIDTH, BATCH = 10, 128, 128
PART = 100_000
"""Frames that are compared with a file: 1.1 GB, which stay in the page cache."""

PEER_BATCHES = (256, 1024, 5000)
"""Rows a slice; the peer is given its best."""

_ALONE = (sys.executable, "-m")


def big_log(quick: bool) -> list[Row]:
    """Logs of 1, 5 and 20 million rows (1 million if quick), then pandas and h5py on the largest."""
    sizes = (1_000_000,) if quick else (1_000_000, 5_000_000, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"{rows // 10**6}m" for rows in sizes]
        for log, rows in zip(logs, sizes, strict=True):
            # In a process of its own, because a child counts what its parent had at most as its own.
            subprocess.run([*_ALONE, "benchmarks.big_log", str(log), str(rows)], check=True)
        stages = [_stages(log) for log in logs]
        os.environ["SMARTREC_CACHE"] = str(Path(folder) / "cache")
        grown = [_growth(stages, sizes)] if len(sizes) > 1 else []
        return [
            *(row for size, stage in zip(sizes, stages, strict=True) for row in _stage_rows(size, stage)),
            *grown,
            *_reading(logs[-1], sizes[-1], 2 if quick else 3),
            *_passing(Path(folder), logs[0], 2 if quick else 5),
        ]


def _stages(log: Path) -> dict[str, float]:
    """Return what a process of its own took for each stage, in seconds of CPU, and its peaks of memory, in GB."""
    done = subprocess.run([*_ALONE, "benchmarks.log_stages", str(log)], stdout=subprocess.PIPE, text=True, check=True)
    stages: dict[str, float] = json.loads(done.stdout)
    return stages


def _stage_rows(size: int, stage: dict[str, float]) -> list[Row]:
    shapes = f"state and next state [{BATCH}, {FRAME * (WIDTH + 1)}], action [{BATCH}, {WIDTH}]"
    rows = []
    for what, names, peak, bar in (
        ("CSV to a data set", ("read",), "peak read", 4),
        (f"and one pass over all frames, {shapes}", ("sort", "pass"), "peak", 6),
    ):
        took = ", ".join(f"{name} {seconds(stage[name])} of CPU" for name in names)
        rows.append(Row(12, f"{size:,} rows, {what}, peak memory", took, "-", stage[peak], "GB", bar=bar))
    return rows


def _growth(stages: list[dict[str, float]], sizes: tuple[int, ...]) -> Row:
    per_row = [
        sum(stage[name] for name in ("read", "sort", "pass")) / n for stage, n in zip(stages, sizes, strict=True)
    ]
    told = ", ".join(f"{short(size)} {seconds(cost)}" for size, cost in zip(sizes, per_row, strict=True))
    what = "read, sorted and passed once, CPU time a row, most rows against fewest"
    return Row(12, what, told, "-", per_row[-1] / per_row[0], bar=1.5)


def _reading(log: Path, size: int, rounds: int) -> list[Row]:
    """Compare with pandas, whose reader of CSV has one thread; ours has all cores, what was kept needs one."""
    path, pandas = log / "ratings.csv", import_module("pandas")
    load_kept(log)
    peer = partial(pandas.read_csv, path)
    rows = []
    for what, ours, clock, bar in (
        ("CSV to typed columns, all cores", partial(read_rating_columns, path), time.perf_counter, 4),
        ("CSV to a data set (typed, checked, numbered), all cores", partial(load, log), time.perf_counter, None),
        ("the same from what was kept, CPU time", partial(load_kept, log), time.process_time, 50),
    ):
        took, theirs = (min(times) for times in in_turn([ours, peer], rounds, clock))
        told = f"{named('pandas')} read_csv {seconds(theirs)}"
        held = bar if size == ROWS else None  # a small log is mostly what does not grow with it
        rows.append(Row(12, f"{size:,} rows, {what}", seconds(took), told, theirs / took, bar=held, at_least=True))
    return rows


def _passing(folder: Path, log: Path, rounds: int) -> list[Row]:
    """Compare a pass over some frames with reading the same frames from RecNN's layout."""
    frames = Frames(Trajectories.of(load(log).interactions), FRAME)
    vectors = np.random.default_rng(0).normal(size=(frames.trajectories.n_items, WIDTH))
    dense = DenseFrames(frames, vectors)
    size = f"{PART:,} frames, {_bytes_a_frame() * PART / 1e9:.2f} GB"
    names = [
        f"{size}, one pass in order, frames a CPU-second",
        f"{PART // 10:,} frames in random order, frames a CPU-second",
    ]
    reason = missing("h5py", "h5py")
    if reason:
        return [Row(12, names[0], "-", reason, None, bar=2.5, at_least=True)]
    path = folder / "frames.h5"
    _write_layout(path, dense)
    with import_module("h5py").File(path) as file:
        shuffled = np.random.default_rng(0).permutation(PART)[: PART // 10]
        readers = [partial(_read_slices, file, batch) for batch in PEER_BATCHES]
        times = in_turn([partial(_pass, dense, np.arange(PART)), *readers], rounds, time.process_time)
        there = min(min(times) for times in times[1:])
        rows = [_pass_row(names[0], PART, min(times[0]), there, 2.5)]
        sides: list[Callable[[], object]] = [partial(_pass, dense, shuffled), partial(_read_rows, file, shuffled)]
        here, there = (min(times) for times in in_turn(sides, 1, time.process_time))
        return [*rows, _pass_row(names[1], len(shuffled), here, there, None)]


def _pass_row(what: str, count: int, here: float, there: float, bar: float | None) -> Row:
    ours, theirs = (
        f"{short(count / took)}/s ({count * _bytes_a_frame() / took / 1e9:.3g} GB/s)" for took in (here, there)
    )
    return Row(12, what, ours, f"{named('h5py')}, RecNN's layout, {theirs}", there / here, bar=bar, at_least=True)


def _bytes_a_frame() -> int:
    return 4 * (2 * FRAME * (WIDTH + 1) + WIDTH + 1) + 1


def _pass(dense: DenseFrames, numbers: Array) -> None:
    batches = (numbers[first : first + BATCH] for first in range(0, len(numbers), BATCH))
    for _ in dense.stream(batches, dense.room(BATCH)):
        pass


def _write_layout(path: Path, dense: DenseFrames) -> None:
    """Write the part of the frames as RecNN's static data set has them; it lies in the page cache then."""
    with import_module("h5py").File(path, "w") as file:
        for name, values in dense.room(1).items():
            file.create_dataset(name, (PART, *values.shape[1:]), values.dtype)
        for numbers in Batches(PART, 5000):
            for name, values in dense.batch(numbers).items():
                file[name][numbers[0] : numbers[-1] + 1] = values


def _read_slices(file: Any, size: int) -> None:
    """Read all rows into arrays that are used again, which is faster than new ones."""
    sets = dict(file.items())
    room = {name: np.empty((size, *values.shape[1:]), values.dtype) for name, values in sets.items()}
    for first in range(0, PART - size + 1, size):
        for name, values in sets.items():
            values.read_direct(room[name], np.s_[first : first + size])


def _read_rows(file: Any, numbers: Array) -> None:
    for first in range(0, len(numbers), BATCH):
        rows = np.sort(numbers[first : first + BATCH])
        for name in file:
            file[name][rows]
