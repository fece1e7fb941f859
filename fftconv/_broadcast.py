"""Two arrays of any shape as one canonical problem: views only, never a loop over the batch.

Every axis of a broadcast N-d convolution is one of five, by the lengths ``n`` of `x` and ``k`` of `w`:

=========  ==========================  ====================================================
kind       lengths                     becomes
=========  ==========================  ====================================================
spatial    convolved, n > 1, k > 1     a spatial axis
x-only     k == 1                      a spatial axis of kernel length 1, or N where it leads
w-only     n == 1                      output channels O (one result per kernel)
paired     not convolved, n == k > 1   groups G (kernel i belongs to signal i)
unit       n == k == 1                 nothing
=========  ==========================  ====================================================

so that ``x (N, G, *S)``, ``w (G*O, 1, *K)`` and ``out (N, G*O, *M)`` are a slice, a transpose and a reshape of what
the caller gave. What the caller wants of each convolved axis is a window ``[start, start + length)`` of the full
convolution, whose sample m is ``sum_j w[j] x[m - j]``. As a correlation with the reversed kernel that window has
pads ``lo = k - 1 - start`` and ``hi = start + length - n``; on an x-only or w-only axis it is a slice.

Windows do not care which operand is called the kernel, so the shorter one is: convolution commutes. Correlation is
the convolution of `in1` with ``rev(conj(in2))``; where `in2` is the kernel its reversal and that of the convolution
cancel (``flip=False``), and where it takes the part of `x` it is viewed backwards and the conjugate goes
to the other two: ``in1 * conj(in2) = conj(conj(in1) * in2)``.

Where something other than zeros lies outside in1, it lies outside in1 only: then in2 is the kernel, however long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.boundary import Boundary, Outside
from fftconv.core.problem import ConvProblem, Ints

Array = np.ndarray
Window = Callable[[int, int], tuple[int, int]]


def full(n: int, k: int) -> tuple[int, int]:
    """Start and length of everything."""
    return 0, n + k - 1


def same(n: int, k: int) -> tuple[int, int]:
    """As long as the first operand; the centre of an even kernel is the sample before its middle."""
    return (k - 1) // 2, n


def same_late(n: int, k: int) -> tuple[int, int]:
    """`same` with the centre of an even kernel one sample later, as scipy.signal.correlate2d has it."""
    return k // 2, n


def valid(n: int, k: int) -> tuple[int, int]:
    """Where the shorter operand lies wholly inside the longer one."""
    return min(n, k) - 1, abs(n - k) + 1


class Axis(NamedTuple):
    """One axis: both lengths, the window of the full output where it is convolved, what lies outside in1, its value."""

    n: int
    k: int
    window: tuple[int, int] | None
    boundary: Boundary = Boundary.ZERO
    fill: Any = 0

    @property
    def is_spatial(self) -> bool:
        return self.window is not None and (self.n > 1 or self.boundary > 0) and self.k > 1

    @property
    def length(self) -> int:
        """Of the result."""
        if self.window is not None:
            return self.window[1]
        return self.n if self.k == 1 else self.k

    def swapped(self) -> Axis:
        return self._replace(n=self.k, k=self.n)


class Part(NamedTuple):
    """An axis with its kind, the slices of both operands that serve it, the lengths they leave, and its pads."""

    kind: str
    x: slice
    w: slice
    n: int
    k: int
    pads: tuple[int, int]


@dataclass(frozen=True)
class View:
    """How an array is seen canonically: index, then transpose, then reshape; None where a step does nothing."""

    index: tuple[Any, ...] | None
    order: Ints | None
    shape: Ints

    def of(self, a: Array) -> Array:
        if self.index is not None:
            a = a[self.index]
        if self.order is not None:
            a = a.transpose(self.order)
        return a.reshape(self.shape)

    def put(self, canonical: Array, a: Array) -> None:
        """Copy `canonical` to where `of` reads it in `a`, for where that is not a view."""
        there = a if self.index is None else a[self.index]
        if self.order is not None:
            there = there.transpose(self.order)
        there[...] = canonical.reshape(there.shape)


@dataclass(frozen=True)
class Layout:
    """A problem, and how the caller's arrays are its operands.

    Attributes
    ----------
    problem : ConvProblem
    shape : tuple of int
        Shape of the result as the caller sees it.
    swap : bool
        True where in2 takes the part of `x`.
    conj_w, conj_out : bool
        Which of kernel and result are to be conjugated.
    x, w, out : View
        Canonical views of the operands (after `swap`) and of the result.
    merges : bool
        True where several axes of the result make up one canonical axis, which not every array allows as a view.
    """

    problem: ConvProblem
    shape: Ints
    swap: bool
    conj_w: bool
    conj_out: bool
    x: View
    w: View
    out: View
    merges: bool

    def operands(self, in1: Array, in2: Array) -> tuple[Array, Array]:
        """Canonical `x` and `w`."""
        if self.swap:
            in1, in2 = in2, in1
        w = self.w.of(in2)
        return self.x.of(in1), w.conj() if self.conj_w else w


def lay_out(
    axes: Sequence[Axis], ndims: tuple[int, int], dtypes: Sequence[np.dtype], correlate: bool, swap: bool
) -> Layout:
    """The layout of a problem whose lengths are all positive.

    Parameters
    ----------
    axes : sequence of Axis
        In the order of the caller; an operand with fewer axes has length 1 on the leading ones.
    ndims : (int, int)
        Axes that in1 and in2 really have.
    dtypes : sequence of numpy.dtype
        Those of in1, in2 and the result, native.
    correlate : bool
        Whether in2 is reversed and conjugated first.
    swap : bool
        Whether in2 takes the part of the signal; see `swap_pays`.
    """
    roles = (1, 0) if swap else (0, 1)
    parts = [
        _part(a.swapped() if swap else a, reverse_x=correlate and swap, reverse_w=correlate and not swap)
        for a in axes
    ]
    order = _Order.of(parts)
    sizes = [(parts[i].n, parts[i].k, parts[i].pads) for i in order.space] or [(1, 1, (0, 0))]
    input_size, kernel_size, pads = zip(*sizes, strict=True)
    ones = (1,) * len(sizes)
    problem = ConvProblem(
        batch=prod(parts[i].n for i in order.batch),
        in_channels=prod(parts[i].n for i in order.paired),
        out_channels=prod(parts[i].k for i in order.paired + order.w_only),
        groups=prod(parts[i].n for i in order.paired),
        input_size=input_size,
        kernel_size=kernel_size,
        pads=pads,
        stride=ones,
        lhs_dilation=ones,
        rhs_dilation=ones,
        flip=swap or not correlate,
        x_dtype=dtypes[roles[0]],
        w_dtype=dtypes[roles[1]],
        dtype=dtypes[2],
        outside=Outside.of(
            [axes[i].boundary for i in order.space], next((a.fill for a in axes if a.fill), 0)
        ),
    )
    missing = [len(axes) - n for n in ndims]
    conjugate = correlate and dtypes[1].kind == "c"
    return Layout(
        problem=problem,
        shape=tuple(a.length for a in axes),
        swap=swap,
        conj_w=conjugate and dtypes[roles[1]].kind == "c",
        conj_out=conjugate and swap,
        x=View(_index([p.x for p in parts], missing[roles[0]]), _permutation(order.of_x), problem.x_shape),
        w=View(_index([p.w for p in parts], missing[roles[1]]), _permutation(order.of_w), problem.w_shape),
        out=View(None, _permutation(order.of_out), problem.out_shape),
        merges=len(order.paired + order.w_only) > 1,
    )


def swap_pays(axes: Sequence[Axis]) -> bool:
    """Whether in2 should take the part of the signal: it is longer, and in1 would not become a bank of kernels."""
    spatial = [a for a in axes if a.is_spatial]
    if any(a.boundary for a in spatial):
        return False
    if prod(a.k for a in spatial) <= prod(a.n for a in spatial):
        return False
    batch1 = prod(a.n for a in axes if a.k == 1)
    batch2 = prod(a.k for a in axes if a.n == 1)
    return batch1 == 1 or batch2 > 1


_ALL, _BACKWARDS = slice(None), slice(None, None, -1)


def _part(axis: Axis, reverse_x: bool, reverse_w: bool) -> Part:
    n, k, window, *_ = axis
    x = w = _ALL
    if window is not None:
        start, length = window
        if axis.is_spatial:
            pads = (k - 1 - start, start + length - n)
            return Part("spatial", _BACKWARDS if reverse_x else _ALL, _ALL, n, k, pads)
        if k == 1:
            x, n = _pick(n, window, reverse_x), length
        else:
            w, k = _pick(k, window, reverse_w), length
    kind = ("unit" if n == 1 else "x_only") if k == 1 else ("w_only" if n == 1 else "paired")
    return Part(kind, x, w, n, k, (0, 0))


def _pick(n: int, window: tuple[int, int], reverse: bool) -> slice:
    """The window of an axis of length n, read backwards if so wanted."""
    start, length = window
    if length == n and not (reverse and n > 1):
        return _ALL
    if not reverse:
        return slice(start, start + length)
    first = n - 1 - start
    return slice(first, first - length if first >= length else None, -1)


@dataclass(frozen=True)
class _Order:
    """The axes by what they become, each group in the caller's order."""

    batch: Ints
    paired: Ints
    w_only: Ints
    space: Ints
    unit: Ints

    @classmethod
    def of(cls, parts: Sequence[Part]) -> _Order:
        def kind(*names: str) -> Ints:
            return tuple(i for i, p in enumerate(parts) if p.kind in names)

        space = kind("spatial", "x_only")
        # a leading x-only axis before something to transform is what the executors call the batch
        leads = parts[space[0]].kind == "x_only" and kind("spatial") if space else ()
        batch, space = (space[:1], space[1:]) if leads else ((), space)
        return cls(batch, kind("paired"), kind("w_only"), space, kind("unit"))

    @property
    def of_x(self) -> Ints:
        return self.batch + self.paired + self.space + self.w_only + self.unit

    @property
    def of_w(self) -> Ints:
        return self.paired + self.w_only + self.space + self.batch + self.unit

    @property
    def of_out(self) -> Ints:
        return self.batch + self.paired + self.w_only + self.space + self.unit


def _index(slices: Sequence[slice], missing: int) -> tuple[Any, ...] | None:
    """The index that gives `missing` leading axes and takes `slices`, or None where it takes everything."""
    if missing == 0 and all(s is _ALL for s in slices):
        return None
    # on an axis that is not there the operand has length 1, of which every window is all
    return (None,) * missing + tuple(slices[missing:])


def _permutation(order: Ints) -> Ints | None:
    return None if order == tuple(range(len(order))) else order
