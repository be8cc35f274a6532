"""Randomness without a generator: a hash of whole numbers, so that any order and any batch gives the same."""

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, FloatArray, IntArray

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def normals(seed: int, key: int, users: IntArray, items: IntArray) -> FloatArray:
    """Return standard normal numbers that are a function of (seed, key, user, item) alone.

    ``h = mix(mix(mix(mix(seed) + key) + g (user + 1)) + g (item + 1))`` modulo 2**64, with SplitMix64's constant g
    and mixing (Steele, Lea and Flood 2014): item by item this is SplitMix64's own sequence. The two halves of h
    are uniforms, and Box and Muller (1958) make a normal number of them:
    ``sqrt(-2 ln((high + 1) / 2**32)) cos(2 pi low / 2**32)``, at most 6.66 in size.

    Args:
        seed: Whose noise it is, >= 0.
        key: Of the tick, >= 0.
        users: int, >= 0, any shape.
        items: int, >= 0, of a shape that broadcasts with that of ``users``.

    Returns:
        float64, of the shape that both broadcast to.
    """
    hashed = words(seed, key, users, items)
    high, low = hashed >> np.uint64(32), hashed & np.uint64(0xFFFFFFFF)
    radius = np.sqrt(-2.0 * np.log((high + 1.0) * 2.0**-32))
    normal: FloatArray = radius * np.cos((2.0 * np.pi * 2.0**-32) * low)
    return normal


def uniforms(seed: int, key: int, users: IntArray, places: IntArray) -> FloatArray:
    """Return uniform numbers in [0, 1) that are a function of (seed, key, user, place) alone: the 53 highest bits of h.

    Args:
        seed: Whose dice they are, >= 0.
        key: Of the tick, >= 0.
        users: int, >= 0, any shape.
        places: int, >= 0, of a shape that broadcasts with that of ``users``.

    Returns:
        float64, of the shape that both broadcast to.
    """
    uniform: FloatArray = (words(seed, key, users, places) >> np.uint64(11)) * 2.0**-53
    return uniform


def words(seed: int, key: int, users: IntArray, items: IntArray) -> NDArray[np.uint64]:
    """Return h of ``normals``, 64 even bits that are a function of (seed, key, user, item) alone."""
    return _mix(hashes(seed, key, users) + np.uint64(_GAMMA) * (items.astype(np.uint64) + np.uint64(1)))


def hashes(seed: int, key: int, numbers: Array) -> NDArray[np.uint64]:
    """Return 64 even bits for each of ``numbers`` >= 0, a function of (seed, key, number) alone."""
    start = np.uint64(_mix_one(_mix_one(seed) + key))
    return _mix(start + np.uint64(_GAMMA) * (numbers.astype(np.uint64, copy=False) + np.uint64(1)))


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all of them; arrays of unsigned numbers wrap around silently."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_FIRST)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_SECOND)
    return words ^ (words >> np.uint64(31))


def _mix_one(word: int) -> int:
    """The same of one number, in Python's integers, which would make NumPy warn of wrapping around."""
    word &= _MASK
    word = ((word ^ (word >> 30)) * _FIRST) & _MASK
    word = ((word ^ (word >> 27)) * _SECOND) & _MASK
    return word ^ (word >> 31)
