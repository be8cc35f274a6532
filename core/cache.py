"""Fitted models are kept on disk, as arrays, so that the same fit is not made twice."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core.arrays import Array
from smartrec.core.config import digest
from smartrec.core.errors import OutputError
from smartrec.core.files import atomic_write, cache_folder, ensure_folder

Arrays = dict[str, Array]
Rows = tuple[tuple[str, str], ...]


def cached(what: str, key: dict[str, Any], fit: Callable[[], tuple[Arrays, Rows]]) -> tuple[Arrays, Rows]:
    """Return what ``fit`` returns, from disk where it was fitted before.

    Args:
        what: The fit in a few words, for the one line that says that it is being made.
        key: Plain values that determine the result: digests of data and settings, version.
        fit: Makes arrays and report rows.
    """
    path = cache_folder() / f"{digest({'what': what, **key})}.npz"
    kept = _read(path)
    if kept is not None:
        return kept
    try:
        ensure_folder(path.parent)
    except OutputError as error:
        print(f"fitting {what} (not kept: {error})", file=sys.stderr)
        return fit()
    print(f"fitting {what} (once; kept in {path.parent})", file=sys.stderr)
    arrays, rows = fit()
    with atomic_write(path, "wb") as file:
        np.savez(file, report=np.array(json.dumps(rows)), **arrays)  # type: ignore[arg-type]
    return arrays, rows


def _read(path: Path) -> tuple[Arrays, Rows] | None:
    """Return what is kept at ``path``; None where nothing is, or nothing that can be read."""
    # A damaged zip can raise nearly anything, and whatever it is, the remedy is to fit again.
    with suppress(Exception), np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
        rows = json.loads(str(arrays.pop("report")))
        return arrays, tuple((str(name), str(value)) for name, value in rows)
    return None
