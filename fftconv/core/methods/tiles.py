"""Between the caller's arrays and the scratch of a tile: gather samples, place kernels, scatter outputs.

Scratch is laid out (batch, channels, blocks, \\*spatial) in the order of the caller's axes: nothing is transposed.
Axes of kernel length 1 are carried along, never transformed. What is copied where stands in `core.jobs`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.jobs import Job
from fftconv.core.problem import ConvProblem, at
from fftconv.core.tiling import TileLayout

Less = Callable[[int, np.ndarray], np.ndarray]


def windows(a: np.ndarray, axis: int, count: int, step: int) -> np.ndarray:
    """Every window of `count` entries, `step` apart, along a spatial `axis`: (N, C, windows, \\*spatial).

    The array itself where no window fits.
    """
    shape, strides = list(a.shape), list(a.strides)
    along, fitting = strides[2 + axis], shape[2 + axis] - (count - 1) * step
    if fitting < 1:
        return a
    shape[2 + axis], strides[2 + axis] = count, step * along
    return as_strided(a, (*shape[:2], fitting, *shape[2:]), (*strides[:2], along, *strides[2:]))


class Source:
    """The input of one call, gathered tile by tile."""

    def __init__(self, layout: TileLayout, x: np.ndarray) -> None:
        a = layout.run_axis
        self.packed = layout.tiling.packed
        self.fill = layout.problem.outside.fill
        self.group_outputs = layout.problem.group_outputs
        step, blocks = layout.phased[a].sample_step, layout.tiling.blocks
        self.arrays = x, windows(x, a, layout.tiling.nfft[a], step) if blocks > 1 else x

    def gather(self, job: Job, channels: range, signal: np.ndarray, less: Less | None = None) -> None:
        """Fill `signal` with the samples of a job, and with what lies outside the array.

        `less` says what to take from some samples of the job's first or second tile on the way.
        """
        arrays = self.arrays
        if len(channels) < arrays[0].shape[1]:
            part = slice(channels.start, channels.stop)
            arrays = arrays[0][:, part], arrays[1][:, part]
        if len(channels) < signal.shape[1]:
            signal[:, len(channels) :] = 0
            signal = signal[:, : len(channels)]
        targets = (signal.real, signal.imag) if self.packed else (signal,)
        for i, (target, (zeros, fills, moves, _)) in enumerate(zip(targets, job.reads, strict=False)):
            for place in zeros:
                target[place] = 0
            for place in fills:
                target[place] = self.fill
            for windowed, read, place in moves:
                samples = arrays[windowed][read]
                if less is None:
                    target[place] = samples
                else:
                    np.subtract(samples, less(i, samples), out=target[place])
        if len(job.tiles) < len(targets):
            signal.imag = 0

    def never_negative(self, job: Job, outputs: range) -> bool:
        """Whether no sample of a job is negative, of the channels that these outputs see."""
        each = self.group_outputs
        part = slice(outputs.start // each, outputs[-1] // each + 1)
        arrays = [a[:, part] for a in self.arrays]
        return all(
            arrays[move.windowed][move.array].min(initial=0) >= 0
            for reads in job.reads
            for move in reads.moves
        )


class Sink:
    """The output of one call, scattered tile by tile.

    Where an output is negative, `never_negative` is asked whether that can be rounding only.
    """

    def __init__(
        self, layout: TileLayout, out: np.ndarray, never_negative: Callable[[Job, range], bool] | None = None
    ) -> None:
        self.never_negative = never_negative
        a = layout.run_axis
        self.packed = layout.tiling.packed
        blocks = 1 if layout.blocks_are_phases else layout.tiling.blocks
        self.arrays = out, windows(out, a, layout.tiling.step[a], 1) if blocks > 1 else out
        self.rounds = out.dtype.kind in "iu"

    def scatter(self, job: Job, channels: range, y: np.ndarray) -> None:
        """Write the wanted ones of the outputs in `y`; integers are rounded, then wrap like their direct sum."""
        arrays = self.arrays
        if len(channels) < arrays[0].shape[1]:
            part = slice(channels.start, channels.stop, channels.step)
            arrays = arrays[0][:, part], arrays[1][:, part]
        if len(channels) < y.shape[1]:
            y = y[:, : len(channels)]
        sources = (y.real, y.imag) if self.packed else (y,)
        for source, moves in zip(sources, job.writes, strict=False):
            for windowed, place, wanted in moves:
                found, target = source[wanted], arrays[windowed][place]
                target[...] = np.rint(found).astype(np.int64) if self.rounds else found
                if self.never_negative is None or np.minimum.reduce(target, axis=None) >= 0:
                    continue
                if self.never_negative(job, channels):
                    # not np.maximum: which zero that makes of -0.0 depends on the processor
                    np.copyto(target, 0, where=target < 0)


def place_kernels(kernels: np.ndarray, signal: np.ndarray, p: ConvProblem) -> None:
    """Conjugates of kernels in correlation order, times 1/N, at the beginning of the buffer."""
    scale = signal.real.dtype.type(1) / prod(signal.shape[2:])
    target = signal[at(*map(slice, p.kernel_size))]
    np.multiply(kernels.real, scale, out=target.real, casting="same_kind")
    if kernels.dtype.kind == "c":
        np.multiply(kernels.imag, -scale, out=target.imag, casting="same_kind")
    elif target.dtype.kind == "c":
        target.imag = 0
