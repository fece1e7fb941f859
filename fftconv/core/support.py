"""Which outputs a set of samples reaches, and the problem of a part of the outputs."""

from __future__ import annotations

import numpy as np

from fftconv.core.problem import ConvProblem, Ints

Box = tuple[tuple[int, int], ...]
"""Begin and end per axis: of the batch, then of the output along every spatial axis."""


def crop(p: ConvProblem, box: Box) -> ConvProblem:
    """The problem whose outputs are those of `p` inside `box`; pads say where its input begins and ends.

    Of the batch it keeps as many entries as `box` has; which ones is for the caller's views to say.

    Examples
    --------
    >>> import numpy as np
    >>> from fftconv.core.problem import ConvProblem
    >>> f8 = np.dtype("f8")
    >>> p = ConvProblem(1, 1, 1, 1, (10,), (3,), ((2, 2),), (1,), (1,), (1,), True, f8, f8, f8)
    >>> part = crop(p, ((0, 1), (4, 8)))
    >>> part.pads, part.output_size
    (((-2, -2),), (4,))
    """
    (first, last), *spans = box
    pads = []
    for (a, b), (lo, _), n, k, s in zip(
        spans, p.pads, p.dilated_input, p.dilated_kernel, p.stride, strict=True
    ):
        begin = lo - a * s
        pads.append((begin, (b - a - 1) * s + k - n - begin))
    return p.with_(batch=last - first, pads=tuple(pads))


def window_counts(p: ConvProblem, flags: np.ndarray) -> np.ndarray:
    """How many flagged samples each output sees, of a problem without dilation: (N, groups, \\*M).

    A window is a box, so the count is a running sum along one axis after the other: exact, and a few passes
    whatever the kernel's length.
    """
    counts: np.ndarray = flags.reshape(p.batch, p.groups, p.group_inputs, *p.input_size).sum(2, dtype=np.intp)
    for axis, (k, m, s, (lo, _)) in enumerate(
        zip(p.kernel_size, p.output_size, p.stride, p.pads, strict=True), 2
    ):
        counts = _moving_sum(counts, axis, np.arange(m) * s - lo, k)
    return counts


def _moving_sum(a: np.ndarray, axis: int, first: np.ndarray, k: int) -> np.ndarray:
    """Sums of the entries ``first .. first + k - 1`` along `axis`, as far as they exist."""
    n = a.shape[axis]
    sums = np.zeros(_with(a.shape, axis, n + 1), a.dtype)
    np.cumsum(a, axis, out=sums[(slice(None),) * axis + (slice(1, None),)])
    found: np.ndarray = np.take(sums, np.clip(first + k, 0, n), axis)
    found -= np.take(sums, np.clip(first, 0, n), axis)
    return found


def _with(shape: Ints, axis: int, n: int) -> Ints:
    return (*shape[:axis], n, *shape[axis + 1 :])
