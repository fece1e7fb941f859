"""How two passes of a separable kernel become one: strips of rows, between whose passes nothing leaves the cache.

Sizes only, no arrays. Columns are cut into blocks and rows into strips. Strip by strip, from the top of a block to its
bottom, the pass along rows puts its sums into a ring of rows, and the pass down the columns takes them from there: a
row goes to place ``row % ring``, in which its predecessor has been seen by every output that needs it. So rows are
summed once, whatever the kernel, but for those near the border of two ranges of strips.

Each output is a sum of its own in an order of its own, so a result depends on none of these cuts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod

from fftconv.core.cells import Span
from fftconv.core.cost_direct import DirectCosts, fits, row_seconds
from fftconv.core.loop_rows import SHORTEST_ROW
from fftconv.core.passes import extents, passes
from fftconv.core.problem import ConvProblem

# Rows of outputs from one turn of the ring to the next, and what the ring holds.
STRIP_ROWS = 16
RING_BYTES = 192 * 2**10
NARROWEST = 128
# Blocks of columns begin at multiples of so many numbers, which are whole lines of the cache.
ROUND = 16
# Jobs that are worth a repetition of the rows near their borders, and how many times as long a range of rows has to be.
FEWEST_JOBS = 8
LONG_RANGE = 4
LINE_BYTES = 64


@dataclass(frozen=True)
class Strips:
    """The cut of one problem.

    Attributes
    ----------
    columns : tuple of (int, int)
        Blocks of columns.
    strips : tuple of (int, int)
        Rows of outputs.
    ranges : tuple of (int, int)
        Which strips follow each other in one job.
    ring, pitch : int
        Rows of the ring, and numbers from one row to the next: an odd number of lines of the cache, so that rows do not
        share a set.
    """

    columns: tuple[Span, ...]
    strips: tuple[Span, ...]
    ranges: tuple[Span, ...]
    ring: int
    pitch: int


def has_strips(p: ConvProblem) -> bool:
    """Whether the two passes of a separable problem can be compiled loops whose rows are rows of memory."""
    if p.ndim != 2 or len(extents(p)) < 2 or p.stride[1] > 1 or p.output_size[1] < SHORTEST_ROW:
        return False
    return all(fits("jit", q) for q in passes(p))


@lru_cache(maxsize=1024)
def strips_of(p: ConvProblem, terms: int) -> Strips:
    """The cut of a problem whose kernel is a sum of so many products."""
    (m, n), size = p.output_size, p.dtype.itemsize
    strips = _evenly(m, STRIP_ROWS, 1)
    rows = max(b - a for a, b in strips)
    ring = (rows - 1) * p.stride[0] + p.dilated_kernel[0]
    columns = _evenly(n, max(NARROWEST, RING_BYTES // (terms * ring * size)), ROUND)
    # a range repeats the rows that its last outputs share with the next one
    repeated = -(-p.dilated_kernel[0] // (rows * p.stride[0]))
    jobs = p.batch * p.out_channels * len(columns)
    wanted = min(-(-FEWEST_JOBS // jobs), max(1, len(strips) // (LONG_RANGE * repeated)))
    line = LINE_BYTES // size
    # what begins within a line ends within another
    lines = -(-max(b - a for a, b in columns) // line) + 1
    return Strips(
        columns, strips, _evenly(len(strips), -(-len(strips) // wanted), 1), ring, (lines | 1) * line
    )


def _evenly(n: int, length: int, unit: int) -> tuple[Span, ...]:
    """Spans of about `length` and no more than a unit longer, that begin at multiples of `unit`."""
    count = -(-n // length)
    ends = sorted({*(i * n // count // unit * unit for i in range(count)), n})
    return tuple(pairwise(ends))


def ring_bytes(p: ConvProblem, terms: int) -> int:
    """What one worker holds between the passes."""
    cut = strips_of(p, terms)
    return terms * cut.ring * cut.pitch * p.dtype.itemsize + LINE_BYTES


def strip_jobs(p: ConvProblem, terms: int) -> int:
    cut = strips_of(p, terms)
    return p.batch * p.out_channels * len(cut.columns) * len(cut.ranges)


def strip_seconds(p: ConvProblem, terms: int, host: DirectCosts) -> float:
    """All jobs on one worker: the steps of both passes, which meet in the cache and not in memory."""
    cut, size = strips_of(p, terms), p.dtype.itemsize
    total = host.stream * size * (prod(p.x_shape) + prod(p.out_shape))
    total += host.copy * size * terms * prod(p.out_shape)
    n = max(b - a for a, b in cut.columns)
    for q in passes(p, terms):
        total += prod(q.out_shape) / n * row_seconds(q, n, host)
    return total
