"""What a logged environment walks: the answers of each user in order, and who answers for what was not shown."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smartrec import data
from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.data.embeddings import ItemVectors, embed, read_vectors
from smartrec.data.interactions import Dataset, Interactions
from smartrec.data.steps import map_ratings
from smartrec.data.trajectories import Trajectories
from smartrec.envs.fitted import preferences
from smartrec.envs.logged_settings import LoggedSettings
from smartrec.response_models.base import ResponseModel, State

N_USERS, N_ITEMS, ANSWERS = 500, 100, 30
"""Of the synthetic log."""


@dataclass(frozen=True, eq=False)
class Stand:
    """A response model that answers in the place of the users.

    Attributes:
        model: Probability of a click.
        no_click: What an answer without a click is worth: the mean of such answers in the log.
        click: The same of an answer with one.
    """

    model: ResponseModel
    no_click: float
    click: float

    def answer(self, users: IntArray, items: IntArray, dice: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what the answers of ``users`` [N] to ``items`` [N] are worth, by uniforms [N], and on average."""
        probability = self.model.probability(users, items[:, None], State())[:, 0]
        answers = np.where(dice < probability, self.click, self.no_click).astype(np.float32)
        return answers, self.no_click + (self.click - self.no_click) * probability


@dataclass(frozen=True, eq=False)
class LoggedLog:
    """A log to be walked, user by user. R rows of W walkers: the users who have answers enough.

    Attributes:
        settings: As asked for.
        items: int32 [R].
        ratings: float32 [R], mapped: what each answer is worth.
        users: int32 [W], numbers of the walkers.
        starts: int64 [W], first row of each.
        first: int64 [W], the row that is answered first; what comes before it is known.
        ends: int64 [W], one past the last row of each.
        n_users: U of the log, walkers or not.
        n_items: I.
        item_features: float32 [I, D] that agents may use, or None.
        stand: Who answers for items that are not the logged ones; None where nobody does.
        about: One line: what is walked.
        report: Rows (name, value) on how well the stand does on held-out answers.
    """

    settings: LoggedSettings
    items: NDArray[np.int32]
    ratings: NDArray[np.float32]
    users: NDArray[np.int32]
    starts: IntArray
    first: IntArray
    ends: IntArray
    n_users: int
    n_items: int
    item_features: FloatArray | None
    stand: Stand | None
    about: str
    report: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        """Steps of one pass over all walkers."""
        return int((self.ends - self.first).sum())

    @classmethod
    def of(cls, settings: LoggedSettings) -> "LoggedLog":
        """Read the log that ``settings`` name.

        Raises:
            DataNotFound: The data set or the embeddings are not there; says how to get the former.
            DataError: A file is damaged, or every answer is like every other and ``mismatch`` is "simulated".
            InvalidInput: Ratings that ``rating_map`` is not for, embeddings of other items, or no user with more than
                ``frame_size`` answers.
        """
        synthetic = settings.dataset == "synthetic"
        dataset = _synthetic() if synthetic else data.load(settings.dataset, settings.columns, settings.positive)
        log = Trajectories.of(_mapped(dataset, settings))
        known = settings.frame_size if settings.mode == "frame" else 0
        walks = log.lengths > known
        if not walks.any():
            raise InvalidInput(
                f"no user of {dataset.name} has more than frame_size = {known} answers (the longest has "
                f"{log.lengths.max()}); lower frame_size, or take mode='sequence'"
            )
        starts, ends = log.starts[:-1][walks], log.starts[1:][walks]
        simulated = settings.mismatch == "simulated"
        stand, report = _stand(dataset, log) if simulated else (None, ())
        return cls(
            settings=settings,
            items=log.items,
            ratings=log.ratings,
            users=log.users[walks],
            starts=starts,
            first=starts + known,
            ends=ends,
            n_users=len(log.user_ids),
            n_items=log.n_items,
            item_features=_item_features(dataset, settings.embeddings),
            stand=stand,
            about=f"{dataset.name}: {walks.sum():,} of {len(log):,} users have more than {known} answers",
            report=report,
        )


def _synthetic() -> Dataset:
    people = data.taste_population(N_USERS, N_ITEMS, seed=0)
    log = people.sample_log(np.random.default_rng(0), ANSWERS)
    return Dataset("synthetic", log, people.users, people.items, "drawn by taste_population", positive=1.0)


def _mapped(dataset: Dataset, settings: LoggedSettings) -> Interactions:
    """Return the log with what its answers are worth as ratings."""
    if settings.rating_map == "recnn":
        low, high = dataset.interactions.ratings.min(), dataset.interactions.ratings.max()
        if low < 0.5 or high > 5:
            raise InvalidInput(
                f"{dataset.name} has ratings from {low:g} to {high:g}; rating_map='recnn' is for 0.5 .. 5. Take "
                "'rating' or 'click'"
            )
        return map_ratings(dataset.interactions)
    if settings.rating_map == "click":
        return map_ratings(dataset.interactions, lambda ratings: (ratings >= dataset.positive).astype(np.float32), None)
    return dataset.interactions


def _stand(dataset: Dataset, log: Trajectories) -> tuple[Stand, tuple[tuple[str, str], ...]]:
    model, report = preferences(dataset, np.arange(log.n_items))
    clicks = Trajectories.of(dataset.interactions).ratings >= dataset.positive
    return Stand(model, float(log.ratings[~clicks].mean()), float(log.ratings[clicks].mean())), report


def _item_features(dataset: Dataset, embeddings: str | None) -> FloatArray | None:
    if embeddings is None:
        features = dataset.items.features
        return features if features.shape[1] else None
    if embeddings == "auto":
        return embed(dataset).vectors
    if Path(embeddings).suffix.lower() != ".npy":
        return read_vectors(embeddings).of(dataset.items.ids)
    if not Path(embeddings).is_file():
        raise DataNotFound(f"embeddings = {embeddings!r} is not there; check the path, relative to {Path.cwd()}")
    try:
        table = np.load(embeddings, allow_pickle=False).astype(np.float32)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"embeddings = {embeddings!r} is no sound .npy file ({error}); write it with numpy.save"
        ) from None
    return ItemVectors(dataset.items.ids, table).vectors
