"""Look-up of the items whose embeddings lie nearest to given vectors, exact, for many vectors at once.

Every metric is turned into one inner product, the larger the nearer, by a column more:
``l2``: ``(v - c, 1) . (e - c, -|e - c|^2 / 2)`` with c the mean embedding; ``inner``: ``(v, 1) . (e, 0)``;
``cosine``: ``(v / |v|, 1) . (e / |e|, 0)``.

A matrix product in single precision finds a short list, which is ranked again in double precision. Where rounding
could have kept an item off the list, all items are ranked in double precision, so that the result is exact.
"""

from typing import Any, Literal, get_args

import numpy as np

from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Items, Mask
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.optional import optional

Metric = Literal["l2", "inner", "cosine"]
"""Euclidean distance; minus the inner product; one minus the cosine."""

Backend = Literal["numpy", "faiss"]
"""Who makes the short list; ``faiss`` needs the extra ``nearest``."""

BLOCK_BYTES = 2**26
"""Memory that one block of vectors may take."""

GROUP = 32
"""Items whose largest score is looked at first: the K best items lie in the K groups with the largest ones."""

SPARE = 16
"""Items on the short list beyond those asked for, so that rounding seldom matters."""

LONG_LIST = 64
"""Candidates given as lists are searched as a mask from a share of one in this many items on."""


