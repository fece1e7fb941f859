"""Choosing: a pure function from a problem and a request to a plan. Nothing here touches an array.

Correctness decides who is eligible, cost decides among the eligible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from math import prod

from fftconv.core.accuracy import sum_error, transform_error
from fftconv.core.cost_contract import ChannelCost
from fftconv.core.cost_direct import fits, is_one_line, useful_workers
from fftconv.core.cost_direct import scratch as direct_scratch
from fftconv.core.cost_direct import seconds as direct_seconds
from fftconv.core.engine import get_engine
from fftconv.core.exactness import recovers, splits
from fftconv.core.excerpt import padded
from fftconv.core.passes import MOST_TERMS, between, extents, passes, separable_error, slab, slab_lengths
from fftconv.core.phases import residues, sub_problems
from fftconv.core.plan import SUMS, Candidate, ConvPlan, Request, ScratchError
from fftconv.core.problem import ConvProblem
from fftconv.core.profile import Profile, in_force
from fftconv.core.strips import has_strips, ring_bytes, strip_jobs, strip_seconds
from fftconv.core.tile_choice import NOMINAL_WORKERS, Means, overlap_save, weigh, whole
from fftconv.core.tiling import TileLayout, spectral_dtype
from fftconv.core.trim import trim
from fftconv.core.workers import worker_limit

# Scratch that a plan of many tiles may use where the caller sets no bound: with one input to each output, and
# where the spectra of a whole matrix of kernels have to be held.
DEFAULT_SCRATCH = 64 * 2**20
CHANNEL_SCRATCH = 192 * 2**20

# By how much compiled loops have to be faster than np.correlate on one line, which needs nothing to be compiled first.
MARGIN = 1.1

METHODS = ("direct", "band", "jit", "separable", "fft", "overlap_save")


# Interpreter time of one pass over one slab, and of one dense problem of a dilated one: threads take turns at it.
PASS_SECONDS = 50e-6
PHASE_SECONDS = 100e-6
# That of both passes by strips, beyond what other compiled loops take.
STRIPS_SECONDS = 40e-6


def plan_conv(problem: ConvProblem, request: Request) -> ConvPlan:
    """The cheapest eligible method for `problem` under `request`.

    Raises
    ------
    ValueError
        If the request forces a method that is out, with the reason.
    """
    engine = get_engine(spectral_dtype(problem))
    return _plan(problem, request, worker_limit(request.workers), engine.name, in_force())


@lru_cache(maxsize=4096)
def _plan(problem: ConvProblem, request: Request, workers: int, engine: str, profile: Profile) -> ConvPlan:
    if request.method not in (None, *METHODS):
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {request.method!r}")
    table = partial(_candidates, problem, request, workers, engine, profile)
    if request.method is not None:
        # the others are weighed when somebody asks for them
        chosen = _consider(request.method, problem, request, workers, profile)
        if not chosen.eligible:
            error = ScratchError if chosen.scratch else ValueError
            raise error(
                f"method {chosen.method!r} cannot answer this problem: {chosen.reason}; got {problem}"
            )
    elif not any(c.eligible for c in table()):
        least = min((c for c in table() if c.scratch), key=lambda c: c.scratch)
        raise ScratchError(
            f"max_memory={request.max_memory} bytes of scratch are too few for every method: the least is that of "
            f"{least.method!r}, {least.scratch} bytes; got {problem}"
        )
    else:
        chosen = min((c for c in table() if c.eligible), key=lambda c: c.rank)
    return ConvPlan(problem, chosen, engine, table)


@lru_cache(maxsize=4096)
def _candidates(
    problem: ConvProblem, request: Request, workers: int, engine: str, profile: Profile
) -> tuple[Candidate, ...]:
    return tuple(_consider(m, problem, request, workers, profile) for m in METHODS)


def _consider(method: str, p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    reason = _out(method, p, request)
    if reason:
        return Candidate(method, reason=reason)
    if not all((*p.x_shape, *p.w_shape, *p.out_shape)):
        return Candidate(method, 0.0)  # sums over nothing, or no sums
    whole = fits(method, p) if method in SUMS else all(b == 1 for b in p.lhs_dilation)
    whole = whole or method == "separable"
    found = (_WHOLE[method] if whole else partial(_by_phases, method))(p, request, workers, profile)
    if request.prepared:
        found = _without_kernel(found, p, profile)
    if method in SPECTRAL and (p.dtype.kind == "b" or request.fft_exact is False):
        found = _by_limbs(found, p, request, workers, profile)
    found = replace(found, error=_error(found, p))
    if 0 < request.max_memory < found.scratch:
        reason = f"it needs {found.scratch} bytes of scratch, the bound is {request.max_memory}"
        return Candidate(method, scratch=found.scratch, reason=reason)
    return found


def _out(method: str, p: ConvProblem, request: Request) -> str:
    """Why `method` may not answer, or an empty string."""
    if method in request.inaccurate:
        return f"its error bound exceeds {request.tolerance} on these values"
    if method == "direct":
        return ""
    if p.ndim == 0:
        return "there is no axis to transform" if method not in SUMS else "there is no axis"
    if method == "band":
        return (
            "" if fits("band", p) else "a band of outputs needs a float dtype and taps that neighbours share"
        )
    if method == "jit":
        dense = p.with_(lhs_dilation=(1,) * p.ndim)
        return "" if fits("jit", dense) else f"compiled loops need the package llvmlite and have no {p.dtype}"
    if method == "separable":
        return _inseparable(p, request)
    if p.dtype.kind in "iu" and request.fft_exact is False and not any(request.bits):
        return "rounding could not be proved to give the exact integers"
    return ""


def _error(c: Candidate, p: ConvProblem) -> float:
    if p.dtype.kind not in "fc":
        return 0.0
    if c.terms:
        return separable_error(p, c.terms)
    return transform_error(p, c.tiling) if c.is_spectral else sum_error(p)


def _inseparable(p: ConvProblem, request: Request) -> str:
    if p.dtype.char not in "fd":
        return f"passes along one axis after the other are for real floats, not {p.dtype}"
    if len(extents(p)) < 2:
        return "the kernel extends along one axis"
    if p.group_inputs > 1 or any(b > 1 for b in p.lhs_dilation):
        return "passes along one axis after the other need one input to an output, and no input dilation"
    if p.outside.along:
        return "passes along one axis after the other see zeros outside the array, and nothing else"
    if request.tolerance is not None:
        return "it promises an error over the norm of the whole input, and no tolerance"
    if request.terms is None:
        return "only the values of a kernel tell whether it is a product of 1-d kernels"
    return "" if request.terms else "the kernel is not a sum of few products of 1-d kernels"


def _separable(p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    """The passes strip by strip, or over every slab."""
    found = _slabs(p, request, workers, profile)
    if not has_strips(p):
        return found
    strips, bound = _strips(p, request, workers, profile), request.max_memory or DEFAULT_SCRATCH
    return min((strips, found), key=lambda c: (c.scratch > bound, c.rank))


def _strips(p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    terms, host = request.terms or 1, profile.direct
    busy, held = strip_seconds(p, terms, host), ring_bytes(p, terms)
    most = min(strip_jobs(p, terms), max(1, (request.max_memory or DEFAULT_SCRATCH) // held))

    def on(n: int) -> float:
        return host.call + STRIPS_SECONDS + busy / n + (host.thread if n > 1 else 0.0)

    used = min(range(1, min(workers, most) + 1), key=on)
    rank = on(min(range(1, min(NOMINAL_WORKERS, most) + 1), key=on))
    return Candidate("separable", on(used), used * held, used, rank=rank, terms=terms, by_strips=True)


def _slabs(p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    terms, lengths = request.terms or 1, slab_lengths(p)
    jobs = prod(-(-n // length) for n, length in zip((p.batch, *p.output_size), lengths, strict=True))
    # the last slab but one, where there is one: nothing of it lies outside
    last = tuple(
        (max(0, n - 2 * length), max(length, n - length))
        for n, length in zip((p.batch, *p.output_size), lengths, strict=True)
    )
    one, _ = slab(p, last)
    inner = Request(workers=1, terms=0)
    engine = get_engine(spectral_dtype(p)).name
    host = profile.spectral(engine)
    plans = [_plan(q, inner, 1, engine, profile) for q in passes(one, terms)]
    each = sum(plan.chosen.seconds + PASS_SECONDS for plan in plans)
    scratch = between(one, terms) + max(plan.memory for plan in plans)
    most = min(jobs, max(1, (request.max_memory or DEFAULT_SCRATCH) // scratch))
    used = min(workers, most)
    seconds, rank = (
        host.call + (host.thread if n > 1 else 0.0) + -(-jobs // n) * each
        for n in (used, min(NOMINAL_WORKERS, most))
    )
    return Candidate("separable", seconds, used * scratch, used, rank=rank, terms=terms)


def most_terms(p: ConvProblem, request: Request) -> int:
    """The most products of 1-d kernels that it pays to take a kernel apart into; 0 where it is not worth a look."""
    looked = request.terms is not None or request.tolerance is not None
    if looked or request.method not in (None, "separable") or len(extents(p)) < 2:
        return 0
    engine = get_engine(spectral_dtype(p))
    return _most_terms(p, request, worker_limit(request.workers), engine.name, in_force())


@lru_cache(maxsize=4096)
def _most_terms(p: ConvProblem, request: Request, workers: int, engine: str, profile: Profile) -> int:
    for terms in range(MOST_TERMS if len(extents(p)) == 2 else 1, 0, -1):
        asked = replace(request, terms=terms)
        if not _inseparable(p, asked) and _plan(p, asked, workers, engine, profile).method == "separable":
            return terms
    return 0


def _sum(method: str, p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    host = profile.direct
    workers = useful_workers(method, p, workers, host)
    while workers > 1 and 0 < request.max_memory < direct_scratch(method, p, workers, host):
        workers -= 1
    rank = direct_seconds(method, p, NOMINAL_WORKERS, host)
    if method == "jit" and is_one_line(p):
        rank *= MARGIN
    seconds = direct_seconds(method, p, workers, host)
    return Candidate(method, seconds, direct_scratch(method, p, workers, host), workers, rank=rank)


def _means(p: ConvProblem, limit: int, profile: Profile) -> Means:
    engine = get_engine(spectral_dtype(p))
    return Means(engine.next_fast_len, engine.fresh, limit, profile.spectral(engine.name))


def _whole(p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    return whole(p, workers, _means(p, request.max_memory or 2**62, profile))


def _overlap_save(p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    default = DEFAULT_SCRATCH if p.group_inputs == 1 else CHANNEL_SCRATCH
    means = _means(p, request.max_memory or default, profile)
    if request.tiling is not None:
        return weigh(p, request.tiling, workers, "overlap_save", means)
    return overlap_save(p, workers, means)


def _without_kernel(found: Candidate, p: ConvProblem, profile: Profile) -> Candidate:
    """A candidate for whose calls the kernel is transformed already. Its tile, and so its bits, stay as they are."""
    if found.tiling is None:
        return found
    host = profile.spectral(get_engine(spectral_dtype(p)).name)
    cost = ChannelCost(TileLayout(p, found.tiling), host)
    return replace(
        found,
        seconds=found.seconds - cost.kernel_seconds(found.workers),
        rank=found.rank - cost.kernel_seconds(NOMINAL_WORKERS),
    )


SPECTRAL = ("fft", "overlap_save")
_WHOLE: dict[str, Callable[[ConvProblem, Request, int, Profile], Candidate]] = {
    **{method: partial(_sum, method) for method in SUMS},
    "separable": _separable,
    "fft": _whole,
    "overlap_save": _overlap_save,
}


def _by_phases(method: str, p: ConvProblem, request: Request, workers: int, profile: Profile) -> Candidate:
    """The sum over the dense problems; residue classes run side by side, each on its share of the workers."""
    p = padded(p)
    classes = len(residues(p))
    outer, nominal = min(workers, classes), min(NOMINAL_WORKERS, classes)
    inner, lone = Request(method, workers // outer, fft_exact=True), Request(method, 1, fft_exact=True)
    engine = get_engine(spectral_dtype(p)).name
    seconds = rank = profile.spectral(engine).call
    scratch = 0
    for sub, count in sub_problems(p).items():
        trimmed = trim(sub)
        sub = trimmed.problem if trimmed else sub
        if prod(sub.input_size) and prod(sub.kernel_size):
            chosen = _plan(sub, inner, workers // outer, engine, profile).chosen
            seconds += count * (PHASE_SECONDS + chosen.seconds / outer)
            rank += count * (PHASE_SECONDS + _plan(sub, lone, 1, engine, profile).chosen.seconds / nominal)
            scratch = max(scratch, chosen.scratch)
    return Candidate(method, seconds, outer * scratch, workers, by_phases=True, rank=rank)


def _by_limbs(
    whole: Candidate, p: ConvProblem, request: Request, workers: int, profile: Profile
) -> Candidate:
    """A problem in float64 with limbs for channels; booleans are their own limbs, and are counted.

    The limbs are chosen for tiles like those of the problem itself, and at worst for one tile that holds everything.
    """
    p = padded(p)
    operands = (1, 1) if p.dtype.kind == "b" else request.bits
    inner, method = Request(max_memory=request.max_memory), whole.method
    limb = profile.spectral(get_engine(spectral_dtype(p)).name).limb * 1e-9
    for tiling in (whole.tiling, None):
        limbs = next(splits(p, operands, tiling), None)
        if limbs is None:
            continue
        found = _consider(method, limbs.problem(p), inner, workers, profile)
        if not found.eligible:
            return found
        if recovers(limbs.problem(p), found.tiling, limbs.peaks):
            pieces = prod(p.x_shape) * limbs.count[0] + prod(p.out_shape) * len(limbs.shifts)
            seconds, rank = (t + limb * pieces for t in (found.seconds, found.rank))
            return replace(found, seconds=seconds, rank=rank, limbs=limbs)
    return Candidate(method, reason="no limbs are short enough for rounding to recover their sums")
