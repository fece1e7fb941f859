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

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from fftconv._broadcast import Array
from fftconv._mean_kernel import Kernel
from fftconv._renormalize import FAINT
from fftconv._window_sums import Region, Sums
from fftconv.core.support import bounding_box
from fftconv.core.sweeps import Strip, for_strips

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