class NearestItems:
    """Finds the nearest items.

    Args:
        embeddings: float [I, D], one row an item; kept, not copied.
        metric: ``"l2"``, ``"inner"`` or ``"cosine"``.
        backend: ``"numpy"`` or ``"faiss"``; both find the same items.

    Attributes:
        embeddings: As given.
        metric: As given.

    Raises:
        InvalidConfig: Unknown metric or backend.
        InvalidInput: The embeddings are no table of finite numbers, or have a row of zeros under ``"cosine"``.
        MissingExtra: ``"faiss"`` without the package.
    """

    def __init__(self, embeddings: FloatArray, metric: Metric = "l2", *, backend: Backend = "numpy") -> None:
        require(metric in get_args(Metric), "metric", metric, ", ".join(get_args(Metric)))
        require(backend in get_args(Backend), "backend", backend, ", ".join(get_args(Backend)))
        self.embeddings, self.metric = as_table(embeddings, "embeddings"), metric
        if metric == "cosine":
            _refuse_zero_rows(self.embeddings)
        self._centre = self.embeddings.mean(axis=0, dtype=np.float64)  # [D]
        with np.errstate(over="ignore"):
            rows = self._rows(self.embeddings)  # [I, D + 1]
            self._largest = np.linalg.norm(rows, axis=1).max()
            self._single = _padded(rows.astype(np.float32))  # [P, D + 1], P >= I
        self._index = None if backend == "numpy" else _faiss_index(self._single[: len(rows)])

    def find(self, vectors: FloatArray, count: int, allowed: Candidates | None = None) -> tuple[IntArray, FloatArray]:
        """Return the ``count`` nearest items of each vector, nearest first, all different.

        Args:
            vectors: float [N, D]; under ``"cosine"`` a vector of zeros is equally far, 1, from every item.
            count: K, 1 to I.
            allowed: Which items each vector may get; None for all.

        Returns:
            Items int [N, K], and distances float [N, K]: Euclidean, or minus the inner product, or one minus the
            cosine. Items at the same distance come in any order.

        Raises:
            InvalidConfig: ``count`` is outside 1 to I.
            InvalidInput: ``vectors`` are no finite [N, D], or ``allowed`` is for other lanes or items.
            InvalidAction: A lane has fewer than ``count`` candidates.
        """
        vectors = as_table(vectors, "vectors", self.embeddings.shape[1])
        n_items = len(self.embeddings)
        if not 1 <= count <= n_items:
            raise InvalidConfig(f"count = {count}; allowed: 1 to the number of items, {n_items}")
        if allowed is not None:
            _require_fits(allowed, len(vectors), n_items)
            allowed.require(count)
        queries = self._queries(vectors)  # [N, D + 1]
        items, distances = np.empty((len(vectors), count), np.int64), np.empty((len(vectors), count))
        rows = max(1, BLOCK_BYTES // self._bytes_a_row(count, allowed))
        for start in range(0, len(vectors), rows):
            lanes = slice(start, start + rows)
            part = None if allowed is None else allowed[lanes]
            items[lanes], distances[lanes] = self._find(queries[lanes], count, part)
        return items, distances

    def get_state(self) -> dict[str, Any]:
        """Return nothing: who made it from embeddings makes it again from them."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""

    def _find(self, queries: FloatArray, count: int, allowed: Candidates | None) -> tuple[IntArray, FloatArray]:
        """Return ``find`` for one block of prepared vectors [N, D + 1]."""
        if isinstance(allowed, Items):
            if LONG_LIST * allowed.items.shape[1] < len(self.embeddings):
                items, distances, _ = self._ranked(queries, allowed.items, count)
                return items, distances
            allowed = _as_mask(allowed, len(self.embeddings))
        shortlist = self._by_product if self._index is None else self._by_faiss
        short, cut = shortlist(queries, min(count + SPARE, len(self.embeddings)), allowed)
        items, distances, last = self._ranked(queries, short, count)
        unsure = np.flatnonzero(~(last >= cut + self._rounding(queries)))
        if len(unsure):
            every = self._by_double(queries[unsure], count, None if allowed is None else allowed[unsure])
            items[unsure], distances[unsure], _ = self._ranked(queries[unsure], every, count)
        return items, distances

    def _by_product(self, queries: FloatArray, count: int, mask: Mask | None) -> tuple[IntArray, FloatArray]:
        """Return the ``count`` largest products, items int [N, count], -1 for none, and a bound [N] of all others."""
        with np.errstate(over="ignore", invalid="ignore"):
            scores = queries.astype(np.float32) @ self._single.T  # [N, P]
        if mask is not None:
            np.copyto(scores[:, : mask.allowed.shape[1]], -np.inf, where=~mask.allowed)
        lanes, width = len(scores), scores.shape[1] // GROUP
        if width <= count:
            items = _largest(scores, count)
        else:
            groups = _largest(scores.reshape(lanes, GROUP, width).max(axis=1), count)  # [N, count]
            inside = groups[:, None, :] + width * np.arange(GROUP)[:, None]  # [N, GROUP, count]
            inside = inside.reshape(lanes, GROUP * count)
            items = np.take_along_axis(inside, _largest(np.take_along_axis(scores, inside, 1), count), 1)
        found = np.take_along_axis(scores, items, 1)
        everything = count == len(self.embeddings)
        cut = np.full(lanes, -np.inf) if everything else found.min(axis=1).astype(np.float64)
        return np.where(found > -np.inf, items, -1), cut

    def _by_faiss(self, queries: FloatArray, count: int, mask: Mask | None) -> tuple[IntArray, FloatArray]:
        """Return ``_by_product`` by faiss: more than needed is fetched, and what is not allowed falls away."""
        assert self._index is not None
        fetch = count if mask is None else min(4 * count, len(self.embeddings))
        with np.errstate(over="ignore"):
            scores, items = self._index.search(queries.astype(np.float32), fetch)
        if mask is not None:
            rows = np.broadcast_to(mask.allowed, (len(items), mask.allowed.shape[1]))
            items = np.where(np.take_along_axis(rows, items, 1), items, -1)
        everything = fetch == len(self.embeddings)
        return items, np.full(len(items), -np.inf) if everything else scores[:, -1].astype(np.float64)

    def _by_double(self, queries: FloatArray, count: int, mask: Mask | None) -> IntArray:
        """Return the ``count`` nearest in double precision, int [N, count]: products, but differences for ``l2``."""
        n_items = len(self.embeddings)
        scores = np.empty((len(queries), n_items))
        block = max(1, BLOCK_BYTES // (16 * queries.shape[1]))
        for start in range(0, n_items, block):
            rows = self._rows(self.embeddings[start : start + block])
            if self.metric != "l2":
                scores[:, start : start + block] = queries @ rows.T
                continue
            for lane, query in enumerate(queries[:, :-1]):
                scores[lane, start : start + block] = -np.square(rows[:, :-1] - query).sum(axis=1)
        if mask is not None:
            np.copyto(scores, -np.inf, where=~mask.allowed)
        return _largest(scores, count)

    def _ranked(self, queries: FloatArray, items: IntArray, count: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """Rank ``items`` [N, C], -1 for none, in double precision.

        Returns:
            The ``count`` nearest [N, count], their distances [N, count], and the product of the last one [N].
        """
        rows = self._rows(self.embeddings[items])  # [N, C, D + 1]
        if self.metric == "l2":
            difference = rows[..., :-1] - queries[:, None, :-1]
            squares = np.einsum("ncd,ncd->nc", difference, difference)
            distances = np.sqrt(squares)
            scores = 0.5 * (np.square(queries[:, None, :-1]).sum(axis=-1) - squares)
        else:
            scores = np.einsum("nd,ncd->nc", queries, rows)
            distances = -scores if self.metric == "inner" else np.clip(1 - scores, 0.0, 2.0)
        distances[items < 0] = np.inf
        scores[items < 0] = -np.inf
        order = distances.argsort(axis=1, kind="stable")[:, :count]
        items, distances, scores = (np.take_along_axis(part, order, 1) for part in (items, distances, scores))
        return items, distances, scores[:, -1]

    def _rows(self, embeddings: FloatArray) -> FloatArray:
        """Return embeddings [..., D] as the rows [..., D + 1] of the inner product."""
        rows = np.zeros((*embeddings.shape[:-1], embeddings.shape[-1] + 1))
        rows[..., :-1] = embeddings
        if self.metric == "l2":
            rows[..., :-1] -= self._centre
            rows[..., -1] = -0.5 * np.square(rows[..., :-1]).sum(axis=-1)
        elif self.metric == "cosine":
            rows /= np.abs(rows).max(axis=-1, keepdims=True)  # squares of very small numbers would be 0
            rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
        return rows

    def _queries(self, vectors: FloatArray) -> FloatArray:
        """Return vectors [N, D] as the other side [N, D + 1] of the inner product."""
        queries = np.ones((len(vectors), vectors.shape[1] + 1))
        queries[:, :-1] = vectors
        if self.metric == "l2":
            queries[:, :-1] -= self._centre
        elif self.metric == "cosine":
            length = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
            queries[:, :-1] /= np.where(length > 0, length, 1.0)
        return queries

    def _rounding(self, queries: FloatArray) -> FloatArray:
        """Return by how much a product in single precision can be wrong, float [N]."""
        units = (queries.shape[1] + 4) * np.finfo(np.float32).eps
        rounding: FloatArray = units * np.linalg.norm(queries, axis=1) * self._largest
        return rounding

    def _bytes_a_row(self, count: int, allowed: Candidates | None) -> int:
        listed = allowed.items.shape[1] if isinstance(allowed, Items) else 0
        ranked = max(4 * (count + SPARE), min(listed, len(self.embeddings) // LONG_LIST))
        items, width = self._single.shape
        return int(9 * items + 24 * ranked * width)


def as_table(values: Any, name: str, width: int | None = None) -> FloatArray:
    """Return ``values`` as a float array of two axes, of finite numbers.

    Raises:
        InvalidInput: They are none, or have not ``width`` columns.
    """
    table: Array = np.asarray(values)
    columns = "D" if width is None else width
    rows = "I" if width is None else "N"
    if table.ndim != 2 or table.shape[1] == 0 or table.shape[1] != (width or table.shape[1]):
        raise InvalidInput(f"{name} have shape {table.shape}; allowed: [{rows}, {columns}]")
    if len(table) == 0 and width is None:
        raise InvalidInput(f"{name} have no row; give one an item")
    if table.dtype.kind not in "fiu":
        raise InvalidInput(f"{name} are of type {table.dtype}; allowed: numbers")
    table = table.astype(np.float64) if table.dtype not in (np.float32, np.float64) else table
    broken = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(broken):
        raise InvalidInput(
            f"{name}: row {broken[0]} has NaN or infinity ({len(broken)} such rows); allowed: finite numbers. "
            "Fill in or leave out what is missing"
        )
    return table


def _refuse_zero_rows(embeddings: FloatArray) -> None:
    zero = np.flatnonzero(~embeddings.any(axis=1))
    if len(zero):
        raise InvalidInput(
            f"embeddings: row {zero[0]} is all zeros ({len(zero)} such rows), so it has no cosine; "
            'give it numbers, or take metric="l2"'
        )


def _require_fits(allowed: Candidates, lanes: int, n_items: int) -> None:
    if isinstance(allowed, Mask):
        if allowed.allowed.shape not in ((lanes, n_items), (1, n_items)):
            raise InvalidInput(f"allowed has shape {allowed.allowed.shape}; allowed: ({lanes} or 1, {n_items})")
    elif len(allowed.items) != lanes or allowed.items.max(initial=-1) >= n_items:
        raise InvalidInput(
            f"allowed lists {len(allowed.items)} lanes and items to {allowed.items.max(initial=-1)}; "
            f"allowed: {lanes} lanes, items 0 to {n_items - 1}"
        )


def _as_mask(candidates: Items, n_items: int) -> Mask:
    table: BoolArray = np.zeros((len(candidates.items), n_items), bool)
    lanes, places = np.nonzero(candidates.items >= 0)
    table[lanes, candidates.items[lanes, places]] = True
    return Mask(table)


def _padded(rows: FloatArray) -> FloatArray:
    """Return rows [I, D + 1] with rows at the end that are never near, so that they fall into whole groups."""
    missing = np.zeros((-len(rows) % GROUP, rows.shape[1]), rows.dtype)
    missing[:, -1] = -np.inf
    return np.concatenate([rows, missing])


def _largest(scores: FloatArray, count: int) -> IntArray:
    """Return the columns of the ``count`` largest scores a row, int [N, count], in no order."""
    least = scores.shape[1] - count
    return np.argpartition(scores, least, axis=1)[:, least:] if least else np.argsort(scores, axis=1)


def _faiss_index(rows: FloatArray) -> Any:
    index = optional("faiss", "nearest", 'backend="faiss"').IndexFlatIP(rows.shape[1])
    index.add(rows)
    return index
