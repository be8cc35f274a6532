"""Recommending for one person: from what they rated to titles.

An agent that acts by vectors imagines a point, its proto-action, and the nearest items are recommended: by its own
distance, or by another that is asked for. Any other agent is asked what it would show.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from smartrec.agents.base import Agent
from smartrec.agents.top import top_items
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Mask
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.nearest import Metric, NearestItems
from smartrec.core.seeding import generator_state, restore_generator
from smartrec.data.history import id_texts, read_history
from smartrec.data.vocabulary import Vocabulary
from smartrec.tasks.recommender_files import Shelf, framed, read

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 5
"""Unknown ids that a note names."""


class Recommended(NamedTuple):
    """An item that is recommended.

    Attributes:
        id: As in the catalogue.
        title: For people.
        genres: Their names.
        distance: From the agent's proto-action, in the unit of the metric; None where the agent acts by no vectors.
    """

    id: Any
    title: str
    genres: tuple[str, ...]
    distance: float | None


@dataclass(frozen=True)
class Recommendations:
    """What is recommended to one person, best first, and what was made of their ratings.

    Attributes:
        rows: The items.
        asked: k; more than ``rows`` where fewer items are left.
        rated: Ratings that were read.
        unknown: Ids that the catalogue lacks; they were left out.
        used: Ratings in the state.
        frame_size: f, ratings that the state has room for.
        metric: Of the distances; "" where there are none.
    """

    rows: tuple[Recommended, ...]
    asked: int
    rated: int
    unknown: tuple[str, ...]
    used: int
    frame_size: int
    metric: str

    def __iter__(self) -> Iterator[Recommended]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def notes(self) -> list[str]:
        """Return in a line each what a person should know."""
        known = self.rated - len(self.unknown)
        notes = [f"{known} of {self.rated} ratings are of known items; the last {self.used} are the state"]
        if self.used < self.frame_size:
            notes.append(f"the state has room for {self.frame_size}: {self.frame_size - self.used} are empty")
        if self.unknown:
            more = ", ..." if len(self.unknown) > SHOWN else ""
            notes.append(f"unknown and left out ({len(self.unknown)}): {', '.join(self.unknown[:SHOWN])}{more}")
        if len(self) < self.asked:
            notes.append(f"{self.asked} were asked for, and only {len(self)} items are left")
        return notes

    def frame(self) -> "pd.DataFrame":
        """Return a table with columns ``id``, ``title``, ``genres`` (joined by ``|``) and, if any, ``distance``."""
        import pandas as pd

        table = pd.DataFrame([*self.rows], columns=[*Recommended._fields])
        table["genres"] = ["|".join(genres) for genres in table["genres"]]
        return table if self.metric else table.drop(columns="distance")


class Recommender:
    """An agent for one person at a time.

    Args:
        agent: It reads histories.
        shelf: What its items are.
    """

    def __init__(self, agent: Agent, shelf: Shelf) -> None:
        self.agent, self.shelf = agent, shelf
        self._ids = Vocabulary(id_texts(shelf.ids))
        seen = agent.problem.observation_space
        assert isinstance(seen, spaces.Dict)
        history = seen["history_items"]
        assert isinstance(history, spaces.MultiDiscrete)
        self.frame_size = len(history.nvec)
        self._takes_short = int(history.nvec[0]) == agent.items + 1

    @classmethod
    def load(cls, folder: str | Path) -> "Recommender":
        """Read a folder that ``write`` wrote.

        Raises:
            DataNotFound: The folder holds no recommender.
            DataError: A file is damaged.
            InvalidConfig: The agent cannot read a history of ratings.
        """
        return cls(*read(folder))

    @property
    def vectors(self) -> FloatArray | None:
        """Vectors of the items in which the agent acts, float [I, D]; None where it acts by none."""
        lookup = getattr(self.agent, "lookup", None)
        return None if lookup is None else lookup.table

    def recommend(
        self,
        history: Any,
        k: int = 10,
        *,
        metric: Metric | None = None,
        columns: Mapping[str, str] | None = None,
        user: str | int | None = None,
    ) -> Recommendations:
        """Recommend what the person has not rated. The same history has the same answer.

        Args:
            history: Ratings of one person on the scale that the agent learnt from: a ``.csv`` or ``.parquet`` file, a
                DataFrame, or a list of (id, rating) or (id, rating, time). The last f by time, else by order, are the
                state; all are left out of what is recommended.
            k: Items asked for, >= 1.
            metric: "l2", "inner" or "cosine", for agents that act by vectors; None: as the agent itself would.
            columns: Our names (``item``, ``rating``, ``timestamp``, ``user``) to those of the history.
            user: Whose rows to take, where the history is of several people.

        Raises:
            DataNotFound: The file is not there.
            DataError: It is damaged, or a rating is off the scale.
            InvalidInput: No item is known, everything is rated already, or the history is shorter than this agent
                can read.
            InvalidConfig: ``k`` is no whole number >= 1, or ``metric`` is unknown or asked of an agent without vectors.
        """
        require(isinstance(k, (int, np.integer)) and k >= 1, "k", k, "a whole number >= 1")
        found = read_history(history, self.shelf.scale, columns, user)
        numbers = self._ids.find(found.ids)
        unknown = tuple(own for own, number in zip(found.ids, numbers, strict=True) if number < 0)
        known = numbers >= 0
        observation = self.observation(numbers[known], found.ratings[known], unknown)
        items, distances = self.top(observation, k, self.unseen(numbers[known][None]), metric)
        rows = tuple(
            self._row(item, None if distances is None else distances[0, at]) for at, item in enumerate(items[0])
        )
        used = min(int(known.sum()), self.frame_size)
        name = "" if distances is None else metric or self.agent.config.metric
        return Recommendations(rows, k, len(found), unknown, used, self.frame_size, name)

    def observation(self, items: IntArray, ratings: FloatArray, unknown: tuple[str, ...] = ()) -> Observation:
        """Return what the agent sees of a person [1, f].

        Args:
            items: int [R], numbers of the items rated, oldest first.
            ratings: float [R].
            unknown: Ids that the catalogue lacks, for the message where nothing else was rated.

        Raises:
            InvalidInput: R is 0, or less than this agent can read.
        """
        if not len(items):
            first, last = self.shelf.ids[0], self.shelf.ids[-1]
            raise InvalidInput(
                f"none of the {len(unknown)} rated items is known ({', '.join(unknown[:SHOWN])}); allowed: ids of "
                f"{self.shelf.dataset}, {len(self.shelf.ids)} items, {first} .. {last}"
            )
        if len(items) < self.frame_size and not self._takes_short:
            missing = self.frame_size - len(items)
            raise InvalidInput(
                f"{len(items)} known items are rated, and this agent reads {self.frame_size}; rate {missing} more"
            )
        return framed(items, self.shelf.rewards(ratings), self.frame_size, len(self.shelf.ids))

    def unseen(self, items: IntArray) -> BoolArray:
        """Return bool [N, I], False for items [N, R] of a lane; numbers from I on stand for nothing."""
        allowed = np.ones((len(items), len(self.shelf.ids) + 1), bool)
        np.put_along_axis(allowed, items, False, axis=1)
        return allowed[:, :-1]

    def top(
        self, observation: Observation, k: int, allowed: BoolArray, metric: Metric | None = None
    ) -> tuple[IntArray, FloatArray | None]:
        """Return the best K items of N lanes, and their distances; the agent's generator stays where it was.

        Args:
            observation: Arrays [N, ...].
            k: Items asked for; K is less where a lane has fewer left.
            allowed: bool [N, I].
            metric: As in ``recommend``.

        Returns:
            int [N, K], and float [N, K] or None.

        Raises:
            InvalidInput: A lane has nothing left.
            InvalidConfig: ``metric`` is unknown, or asked of an agent without vectors.
        """
        count = min(k, int(allowed.sum(axis=1).min()))
        if count == 0:
            raise InvalidInput(f"all {allowed.shape[1]} items are rated already; nothing is left to recommend")
        vectors = self.vectors
        if metric is not None and vectors is None:
            kind = type(self.agent).__name__
            raise InvalidConfig(f"metric = {metric!r} for {kind}, which acts by no vectors; leave the metric out")
        with _unmoved(self.agent):
            if vectors is None or (metric is None and self.agent.config.neighbours > self.agent.problem.slate_size):
                return top_items(self.agent, observation, count, allowed), None
            nearest = NearestItems(vectors, metric or self.agent.config.metric)
            return nearest.find(self.proto(observation), count, Mask(allowed))

    def proto(self, observation: Observation) -> FloatArray:
        """Return the proto-actions of N lanes, float [N, D], of an agent that acts by vectors."""
        with _unmoved(self.agent):
            return np.asarray(self.agent.act(observation, explore=False).extras["proto"])

    def _row(self, item: int, distance: float | None) -> Recommended:
        shelf = self.shelf
        return Recommended(
            shelf.ids[item], shelf.titles[item], shelf.genres[item], None if distance is None else float(distance)
        )


def recommend(
    folder: str | Path,
    history: Any,
    k: int = 10,
    *,
    metric: Metric | None = None,
    columns: Mapping[str, str] | None = None,
    user: str | int | None = None,
) -> Recommendations:
    """Recommend for one person by the recommender in a folder; see ``Recommender.recommend``."""
    return Recommender.load(folder).recommend(history, k, metric=metric, columns=columns, user=user)


@contextmanager
def _unmoved(agent: Agent) -> Iterator[None]:
    """Put the agent's generator back where it was."""
    state = generator_state(agent.rng)
    try:
        yield
    finally:
        restore_generator(agent.rng, state)
