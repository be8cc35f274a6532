"""New rows by a synthesizer of the Synthetic Data Vault (SDV), for those who have it and may use it.

SDV is under the Business Source License 1.1: its source can be read, but it is not free software, and what it may be
used for is limited. So nothing of SmartRec brings it; ``CopulaGenerator`` does a Gaussian copula without it.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Self

import numpy as np

from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig, InvalidInput, MissingExtra
from smartrec.data.generators import Generator, is_frame, require_fitted, require_table

SYNTHESIZERS = {
    "gaussiancopula": "GaussianCopulaSynthesizer",
    "ctgan": "CTGANSynthesizer",
    "copulagan": "CopulaGANSynthesizer",
    "tvae": "TVAESynthesizer",
}
"""Sim4Rec's names of SDV's classes."""

WANTED = "sdv>=1.18,<2"
"""Versions whose ``fit`` takes a DataFrame and whose ``sample`` returns one; those of 2 are dicts of tables."""

KINDS = {"b": "boolean", "i": "numerical", "u": "numerical", "f": "numerical", "M": "datetime"}
"""SDV's type of a column by the kind of its values; others are categories."""


class SdvGenerator(Generator):
    """Makes rows by one of SDV's synthesizers; see the module about its licence.

    Columns are numbers, times, booleans or categories by their type here, so that SDV guesses at none of them. SDV
    keeps a random sequence of its own, which takes no seed: calls differ, and after `fit` or `reseed` the same rows
    come again, whatever the seed. Networks (all but ``gaussiancopula``) are fitted with the global generators of NumPy
    and torch, which are put back afterwards: fits differ from process to process. Tried with sdv 1.38.5.

    Args:
        synthesizer: A name of ``SYNTHESIZERS``.
        options: Further arguments of SDV's class, by name.
        id_column: Column that names the rows; it is not learnt, new rows get ids of their own, ``"{label}_{k}"`` with
            k from 0 at each call. None where there is none.
        label: Of new ids.
        seed: Of `sample` alone, >= 0.

    Raises:
        InvalidConfig: Another synthesizer.
    """

    def __init__(
        self,
        synthesizer: str = "gaussiancopula",
        options: Mapping[str, Any] | None = None,
        id_column: str | None = None,
        label: str = "synthetic",
        seed: int = 0,
    ) -> None:
        require(synthesizer in SYNTHESIZERS, "synthesizer", synthesizer, ", ".join(SYNTHESIZERS))
        super().__init__(seed)
        self.synthesizer, self.options = synthesizer, dict(options or {})
        self.id_column, self.label = id_column, label
        self._fitted: Any = None

    def fit(self, table: Any) -> Self:
        """Let SDV learn the columns of a pandas DataFrame.

        Raises:
            InvalidInput: No DataFrame, no rows, no such ``id_column``, or no column beside it.
            InvalidConfig: SDV's class does not take the options.
            MissingExtra: SDV is not installed, or another version of it.
        """
        if not is_frame(table):
            raise InvalidInput(f"a table of type {type(table).__name__}; allowed: a pandas DataFrame")
        table = require_table(table)
        layout = list(table.columns)
        if self.id_column is not None and self.id_column not in layout:
            raise InvalidInput(f"id_column = {self.id_column!r}; allowed: None or one of the columns {layout}")
        learnt = [name for name in layout if name != self.id_column]
        if not learnt:
            raise InvalidInput(f"the table has no column beside {self.id_column!r}; allowed: at least one to learn")
        _require_sdv()
        columns = {name: {"sdtype": KINDS.get(table[name].dtype.kind, "categorical")} for name in learnt}
        metadata = import_module("sdv.metadata").Metadata.load_from_dict({"columns": columns}, "table")
        kind = getattr(import_module("sdv.single_table"), SYNTHESIZERS[self.synthesizer])
        try:
            fitted = kind(metadata, **self.options)
        except TypeError as error:
            raise InvalidConfig(f"options = {self.options}; allowed: arguments of SDV's class ({error})") from error
        # SDV's networks refuse pandas' categories, which are handed out again in ``_generate``.
        self._categories = {name: table[name].dtype for name in learnt if table[name].dtype == "category"}
        with _global_generators_kept():
            fitted.fit(table[learnt].astype(dict.fromkeys(self._categories, object)))
        self._fitted, self._layout, self._size = fitted, layout, len(table)
        return self

    @property
    def size(self) -> int:
        """Rows of the source."""
        require_fitted(self._fitted, self)
        return self._size

    def reseed(self, seed: int) -> None:
        """Begin SDV's sequence anew, and that of `sample` by ``seed``.

        Args:
            seed: A whole number >= 0.

        Raises:
            InvalidConfig: ``seed`` is no whole number >= 0.
        """
        super().reseed(seed)
        if self._fitted is not None:
            self._fitted.reset_sampling()

    def _generate(self, n: int, rng: np.random.Generator) -> Any:
        rows = require_fitted(self._fitted, self).sample(num_rows=n)
        if len(rows) != n:
            raise InvalidInput(f"SDV made {len(rows)} of n = {n} rows; loosen the constraints in options")
        if self.id_column is not None:
            rows = rows.assign(**{self.id_column: [f"{self.label}_{k}" for k in range(n)]})
        return rows[self._layout].astype(self._categories)


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """Put the global generators of NumPy and torch back to where they were."""
    state, torch = np.random.get_state(), sys.modules.get("torch")  # noqa: NPY002 - SDV's, not ours
    theirs = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(theirs)


def _require_sdv() -> None:
    """Raise unless SDV is there, in a version that this file was written for.

    Raises:
        MissingExtra: It is not; the message names its licence.
    """
    advice = (
        "SmartRec does not bring it, because its licence is the Business Source License 1.1, which limits what it may "
        f'be used for. Read that licence, then: pip install "{WANTED}"; or take CopulaGenerator'
    )
    try:
        version = str(import_module("sdv").__version__)
    except ModuleNotFoundError as error:
        if error.name != "sdv":
            raise
        raise MissingExtra(f"SdvGenerator needs sdv. {advice}") from None
    major, minor = (int(part) for part in version.split(".")[:2])
    if major != 1 or minor < 18:
        raise MissingExtra(f"SdvGenerator needs {WANTED}, and sdv {version} is installed. {advice}")
