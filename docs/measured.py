"""What the committed leaderboard says of an agent or an environment, and figures of it."""

import io
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from smartrec.agents import AGENTS
from smartrec.core.config import digest
from smartrec.core.files import atomic_write
from smartrec.evaluation import RunRecord, curves, read_records
from smartrec.tasks import TASKS, Task

RECORDS = Path(__file__).resolve().parent / "leaderboard" / "records.jsonl"
MOST_BYTES = 50_000
"""Size of a figure; it gets as many colours as that allows."""
MOST_BANDS = 4
"""Lines that are drawn with a band; those of more lines cover each other."""


def records_of(name: str) -> list[RunRecord]:
    """Return the committed records of an agent."""
    return [record for record in all_records() if record.agent == AGENTS.entry(name).target]


def records_on(environment: str) -> list[RunRecord]:
    """Return the committed records of an environment."""
    return [record for record in all_records() if record.environment == environment]


def figure_digest(records: Sequence[RunRecord]) -> str:
    """Return what a figure says of the records that it was made from."""
    drawn = [[_world(record), record.label, record.seed, record.curve] for record in records]
    return f"records {digest(drawn)}"


def write_figure(path: Path, records: Sequence[RunRecord]) -> None:
    """Draw learning curves, a panel a world."""
    from PIL import Image

    worlds, labels = worlds_of(records), {record.label for record in records}
    figure = curves(list(worlds.items()))
    if len(labels) > MOST_BANDS:
        for band in [band for axis in figure.axes for band in axis.collections]:
            band.remove()
        for axis in figure.axes:
            axis.relim()
            axis.autoscale(axis="y")
    rows = -(-len(worlds) // 2)
    legend = -(-(len(labels) + 2) // 5)  # with random and oracle, five a row
    figure.set_size_inches(8, (2.7 if len(worlds) > 1 else 3.6) * rows + 0.25 * legend)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=72)
    with atomic_write(path, "wb") as file:
        file.write(_small(Image.open(drawn).convert("RGB"), figure_digest(records)))


def _small(image: Any, description: str) -> bytes:
    """Return an image as PNG, with as many colours as fit ``MOST_BYTES``."""
    from PIL import Image, PngImagePlugin

    said = PngImagePlugin.PngInfo()
    said.add_text("Description", description)
    for colours in (256, 128, 64, 32, 16):
        written = io.BytesIO()
        few = image.quantize(colours, dither=Image.Dither.NONE)
        few.save(written, format="png", optimize=True, pnginfo=said)
        if len(written.getvalue()) <= MOST_BYTES:
            break
    return written.getvalue()


def worlds_of(records: Sequence[RunRecord]) -> dict[str, list[RunRecord]]:
    """Return the records by the world that they ran in, in the order of the tasks."""
    groups = defaultdict(list)
    for record in records:
        groups[_world(record)].append(record)
    return {world: groups[world] for world in sorted(groups)}


def _world(record: RunRecord) -> str:
    """Return task, data and further options of the environment in a few words."""
    options = {key: value for key, value in record.options.items() if key not in ("dataset", "num_envs")}
    text = "".join(f", {key}={value}" for key, value in options.items())
    return f"Task {task_of(record).name} on {record.options.get('dataset', 'synthetic')}{text}"


def task_of(record: RunRecord) -> Task:
    """Return the task that a record is of."""
    found: Task = next(TASKS.get(name) for name in TASKS if TASKS.get(name).environment == record.environment)
    return found


@cache
def all_records() -> list[RunRecord]:
    """Return the committed records."""
    return read_records(RECORDS)
