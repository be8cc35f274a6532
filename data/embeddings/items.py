"""What is known of items, by kind: texts, categories, numbers. Blocks of an embedding are made from it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from smartrec.core.arrays import Array, FloatArray
from smartrec.core.config import digest
from smartrec.core.errors import InvalidInput
from smartrec.data.interactions import Catalogue
from smartrec.data.vocabulary import Vocabulary

T = TypeVar("T")

_YEAR = re.compile(r"\s*\(\d{4}[^)]*\)")


@dataclass(frozen=True, eq=False)
class ItemTable:
    """What is known of n items; anything may be missing.

    Attributes:
        ids: n ids.
        texts: n texts, empty where there is none.
        categories: Name of a column to n tuples of values: none, one (a language) or several (genres).
        numbers: Name of a column to float [n], NaN where the number is missing.

    Raises:
        InvalidInput: A column of another length, or an infinite number.
    """

    ids: Vocabulary
    texts: tuple[str, ...]
    categories: Mapping[str, tuple[tuple[str, ...], ...]]
    numbers: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        columns: dict[str, Sequence[Any] | Array] = {"texts": self.texts, **self.categories, **self.numbers}
        for name, column in columns.items():
            if len(column) != len(self.ids):
                raise InvalidInput(f"{name} has {len(column)} rows for {len(self.ids)} ids; pass one row an id")
        for name, values in self.numbers.items():
            if np.isinf(values).any():
                row = int(np.isinf(values).argmax())
                raise InvalidInput(f"{name}[{row}] is {values[row]}; allowed: finite numbers, NaN for a missing one")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of_catalogue(cls, catalogue: Catalogue) -> "ItemTable":
        """Return a catalogue by kind: labels without their year are texts, 0/1 columns of one prefix a category.

        ``genre_Action`` and ``genre_Comedy`` become values of ``genre``; other columns, a lone 0/1 column too, are
        numbers. A label that is only the id as text says nothing.
        """
        groups: dict[str, list[tuple[str, int]]] = {}
        for column, name in enumerate(catalogue.feature_names):
            prefix, _, value = name.partition("_")
            if value and np.isin(catalogue.features[:, column], (0, 1)).all():
                groups.setdefault(prefix, []).append((value, column))
        groups = {prefix: group for prefix, group in groups.items() if len(group) > 1}
        flags = {column for group in groups.values() for _, column in group}
        categories = {prefix: _values(catalogue.features, group) for prefix, group in groups.items()}
        numbers = {
            name: catalogue.features[:, column].astype(float)
            for column, name in enumerate(catalogue.feature_names)
            if column not in flags
        }
        labels = zip(catalogue.labels, catalogue.ids.ids, strict=True)
        texts = tuple("" if label == str(own) else _YEAR.sub("", label) for label, own in labels)
        return cls(catalogue.ids, texts, categories, numbers)

    def rows(self, ids: Vocabulary) -> "ItemTable":
        """Return the rows of ``ids``, in their order; of an id that this table lacks nothing is known."""
        where = self.ids.find(ids.ids)
        # A last row of nothing is what -1, an unknown id, picks.
        numbers = {name: np.append(values, np.nan)[where] for name, values in self.numbers.items()}
        categories = {name: _taken((*column, ()), where) for name, column in self.categories.items()}
        return ItemTable(ids, _taken((*self.texts, ""), where), categories, numbers)

    def joined(self, other: "ItemTable") -> "ItemTable":
        """Return both, for the items of this one.

        Texts stand one after the other. In a column that both have, an item has the values of both if they are
        categories, and the other's number, if it has one.
        """
        more = other.rows(self.ids)
        texts = tuple(f"{a} {b}".strip() for a, b in zip(self.texts, more.texts, strict=True))
        categories = {**self.categories, **more.categories}
        for name in self.categories.keys() & more.categories.keys():
            both = zip(self.categories[name], more.categories[name], strict=True)
            categories[name] = tuple(tuple(dict.fromkeys(a + b)) for a, b in both)
        numbers = {**self.numbers, **more.numbers}
        for name in self.numbers.keys() & more.numbers.keys():
            theirs = more.numbers[name]
            numbers[name] = np.where(np.isnan(theirs), self.numbers[name], theirs)
        return ItemTable(self.ids, texts, categories, numbers)

    def digest(self) -> str:
        """Return 12 hexadecimal digits, equal for equal content."""
        numbers = {name: values.tolist() for name, values in self.numbers.items()}
        return digest([self.ids.ids.tolist(), self.texts, dict(self.categories), numbers])


def _values(features: Array, group: list[tuple[str, int]]) -> tuple[tuple[str, ...], ...]:
    flags = features[:, [column for _, column in group]] == 1
    return tuple(tuple(group[k][0] for k in np.flatnonzero(row)) for row in flags)


def _taken(column: Sequence[T], where: Array) -> tuple[T, ...]:
    return tuple(column[row] for row in where.tolist())
