"""The geometry of spectral tiles: what one execute reads, transforms and yields. Sizes only, no arrays.

A block of `nfft` samples yields outputs free of wrap-around as long as the last of them, at dense index
``(step - 1)*s``, still sees all its k taps: ``(step - 1)*s + k <= nfft``. Where one block covers a whole axis,
wrapped samples are zeros, and it is enough that `nfft` holds the samples with either pad, and the outputs. Where
something else lies outside, it is the samples with both pads; or, on a periodic axis, just the samples.

A kernel dilation d splits an axis into phases. Output ``y0 + Z*P`` with ``P = d/gcd(s, d)`` reads samples
``y0*s - lo + (Z*s/gcd(s, d) + u)*d``: every d-th one, from a start of the phase's own, at the stride ``s/gcd(s, d)``.
So a block gathers every d-th sample, scatters to every P-th output, and the blocks of all phases are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from math import gcd, prod
from typing import NamedTuple

import numpy as np

from fftconv.core.boundary import Boundary
from fftconv.core.lazy import lazy
from fftconv.core.plan import Tiling
from fftconv.core.problem import ConvProblem, Ints

# Elements that a NumPy ufunc buffers, and what spectra may occupy for being repeated.
UFUNC_BUFFER = 8192
REPEATED_BYTES = 4 * 2**20


@lru_cache(maxsize=1024)
def transformed_axes(p: ConvProblem) -> Ints:
    """Spatial axes along which the kernel has any extent; the last axis where it has none."""
    return tuple(a for a, k in enumerate(p.kernel_size) if k > 1) or (p.ndim - 1,)


def block_step(nfft: int, k: int, stride: int) -> int:
    """Outputs that a block of `nfft` samples yields free of wrap-around."""
    return (nfft - k) // stride + 1


@dataclass(frozen=True)
class PhasedAxis:
    """One axis as a block sees it.

    Attributes
    ----------
    phases : int
        Into how many interleaved parts the outputs fall.
    sample_step, output_step : int
        Distance of neighbours among the samples that a block reads, and among the outputs that it writes.
    stride : int
        Samples of a block between two of its outputs.
    outputs : int
        Outputs of the longest phase.
    """

    phases: int
    sample_step: int
    output_step: int
    stride: int
    outputs: int


@lru_cache(maxsize=1024)
def phased_axis(p: ConvProblem, a: int) -> PhasedAxis:
    """Axis `a` without its kernel dilation."""
    s, m = p.stride[a], p.output_size[a]
    d = p.rhs_dilation[a] if p.kernel_size[a] > 1 else 1
    step = d // gcd(s, d)
    return PhasedAxis(min(step, m), d, step, s // gcd(s, d), -(-m // step))


@lru_cache(maxsize=1024)
def whole_nfft(p: ConvProblem, a: int) -> int:
    """Least transform length from which on one block covers axis `a` of a trimmed problem."""
    axis = phased_axis(p, a)
    if axis.sample_step > 1 or p.boundary[a]:
        return (axis.outputs - 1) * axis.stride + p.kernel_size[a]
    lo, hi = p.pads[a]
    n = p.input_size[a]
    return max(n + max(lo, hi), n + lo + hi - p.kernel_size[a] + 1)


def circular_nfft(p: ConvProblem, a: int) -> int:
    """The length at which the transform's own wrap-around is that of axis `a`, 0 where there is none.

    A block of all n samples of a periodic axis, begun anywhere, yields all outputs of a period.
    """
    n = p.input_size[a]
    dense = p.rhs_dilation[a] == 1 and (p.output_size[a] - 1) * p.stride[a] < n
    return n if p.boundary[a] == Boundary.WRAP and dense and p.kernel_size[a] <= n else 0


def block_covers(p: ConvProblem, a: int, nfft: int) -> bool:
    """Whether one block of `nfft` samples yields all outputs along axis `a`."""
    return nfft >= whole_nfft(p, a) or nfft == circular_nfft(p, a)


def spectral_dtype(p: ConvProblem) -> np.dtype:
    """The dtype in which a problem is transformed; integers go through float64."""
    return p.dtype if p.dtype.kind in "fc" else np.dtype(np.float64)


class Tile(NamedTuple):
    """One job: (begin, end) of the batch axis and of the output along every spatial axis, in steps of `output_step`."""

    batch: tuple[int, int]
    spans: tuple[tuple[int, int], ...]


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
    def phased(self) -> tuple[PhasedAxis, ...]:
        return tuple(phased_axis(self.problem, a) for a in range(self.problem.ndim))

    @lazy
    def blocks_are_phases(self) -> bool:
        """Whether the blocks of an execute are neighbouring phases, and not neighbours within one."""
        return self.phased[self.run_axis].output_step > 1

    @lazy
    def block_jump(self) -> int:
        """Samples between the first ones of two blocks of an execute."""
        a = self.run_axis
        return self.problem.stride[a] * (1 if self.blocks_are_phases else self.tiling.step[a])

    @lazy
    def reach(self) -> Ints:
        """Span of outputs of one job per spatial axis, those of other phases among them included."""
        within = 1 if self.blocks_are_phases else self.tiling.blocks
        return tuple(
            s * axis.output_step * (within if a == self.run_axis else 1)
            for a, (s, axis) in enumerate(zip(self.tiling.step, self.phased, strict=True))
        )

    @lazy
    def phase_groups(self) -> Ints:
        """Tiles per spatial axis that share a span of outputs, each with phases of its own."""
        held = self.tiling.blocks if self.blocks_are_phases else 1
        return tuple(
            -(-axis.phases // (held if a == self.run_axis else 1)) for a, axis in enumerate(self.phased)
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

    @lazy
    def kept(self) -> Ints:
        """Dense outputs of a block per transformed axis; empty where leaving out the others saves nothing."""
        t = self.tiling
        dense = tuple(min(t.nfft[a], (t.step[a] - 1) * self.phased[a].stride + 1) for a in self.axes)
        return dense if any(n < t.nfft[a] for n, a in zip(dense[:-1], self.axes, strict=False)) else ()

    def signal_shape(self, channels: int) -> Ints:
        return (self.tiling.batch, channels, self.tiling.blocks, *self.tile_size)

    @lazy
    def repeats_spectra(self) -> bool:
        """Whether a kernel's spectrum stands once per block and carried row, not once for all of them.

        A NumPy operand that is broadcast in runs shorter than the ufunc buffer is copied through that buffer, at
        nearly twice the time of a product of equal shapes.
        """
        p = self.problem
        bins = prod(n for a, n in enumerate(self.spectrum_size) if a in self.axes)
        held = self.tiling.blocks * prod(n for a, n in enumerate(self.spectrum_size) if a not in self.axes)
        complex_bytes = self.dtype.itemsize * (1 if self.dtype.kind == "c" else 2)
        all_bytes = p.out_channels * p.group_inputs * bins * held * complex_bytes
        return held > 1 and bins < UFUNC_BUFFER and all_bytes <= REPEATED_BYTES

    @lazy
    def tiles_per_axis(self) -> Ints:
        spans = (-(-m // reach) for m, reach in zip(self.problem.output_size, self.reach, strict=True))
        return (
            -(-self.problem.batch // self.tiling.batch),
            *(n * groups for n, groups in zip(spans, self.phase_groups, strict=True)),
        )

    @property
    def tile_count(self) -> int:
        """Tiles, the few that hold no output included."""
        return prod(self.tiles_per_axis)

    def tiles(self) -> Iterator[Tile]:
        """All tiles, the last axis fastest."""
        p, held = self.problem, self.tiling.batch
        batches = [(i, min(p.batch, i + held)) for i in range(0, p.batch, held)]
        axes = [self._spans(a) for a in range(p.ndim)]
        return (Tile(batch, spans) for batch in batches for spans in product(*axes))

    def _spans(self, a: int) -> list[tuple[int, int]]:
        """The outputs of every tile along one axis: the first, and the end of the span; none of them empty."""
        found = []
        held = self.tiling.blocks if self.blocks_are_phases and a == self.run_axis else 1
        reach, m = self.reach[a], self.problem.output_size[a]
        for tile in range(self.tiles_per_axis[1 + a]):
            span, group = divmod(tile, self.phase_groups[a])
            begin, end = span * reach + group * held, min(m, (span + 1) * reach)
            if begin < end:
                found.append((begin, end))
        return found


@lru_cache(maxsize=256)
def layout_of(problem: ConvProblem, tiling: Tiling) -> TileLayout:
    """The layout of a problem that may be computed again, with all that was worked out about it."""
    return TileLayout(problem, tiling)


def batched(items: Iterator[Tile], size: int) -> Iterator[tuple[Tile, ...]]:
    """Consecutive items in tuples of `size`, the last one perhaps shorter."""
    while chunk := tuple(islice(items, size)):
        yield chunk
