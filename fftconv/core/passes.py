"""A kernel that is a product of 1-d kernels, as one 1-d problem after the other. Sizes only, no arrays.

With ``w[u, v] = a[u] b[v]`` the sum over a window is a sum over its rows and then one down the column of those sums:
``k0 + k1`` products an output in place of ``k0 k1``. It is done in slabs of outputs along the first axis, so short that
what lies between two passes stays in the cache; rows near a border of slabs are computed for both of them.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod, sqrt

from fftconv.core.accuracy import roundoff, sum_error, transform_error
from fftconv.core.excerpt import Box, crop
from fftconv.core.problem import ConvProblem, Ints

# What lies between two passes, of one worker; where slabs stand in for strips, of which it is less.
SLAB_BYTES = 3 * 2**20
SHORT_SLAB_BYTES = 2**19
LINE_BYTES = 64
# Products that a kernel may be the sum of. Beyond two axes one is looked for.
MOST_TERMS = 3
# What may be left of a kernel beside its products, in its 2-norm, over the eps of the result's dtype.
TOLERANCE = 4


def extents(p: ConvProblem) -> Ints:
    """The axes along which the kernel extends."""
    return tuple(i for i, k in enumerate(p.kernel_size) if k > 1)


@lru_cache(maxsize=4096)
def passes(p: ConvProblem, terms: int = 1) -> tuple[ConvProblem, ...]:
    """The 1-d problems, from the last axis to the first; the first of them also does what axes without a kernel want.

    Each output channel has one input, which the first pass makes as many channels of as the kernel has `terms`, and the
    last pass adds up again: their sum is one more sum over a window. What a pass after the first reads has its padding
    around it.
    """
    channels = p.out_channels * terms
    *others, last = extents(p)
    plain = [i for i, k in enumerate(p.kernel_size) if k == 1]
    found = [_along(p, (last, *plain)).with_(out_channels=channels)]
    for i in reversed(others):
        q, final = _along(p, (i,)), i == others[0]
        sizes = list(found[-1].output_size)
        sizes[i] += sum(p.pads[i])
        found.append(
            q.with_(
                in_channels=channels,
                out_channels=p.out_channels if final else channels,
                groups=p.out_channels if final else channels,
                input_size=tuple(sizes),
                pads=((0, 0),) * p.ndim,
                x_dtype=p.dtype,
            )
        )
    return tuple(found)


def _along(p: ConvProblem, axes: Ints) -> ConvProblem:
    """What `p` wants along these axes only."""

    def own(values: tuple, plain: object) -> tuple:
        return tuple(v if i in axes else plain for i, v in enumerate(values))

    return p.with_(
        kernel_size=own(p.kernel_size, 1),
        pads=own(p.pads, (0, 0)),
        stride=own(p.stride, 1),
        rhs_dilation=own(p.rhs_dilation, 1),
        w_dtype=p.dtype,
    )


@lru_cache(maxsize=4096)
def slab_lengths(p: ConvProblem, nbytes: int = SLAB_BYTES) -> Ints:
    """Extent of one slab of so many bytes over (batch, *outputs); it is cut along the first axis of the kernel.

    Slabs are many or two, since an odd one of few would keep one worker busy and no other.
    """
    i = extents(p)[0]
    m, s, overlap = p.output_size[i], p.stride[i], max(0, p.dilated_kernel[i] - p.stride[i])
    row = p.dtype.itemsize * p.out_channels * (prod(p.output_size) // m)
    held = nbytes // row
    rows = max(1, min(m, max(min(held - overlap, -(-m // 2)), 2 * overlap // s)))
    count = -(-m // rows)
    rows = -(-m // (count + count % 2 if count > 1 else 1))
    batch = max(1, min(p.batch, held // (m + overlap))) if rows == m else 1
    return (batch, *(rows if j == i else n for j, n in enumerate(p.output_size)))


@lru_cache(maxsize=4096)
def slab(p: ConvProblem, box: Box) -> tuple[ConvProblem, tuple[slice, ...]]:
    """The problem of a slab, and which samples of a batch belong to it."""
    q, i = crop(p, box), extents(p)[0]
    (lo, hi), n = q.pads[i], q.input_size[i]
    begin, end = max(0, -lo), max(0, min(n, n + hi))
    sizes, pads = list(q.input_size), list(q.pads)
    sizes[i], pads[i] = max(0, end - begin), (lo + begin, hi + n - end)
    kept = tuple(slice(begin, end) if j == i else slice(None) for j in range(p.ndim))
    return q.with_(input_size=tuple(sizes), pads=tuple(pads)), kept


def between(p: ConvProblem, terms: int) -> int:
    """Bytes of what lies between the passes of one slab."""
    return p.dtype.itemsize * sum(prod(spread(q)) for q in passes(p, terms)[1:])


def spread(q: ConvProblem) -> Ints:
    """The array of which a pass after the first reads a part: no row is a power of two from the next one."""
    *others, last = q.x_shape
    line = LINE_BYTES // q.dtype.itemsize
    return (*others[:2], *(n + 1 for n in others[2:]), -(-last // line) * line + line)


def separable_error(p: ConvProblem, terms: int) -> float:
    """The error of an output over the 2-norms of its input and its kernel.

    Of one product: what the kernel may differ from it by, and the errors of each pass, which the next ones add up over
    as many rows as they have taps. The products of a cross approximation may each be up to ``2^i sqrt(taps)`` times as
    large as the kernel.
    """
    steps = passes(p, terms)
    total, later = 0.0, prod(p.kernel_size)
    for q in steps:
        later //= prod(q.kernel_size)
        total += max(sum_error(q), transform_error(q, None)) * sqrt(later)
    growth = 1 if terms == 1 else (2**terms - 1) * sqrt(prod(p.kernel_size))
    return 2 * TOLERANCE * roundoff(p) + growth * total
