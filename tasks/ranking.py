"""Does an agent recommend what users choose afterwards? Logged data, split by time for everybody at once.

The last ``test_share`` of the answers are cut into ``windows`` of equal size. For each, everything before it is learnt
from, and each user is judged who has ``frame_size`` answers before it and in it likes an item that is new to them:
the state is their last answers before the window, and K items that they have not answered yet are recommended. No
answer is learnt from that was given after any that is predicted.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core.arrays import BoolArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.data import by_time, load
from smartrec.data.interactions import Dataset, Interactions
from smartrec.data.steps import map_ratings
from smartrec.data.trajectories import Trajectories


@dataclass(frozen=True)
class Protocol:
    """How the question is asked: plain values, so that another process can ask it.

    Attributes:
        dataset: Name or path.
        columns: For a table of one's own: our column names to its; None for others.
        k: K, items recommended, 1 to 62.
        frame_size: f, answers in a state, >= 1; users with fewer are not judged.
        test_share: Share of the answers, the last, that are predicted, between 0 and 1.
        windows: Parts that they are cut into, >= 1; before each everything is learnt anew.
        validation: Whether to ask about the end of what would be learnt from, and leave the last answers alone: for
            choosing options.
        epochs: Times that frames are learnt from, for agents that learn from frames, >= 1.
        batch: Frames a gradient step, >= 1; agents that need whole visits get 10 users.
        discount: Of future reward, for agents that learn from frames, 0..1.
    """

    dataset: str
    columns: tuple[tuple[str, str], ...] | None = None
    k: int = 10
    frame_size: int = 10
    test_share: float = 0.2
    windows: int = 1
    validation: bool = False
    epochs: int = 10
    batch: int = 256
    discount: float = 0.9

    def __post_init__(self) -> None:
        require(1 <= self.k <= 62, "k", self.k, "1 to 62 items")
        require(0 < self.test_share < 1, "test_share", self.test_share, "between 0 and 1")
        require(0 <= self.discount <= 1, "discount", self.discount, "0 to 1")
        for name in ("frame_size", "windows", "epochs", "batch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")


@dataclass(frozen=True, eq=False)
class Question:
    """One window: what may be learnt from, and what was chosen afterwards by U users.

    Attributes:
        train: Everything before the window, ratings as in the log.
        users: int [U], who is judged, ascending.
        observation: ``user`` [U], ``history_items`` [U, f], ``history_responses`` [U, f] in units of reward.
        allowed: bool [U, I], items that the user has not answered yet.
        starts: int [U + 1], see ``evaluation.ranking.rank``.
        held_out: int [H], items liked in the window, new to the user.
    """

    train: Interactions
    users: IntArray
    observation: Observation
    allowed: BoolArray
    starts: IntArray
    held_out: IntArray


@lru_cache(maxsize=2)
def ask(protocol: Protocol) -> tuple[Dataset, tuple[Question, ...]]:
    """Return the data set and a question for each window.

    Raises:
        InvalidInput: Nobody can be judged, or the log cannot be split by time.
        SmartRecError: The data set is not there, or damaged.
    """
    dataset = load(protocol.dataset, None if protocol.columns is None else dict(protocol.columns))
    log = dataset.interactions
    if protocol.validation:
        log = by_time(log, protocol.test_share)[0]
    return dataset, tuple(questions(log, dataset.positive, protocol))


def questions(log: Interactions, positive: float, protocol: Protocol) -> list[Question]:
    """Return a question for each window of a log.

    Args:
        log: With timestamps.
        positive: The rating from which an answer is a like.
        protocol: All but the data set.

    Raises:
        InvalidInput: Nobody can be judged, or the log cannot be split by time.
    """
    shares = protocol.test_share * (1 - np.arange(protocol.windows) / protocol.windows)
    splits = [by_time(log, float(share)) for share in shares]
    ends = [_times(rest).min() for _, rest in splits[1:]] + [np.iinfo(np.int64).max]
    asked = [
        _question(train, rest.select((_times(rest) < end) & rest.positive(positive)), protocol.frame_size)
        for (train, rest), end in zip(splits, ends, strict=True)
    ]
    found = [question for question in asked if question is not None]
    if not found:
        raise InvalidInput(
            f"no user has frame_size = {protocol.frame_size} answers before the last test_share = "
            f"{protocol.test_share:g} of the log, and likes (rating >= {positive:g}) something new in it; take a "
            "smaller frame_size, another test_share, or a longer log"
        )
    return found


def reward_of(log: Interactions) -> Interactions:
    """Return the log with ratings as rewards, ``2 (rating - 2.5)``: 0.5 becomes -4 and 5 becomes 5."""
    return map_ratings(log, scale=None)


def counts_of(log: Interactions) -> IntArray:
    """Return how many users answered each item, int [I]."""
    pairs = np.unique(log.users.astype(np.int64) * log.n_items + log.items)
    return np.bincount(pairs % log.n_items, minlength=log.n_items)


def describe(found: Sequence[Question]) -> str:
    """Return who is judged on what, in a line."""
    cases = sum(len(question.users) for question in found)
    users = len(np.unique(np.concatenate([question.users for question in found])))
    held_out = sum(len(question.held_out) for question in found)
    cold = sum(int((counts_of(question.train)[question.held_out] == 0).sum()) for question in found)
    return (
        f"{users:,} users judged {cases:,} times; {held_out / cases:.1f} new items liked each time, of which "
        f"{cold / held_out:.1%} nobody had answered before"
    )


def settings(protocol: Protocol, dataset: Dataset) -> dict[str, Any]:
    """Return the protocol and what the data are, as plain values for a record; of a path only its end."""
    columns = None if protocol.columns is None else [list(pair) for pair in protocol.columns]
    name = Path(protocol.dataset).name
    return {**asdict(protocol), "dataset": name, "columns": columns, "data": dataset.digest()}


def _times(log: Interactions) -> IntArray:
    assert log.timestamps is not None  # or the log could not have been split by time
    return log.timestamps


def _question(train: Interactions, liked: Interactions, frame_size: int) -> Question | None:
    """Return the question of one window, None where nobody can be judged."""
    lived = Trajectories.of(reward_of(train))
    enough = lived.users[lived.lengths >= frame_size]
    pairs = np.unique(liked.users.astype(np.int64) * train.n_items + liked.items)
    pairs = np.setdiff1d(pairs, train.users.astype(np.int64) * train.n_items + train.items)
    pairs = pairs[np.isin(pairs // train.n_items, enough)]
    if not len(pairs):
        return None
    users, counts = np.unique(pairs // train.n_items, return_counts=True)
    ends = lived.starts[np.searchsorted(lived.users, users) + 1]
    last = ends[:, None] - frame_size + np.arange(frame_size)
    observation = {"user": users, "history_items": lived.items[last], "history_responses": lived.ratings[last]}
    allowed = np.ones((len(users), train.n_items), bool)
    known = np.isin(train.users, users)
    allowed[np.searchsorted(users, train.users[known]), train.items[known]] = False
    return Question(train, users, observation, allowed, np.append(0, np.cumsum(counts)), pairs % train.n_items)
