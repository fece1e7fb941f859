"""FFTW behind the engine contract: planned transforms on private aligned scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import scipy as fallback
from .base import Array, Engine, FFTPlan, FFTSpec
from .cache import PlanCache
from .fast_lengths import fftw_fast_length
from .fftw_planner import Execute, Task, planner, pyfftw
from .scratch import allocate, padded_shape


class FFTWPlan(FFTPlan):
    """A transform by FFTW. Each direction is planned when it is first asked for.

    Attributes
    ----------
    native : bool
        False once FFTW has refused a direction, which scipy.fft then serves on the same scratch.
    """

    __slots__ = ("_backward_run", "_effort", "_forward_run", "_limit", "_whole", "native")

    def __init__(self, spec: FFTSpec, effort: str, limit: float) -> None:
        self._forward_run: Execute | None = None
        self._backward_run: Execute | None = None
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
        run = self._forward_run or self._plan_forward()
        run()
        return self.spectrum

    def _backward(self) -> Array:
        run = self._backward_run or self._plan_backward()
        run()
        return self.signal

    def _plan_forward(self) -> Execute:
        spec, signal, spectrum = self.spec, self.signal, self.spectrum
        task = Task(signal, spectrum, spec.axes, "FFTW_FORWARD", self._effort, self._limit)
        self._forward_run = self._planned(task) or (
            lambda: np.copyto(spectrum, fallback.transform(spec, signal))
        )
        return self._forward_run

    def _plan_backward(self) -> Execute:
        spec, signal, spectrum = self.spec, self.signal, self.spectrum
        flags = ("FFTW_DESTROY_INPUT",)
        task = Task(spectrum, signal, spec.axes, "FFTW_BACKWARD", self._effort, self._limit, flags)
        self._backward_run = self._planned(task) or (
            lambda: np.copyto(signal, fallback.inverse(spec, spectrum))
        )
        return self._backward_run

    def _planned(self, task: Task) -> Execute | None:
        # The caller has filled the source already; measuring would overwrite it.
        kept = None if task.effort == "estimate" else task.source.copy()
        try:
            return planner.plan(task)
        except RuntimeError:
            self.native = False
            return None
        finally:
            if kept is not None:
                task.source[...] = kept

    def __del__(self) -> None:
        planner.retire(self._forward_run, self._backward_run)


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
