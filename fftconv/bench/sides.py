"""The two sides of a row: what the caller chose, the functions of a peer that are worth timing, our plan in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fftconv.bench.case import DTYPES, Case
from fftconv.bench.peers import PEERS, Call, free_memory, installed
from fftconv.bench.rows import PeerTime
from fftconv.bench.timing import Budget, alternate
from fftconv.core.plan import ConvPlan

# Other functions of a peer are dropped where their first calls took this much longer than its fastest.
CLOSE = 1.5


@dataclass(frozen=True)
class Options:
    """What the caller of a benchmark chooses.

    Attributes
    ----------
    workers : int
        Threads of ours, and of every peer that can be told.
    dtypes, peers : tuple of str
    budget : Budget
    only : str
        Measure only cases whose name holds this.
    """

    workers: int = 2
    dtypes: tuple[str, ...] = DTYPES
    peers: tuple[str, ...] = field(default_factory=installed)
    budget: Budget = field(default_factory=Budget)
    only: str = ""


def first_calls(
    name: str, given: tuple[Case, np.ndarray, np.ndarray], result: np.ndarray, options: Options
) -> list[tuple[PeerTime, Call]]:
    """First time, and difference to our `result`, of those functions of a peer that may be its fastest."""
    peer = PEERS[name]
    module = peer.load()
    threads = peer.use_threads(module, options.workers)
    started, refused = [], []
    for call in peer.calls(module, *given):
        reason = _hopeless(call, options.budget)
        if reason:
            refused.append((PeerTime(name, call.function, threads=threads, note=reason), call))
            continue
        theirs: list[np.ndarray] = []
        timing, _ = alternate(partial(_hold, theirs, call), {}, Budget(seconds=0, least=0))
        difference = relative_difference(theirs[0], result)
        started.append(
            (PeerTime(name, call.function, timing.seconds, timing.calls, threads, difference), call)
        )
    if not started:
        return refused[:1]
    worst = float(np.max([p.difference for p, _ in started]))
    best = min(p.seconds or 0.0 for p, _ in started)
    return [(replace(p, difference=worst), c) for p, c in started if (p.seconds or 0.0) <= CLOSE * best]


def _hold(place: list[np.ndarray], call: Call) -> None:
    place[:] = [call.run()]


def _hopeless(call: Call, budget: Budget) -> str:
    """Why a call is not worth starting, or an empty string."""
    longest = budget.patience * budget.seconds
    if call.seconds > longest:
        return f"over {longest:g} s"
    if call.scratch > 0.7 * free_memory():
        return f"{call.scratch / 2**30:.0f} GiB"
    return ""


def relative_difference(theirs: np.ndarray, ours: np.ndarray) -> float:
    """Largest difference over the largest value; infinite where the shapes differ, NaN where one has a NaN."""
    if theirs.shape != ours.shape:
        return float("inf")
    largest, difference = 0.0, 0.0
    for a, b in zip(np.array_split(theirs, 16), np.array_split(ours, 16), strict=True):
        if a.size:
            largest = np.maximum(largest, np.abs(a).max())
            difference = np.maximum(difference, np.abs(a - b).max())
    return float(difference / largest) if largest else float(difference)


def best_of_each(measured: Sequence[PeerTime]) -> tuple[PeerTime, ...]:
    """Of each peer the fastest function."""
    best: dict[str, PeerTime] = {}
    for p in sorted(measured, key=lambda p: float("inf") if p.seconds is None else p.seconds):
        best.setdefault(p.peer, p)
    return tuple(best[name] for name in dict.fromkeys(p.peer for p in measured))


def plan_line(plan: ConvPlan) -> str:
    """The method, and its tile where it has one."""
    phases = " by phases" if plan.chosen.by_phases else ""
    tiling = plan.chosen.tiling
    if tiling is None:
        return plan.method + phases
    blocks = tiling.blocks * tiling.batch
    held = f", {blocks} blocks" if blocks > 1 else ""
    return (
        f"{plan.method} {'x'.join(map(str, tiling.nfft))}{held}{', packed' if tiling.packed else ''}{phases}"
    )
