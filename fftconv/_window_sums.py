"""Convolutions of arrays of one size with kernels of one size: all outputs, or those of a region, and sums of taps.

What an output is divided by is such a sum too: over the taps that meet the array, or over those that do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fftconv._broadcast import Array
from fftconv._door import CONVOLVE
from fftconv._recipe import DType, Options, recipe_for
from fftconv.core.spare import Take
from fftconv.core.support import bounding_box

Region = tuple[slice, ...]
"""Some of the outputs: a slice per axis, with begin and end on the convolved ones."""


@dataclass(frozen=True)
class Sums:
    """Convolutions of arrays of one size with kernels of one size.

    Attributes
    ----------
    mode : str
    options : Options
    windows : mapping from int to (int, int)
        Per convolved axis, the window of the full convolution that `mode` means.
    sizes : mapping from int to (int, int)
        Per convolved axis, the lengths of array and kernel.
    take : callable
        Where scratch comes from.
    """

    mode: str
    options: Options
    windows: Mapping[int, tuple[int, int]]
    sizes: Mapping[int, tuple[int, int]]
    take: Take

    def whole(self, a: Array, taps: Array, out: Array) -> None:
        """Every output, by the caller's options."""
        _convolve((a, taps), self.mode, self.options, out)

    def part(self, a: Array, taps: Array, region: Region, like: tuple[DType, float]) -> Array:
        """The outputs in `region`; `like` is their dtype and what lies around `a`."""
        dtype, around = like
        shape, source, target = list(a.shape), [slice(None)] * a.ndim, [slice(None)] * a.ndim
        for axis, (n, k) in self.sizes.items():
            begin, end = region[axis].start, region[axis].stop
            first = begin + self.windows[axis][0] - (k - 1)
            shape[axis] = end - begin + k - 1
            source[axis] = slice(max(first, 0), max(0, min(first + shape[axis], n)))
            target[axis] = slice(source[axis].start - first, source[axis].stop - first)
        seen = self.take(tuple(shape), dtype if a.dtype.kind == "b" else a.dtype)
        _frame(seen, target, around)
        seen[tuple(target)] = a[tuple(source)]
        result = [max(pair) for pair in zip(shape, taps.shape, strict=True)]
        for axis in self.sizes:
            result[axis] = region[axis].stop - region[axis].start
        out = self.take(tuple(result), dtype)
        _convolve((seen, taps), "valid", self.options, out)
        return out

    def directly(self) -> Sums:
        """The same by sums that take in nothing but their own samples, for small parts."""
        request = replace(self.options.request, method="direct")
        return replace(self, options=self.options._replace(request=request), take=np.empty)

    def roughly(self) -> Sums:
        """The same, with zeros as rounding leaves them."""
        request = replace(self.options.request, zeros=False)
        return replace(self, options=self.options._replace(request=request))

    def freely(self) -> Sums:
        """The same by any method, for integers, which not every method takes."""
        request = replace(self.options.request, method=None)
        return replace(self, options=self.options._replace(request=request))

    def everything(self, ndim: int) -> Region:
        return tuple(slice(0, self.windows[a][1]) if a in self.windows else slice(None) for a in range(ndim))

    def reached(self, flags: Array) -> Region | None:
        """The outputs that see the box around the flags, if there are any."""
        box = bounding_box(flags)
        if box is None:
            return None
        region = list(self.everything(flags.ndim))
        for axis, (start, length) in self.windows.items():
            (p, q), k = box[axis], self.sizes[axis][1]
            begin, end = max(0, p - start), min(length, q + k - 1 - start)
            if begin >= end:
                return None
            region[axis] = slice(begin, end)
        return tuple(region)

    def inside(self, taps: Array, region: Region, dtype: DType) -> Array:
        """Of each output in `region`, the sum of the taps that meet the array."""
        return self.beyond(taps, region, dtype, False)

    def beyond(self, taps: Array, region: Region, dtype: DType, outside: bool = True) -> Array:
        """Of each output in `region`, the sum of the taps that do not meet the array, or of those that do.

        Outputs that see all taps are alike, so a table of the others and one of them holds every sum there is.
        """
        sums, places = _wide(taps), []
        total = sums
        for axis, (n, k) in self.sizes.items():
            at = np.arange(region[axis].start, region[axis].stop) + self.windows[axis][0]
            at -= np.clip(at - (k - 1), 0, max(n - k, 0))
            low, high = int(at.min()), int(at.max()) + 1
            running, every = _cumulated(sums, axis), np.arange(low, high)
            sums = running.take(np.clip(every + 1, 0, k), axis)
            sums = sums - running.take(np.clip(every - min(n, k) + 1, 0, k), axis)
            total = _cumulated(total, axis).take([k], axis)
            places.append((axis, at - low))
        sums = (total - sums if outside else sums).astype(dtype)
        for axis, at in places:
            sums = sums.take(at, axis)
        return sums

    def total(self, taps: Array) -> Array:
        """The sum of all taps of each kernel."""
        sums = _wide(taps)
        for axis, (_, k) in self.sizes.items():
            sums = _cumulated(sums, axis).take([k], axis)
        return sums

    def edges(self, region: Region) -> Iterator[Region]:
        """The parts of `region` that see what lies outside the array, each output once."""
        for axis, (n, k) in self.sizes.items():
            begin, end, start = region[axis].start, region[axis].stop, self.windows[axis][0]
            left = min(end, max(begin, k - 1 - start))
            right = max(left, min(end, n - start))
            for a, b in ((begin, left), (right, end)):
                if a < b:
                    yield (*region[:axis], slice(a, b), *region[axis + 1 :])
            if left == right:
                return
            region = (*region[:axis], slice(left, right), *region[axis + 1 :])


def _convolve(operands: tuple[Array, Array], mode: str, options: Options, out: Array) -> None:
    a, b = operands
    options = options._replace(dtype=out.dtype)
    recipe_for(CONVOLVE, (a.shape, a.dtype), (b.shape, b.dtype), mode, options)(a, b, out)


def _frame(a: Array, inner: Sequence[slice], value: float) -> None:
    """Set what lies around the box `inner` of `a`."""
    within: list[slice] = []
    for axis, part in enumerate(inner):
        begin, end, _ = part.indices(a.shape[axis])
        for margin in (slice(0, begin), slice(end, None)):
            a[(*within, margin)] = value
        within.append(part)


def _wide(taps: Array) -> Array:
    """`taps` in the precision in which they are summed; where that would be large, in their own."""
    if taps.dtype.kind in "iu" or taps.size > 2**20:
        return taps
    return taps.astype(np.result_type(taps.dtype, np.longdouble))


def _cumulated(a: Array, axis: int) -> Array:
    """Running sums along `axis`, the empty one first."""
    shape = list(a.shape)
    shape[axis] = 1
    sums: Array = np.concatenate([np.zeros(shape, a.dtype), np.cumsum(a, axis)], axis)
    return sums
