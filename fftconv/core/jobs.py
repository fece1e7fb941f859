"""The jobs of a spectral method: what one execute copies out of the input and into the output. Sizes only, no arrays.

A thread that works out indices holds the interpreter's lock, and every other thread waits for it. So what a job
copies is worked out once and kept with its layout: a call like one before does little but copy.

Blocks of an execute overlap in what they read. Those that see nothing but samples are read as one part of the view of
all windows along their axis, (N, C, windows, \\*spatial); blocks at an edge one by one. Outputs are written alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from fftconv.core.lazy import lazy
from fftconv.core.tiling import Tile, TileLayout, batched

# Layouts of more tiles than this work their jobs out anew in every call.
KEPT_TILES = 4096

EVERY = slice(None)
Index = tuple[slice | int, ...]


class Move(NamedTuple):
    """One copy between an array and the scratch (batch, channels, blocks, \\*spatial).

    Attributes
    ----------
    windowed : bool
        Whether `array` indexes the view of windows, not the array itself.
    array, scratch : tuple of slice or int
    """

    windowed: bool
    array: Index
    scratch: Index


class Reads(NamedTuple):
    """How the scratch of a tile is filled: zeros first, then copies."""

    zeros: tuple[Index, ...]
    moves: tuple[Move, ...]


class Overlap(NamedTuple):
    """What a window along one axis shares with the array, as slices of both, and what of the scratch stays zero."""

    array: slice
    scratch: slice
    outside: tuple[slice, ...]


def overlap(first: int, count: int, step: int, n: int, size: int) -> Overlap:
    """Of n samples, those in a window ``first, first + step, ...`` of `count`, which begins a scratch of `size`."""
    j0 = max(0, -(first // step))
    j1 = min(count, (n - 1 - first) // step + 1)
    if j1 <= j0:
        return Overlap(slice(0, 0), slice(0, 0), (slice(0, size),))
    outside = tuple(slice(*margin) for margin in ((0, j0), (j1, size)) if margin[0] < margin[1])
    return Overlap(slice(first + j0 * step, first + (j1 - 1) * step + 1, step), slice(j0, j1), outside)


class Job:
    """One execute: one tile, or two that are the real and the imaginary part of one signal.

    Attributes
    ----------
    layout : TileLayout
    tiles : tuple of Tile
    """

    def __init__(self, layout: TileLayout, tiles: tuple[Tile, ...]) -> None:
        self.layout = layout
        self.tiles = tiles

    @lazy
    def reads(self) -> tuple[Reads, ...]:
        """Per tile, what it reads."""
        return tuple(_reads(self.layout, tile) for tile in self.tiles)

    @lazy
    def writes(self) -> tuple[tuple[Move, ...], ...]:
        """Per tile, what it writes."""
        return tuple(_writes(self.layout, tile) for tile in self.tiles)


def jobs_of(layout: TileLayout) -> Iterable[Job]:
    """All jobs of a layout, in order."""
    return _kept(layout) if layout.tile_count <= KEPT_TILES else _each(layout)


@lru_cache(maxsize=64)
def _kept(layout: TileLayout) -> tuple[Job, ...]:
    return tuple(_each(layout))


def _each(layout: TileLayout) -> Iterator[Job]:
    return (Job(layout, tiles) for tiles in batched(layout.tiles(), 2 if layout.tiling.packed else 1))


# --- what a tile reads


def _reads(layout: TileLayout, tile: Tile) -> Reads:
    """Samples, and zeros for what lies outside the array: idle scratch is transformed too, and must not overflow."""
    p, a, blocks = layout.problem, layout.run_axis, layout.tiling.blocks
    rows = tile.batch[1] - tile.batch[0]
    zeros: list[Index] = [(slice(rows, None),)] if rows < layout.tiling.batch else []
    firsts = [y0 * s - lo for (y0, _), s, (lo, _) in zip(tile.spans, p.stride, p.pads, strict=True)]
    seen = [_seen(layout, tile, i, first) for i, first in enumerate(firsts)]
    moves: list[Move] = []
    batch, into = slice(*tile.batch), slice(0, rows)

    def add(windows: slice | None, block: slice | int) -> None:
        inner: list[slice] = []
        for i, axis in enumerate(seen):
            rest = (EVERY,) * (len(seen) - 1 - i)
            zeros.extend((into, EVERY, block, *inner, outside, *rest) for outside in axis.outside)
            inner.append(axis.scratch)
        if all(part.start != part.stop or part == EVERY for part in inner):
            outer = (axis.array for axis in seen)
            array: Index = (batch, EVERY, *outer) if windows is None else (batch, EVERY, windows, *outer)
            moves.append(Move(windows is not None, array, (into, EVERY, block, *inner)))

    if blocks == 1:
        add(None, 0)
        return Reads(tuple(zeros), tuple(moves))
    first, jump = firsts[a], layout.block_jump
    starts = p.input_size[a] - (layout.tiling.nfft[a] - 1) * layout.phased[a].sample_step
    j0 = min(blocks, max(0, -(first // jump)))
    j1 = max(j0, min(blocks, (starts - 1 - first) // jump + 1)) if starts > 0 else j0
    for j in (*range(j0), *range(j1, blocks)):
        seen[a] = _seen(layout, tile, a, first + j * jump)
        add(None, j)
    if j0 < j1:
        seen[a] = Overlap(EVERY, EVERY, ())
        add(slice(first + j0 * jump, first + (j1 - 1) * jump + 1, jump), slice(j0, j1))
    return Reads(tuple(zeros), tuple(moves))


def _seen(layout: TileLayout, tile: Tile, a: int, first: int) -> Overlap:
    """What a tile whose first sample is `first` sees along axis `a`; rows of carried axes are read at the stride."""
    p, size = layout.problem, layout.tile_size[a]
    if a in layout.axes:
        return overlap(first, size, layout.phased[a].sample_step, p.input_size[a], size)
    y0, y1 = tile.spans[a]
    return overlap(first, y1 - y0, p.stride[a], p.input_size[a], size)


# --- what a tile writes


def _writes(layout: TileLayout, tile: Tile) -> tuple[Move, ...]:
    """The wanted ones among the dense outputs of a tile, and where they go."""
    a, blocks = layout.run_axis, layout.tiling.blocks
    batch, rows = slice(*tile.batch), slice(0, tile.batch[1] - tile.batch[0])
    stored, dense = (
        list(column)
        for column in zip(*(_wanted(layout, i, *span) for i, span in enumerate(tile.spans)), strict=True)
    )
    if blocks == 1:
        return (Move(False, (batch, EVERY, *stored), (rows, EVERY, 0, *dense)),)
    begin, end = tile.spans[a]
    moves = []
    apart, step = layout.phased[a].output_step, layout.tiling.step[a]
    whole = 0 if layout.blocks_are_phases else (end - begin) // step
    if whole:
        stored[a], dense[a] = EVERY, _wanted(layout, a, 0, step)[1]
        starts = slice(begin, begin + whole * step, step)
        moves.append(Move(True, (batch, EVERY, starts, *stored), (rows, EVERY, slice(0, whole), *dense)))
    if layout.blocks_are_phases:
        used, jump = min(blocks, layout.phased[a].phases - begin % apart), 1
    else:
        used, jump = -(-(end - begin) // step), step
    for j in range(whole, used):
        first = begin + j * jump
        if first >= end:
            break  # a phase that ends before the others
        stored[a], dense[a] = _wanted(layout, a, first, end)
        moves.append(Move(False, (batch, EVERY, *stored), (rows, EVERY, j, *dense)))
    return tuple(moves)


def _wanted(layout: TileLayout, a: int, begin: int, end: int) -> tuple[slice, slice]:
    """Where the outputs of a span are stored along axis `a`, and which of the dense ones they are."""
    axis = layout.phased[a]
    count = -(-(end - begin) // axis.output_step)
    stride = axis.stride if a in layout.axes else 1
    return slice(begin, end, axis.output_step), slice(0, (count - 1) * stride + 1, stride)
