"""Offline training as a file asks for it: which log, made ready how, learnt from by which agent, for how long."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from smartrec.agents import Agent
from smartrec.agents.registry import agent_class, load_agent
from smartrec.agents.top import top_items
from smartrec.core.arrays import FloatArray
from smartrec.core.config import from_dict
from smartrec.core.errors import DataNotFound, InvalidConfig, InvalidInput
from smartrec.core.transitions import Transitions
from smartrec.data import Batches, by_time, by_user, leave_last_out
from smartrec.data.embeddings import embed, read_vectors
from smartrec.data.frames import Frames, split_frames
from smartrec.data.interactions import Catalogue, Dataset, Interactions
from smartrec.data.kept import load_kept
from smartrec.data.steps import Step, chain, drop_repeats, keep_most_rated, map_ratings, min_length, renumber
from smartrec.data.vocabulary import Vocabulary
from smartrec.evaluation.checkpoints import BEST
from smartrec.evaluation.training import Point, Training, train
from smartrec.tasks import recommender_files
from smartrec.tasks.runner import agent_seed
from smartrec.tasks.train_config import TrainConfig

TOP = 10
"""Items recommended when it is measured how often the next one is among them."""

MAY_DIFFER = ("dataset", "folder", "epochs", "patience", "every", "watch", "higher")
"""What may differ when training goes on, or ``train`` compares itself; of the data set the digest is compared."""


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
        items: What is known of the items.
        log: What is learnt from, with rewards for ratings.
        ratings: What a rating is as a reward: the ends of the scale, or every one.
        data: Digest of the data set.
        report: What became of the log, in lines.
    """

    agent: Agent
    feed: FrameFeed
    test: FrameFeed
    items: Catalogue
    log: Interactions
    ratings: dict[float, float]
    data: str
    report: tuple[str, ...]


def prepare(config: TrainConfig) -> Prepared:
    """Load the log and make everything ready; nothing is written but the cache of item vectors.

    Raises:
        SmartRecError: Data are missing or damaged, or what is asked for cannot be had.
    """
    cls = agent_class(config.agent)
    if not hasattr(cls, "learn"):
        raise InvalidInput(f"agent {config.agent} has no learn; take a deep agent such as td3, bcq, dqn or reinforce")
    whole_set = load_kept(config.dataset, config.columns)
    log, report = chain(*_steps(config))(whole_set.interactions)
    train_log, test_log = _split(log, config)
    dataset = replace(
        whole_set,
        interactions=train_log,
        users=Catalogue.without_features(log.user_ids),
        items=_rows_of(whole_set.items, log.item_ids),
    )
    ratings, rewards = _rewards(config.steps.rating, log)
    learnt_from = rewards(train_log)
    frames, held_out = split_frames(learnt_from, rewards(test_log), config.frame_size, config.padded)
    vectors = item_vectors(dataset, config)
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
        "items: " + ("no vectors" if vectors is None else f"vectors of {vectors.shape[1]} numbers") + _warning(config),
    )
    data = whole_set.digest()
    return Prepared(agent, feeds[0], feeds[1], dataset.items, learnt_from, ratings, data, (*report, *lines))


