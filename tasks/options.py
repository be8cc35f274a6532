"""Options as a person types them on the command line."""

import json
from typing import Any

from smartrec.core.errors import InvalidConfig


def parse_pairs(pairs: list[str]) -> dict[str, Any]:
    """Return options from ``name=value``; values are JSON (0.7, true, null), anything else is text.

    Raises:
        InvalidConfig: A pair has no equals sign.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidConfig(f"{pair!r} is no option; write NAME=VALUE, for example discount=0.7")
        try:
            options[name.strip()] = json.loads(value)
        except ValueError:
            options[name.strip()] = value
    return options


def parse_columns(text: str | None) -> dict[str, str] | None:
    """Return our column names to theirs, from ``user=reader_id,item=book_id``."""
    if text is None:
        return None
    return {name: str(value) for name, value in parse_pairs(text.split(",")).items()}
