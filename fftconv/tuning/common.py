"""Common problems, measured so that FFTW's wisdom knows their tiles."""

from __future__ import annotations

import time

import numpy as np

from fftconv.core.config import config_context
from fftconv.core.engine import wisdom
from fftconv.core.plan import Request
from fftconv.core.planner import plan_conv
from fftconv.core.problem import Ints
from fftconv.core.run import run
from fftconv.core.trim import trim
from fftconv.tuning.problems import arrays, problem

PROBLEMS: tuple[tuple[Ints, Ints], ...] = (
    *(((10**6,), (k,)) for k in (101, 301, 1001, 3001, 10_001)),
    *(((10**5,), (k,)) for k in (101, 1001)),
    *(((n, n), (k, k)) for n in (512, 1024, 2048) for k in (15, 31, 63)),
    ((4096, 4096), (101, 101)),
    *(((128,) * 3, (k,) * 3) for k in (9, 15)),
)
# Seconds that FFTW may take to measure one transform.
ONE = 1.0


def learn(seconds: float) -> dict[str, str]:
    """Compute common problems with measured plans until the time is up; FFTW's wisdom after that.

    Float and double, the common ones first. The same wisdom gives the same plans in every run.
    """
    end = time.perf_counter() + seconds
    for x, w in PROBLEMS:
        for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
            if time.perf_counter() > end:
                break
            _run(x, w, dtype)
    return wisdom.learnt()


def _run(x: Ints, w: Ints, dtype: np.dtype) -> None:
    p = problem(x, w, dtype)
    trimmed = trim(p)
    p = trimmed.problem if trimmed else p
    with config_context(planning="measure", planning_limit=ONE, engine="fftw"):
        plan = plan_conv(p, Request(method="overlap_save"))
        run(plan.problem, *arrays(p), None, Request(method="overlap_save"))
