"""New rows that look like the old ones: a Gaussian copula over columns of numbers and categories."""

from typing import Any, Self

import numpy as np

from smartrec.core.arrays import Array, FloatArray, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.data.generators import Generator, is_frame, require_fitted, require_table

ORDERS = 30
"""Hermite coefficients a column; those left out weigh at most 4 % (0.9**31) at a latent correlation of 0.9."""

MOST = 0.999
"""Largest correlation of two normal columns, so that no column is another one's copy."""


class CopulaGenerator(Generator):
    """Correlated normal numbers, turned column by column into the values of a table (Sklar 1959).

    A row is ``x_d = F_d^-1(Phi(z_d))`` with ``z ~ N(0, C)`` and F_d the empirical law of column d, so each column
    keeps its values and their frequencies. C is chosen so that the table's own correlations are kept (NORTA, Cario
    and Nelson 1997): with the Hermite coefficients ``a_dn = E[x_d(Z) He_n(Z)] / sqrt(n!)``,

        cov(x_d, x_e) = sum_n a_dn a_en C_de^n,

    which rises with C_de and is solved by bisection; where no C fits all pairs at once, the nearest one does (its
    negative eigenvalues are cut off). Categories have no order of their own: they are put in the order of the mean
    of the numeric columns' first principal component, or of frequency where there is no such column, and numbered.

    Kept are the law of each column and the correlation of each pair; joint laws that are no Gaussian copula are
    not, such as a correlation that turns with a third column.

    Args:
        id_column: Column of a DataFrame that names the rows; it is not learnt, new rows get ids of their own,
            ``"{label}_{k}"`` with k from 0 at each call. None where there is none.
        label: Of new ids.
        seed: Of the sequence of random streams, >= 0.
    """

    def __init__(self, id_column: str | None = None, label: str = "synthetic", seed: int = 0) -> None:
        super().__init__(seed)
        self.id_column, self.label = id_column, label
        self._source: Any = None

    def fit(self, table: Any) -> Self:
        """Learn the columns of ``table`` and their correlations.

        Raises:
            InvalidInput: No rows, a missing value, or no such ``id_column``.
        """
        table = require_table(table)
        self._one_column = table.ndim == 1
        source = table.reshape(-1, 1).copy() if self._one_column else table.copy()
        self._layout = list(source.columns) if is_frame(source) else list(range(source.shape[1]))
        if self.id_column is not None and self.id_column not in self._layout:
            raise InvalidInput(f"id_column = {self.id_column!r}; allowed: None or one of the columns {self._layout}")
        self._learnt = [name for name in self._layout if name != self.id_column]
        if not self._learnt:
            raise InvalidInput(f"the table has no column beside {self.id_column!r}; allowed: at least one to learn")
        codes = _codes([_values(source, name) for name in self._learnt])
        # From the lowest value to the highest, by row: the value of rank r is that of row order[r].
        self._orders = [np.argsort(column, kind="stable") for column in codes]
        self._factor = _factor(_latent_correlation(codes))
        self._source = source
        return self

    @property
    def size(self) -> int:
        """Rows of the source."""
        return len(require_fitted(self._source, self))

    def _generate(self, n: int, rng: np.random.Generator) -> Any:
        from scipy.special import ndtr

        size = self.size
        uniforms = ndtr(rng.standard_normal((n, len(self._factor))) @ self._factor.T)
        ranks = np.minimum((uniforms * size).astype(int), size - 1)
        rows = {
            name: order[ranks[:, d]] for d, (name, order) in enumerate(zip(self._learnt, self._orders, strict=True))
        }
        return self._frame(rows, n) if is_frame(self._source) else self._array(rows)

    def _array(self, rows: dict[Any, IntArray]) -> Array:
        table = np.stack([self._source[rows[name], name] for name in self._layout], axis=1)
        return table[:, 0] if self._one_column else table

    def _frame(self, rows: dict[Any, IntArray], n: int) -> Any:
        import pandas as pd

        ids = [f"{self.label}_{k}" for k in range(n)]
        return pd.DataFrame(
            {
                name: ids if name == self.id_column else self._source[name].take(rows[name]).array
                for name in self._layout
            }
        )


def _values(table: Any, name: Any) -> Array:
    """Return a column as an array.

    Raises:
        InvalidInput: A value is missing.
    """
    column: Array = table[name].to_numpy() if is_frame(table) else table[:, name]
    missing = _missing(column)
    if missing.any():
        raise InvalidInput(
            f"column {name!r} has {int(missing.sum())} missing or infinite values, the first in row "
            f"{int(missing.argmax())}; allowed: none. Fill them in or drop their rows first"
        )
    return column


