"""Convolution by FFT, tile by tile: gather, forward, multiply, inverse, scatter.

One tile is the classic FFT convolution, many tiles are overlap-save; the code is the same. The kernel sits in
its transform buffer at the negative indices of a correlation, ``h[-u mod nfft] = w[u]``, so that the outputs of
a block begin at index 0 of the inverse, whatever the kernel's length.

Scratch is laid out (batch, channels, blocks, \\*spatial) in the order of the caller's axes: nothing is
transposed. Axes of kernel length 1 are carried along, never transformed. In a packed tiling two real tiles are
the real and imaginary part of one complex signal; convolution with a real kernel is linear over the complex
numbers and keeps them apart.
"""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.engine import get_engine
from fftconv.core.engine.base import Engine, FFTSpec
from fftconv.core.methods.contract import contract
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.tiling import Tile, TileLayout
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Run a spectral plan."""
    layout = TileLayout(plan.problem, plan.tiling)
    engine = get_engine(layout.dtype)
    spectra = kernel_spectra(layout, engine, w)
    apply_spectra(layout, engine, (x, spectra, out), plan.workers)


def apply_spectra(
    layout: TileLayout, engine: Engine, arrays: tuple[np.ndarray, np.ndarray, np.ndarray], workers: int
) -> None:
    """Convolve `x` with prepared kernel spectra into `out`; `arrays` is (x, spectra, out)."""
    p = layout.problem
    x, spectra, out = arrays
    x_spec = FFTSpec(layout.signal_shape(p.in_channels), layout.fft_axes, layout.dtype)
    y_spec = FFTSpec(layout.signal_shape(p.out_channels), layout.fft_axes, layout.dtype)
    pointwise = p.group_inputs == p.group_outputs == 1

    def work(tiles: tuple[Tile, ...]) -> None:
        with engine.borrow(x_spec) as forward:
            for tile, part in zip(tiles, _parts(layout, forward.signal, len(tiles)), strict=True):
                gather(layout, tile, x, part)
            bins = forward.forward()
            if pointwise:
                np.multiply(bins, spectra, out=bins)
                put(tiles, forward.backward(bins))
            else:
                with engine.borrow(y_spec) as inverse:
                    contract(bins, spectra, inverse.spectrum)
                    put(tiles, inverse.backward())

    def put(tiles: tuple[Tile, ...], y: np.ndarray) -> None:
        for tile, part in zip(tiles, _parts(layout, y, len(tiles)), strict=True):
            scatter(layout, tile, part, out)

    for_each(layout.jobs(), work, workers)


def _parts(layout: TileLayout, signal: np.ndarray, tiles: int) -> tuple[np.ndarray, ...]:
    """Where the tiles of one job live in the scratch; a lone tile of a packed job leaves the other part zero."""
    if not layout.tiling.packed:
        return (signal,)
    if tiles == 1:
        signal.imag = 0
        return (signal.real,)
    return signal.real, signal.imag


def kernel_spectra(layout: TileLayout, engine: Engine, w: np.ndarray) -> np.ndarray:
    """Spectra of all kernels, shaped to multiply tiles, with the 1/N of the inverse folded in.

    Shape (O, C/groups, 1, \\*bins), or (C, 1, \\*bins) where each channel has one kernel of its own.
    """
    p = layout.problem
    if not p.flip:
        w = w[(..., *(slice(None, None, -1),) * p.ndim)]
    spec = FFTSpec(layout.tiling.nfft, layout.axes, layout.dtype)
    scale = layout.dtype.type(1) / prod(layout.tiling.nfft)
    with engine.borrow(spec) as plan:
        spectra = np.empty((*w.shape[:2], 1, *spec.spectrum_shape), spec.spectrum_dtype)
        for o, i in np.ndindex(*w.shape[:2]):
            _place(w[o, i], plan.signal, p)
            np.multiply(plan.forward(), scale, out=spectra[o, i, 0])
    return spectra[:, 0] if p.group_inputs == p.group_outputs == 1 else spectra


def _place(w: np.ndarray, signal: np.ndarray, p: ConvProblem) -> None:
    """Kernel in convolution order into the buffer, its last tap at index 0, the others before it."""
    signal[...] = 0
    halves = [
        ((slice(0, 1), slice(k - 1, k)), (slice(1 - k, None), slice(0, k - 1)))
        if k > 1
        else ((slice(0, 1), slice(0, 1)),)
        for k in p.kernel_size
    ]
    for pieces in product(*halves):
        signal[tuple(to for to, _ in pieces)] = w[tuple(of for _, of in pieces)]


# A window is (first sample, count, step) per spatial axis, in samples of x.
Window = tuple[tuple[int, int, int], ...]


def _window(layout: TileLayout, tile: Tile) -> Window:
    """The samples that the first block of a job reads; rows of carried axes are read at the stride."""
    p = layout.problem
    axes = []
    for a, (y0, y1) in enumerate(zip(tile.start, tile.stop, strict=True)):
        first = y0 * p.stride[a] - p.pads[a][0]
        transformed = a in layout.axes
        axes.append((first, layout.tiling.nfft[a], 1) if transformed else (first, y1 - y0, p.stride[a]))
    return tuple(axes)


def gather(layout: TileLayout, tile: Tile, x: np.ndarray, signal: np.ndarray) -> None:
    """Fill `signal` with the samples of one job; what lies outside the array is zero."""
    x = x[tile.batch[0] : tile.batch[1]]
    window = _window(layout, tile)
    target = signal[(slice(0, len(x)), ..., *(slice(0, count) for _, count, _ in window))]
    if target.shape != signal.shape:
        signal[...] = 0  # rows that hold nothing are transformed too, and must not overflow
    blocks, a = layout.tiling.blocks, layout.run_axis
    if blocks == 1:
        _fill(x, window, target[:, :, 0])
        return
    first, nfft, _ = window[a]
    jump = layout.tiling.step[a] * layout.problem.stride[a]
    run = (*window[:a], (first, (blocks - 1) * jump + nfft, 1), *window[a + 1 :])
    source = _inside(x, run)
    if source is None:
        source = np.empty((*x.shape[:2], *(count for _, count, _ in run)), signal.dtype)
        _fill(x, run, source)
    strides = source.strides
    overlapping = as_strided(
        source, target.shape, (*strides[:2], jump * strides[2 + a], *strides[2:]), writeable=False
    )
    np.copyto(target, overlapping, casting="same_kind")


def _inside(x: np.ndarray, window: Window) -> np.ndarray | None:
    """The view of `x` under a window, None where the window leaves the array."""
    for (first, count, step), n in zip(window, x.shape[2:], strict=True):
        if first < 0 or first + (count - 1) * step >= n:
            return None
    return x[(..., *(slice(f, f + (c - 1) * s + 1, s) for f, c, s in window))]


def _fill(x: np.ndarray, window: Window, target: np.ndarray) -> None:
    """Copy what a window sees of `x` into `target` of the window's shape, zeros elsewhere."""
    source: list[slice] = []
    inner: list[slice] = []
    for (first, count, step), n in zip(window, x.shape[2:], strict=True):
        j0 = max(0, -(first // step))
        j1 = min(count, (n - 1 - first) // step + 1)
        if j1 <= j0:
            target[...] = 0
            return
        # what is left of and right of the array, within the range of the axes before
        for margin in (slice(0, j0), slice(j1, count)):
            if margin.start < margin.stop:
                rest = target.ndim - 3 - len(inner)
                target[(..., *inner, margin, *(slice(None),) * rest)] = 0
        inner.append(slice(j0, j1))
        source.append(slice(first + j0 * step, first + (j1 - 1) * step + 1, step))
    np.copyto(target[(..., *inner)], x[(..., *source)], casting="same_kind")


def scatter(layout: TileLayout, tile: Tile, y: np.ndarray, out: np.ndarray) -> None:
    """Write the outputs of one job, every stride-th dense one, into `out`."""
    a = layout.run_axis
    out = out[(slice(*tile.batch), ..., *map(slice, tile.start, tile.stop))]
    y = y[: len(out)]
    if layout.tiling.blocks == 1:
        _store(layout, y[:, :, 0], out)
        return
    step, count = layout.tiling.step[a], out.shape[2 + a]
    whole, rest = divmod(count, step)
    along = (slice(None),) * (2 + a)
    if whole:
        blocks = out[(*along, slice(0, whole * step))]
        shape, strides = list(blocks.shape), list(blocks.strides)
        shape[2 + a] = step
        shape.insert(2, whole)
        strides.insert(2, step * strides[2 + a])
        _store(layout, y[:, :, :whole], as_strided(blocks, shape, strides))
    if rest:
        _store(layout, y[:, :, whole], out[(*along, slice(whole * step, None))])


def _store(layout: TileLayout, y: np.ndarray, out: np.ndarray) -> None:
    """Crop dense outputs to the shape of `out`; integers are rounded, then wrap like their direct sum."""
    p = layout.problem
    ends = out.shape[out.ndim - p.ndim :]
    y = y[
        (
            ...,
            *(
                slice(0, (m - 1) * s + 1, s) if a in layout.axes else slice(0, m)
                for a, (m, s) in enumerate(zip(ends, p.stride, strict=True))
            ),
        )
    ]
    if out.dtype.kind in "iu":
        np.copyto(out, np.rint(y).astype(np.int64), casting="unsafe")
    else:
        np.copyto(out, y, casting="same_kind")
