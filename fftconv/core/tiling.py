"""The geometry of spectral tiles: what one execute reads, transforms and yields. Sizes only, no arrays.

A block of `nfft` samples yields outputs free of wrap-around as long as the last of them, at dense index
``(step - 1)*s``, still sees all its k taps: ``(step - 1)*s + k <= nfft``. Where one block covers a whole axis,
wrapped samples are zeros, and it is enough that `nfft` holds the samples with either pad, and the outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from math import prod

import numpy as np

from fftconv.core.lazy import lazy
from fftconv.core.plan import Tiling
from fftconv.core.problem import ConvProblem, Ints


def transformed_axes(p: ConvProblem) -> Ints:
    """Spatial axes along which the kernel has any extent; the last axis where it has none."""
    return tuple(a for a, k in enumerate(p.kernel_size) if k > 1) or (p.ndim - 1,)


def block_step(nfft: int, k: int, stride: int) -> int:
    """Outputs that a block of `nfft` samples yields free of wrap-around."""
    return (nfft - k) // stride + 1


def whole_nfft(p: ConvProblem, a: int) -> int:
    """Least transform length at which one block covers axis `a` of a trimmed problem."""
    lo, hi = p.pads[a]
    n = p.input_size[a]
    return max(n + max(lo, hi), n + lo + hi - p.kernel_size[a] + 1)


def spectral_dtype(p: ConvProblem) -> np.dtype:
    """The dtype in which a problem is transformed; integers go through float64."""
    return p.dtype if p.dtype.kind in "fc" else np.dtype(np.float64)


@dataclass(frozen=True)
class Tile:
    """One job: ranges of the batch axis and of the output along every spatial axis."""

    batch: tuple[int, int]
    start: Ints
    stop: Ints


@dataclass(frozen=True)
class TileLayout:
    """Scratch shapes and jobs of one problem under one tiling."""

    problem: ConvProblem
    tiling: Tiling

    @lazy
    def axes(self) -> Ints:
        """Transformed spatial axes."""
        return transformed_axes(self.problem)

    @lazy
    def run_axis(self) -> int:
        """The axis along which the blocks of one execute are neighbours."""
        return self.axes[-1]

    @lazy
    def tile_size(self) -> Ints:
        """Scratch samples per spatial axis."""
        return tuple(
            f if a in self.axes else s
            for a, (f, s) in enumerate(zip(self.tiling.nfft, self.tiling.step, strict=True))
        )

    @lazy
    def reach(self) -> Ints:
        """Outputs of one job per spatial axis."""
        return tuple(
            s * self.tiling.blocks if a == self.run_axis else s for a, s in enumerate(self.tiling.step)
        )

    @lazy
    def dtype(self) -> np.dtype:
        """Dtype of the scratch: complex where the signal is, or where two real tiles share it."""
        real = spectral_dtype(self.problem)
        return np.result_type(real, np.complex64) if self.tiling.packed else real

    @lazy
    def fft_axes(self) -> Ints:
        """Transformed axes of the scratch (batch, channels, blocks, \\*spatial)."""
        return tuple(3 + a for a in self.axes)

    @lazy
    def spectrum_size(self) -> Ints:
        """Complex bins per spatial axis."""
        size = list(self.tile_size)
        if self.dtype.kind == "f":
            size[self.run_axis] = size[self.run_axis] // 2 + 1
        return tuple(size)

    def signal_shape(self, channels: int) -> Ints:
        return (self.tiling.batch, channels, self.tiling.blocks, *self.tile_size)

    @lazy
    def tiles_per_axis(self) -> Ints:
        return (
            -(-self.problem.batch // self.tiling.batch),
            *(-(-m // r) for m, r in zip(self.problem.output_size, self.reach, strict=True)),
        )

    @property
    def tile_count(self) -> int:
        return prod(self.tiles_per_axis)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, the last axis fastest."""
        held = self.tiling.batch
        for i, *tile in product(*map(range, self.tiles_per_axis)):
            start = tuple(t * r for t, r in zip(tile, self.reach, strict=True))
            stop = tuple(
                min(m, a + r) for a, r, m in zip(start, self.reach, self.problem.output_size, strict=True)
            )
            yield Tile((i * held, min(self.problem.batch, (i + 1) * held)), start, stop)

    def jobs(self) -> Iterator[tuple[Tile, ...]]:
        """The tiles that share an execute: one, or two where they are packed."""
        return batched(self.tiles(), 2 if self.tiling.packed else 1)


def batched(items: Iterator[Tile], size: int) -> Iterator[tuple[Tile, ...]]:
    """Consecutive items in tuples of `size`, the last one perhaps shorter."""
    while chunk := tuple(islice(items, size)):
        yield chunk
