"""Random streams that are handed in, apart from each other, and kept with what uses them."""

from typing import Any

import numpy as np

from smartrec.core.errors import InvalidConfig


def generators(seed: int, count: int) -> list[np.random.Generator]:
    """Return ``count`` generators that share nothing, the same for the same seed.

    Raises:
        InvalidConfig: ``seed`` is no whole number >= 0.
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or seed < 0:
        raise InvalidConfig(f"seed = {seed!r}; allowed: a whole number >= 0")
    return [np.random.default_rng(child) for child in np.random.SeedSequence(int(seed)).spawn(count)]


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator as plain values, for JSON."""
    return dict(rng.bit_generator.state)


def restore_generator(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Put ``rng`` where ``generator_state`` found it."""
    rng.bit_generator.state = state
