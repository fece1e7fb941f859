"""The gradient of a convolution by its kernel, tile by tile: cross-spectra summed over all tiles, and one inverse.

A block of a layout computes ``out[z] = sum_u w[u] x[z + u]``, indices modulo its length, for every output z that it
stores. The same products give ``g[u] = sum_z conj(x[z + u]) y[z]`` with y laid where the outputs lie, amid zeros: the
transform of conj(g) is X conj(Y). Its sum over all blocks needs no room but that of one, and one inverse.

Two real tiles in one complex signal meet as ``(X1 + i X2) conj(Y1 + i Y2)``, of which the inverse has the wanted sum
for its real part.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.channels import Range, batched, channels_of, ranges
from fftconv.core.engine.base import Engine, FFTSpec
from fftconv.core.jobs import Job, jobs_of
from fftconv.core.methods.tiles import Source, windows
from fftconv.core.problem import at
from fftconv.core.tiling import TileLayout
from fftconv.core.workers import for_each

Arrays = tuple[np.ndarray, np.ndarray]

# Parts of the tiles whose sums are formed apart, by any worker, and added up in order; and outputs of one input that
# share the transforms of its tiles.
PARTS = 16
OUTPUTS = 8


class Sums(NamedTuple):
    """What one task sums: a range of inputs, a range of the outputs of each, some jobs, and which part these are."""

    inputs: Range
    outputs: Range
    part: int
    jobs: list[Job]


def gradient(layout: TileLayout, engine: Engine, arrays: Arrays, workers: int) -> np.ndarray:
    """The gradient (O, 1, \\*K) of ``<out, y>``, where each output sees one input; `arrays` is (x, y)."""
    p, channels = layout.problem, channels_of(layout)
    jobs = -(-layout.tile_count // (2 if layout.tiling.packed else 1))
    parts = list(enumerate(batched(jobs_of(layout), -(-jobs // PARTS))))
    found: dict[tuple[Range, Range], list[Any]] = {}

    def tasks() -> Iterator[Sums]:
        shared = product(ranges(p.in_channels, channels.input_chunk), ranges(p.group_outputs, OUTPUTS))
        for inputs, outputs in shared:
            found[inputs, outputs] = [None] * len(parts)
            yield from (Sums(inputs, outputs, i, some) for i, some in parts)

    def work(task: Sums) -> None:
        found[task.inputs, task.outputs][task.part] = _summed(layout, engine, arrays, task)

    for_each(tasks(), work, workers)
    gradients = np.empty(p.w_shape, p.dtype)
    per_input = gradients.reshape(p.in_channels, p.group_outputs, *p.kernel_size)
    for (inputs, outputs), sums in found.items():
        whole = reduce(np.add, sums)
        _invert(layout, engine, whole, per_input[slice(*inputs), slice(*outputs)])
    return gradients


def _summed(layout: TileLayout, engine: Engine, arrays: Arrays, task: Sums) -> np.ndarray:
    """Sums of conj(X) Y over some tiles: (inputs, outputs, \\*bins)."""
    (a, b), outputs = task.inputs, range(*task.outputs)
    every = layout.problem.group_outputs
    spec = channels_of(layout).tile_spec
    source, results = Source(layout, arrays[0]), Results(layout, arrays[1])
    with engine.borrow(spec) as signal, engine.borrow(spec) as result:
        shape = signal.spectrum_whole[:, : b - a].shape
        sums = np.zeros((len(outputs), *shape), signal.spectrum_whole.dtype)
        for job in task.jobs:
            source.gather(job, range(a, b), signal.signal)
            signal.forward()
            held = signal.spectrum_whole[:, : b - a]
            np.conjugate(held, out=held)
            for total, j in zip(sums, outputs, strict=True):
                results.gather(job, range(a * every + j, b * every, every), result.signal)
                result.forward()
                product = result.spectrum_whole[:, : b - a]
                np.multiply(product, held, out=product)
                total += product
    # (outputs, batch, inputs, blocks, *bins), of which carried axes are summed over too
    carried = tuple(4 + i for i in range(layout.problem.ndim) if i not in layout.axes)
    bins: np.ndarray = sums[at(*map(slice, layout.spectrum_size))].sum((1, 3, *carried), keepdims=True)
    return bins[:, 0, :, 0].swapaxes(0, 1)


def _invert(layout: TileLayout, engine: Engine, sums: np.ndarray, gradients: np.ndarray) -> None:
    """The gradients (inputs, outputs, \\*K) from their conjugate spectra."""
    p = layout.problem
    nfft = tuple(n if a in layout.axes else 1 for a, n in enumerate(layout.tiling.nfft))
    taps = tuple(p.kernel_size[a] for a in layout.axes)
    spec = FFTSpec((1, *nfft), tuple(1 + a for a in layout.axes), layout.dtype, kept=taps)
    scale = gradients.real.dtype.type(1) / prod(nfft)
    wanted: Any = (0, *map(slice, p.kernel_size))
    with engine.borrow(spec) as plan:
        for index in np.ndindex(gradients.shape[:2]):
            np.conjugate(sums[index], out=plan.spectrum[0])
            inverse = plan.backward()[wanted]
            target = gradients[index]
            if target.dtype.kind == "c":
                np.conjugate(inverse, out=target)
                target *= scale
            else:
                np.multiply(inverse.real, scale, out=target)


class Results:
    """Numbers in the place of the outputs of one call, laid tile by tile where a block yields them."""

    def __init__(self, layout: TileLayout, y: np.ndarray) -> None:
        a = layout.run_axis
        self.packed = layout.tiling.packed
        blocks = 1 if layout.blocks_are_phases else layout.tiling.blocks
        self.arrays = y, windows(y, a, layout.tiling.step[a], 1) if blocks > 1 else y
        self.places: list[Any] = []

    def gather(self, job: Job, channels: range, signal: np.ndarray) -> None:
        """Fill `signal`, which no one else has written to since the last call, with some channels of a job."""
        arrays = self.arrays
        if len(channels) < arrays[0].shape[1]:
            part = slice(channels.start, channels.stop, channels.step)
            arrays = arrays[0][:, part], arrays[1][:, part]
        places: list[Any] = [[move.scratch for move in moves] for moves in job.writes]
        if places != self.places:
            signal[...] = 0
            self.places = places
        signal = signal[:, : len(channels)]
        targets = (signal.real, signal.imag) if self.packed else (signal,)
        for target, moves in zip(targets, job.writes, strict=False):
            for windowed, read, place in moves:
                target[place] = arrays[windowed][read]
