"""Alternating minimum timing: ours, a peer, ours, the next peer, ... in one process, and of each the fastest call.

Other work on a machine only ever makes a call slower, so the minimum is what the code costs. Alternating keeps
clock rate, caches and neighbours alike for both sides. Every round is several calls of one side, so that the
first of them pays for what the other side left in the caches and in spinning threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

# Bursts of a round, the first of which may pay for what the other side has left behind.
FEW = 3

Clock = Callable[[], float]
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Budget:
    """How long to measure.

    Attributes
    ----------
    seconds : float
        For one row, all sides together, first calls aside.
    bursts, round_seconds : int, float
        A round ends after so many bursts or so many seconds, whichever comes first. Where a peer's share of the time
        would not do for `least` such rounds of both sides, three bursts are enough.
    burst_seconds : float
        Calls shorter than this are timed several at once.
    least : int
        Rounds of our side, and of every peer that is not slower than its share of the time.
    patience : float
        A peer that is known to need this many times the seconds of a row for one call is left out.
    """

    seconds: float = 3.0
    bursts: int = 5
    round_seconds: float = 0.1
    burst_seconds: float = 2e-4
    least: int = 3
    patience: float = 6.0


@dataclass(frozen=True)
class Timing:
    """The fastest call of one side, and the number of calls it was chosen from."""

    seconds: float
    calls: int


class Watch:
    """The calls of one side."""

    def __init__(self, call: Callable[[], Any], budget: Budget, clock: Clock) -> None:
        self.call, self.budget, self.clock = call, budget, clock
        self.best, self.calls, self.rounds, self.repeat = inf, 0, 0, 1
        self.first = self.burst()
        if self.first < budget.burst_seconds:
            self.burst()  # the first call may have planned and loaded things
            self.repeat = max(1, round(budget.burst_seconds / max(self.best, 1e-9)))

    def burst(self) -> float:
        """Time `repeat` calls; the seconds they took together."""
        start = self.clock()
        for _ in range(self.repeat):
            self.call()
        seconds = self.clock() - start
        self.best = min(self.best, seconds / self.repeat)
        self.calls += self.repeat
        return seconds

    def round(self, seconds: float) -> float:
        """Time bursts for so many seconds, or a few if that is longer; the seconds they took together."""
        spent = 0.0
        for done in range(1, self.budget.bursts + 1):
            spent += self.burst()
            if spent >= self.budget.round_seconds or (spent >= seconds and done >= FEW):
                break
        self.rounds += 1
        return spent

    @property
    def timing(self) -> Timing:
        return Timing(self.best, self.calls)


def alternate(
    ours: Callable[[], Any],
    peers: Mapping[Name, Callable[[], Any]],
    budget: Budget = Budget(),
    clock: Clock = time.perf_counter,
) -> tuple[Timing, dict[Name, Timing]]:
    """The fastest call of ours and of every peer.

    A peer whose share of the budget is spent drops out; one whose single call takes longer than its share is
    called once only. Ours runs before each round of a peer, and `Budget.least` rounds in any case.

    Examples
    --------
    >>> timing, _ = alternate(lambda: sum(range(100)), {}, Budget(seconds=0.01))
    >>> 0 < timing.seconds < 0.01
    True
    """
    mine = Watch(ours, budget, clock)
    theirs = {name: Watch(call, budget, clock) for name, call in peers.items()}
    share = budget.seconds / max(1, len(theirs))
    turn = min(budget.round_seconds, share / (2 * budget.least) if budget.least else 0.0)
    left = {name: share for name, watch in theirs.items() if watch.best <= share}
    while left:
        for name in list(left):
            left[name] -= mine.round(turn) + theirs[name].round(turn)
            if left[name] <= 0 and theirs[name].rounds >= budget.least:
                del left[name]
    while mine.rounds < budget.least:
        mine.round(turn)
    return mine.timing, {name: watch.timing for name, watch in theirs.items()}
