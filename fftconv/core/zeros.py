"""Outputs that see nothing but zeros, which a transform leaves as noise: found, and made exactly 0.

A window is that of the kernel without its margins of zeros. Where all of a window lies inside, it holds a whole one
of the cells of half its length that the samples are cut into; where it reaches outside, it holds the samples next to
that edge. So only windows that hold a cell of zeros are looked at one by one. Cells are found in steps, each dearer
than the one before and reached by fewer data: samples so dense that every window holds some, one sample of each cell,
a few of those cells in which it is zero. The box around what they find is cleared slab by slab, while it is in the
cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.excerpt import Box, excerpt
from fftconv.core.problem import ConvProblem, Ints, at
from fftconv.core.support import bounding_box, moving_sum, reach_of, windows_of
from fftconv.core.workers import for_each

# Samples of which every single one is looked at sooner than cells of them.
FEW = 2**14
# Samples of a cell that are looked at, and one in how many of all samples at most.
LOOKS = (8, 64)
SHARE = 32
# Cells, and a quarter of all, of which one by one a look takes as long as at all cells.
MANY = 64
# Samples whose flags are joined at a time, in the cache, and outputs of it for each tap that it shares with the next.
SLAB = 2**17
PER_TAP = 4

Operands = tuple[np.ndarray, np.ndarray]
Clear = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def clearer(p: ConvProblem, kernel: np.ndarray | None = None, workers: int = 1) -> Clear:
    """What makes exactly 0 what sees nothing but zeros: a function of x, w and out.

    `kernel` is the w of all calls, if one is. Up to `workers` threads clear what is found. Nothing is done for kernels
    that are not finite: a sum of zeros has a NaN among its terms then. So may taps of zero have, at the margins.
    """
    known = None if kernel is None else without_margins(p, kernel)
    whole = _places(p)

    def clear(x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        q = known or without_margins(p, w)
        here = whole if q is p else _places(q)
        if not all(_all_set(x[part]) for part in here.dense) and np.isfinite(w).all():
            boxes = _together([box for zones in product(*here.zones) if (box := _box(q, x, zones))])
            slabs = [slab for box in boxes for slab in _slabs(q, box)]
            for_each(slabs, lambda slab: _clear(q, (x, w), out, slab, q is p), min(workers, len(slabs)))
        for part in here.blind if q is not p else ():
            target = out[part]
            out[part] = np.where(np.isfinite(target), 0, target)
        for part in whole.blind:
            out[part] = 0

    return clear


def without_margins(p: ConvProblem, w: np.ndarray) -> ConvProblem:
    """`p` with the smallest kernel that holds all taps of `w` that are not zero; `p` itself where that is all of it."""
    if (w.item(0) != 0 != w.item(-1)) or (box := bounding_box(w != 0)) is None:
        return p
    spans = box[2:]
    if tuple(b - a for a, b in spans) == p.kernel_size:
        return p
    pads = []
    for (a, b), k, (lo, hi), d in zip(spans, p.kernel_size, p.pads, p.rhs_dilation, strict=True):
        before, after = (k - b, a) if p.flip else (a, k - b)
        pads.append((lo - before * d, hi - after * d))
    return p.with_(kernel_size=tuple(b - a for a, b in spans), pads=tuple(pads))


class Zone(NamedTuple):
    """Neighbouring outputs along one axis, and cells of samples of which each of their windows holds one.

    Attributes
    ----------
    outputs : tuple of (int, int)
    first, length, cells : int
        Where they begin, how long each is, and how many there are.
    within : bool
        Whether a window that holds a cell begins less than its own length before the cell's end.
    """

    outputs: tuple[int, int]
    first: int
    length: int
    cells: int
    within: bool = False


class Places(NamedTuple):
    """What follows from the sizes of a problem.

    Attributes
    ----------
    dense : list of index
        Samples so dense that every window holds some of them, windows at the edges included.
    blind : list of index
        The outputs whose window holds no sample, but padding with zeros alone.
    zones : list of list of Zone
        Per axis; empty where there are so few samples that no cells are looked for.
    """

    dense: list[Any]
    blind: list[Any]
    zones: list[list[Zone]]


@lru_cache(maxsize=256)
def _places(p: ConvProblem) -> Places:
    """Of a problem without input dilation."""
    every = (
        _every(n, k if d == 1 else 1)
        for n, k, d in zip(p.input_size, p.kernel_size, p.rhs_dilation, strict=True)
    )
    zones = [] if prod(p.x_shape) <= FEW else [_zones(p, a) for a in range(p.ndim)]
    return Places(list(product((...,), *every)), list(_blind(p)), zones)


def _every(n: int, k: int) -> tuple[slice, ...]:
    """Of n samples the first, the last, and some of any k neighbours: in one slice where a step leads to the last."""
    for step in range(k, k // 2, -1):
        if (n - 1) % step == 0:
            return (slice(None, None, step),)
    return slice(None, None, k), slice(-1, None)


def _blind(p: ConvProblem) -> Iterator[tuple[Any, ...]]:
    axes = zip(p.input_size, p.kernel_size, p.output_size, p.stride, p.pads, p.rhs_dilation, strict=True)
    for a, (n, k, m, s, (lo, _), d) in enumerate(axes):
        # a window that begins before the end and ends after the start misses all samples only between two taps
        sees = lo <= (k - 1) * d and (m - 1) * s - lo < n and d <= n
        if not sees and not p.boundary[a]:
            counts = moving_sum(np.ones(n, np.int32), 0, np.arange(m) * s - lo, (k, d))
            yield (*(slice(None),) * (2 + a), np.flatnonzero(counts == 0))


def _zones(p: ConvProblem, a: int) -> list[Zone]:
    """The outputs that see what lies before the samples, nothing outside, and what lies after them."""
    n, k, m, s, lo = p.input_size[a], p.kernel_size[a], p.output_size[a], p.stride[a], p.pads[a][0]
    # those that see any sample
    begin, end = max(0, (lo - k) // s + 1), min(m, -(-(n + lo) // s))
    if p.rhs_dilation[a] > 1 or (p.boundary[a] and (begin, end) != (0, m)):
        return [Zone((0, m), 0, 1, n)]
    left = max(begin, min(end, -(-lo // s)))
    right = max(left, min(end, (n - k + lo) // s + 1))
    cell = (k + 1) // 2
    before, after = begin * s - lo + k, n + lo - (end - 1) * s
    zones = (
        Zone((begin, left), 0, min(n, before), 1),
        Zone((left, right), 0, cell, n // cell, True),
        Zone((right, end), max(0, n - after), min(n, after), 1),
    )
    return [zone for zone in zones if zone.outputs[0] < zone.outputs[1]]


def _box(p: ConvProblem, x: np.ndarray, zones: tuple[Zone, ...]) -> Box | None:
    """Outputs of some zones among which are all that see nothing but zeros."""
    if not zones:
        return tuple((0, size) for size in (p.batch, *p.output_size))
    found = _cells_of_zeros(x, zones)
    if found is None:
        return None
    batch, _, *cells = found
    box = [batch]
    for a, (zone, (first, last)) in enumerate(zip(zones, cells, strict=True)):
        begin, end = zone.outputs
        if zone.within:
            s, lo = p.stride[a], p.pads[a][0]
            begin = max(begin, -(-((first + 1) * zone.length - p.kernel_size[a] + lo) // s))
            end = min(end, ((last - 1) * zone.length + lo) // s + 1)
        box.append((begin, end))
    return tuple(box) if all(begin < end for begin, end in box) else None


def _together(boxes: list[Box]) -> list[Box]:
    """One box instead of several that fill it: those at the edges are thin, and rows of few outputs slow."""
    if len(boxes) < 2:
        return boxes
    whole = tuple((min(a for a, _ in spans), max(b for _, b in spans)) for spans in zip(*boxes, strict=True))
    return [whole] if _outputs(whole) == sum(map(_outputs, boxes)) else boxes


def _outputs(box: Box) -> int:
    return prod(b - a for a, b in box)


def _slabs(p: ConvProblem, box: Box) -> Iterator[Box]:
    """A box in parts along the batch and the first spatial axis, each small enough for the cache."""
    rows, span, *others = box
    reach = [
        (b - a - 1) * s + k for (a, b), s, k in zip(others, p.stride[1:], p.dilated_kernel[1:], strict=True)
    ]
    each = p.in_channels * prod(reach) * p.stride[0]
    most = max(SLAB // each, PER_TAP * p.dilated_kernel[0] // p.stride[0], 1)
    length = span[1] - span[0]
    for a, b in _cut(rows, max(1, SLAB // (each * length))):
        for c, d in _cut(span, most):
            yield ((a, b), (c, d), *others)


def _cut(span: tuple[int, int], most: int) -> Iterator[tuple[int, int]]:
    """A span in even parts, as few as there can be of at most `most` each."""
    begin, length = span[0], span[1] - span[0]
    parts = -(-length // most)
    bounds = [begin + length * i // parts for i in range(parts + 1)]
    return pairwise(bounds)


def _clear(p: ConvProblem, operands: Operands, out: np.ndarray, box: Box, all_taps: bool) -> None:
    """Set to 0 the outputs in `box` that see nothing but zeros; finite ones only, if `p` has not all taps."""
    batch, *spans = box
    small, x, _ = excerpt(p, box, operands)
    target = out[(slice(*batch), slice(None), *(slice(*span) for span in spans))]
    blank: np.ndarray | None = None
    if x.size and (reach := reach_of(small, x)).any():
        if _hold_some(small, reach):
            return
        seen = windows_of(small, reach)
        blank = np.logical_not(seen if p.group_outputs == 1 else np.repeat(seen, p.group_outputs, 1))
    if not all_taps:
        finite = np.isfinite(target)
        blank = finite if blank is None else blank & finite
    if blank is None:
        target[...] = 0
    else:
        np.copyto(target, 0, where=blank)


def _hold_some(p: ConvProblem, reach: np.ndarray) -> bool:
    """Whether every window is sure to hold a flag: one of the cells in each window does, in one pass for all joins."""
    if max(p.rhs_dilation) > 1:
        return False
    for a, k in enumerate(p.kernel_size, 2):
        cell = (k + 1) // 2
        count = reach.shape[a] // cell
        cells = reach[(slice(None),) * a + (slice(0, count * cell),)]
        reach = np.logical_or.reduce(
            cells.reshape(*cells.shape[:a], count, cell, *cells.shape[a + 1 :]), a + 1
        )
    return bool(reach.all())


def _cells_of_zeros(x: np.ndarray, zones: tuple[Zone, ...]) -> Box | None:
    """The box around the cells in which no look meets anything but zeros: batch, channels, cells per axis."""
    lengths = tuple(zone.length for zone in zones)
    inside = x[at(*(slice(z.first, z.first + z.length * z.cells) for z in zones))]
    cut = inside.reshape(*x.shape[:2], *(n for z in zones for n in (z.cells, z.length)))
    cells = cut.transpose(0, 1, *range(2, cut.ndim, 2), *range(3, cut.ndim, 2))
    blank = cells[(..., *(n // 2 for n in lengths))] == 0
    for count in LOOKS:
        found = int(np.count_nonzero(blank))
        if not found or found * count > inside.size // SHARE:
            break
        places = _spread(lengths, count)
        if found > MANY + blank.size // 4:
            for place in zip(*places, strict=True):
                blank &= cells[(..., *place)] == 0
        else:
            where = np.nonzero(blank)
            blank[where] = ~cells[(*(a[:, None] for a in where), *places)].any(1)
    return bounding_box(blank)


@lru_cache(maxsize=256)
def _spread(lengths: Ints, count: int) -> tuple[np.ndarray, ...]:
    """Places all over a cell, in no regular pattern that the samples might share."""
    return tuple(np.random.default_rng(a).integers(0, n, count) for a, n in enumerate(lengths))


def _all_set(a: np.ndarray) -> bool:
    """Whether no element is zero; of few elements this is the faster question."""
    return np.count_nonzero(a) == a.size if a.size <= 1024 else bool(a.all())
