"""From a problem and its arrays to the result: plan, then execute. The one way in for every door."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fftconv.core.exactness import rounding_recovers
from fftconv.core.methods import executor
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.planner import plan_conv
from fftconv.core.problem import ConvProblem
from fftconv.core.trim import trim

AUTO = Request()


def run(
    problem: ConvProblem, x: np.ndarray, w: np.ndarray, out: np.ndarray | None = None, request: Request = AUTO
) -> np.ndarray:
    """Compute `problem` on canonical views, into `out` where given, and return the result.

    `out` must not share memory with `x` or `w`; the doors see to that.
    """
    if out is None:
        out = np.empty(problem.out_shape, problem.dtype)
    if out.size == 0:
        return out
    if problem.dtype == np.float16:
        wide = problem.with_(dtype=np.dtype(np.float32))
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
    executor(plan)(plan, x, w, out)
    return out


def plan_for(problem: ConvProblem, x: np.ndarray, w: np.ndarray, request: Request = AUTO) -> ConvPlan:
    """The plan for these values: integers are transformed only where rounding is proved to recover their sums."""
    plan = plan_conv(problem, request)
    if problem.dtype.kind in "iu" and plan.method != "direct" and request.fft_exact is None:
        return plan_conv(problem, replace(request, fft_exact=rounding_recovers(plan, x, w)))
    return plan
