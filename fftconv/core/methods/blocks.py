"""What the direct methods share: pieces of the output, and the piece of the input that each one reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import numpy as np

from fftconv.core.problem import ConvProblem, Ints

Span = tuple[int, int]


def boxes(sizes: Ints, lengths: Ints) -> Iterator[tuple[Span, ...]]:
    """The (begin, end) pairs of every box of `lengths` that together cover `sizes`."""
    axes = (
        [(a, min(a + length, n)) for a in range(0, n, length)]
        for n, length in zip(sizes, lengths, strict=True)
    )
    return product(*axes)


def window(x: np.ndarray, spans: Sequence[Span], dtype: np.dtype) -> np.ndarray:
    """``x[..., begin:end, ...]`` over its last axes in `dtype`, zeros outside; a view where one will do."""
    sizes = x.shape[x.ndim - len(spans) :]
    inner = tuple(slice(max(a, 0), max(0, min(b, n))) for (a, b), n in zip(spans, sizes, strict=True))
    part = x[(..., *inner)]
    if all(a >= 0 and b <= n for (a, b), n in zip(spans, sizes, strict=True)):
        return part.astype(dtype, copy=False)
    found = np.zeros(x.shape[: x.ndim - len(spans)] + tuple(b - a for a, b in spans), dtype)
    if part.size:
        found[(..., *(slice(s.start - a, s.stop - a) for s, (a, _) in zip(inner, spans, strict=True)))] = part
    return found


def read_spans(p: ConvProblem, box: Sequence[Span]) -> list[Span]:
    """Per spatial axis, the samples that outputs ``begin..end - 1`` read."""
    return [
        (a * s - lo, (b - 1) * s - lo + (k - 1) * d + 1)
        for (a, b), s, (lo, _), k, d in zip(box, p.stride, p.pads, p.kernel_size, p.rhs_dilation, strict=True)
    ]


def correlation_kernel(p: ConvProblem, w: np.ndarray) -> np.ndarray:
    """`w` in the result's dtype, turned round where the problem is a convolution."""
    if p.flip:
        w = w[(..., *(slice(None, None, -1),) * p.ndim)]
    return w.astype(p.dtype, copy=False)


class Scratch(threading.local):
    """Arrays that a worker keeps from one job to the next, by name."""

    def __init__(self) -> None:
        self.kept: dict[str, np.ndarray] = {}

    def take(self, name: str, shape: Ints, dtype: np.dtype) -> np.ndarray:
        """An array of arbitrary content; the last one of that name is given up."""
        size = prod(shape)
        flat = self.kept.get(name)
        if flat is None or flat.size < size:
            flat = self.kept[name] = np.empty(size, dtype)
        return flat[:size].reshape(shape)
