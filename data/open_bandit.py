"""The Open Bandit Dataset: what a fashion shop showed at three places of a page, with true propensities.

From ZOZO (https://research.zozo.com/data.html), described by Saito et al., "Open Bandit Dataset and Pipeline"
(NeurIPS 2021). Files lie at ``POLICY/CAMPAIGN/CAMPAIGN.csv`` and ``POLICY/CAMPAIGN/item_context.csv``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array
from smartrec.core.errors import InvalidInput
from smartrec.data.files import Source, files_at
from smartrec.data.text import Column, Layout, fault_at, line_of_row, read_columns, read_rows

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("random", "bts")

_USER = tuple(f"user_feature_{k}" for k in range(4))
_ITEM = tuple(f"item_feature_{k}" for k in range(4))


@dataclass(frozen=True, eq=False)
class OpenBandit:
    """What one policy did in one campaign: R rows of one item shown at one position, in the order of the file.

    Attributes:
        campaign: "all", "men" or "women".
        policy: "random" (uniform) or "bts" (Bernoulli Thompson sampling).
        actions: int32 [R], the item shown, 0 .. I-1.
        positions: int8 [R], 0 left, 1 centre, 2 right (the file counts from 1).
        rewards: float32 [R], 1 where it was clicked, else 0.
        propensities: float64 [R], with what probability the policy showed this item at this position, > 0.
        contexts: float32 [R, D], a 0/1 column a value of each of four hashed user features, values sorted.
        context_names: D names, as in ``"user_feature_0=81ce..."``.
        item_features: float32 [I, E], ``item_feature_0`` as it is, then 0/1 columns of three hashed features.
            Items are hashed anew for each policy: only ``item_feature_0`` can be compared between policies.
        item_feature_names: E names.
        timestamps: datetime64[us] [R], UTC.
        affinities: float32 [R, I], how often the user had clicked on items like each; None unless asked for.
    """

    campaign: str
    policy: str
    actions: NDArray[np.int32]
    positions: NDArray[np.int8]
    rewards: NDArray[np.float32]
    propensities: NDArray[np.float64]
    contexts: NDArray[np.float32]
    context_names: tuple[str, ...]
    item_features: NDArray[np.float32]
    item_feature_names: tuple[str, ...]
    timestamps: "NDArray[np.datetime64]"
    affinities: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def n_items(self) -> int:
        """I, the number of items that could be shown."""
        return len(self.item_features)


def load_open_bandit(
    path: str | Path, campaign: str = "all", policy: str = "random", *, affinities: bool = False
) -> OpenBandit:
    """Read one campaign of one policy.

    Args:
        path: The folder that holds ``random`` and ``bts``, or a zip or tar archive of it, which is not unpacked.
        campaign: One of ``CAMPAIGNS``.
        policy: One of ``POLICIES``.
        affinities: Whether to keep the table of affinities, I numbers a row.

    Raises:
        InvalidInput: An unknown campaign or policy.
        DataNotFound: There is nothing at ``path``.
        DataError: A file is missing or damaged.
    """
    for name, value, allowed in (("campaign", campaign, CAMPAIGNS), ("policy", policy, POLICIES)):
        if value not in allowed:
            raise InvalidInput(f"{name} = {value!r}; allowed: {', '.join(allowed)}")
    folder = f"{policy}/{campaign}"
    log, items = files_at(Path(path), f"{folder}/{campaign}.csv", f"{folder}/item_context.csv")
    item_names, item_features = _items(items)
    n_items = len(item_features)
    layout = _log_layout(n_items)
    columns = read_columns(log, layout)
    names, contexts = _one_hot(_USER, [columns[name] for name in _USER])
    table = [columns[f"affinity_{k}"] for k in range(n_items)] if affinities else []
    return OpenBandit(
        campaign,
        policy,
        actions=columns["item_id"].astype(np.int32),
        positions=(columns["position"] - 1).astype(np.int8),
        rewards=columns["click"].astype(np.float32),
        propensities=columns["propensity_score"],
        contexts=contexts,
        context_names=names,
        item_features=item_features,
        item_feature_names=item_names,
        timestamps=_times(log, layout, columns["timestamp"]),
        affinities=np.stack(table, axis=1).astype(np.float32) if affinities else None,
    )


def _log_layout(n_items: int) -> Layout:
    affinities = [f"user-item_affinity_{k}" for k in range(n_items)]
    header = ["", "timestamp", "item_id", "position", "click", "propensity_score", *_USER, *affinities]
    columns = (
        Column("row", "int"),
        Column("timestamp", "text"),
        Column("item_id", "int", 0, n_items - 1),
        Column("position", "int", 1, 3),
        Column("click", "int", 0, 1),
        Column("propensity_score", "float", np.finfo(np.float64).tiny, 1),
        *(Column(name, "text") for name in _USER),
        *(Column(f"affinity_{k}", "float") for k in range(n_items)),
    )
    return Layout(columns, header=",".join(header))


def _items(source: Source) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    columns = (
        Column("row", "int"),
        Column("item_id", "int", 0),
        Column(_ITEM[0], "float"),
        *(Column(name, "text") for name in _ITEM[1:]),
    )
    layout = Layout(columns, header=",".join(("", "item_id", *_ITEM)))
    rows = read_rows(source, layout)
    for number, row in enumerate(rows):
        if int(row[1]) != number:
            line = line_of_row(source, layout, number)
            raise fault_at(source, line, f"item_id is {row[1]}; expected {number}, items lie in order from 0", layout)
    names, flags = _one_hot(_ITEM[1:], [np.array([row[k] for row in rows], object) for k in range(3, 6)])
    plain = np.array([float(row[2]) for row in rows], np.float32)
    return (_ITEM[0], *names), np.column_stack([plain, flags])


def _one_hot(names: Sequence[str], columns: list[Array]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return a 0/1 column a value of each text column, in sorted order, and what each stands for."""
    titles: list[str] = []
    blocks = []
    for name, column in zip(names, columns, strict=True):
        values, numbers = np.unique(column.astype(str), return_inverse=True)
        titles += [f"{name}={value}" for value in values.tolist()]
        blocks.append(np.eye(len(values), dtype=np.float32)[numbers])
    return tuple(titles), np.concatenate(blocks, axis=1)


def _times(source: Source, layout: Layout, cells: Array) -> "NDArray[np.datetime64]":
    import pandas as pd

    dates = pd.to_datetime(pd.Series(cells), errors="coerce", format="ISO8601", utc=True)
    bad = np.asarray(dates.isna())
    if bad.any():
        row = int(bad.argmax())
        fault = f"timestamp is {cells[row]!r}; allowed: dates like 2019-11-24 00:00:34.762830+00:00"
        raise fault_at(source, line_of_row(source, layout, row), fault, layout)
    return np.asarray(dates.dt.tz_localize(None).astype("datetime64[us]"))
