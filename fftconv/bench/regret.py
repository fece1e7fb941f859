"""How good the choice of method is: the chosen one against every other, each forced, and against NumPy and scipy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from fftconv.bench.case import Case
from fftconv.bench.peers import PEERS
from fftconv.bench.rows import MethodTime, PeerTime, RegretRow
from fftconv.bench.sides import Options, best_of_each, first_calls, plan_line
from fftconv.bench.timing import alternate
from fftconv.core.methods import jit
from fftconv.core.plan import Candidate
from fftconv.core.profile import BUILT_IN, in_force

# A method that is predicted to take this many times as long as the fastest is not run.
HOPELESS = 20.0
# Rounds of every side: a grid of hundreds of rows has no time for more.
LEAST = 2
RIVALS = ("numpy", "scipy", "ndimage")

Run = Callable[[], np.ndarray]


def regret(group: str, case: Case, dtype: str, options: Options) -> RegretRow:
    """The call as it is, in turns with every method that may answer and with its rivals."""
    x, w = case.arrays(dtype)
    plan = case.plan(dtype)
    eligible = [c for c in plan.candidates if c.eligible]
    worth = [c for c in eligible if c.rank <= HOPELESS * min(map(_rank, eligible))]
    if any(c.method == "jit" for c in worth):
        jit.warm_up(plan.problem.dtype)
    ours = case.ours(x, w)
    # doors take a method
    forced: Callable[..., np.ndarray] = ours
    runs: dict[str, Run] = {c.method: partial(forced, method=c.method) for c in worth if c is not plan.chosen}
    rivals = _rivals(case, (x, w), ours(), options)
    for run in runs.values():
        run()  # what is planned the first time is no part of what a method takes
    sides = {**runs, **{f"{p.peer} {p.function}": run for p, run in rivals}}
    timing, timings = alternate(ours, sides, replace(options.budget, least=LEAST))
    seconds = {plan.method: timing.seconds, **{name: timings[name].seconds for name in runs}}
    return RegretRow(
        group=group,
        case=case.name,
        dtype=dtype,
        seconds=timing.seconds,
        workers=options.workers,
        plan=plan_line(plan),
        tuned=in_force() is not BUILT_IN,
        methods=tuple(MethodTime(c.method, seconds[c.method], c.rank) for c in worth),
        peers=best_of_each(
            [replace(p, seconds=timings[f"{p.peer} {p.function}"].seconds) for p, _ in rivals]
        ),
    )


def _rank(c: Candidate) -> float:
    return c.rank


def _rivals(
    case: Case, arrays: tuple[np.ndarray, np.ndarray], result: np.ndarray, options: Options
) -> list[tuple[PeerTime, Run]]:
    """Their functions, without those that one call shows to be hopeless."""
    return [
        (p, call.run)
        for name in RIVALS
        if name in options.peers and PEERS[name].installed
        for p, call in first_calls(name, (case, *arrays), result, options)
        if p.seconds is not None
    ]
