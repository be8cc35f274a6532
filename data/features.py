"""Plain numeric columns about people and films, the same for every data set that has them."""

import re
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array

AGE_CENTRE, AGE_UNIT = 35.0, 15.0
YEAR_CENTRE, YEAR_UNIT = 1980.0, 20.0
_YEAR_OF_TITLE = re.compile(r"\((\d{4})(?:[-\N{EN DASH}]\d{0,4})?\)")

Columns = tuple[tuple[str, ...], NDArray[np.float32]]
"""D names, and float32 [n, D]."""


def user_features(female: Array, age: Array, occupation: Sequence[str]) -> Columns:
    """Return ``gender_f`` (0 or 1), ``age`` ((years - 35) / 15), and a 0/1 column an occupation, by name.

    Args:
        female: bool [U].
        age: [U], years.
        occupation: U names.
    """
    names = sorted(set(occupation))
    column = {name: number for number, name in enumerate(names)}
    one_hot = np.zeros((len(occupation), len(names)), np.float32)
    one_hot[np.arange(len(occupation)), [column[name] for name in occupation]] = 1
    scaled = (np.asarray(age, np.float32) - AGE_CENTRE) / AGE_UNIT
    features = np.column_stack([np.asarray(female, np.float32), scaled, one_hot])
    return ("gender_f", "age", *(f"occupation_{name}" for name in names)), features.astype(np.float32)


def item_features(genres: Sequence[Collection[str]], names: Sequence[str], year: Sequence[int | None]) -> Columns:
    """Return one 0/1 column a genre, and ``year`` ((year - 1980) / 20, 0 where it is missing).

    Args:
        genres: The genres of each of I items, all out of ``names``.
        names: All genres, in the order of the columns.
        year: I years.
    """
    flags = np.array([[name in own for name in names] for own in genres], np.float32)
    scaled = [0.0 if one is None else (one - YEAR_CENTRE) / YEAR_UNIT for one in year]
    features = np.column_stack([flags.reshape(len(genres), len(names)), np.array(scaled, np.float32)])
    return (*(f"genre_{name}" for name in names), "year"), features.astype(np.float32)


def year_of_title(title: str) -> int | None:
    """Return 1995 for ``"Toy Story (1995)"``, 2006 for ``"... (2006-2007)"``, None where there is no year."""
    found = _YEAR_OF_TITLE.findall(title)
    return int(found[-1]) if found else None
