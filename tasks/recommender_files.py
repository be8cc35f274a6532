"""A recommender on disk: an agent, and what is needed to use it for a person.

The folder holds the agent (``agent.json``, ``arrays.npz``), ``catalogue.parquet`` (a row an item, in the order of the
agent's items), ``people.npz`` (what some people did last, to see what the agent recommends to a crowd), and
``recommender.json``, which goes first when a folder is written anew and comes last: where it is, all is there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from gymnasium import spaces

from smartrec import agents
from smartrec.agents.base import Agent
from smartrec.core.arrays import Array, FloatArray, IntArray, Observation
from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput, OutputError
from smartrec.core.files import atomic_write, ensure_folder
from smartrec.core.problem import Problem
from smartrec.core.seeding import generators
from smartrec.data.interactions import Catalogue, Interactions
from smartrec.data.trajectories import Trajectories

JSON, CATALOGUE, PEOPLE = "recommender.json", "catalogue.parquet", "people.npz"
HISTORY = {"history_items", "history_responses"}
GENRE = "genre_"
"""How the names of features that are genres begin."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """What an agent's items are, and the scale on which people rate them. I items, S people, f answers in a state.

    Attributes:
        dataset: Name of what was learnt from.
        points: float [P, 2], ratings, ascending, and their rewards; between two of them rewards lie on a line.
        ids: I ids, integers or strings.
        titles: I names for people.
        genres: I tuples of names.
        counts: int [I], how often each was answered in what was learnt from.
        people: ``history_items`` int [S, f] and ``history_responses`` float [S, f], the last answers of some users.
    """

    dataset: str
    points: FloatArray
    ids: tuple[Any, ...]
    titles: tuple[str, ...]
    genres: tuple[tuple[str, ...], ...]
    counts: IntArray
    people: Observation

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest rating."""
        return float(self.points[0, 0]), float(self.points[-1, 0])

    def rewards(self, ratings: FloatArray) -> FloatArray:
        """Return ratings [R] on the scale as rewards [R]."""
        return np.interp(ratings, self.points[:, 0], self.points[:, 1])


def write(
    folder: str | Path,
    agent: Agent,
    items: Catalogue,
    log: Interactions,
    *,
    ratings: Mapping[float, float],
    dataset: str,
    people: int = 200,
    seed: int = 0,
) -> None:
    """Write an agent so that ``smartrec recommend`` can use it.

    Args:
        folder: Where to; files of the same names are replaced.
        agent: Learnt from frames of ``log``.
        items: Titles, and genres as 0/1 features ``genre_...``.
        log: What was learnt from, with rewards for ratings.
        ratings: What a person's rating is as a reward, for example ``{0.5: -4, 5: 5}``: the ends of the scale, or
            every rating. Between two of them rewards lie on a line.
        dataset: Name of what was learnt from.
        people: Users whose last answers are kept, at most.
        seed: Of the draw of these users.

    Raises:
        InvalidConfig: The agent cannot read a history of ratings.
        InvalidInput: ``items``, ``log`` and the agent differ in items, or ``ratings`` are no finite numbers.
        OutputError: Something cannot be written; the folder then holds no recommender.
    """
    frame = frame_size(agent.problem)
    if len(items) != agent.items or not np.array_equal(items.ids.ids, log.item_ids.ids):
        raise InvalidInput(
            f"a catalogue of {len(items)} items, a log of {log.n_items} and an agent of {agent.items}; allowed: the "
            "same items in the same order. Renumber the catalogue as the log was (pick_rows)"
        )
    points = sorted((float(rating), float(reward)) for rating, reward in ratings.items())
    if not points or not np.isfinite(points).all():
        raise InvalidInput(
            f"ratings = {ratings}; allowed: a reward for each, all finite, for example {{0.5: -4, 5: 5}}"
        )
    lived = Trajectories.of(log)
    where = ensure_folder(Path(folder))
    try:
        (where / JSON).unlink(missing_ok=True)
        agent.save(where)
        _write_catalogue(where / CATALOGUE, items, log)
        with atomic_write(where / PEOPLE, "wb") as file:
            np.savez(file, **_last_frames(lived, frame, people, seed))  # type: ignore[arg-type]
        with atomic_write(where / JSON) as file:
            json.dump({"dataset": dataset, "frame_size": frame, "ratings": points}, file, indent=1)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"recommender in {where} cannot be written ({error.strerror or error}); make room, then write it again "
            "(smartrec train --resume)"
        ) from error


