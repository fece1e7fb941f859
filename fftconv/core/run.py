"""From a problem and its arrays to the result: plan, then execute. The one way in for every door."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import NamedTuple

import numpy as np

from fftconv.core.certificate import Miss, missed
from fftconv.core.config import Config, get_config
from fftconv.core.exactness import peak_bits, rounding_recovers
from fftconv.core.methods import Executor, executor
from fftconv.core.missing import watched
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.planner import SPECTRAL, plan_conv
from fftconv.core.problem import ConvProblem
from fftconv.core.room import new_result
from fftconv.core.trim import Trimmed, trim
from fftconv.core.workers import worker_limit

AUTO = Request()


def run(
    problem: ConvProblem, x: np.ndarray, w: np.ndarray, out: np.ndarray | None = None, request: Request = AUTO
) -> np.ndarray:
    """Compute `problem` on canonical views, into `out` where given, and return the result.

    `out` must not share memory with `x` or `w`; the doors see to that.
    """
    if out is None:
        out = new_result(problem.out_shape, problem.dtype)
    if out.size == 0:
        return out
    if problem.dtype == np.float16:
        wide = problem.with_(dtype=np.dtype(np.float32))
        with np.errstate(over="ignore"):
            np.copyto(out, run(wide, x, w, None, request), casting="same_kind")
        return out
    trimmed = trim(problem)
    if trimmed is not None:
        problem = trimmed.problem
        x, w = trimmed.views(x, w)
    if x.size == 0 or w.size == 0:
        out[...] = 0
        return out
    plan = plan_for(problem, x, w, request)
    watched(plan, executor(plan))(plan, x, w, out)
    return out


def plan_for(problem: ConvProblem, x: np.ndarray, w: np.ndarray, request: Request = AUTO) -> ConvPlan:
    """The plan for these values.

    Integers are transformed whole only where rounding is proved to recover their sums, other numbers summed by a
    method that promises the tolerance, if one is asked for.
    """
    plan = plan_conv(problem, request)
    if request.tolerance is not None and problem.dtype.kind in "fc":
        return _accurate(plan, x, w, request)
    if problem.dtype.kind not in "iu" or plan.method not in SPECTRAL or request.fft_exact is not None:
        return plan
    if rounding_recovers(plan, x, w):
        return plan_conv(problem, replace(request, fft_exact=True))
    return plan_conv(problem, replace(request, fft_exact=False, bits=(peak_bits(x), peak_bits(w))))


def _accurate(plan: ConvPlan, x: np.ndarray, w: np.ndarray, request: Request) -> ConvPlan:
    """`plan`, or the next best one that can promise the tolerance of these values."""
    asked = request.tolerance
    assert asked is not None
    misses: list[tuple[Miss, str]] = []
    while (miss := missed(plan, (x, w), asked)) is not None:
        misses.append((miss, plan.method))
        request = replace(request, inaccurate=(*request.inaccurate, plan.method))
        if request.method is None and sum(c.eligible for c in plan.candidates) > 1:
            plan = plan_conv(plan.problem, request)
            continue
        least, method = min(misses, key=lambda found: found[0].excess)
        who = f"method {method!r} cannot" if request.method else "no method can"
        raise ValueError(
            f"{who} promise |error| <= atol + rtol * sum|in1 * in2| with {asked}: the bound of {method!r} is "
            f"{least.bound:.2g} where {least.asked:.2g} is asked for; a wider dtype= has smaller errors; "
            f"got {plan.problem}"
        )
    return plan


class Runner:
    """`run` of one problem any number of times: trimmed and planned once, for as long as the options stay.

    For short arrays, looking up a plan costs as much as the sums. Where values have a say, or the result is
    computed in another dtype, every call goes through `run`.
    """

    def __init__(self, problem: ConvProblem, request: Request = AUTO) -> None:
        self.problem = problem
        self.request = request
        by_values = problem.dtype.kind in "iu" or request.tolerance is not None
        self._lasts = not by_values and problem.dtype != np.float16 and 0 not in problem.out_shape
        self._settled: _Settled | None = None

    def __call__(self, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        if not self._lasts:
            run(self.problem, x, w, out, self.request)
            return
        config, workers = get_config(), worker_limit(self.request.workers)
        settled = self._settled
        if settled is None or settled.config is not config or settled.workers != workers:
            # replaced as a whole, so that another thread sees the old one or the new one
            settled = self._settled = self._settle(config, workers)
        if settled.trimmed is not None:
            x, w = settled.trimmed.views(x, w)
        settled.execute(settled.plan, x, w, out)

    def check(self) -> None:
        """Raise what planning would, before anything is allocated."""
        trimmed = trim(self.problem)
        plan_conv(self.problem if trimmed is None else trimmed.problem, self.request)

    def _settle(self, config: Config, workers: int) -> _Settled:
        trimmed = trim(self.problem)
        problem = self.problem if trimmed is None else trimmed.problem
        plan = plan_conv(problem, self.request)
        empty = 0 in (prod(problem.x_shape), prod(problem.w_shape))
        return _Settled(config, workers, trimmed, plan, _zeros if empty else watched(plan, executor(plan)))


class _Settled(NamedTuple):
    """What a `Runner` has settled, and the options it was settled under."""

    config: Config
    workers: int
    trimmed: Trimmed | None
    plan: ConvPlan
    execute: Executor


def _zeros(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    out[...] = 0
