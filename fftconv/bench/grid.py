"""The problems over which the choice of method is judged: ranks, sizes, kernels from one sample to the signal's size,
real and complex, batches, strides, dilations, groups. Data; names begin with their part of the grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

import fftconv
from fftconv.bench.case import Layer, Signal
from fftconv.core.problem import ConvProblem, Ints


@dataclass(frozen=True)
class Complex(Signal):
    """Signal and kernel complex, in the precision of the row."""

    def arrays(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        x, w = super().arrays(dtype)
        kind = self._kind(dtype)
        return (x + kind.type(1j) * x[::-1]).astype(kind), (w - kind.type(1j) * w).astype(kind)

    def problem(self, dtype: str) -> ConvProblem:
        return fftconv.explain(self.x, self.w, "same", axes=self.axes, dtype=self._kind(dtype).name).problem

    @staticmethod
    def _kind(dtype: str) -> np.dtype[Any]:
        return np.result_type(dtype, np.complex64)


# Samples, and the taps that go with them.
LINES = {
    10: (1, 3, 10),
    100: (3, 10, 31, 100),
    500: (5, 10, 51, 250, 500),
    1664: (3, 17, 65, 257, 1664),
    4096: (5, 33, 64, 257, 1025, 4096),
    10_007: (3, 11, 65, 257, 1009, 5003, 10_007),
    100_000: (3, 11, 33, 101, 513, 2049, 10_007, 50_001, 100_000),
    232_523: (5, 65, 1025, 20_011),
    1_000_000: (1, 3, 11, 65, 301, 1001, 10_001, 100_001, 500_001),
    10_000_000: (5, 31, 513, 48_000),
}
COMPLEX_LINES = {
    100: (10,),
    500: (50,),
    4096: (64, 4096),
    10_007: (101,),
    100_000: (33, 1001),
    1_000_000: (11, 1001, 30_001),
}
SQUARES = {
    16: (3, 7, 16),
    64: (3, 5, 11, 31, 64),
    256: (3, 5, 9, 15, 31, 101, 256),
    509: (5, 31, 127),
    1024: (3, 5, 7, 9, 13, 21, 31, 51, 101, 301, 1024),
    2048: (3, 7, 15, 41),
}
COMPLEX_SQUARES = {64: (5,), 256: (9, 31), 509: (101,), 1024: (3, 31)}
CUBES = {16: (3, 7, 16), 32: (3, 5, 9, 32), 64: (3, 5, 9, 15, 31, 64), 101: (3, 7, 15), 128: (3, 5, 9, 31)}
COMPLEX_CUBES = {32: (5,), 64: (3, 9)}
BOXES = (
    ((480, 640), (15, 15)),
    ((1000, 1500), (1, 31)),
    ((1000, 1500), (31, 1)),
    ((30, 100_000), (5, 25)),
    ((4000, 200), (9, 9)),
    ((50_000, 16), (9, 1)),
    ((50_000, 16), (129, 1)),
    ((512, 512, 8), (7, 7, 1)),
    ((512, 512, 8), (25, 25, 1)),
    ((20, 300, 300), (3, 7, 7)),
    ((200, 200, 50), (1, 9, 9)),
    ((12, 13, 14, 15), (3, 3, 3, 3)),
    ((20, 20, 20, 20), (7, 7, 7, 7)),
)
# Signals, and axes and kernels that go with them.
BATCHES: dict[Ints, dict[Ints, tuple[Ints, ...]]] = {
    (64, 100_000): {(1,): ((8,), (64,), (512,), (4096,))},
    (1000, 1000): {(1,): ((5,), (31,), (201,))},
    (10_000, 64): {(1,): ((3,), (9,), (33,))},
    (600, 84, 84): {(1, 2): ((3, 3), (13, 13))},
    (100, 128, 128): {(1, 2): ((5, 5), (15, 15), (31, 31))},
    (16, 40, 40, 40): {(1, 2, 3): ((3, 3, 3), (7, 7, 7))},
}
# Shapes of input and weight, and keywords, of functions of `fftconv.nn`.
LAYERS: tuple[tuple[str, tuple[Ints, Ints], dict[str, int]], ...] = (
    *(("conv1d", ((1, 1, 64_000), (1, 1, 33)), {"stride": s}) for s in (2, 4, 16)),
    ("conv1d", ((1, 1, 64_000), (1, 1, 1025)), {"stride": 4}),
    *(("conv1d", ((1, 1, 64_000), (1, 1, k)), {"dilation": d}) for k in (9, 129) for d in (2, 8)),
    *(("conv1d", ((8, 4, 4096), (4, 4, k)), {}) for k in (1, 9, 65, 513)),
    *(("conv1d", ((16, 16, 1000), (32, 16, k)), {}) for k in (5, 33)),
    *(("conv1d", ((4, 32, 8000), (32, 1, k)), {"groups": 32}) for k in (7, 31, 255)),
    ("conv1d", ((1, 64, 8000), (64, 64, 129)), {}),
    *(("conv2d", ((1, 1, 512, 512), (1, 1, k, k)), {"stride": s}) for k in (5, 11, 31) for s in (2, 4)),
    *(("conv2d", ((4, 8, 64, 64), (8, 8, k, k)), {}) for k in (1, 3, 5, 9, 15, 31)),
    *(("conv2d", ((2, 16, 128, 128), (16, 16, k, k)), {"padding": k // 2}) for k in (3, 7)),
    *(("conv2d", ((2, 32, 128, 128), (32, 1, k, k)), {"groups": 32}) for k in (3, 7, 15, 31)),
    *(("conv2d", ((2, 16, 64, 64), (32, 4, k, k)), {"groups": 4}) for k in (3, 7)),
    *(("conv2d", ((1, 3, 256, 256), (3, 3, k, k)), {"dilation": d}) for k in (3, 9) for d in (2, 6, 12)),
    *(("conv2d", ((8, 3, 64, 64), (32, 3, k, k)), {"stride": 2}) for k in (3, 7)),
    ("conv2d", ((4, 64, 32, 32), (64, 64, 3, 3)), {"padding": 1}),
    *(("conv3d", ((1, 2, 32, 32, 32), (2, 2, k, k, k)), {}) for k in (3, 5, 9)),
    ("conv3d", ((1, 1, 48, 48, 48), (1, 1, 7, 7, 7)), {"stride": 2}),
    ("conv_transpose1d", ((2, 4, 1000), (4, 4, 16)), {"stride": 4}),
    ("conv_transpose2d", ((2, 8, 32, 32), (8, 8, 4, 4)), {"stride": 2}),
    ("conv_transpose2d", ((1, 4, 32, 32), (4, 4, 16, 16)), {"stride": 8}),
)


def by(sizes: Ints) -> str:
    """Sizes in a name: ``640x480``, ``512^2``."""
    if len(sizes) > 1 and len(set(sizes)) == 1:
        return f"{sizes[0]}^{len(sizes)}"
    return "x".join(map(str, sizes))


def _cubic(part: str, sizes: dict[int, tuple[int, ...]], rank: int, kind: type[Signal]) -> Iterator[Signal]:
    """Signals as long along every axis, with kernels likewise."""
    for n, taps in sizes.items():
        for k in taps:
            x, w = (n,) * rank, (k,) * rank
            yield kind(f"{part} {by(x)} by {by(w)}", x, w)


def _layer(function: str, shapes: tuple[Ints, Ints], keywords: dict[str, int]) -> Layer:
    x, w = shapes
    words = "".join(f", {name} {value}" for name, value in keywords.items())
    name = f"layer {function} {x[0]}x{x[1]}, {by(x[2:])} by {w[0]}x{w[1]}, {by(w[2:])}{words}"
    return Layer(name, x, w, (), "", function, keywords)


def grid() -> tuple[Signal | Layer, ...]:
    """Every problem; each is measured in single and in double precision.

    Examples
    --------
    >>> 2 * len(grid()) >= 300
    True
    """
    kinds = product((1, 2, 3), (Signal, Complex))
    sizes = (LINES, COMPLEX_LINES, SQUARES, COMPLEX_SQUARES, CUBES, COMPLEX_CUBES)
    found: list[Signal | Layer] = []
    for (rank, kind), part in zip(kinds, sizes, strict=True):
        found += _cubic(f"{rank}-d{' complex' if kind is Complex else ''}", part, rank, kind)
    found += (Signal(f"box {by(x)} by {by(w)}", x, w) for x, w in BOXES)
    for x, along in BATCHES.items():
        for axes, kernels in along.items():
            found += (Signal(f"batch {by(x)} by {by(w)} along {by(axes)}", x, w, axes=axes) for w in kernels)
    found += (_layer(*given) for given in LAYERS)
    return tuple(found)