def read(folder: str | Path) -> tuple[Agent, Shelf]:
    """Undo ``write``.

    Raises:
        DataNotFound: The folder holds no recommender.
        DataError: A file is damaged, or they do not belong together.
        InvalidConfig: The agent cannot read a history of ratings.
    """
    where = Path(folder)
    if not (where / JSON).is_file():
        has = "an agent, but not what its items are called" if (where / "agent.json").is_file() else "no recommender"
        raise DataNotFound(f"{where} holds {has} ({JSON} is missing); smartrec train writes it, or tasks.write")
    agent = agents.load(where)
    frame = frame_size(agent.problem)
    try:
        about = json.loads((where / JSON).read_text(encoding="utf-8"))
        points, dataset = np.array(about["ratings"], np.float64).reshape(-1, 2), str(about["dataset"])
        columns = _read_catalogue(where / CATALOGUE)
        with np.load(where / PEOPLE, allow_pickle=False) as file:
            people = {name: file[name] for name in HISTORY}
        if len(columns["ids"]) != agent.items or people["history_items"].shape[1:] != (frame,) or not len(points):
            raise ValueError(f"{len(columns['ids'])} items in {CATALOGUE}, {agent.items} in the agent")
    except (OSError, ValueError, TypeError, KeyError, IndexError, BadZipFile, EOFError) as error:
        raise DataError(f"the recommender in {where} is damaged ({error}); write it again") from None
    return agent, Shelf(dataset, points, people=people, **columns)


def frame_size(problem: Problem) -> int:
    """Return f, the length of the history that an agent for ``problem`` reads.

    Raises:
        InvalidConfig: It reads none, or something beside it that is not known of a new person.
    """
    space = problem.observation_space
    parts = {} if not isinstance(space, spaces.Dict) else space.spaces
    more = sorted({*parts} - HISTORY)
    if not {*parts} >= HISTORY or more or not isinstance(parts["history_items"], spaces.MultiDiscrete):
        seen = ", ".join(parts) or str(space)
        raise InvalidConfig(
            f"this agent sees {seen}; allowed: {' and '.join(sorted(HISTORY))} alone, for of a new person nothing "
            "else is known. Learn from frames of a log (smartrec train) with an agent that reads them, such as td3"
        )
    return len(parts["history_items"].nvec)


def framed(items: Array, rewards: Array, frame: int, nothing: int) -> Observation:
    """Return the last ``frame`` of R answers as an observation [1, f]; fewer are filled up in front by ``nothing``."""
    last_items, last_rewards = items[-frame:], rewards[-frame:]
    missing = frame - len(last_items)
    return {
        "history_items": np.pad(last_items, (missing, 0), constant_values=nothing)[None].astype(np.int64),
        "history_responses": np.pad(last_rewards, (missing, 0))[None].astype(np.float32),
    }


def _last_frames(lived: Trajectories, frame: int, people: int, seed: int) -> Observation:
    """Return the last answers of up to ``people`` users, who have a whole frame of them if some do."""
    some = np.flatnonzero(lived.lengths >= frame)
    some = some if len(some) else np.arange(len(lived))
    some = np.sort(generators(seed, 1)[0].permutation(some)[:people])
    rows = [slice(lived.starts[user], lived.starts[user + 1]) for user in some]
    each = [framed(lived.items[own], lived.ratings[own], frame, lived.n_items) for own in rows]
    return {name: np.concatenate([one[name] for one in each]) for name in sorted(HISTORY)}


def _write_catalogue(path: Path, items: Catalogue, log: Interactions) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = [column for column, name in enumerate(items.feature_names) if name.startswith(GENRE)]
    names = [items.feature_names[column].removeprefix(GENRE) for column in columns]
    genres = [[names[place] for place in np.flatnonzero(row)] for row in items.features[:, columns]]
    table = pa.table(
        {
            "item": pa.array(items.ids.ids.tolist()),
            "title": pa.array(items.labels, pa.string()),
            "genres": pa.array(genres, pa.list_(pa.string())),
            "count": np.bincount(log.items, minlength=log.n_items),
        }
    )
    with atomic_write(path, "wb") as file:
        parquet.write_table(table, file)


def _read_catalogue(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        ids, titles, genres = (table[name].to_pylist() for name in ("item", "title", "genres"))
        counts = table["count"].to_numpy()
    except pa.ArrowException as error:
        raise ValueError(error) from None
    return {"ids": tuple(ids), "titles": tuple(titles), "genres": tuple(map(tuple, genres)), "counts": counts}