def _missing(column: Array) -> Array:
    if column.dtype.kind in "fc":
        return ~np.isfinite(column)
    if column.dtype.kind in "mM":
        return np.isnat(column)
    # A value that is not itself is NaN in any guise; pandas' own NA refuses to be compared.
    return np.array([type(value).__name__ in ("NoneType", "NAType", "NaTType") or value != value for value in column])


def _codes(columns: list[Array]) -> list[FloatArray]:
    """Return the columns as numbers: categories by their place in an order that goes with the numeric columns."""
    numeric = {d: column.astype(np.float64) for d, column in enumerate(columns) if column.dtype.kind in "iufmM"}
    guide = _first_component(list(numeric.values()))
    return [numeric[d] if d in numeric else _places(column, guide) for d, column in enumerate(columns)]


def _first_component(columns: list[FloatArray]) -> FloatArray | None:
    moving = [(column - column.mean()) / column.std() for column in columns if column.std() > 0]
    if not moving:
        return None
    table = np.stack(moving, axis=1)
    direction = np.linalg.eigh(table.T @ table)[1][:, -1]
    component: FloatArray = table @ direction
    return component


def _places(column: Array, guide: FloatArray | None) -> FloatArray:
    names = {name: number for number, name in enumerate(dict.fromkeys(column.tolist()))}
    numbers = np.array([names[name] for name in column.tolist()])
    counts = np.bincount(numbers)
    weight = -counts if guide is None else np.bincount(numbers, weights=guide) / counts
    place: FloatArray = np.empty(len(names))
    place[np.argsort(weight, kind="stable")] = np.arange(len(names))
    places: FloatArray = place[numbers]
    return places


def _latent_correlation(codes: list[FloatArray]) -> FloatArray:
    """Return the correlations of the normals that give the columns the correlations they have, [D, D]."""
    series = np.stack([_hermite(np.sort(column)) for column in codes])  # [D, ORDERS]
    spread = np.array([column.std() for column in codes])
    moving = spread > 0
    centred = np.stack([column - column.mean() for column in codes])
    scale = np.where(moving, spread, 1.0)
    wanted = (centred / scale[:, None]) @ (centred / scale[:, None]).T / centred.shape[1]
    series = series / scale[:, None]
    low, high = np.full(wanted.shape, -MOST), np.full(wanted.shape, MOST)
    for _ in range(40):
        middle = (low + high) / 2
        value = np.zeros(wanted.shape)
        for n in range(ORDERS - 1, -1, -1):  # Horner's rule; the series begins at order 1
            value = (value + np.outer(series[:, n], series[:, n])) * middle
        low, high = np.where(value < wanted, middle, low), np.where(value < wanted, high, middle)
    latent = np.where(np.outer(moving, moving), (low + high) / 2, 0.0)
    np.fill_diagonal(latent, 1.0)
    return latent


def _hermite(ordered: FloatArray) -> FloatArray:
    """Return the Hermite coefficients of orders 1 .. ORDERS of the function from normals to sorted values.

    The function is a staircase over ``t_r = Phi^-1(r / R)``, and ``integral of He_n phi = -He_{n-1} phi``, so

        a_n = sum_r (x_{r+1} - x_r) h_{n-1}(t_r) phi(t_r) / sqrt(n),  h_n = He_n / sqrt(n!).
    """
    from scipy.special import ndtri

    steps = np.flatnonzero(np.diff(ordered)) + 1
    rises = ordered[steps] - ordered[steps - 1]
    at = ndtri(steps / len(ordered))
    weight = rises * np.exp(-at * at / 2) / np.sqrt(2 * np.pi)
    before, now = np.zeros_like(at), np.ones_like(at)
    found = np.empty(ORDERS)
    for n in range(1, ORDERS + 1):
        found[n - 1] = weight @ now / np.sqrt(n)
        before, now = now, (at * now - np.sqrt(n - 1) * before) / np.sqrt(n)
    return found


def _factor(correlation: FloatArray) -> FloatArray:
    """Return A with ``A A' = correlation``, or the nearest that is a correlation, [D, D]."""
    sizes, directions = np.linalg.eigh(correlation)
    factor = directions * np.sqrt(np.maximum(sizes, 0.0))
    unit: FloatArray = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    return unit