def run_training(
    config: TrainConfig,
    prepared: Prepared,
    *,
    resume: bool = False,
    log: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    notify: Callable[[Point], None] | None = None,
) -> Training:
    """Train as the config says, and write the best agent, or else the last, so that ``smartrec recommend`` can use it.

    See ``evaluation.training.train``, also for what it raises.
    """
    plain = json.loads(json.dumps(asdict(config)))
    same = {name: plain[name] for name in plain if name not in MAY_DIFFER}
    done = train(
        prepared.agent,
        prepared.feed,
        epochs=config.epochs,
        every=config.every,
        test=prepared.test,
        measure=hit_rate(prepared.test.frames, config.measured) if config.measured else None,
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
    agent = done.agent if done.best is None else load_agent(Path(config.folder) / BEST)
    recommender_files.write(
        config.folder,
        agent,
        prepared.items,
        prepared.log,
        ratings=prepared.ratings,
        dataset=config.dataset,
        seed=config.seed,
    )
    return done


def hit_rate(frames: Frames, count: int) -> Callable[[Agent], dict[str, float]]:
    """Return what measures how often the next item is among ten recommended, none of which is in the state.

    Args:
        frames: Of which some are taken.
        count: How many, spread evenly; all where there are fewer.
    """
    rows = np.unique(np.linspace(0, len(frames) - 1, count).astype(np.int64))
    asked = frames.transitions(rows)
    allowed = np.ones((len(rows), frames.trajectories.n_items + 1), bool)
    np.put_along_axis(allowed, asked.observation["history_items"], False, axis=1)

    def measure(agent: Agent) -> dict[str, float]:
        shown = top_items(agent, asked.observation, TOP, allowed[:, :-1])
        return {f"hit_rate_{TOP}": float((shown == asked.items).any(axis=1).mean())}

    return measure


def item_vectors(dataset: Dataset, config: TrainConfig) -> FloatArray | None:
    """Return vectors of the items, float [I, D]; ``dataset`` holds no answer that is tested on.

    Raises:
        InvalidInput: A file has no vector of an item, or the catalogue has no features.
        DataNotFound: There is no such file.
        DataError: The file is damaged.
    """
    source = config.embeddings
    if source == "none":
        return None
    if source == "auto":
        return embed(dataset, config.embedding_size).vectors
    if source == "features":
        if not dataset.items.feature_names:
            raise InvalidInput(f'the items of {dataset.name} have no features; take embeddings = "auto" or "none"')
        return dataset.items.features
    if not Path(source).is_file():
        raise DataNotFound(f'embeddings = {source!r}; allowed: "auto", "features", "none", or a file that is there')
    return read_vectors(source).of(dataset.items.ids)


def _warning(config: TrainConfig) -> str:
    """Return what to mind about vectors out of a file."""
    if config.embeddings in ("auto", "features", "none"):
        return ""
    return f" from {config.embeddings}; if they were fitted on this log, they know the answers that are tested on"


def _rows_of(items: Catalogue, ids: Vocabulary) -> Catalogue:
    rows = items.ids.numbers(ids.ids)
    return Catalogue(ids, tuple(items.labels[row] for row in rows), items.feature_names, items.features[rows])


def _steps(config: TrainConfig) -> list[Step]:
    """Return what is done to the log before it is split; ratings stay as they are."""
    steps = config.steps
    shortest = steps.min_length if steps.min_length is not None else 0 if config.padded else config.frame_size
    wanted: list[Step] = [drop_repeats] if steps.drop_repeats else []
    wanted += [] if steps.most_rated is None else [partial(keep_most_rated, n=steps.most_rated)]
    return [*wanted, partial(min_length, n=shortest), renumber]


def _rewards(rating: str | dict[str, float], log: Interactions) -> tuple[dict[float, float], Step]:
    """Return what ratings are as rewards, the ends of the scale or every one, and the step that makes them that."""
    if rating == "centred":
        ends = log.ratings.min(), log.ratings.max()
        if ends[0] < 0.5 or ends[1] > 5:
            raise InvalidConfig(
                f'[steps] rating = "centred" is for ratings 0.5 to 5, and these are {ends[0]:g} to {ends[1]:g}; take '
                '"none", or a table of ratings and rewards'
            )
        return {0.5: -4.0, 5.0: 5.0}, map_ratings
    if isinstance(rating, str):
        return {float(end): float(end) for end in (log.ratings.min(), log.ratings.max())}, lambda same: same
    try:
        table = {float(key): float(value) for key, value in rating.items()}
    except (TypeError, ValueError):
        raise InvalidConfig(f"rating = {rating}; allowed: numbers for numbers, such as {{ 0 = -1, 1 = 1 }}") from None
    return table, partial(map_ratings, mapping=table, scale=None)


def _split(log: Interactions, config: TrainConfig) -> tuple[Interactions, Interactions]:
    split = config.split
    if split.by == "time":
        return by_time(log, split.test_share)
    return by_user(log, split.test_share, seed=config.seed) if split.by == "user" else leave_last_out(log, split.rows)


def _order(frames: Frames, whole: bool, size: int, seed: int | None) -> Batches:
    return Batches.of_users(frames.user_ends, size, seed) if whole else Batches(len(frames), size, seed)
