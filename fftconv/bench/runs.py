"""How each kind of group is measured: one function per kind, from a case, a dtype and the options to a row."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from fftconv.bench.bare import bare_executes
from fftconv.bench.case import DTYPES, Case, Frames, Memory, Script, Signal
from fftconv.bench.cases import GROUPS
from fftconv.bench.memory import in_a_process
from fftconv.bench.peers import PEERS, Call, free_memory, installed
from fftconv.bench.rows import MemoryRow, PeerTime, RegretRow, Row, TimedRow
from fftconv.bench.timing import Budget, Timing, alternate
from fftconv.core.config import config_context
from fftconv.core.plan import ConvPlan

# Other functions of a peer are dropped where their first calls took this much longer than its fastest.
CLOSE = 1.5

# Seconds that FFTW may spend on measuring one transform of the group `limit`.
MEASURING = 2.0


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


def measure(group: str, options: Options) -> Iterator[Row]:
    """The rows of a group, each as soon as it is measured."""
    run = KINDS[GROUPS[group].kind]
    for case in GROUPS[group].cases:
        if options.only in case.name:
            for dtype in options.dtypes:
                if isinstance(case, Script) and dtype != "float64":
                    continue  # the lines name their arrays themselves
                with config_context(workers=options.workers):
                    row = run(group, case, dtype, options)
                yield row


def timed(group: str, case: Case, dtype: str, options: Options) -> TimedRow:
    """Ours against every peer that can compute the case."""
    x, w = case.arrays(dtype)
    ours = case.ours(x, w)
    result = ours()
    found: list[PeerTime] = []
    calls: dict[tuple[str, str], Call] = {}
    for name in options.peers:
        for peer_time, call in first_calls(name, (case, x, w), result, options):
            found.append(peer_time)
            # what takes longer than the whole row is not called again
            if peer_time.seconds is not None and peer_time.seconds < options.budget.seconds:
                calls[name, call.function] = call
    del result
    timing, timings = alternate(ours, {key: call.run for key, call in calls.items()}, options.budget)
    found = [_with_time(p, timings.get((p.peer, p.function))) for p in found]
    row = _row(group, case, dtype, (timing, options.workers))
    return replace(row, plan=plan_line(case.plan(dtype)), peers=best_of_each(found))


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


def _row(group: str, case: Any, dtype: str, ours: tuple[Timing, int]) -> TimedRow:
    """A row without plan and peers; `ours` is our timing and the number of workers."""
    timing, workers = ours
    curve, kernel = (case.curve, case.w[-1]) if isinstance(case, Case) else ("", 0)
    return TimedRow(
        group=group,
        case=case.name,
        dtype=dtype,
        seconds=timing.seconds,
        calls=timing.calls,
        workers=workers,
        plan="",
        peers=(),
        targets=case.targets,
        curve=curve,
        kernel=kernel,
    )


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


def _with_time(peer: PeerTime, timing: Timing | None) -> PeerTime:
    if timing is None or peer.seconds is None:
        return peer
    return replace(peer, seconds=min(peer.seconds, timing.seconds), calls=peer.calls + timing.calls)


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


def first_call(group: str, script: Script, dtype: str, options: Options) -> TimedRow:
    """Whole processes, from start to exit."""

    def run(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    # starting a process varies more than a call does
    budget = replace(options.budget, bursts=1, seconds=4 * options.budget.seconds)
    timing, timings = alternate(partial(run, script.ours), {script.peer: partial(run, script.theirs)}, budget)
    peer = PeerTime(script.peer, "a process", *_pair(timings[script.peer]), threads=1)
    return replace(_row(group, script, dtype, (timing, 0)), peers=(peer,))


def _pair(timing: Timing) -> tuple[float, int]:
    return timing.seconds, timing.calls


def limit(group: str, case: Signal, dtype: str, options: Options) -> TimedRow:
    """Ours against nothing but the transforms of the tiles it uses, as planned and planned by measuring."""
    x, w = case.arrays(dtype)
    plan = case.plan(dtype)
    peers: list[PeerTime] = []
    calls: dict[str, Callable[[], None]] = {}
    if plan.chosen.tiling is not None and not plan.chosen.by_phases:
        calls["as planned"] = bare_executes(plan)
        with config_context(planning="measure", planning_limit=MEASURING):
            calls["measured"] = bare_executes(plan)
    timing, timings = alternate(case.ours(x, w), calls, options.budget)
    peers = [PeerTime(name, plan.engine, *_pair(t), threads=plan.workers) for name, t in timings.items()]
    row = _row(group, case, dtype, (timing, options.workers))
    return replace(row, plan=plan_line(plan), peers=tuple(peers))


def prepared(group: str, case: Frames, dtype: str, options: Options) -> TimedRow:
    """A prepared kernel against the plain call, and against the bare transforms of its own plan."""
    x, w = case.arrays(dtype)
    ours, out = case.convolver(w), np.empty_like(x)
    ours(x)
    plan = ours.plan
    calls: dict[str, Callable[[], Any]] = {"convolve": Signal.ours(case, x, w)}
    if plan.chosen.tiling is not None:
        bare = bare_executes(plan)

        def with_copy() -> None:
            bare()
            np.copyto(out, x)

        calls |= {"executes": bare, "executes + copy": with_copy}
    timing, timings = alternate(partial(ours, x), calls, options.budget)
    peers = [PeerTime(name, plan.engine, *_pair(t), threads=plan.workers) for name, t in timings.items()]
    row = _row(group, case, dtype, (timing, options.workers))
    return replace(row, plan=plan_line(plan), peers=tuple(peers))


def memory(group: str, wanted: Memory, dtype: str, options: Options) -> MemoryRow:
    """Scratch as the plan predicts it, against the peak resident memory of a process."""
    plan = wanted.case.plan(dtype)
    return MemoryRow(
        group=group,
        case=wanted.name,
        dtype=dtype,
        workers=options.workers,
        plan=plan_line(plan),
        predicted=plan.memory,
        measured=in_a_process(group, wanted.name, dtype, options.workers),
        wanted=wanted,
    )


def regret(group: str, case: Case, dtype: str, options: Options) -> RegretRow:
    """The chosen method against all others; see `bench.regret`."""
    from fftconv.bench.regret import regret

    return regret(group, case, dtype, options)


KINDS: dict[str, Callable[..., Row]] = {
    "timed": timed,
    "first-call": first_call,
    "limit": limit,
    "prepared": prepared,
    "memory": memory,
    "regret": regret,
}
