"""Lines like ``7,1193,4.5,978300760`` (MovieLens with half stars), many at once: eight digits are one number.

A word is eight bytes of text as one uint64, the first byte lowest. Digits are shifted to its top, so that zeros lead;
then pairs, fours and eights of digits are joined by three multiplications. Every byte of every line is checked: what is
not exactly of this form (ids of 1..7 digits, ratings of a digit, a point and a digit, 9 or 10 digits of time)
gives None, and a slower reader has to say what it is.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, BoolArray

Columns = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]
"""Users, items, ratings and times, each [R]."""

Words = NDArray[np.uint64]

_BLOCK = 1 << 19
_MARGIN = b"\n" * 16
"""On both sides of a block, so that words may be read at its ends."""


def _every(byte: int) -> np.uint64:
    """Return a word of eight times the same byte."""
    return np.uint64(byte * 0x0101010101010101)


_ONE, _THREE, _EIGHT, _TEN, _SIXTEEN, _FULL = (np.uint64(number) for number in (1, 3, 8, 10, 16, 64))
_BYTE, _COMMA = np.uint64(0xFF), np.uint64(ord(","))
_ZEROS, _TO_HIGH, _HIGH, _OF_DIGITS = _every(0x30), _every(0x76), _every(0x80), _every(0x10)
_PAIRS = np.uint64(0x000000FF000000FF)
_LOW_FOUR, _HIGH_FOUR = np.uint64(1 + (10_000 << 32)), np.uint64(100 + (1_000_000 << 32))
_FORM = np.uint64(int.from_bytes(b"\0,0.0,0\0", "little"))
_INSIDE, _BETWEEN = np.uint64(0x00FFFFFFFFFFFF00), np.uint64(0x0000FF00FF00FF00)
_RATING, _TIMES_TEN = np.uint64(0x000000FF00FF0000), np.uint64(1 + (10 << 16))


def read_rating_lines(stream: IO[bytes]) -> Columns | None:
    """Read what is left of a file; None where a line is of another form, or there is none.

    Blocks are read one after the other and taken apart by as many threads as there are processors.
    """
    workers = os.cpu_count() or 1
    # Having freed a large piece once, the C library of Linux keeps what is freed later; else each block would give its
    # pages back and have them cleared again, which takes as long as the work.
    np.empty(1 << 24, np.uint8)
    parts: list[Columns] = []
    pending: deque[Future[Columns | None]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for block in _blocks(stream):
            pending.append(pool.submit(parse_lines, block))
            if len(pending) > workers and not _take(pending, parts):
                return None
        while pending:
            if not _take(pending, parts):
                return None
    if not parts:
        return None
    users, items, ratings, times = (np.concatenate(column) for column in zip(*parts, strict=True))
    return users, items, ratings, times


def parse_lines(lines: bytes) -> Columns | None:
    """Return the columns of whole lines, each ended by a newline (or carriage return and newline); None as above."""
    text = np.frombuffer(_MARGIN + lines + _MARGIN, np.uint8)
    ends = np.flatnonzero(text[: len(lines) + 16] == ord("\n"))[15:]
    starts, ends = ends[:-1] + 1, ends[1:]
    if text[ends[0] - 1] == ord("\r"):
        ends = ends - 1
        if (text[ends] != ord("\r")).any():
            return None
    sound: list[bool] = []
    head, more = _words_at(text, starts)
    user, by = _first_number(head, sound)
    rest = (head >> by) | (more << (_FULL - by))  # from the comma after the user on
    sound.append(bool(((rest & _BYTE) == _COMMA).all()))
    item, item_by = _first_number(rest >> _EIGHT, sound)
    middle, tail = _words_at(text, ends - 16)
    ratings, early, nine = _rating_and_first_digits(middle, sound)
    by += item_by
    sound.append(bool((starts + (by >> _THREE).view(np.int64) == ends - 16 + nine).all()))
    times = _joined(_checked(tail ^ _ZEROS, sound))
    times += early * np.uint64(10**8)
    return (user.astype(np.int32), item.astype(np.int32), ratings, times.view(np.int64)) if all(sound) else None


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines; a newline is added to the last one where it has none."""
    rest = b""
    while block := stream.read(_BLOCK):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = block[cut:]
        else:
            rest += block
    if rest:
        yield rest + b"\n"


def _take(pending: "deque[Future[Columns | None]]", parts: list[Columns]) -> bool:
    """Move the oldest result to the parts; False where there is none."""
    part = pending.popleft().result()
    if part is not None:
        parts.append(part)
    return part is not None


def _words_at(text: NDArray[np.uint8], places: Array) -> tuple[Words, Words]:
    """Return the two words that begin at each place."""
    pairs: Array = np.ndarray((len(text) - 15,), "V16", text, 0, (1,))
    words = pairs[places].view("<u8").reshape(-1, 2)
    return words[:, 0], words[:, 1]


def _first_number(words: Words, sound: list[bool]) -> tuple[Words, Words]:
    """Return the number of 1..7 digits that each word begins with, and eight times how many digits it has."""
    # Digits have the bit 0x10, commas, dots and ends of lines have not; the lowest such bit that is missing counts.
    others = ~words
    others &= _OF_DIGITS
    below = np.bitwise_count((others - _ONE) & ~others)
    sound.append(int(below.min()) >= 12 and int(below.max()) <= 60)
    bits = np.subtract(below, 4, dtype=np.uint64)
    return _joined(_checked((words ^ _ZEROS) << (_FULL - bits), sound)), bits


def _checked(digits: Words, sound: list[bool]) -> Words:
    """Note whether all bytes are 0..9."""
    faults = digits + _TO_HIGH
    faults |= digits
    sound.append(not np.bitwise_or.reduce(faults) & _HIGH)
    return digits


def _joined(digits: Words) -> Words:
    """Return the number of eight digits 0..9, the first in the lowest byte."""
    twos = digits * _TEN
    twos += digits >> _EIGHT
    low = twos >> _SIXTEEN
    low &= _PAIRS
    low *= _LOW_FOUR
    twos &= _PAIRS
    twos *= _HIGH_FOUR
    twos += low
    twos >>= np.uint64(32)
    return twos


def _rating_and_first_digits(words: Words, sound: list[bool]) -> tuple[NDArray[np.float32], Words, BoolArray]:
    """Read ``.,4.5,97`` before the last eight digits, or ``,4.5,9`` where the time has nine.

    Returns:
        The rating, the number of the first digits of the time, and whether there is one such digit, not two.
    """
    nine = (words >> np.uint64(48)) & _BYTE == _COMMA
    last = (words >> np.uint64(56)) ^ np.uint64(0x30)
    here = words >> (nine.astype(np.uint64) << _THREE)
    here ^= _FORM
    here &= _INSIDE
    sound.append(not np.bitwise_or.reduce(_checked(here, sound)) & _BETWEEN and int(last.max()) <= 9)
    tenths = (here & _RATING) * _TIMES_TEN >> np.uint64(32) & _BYTE
    early = (here >> np.uint64(48)) * np.where(nine, np.uint64(0), _TEN)
    early += last
    return tenths.astype(np.float32) / np.float32(10), early, nine
