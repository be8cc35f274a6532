"""Offline training as a file asks for it: which log, made ready how, learnt from by which agent, for how long."""

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from smartrec.agents import Agent
from smartrec.agents.registry import agent_class
from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.config import from_dict, require
from smartrec.core.errors import DataNotFound, InvalidConfig, InvalidInput
from smartrec.core.transitions import Transitions
from smartrec.data import Batches, by_time, by_user, leave_last_out, load
from smartrec.data.embeddings import embed, read_vectors
from smartrec.data.frames import Frames, split_frames
from smartrec.data.interactions import Catalogue, Dataset, Interactions
from smartrec.data.steps import Step, chain, drop_repeats, keep_most_rated, map_ratings, min_length, renumber
from smartrec.data.vocabulary import Vocabulary
from smartrec.evaluation.training import Point, Training, train
from smartrec.tasks.runner import agent_seed


@dataclass(frozen=True)
class StepsConfig:
    """What is done to the log, in this order.

    Attributes:
        drop_repeats: Whether of rows with the same user, item and time only the last in the file counts.
        most_rated: Items kept, those with the most rows; None for all.
        min_length: Users kept have more rows than this; None for ``frame_size``.
        rating: Rating to reward: "centred" (2 (rating - 2.5), of ratings 0.5 to 5), "none", or a table,
            for example ``{ 0 = -1, 1 = 1 }``.
    """

    drop_repeats: bool = False
    most_rated: int | None = None
    min_length: int | None = None
    rating: str | dict[str, float] = "centred"

    def __post_init__(self) -> None:
        allowed = 'one of "centred" and "none", or a table of ratings'
        require(isinstance(self.rating, dict) or self.rating in ("centred", "none"), "rating", self.rating, allowed)


