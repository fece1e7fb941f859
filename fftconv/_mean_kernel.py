"""The kernel of a mean: its taps, and what results are scaled to, their sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fftconv._broadcast import Array
from fftconv._recipe import DType
from fftconv._renormalize import FAINT
from fftconv._window_sums import Sums


@dataclass(frozen=True)
class Kernel:
    """The taps of a convolution, as many dimensions as the array has, and what follows from them."""

    taps: Array
    dtype: DType
    total: Array
    magnitude: Array
    one_sign: bool

    @classmethod
    def of(cls, taps: Array, sums: Sums, dtype: DType) -> Kernel:
        """`dtype` is the one in which weights are summed."""
        one_sign = taps.dtype.kind != "c" and bool(taps.min() >= 0 or taps.max() <= 0)
        total, magnitude = sums.total(taps), sums.total(np.abs(taps))
        return cls(taps, dtype, total.astype(dtype), magnitude.astype(dtype).real, one_sign)

    def check(self) -> None:
        """Refuse kernels without a sum to divide by."""
        zero = np.abs(self.total) <= FAINT * self.magnitude
        if zero.any():
            which = f"; of {zero.size} kernels {zero.sum()} do" if zero.size > 1 else ""
            raise ValueError(
                f"in2 must not sum to zero where samples are missing or weighted: results are scaled to what is "
                f"left of its sum, got {self.total.ravel()[zero.ravel().argmax()]:.3g}{which}. Fill the gaps first, "
                f"with zeros or with a smoothing kernel's result, and convolve that without mask, weights and "
                f"nan_policy"
            )


def may_sum_to_zero(kernel: Array, axes: tuple[int, ...]) -> bool:
    """Whether `Kernel.check` might refuse a kernel with these axes; a quick look that errs on the safe side."""
    wide = kernel.astype(np.result_type(kernel.dtype, np.float64))
    return not bool((np.abs(wide.sum(axes)) > 2 * FAINT * np.abs(wide).sum(axes)).all())
