"""Does the FFTW that was loaded compute Fourier transforms?

Other libraries export FFTW's symbols too (MKL does), and whichever was loaded first wins: plans then fail, or
give wrong numbers without a word. A few small transforms against numpy.fft, which is independent of FFTW and
already loaded, take about two milliseconds and show it.
"""

from __future__ import annotations

import numpy as np

from .base import FFTSpec
from .fftw import FFTWPlan
from .fftw_planner import planner, pyfftw

CASES = (
    ((101,), (0,), np.float64),
    ((96,), (0,), np.float32),
    ((12, 15), (0, 1), np.float64),
    ((2, 3, 8, 9), (2, 3), np.float32),
    ((3, 10, 7), (1, 2), np.complex128),
)


def fftw_fault() -> str:
    """What is wrong with the FFTW library, or an empty string."""
    try:
        for shape, axes, dtype in CASES:
            fault = _case_fault(FFTSpec(shape, axes, np.dtype(dtype)))
            if fault:
                return fault
        with planner.lock:
            wisdom = pyfftw().export_wisdom()[0]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if b"codelet" in wisdom else "its wisdom stays empty after planning"


def _case_fault(spec: FFTSpec) -> str:
    plan = FFTWPlan(spec, "estimate", 1.0)
    x = _samples(spec)
    forward = np.fft.rfftn if spec.real else np.fft.fftn
    expected = forward(x, axes=spec.axes)
    tolerance = 100 * np.finfo(spec.dtype).eps * np.abs(expected).max()
    spectrum_error = np.abs(plan.forward(x) - expected).max()
    scale = np.prod(spec.transform_shape)
    signal_error = np.abs(plan.backward(expected) / scale - x).max()
    if not plan.native:
        return f"it cannot plan {spec}"
    # Written so that a NaN fails.
    if not (spectrum_error <= tolerance and signal_error <= tolerance):
        return f"its transform of shape {spec.shape}, dtype {spec.dtype} is wrong by {spectrum_error:.2g}"
    return ""


def _samples(spec: FFTSpec) -> np.ndarray:
    k = np.arange(np.prod(spec.shape), dtype=np.float64).reshape(spec.shape)
    x = np.cos(k * k * 0.7)
    return (x if spec.real else x + 1j * np.sin(k * k * 0.3)).astype(spec.dtype)