@dataclass(frozen=True)
class SplitConfig:
    """What is tested on; states there look back into what is learnt from, never the other way.

    Attributes:
        by: "user" (a share of the users), "time" (the last share of the rows), or "last" (the last rows of each user).
        test_share: For "user" and "time", between 0 and 1.
        rows: For "last", >= 1.
    """

    by: Literal["user", "time", "last"] = "user"
    test_share: float = 0.1
    rows: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """A file for ``smartrec train``, in TOML.

    Attributes:
        dataset: Name or path.
        agent: Registered name, or ``module:Class``.
        folder: Where checkpoints and curves go.
        columns: For a table of one's own: our column names to its.
        steps: What is done to the log.
        split: What is tested on.
        frame_size: f, answers in a state, >= 1.
        padded: Whether steps begin with a user's first answer, states padded in front.
        discount: Of future reward, 0..1.
        embeddings: Vectors of the items: "auto" makes them from the catalogue and what is learnt from (see
            ``data.embeddings``), "features" takes the catalogue's plain features, "none" none; or the path of a file,
            ``.npy`` [I, D] in the order of the data set's items, ``.npz`` or ``.pt`` by item id.
        embedding_size: Numbers a vector, for "auto", >= 1.
        options: Of the agent.
        seed: Of the split, the agent and the order of batches, >= 0.
        epochs: Times that everything is learnt from, >= 1.
        batches: Whether a batch is of "frames" in random order or of whole "users"; "auto" asks the agent's tags.
        batch_size: Frames, or users, a batch, >= 1; None for 256 frames, or 10 users.
        every: Batches between two points of the curves, with test and checkpoint, >= 1; None has them once an epoch.
        watch: Test figure that chooses the best checkpoint and stops early, for example "critic_loss".
        higher: Whether more of it is better.
        patience: Points without a better one after which training stops; None never.
    """

    dataset: str
    agent: str
    folder: str
    columns: dict[str, str] | None = None
    steps: StepsConfig = field(default_factory=StepsConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    frame_size: int = 10
    padded: bool = False
    discount: float = 0.99
    embeddings: str = "auto"
    embedding_size: int = 128
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    epochs: int = 10
    batches: Literal["auto", "frames", "users"] = "auto"
    batch_size: int | None = None
    every: int | None = None
    watch: str | None = None
    higher: bool = False
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("frame_size", "epochs", "embedding_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        for name in ("batch_size", "every", "patience"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "a whole number >= 1")
        require(self.seed >= 0, "seed", self.seed, "a whole number >= 0")
        require(0 <= self.discount <= 1, "discount", self.discount, "0 to 1")


@dataclass(frozen=True, eq=False)
class FrameFeed:
    """Batches of frames as an agent learns from them.

    Attributes:
        frames: Of a log.
        order: Which of them come in which batch.
    """

    frames: Frames
    order: Batches

    def __len__(self) -> int:
        return len(self.order)

    def at(self, epoch: int, start: int = 0) -> Iterator[Transitions]:
        """Return the batches of an epoch, beginning with batch ``start``."""
        return (self.frames.transitions(rows) for rows in self.order.at(epoch, start))

    def __iter__(self) -> Iterator[Transitions]:
        return self.at(0)


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a training needs.

    Attributes:
        agent: New.
        feed: What it learns from.
        test: What it is tested on.
        data: Digest of the data set.
        report: What became of the log, in lines.
    """

    agent: Agent
    feed: FrameFeed
    test: FrameFeed
    data: str
    report: tuple[str, ...]


def read_config(path: Path) -> TrainConfig:
    """Read a config; ``folder``, and a data set or embeddings given as a path, are relative to the current folder.

    Raises:
        DataNotFound: There is no such file.
        InvalidConfig: It is no TOML (the line is named), a name is unknown (the nearest is named) or missing, or a
            value is out of range.
    """
    if not path.is_file():
        raise DataNotFound(f"{path} is not there; write a config as in docs/offline.md")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} is no TOML: {error}. Correct that place") from None
    for name, cls in (("steps", StepsConfig), ("split", SplitConfig)):
        part = values.get(name, {})
        require(isinstance(part, dict), name, part, f"a table, written as [{name}]")
        values[name] = from_dict(cls, part, f"[{name}] of {path}")
    missing = [name for name in ("dataset", "agent", "folder") if name not in values]
    require(not missing, f"{path} without", ", ".join(missing), "a config with dataset, agent and folder")
    config = from_dict(TrainConfig, values, str(path))
    from_dict(agent_class(config.agent).Config, config.options, f"[options] of {path}, agent {config.agent},")
    return config


def prepare(config: TrainConfig) -> Prepared:
    """Load the log and make everything ready; nothing is written but the cache of item vectors.

    Raises:
        SmartRecError: Data are missing or damaged, or what is asked for cannot be had.
    """
    cls = agent_class(config.agent)
    if not hasattr(cls, "learn"):
        raise InvalidInput(f"agent {config.agent} has no learn; take a deep agent such as td3, bcq, dqn or reinforce")
    dataset = load(config.dataset, config.columns)
    log, report = chain(*_steps(config))(dataset.interactions)
    train_log, test_log = _split(log, config)
    vectors = item_vectors(dataset, train_log, config)
    rewards = _rewards(config.steps.rating)
    frames, held_out = split_frames(rewards(train_log), rewards(test_log), config.frame_size, config.padded)
    options = from_dict(cls.Config, config.options, f"agent {config.agent}")
    problem = frames.problem(vectors, config.discount)
    agent = cls(problem, options, seed=agent_seed(config.seed))
    whole = cls.tags.whole_visits if config.batches == "auto" else config.batches == "users"
    size = config.batch_size or (10 if whole else 256)
    feeds = [
        FrameFeed(part, _order(part, whole, size, seed)) for part, seed in ((frames, config.seed), (held_out, None))
    ]
    lines = (
        f"learnt from: {len(frames):,} frames, {len(feeds[0]):,} batches an epoch; tested on {len(held_out):,} frames",
        "items: " + ("no vectors" if vectors is None else f"vectors of {vectors.shape[1]} numbers"),
    )
    return Prepared(agent, feeds[0], feeds[1], dataset.digest(), (*report, *lines))


def run_training(
    config: TrainConfig,
    prepared: Prepared,
    *,
    resume: bool = False,
    log: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    notify: Callable[[Point], None] | None = None,
) -> Training:
    """Train as the config says; see ``evaluation.training.train``, also for what it raises."""
    plain = asdict(config)
    same = {name: plain[name] for name in plain if name not in ("dataset", "folder", "epochs", "patience", *OF_TRAIN)}
    return train(
        prepared.agent,
        prepared.feed,
        epochs=config.epochs,
        every=config.every,
        test=prepared.test,
        watch=config.watch,
        higher=config.higher,
        patience=config.patience,
        folder=config.folder,
        settings={"data": prepared.data, **same},
        resume=resume,
        log=log,
        progress=progress,
        notify=notify,
    )


OF_TRAIN = ("every", "watch", "higher")
"""What ``train`` itself compares when it goes on."""


def item_vectors(dataset: Dataset, log: Interactions, config: TrainConfig) -> FloatArray | None:
    """Return vectors of the items of ``log``, float [I, D], of which nothing that is tested on is known.

    Raises:
        InvalidInput: A file has no vector of an item, or the catalogue has no features.
        DataNotFound: There is no such file.
        DataError: The file is damaged.
    """
    source, kept = config.embeddings, dataset.items.ids.numbers(log.item_ids.ids)
    if source == "none":
        return None
    if source == "auto":
        users = Catalogue.without_features(log.user_ids)
        known = replace(dataset, interactions=log, users=users, items=_rows_of(dataset.items, kept, log.item_ids))
        return embed(known, config.embedding_size).vectors
    if source == "features":
        if not dataset.items.feature_names:
            raise InvalidInput(f'the items of {dataset.name} have no features; take embeddings = "auto" or "none"')
        return dataset.items.features[kept]
    if not Path(source).is_file():
        raise DataNotFound(f'embeddings = {source!r}; allowed: "auto", "features", "none", or a file that is there')
    if Path(source).suffix != ".npy":
        return read_vectors(source).of(log.item_ids)
    table = np.load(source, allow_pickle=False)
    if table.ndim != 2 or len(table) != len(dataset.items) or not np.isfinite(table).all():
        raise InvalidInput(f"{source} has shape {table.shape}; allowed: finite numbers [{len(dataset.items)}, D]")
    vectors: FloatArray = table[kept].astype(np.float32)
    return vectors


def _rows_of(items: Catalogue, rows: IntArray, ids: Vocabulary) -> Catalogue:
    return Catalogue(ids, tuple(items.labels[row] for row in rows), items.feature_names, items.features[rows])


def _steps(config: TrainConfig) -> list[Step]:
    """Return what is done to the log before it is split; ratings stay as they are."""
    steps = config.steps
    shortest = steps.min_length if steps.min_length is not None else 0 if config.padded else config.frame_size
    wanted: list[Step] = [drop_repeats] if steps.drop_repeats else []
    wanted += [partial(keep_most_rated, n=steps.most_rated)] if steps.most_rated else []
    return [*wanted, partial(min_length, n=shortest), renumber]


def _rewards(rating: str | dict[str, float]) -> Step:
    """Return what turns ratings into rewards."""
    if rating == "none":
        return lambda log: log
    if isinstance(rating, str):
        return map_ratings
    try:
        table = {float(key): float(value) for key, value in rating.items()}
    except (TypeError, ValueError):
        raise InvalidConfig(f"rating = {rating}; allowed: numbers for numbers, such as {{ 0 = -1, 1 = 1 }}") from None
    return partial(map_ratings, mapping=table, scale=None)


def _split(log: Interactions, config: TrainConfig) -> tuple[Interactions, Interactions]:
    split = config.split
    if split.by == "time":
        return by_time(log, split.test_share)
    return by_user(log, split.test_share, seed=config.seed) if split.by == "user" else leave_last_out(log, split.rows)


def _order(frames: Frames, whole: bool, size: int, seed: int | None) -> Batches:
    return Batches.of_users(frames.user_ends, size, seed) if whole else Batches(len(frames), size, seed)
