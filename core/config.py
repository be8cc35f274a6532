"""Frozen dataclasses as configuration: to and from plain values, with a digest."""

import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from os import PathLike, fspath
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from smartrec.core.errors import InvalidConfig, did_you_mean

C = TypeVar("C")


def to_dict(config: Any) -> dict[str, Any]:
    """Return the fields of a config dataclass as plain values."""
    return asdict(config)


def from_dict(cls: type[C], values: Mapping[str, Any], owner: str) -> C:
    """Build a config from plain values.

    Args:
        cls: A dataclass.
        values: Field name to value; a whole number is taken where a float is wanted, a list for a tuple.
        owner: Whose options these are, for the messages.

    Raises:
        InvalidConfig: An unknown field (the nearest is named), or a value of the wrong type or range.
    """
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls)]
    for name in values:
        if name not in known:
            raise InvalidConfig(f"{owner} has no option {name!r}. {did_you_mean(name, known)}")
    return cls(**{name: _cast(value, hints[name], f"{owner}: {name}") for name, value in values.items()})


def digest(values: Any) -> str:
    """Return 12 hexadecimal digits that stay the same for equal plain values, whatever the order of keys.

    Raises:
        InvalidConfig: A value is neither plain nor an array nor a path, so that equal ones need not look equal.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def require(condition: bool, name: str, value: Any, allowed: str) -> None:
    """Raise unless ``condition`` holds.

    Raises:
        InvalidConfig: With the option's name, its value and what is allowed.
    """
    if not condition:
        raise InvalidConfig(f"{name} = {value!r}; allowed: {allowed}")


def _plain(value: Any) -> Any:
    """Return an array as lists and a path as text, for JSON."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    require(isinstance(value, PathLike), "value in a digest", value, "plain values, arrays and paths")
    return fspath(value)


def _cast(value: Any, hint: Any, name: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        kinds = [kind for kind in arguments if kind is not type(None)]
        return _cast(value, kinds[0], name) if len(kinds) == 1 else value
    if origin is Literal:
        require(value in arguments, name, value, ", ".join(map(repr, arguments)))
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_cast(part, arguments[0], f"{name}[{k}]") for k, part in enumerate(value))
        return tuple(value)
    if hint is str and isinstance(value, PathLike):
        return fspath(value)
    if hint is int and isinstance(value, np.integer):
        return int(value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    kind = origin or hint
    if isinstance(kind, type):
        wrong_bool = isinstance(value, bool) and kind is not bool
        require(isinstance(value, kind) and not wrong_bool, name, value, f"a value of type {kind.__name__}")
    return value
