"""One vector an item, from all that is known of it.

Each block of columns is centred on the items of which it knows something and divided by the square root of its total
variance, so that none counts for more because it has more columns or larger units; then it is multiplied by the square
root of its weight. The weights are 1, but 1/4 for numbers: a block of one or two columns puts all its variance on as
many axes, where that of text spreads over a hundred, and at equal weight the year would be the first thing that
distances see. The blocks side by side are turned to their principal axes (Hotelling 1933), of which the first ``size``
stay: at most as many as the blocks have independent columns, so that a small catalogue gets shorter vectors. The kind
of scaling is that of multiple factor analysis (Escofier and Pages 1994), by the sum of a block's variances in place of
the largest.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, FloatArray
from smartrec.core.config import require
from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput, did_you_mean
from smartrec.core.files import atomic_write
from smartrec.core.seeding import generators
from smartrec.data.embeddings.blocks import Block, signed
from smartrec.data.embeddings.categories import CategoryBlock
from smartrec.data.embeddings.factors import FactorBlock
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.embeddings.numbers import NumberBlock
from smartrec.data.embeddings.sentences import SentenceBlock
from smartrec.data.embeddings.text import TextBlock
from smartrec.data.interactions import Dataset, Interactions
from smartrec.data.vocabulary import Vocabulary

BLOCKS: dict[str, type[Block]] = {
    kind.name: kind for kind in (TextBlock, SentenceBlock, CategoryBlock, NumberBlock, FactorBlock)
}
"""Name -> block."""

DEFAULT_BLOCKS = ("text", "categories", "numbers", "factors")

_FITTED = ("vectors", "explained", "axes")

WEIGHTS = {"numbers": 0.25}
"""Share of variance that a block brings, by name; 1 where it is not named."""


class ItemEmbedder:
    """Learns item vectors from a data set, and makes vectors of new items by what it learned.

    Args:
        blocks: Names of ``BLOCKS``, or blocks with settings of your own, each kind once. They are fitted in order, and
            ``factors`` predicts new items from the blocks before it: so it comes last.
        size: Numbers a vector, >= 1; fewer where the blocks have fewer independent columns.
        seed: Of the starts of iterative fits; the same seed gives the same vectors.

    Attributes:
        ids: I ids, once fitted.
        vectors: float32 [I, D], D <= ``size``, once fitted; centred on the items, and scaled so that the mean square of
            all numbers is 1.
        explained: float [D], share of the joined variance along each axis, largest first.
        axes: float [C, D], what the C scaled columns are multiplied by.
        used: Block name to the number of columns that it brought; 0 where there was nothing of its kind.

    Raises:
        InvalidConfig: An unknown block, one that occurs twice, or a size below 1.
    """

    ids: Vocabulary
    vectors: NDArray[np.float32]
    explained: FloatArray
    axes: FloatArray
    used: dict[str, int]

    def __init__(self, blocks: Sequence[str | Block] = DEFAULT_BLOCKS, size: int = 128, seed: int = 0) -> None:
        require(isinstance(size, int) and size >= 1, "size", size, "1 or more numbers a vector")
        self.blocks = [_block(one) for one in blocks]
        names = [block.name for block in self.blocks]
        require(len(set(names)) == len(names) > 0, "blocks", names, f"one or more of {', '.join(BLOCKS)}, each once")
        self.size, self.seed = size, seed

    def fit(self, dataset: Dataset, items: ItemTable | None = None) -> Self:
        """Learn from all items of a data set.

        Args:
            dataset: The log, and the catalogue of its items.
            items: What is known of the items beyond the catalogue's labels and features, by id.

        Raises:
            InvalidInput: ``items`` knows none of the data set's ids, or there is nothing to make vectors from.
        """
        return self.fit_table(table_for(dataset, items), dataset.interactions)

    def fit_table(self, table: ItemTable, log: Interactions) -> Self:
        """Learn from a table with all items of a log, in their order, and from nothing else.

        Raises:
            InvalidInput: The log has other items, or there is nothing to make vectors from.
        """
        if not np.array_equal(table.ids.ids, log.item_ids.ids):
            raise InvalidInput(
                f"a table of {len(table)} items for a log with {log.n_items}; ids and their order have to agree: "
                "table.rows(log.item_ids)"
            )
        before = np.empty((len(table), 0))
        self.used = {}
        for block, rng in zip(self.blocks, generators(self.seed, len(self.blocks)), strict=True):
            raw = block.fit(table, log, before, rng)
            before = np.hstack([before, block.settle(raw, WEIGHTS.get(block.name, 1.0))])
            self.used[block.name] = raw.shape[1]
        self.ids = table.ids
        self._turn(before)
        return self

    def transform(self, items: ItemTable) -> NDArray[np.float32]:
        """Return vectors of n items, new ones or not, float32 [n, D].

        An item that was there in ``fit`` gets its row again, but for the block of factors: here factors are what the
        other blocks let one expect, since no answers are handed in.

        Raises:
            InvalidInput: Nothing was fitted.
        """
        if not hasattr(self, "axes"):
            raise InvalidInput("this embedder is not fitted; call fit first, or load one")
        if not len(items):  # scikit-learn counts no words of no texts
            return np.empty((0, self.axes.shape[1]), np.float32)
        before = np.empty((len(items), 0))
        for block in self.blocks:
            before = np.hstack([before, block.scaled(block.transform(items, before))])
        vectors: NDArray[np.float32] = (before @ self.axes).astype(np.float32)
        return vectors

    def config(self) -> dict[str, Any]:
        """Return the settings, as plain values."""
        blocks = [{"name": block.name, "config": block.config()} for block in self.blocks]
        return {"size": self.size, "seed": self.seed, "blocks": blocks}

    def arrays(self) -> dict[str, Array]:
        """Return all that was fitted, as arrays; ``config`` is JSON text."""
        config = {**self.config(), "used": self.used}
        ids = self.ids.ids if self.ids.ids.dtype != object else self.ids.ids.astype(str)
        own = {"config": np.array(json.dumps(config)), "ids": ids, **{name: getattr(self, name) for name in _FITTED}}
        return own | {f"{block.name}/{name}": array for block in self.blocks for name, array in block.arrays.items()}

    @classmethod
    def of_arrays(cls, arrays: dict[str, Array]) -> Self:
        """Return the embedder that ``arrays`` came from."""
        config = json.loads(str(arrays["config"]))
        blocks = [BLOCKS[one["name"]](**one["config"]) for one in config["blocks"]]
        embedder = cls(blocks, config["size"], config["seed"])
        embedder.used, embedder.ids = config["used"], Vocabulary(arrays["ids"])
        for name in _FITTED:
            setattr(embedder, name, arrays[name])
        for block in embedder.blocks:
            prefix = f"{block.name}/"
            block.arrays = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
        return embedder

    def save(self, path: str | Path) -> None:
        """Write ``.npz``: all that was fitted, which ``read_vectors`` reads as well; or ``.npy``: the vectors alone.

        Raises:
            InvalidInput: The name ends otherwise.
            OutputError: The file cannot be written.
        """
        file, arrays = Path(path), self.arrays()
        if file.suffix not in (".npy", ".npz"):
            raise InvalidInput(
                f"{file} ends in {file.suffix!r}; allowed: .npz for all that was fitted, .npy for vectors"
            )
        with atomic_write(file, "wb") as stream:
            if file.suffix == ".npy":
                np.save(stream, self.vectors, allow_pickle=False)
            else:
                np.savez(stream, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataError: The file is none of ours, or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls.of_arrays({name: file[name] for name in file.files})
        except FileNotFoundError:
            raise DataNotFound(f"{path} is not there; check the path") from None
        except Exception as error:  # a damaged zip can raise nearly anything
            raise DataError(f"{path} holds no item embedder ({error}); write it again with save") from None

    def _turn(self, columns: FloatArray) -> None:
        """Learn the principal axes of the scaled columns [I, C] and make the vectors."""
        values, axes = np.linalg.eigh(columns.T @ columns / len(columns))
        kept = np.flatnonzero(values > 1e-10 * max(values.max(initial=0.0), 1e-12))[::-1][: self.size]
        if not len(kept):
            raise InvalidInput(
                f"no block of {', '.join(self.used)} found anything in which items differ; pass items=, a table with "
                "texts, categories or numbers, or a log with answers"
            )
        self.explained = values[kept] / values.sum()
        self.axes = signed(axes[:, kept]) * np.sqrt(len(kept) / values[kept].sum())
        self.vectors = (columns @ self.axes).astype(np.float32)


def table_for(dataset: Dataset, items: ItemTable | None) -> ItemTable:
    """Return what the catalogue of a data set and ``items`` know of its items.

    Raises:
        InvalidInput: ``items`` has none of their ids.
    """
    own = ItemTable.of_catalogue(dataset.items)
    if items is None:
        return own
    ids = own.ids.ids
    if len(ids) and (items.ids.find(ids) < 0).all():
        first = f" (first: {items.ids.ids[0]!r})" if len(items) else ""
        raise InvalidInput(
            f"none of the {len(ids)} items of {dataset.name} (first: {ids[0]!r}) is among the {len(items)} of the "
            f"table{first}; pass a table of the same items"
        )
    return own.joined(items)


def _block(one: str | Block) -> Block:
    if isinstance(one, Block):
        return one
    if one not in BLOCKS:
        raise InvalidConfig(f"no block {one!r}. {did_you_mean(one, BLOCKS)}")
    return BLOCKS[one]()
