"""Convolution by FFT, tile by tile: gather, forward, multiply, inverse, scatter.

One tile is the classic FFT convolution, many tiles are overlap-save; the code is the same. The kernel sits in
its transform buffer at the negative indices of a correlation, ``h[-u mod nfft] = w[u]``, so that the outputs of
a block begin at index 0 of the inverse, whatever the kernel's length.

In a packed tiling two real tiles are the real and imaginary part of one complex signal; convolution with a real
kernel is linear over the complex numbers and keeps them apart.
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from fftconv.core.channels import Channels, Range, batched, ranges
from fftconv.core.engine import get_engine
from fftconv.core.engine.base import Engine, FFTSpec
from fftconv.core.methods.contract import Round
from fftconv.core.methods.tiles import gather, parts, scatter
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.tiling import Tile, TileLayout
from fftconv.core.workers import for_each

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Run a spectral plan."""
    layout = TileLayout(plan.problem, plan.tiling)
    engine = get_engine(layout.dtype)
    spectra = kernel_spectra(layout, engine, w, plan.workers)
    apply_spectra(layout, engine, (x, spectra, out), plan.workers)


def apply_spectra(layout: TileLayout, engine: Engine, arrays: Arrays, workers: int) -> None:
    """Convolve `x` with prepared kernel spectra into `out`; `arrays` is (x, spectra, out)."""
    channels = Channels(layout)
    if channels.products:
        _multiply(channels, engine, arrays, workers)
        return
    scratch = Round(channels, engine, arrays)
    for jobs in batched(layout.jobs(), channels.round_slots):
        scratch.run(jobs, workers)


def _multiply(channels: Channels, engine: Engine, arrays: Arrays, workers: int) -> None:
    """Outputs of one input each: a few channels of a few tiles at a time, transformed while they are in the cache."""
    layout = channels.layout
    p = layout.problem
    x, spectra, out = arrays
    outputs = p.group_outputs
    spec = _tile_spec(layout, channels)

    def work(job: tuple[Range, Range, tuple[Tile, ...]]) -> None:
        (a, b), (first, last), tiles = job
        with engine.borrow(spec) as plan:
            for tile, part in zip(tiles, parts(layout, plan.signal, len(tiles)), strict=True):
                gather(layout, tile, x[:, a:b], part[:, : b - a])
            plan.forward()
            held = plan.spectrum_whole[:, : b - a]
            if outputs == 1:
                np.multiply(held, spectra[a:b, 0], out=held)
                put(tiles, plan.backward(), (a, b))
                return
            with engine.borrow(spec) as inverse:
                for j in range(first, last):
                    np.multiply(held, spectra[a:b, j], out=inverse.spectrum_whole[:, : b - a])
                    put(tiles, inverse.backward(), (a * outputs + j, (b - 1) * outputs + j + 1))

    def put(tiles: tuple[Tile, ...], y: np.ndarray, targets: Range) -> None:
        target = out[:, slice(*targets, outputs)]
        for tile, part in zip(tiles, parts(layout, y, len(tiles)), strict=True):
            scatter(layout, tile, part[:, : target.shape[1]], target)

    for_each(
        product(
            ranges(p.in_channels, channels.input_chunk),
            ranges(outputs, channels.outputs_of_one),
            layout.jobs(),
        ),
        work,
        workers,
    )


def _tile_spec(layout: TileLayout, channels: Channels) -> FFTSpec:
    return FFTSpec(layout.signal_shape(channels.input_chunk), layout.fft_axes, layout.dtype)


def kernel_spectra(layout: TileLayout, engine: Engine, w: np.ndarray, workers: int = 1) -> np.ndarray:
    """Spectra of all kernels, with the 1/N of the inverse folded in.

    Shape (C, O/C, 1, \\*bins), laid out like `FFTPlan.spectrum_whole`, to multiply tiles where each output sees
    one input; else (bins, O * C/groups).
    """
    p, channels = layout.problem, Channels(layout)
    if not p.flip:
        w = w[(..., *(slice(None, None, -1),) * p.ndim)]
    kernels = w.reshape(-1, *p.kernel_size)
    nfft, chunk = layout.tiling.nfft, channels.kernel_chunk
    spec = FFTSpec((chunk, *nfft), tuple(1 + a for a in layout.axes), layout.dtype)
    bins = spec.spectrum_shape[1:]
    if channels.products:
        pitch = engine.spectrum_pitch(_tile_spec(layout, channels))[3:]
        whole = np.zeros(
            (len(kernels), *(n if a in layout.axes else 1 for a, n in enumerate(pitch))), spec.spectrum_dtype
        )
        spectra = whole[(slice(None), *map(slice, bins))]
    else:
        whole = spectra = np.empty((*bins, len(kernels)), spec.spectrum_dtype)

    def work(some: Range) -> None:
        a, b = some
        with engine.borrow(spec) as plan:
            _place(kernels[a:b], plan.signal[: b - a], p)
            found = plan.forward()[: b - a]
            if channels.products:
                np.copyto(spectra[a:b], found)
            else:
                np.copyto(spectra[..., a:b], np.moveaxis(found, 0, -1))

    for_each(ranges(len(kernels), chunk), work, workers)
    if channels.products:
        return whole.reshape(p.in_channels, p.group_outputs, 1, *whole.shape[1:])
    return spectra.reshape(-1, len(kernels))


def _place(kernels: np.ndarray, signal: np.ndarray, p: ConvProblem) -> None:
    """Kernels in convolution order into the buffer, their last tap at index 0, the others before it, over N."""
    signal[...] = 0
    scale = signal.real.dtype.type(1) / prod(signal.shape[1:])
    halves = [
        ((slice(0, 1), slice(k - 1, k)), (slice(1 - k, None), slice(0, k - 1)))
        if k > 1
        else ((slice(0, 1), slice(0, 1)),)
        for k in p.kernel_size
    ]
    for pieces in product(*halves):
        target = signal[(..., *(to for to, _ in pieces))]
        np.multiply(kernels[(..., *(of for _, of in pieces))], scale, out=target, casting="same_kind")
