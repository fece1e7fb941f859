"""Choosing: a pure function from a problem and a request to a plan. Nothing here touches an array.

Correctness decides who is eligible, cost decides among the eligible.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import prod

from fftconv.core.cost import BUILT_IN
from fftconv.core.cost_direct import scratch as direct_scratch
from fftconv.core.cost_direct import seconds as direct_seconds
from fftconv.core.cost_direct import useful_workers
from fftconv.core.engine import get_engine
from fftconv.core.phases import residues, sub_problems
from fftconv.core.plan import Candidate, ConvPlan, Request
from fftconv.core.problem import ConvProblem
from fftconv.core.tile_choice import NOMINAL_WORKERS, overlap_save, whole
from fftconv.core.tiling import spectral_dtype
from fftconv.core.trim import trim
from fftconv.core.workers import worker_limit

# Scratch that a plan of many tiles may use where the caller sets no bound.
DEFAULT_SCRATCH = 64 * 2**20

METHODS = ("direct", "fft", "overlap_save")


def plan_conv(problem: ConvProblem, request: Request) -> ConvPlan:
    """The cheapest eligible method for `problem` under `request`.

    Raises
    ------
    ValueError
        If the request forces a method that is out, with the reason.
    """
    engine = get_engine(spectral_dtype(problem))
    return _plan(problem, request, worker_limit(request.workers), engine.name)


@lru_cache(maxsize=4096)
def _plan(problem: ConvProblem, request: Request, workers: int, engine: str) -> ConvPlan:
    if request.method not in (None, *METHODS):
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {request.method!r}")
    candidates = tuple(_consider(m, problem, request, workers) for m in METHODS)
    if request.method is not None:
        chosen = next(c for c in candidates if c.method == request.method)
        if not chosen.eligible:
            raise ValueError(
                f"method {chosen.method!r} cannot answer this problem: {chosen.reason}; got {problem}"
            )
    else:
        chosen = min((c for c in candidates if c.eligible), key=lambda c: c.rank)
    return ConvPlan(problem, chosen, candidates, engine)


def _consider(method: str, p: ConvProblem, request: Request, workers: int) -> Candidate:
    reason = _out(method, p, request)
    if reason:
        return Candidate(method, reason=reason)
    if not all((*p.x_shape, *p.w_shape, *p.out_shape)):
        return Candidate(method, 0.0)  # sums over nothing, or no sums
    whole = p.is_dense or (method == "direct" and all(b == 1 for b in p.lhs_dilation))
    found = (_DENSE[method] if whole else partial(_by_phases, method))(p, request, workers)
    # the direct sum needs next to nothing and is what remains under any bound
    if method != "direct" and 0 < request.max_memory < found.scratch:
        return Candidate(
            method, reason=f"it needs {found.scratch} bytes of scratch, the bound is {request.max_memory}"
        )
    return found


def _out(method: str, p: ConvProblem, request: Request) -> str:
    """Why `method` may not answer, or an empty string."""
    if method == "direct":
        return ""
    if p.ndim == 0:
        return "there is no axis to transform"
    if p.dtype.kind == "b":
        return "a logical sum has no transform"
    if p.dtype.kind in "iu" and request.fft_exact is False:
        return "rounding could not be proved to give the exact integers"
    return ""


def _direct(p: ConvProblem, request: Request, workers: int) -> Candidate:
    workers = useful_workers("direct", p, workers)
    seconds = direct_seconds("direct", p, workers)
    rank = direct_seconds("direct", p, NOMINAL_WORKERS)
    return Candidate("direct", seconds, direct_scratch("direct", p, workers), workers, rank=rank)


def _whole(p: ConvProblem, request: Request, workers: int) -> Candidate:
    return whole(p, workers, get_engine(spectral_dtype(p)).next_fast_len)


def _overlap_save(p: ConvProblem, request: Request, workers: int) -> Candidate:
    fast = get_engine(spectral_dtype(p)).next_fast_len
    return overlap_save(p, workers, fast, request.max_memory or DEFAULT_SCRATCH)


_DENSE: dict[str, Callable[[ConvProblem, Request, int], Candidate]] = {
    "direct": _direct,
    "fft": _whole,
    "overlap_save": _overlap_save,
}


def _by_phases(method: str, p: ConvProblem, request: Request, workers: int) -> Candidate:
    """The sum over the dense problems; residue classes run side by side, each on its share of the workers."""
    classes = len(residues(p))
    outer, nominal = min(workers, classes), min(NOMINAL_WORKERS, classes)
    inner = Request(method, workers // outer, fft_exact=True)
    seconds, rank, scratch = BUILT_IN.call, BUILT_IN.call, 0
    for sub, count in sub_problems(p).items():
        trimmed = trim(sub)
        sub = trimmed.problem if trimmed else sub
        if prod(sub.input_size) and prod(sub.kernel_size):
            chosen = _plan(sub, inner, workers // outer, "").chosen
            seconds += count * chosen.seconds / outer
            rank += count * _plan(sub, Request(method, 1, fft_exact=True), 1, "").chosen.seconds / nominal
            scratch = max(scratch, chosen.scratch)
    return Candidate(method, seconds, outer * scratch, workers, by_phases=True, rank=rank)
