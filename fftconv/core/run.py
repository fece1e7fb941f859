"""From a problem and its arrays to the result: plan, then execute. The one way in for every door."""

from __future__ import annotations

import numpy as np

from fftconv.core.methods import executor
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.planner import plan_conv
from fftconv.core.problem import ConvProblem

AUTO = Request()


def run(
    problem: ConvProblem, x: np.ndarray, w: np.ndarray, out: np.ndarray | None = None, request: Request = AUTO
) -> np.ndarray:
    """Compute `problem` on canonical views, into `out` where given, and return the result.

    `out` must not share memory with `x` or `w`; the doors see to that.
    """
    if out is None:
        out = np.empty(problem.out_shape, problem.dtype)
    execute(plan_conv(problem, request), x, w, out)
    return out


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Run a plan. Empty outputs need no work, and sums over nothing are zero."""
    if out.size == 0:
        return
    if x.size == 0 or w.size == 0:
        out[...] = 0
        return
    executor(plan.method)(plan, x, w, out)
