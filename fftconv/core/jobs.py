"""The jobs of a spectral method: what one execute copies out of the input and into the output. Sizes only, no samples.

A thread that works out indices holds the interpreter's lock, and every other thread waits for it. So what a job
copies is worked out once and kept with its layout: a call like one before does little but copy.

Blocks of an execute overlap in what they read. Those that see nothing but samples are read as one part of the view of
all windows along their axis, (N, C, windows, \\*spatial); blocks at an edge one by one. Outputs are written alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fftconv.core.boundary import Boundary, Stretch, by_indices, view_of
from fftconv.core.lazy import lazy
from fftconv.core.tiling import Tile, TileLayout, batched

# Layouts of more tiles than this work their jobs out anew in every call.
KEPT_TILES = 4096

EVERY = slice(None)
Index = tuple[Any, ...]


class Move(NamedTuple):
    """One copy between an array and the scratch (batch, channels, blocks, \\*spatial).

    Attributes
    ----------
    windowed : bool
        Whether `array` indexes the view of windows, not the array itself.
    array, scratch : tuple of slice or int
        Arrays of indices among those of `array` where a short array repeats often.
    """

    windowed: bool
    array: Index
    scratch: Index


class Reads(NamedTuple):
    """How the scratch of a tile is filled: zeros and fill values first, then copies.

    `shown` are the boxes, of one block or of several, that hold anything but zeros.
    """

    zeros: tuple[Index, ...]
    fills: tuple[Index, ...]
    moves: tuple[Move, ...]
    shown: tuple[Index, ...]


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
    keeps = layout.tile_count <= KEPT_TILES and not holds_indices(layout)
    return _kept(layout) if keeps else _each(layout)


def holds_indices(layout: TileLayout) -> bool:
    """Whether jobs hold arrays as long as the tiles."""
    p = layout.problem
    reaches = (size * axis.sample_step for size, axis in zip(layout.tile_size, layout.phased, strict=True))
    return any(map(by_indices, reaches, p.input_size, p.boundary))


@lru_cache(maxsize=64)
def _kept(layout: TileLayout) -> tuple[Job, ...]:
    return tuple(_each(layout))


def _each(layout: TileLayout) -> Iterator[Job]:
    return (Job(layout, tiles) for tiles in batched(layout.tiles(), 2 if layout.tiling.packed else 1))


# --- what a tile reads


def _reads(layout: TileLayout, tile: Tile) -> Reads:
    """Samples, and zeros for idle scratch: it is transformed too, and must not overflow."""
    p, a, blocks = layout.problem, layout.run_axis, layout.tiling.blocks
    rows, found = slice(0, tile.batch[1] - tile.batch[0]), _Found()
    if rows.stop < layout.tiling.batch:
        found.zeros.append((slice(rows.stop, None),))
    axes = [_Seen.of(layout, tile, i) for i in range(p.ndim)]
    batch = slice(*tile.batch)
    if blocks == 1:
        found.add((batch, EVERY), (rows, EVERY, 0), axes)
        return found.reads()
    (first, nfft, step), jump = axes[a].stretch, layout.block_jump
    starts = p.input_size[a] - (nfft - 1) * step
    j0 = min(blocks, max(0, -(first // jump)))
    j1 = max(j0, min(blocks, (starts - 1 - first) // jump + 1)) if starts > 0 else j0
    for j in (*range(j0), *range(j1, blocks)):
        alone = axes[a]._replace(stretch=(first + j * jump, nfft, step))
        found.add((batch, EVERY), (rows, EVERY, j), [*axes[:a], alone, *axes[a + 1 :]])
    if j0 < j1:
        # windows that lie inside: along their axis an array of all nfft samples
        inside = _Seen((0, nfft, 1), nfft, Boundary.ZERO, nfft)
        windows = slice(first + j0 * jump, first + (j1 - 1) * jump + 1, jump)
        found.add((batch, EVERY, windows), (rows, EVERY, slice(j0, j1)), [*axes[:a], inside, *axes[a + 1 :]])
    return found.reads()


class _Seen(NamedTuple):
    """The stretch that a tile reads of an axis of `n` samples, what lies outside, and how long its scratch is."""

    stretch: Stretch
    n: int
    boundary: Boundary
    size: int

    @classmethod
    def of(cls, layout: TileLayout, tile: Tile, a: int) -> _Seen:
        """Of the first block of a tile; rows of carried axes are read at the stride."""
        p, size, (y0, y1) = layout.problem, layout.tile_size[a], tile.spans[a]
        first = y0 * p.stride[a] - p.pads[a][0]
        along = (size, layout.phased[a].sample_step) if a in layout.axes else (y1 - y0, p.stride[a])
        return cls((first, *along), p.input_size[a], p.boundary[a], size)


class _Found:
    """The reads of a tile as they are worked out."""

    def __init__(self) -> None:
        self.zeros: list[Index] = []
        self.fills: list[Index] = []
        self.moves: list[Move] = []
        self.shown: list[Index] = []

    def add(self, array: Index, scratch: Index, axes: Sequence[_Seen]) -> None:
        """What the blocks at `scratch` read of `array`, which has a third axis where it is that of windows."""
        for i, axis in enumerate(axes):
            if axis.stretch[1] < axis.size:
                self.zeros.append((*scratch, *(EVERY,) * i, slice(axis.stretch[1], None)))
        view = view_of(
            [axis.stretch for axis in axes], [axis.n for axis in axes], [axis.boundary for axis in axes]
        )
        self.zeros.extend((*scratch, *place) for place in view.zeros)
        self.fills.extend((*scratch, *place) for place in view.fills)
        windowed = len(array) == 3
        for target, source in view.copies:
            self.moves.append(Move(windowed, (*array, *source), (*scratch, *target)))
        if view.copies or view.fills:
            self.shown.append((*scratch, *view.shown))

    def reads(self) -> Reads:
        return Reads(tuple(self.zeros), tuple(self.fills), tuple(self.moves), tuple(self.shown))


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
