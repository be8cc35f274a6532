"""Offline training: an agent learns from batches of a log, epoch after epoch, and can always go on where it stopped."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from smartrec.core.config import require, to_dict
from smartrec.core.errors import Diverged, InvalidConfig, InvalidInput, OutputError, did_you_mean
from smartrec.core.seeding import generator_state, restore_generator
from smartrec.core.transitions import Transitions
from smartrec.evaluation.checkpoints import BEST, LAST, Checkpoints, Stage
from smartrec.evaluation.log import EventFile

Point = dict[str, float]
"""A point of the curves: ``batch`` and ``rows`` so far, ``epoch`` with its fraction, ``train/..`` and ``test/..``."""


class Feed(Protocol):
    """Batches of transitions, the same each time they are asked for: what decides them is a seed, and not who asked."""

    def __len__(self) -> int:
        """Return how many batches an epoch has, >= 1."""

    def at(self, epoch: int, start: int = 0) -> Iterable[Transitions]:
        """Return the batches of an epoch, from 0, beginning with batch ``start``."""


@dataclass(frozen=True, eq=False)
class Training:
    """What came of a training.

    Attributes:
        agent: As it is after the last batch.
        points: The curves.
        best: The point at which the watched figure was best; None where none was watched.
        stopped: Why it ended: "epochs" or "patience".
        wall_s: Seconds since it was begun, or went on.
    """

    agent: Any
    points: list[Point]
    best: Point | None
    stopped: str
    wall_s: float


def train(
    agent: Any,
    feed: Feed,
    *,
    epochs: int,
    every: int | None = None,
    test: Iterable[Transitions] | None = None,
    measure: Callable[[Any], dict[str, float]] | None = None,
    watch: str | None = None,
    higher: bool = False,
    patience: int | None = None,
    folder: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    log: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    notify: Callable[[Point], None] | None = None,
) -> Training:
    """Let an agent learn from a log.

    Before the first batch, after every ``every`` of an epoch and at its end there is a point: means of what ``learn``
    returned since the last one, means of what ``test`` returns over the test batches (each row weighs alike), what
    ``measure`` returns, and a checkpoint. Testing and measuring change nothing in the agent. Cut off anywhere and
    resumed, a training comes to the same weights, curves and checkpoints, bit for bit.

    Args:
        agent: With ``learn(transitions)``, and ``test(transitions)`` where there are test batches.
        feed: What it learns from.
        epochs: Times that everything in it is learnt from, >= 1.
        every: Batches between two points, >= 1; None has them at the ends of epochs alone.
        test: Batches that are never learnt from; None tests nothing.
        measure: Further test figures, for example how well the agent recommends.
        watch: Test figure by which the best checkpoint is chosen, and by which training stops.
        higher: Whether more of it is better.
        patience: Points without a better one after which training stops, >= 1; None never stops early.
        folder: Where ``last``, ``best`` and ``curves.jsonl`` go; None keeps nothing.
        settings: Further plain values that a training which goes on must agree with, such as data and seed.
        resume: Whether to go on from ``last`` in ``folder``; ``agent`` then only says what is expected there.
        log: Folder of an event file for TensorBoard.
        progress: Called after each batch, with batches done and batches in all.
        notify: Called at each point.

    Raises:
        InvalidConfig: An option is out of range, or the training in ``folder`` is another one.
        InvalidInput: The agent cannot learn from batches.
        OutputError: Something cannot be written, or ``folder`` holds a training already.
        DataNotFound: There is nothing in ``folder`` to go on from.
        DataError: What is there is damaged.
        Diverged: A figure is no finite number; the checkpoints from before are kept.
        MissingExtra: ``log`` is given, and tensorboard is not installed.
    """
    _require_options(agent, feed, epochs, every, test, measure, watch, patience)
    require(not resume or folder is not None, "resume", resume, "False without a folder")
    started = time.perf_counter()
    options = {"every": every, "watch": watch, "higher": higher, "batches": len(feed), **(settings or {})}
    tests = [] if test is None else list(test) if isinstance(test, Iterator) else test
    kept = None if folder is None else Checkpoints(Path(folder), resume)
    with nullcontext() if kept is None else kept.alone():
        stage, points = Stage(options=options), list[Point]()
        if kept is not None:
            agent, stage, points = _begin(kept, agent, stage, resume)
        run = _Run(agent, feed, tests, measure, stage, points, kept)
        run.events = None if log is None else EventFile(log)
        run.notify, run.progress = notify, progress
        try:
            stopped = run.go(epochs, patience)
        finally:
            if run.events is not None:
                run.events.close()
    best = None if watch is None else _best_of(points, watch, higher)
    return Training(agent, points, best, stopped, time.perf_counter() - started)


def _require_options(
    agent: Any, feed: Feed, epochs: int, every: int | None, test: Any, measure: Any, watch: Any, patience: Any
) -> None:
    """Raise where options contradict each other, before anything is written."""
    needed = ["learn"] if test is None else ["learn", "test"]
    missing = [name for name in needed if not callable(getattr(agent, name, None))]
    if missing:
        raise InvalidInput(
            f"{type(agent).__name__} has no {' and no '.join(missing)}, so it cannot learn from batches; take a deep "
            "agent such as td3, bcq or dqn, or let it learn at once by agent.fit(transitions)"
        )
    require(epochs >= 1, "epochs", epochs, "a whole number >= 1")
    require(every is None or every >= 1, "every", every, "a whole number >= 1, or None")
    require(patience is None or patience >= 1, "patience", patience, "a whole number >= 1, or None")
    require(patience is None or watch is not None, "patience", patience, "None where no figure is watched")
    tested = len(needed) > 1 or measure is not None
    require(watch is None or tested, "watch", watch, "None where nothing is tested or measured")
    require(len(feed) >= 1, "batches of an epoch", len(feed), "1 or more")


def _begin(kept: Checkpoints, agent: Any, stage: Stage, resume: bool) -> tuple[Any, Stage, list[Point]]:
    """Return agent, stage and points to begin with: those of the last checkpoint where training goes on."""
    if not resume:
        if (kept.folder / LAST).exists():
            raise OutputError(
                f"{kept.folder} holds a training of {kept.stage().batches:,} batches already; go on with it by "
                "resume (smartrec train --resume), or choose another folder"
            )
        kept.clear()
        return agent, stage, []
    there = kept.stage()
    for name, value in stage.options.items():
        before = there.options.get(name)
        require(before == value, name, value, f"{before!r}, as the training in {kept.folder} was begun with")
    found = type(agent).load(kept.folder / LAST)
    found.problem.require_same(agent.problem, f"the agent in {kept.folder / LAST}")
    mine, theirs = to_dict(agent.config), to_dict(found.config)
    for name, value in mine.items():
        said = f"{theirs[name]!r}, as the agent in {kept.folder} was made with"
        require(theirs[name] == value, name, value, said)
    return found, there, kept.points()


class _Run:
    """A training under way."""

    def __init__(
        self,
        agent: Any,
        feed: Feed,
        test: Iterable[Transitions],
        measure: Callable[[Any], dict[str, float]] | None,
        stage: Stage,
        points: list[Point],
        kept: Checkpoints | None,
    ) -> None:
        self.agent, self.feed, self.test, self.measure = agent, feed, test, measure
        self.stage, self.points, self.kept = stage, points, kept
        self.watch, self.higher = stage.options["watch"], stage.options["higher"]
        self.events: EventFile | None = None
        self.notify: Callable[[Point], None] | None = None
        self.progress: Callable[[int, int], None] | None = None
        self._learnt: list[dict[str, float]] = []

    def go(self, epochs: int, patience: int | None) -> str:
        """Learn, and return why that ended."""
        stage, total = self.stage, epochs * len(self.feed)
        if self.events is not None:
            self.events.go_on(stage.batches + 1 if self.points else 0)
        if not self.points:
            self._point()
        for batch in self._batches(epochs):
            if patience is not None and stage.since_best >= patience:
                return "patience"
            self._learn(batch)
            if self.progress is not None:
                self.progress(stage.batches, total)
            every = stage.options["every"]
            if stage.start == 0 or (every is not None and stage.start % every == 0):
                self._point()
        return "epochs"

    def _batches(self, epochs: int) -> Iterator[Transitions]:
        while (epoch := self.stage.epoch) < epochs:
            left = len(self.feed) - self.stage.start
            yield from islice(self.feed.at(epoch, self.stage.start), left)
            if self.stage.epoch == epoch:
                raise InvalidInput(
                    f"epoch {epoch} ended after {self.stage.start} batches; allowed: {len(self.feed)}, as len says"
                )

    def _learn(self, batch: Transitions) -> None:
        stage = self.stage
        try:
            figures = self.agent.learn(batch)
        except Diverged as error:
            raise Diverged(f"{error}. {self._where()}") from None
        self._require_finite("train", figures)
        self._learnt.append(figures)
        stage.batches, stage.rows, stage.start = stage.batches + 1, stage.rows + len(batch), stage.start + 1
        if stage.start == len(self.feed):
            stage.epoch, stage.start = stage.epoch + 1, 0

    def _point(self) -> None:
        """Test, and keep what came of it."""
        tested = self._tested()
        self._require_finite("test", tested)
        figures = {f"train/{name}": value for name, value in _means(self._learnt).items()}
        figures.update({f"test/{name}": value for name, value in tested.items()})
        self._learnt = []
        better = self._judge(tested)
        stage = self.stage
        point = {"batch": stage.batches, "epoch": stage.epoch + stage.start / len(self.feed), "rows": stage.rows}
        point.update(figures)
        self.points.append(point)
        if self.kept is not None:
            self.kept.add_point(point)
            # The best first: cut off between the two, training makes this point again, and with it the best.
            for name in (BEST, LAST) if better else (LAST,):
                self.kept.save(name, self.agent, stage)
        if self.events is not None:
            self.events.write(stage.batches, figures)
            self.events.flush()
        if self.notify is not None:
            self.notify(point)

    def _tested(self) -> dict[str, float]:
        with _undisturbed(self.agent):
            told = [(len(batch), self.agent.test(batch)) for batch in self.test]
            figures = _means([figures for _, figures in told], [rows for rows, _ in told])
            return {**figures, **({} if self.measure is None else self.measure(self.agent))}

    def _judge(self, tested: dict[str, float]) -> bool:
        """Return whether the watched figure is better than ever."""
        if self.watch is None:
            return False
        if self.watch not in tested:
            raise InvalidConfig(f"watch = {self.watch!r} is no test figure. {did_you_mean(self.watch, tested)}")
        value, stage = tested[self.watch], self.stage
        better = stage.best is None or (value > stage.best if self.higher else value < stage.best)
        stage.best, stage.since_best = (value, 0) if better else (stage.best, stage.since_best + 1)
        return better

    def _require_finite(self, side: str, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                raise Diverged(f"{side}/{name} is {value}. {self._where()}")

    def _where(self) -> str:
        """Return after how many batches this is, and what is kept."""
        kept = "no folder was given, so nothing is kept"
        if self.kept is not None and (self.kept.folder / LAST).exists():
            kept = f"{self.kept.folder / LAST} is as it was after batch {self.kept.stage().batches:,}"
        return f"That was after {self.stage.batches:,} batches; {kept}"


@contextmanager
def _undisturbed(agent: Any) -> Iterator[None]:
    """Let an agent draw in the block as it likes, and put its generator back."""
    before = generator_state(agent.rng)
    try:
        yield
    finally:
        restore_generator(agent.rng, before)


def _means(told: list[dict[str, float]], weights: list[int] | None = None) -> dict[str, float]:
    """Return the mean of each figure over those who told it, weighted."""
    weights = [1] * len(told) if weights is None else weights
    names = dict.fromkeys(name for figures in told for name in figures)
    means = {}
    for name in names:
        there = [(figures[name], weight) for figures, weight in zip(told, weights, strict=True) if name in figures]
        means[name] = math.fsum(value * weight for value, weight in there) / sum(weight for _, weight in there)
    return means


def _best_of(points: list[Point], watch: str, higher: bool) -> Point:
    values = [point[f"test/{watch}"] for point in points]
    return points[values.index(max(values) if higher else min(values))]
