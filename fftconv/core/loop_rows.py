"""How compiled loops cut a problem up: which windows they read where they are, and what one job sums.

Pure geometry. Blocks do not depend on the number of workers, so neither does a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import prod

from fftconv.core.boundary import Boundary
from fftconv.core.cells import Span, boxes, chunks, cut
from fftconv.core.problem import ConvProblem, Ints

# What one job reads, what the rows that one output sees may occupy, and multiply-adds that are worth a job.
LOOP_BYTES = 512 * 2**10
ROW_BYTES = 32 * 2**10
LOOP_MACS = 500_000
# Input that all read before the next is read, and how long rows are whose ends are a good part of their lines.
SHARE_BYTES = 256 * 2**10
SHORT_ROW_BYTES = 2048
# Outputs of a row that reads one row of input.
LONE_ROW = 4096
# Outputs, all and of one row, from where on it pays to read windows inside the input where they are, and only the
# others from a copy.
IN_PLACE_OUTPUTS = 1024
SHORTEST_ROW = 16
# What outputs see, up to which it is copied as a whole, amid what lies outside: no row ends, and kernels have no edge.
# Multiply-adds from which on it may be worth to share rows of that.
SMALL_BYTES = 512 * 2**10
SHARED_MACS = 1_000_000

Box = tuple[Span, ...]
"""Begin and end along (groups, batch, \\*outputs)."""


def loop_cells(p: ConvProblem) -> int:
    """Outputs per channel of one job: with a window that stays in the cache, or work worth a job."""
    every = p.groups * p.batch * prod(p.output_size)
    cached = LOOP_BYTES // (p.dtype.itemsize * p.group_inputs)
    worth = LOOP_MACS // (prod(p.kernel_size) * p.group_inputs * p.group_outputs)
    return max(1024, worth, min(cached, every // 8))


def loop_lengths(p: ConvProblem) -> Ints:
    """Extent of one job over (groups, batch, *outputs): input that stays in the cache, or work worth a job."""
    return chunks((p.groups, p.batch, *p.output_size), loop_cells(p))


def row_outputs(p: ConvProblem) -> int:
    """Outputs of one row: all rows of input that they see together stay in the innermost cache.

    Those of one row that read one row stream through it; they are cut for the workers.
    """
    if p.group_inputs * prod(p.kernel_size[:-1]) == 1:
        return LONE_ROW
    return max(128, ROW_BYTES // (p.dtype.itemsize * p.group_inputs * prod(p.kernel_size[:-1])))


def samples_a_call(p: ConvProblem, x: Ints, out: Ints) -> int:
    """Samples of a batch that are answered before the next ones are.

    Every kernel of a group reads the whole input, and so do the ends of rows after their middle. What they read should
    be in the cache still, so they take turns at as many samples as stay there, in calls that are worth making. `x` and
    `out` are shapes (N, G, C, \\*S).
    """
    every, kernels, sample = x[0], out[2], p.dtype.itemsize * prod(x[2:])
    again = kernels > 1 or p.dtype.itemsize * out[-1] <= SHORT_ROW_BYTES
    if not again or every * sample <= 4 * SHARE_BYTES:
        return every
    macs = x[2] * prod(p.kernel_size) * prod(out[3:])
    return min(every, max(1, -(-LOOP_MACS // macs), SHARE_BYTES // sample))


def line_axis_of(p: ConvProblem, along: int) -> int | None:
    """Where rows run along one axis: the axis that lines of the kernel follow each other on.

    Rows along any axis but the last have none: terms would be added in another order.
    """
    if along != p.ndim - 1:
        return None
    return max(range(along), key=lambda i: (p.kernel_size[i] > 1, i), default=None)


@lru_cache(maxsize=1024)
def open_axes(p: ConvProblem) -> tuple[int, ...]:
    """Along which axes rows in place find what lies outside the input: masked, or in their tables."""
    across, last = line_axis_of(p, p.ndim - 1), p.ndim - 1
    found = [] if across is None or p.boundary[across] == Boundary.CONSTANT else [across]
    return tuple(found if p.boundary[last] else [*found, last])


@lru_cache(maxsize=1024)
def inside(p: ConvProblem) -> tuple[tuple[int, int], ...] | None:
    """The outputs whose windows lie inside the input, begin and end per axis, where reading those in place pays.

    It does for long rows whose neighbours read neighbours, and where few rows have windows that reach outside.
    """
    if p.stride[-1] > 1:
        return None
    spans = tuple(
        (max(0, -(-lo // s)), min(m, (n - k + lo) // s + 1))
        for n, k, m, s, (lo, _) in zip(
            p.input_size, p.dilated_kernel, p.output_size, p.stride, p.pads, strict=True
        )
    )
    *held, along = (max(0, b - a) for a, b in spans)
    outputs = p.batch * p.groups * prod(held) * along
    few_others = prod(held) >= 0.9 * prod(p.output_size[:-1]) and 2 * along >= p.output_size[-1]
    return spans if outputs >= IN_PLACE_OUTPUTS and few_others and along >= SHORTEST_ROW else None


@lru_cache(maxsize=256)
def whole_boxes(p: ConvProblem) -> tuple[Box, ...]:
    """The whole output in boxes."""
    return tuple(boxes((p.groups, p.batch, *p.output_size), loop_lengths(p)))


@lru_cache(maxsize=1024)
def is_small(p: ConvProblem) -> bool:
    """Whether `p` is answered as a whole from a window that is kept from one call to the next."""
    window = p.batch * p.in_channels * prod(c.reach(c.count) for c in cut(p, (1,) * p.ndim))
    return p.dtype.itemsize * max(window, prod(p.out_shape), prod(p.w_shape)) <= SMALL_BYTES


@lru_cache(maxsize=1024)
def is_lone(p: ConvProblem) -> bool:
    """Whether moreover one thread does."""
    return is_small(p) and p.macs <= SHARED_MACS


def held_outputs(p: ConvProblem, middle: Box) -> Box:
    """The outputs that rows in place answer, per axis, where windows lie inside for those of `middle`."""
    found = open_axes(p)
    return tuple((0, m) if i in found else middle[i] for i, m in enumerate(p.output_size))


@lru_cache(maxsize=256)
def frame(p: ConvProblem) -> tuple[Box, ...]:
    """The boxes around the rows in place: two slabs along each axis, each within the middle of those before."""
    middle = held_outputs(p, inside(p) or ())
    slabs = [
        (*middle[:i], span, *((0, n) for n in p.output_size[i + 1 :]))
        for i, (m, (a, b)) in enumerate(zip(p.output_size, middle, strict=True))
        for span in ((0, a), (b, m))
        if span[0] < span[1]
    ]
    return tuple(box for slab in slabs for box in _cut(p, ((0, p.groups), (0, p.batch), *slab)))


def _cut(p: ConvProblem, region: Box) -> Iterator[Box]:
    """Boxes that together cover `region`, evenly."""
    sizes = tuple(b - a for a, b in region)
    for box in boxes(sizes, chunks(sizes, loop_cells(p))):
        yield tuple((a + begin, a + end) for (a, _), (begin, end) in zip(region, box, strict=True))


def copied_boxes(p: ConvProblem) -> set[Ints]:
    """Extents of the boxes whose windows are copied."""
    if inside(p) is None or p.x_dtype != p.dtype:
        return {loop_lengths(p)}
    return {tuple(b - a for a, b in box) for box in frame(p)}
