"""What direct sums cost on this host: problems of every form, timed and fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np

from fftconv.core import cost_direct
from fftconv.core.cost_direct import DirectCosts, fits, is_one_line, patches, product_seconds, work_of
from fftconv.core.methods import gemm, jit, lines, taps
from fftconv.core.plan import Candidate, ConvPlan
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.profile import in_force
from fftconv.core.workers import worker_limit
from fftconv.tuning.fit import Sample, fit, names
from fftconv.tuning.problems import arrays, problem
from fftconv.tuning.stopwatch import Stopwatch, usual

Execute = Callable[[ConvPlan, np.ndarray, np.ndarray, np.ndarray], None]

# Shapes of signal and kernel, and channels in and out: small ones for the interpreter's part, large ones for the rest.
LINES: tuple[tuple[Ints, Ints], ...] = tuple(
    ((n,), (k,)) for n in (200, 3000, 60_000) for k in (3, 7, 11, 21, 32, 63, 128, 500)
)
NARROW: tuple[tuple[Ints, Ints], ...] = (
    ((40, 40), (3, 3)),
    ((300, 300), (3, 3)),
    ((300, 300), (7, 7)),
    ((700, 700), (3, 3)),
    ((700, 700), (5, 5)),
    ((1500, 1500), (3, 3)),
    ((50, 50, 50), (3, 3, 3)),
)
WIDE: tuple[tuple[Ints, Ints, int], ...] = (
    ((64, 64), (1, 1), 32),
    ((64, 64), (3, 3), 8),
    ((64, 64), (3, 3), 32),
    ((32, 32), (5, 5), 16),
    ((2000,), (9,), 16),
)
# Rows of many taps, for compiled loops: beside those of few they tell a tap from what begins and ends a row.
LONG: tuple[tuple[Ints, Ints], ...] = (
    ((3000,), (33,)),
    ((100_000,), (101,)),
    ((250_000,), (11,)),
    ((300, 300), (13, 13)),
    ((60, 60, 60), (5, 5, 5)),
)
# Rows that are short beside the vectors, and problems so small that their window is kept.
SHORT: tuple[tuple[Ints, Ints], ...] = (
    ((100,), (10,)),
    ((12, 12), (3, 3)),
    ((28, 28), (3, 3)),
    ((100, 100), (5, 5)),
    ((100, 100), (13, 13)),
    ((16, 16, 16), (5, 5, 5)),
    ((32, 32, 32), (3, 3, 3)),
)
# What two workers share of banded products.
SHARED: tuple[tuple[Ints, Ints], ...] = (
    ((700, 700), (5, 5)),
    ((700, 700), (9, 9)),
    ((50, 50, 50), (5, 5, 5)),
)
# Forms that are timed in each dtype.
TIMED = {"lines": "fdFD", "taps": "fdFD", "gemm": "fdFD", "band": "fd", "jit": "fd"}
EXECUTORS: dict[str, Execute] = {
    "lines": lines.execute,
    "taps": taps.execute,
    "gemm": gemm.execute,
    "band": gemm.execute,
}


def sums(watch: Stopwatch, before: DirectCosts) -> tuple[DirectCosts, list[Sample[DirectCosts]]]:
    """The coefficients of direct sums, and the times that they were fitted to."""
    samples = list(_samples(watch, before))
    found = fit(before, names(before, skip=("thread", "handover")), samples)
    return replace(found, handover=usual(list(_waits(watch, found)), before.handover)), samples


def _waits(watch: Stopwatch, host: DirectCosts) -> Iterator[float]:
    """By how many seconds a job takes longer beside those of another worker, where it copies what it reads."""
    if worker_limit() < 2:
        return
    for form, char in product(("band", "jit"), "fd"):
        for p in _shared(form, np.dtype(char)):
            if fits(form, p):
                alone, together = (_seconds(form, p, watch, n) for n in (1, 2))
                rounds = -(-work_of(form, p, in_force().direct).jobs // 2)
                yield (together - host.thread - alone / 2) / rounds


def _shared(form: str, dtype: np.dtype) -> Iterator[ConvProblem]:
    """What two workers share."""
    if form == "band":
        yield from (problem(x, w, dtype) for x, w in SHARED)
    else:
        yield problem((500, 500), (9, 9), dtype).with_(stride=(2, 2))
        yield problem((64, 64), (3, 3), dtype, (8, 8)).with_(batch=4)
        yield problem((50, 50, 50), (5, 5, 5), dtype)


def _samples(watch: Stopwatch, before: DirectCosts) -> Iterator[Sample[DirectCosts]]:
    for form, chars in TIMED.items():
        for char in chars:
            problems = [p for p in _problems(form, np.dtype(char)) if fits(form, p)]
            if problems and form == "jit":
                jit.warm_up(np.dtype(char))
            for p in problems:
                predict = partial(_predict, form, p) if form != "band" else _as_cut(p)
                if watch.affords(predict(before)):
                    yield Sample(f"{form} {p}", _seconds(form, p, watch), predict)


def _as_cut(p: ConvProblem) -> Callable[[DirectCosts], float]:
    """Of a band as it is cut now: other coefficients would cut another."""
    layout = patches(p, "band", in_force().direct)
    return lambda host: host.call + product_seconds(p, layout, host)


def _predict(form: str, p: ConvProblem, host: DirectCosts) -> float:
    return cost_direct.seconds(form, p, 1, host)


def _problems(form: str, dtype: np.dtype) -> Iterator[ConvProblem]:
    if form == "lines":
        yield from (problem(x, w, dtype) for x, w in LINES)
        yield problem((200, 400), (1, 9), dtype)
        yield problem((400, 200), (9, 1), dtype)
    elif form == "band":
        yield from (problem(x, w, dtype) for x, w in NARROW)
        yield from (
            problem(x, w, dtype, (2, 2)) for x, w in (((100, 100), (5, 5)), ((32, 32, 32), (5, 5, 5)))
        )
        # large arrays leave the cache, which rows and columns of small ones do not
        yield problem((64, 64, 64), (5, 5, 5), dtype)
    elif form == "gemm":
        yield from (problem(x, w, dtype, (c, c)) for x, w, c in WIDE)
        yield problem((300, 300), (5, 5), dtype)
    else:
        yield from (problem(x, w, dtype) for x, w in NARROW)
        if form == "jit":
            yield from (problem(x, w, dtype) for x, w in LONG + SHORT)
            yield from (problem(x, w, dtype, (c, c)) for x, w, c in WIDE)
            yield problem((64, 64), (9,) * 2, dtype).with_(batch=40)
            yield problem((100, 100), (3, 3), dtype, (3, 16)).with_(stride=(2, 2))
        yield problem((64, 64), (3, 3), dtype, (4, 4))
        strided = problem((500, 500), (5, 5), dtype)
        yield strided.with_(stride=(2, 2))


def _seconds(form: str, p: ConvProblem, watch: Stopwatch, workers: int = 1) -> float:
    """Of a call by one form."""
    chosen = Candidate(form, workers=workers)
    plan = ConvPlan(p, chosen, "")
    x, w = arrays(p)
    out = np.empty(p.out_shape, p.dtype)
    execute = _executor(form, plan)
    sums = getattr(execute, "sums", None)
    if sums is not None:
        # what calls make of short arrays after the first
        return watch.fastest(lambda: sums(x[0, 0], w[0, 0]))
    return watch.fastest(lambda: execute(plan, x, w, out))


def _executor(form: str, plan: ConvPlan) -> Execute:
    """Made to measure where calls have one made."""
    if form == "jit":
        return jit.made_for(plan)
    if form == "lines" and is_one_line(plan.problem):
        return lines.one_line(plan.problem)
    return EXECUTORS[form]
