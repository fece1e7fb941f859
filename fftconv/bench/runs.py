"""How each kind of group is measured: one function per kind, from a case, a dtype and the options to a row."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import fftconv
from fftconv.bench.bare import bare_executes
from fftconv.bench.case import Case, Frames, Memory, Script, Signal
from fftconv.bench.cases import GROUPS
from fftconv.bench.memory import in_a_process
from fftconv.bench.ourselves import Beside
from fftconv.bench.peers import Call
from fftconv.bench.regret import regret
from fftconv.bench.rows import MemoryRow, PeerTime, Row, TimedRow
from fftconv.bench.sides import Options, best_of_each, first_calls, plan_line
from fftconv.bench.timing import Timing, alternate
from fftconv.core.config import config_context

# Seconds that FFTW may spend on measuring one transform of the group `limit`.
MEASURING = 2.0


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


def _with_time(peer: PeerTime, timing: Timing | None) -> PeerTime:
    if timing is None or peer.seconds is None:
        return peer
    return replace(peer, seconds=min(peer.seconds, timing.seconds), calls=peer.calls + timing.calls)


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


def ourselves(group: str, case: Beside, dtype: str, options: Options) -> TimedRow:
    """A call of ours against another of ours."""
    x, w = case.arrays(dtype)
    timing, timings = alternate(case.ours(x, w), {case.other: case.beside(x, w)}, options.budget)
    peer = PeerTime(case.other, "convolve", *_pair(timings[case.other]), threads=options.workers)
    row = _row(group, case, dtype, (timing, options.workers))
    return replace(row, plan=plan_line(fftconv.explain(x, w, "same", axes=case.axes)), peers=(peer,))


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


KINDS: dict[str, Callable[..., Row]] = {
    "timed": timed,
    "first-call": first_call,
    "limit": limit,
    "prepared": prepared,
    "ourselves": ourselves,
    "memory": memory,
    "regret": regret,
}
