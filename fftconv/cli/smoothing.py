"""Smoothing with edges that keep their level, and a Gaussian whose width follows from the noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import fftconv
from fftconv.cli import kernels

WIDTHS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 3.4, 4.0, 4.8, 5.6, 6.8, 8.0)

ESTIMABLE = 3
"""Samples of an axis, at least, that noise can be told from: those of a second difference."""


def place(kernel: np.ndarray, ndim: int, axes: tuple[int, ...]) -> np.ndarray:
    """`kernel` with its axes at `axes` of an array of `ndim`, length 1 elsewhere."""
    others = tuple(axis for axis in range(ndim) if axis not in axes)
    return np.expand_dims(kernel, others)


def smooth(
    data: np.ndarray, kernel: np.ndarray, axes: tuple[int, ...], workers: int | None = None
) -> np.ndarray:
    """Weighted mean of what lies under `kernel` and inside `data`; `kernel` has one axis per entry of `axes`."""
    placed = place(kernel, data.ndim, axes)
    inside = np.ones([data.shape[axis] for axis in axes], kernel.dtype)
    weight = place(fftconv.convolve(inside, kernel, "same", workers=workers), data.ndim, axes)
    total = fftconv.convolve(data, placed, "same", axes=axes, workers=workers)
    with np.errstate(invalid="ignore"):  # NaN where no weight lies inside
        mean: np.ndarray = total / weight
    return mean


def noise_level(data: np.ndarray, axes: tuple[int, ...]) -> float:
    """Standard deviation of white noise in `data`, whatever smooth thing lies under it.

    Second differences along each of `axes` leave little but noise, with 6 times its variance for each axis; their
    median size is 0.6745 standard deviations and does not see the few large ones at edges.
    """
    detail, scale = data, 1.0
    for axis in axes:
        if data.shape[axis] >= ESTIMABLE:
            detail, scale = np.diff(detail, 2, axis=axis), scale * 6**0.5
    return float(np.median(np.abs(detail)) / 0.6745 / scale)


@dataclass(frozen=True)
class Denoised:
    """A result, the Gaussian that gave it, and the error that is to be expected of it."""

    values: np.ndarray
    sigma: float
    noise: float
    expected_error: float


def denoise(data: np.ndarray, axes: tuple[int, ...], workers: int | None = None) -> Denoised:
    """Smooth with the Gaussian of least expected error.

    Stein's estimate needs no clean original: for white noise of standard deviation s and a linear filter
    y -> K y whose centre tap is k0, mean((y - K y)^2) - s^2 + 2 s^2 k0 is on average the squared error of K y.
    """
    noise = noise_level(data, axes)
    best = Denoised(data, 0.0, noise, noise)
    for sigma in WIDTHS:
        kernel = gaussian(sigma, len(axes), data.dtype)
        values = smooth(data, kernel, axes, workers)
        risk = float(np.mean((data - values) ** 2)) + noise**2 * (2 * float(kernel.max()) - 1)
        error = max(risk, 0.0) ** 0.5
        if error >= best.expected_error:
            break
        best = Denoised(values, sigma, noise, error)
    return best


def gaussian(sigma: float, ndim: int, dtype: np.dtype) -> np.ndarray:
    """A Gaussian of sum 1 with the same width along `ndim` axes, in the precision of `dtype`."""
    taps = kernels.taps(f"gauss:sigma={sigma!r}")
    return kernels.outer([taps] * ndim).astype(np.float32 if dtype == np.float32 else np.float64)
