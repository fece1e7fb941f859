"""Outputs that see nothing but zeros, which a transform leaves as noise: found, and made exactly 0.

A window is that of the kernel without its margins of zeros. Where all of a window lies inside, it holds a whole one
of the cells of half its length that the samples are cut into; where it reaches outside, it holds the samples next to
that edge. So only windows that hold a cell of zeros are looked at one by one. Cells are found in steps, each dearer
than the one before and reached by fewer data: samples so dense that every window holds some, one sample of each cell,
a few of those cells in which it is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.excerpt import Box, excerpt
from fftconv.core.problem import ConvProblem, Ints, at
from fftconv.core.support import bounding_box, moving_sum, windows_with

# Samples of which every single one is looked at sooner than cells of them.
FEW = 2**14
# Samples of a cell that are looked at, and by how many of the samples of an array that may go up.
LOOKS = (8, 64)
SHARE = 32

Operands = tuple[np.ndarray, np.ndarray]
Clear = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def clearer(p: ConvProblem, kernel: np.ndarray | None = None) -> Clear:
    """What makes exactly 0 what sees nothing but zeros: a function of x, w and out.

    `kernel` is the w of all calls, if one is. Nothing is done for kernels that are not finite, nor where outputs are
    not: a sum of zeros may have a NaN among its terms.
    """
    known = None if kernel is None else without_margins(p, kernel)
    whole = _places(p)

    def clear(x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        q = known or without_margins(p, w)
        here = whole if q is p else _places(q)
        if not all(_all_set(x[part]) for part in here.dense) and np.isfinite(w).all():
            for zones in product(*here.zones):
                box = _box(q, x, zones)
                if box is not None:
                    _clear(q, (x, w), out, box)
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


def _clear(p: ConvProblem, operands: Operands, out: np.ndarray, box: Box) -> None:
    """Set to 0 the outputs in `box` that see nothing but zeros."""
    batch, *spans = box
    small, x, _ = excerpt(p, box, operands)
    target = out[(slice(*batch), slice(None), *(slice(*span) for span in spans))]
    blank = np.isfinite(target)
    if x.size:
        blank &= ~np.repeat(windows_with(small, x != 0), p.group_outputs, 1)
    np.copyto(target, 0, where=blank)


def _cells_of_zeros(x: np.ndarray, zones: tuple[Zone, ...]) -> tuple[tuple[int, int], ...] | None:
    """The box around the cells in which no look meets anything but zeros: batch, channels, cells per axis."""
    lengths = tuple(zone.length for zone in zones)
    inside = x[at(*(slice(z.first, z.first + z.length * z.cells) for z in zones))]
    cut = inside.reshape(*x.shape[:2], *(n for z in zones for n in (z.cells, z.length)))
    cells = cut.transpose(0, 1, *range(2, cut.ndim, 2), *range(3, cut.ndim, 2))
    found: Any = np.nonzero(cells[(..., *(n // 2 for n in lengths))] == 0)
    for count in LOOKS:
        if not found[0].size or found[0].size * count > x.size // SHARE:
            break
        seen = cells[(*(a[:, None] for a in found), *_spread(lengths, count))].any(1)
        found = tuple(a[~seen] for a in found)
    return tuple((int(a.min()), int(a.max()) + 1) for a in found) if found[0].size else None


@lru_cache(maxsize=256)
def _spread(lengths: Ints, count: int) -> tuple[np.ndarray, ...]:
    """Places all over a cell, in no regular pattern that the samples might share."""
    return tuple(np.random.default_rng(a).integers(0, n, count) for a, n in enumerate(lengths))


def _all_set(a: np.ndarray) -> bool:
    """Whether no element is zero; of few elements this is the faster question."""
    return np.count_nonzero(a) == a.size if a.size <= 1024 else bool(a.all())
