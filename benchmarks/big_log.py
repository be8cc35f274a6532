"""A log of MovieLens-20M's layout and size, made of dice: for speed and memory, never for quality."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

ROWS, USERS, ITEMS = 20_000_263, 138_493, 26_744
"""What MovieLens 20M has."""

LEAST, LONGEST = 20, 9_254
"""Answers of a user."""

FIRST, LAST = 789_652_009, 1_427_784_002
"""Unix seconds of the first and of the last answer."""

_STARS = np.arange(0.5, 5.5, 0.5)
_SHARES = np.array([0.012, 0.034, 0.014, 0.072, 0.044, 0.214, 0.110, 0.278, 0.077, 0.145])


def write_log(folder: Path, rows: int = ROWS, seed: int = 0) -> None:
    """Write ``ratings.csv`` and ``movies.csv``: users one after the other, their films and times in no order.

    Args:
        folder: Where to; made where it is missing.
        rows: R; users shrink with it, so that each has as many answers as in the full log; the films stay.
        seed: Of the dice.
    """
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.sort(rng.choice(131_262, ITEMS, replace=False)) + 1)
    users = max(round(USERS * rows / ROWS), 1)
    lengths = _lengths(rng, users, rows)
    user, item = _pairs(rng, lengths)
    start = rng.integers(FIRST, LAST - 10**7, users)
    times = np.repeat(start, lengths) + rng.integers(0, 10**7, rows) // rng.integers(1, 2000, rows)
    stars = rng.choice(10, rows, p=_SHARES / _SHARES.sum())
    folder.mkdir(parents=True, exist_ok=True)
    _write_ratings(folder / "ratings.csv", user + 1, ids[item], stars, times)
    films = "".join(f"{one},Film {one} ({1950 + one % 60}),Drama|Comedy\n" for one in ids)
    (folder / "movies.csv").write_text("movieId,title,genres\n" + films, encoding="utf-8")


def _lengths(rng: np.random.Generator, users: int, rows: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return answers a user, [users], ``rows`` in all: most have few, some have thousands."""
    drawn = np.minimum(LEAST + rng.lognormal(4.0, 1.25, users), LONGEST)
    lengths = np.maximum(np.floor(drawn * rows / drawn.sum()).astype(np.int64), LEAST)
    while (missing := rows - int(lengths.sum())) != 0:
        room = np.flatnonzero(lengths < LONGEST if missing > 0 else lengths > LEAST)
        chosen = rng.choice(room, min(abs(missing), len(room)), replace=False)
        lengths[chosen] += np.sign(missing)
    return lengths


def _pairs(rng: np.random.Generator, lengths: Any) -> tuple[Any, Any]:
    """Return users and items [R], each pair once, popular items often, every item at least once."""
    popularity = 1 / (np.arange(ITEMS) + 40.0) ** 1.15
    until = np.cumsum(popularity / popularity.sum())
    user = np.repeat(np.arange(len(lengths)), lengths)
    item = np.searchsorted(until, rng.random(len(user))).clip(max=ITEMS - 1)
    some = rng.choice(len(user), min(ITEMS, len(user)), replace=False)
    item[some] = np.arange(len(some))
    while True:
        key = user * ITEMS + item
        order = np.argsort(key)
        again = order[1:][key[order][1:] == key[order][:-1]]
        if not len(again):
            return user, item
        item[again] = rng.integers(0, ITEMS, len(again))


def _write_ratings(path: Path, users: Any, items: Any, stars: Any, times: Any) -> None:
    import pyarrow as pa
    from pyarrow import csv

    texts = pa.DictionaryArray.from_arrays(stars.astype(np.int8), [f"{star:.1f}" for star in _STARS]).cast(pa.string())
    columns = {"userId": users, "movieId": items, "rating": texts, "timestamp": times}
    with path.open("wb") as file:
        file.write((",".join(columns) + "\n").encode())
        csv.write_csv(pa.table(columns), file, csv.WriteOptions(include_header=False, quoting_style="none"))


if __name__ == "__main__":
    write_log(Path(sys.argv[1]), int(sys.argv[2]))
