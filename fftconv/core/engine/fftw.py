"""FFTW behind the engine contract: planned transforms on private aligned scratch."""

from __future__ import annotations

from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import scipy as fallback
from .base import Addresses, Array, Engine, FFTPlan, FFTSpec
from .cache import PlanCache
from .fast_lengths import fftw_fast_length
from .fftw_native import NativePlan, native_plan
from .fftw_planner import Execute, Task, planner, pyfftw
from .scratch import allocate, padded_shape

DESTROY = ("FFTW_DESTROY_INPUT",)
Stage = tuple[Array, Array, tuple[int, ...]]
"""Source, target and axes of one call of FFTW's."""


class FFTWPlan(FFTPlan):
    """A transform by FFTW. Each direction is planned when it is first asked for.

    Where a part of the signal is enough, axes are transformed one after the other, so that each leaves out the lines
    which hold nothing or which nobody wants; going forward the last axis comes first, going back it comes last.

    Attributes
    ----------
    native : bool
        False once FFTW has refused a direction, which scipy.fft then serves on the same scratch.
    """

    __slots__ = (
        *("_addresses", "_backward_runs", "_effort", "_forward_runs"),
        *("_limit", "_natives", "_whole", "native"),
    )

    def __init__(self, spec: FFTSpec, effort: str, limit: float) -> None:
        self._forward_runs: tuple[Execute, ...] = ()
        self._backward_runs: tuple[Execute, ...] = ()
        self._natives: tuple[tuple[NativePlan, ...], ...] | None = None
        self._addresses: Addresses | None = None
        self.spec = spec
        self.signal, signal = allocate(spec.shape, spec.axes, spec.dtype)
        self.spectrum, self._whole = allocate(spec.spectrum_shape, spec.axes, spec.spectrum_dtype)
        self.nbytes = signal.nbytes + self._whole.nbytes
        self.native = True
        self._effort = effort
        self._limit = limit

    @property
    def spectrum_whole(self) -> Array:
        return self._whole

    def _forward(self) -> Array:
        for run in self._forward_runs or self._plan_forward():
            run()
        return self.spectrum

    def _backward(self) -> Array:
        for run in self._backward_runs or self._plan_backward():
            run()
        return self.signal

    def _plan_forward(self) -> tuple[Execute, ...]:
        spec, signal, spectrum = self.spec, self.signal, self.spectrum
        stages, idle = _forward_stages(self)
        planned = self._planned("FFTW_FORWARD", stages)
        if planned is None:
            self._forward_runs = (lambda: np.copyto(spectrum, fallback.transform(spec, signal)),)
        else:
            zeros = (partial(part.fill, 0) for part in idle)
            self._forward_runs = tuple(run for pair in zip_longest(zeros, planned) for run in pair if run)
        return self._forward_runs

    def _plan_backward(self) -> tuple[Execute, ...]:
        planned = self._planned("FFTW_BACKWARD", _backward_stages(self), DESTROY)
        self._backward_runs = planned or (self._inverse_elsewhere,)
        return self._backward_runs

    def _inverse_elsewhere(self) -> None:
        found = fallback.inverse(self.spec, self.spectrum)
        np.copyto(self.signal[tuple(map(slice, found.shape))], found)

    def addresses(self) -> Addresses | None:
        if self._natives is None:
            self._natives = self._plan_natives()
            if self._natives:
                forward, backward = (tuple(plan.address for plan in plans) for plans in self._natives)
                scratch = self.signal.ctypes.data, self._whole.ctypes.data
                self._addresses = Addresses(self._natives[0][0].execute, *scratch, forward, backward)
        return self._addresses

    def _plan_natives(self) -> tuple[tuple[NativePlan, ...], ...]:
        """Both directions for compiled code, after Python's so that they are the same; nothing where it cannot be."""
        self._forward_runs or self._plan_forward()
        self._backward_runs or self._plan_backward()
        found = []
        for direction, stages, flags in (
            ("FFTW_FORWARD", _forward_stages(self)[0], ()),
            ("FFTW_BACKWARD", _backward_stages(self), DESTROY),
        ):
            tasks = (Task(*stage, direction, self._effort, self._limit, flags) for stage in stages)
            plans = [native_plan(task) for task in tasks] if self.native else [None]
            found.append(tuple(plan for plan in plans if plan is not None))
            if len(found[-1]) < len(plans):
                planner.retire(*found)
                return ()
        return tuple(found)

    def _planned(
        self, direction: str, stages: list[Stage], flags: tuple[str, ...] = ()
    ) -> tuple[Execute, ...] | None:
        # The caller has filled the source already; measuring would overwrite it.
        source = stages[0][0] if direction == "FFTW_BACKWARD" else self.signal
        filled = None if self._effort == "estimate" else source.copy()
        try:
            return tuple(
                planner.plan(Task(*stage, direction, self._effort, self._limit, flags)) for stage in stages
            )
        except RuntimeError:
            self.native = False
            return None
        finally:
            if filled is not None:
                source[...] = filled

    def __del__(self) -> None:
        planner.retire(*self._forward_runs, *self._backward_runs, *(self._natives or ()))


def _forward_stages(plan: FFTWPlan) -> tuple[list[Stage], list[Array]]:
    """Calls that transform the signal, and what has to be zeroed before each of them."""
    spec, signal, spectrum = plan.spec, plan.signal, plan.spectrum
    if not spec.filled:
        return [(signal, spectrum, spec.axes)], []
    *others, last = spec.axes
    lines = spec.part(spec.filled[:-1])
    stages: list[Stage] = [(signal[lines], spectrum[lines], (last,))]
    for i, axis in reversed(list(enumerate(others))):
        part = spectrum[spec.part(spec.filled[:i])]
        stages.append((part, part, (axis,)))
    first, *rest = spec.idle
    return stages, [signal[first], *(spectrum[part] for part in rest)]


def _backward_stages(plan: FFTWPlan) -> list[Stage]:
    """Calls that lead back from the spectrum to what is kept of the signal."""
    spec, signal, spectrum = plan.spec, plan.signal, plan.spectrum
    if not spec.kept:
        return [(spectrum, signal, spec.axes)]
    stages: list[Stage] = []
    for i, axis in enumerate(spec.axes[:-1]):
        part = spectrum[spec.part(spec.kept[:i])]
        stages.append((part, part, (axis,)))
    lines = spec.part(spec.kept[:-1])
    stages.append((spectrum[lines], signal[lines], spec.axes[-1:]))
    return stages


class FFTWEngine(Engine):
    """FFTW through pyFFTW, in the precisions that this build of it has."""

    name = "fftw"
    cache = PlanCache()

    def __init__(self, cache_bytes: int, effort: str = "estimate", limit: float = 2.0) -> None:
        super().__init__(cache_bytes, effort)
        self.limit = limit
        library = pyfftw()
        names: list[Any] = [*library._supported_nptypes_real, *library._supported_nptypes_complex]
        self._dtypes = frozenset(np.dtype(name) for name in names)

    def supports(self, dtype: DTypeLike) -> bool:
        return np.dtype(dtype) in self._dtypes

    def next_fast_len(self, n: int, real: bool = True) -> int:
        return fftw_fast_length(n)

    def spectrum_pitch(self, spec: FFTSpec) -> tuple[int, ...]:
        return padded_shape(spec.spectrum_shape, spec.axes, spec.spectrum_dtype.itemsize)

    def new_plan(self, spec: FFTSpec) -> FFTWPlan:
        return FFTWPlan(spec, self.effort, self.limit)
