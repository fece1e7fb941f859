"""Calls of ours beside others of ours: what a second thread, a promise or the form of a kernel is worth."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

import fftconv
from fftconv.bench.case import Signal

Call = Callable[[], np.ndarray]


@dataclass(frozen=True)
class Beside(Signal):
    """A call of ours beside another of ours on arrays of the same shapes."""

    other: str = ""

    @abstractmethod
    def beside(self, x: np.ndarray, w: np.ndarray) -> Call:
        """The other call."""


@dataclass(frozen=True)
class OneWorker(Beside):
    """All workers beside one."""

    other: str = "1 worker"

    def beside(self, x: np.ndarray, w: np.ndarray) -> Call:
        return partial(fftconv.convolve, x, w, "same", axes=self.axes, workers=1)


@dataclass(frozen=True)
class Positive(Beside):
    """Numbers that are not negative, and so have no negative results, beside numbers of either sign."""

    other: str = "either sign"

    def arrays(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        x, w = super().arrays(dtype)
        return np.abs(x), np.abs(w)

    def beside(self, x: np.ndarray, w: np.ndarray) -> Call:
        return self.ours(*super().arrays(str(x.dtype)))


@dataclass(frozen=True)
class Gaussian(Beside):
    """A kernel that is a product of 1-d kernels, beside what answers those that are not."""

    other: str = "as a dense kernel"

    def arrays(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        x, w = super().arrays(dtype)
        for axis, taps in enumerate(w.shape):
            at = np.linspace(-3, 3, taps).reshape(-1, *(1,) * (w.ndim - 1 - axis))
            w = np.exp(-0.5 * at**2).astype(w.dtype) * (w if axis else np.ones_like(w))
        return x, w / w.sum()

    def beside(self, x: np.ndarray, w: np.ndarray) -> Call:
        dense = fftconv.explain(*super().arrays(str(x.dtype)), "same").method
        return partial(fftconv.convolve, x, w, "same", method=dense)
