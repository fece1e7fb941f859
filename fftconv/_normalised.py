"""Normalised convolution: weighted means over the samples that are there.

With samples ``x``, their weights ``W`` (0 where one is missing) and a kernel ``k`` of sum s, the result is

    out = s * conv(x W, k) / conv(W, k),

the ordinary convolution where nothing is missing, and elsewhere that of an array whose missing samples have the value
of the mean around them (H. Knutsson, C.-F. Westin, Normalized and differential convolution, CVPR 1993). Outside the
array there are samples of value 0 and weight 1, as there are in the ordinary convolution, or samples of no weight.

Three things are taken care of:

* *No data* is told by counts, which are exact: an output is lost where its taps that are not zero meet missing
  samples and none that is there. No weight is too small to be one.
* Missing samples are few or come in patches. Of ``W = 1 - M`` only M is convolved, ``conv(W, k) = s - conv(M, k)``,
  and only around what is missing.
* Rounding errs in proportion to s, not to what is left of it. Where less than a millionth (`FAINT`) of the kernel sees
  data, both sums are made again directly, from what is there alone. There a kernel with taps of both signs may
  cancel, and an output in which it does to within rounding has no mean: it is lost too.

All sums are made in float64 at least.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fftconv._broadcast import Array, full, same, valid
from fftconv._recipe import Door, DType, Options, recipe_for
from fftconv._renormalize import FAINT
from fftconv.core.spare import Take
from fftconv.core.support import bounding_box
from fftconv.core.sweeps import Strip, for_strips

Region = tuple[slice, ...]
"""Some of the outputs: a slice per axis, with begin and end on the convolved ones."""

CONVOLVE = Door({"full": full, "same": same, "valid": valid})

# Outputs of one block in which sums are made again, per convolved axis: 1, 2, or more of them.
_BLOCKS = (1024, 32, 12)


class Samples(NamedTuple):
    """What there is of an array. Batch axes have length 1 where their entries agree.

    Attributes
    ----------
    missing : ndarray of bool
        True where a sample is not there or has no weight.
    weights : ndarray or None
        How much each counts, 0 where missing; None where all that are there count 1.
    outside : bool
        Whether what lies outside has a weight of 1, or none.
    """

    missing: Array
    weights: Array | None
    outside: bool

    @property
    def present(self) -> Array:
        return (~self.missing).astype(np.float64) if self.weights is None else self.weights


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


@dataclass(frozen=True)
class Kernel:
    """The taps of a convolution, as many dimensions as the array has, and what follows from them."""

    taps: Array
    dtype: DType
    total: Array
    magnitude: Array
    one_sign: bool

    @classmethod
    def of(cls, taps: Array, sums: Sums, dtype: DType) -> Kernel:
        """`dtype` is the one in which weights are summed."""
        one_sign = taps.dtype.kind != "c" and bool(taps.min() >= 0 or taps.max() <= 0)
        total, magnitude = sums.total(taps), sums.total(np.abs(taps))
        return cls(taps, dtype, total.astype(dtype), magnitude.astype(dtype).real, one_sign)

    def check(self) -> None:
        """Refuse kernels without a sum to divide by."""
        zero = np.abs(self.total) <= FAINT * self.magnitude
        if zero.any():
            which = f"; of {zero.size} kernels {zero.sum()} do" if zero.size > 1 else ""
            raise ValueError(
                f"in2 must not sum to zero where samples are missing or weighted: results are scaled to what is "
                f"left of its sum, got {self.total.ravel()[zero.ravel().argmax()]:.3g}{which}. Fill the gaps first, "
                f"with zeros or with a smoothing kernel's result, and convolve that without mask, weights and "
                f"nan_policy"
            )


def may_sum_to_zero(kernel: Array, axes: tuple[int, ...]) -> bool:
    """Whether `Kernel.check` might refuse a kernel with these axes; a quick look that errs on the safe side."""
    wide = kernel.astype(np.result_type(kernel.dtype, np.float64))
    return not bool((np.abs(wide.sum(axes)) > 2 * FAINT * np.abs(wide).sum(axes)).all())


def normalise(
    sums: Sums, kernel: Kernel, samples: Samples, x: Array, values: Array
) -> tuple[Region, Array | None]:
    """``s * conv(x W, k) / conv(W, k)``.

    Parameters
    ----------
    x : ndarray
        With zeros for what is missing, already weighted.
    values : ndarray
        For the result, in the dtype in which sums are made. It shares no memory with anything else.

    Returns
    -------
    region : tuple of slice
    lost : ndarray or None
        Which of the values in `region` are lost, and NaN; None where none is.
    """
    first = sums if _has_zeros(x, samples.missing) else sums.roughly()
    first.whole(x, kernel.taps, values)
    region = sums.everything(x.ndim)
    if samples.weights is None and samples.outside:
        near = sums.reached(samples.missing)
        if near is None:
            return region, None
        region = near
    task, part, lost = _Task(sums.roughly(), kernel, samples, region), values[region], None
    weight = task.weight()
    if task.in_doubt(weight):
        lost = task.without_data()
        faint = (np.abs(weight) <= task.limit) & ~lost
        if faint.any():
            lost = lost | task.repair(x, part, weight, faint)
    task.scale(part, weight, lost)
    return region, lost


def _has_zeros(x: Array, missing: Array) -> bool:
    """Whether `x` has zeros other than its gaps, which may have to show in its sums."""
    gaps = np.count_nonzero(missing) * (x.size // missing.size)
    return bool(np.count_nonzero(x) < x.size - gaps)


def without_data(sums: Sums, kernel: Kernel, missing: Array, data: Array) -> Array:
    """Where taps that are not zero meet missing samples and no data; what is neither is beside the point."""
    taps = (kernel.taps != 0).astype(np.uint8)
    region, like = sums.everything(data.ndim), (np.dtype(np.int64), 0.0)
    gaps, found = (sums.freely().part(a.astype(np.uint8), taps, region, like) for a in (missing, data))
    lost: Array = (found == 0) & (gaps > 0)
    return lost


@dataclass(frozen=True)
class _Task:
    """The outputs of a region, and the samples that they see."""

    sums: Sums
    kernel: Kernel
    samples: Samples
    region: Region

    def weight(self) -> Array:
        """The kernel's sum over what is there."""
        k, present = self.kernel, self.samples.weights
        if present is not None:
            weight = self.sums.part(present, k.taps, self.region, (k.dtype, 0.0))
            for edge in self.sums.edges(self.region) if self.samples.outside else ():
                weight[_within(edge, self.region)] += self.sums.beyond(k.taps, edge, k.dtype)
            return weight
        whole = k.total if self.samples.outside else self.sums.inside(k.taps, self.region, k.dtype)
        if not self.samples.missing.any():
            return whole
        weight = self.sums.part(self.samples.missing, k.taps, self.region, (k.dtype, 0.0))
        np.subtract(whole, weight, out=weight)
        return weight

    def scale(self, values: Array, weight: Array, lost: Array | None) -> None:
        """Divide by what is left of the kernel's sum, in place."""
        shape = values.shape
        total, weight = (np.broadcast_to(a, shape) for a in (self.kernel.total, weight))
        gone = None if lost is None else np.broadcast_to(lost, shape)

        def work(strip: Strip) -> None:
            part = values[strip]
            with np.errstate(all="ignore"):
                part *= total[strip] / weight[strip]
            if gone is not None:
                np.copyto(part, np.nan, where=gone[strip])

        for_strips(shape, work, self.sums.options.request.workers)

    @property
    def limit(self) -> Array:
        """The weight below which an output is faint."""
        return FAINT * self._peak * self.kernel.magnitude

    @property
    def _peak(self) -> float:
        """The weight of the samples that count most."""
        return 1.0 if self.samples.weights is None else float(self.samples.weights.max(initial=0))

    def in_doubt(self, weight: Array) -> bool:
        """Whether there may be outputs without data, or faint ones."""
        if _any_within(weight, self.limit):
            return True
        if not (self.samples.outside and self.samples.missing.any()):
            return False
        # at an edge, what lies outside has part in the weight, and is no data
        k = self.kernel
        rounding = FAINT * max(self._peak, 1.0) * k.magnitude
        for edge in self.sums.edges(self.region):
            near = weight[_within(edge, self.region)]
            dim = np.abs(near - self.sums.beyond(k.taps, edge, k.dtype)) <= rounding
            if (dim & (near != k.total) if k.one_sign else dim).any():
                return True
        return False

    def without_data(self) -> Array:
        """Where taps that are not zero meet missing samples, and none that is there."""
        taps = (self.kernel.taps != 0).astype(np.uint8)
        count = self.sums.freely().part(
            self.samples.missing.astype(np.uint8), taps, self.region, (np.dtype(np.int64), 0)
        )
        there = self.sums.inside(taps.astype(np.int64), self.region, count.dtype) - count
        lost: Array = there == 0
        return lost & (count > 0) if self.samples.outside else lost

    def repair(self, x: Array, values: Array, weight: Array, faint: Array) -> Array:
        """Make both sums again, in place, around the faint outputs; where the kernel cancels is returned."""
        k, direct = self.kernel, self.sums.directly()
        cancelled = np.zeros(faint.shape, bool)
        around = 1.0 if self.samples.outside else 0.0
        present = self.samples.present
        for here, there in self._blocks(faint):
            todo = faint[here]
            w = direct.part(present, k.taps, there, (k.dtype, around))
            np.copyto(weight[here], w, where=todo)
            np.copyto(values[here], direct.part(x, k.taps, there, (values.dtype, 0.0)), where=todo)
            if not k.one_sign:
                size = direct.part(present, np.abs(k.taps), there, (k.magnitude.dtype, around))
                cancelled[here] = todo & (np.abs(w) <= self._rounding * size)
        return cancelled

    @property
    def _rounding(self) -> float:
        """Relative error of a direct sum over the kernel."""
        taps = np.prod([k for _, k in self.sums.sizes.values()])
        return float(taps * np.finfo(self.kernel.dtype).eps)

    def _blocks(self, flags: Array) -> Iterator[tuple[Region, Region]]:
        """Blocks of outputs with flags in them, as part of the region and of all outputs."""
        axes = tuple(self.sums.sizes)
        anywhere = np.asarray(flags.any(tuple(a for a in range(flags.ndim) if a not in axes), keepdims=True))
        box = bounding_box(anywhere)
        assert box is not None
        edge = _BLOCKS[min(len(axes), 3) - 1]
        for corner in product(*(range(*box[a], edge) for a in axes)):
            here: list[Any] = [slice(None)] * flags.ndim
            there = list(here)
            for axis, begin in zip(axes, corner, strict=True):
                end = min(begin + edge, box[axis][1])
                here[axis] = slice(begin, end)
                first = self.region[axis].start
                there[axis] = slice(first + begin, first + end)
            if anywhere[tuple(here)].any():
                yield tuple(here), tuple(there)


def _any_within(a: Array, limit: Array) -> bool:
    """Whether any magnitude is at most `limit`; one pass where all are far above it."""
    if a.dtype.kind != "c" and a.min() > limit.max():
        return False
    return bool((np.abs(a) <= limit).any())


def _within(part: Region, region: Region) -> Region:
    """`part` as a part of `region`."""
    return tuple(
        slice(p.start - r.start, p.stop - r.start) if r.start is not None else p
        for p, r in zip(part, region, strict=True)
    )
