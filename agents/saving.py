"""Agents on disk: a folder with one JSON file and one file of arrays, and no pickled code."""

import json
import zlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from zipfile import BadZipFile

import numpy as np

from smartrec.core.arrays import Array
from smartrec.core.errors import DataError, DataNotFound, SmartRecError
from smartrec.core.files import atomic_write
from smartrec.core.seeding import generator_state, restore_generator
from smartrec.version import __version__

JSON, ARRAYS = "agent.json", "arrays.npz"
HEADER = ("version", "agent", "config", "problem", "state", "arrays")


@runtime_checkable
class HasState(Protocol):
    """A part of an agent that knows how to save itself."""

    def get_state(self) -> dict[str, Any]:
        """Return arrays and plain values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""


def state_of(agent: object, skip: frozenset[str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Collect what an agent knows from its attributes.

    Arrays, numbers, strings, booleans, None, generators and parts with ``get_state`` are taken.

    Returns:
        Plain values and arrays, by name.

    Raises:
        SmartRecError: An attribute is of another type.
    """
    plain: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for name, value in vars(agent).items():
        if name in skip:
            continue
        if isinstance(value, np.random.Generator):
            plain[name] = generator_state(value)
        elif isinstance(value, HasState):
            for key, part in value.get_state().items():
                _put(f"{name}.{key}", part, plain, arrays)
        else:
            _put(name, value, plain, arrays)
    return plain, arrays


def restore(agent: object, skip: frozenset[str], plain: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Put what ``state_of`` collected back into an agent that was just made.

    Raises:
        DataError: A part is missing, or is one that this agent does not make when it is made.
    """
    left = {**plain, **arrays}
    try:
        for name, value in list(vars(agent).items()):
            if name in skip:
                continue
            if isinstance(value, np.random.Generator):
                restore_generator(value, left.pop(name))
            elif isinstance(value, HasState):
                keys = [key for key in left if key.startswith(f"{name}.")]
                value.set_state({key.removeprefix(f"{name}."): left.pop(key) for key in keys})
            else:
                setattr(agent, name, _value(left.pop(name)))
        for name, value in left.items():
            # What the agent makes only when it is first used is not there yet in one that was just made.
            if "." in name or isinstance(value, dict):
                raise KeyError(name)
            setattr(agent, name, _value(value))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # torch says of sizes RuntimeError
        raise DataError(
            f"the saved agent does not fit {type(agent).__name__} ({error!r}); "
            "load it with the version that saved it, or train it anew"
        ) from None


def write(folder: Path, header: dict[str, Any], arrays: dict[str, Array]) -> None:
    """Write both files, each under a temporary name first.

    Raises:
        OutputError: The folder cannot be written.
    """
    text = json.dumps({"version": __version__, **header, "arrays": _checksum(arrays)}, indent=1)
    with atomic_write(folder / ARRAYS, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    with atomic_write(folder / JSON) as file:
        file.write(text)


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read both files.

    Raises:
        DataNotFound: The folder holds no agent.
        DataError: A file is damaged, the two are of different saves, or of another version.
    """
    if not (folder / JSON).is_file():
        raise DataNotFound(f"{folder} holds no saved agent ({JSON} is missing); agent.save(folder) writes one")
    try:
        header: dict[str, Any] = json.loads((folder / JSON).read_text(encoding="utf-8"))
        arrays = _read_arrays(folder / ARRAYS)
        missing = [key for key in HEADER if key not in header]
        if missing:
            raise ValueError(f"{JSON} has no {', '.join(missing)}")
        if header["arrays"] != _checksum(arrays):
            raise ValueError(f"{ARRAYS} is not the one that {JSON} was written with")
    except (OSError, ValueError, TypeError, BadZipFile, EOFError) as error:
        raise DataError(f"the saved agent in {folder} is damaged ({error}); save it again") from None
    if header["version"] != __version__:
        raise DataError(
            f"the agent in {folder} was saved by SmartRec {header['version']}, and this is {__version__}; load it with "
            "the version that saved it, or train it anew"
        )
    return header, arrays


def _read_arrays(path: Path) -> dict[str, Array]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _checksum(arrays: dict[str, Array]) -> int:
    """Return a number that tells two sets of arrays apart, so that a save torn in the middle is noticed."""
    total = 0
    for name in sorted(arrays):
        array = arrays[name]
        total = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), total)
        total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return total


def _put(name: str, value: Any, plain: dict[str, Any], arrays: dict[str, Array]) -> None:
    if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
        arrays[name] = np.asarray(value)
    elif isinstance(value, (bool, int, float, str, type(None))):
        plain[name] = value
    else:
        raise SmartRecError(
            f"attribute {name!r} of type {type(value).__name__} cannot be saved; allowed: arrays of numbers or "
            "text, numbers, strings, generators, and parts with get_state and set_state. Keep it in one of these"
        )


def _value(stored: Any) -> Any:
    """Return a NumPy scalar for what was one: an array without axes would not be the same in arithmetic."""
    return stored[()] if isinstance(stored, np.ndarray) and stored.ndim == 0 else stored
