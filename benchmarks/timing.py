"""Timing of several sides in turn, so that whatever else the machine does slows all of them alike."""

import time
from collections.abc import Callable, Sequence


def in_turn(
    sides: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Call each side once a round (A, B, A, B, ...) and return its times in seconds, a list a side.

    Args:
        sides: What to time.
        rounds: How often; one round more comes first and is thrown away, since it fills caches.
        clock: ``time.perf_counter``, or ``time.process_time`` for CPU time.
    """
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds + 1):
        for side, seconds in zip(sides, times, strict=True):
            started = clock()
            side()
            seconds.append(clock() - started)
    return [seconds[1:] for seconds in times]
