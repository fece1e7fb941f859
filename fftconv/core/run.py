"""From a problem and its arrays to the result: plan, then execute. The one way in for every door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fftconv.core.certificate import Miss, bound, missed
from fftconv.core.channels import channels_of
from fftconv.core.config import Config, get_config
from fftconv.core.cost_direct import is_one_line
from fftconv.core.exactness import peak_bits, rounding_recovers
from fftconv.core.kernel import Kernel
from fftconv.core.loop_rows import is_lone
from fftconv.core.methods import Executor, executor, prepared
from fftconv.core.missing import watched
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.planner import SPECTRAL, most_terms, plan_conv
from fftconv.core.problem import ConvProblem
from fftconv.core.profile import Profile, in_force
from fftconv.core.room import new_result
from fftconv.core.separability import terms_of
from fftconv.core.tiling import layout_of
from fftconv.core.trim import Trimmed, trim
from fftconv.core.workers import worker_limit

AUTO = Request()


def run(
    problem: ConvProblem, x: np.ndarray, w: np.ndarray, out: np.ndarray | None = None, request: Request = AUTO
) -> np.ndarray:
    """Compute `problem` on canonical views, into `out` where given, and return the result.

    `out` must not share memory with `x` or `w`; the doors see to that.

    Raises
    ------
    ValueError
        If `out` is read-only: compiled loops write to addresses, and would not notice.
    """
    if out is None:
        out = new_result(problem.out_shape, problem.dtype)
    elif not out.flags.writeable:
        raise ValueError(f"out must be writeable, got a read-only array of shape {out.shape}")
    _runner(problem, request)(x, w, out)
    return out


@lru_cache(maxsize=256)
def _runner(problem: ConvProblem, request: Request) -> Runner:
    """What calls of doors that keep no recipe have in common with those before; it holds no array."""
    return Runner(problem, request)


def plan_of(
    problem: ConvProblem, request: Request, operands: tuple[np.ndarray, np.ndarray] | None = None
) -> ConvPlan:
    """The plan by which `run` computes `problem`; given operands, the one for these, with the bound of its errors."""
    if problem.dtype == np.float16:
        problem = problem.with_(dtype=np.dtype(np.float32))
    trimmed = trim(problem)
    if trimmed is not None:
        problem = trimmed.problem
        operands = None if operands is None else trimmed.views(*operands)
    if operands is None:
        return plan_conv(problem, request)
    plan = plan_for(problem, *operands, request)
    return replace(plan, bound=bound(plan, *operands))


def plan_for(problem: ConvProblem, x: np.ndarray, w: np.ndarray, request: Request = AUTO) -> ConvPlan:
    """The plan for these values.

    Integers are transformed whole only where rounding is proved to recover their sums, other numbers summed by a
    method that promises the tolerance, if one is asked for. Kernels are taken apart only where they are sums of few
    products.
    """
    most = most_terms(problem, request)
    if most:
        request = _looked_at(problem, w, request, most)
    plan = plan_conv(problem, request)
    if request.tolerance is not None and problem.dtype.kind in "fc":
        return _accurate(plan, x, w, request)
    if not _depends_on_values(plan, request):
        return plan
    if rounding_recovers(plan, x, w):
        return plan_conv(problem, replace(request, fft_exact=True))
    bits = peak_bits(x, problem.outside.fill), peak_bits(w)
    return plan_conv(problem, replace(request, fft_exact=False, bits=bits))


def _looked_at(problem: ConvProblem, w: np.ndarray, request: Request, most: int) -> Request:
    return replace(request, terms=len(terms_of(problem, w, most) or ()))


def _depends_on_values(plan: ConvPlan, request: Request) -> bool:
    """Whether the values have to be looked at before `plan` may answer."""
    if plan.problem.dtype.kind in "fc":
        return request.tolerance is not None
    return plan.problem.dtype.kind in "iu" and plan.method in SPECTRAL and request.fft_exact is None


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
    """One problem any number of times: trimmed and planned once, for as long as the options stay.

    For short arrays, looking up a plan costs as much as the sums. The plan of integers, and of kernels that may be
    separable, depends on the values and is looked up in every call. Given a `kernel`, every call must be with its `w`;
    what methods make of it is made once.
    """

    def __init__(self, problem: ConvProblem, request: Request = AUTO, kernel: Kernel | None = None) -> None:
        self.problem = problem
        self.request = request
        self.kernel = kernel
        self._settled: _Settled | None = None
        self._single: Runner | None = None
        if problem.dtype == np.float16:
            self._single = Runner(problem.with_(dtype=np.dtype(np.float32)), request, kernel)

    def __call__(self, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> ConvPlan:
        """Fill `out`, and return the plan that was followed."""
        settled = self._settled
        if (
            settled is not None
            and settled.lone
            and settled.config is get_config()
            and settled.profile is in_force()
        ):
            settled.execute(settled.plan, x, w, out)
            return settled.plan
        if self._single is not None:
            return self._round(self._single, (x, w), out)
        config, workers, profile = get_config(), worker_limit(self.request.workers), in_force()
        settled = self._settled
        if (
            settled is None
            or settled.config is not config
            or settled.workers != workers
            or settled.profile is not profile
        ):
            # replaced as a whole, so that another thread sees the old one or the new one
            settled = self._settled = self._settle(config, workers, profile)
        if settled.trimmed is not None:
            x, w = settled.trimmed.views(x, w)
        if settled.by_values:
            settled = self._settled = self._resettle(settled, x, w)
        settled.execute(settled.plan, x, w, out)
        return settled.plan

    def sums_at_once(self) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
        """What makes a new result of samples and a kernel, all without axes of batch and channels, if anything does."""
        settled = self._settled
        if settled is None or settled.config is not get_config() or settled.profile is not in_force():
            return None
        return settled.sums

    def check(self) -> None:
        """Raise what planning would, before anything is allocated."""
        if self._single is not None:
            self._single.check()
            return
        self._settled = self._settle(get_config(), worker_limit(self.request.workers), in_force())

    @staticmethod
    def _round(single: Runner, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray) -> ConvPlan:
        """Half precision is single precision, rounded."""
        wide = np.empty(out.shape, np.float32)
        with np.errstate(over="ignore"):
            plan = single(*operands, wide)
            np.copyto(out, wide, casting="same_kind")
        return plan

    def _settle(self, config: Config, workers: int, profile: Profile) -> _Settled:
        trimmed = trim(self.problem)
        problem = self.problem if trimmed is None else trimmed.problem
        if not all((*problem.x_shape, *problem.w_shape, *problem.out_shape)):
            # no method has anything to do, so none may refuse
            return _Settled(config, workers, profile, trimmed, False, plan_conv(problem, AUTO), _zeros)
        request, most = self.request, most_terms(problem, self.request)
        if most and self.kernel is not None:
            w = self.kernel.w if trimmed is None else self.kernel.part(trimmed.taps).w
            request, most = _looked_at(problem, w, request, most), 0
        plan = plan_conv(problem, replace(request, terms=most) if most else request)
        by_values = most > 0 or _depends_on_values(plan, request)
        found = most or None
        # where there is but one thing to do, the number of workers does not matter
        lone = trimmed is None and not by_values and _is_one_thing(plan)
        execute = self._execution(plan, trimmed)
        sums = getattr(execute, "sums", None) if lone else None
        return _Settled(config, workers, profile, trimmed, by_values, plan, execute, lone, sums, found, found)

    def _resettle(self, settled: _Settled, x: np.ndarray, w: np.ndarray) -> _Settled:
        """Settled on the plan that the values of this call lead to."""
        problem, terms = settled.plan.problem, None
        if settled.most is None:
            plan = plan_for(problem, x, w, self.request)
        else:
            # of these values only the number of products matters, which is mostly that of the call before
            terms = len(terms_of(problem, w, settled.most) or ())
            if terms == settled.terms:
                return settled
            plan = plan_conv(problem, replace(self.request, terms=terms))
        if plan is settled.plan:
            return settled._replace(terms=terms)
        return settled._replace(plan=plan, terms=terms, execute=self._execution(plan, settled.trimmed))

    def _execution(self, plan: ConvPlan, trimmed: Trimmed | None) -> Executor:
        kernel = self.kernel
        if kernel is None:
            return watched(plan, executor(plan), run, zeros=self.request.zeros)
        if trimmed is not None:
            kernel = kernel.part(trimmed.taps)
        with kernel.options():
            return watched(plan, prepared(plan, kernel), run, kernel.w)


def _is_one_thing(plan: ConvPlan) -> bool:
    """Whether the plan is one line, a small problem or one transform, whatever the number of workers."""
    if plan.chosen.by_phases or plan.chosen.limbs:
        return False
    if plan.chosen.tiling is None:
        p = plan.problem
        return is_one_line(p) if plan.method == "direct" else plan.method == "jit" and is_lone(p)
    channels = channels_of(layout_of(plan.problem, plan.tiling))
    return channels.lone or (channels.brief and channels.single)


class _Settled(NamedTuple):
    """What a `Runner` has settled, and the options it was settled under.

    Where the plan depends on it, it is for a kernel that is the sum of so many `terms` of at `most` so many.
    """

    config: Config
    workers: int
    profile: Profile
    trimmed: Trimmed | None
    by_values: bool
    plan: ConvPlan
    execute: Executor
    lone: bool = False
    sums: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    most: int | None = None
    terms: int | None = None


def _zeros(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    out[...] = 0
