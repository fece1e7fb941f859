"""Scratch whose columns do not fall on each other in the cache.

Column transforms step through memory by the length of a row. Where that is a multiple of 512 bytes, a column's
samples share few cache sets and evict each other: a 256 x 256 complex64 transform takes 44 ns a point instead of
5.5, a 128 x 128 complex128 one 7.5 instead of 3.7. Rows are therefore allocated a little longer than they are used.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .base import Array
from .fftw_planner import ALIGNMENT, pyfftw

CLASH = 512
# Appended to a contiguous row: a multiple of the widest register that FFTW's kernels load, so rows stay aligned.
ROW_BYTES = 32


def allocate(shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The array of `shape`, and the contiguous one that it is a part of. What lies between its rows is zero."""
    whole = pyfftw().empty_aligned(padded_shape(shape, axes, dtype.itemsize), dtype, n=ALIGNMENT)
    whole.fill(0)
    return whole[tuple(map(slice, shape))], whole


def padded_shape(shape: tuple[int, ...], axes: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The shape to allocate: every transformed axis but the last transformed one gets a stride off the clash."""
    pitch = list(shape)
    for axis in reversed(axes[:-1]):
        inner = axis + 1
        if shape[axis] >= 16 and prod(pitch[inner:]) * itemsize % CLASH == 0:
            pitch[inner] += ROW_BYTES // itemsize if inner == len(shape) - 1 else 1
    return tuple(pitch)
