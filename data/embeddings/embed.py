"""Item vectors of a data set by one call, kept on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from smartrec.core.cache import cached
from smartrec.core.provenance import source_digest, versions_of
from smartrec.data.embeddings.blocks import Block
from smartrec.data.embeddings.embedder import DEFAULT_BLOCKS, ItemEmbedder, table_for
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.embeddings.tables import read_items, tags_of
from smartrec.data.interactions import Dataset
from smartrec.data.published import PUBLISHED, data_roots
from smartrec.data.sources import load
from smartrec.version import __version__


def embed(
    dataset: Dataset | str | Path,
    size: int = 128,
    *,
    items: ItemTable | str | Path | None = None,
    blocks: Sequence[str | Block] = DEFAULT_BLOCKS,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
) -> ItemEmbedder:
    """Return a fitted embedder, whose ``vectors`` [I, D] are those of the data set's items.

    It is kept in ``SMARTREC_CACHE`` by the digest of the data, the settings and the version.

    Args:
        dataset: A data set, or what ``load`` takes: a name or a path. Given by name or path, tags that lie beside
            the ratings (``tags.csv``) count as texts.
        size: Numbers a vector; fewer where less is known.
        items: What is known of the items beyond the catalogue, or a file of it, see ``read_items``.
        blocks: What vectors are made from, see ``ItemEmbedder``.
        seed: Of the starts of iterative fits.
        columns: Only for a log of your own, given by path: our column names to yours.

    Raises:
        InvalidInput: ``items`` knows none of the items, or nothing is known of them at all.
        DataNotFound: A file is not there.
        DataError: A file is damaged.
    """
    embedder = ItemEmbedder(blocks, size, seed)
    found = dataset if isinstance(dataset, Dataset) else load(dataset, columns)
    table = table_for(found, read_items(items) if isinstance(items, (str, Path)) else items)
    tags = None if isinstance(dataset, Dataset) else _tags(dataset)
    table = table if tags is None else table.joined(tags)
    key = {
        "data": found.digest(),
        "items": table.digest(),
        "config": embedder.config(),
        "version": __version__,
        "code": _code(embedder),
    }
    arrays, _ = cached(
        f"item vectors of {found.name}", key, lambda: (embedder.fit_table(table, found.interactions).arrays(), ())
    )
    return ItemEmbedder.of_arrays(arrays)


def _code(embedder: ItemEmbedder) -> str:
    """Return a digest of the sources, and the versions, that vectors depend on; a block of one's own included."""
    modules = sorted(
        {ItemEmbedder.__module__, Block.__module__, *(type(block).__module__ for block in embedder.blocks)}
    )
    return source_digest(*modules) + str(versions_of("numpy", "scipy", "scikit-learn", "implicit"))


def _tags(dataset: str | Path) -> ItemTable | None:
    spec = PUBLISHED.get(str(dataset))
    where = spec.find(data_roots()) if spec else Path(dataset)
    return tags_of(where) if where is not None and (where.is_dir() or where.suffix == ".zip") else None
