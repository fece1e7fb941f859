"""scipy.fft behind the engine contract: the fallback that needs nothing compiled beyond scipy itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .base import SPECTRUM_DTYPES, Array, Engine, FFTPlan, FFTSpec
from .cache import PlanCache

# One worker in every call: the library's own threads share out the tiles.


def transform(spec: FFTSpec, signal: Array) -> Array:
    """The spectrum of `signal` in a new array."""
    import scipy.fft

    if spec.filled:
        *others, last = spec.axes
        row = scipy.fft.rfft if spec.real else scipy.fft.fft
        result: Array = row(signal[spec.part(spec.filled)], spec.shape[last], last, workers=1)
        for axis in reversed(others):
            result = scipy.fft.fft(result, spec.shape[axis], axis, overwrite_x=True, workers=1)
        return result
    function = scipy.fft.rfftn if spec.real else scipy.fft.fftn
    result = function(signal, axes=spec.axes, workers=1)
    return result


def inverse(spec: FFTSpec, spectrum: Array) -> Array:
    """The unnormalised inverse of `spectrum`, which it may destroy, in a new array; no more of it than is kept."""
    import scipy.fft

    options: dict[str, Any] = {"norm": "forward", "overwrite_x": True, "workers": 1}
    if spec.kept:
        *others, last = spec.axes
        for i, axis in enumerate(others, 1):
            spectrum = scipy.fft.ifft(spectrum, axis=axis, **options)[spec.part(spec.kept[:i])]
        row = scipy.fft.irfft if spec.real else scipy.fft.ifft
        result: Array = row(spectrum, spec.shape[last], last, **options)
        return result
    if spec.real:
        result = scipy.fft.irfftn(spectrum, s=spec.transform_shape, axes=spec.axes, **options)
    else:
        result = scipy.fft.ifftn(spectrum, axes=spec.axes, **options)
    return result


@lru_cache(maxsize=4096)
def _next_fast_len(n: int, real: bool) -> int:
    import scipy.fft

    if n < 1:
        raise ValueError(f"a transform's length must be >= 1, got {n}")
    return int(scipy.fft.next_fast_len(n, real))


class ScipyPlan(FFTPlan):
    """A transform by scipy.fft. `forward` and `backward` return new arrays; `signal` stays where it is."""

    __slots__ = ()

    def __init__(self, spec: FFTSpec) -> None:
        self.spec = spec
        self.nbytes = spec.nbytes
        self.signal = np.empty(spec.shape, spec.dtype)
        self.spectrum = np.empty(spec.spectrum_shape, spec.spectrum_dtype)

    def _forward(self) -> Array:
        self.spectrum = transform(self.spec, self.signal)
        return self.spectrum

    def _backward(self) -> Array:
        return inverse(self.spec, self.spectrum)


class ScipyEngine(Engine):
    """scipy.fft, every precision."""

    name = "scipy"
    cache = PlanCache()
    fresh = True

    def __init__(self, cache_bytes: int) -> None:
        # Loaded here and not by a worker: a child forked in the middle of an import waits for ever.
        import scipy.fft  # noqa: F401

        super().__init__(cache_bytes)

    def supports(self, dtype: DTypeLike) -> bool:
        return np.dtype(dtype) in SPECTRUM_DTYPES

    def next_fast_len(self, n: int, real: bool = True) -> int:
        return _next_fast_len(n, real)

    def new_plan(self, spec: FFTSpec) -> ScipyPlan:
        return ScipyPlan(spec)
