"""How long a call takes: the fastest of a few, within a share of the time there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from fftconv.tuning.fit import FURTHEST

# What is measured in any time at all.
FLOOR = 1e-3
# Calls shorter than this are timed several at once.
BURST = 5e-5


@dataclass(frozen=True)
class Stopwatch:
    """Measures within a share of the time that tuning may take.

    Attributes
    ----------
    share : float
        Seconds for one measurement.
    """

    share: float

    def affords(self, seconds: float) -> bool:
        """Whether a call that is foreseen to take `seconds` fits a few shares: else nothing is measured there."""
        return seconds <= max(FLOOR, 4 * self.share)

    def fastest(self, call: Callable[[], Any]) -> float:
        """Seconds of the fastest call: other work on the machine only ever makes one slower.

        Examples
        --------
        >>> 0 < Stopwatch(0.001).fastest(lambda: sum(range(100))) < 0.001
        True
        """
        call()
        best, repeat = _timed(call, 1), 1
        if best < BURST:
            repeat = max(1, round(BURST / max(best, 1e-9)))
        end, rounds = time.perf_counter() + self.share, 0
        while rounds < 2 or (time.perf_counter() < end and rounds < 200):
            best = min(best, _timed(call, repeat))
            rounds += 1
        return best


def usual(found: Sequence[float], before: float) -> float:
    """The median, above zero and not too far from what it was before; that where nothing was found.

    Examples
    --------
    >>> usual([1.0, 2.0, 100.0], 1.5), usual([-1.0], 1.0), usual([], 1.0)
    (2.0, 0.125, 1.0)
    """
    return min(max(median(found), before / FURTHEST), before * FURTHEST) if found else before


def _timed(call: Callable[[], Any], repeat: int) -> float:
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - start) / repeat
