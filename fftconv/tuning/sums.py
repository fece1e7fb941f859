"""What direct sums cost on this host: problems of every form, timed and fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from fftconv.core import cost_direct
from fftconv.core.cost_direct import DirectCosts, fits, patches, product_seconds
from fftconv.core.methods import gemm, jit, lines, taps
from fftconv.core.plan import Candidate, ConvPlan
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.profile import in_force
from fftconv.tuning.fit import Sample, fit, names
from fftconv.tuning.problems import arrays, problem
from fftconv.tuning.stopwatch import Stopwatch

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
# Forms that are timed in each dtype.
TIMED = {"lines": "fdFD", "taps": "fdFD", "gemm": "fdFD", "band": "fd", "jit": "fd"}
EXECUTORS: dict[str, Execute] = {
    "lines": lines.execute,
    "taps": taps.execute,
    "gemm": gemm.execute,
    "band": gemm.execute,
    "jit": jit.execute,
}


def sums(watch: Stopwatch, before: DirectCosts) -> tuple[DirectCosts, list[Sample[DirectCosts]]]:
    """The coefficients of direct sums, and the times that they were fitted to."""
    samples = list(_samples(watch, before))
    return fit(before, names(before, skip=("thread",)), samples), samples


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
    elif form == "gemm":
        yield from (problem(x, w, dtype, (c, c)) for x, w, c in WIDE)
        yield problem((300, 300), (5, 5), dtype)
    else:
        yield from (problem(x, w, dtype) for x, w in NARROW)
        yield problem((64, 64), (3, 3), dtype, (4, 4))
        strided = problem((500, 500), (5, 5), dtype)
        yield strided.with_(stride=(2, 2))


def _seconds(form: str, p: ConvProblem, watch: Stopwatch) -> float:
    """Of a call on one worker, by one form."""
    chosen = Candidate(form, workers=1)
    plan = ConvPlan(p, chosen, (chosen,), "")
    x, w = arrays(p)
    out = np.empty(p.out_shape, p.dtype)
    return watch.fastest(lambda: EXECUTORS[form](plan, x, w, out))
