"""Between the caller's arrays and the scratch of a tile: gather samples, scatter outputs.

Scratch is laid out (batch, channels, blocks, \\*spatial) in the order of the caller's axes: nothing is transposed.
Axes of kernel length 1 are carried along, never transformed.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.problem import at
from fftconv.core.tiling import Tile, TileLayout


def parts(layout: TileLayout, signal: np.ndarray, tiles: int) -> tuple[np.ndarray, ...]:
    """Where the tiles of one job live in the scratch; a lone tile of a packed job leaves the other part zero."""
    if not layout.tiling.packed:
        return (signal,)
    if tiles == 1:
        signal.imag = 0
        return (signal.real,)
    return signal.real, signal.imag


# A window is (first sample, count, step) per spatial axis, in samples of x.
Window = tuple[tuple[int, int, int], ...]


def _window(layout: TileLayout, tile: Tile) -> Window:
    """The samples that the first block of a job reads; rows of carried axes are read at the stride."""
    p = layout.problem
    axes = []
    for a, (y0, y1) in enumerate(zip(tile.start, tile.stop, strict=True)):
        first = y0 * p.stride[a] - p.pads[a][0]
        if a in layout.axes:
            axes.append((first, layout.tiling.nfft[a], layout.phased[a].sample_step))
        else:
            axes.append((first, y1 - y0, p.stride[a]))
    return tuple(axes)


def gather(layout: TileLayout, tile: Tile, x: np.ndarray, signal: np.ndarray) -> None:
    """Fill `signal` with the samples of one job; what lies outside the array is zero."""
    x = x[tile.batch[0] : tile.batch[1]]
    window = _window(layout, tile)
    target = signal[: len(x)][at(*(slice(0, count) for _, count, _ in window))]
    if target.shape != signal.shape:
        signal[...] = 0  # rows that hold nothing are transformed too, and must not overflow
    blocks, a = layout.tiling.blocks, layout.run_axis
    if blocks == 1:
        _fill(x, window, target[:, :, 0])
        return
    # Blocks that see nothing but samples are one overlapping view; those at an edge are filled one by one.
    first, nfft, step = window[a]
    jump, span = layout.block_jump, (nfft - 1) * step + 1
    j0 = max(0, -(first // jump))
    j1 = min(blocks, (x.shape[2 + a] - span - first) // jump + 1)
    run = (first + j0 * jump, (j1 - j0 - 1) * jump + span, 1)
    source = _inside(x, (*window[:a], run, *window[a + 1 :])) if j0 < j1 else None
    if source is None:
        j0 = j1 = 0
    else:
        inner, strides = target[:, :, j0:j1], list(source.strides)
        along = strides[2 + a]
        strides[2 + a] = step * along
        strides.insert(2, jump * along)
        np.copyto(inner, as_strided(source, inner.shape, strides, writeable=False), casting="same_kind")
    for j in (*range(j0), *range(j1, blocks)):
        _fill(x, (*window[:a], (first + j * jump, nfft, step), *window[a + 1 :]), target[:, :, j])


def _inside(x: np.ndarray, window: Window) -> np.ndarray | None:
    """The view of `x` under a window, None where the window leaves the array."""
    for (first, count, step), n in zip(window, x.shape[2:], strict=True):
        if first < 0 or first + (count - 1) * step >= n:
            return None
    seen: np.ndarray = x[at(*(slice(f, f + (c - 1) * s + 1, s) for f, c, s in window))]
    return seen


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
                target[at(*inner, margin, *(slice(None),) * rest)] = 0
        inner.append(slice(j0, j1))
        source.append(slice(first + j0 * step, first + (j1 - 1) * step + 1, step))
    np.copyto(target[at(*inner)], x[at(*source)], casting="same_kind")


def scatter(layout: TileLayout, tile: Tile, y: np.ndarray, out: np.ndarray) -> None:
    """Write the outputs of one job, every stride-th dense one, into `out`."""
    out = out[slice(*tile.batch)]
    y = y[: len(out)]
    targets = [
        slice(begin, end, axis.output_step)
        for begin, end, axis in zip(tile.start, tile.stop, layout.phased, strict=True)
    ]
    if layout.tiling.blocks == 1:
        _store(layout, y[:, :, 0], out[at(*targets)])
        return
    a = layout.run_axis
    targets[a] = slice(tile.start[a], tile.stop[a])
    out = out[at(*targets)]
    for blocks, first, count, steps in _runs(layout, tile):
        rows = out[(slice(None),) * (2 + a) + (slice(first, None),)]
        shape, strides = list(rows.shape), list(rows.strides)
        shape[2 + a] = count
        shape.insert(2, blocks.stop - blocks.start)
        along = strides[2 + a]
        strides[2 + a] = steps[1] * along
        strides.insert(2, steps[0] * along)
        _store(layout, y[:, :, blocks], as_strided(rows, shape, strides))


# Blocks, the first output of the first of them, outputs of each, and the steps from block to block and within one.
Run = tuple[slice, int, int, tuple[int, int]]


def _runs(layout: TileLayout, tile: Tile) -> list[Run]:
    """The blocks of one job in runs of equal length; all but the last blocks, or phases, are of the same."""
    a = layout.run_axis
    axis, count = layout.phased[a], tile.stop[a] - tile.start[a]
    if layout.blocks_are_phases:
        phases = min(layout.tiling.blocks, axis.phases - tile.start[a] % axis.output_step)
        each, longer = divmod(count, axis.output_step)
        longer, steps = min(longer, phases), (1, axis.output_step)
        runs = [(slice(0, longer), 0, each + 1, steps), (slice(longer, phases), longer, each, steps)]
    else:
        each = layout.tiling.step[a]
        whole, rest = divmod(count, each)
        runs = [
            (slice(0, whole), 0, each, (each, 1)),
            (slice(whole, whole + 1), whole * each, rest, (each, 1)),
        ]
    return [run for run in runs if run[0].stop > run[0].start and run[2]]


def _store(layout: TileLayout, y: np.ndarray, out: np.ndarray) -> None:
    """Crop dense outputs to the shape of `out`; integers are rounded, then wrap like their direct sum."""
    ends = out.shape[out.ndim - layout.problem.ndim :]
    y = y[
        (
            ...,
            *(
                slice(0, (m - 1) * axis.stride + 1, axis.stride) if a in layout.axes else slice(0, m)
                for a, (m, axis) in enumerate(zip(ends, layout.phased, strict=True))
            ),
        )
    ]
    if out.dtype.kind in "iu":
        np.copyto(out, np.rint(y).astype(np.int64), casting="unsafe")
    else:
        np.copyto(out, y, casting="same_kind")
