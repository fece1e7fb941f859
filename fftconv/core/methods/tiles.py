"""Between the caller's arrays and the scratch of a tile: gather samples, scatter outputs.

Scratch is laid out (batch, channels, blocks, \\*spatial) in the order of the caller's axes: nothing is transposed.
Axes of kernel length 1 are carried along, never transformed.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

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
    # Blocks that see nothing but samples are one overlapping view; those at an edge are filled one by one.
    first, nfft, _ = window[a]
    jump = layout.tiling.step[a] * layout.problem.stride[a]
    j0 = max(0, -(first // jump))
    j1 = min(blocks, (x.shape[2 + a] - nfft - first) // jump + 1)
    run = (first + j0 * jump, (j1 - j0 - 1) * jump + nfft, 1)
    source = _inside(x, (*window[:a], run, *window[a + 1 :])) if j0 < j1 else None
    if source is None:
        j0 = j1 = 0
    else:
        inner = target[:, :, j0:j1]
        strides = (*source.strides[:2], jump * source.strides[2 + a], *source.strides[2:])
        overlapping = as_strided(source, inner.shape, strides, writeable=False)
        np.copyto(inner, overlapping, casting="same_kind")
    for j in (*range(j0), *range(j1, blocks)):
        _fill(x, (*window[:a], (first + j * jump, nfft, 1), *window[a + 1 :]), target[:, :, j])


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
