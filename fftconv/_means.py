"""A call as a normalised convolution: what its windows see, spelled out, and the means in the caller's array.

The sums that means are made of, and what is lost where there is nothing to sum, are in `_normalised`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fftconv._around import Around
from fftconv._broadcast import Array
from fftconv._door import CONVOLVE, Call
from fftconv._mean_kernel import Kernel
from fftconv._normalised import Samples, normalise, without_data
from fftconv._recipe import DType, native
from fftconv._samples import View
from fftconv._window_sums import Region, Sums
from fftconv.core.engine import get_engine
from fftconv.core.problem import Ints
from fftconv.core.spare import Take, desk
from fftconv.core.sweeps import Strip, for_strips


def averaged(call: Call, view: View, b: Array, out: Array) -> tuple[Array, Any]:
    """The normalised convolution in `out`, and where it is lost or kept missing."""
    ndim = out.ndim
    a, b = (native(v.reshape((1,) * (ndim - v.ndim) + v.shape)) for v in (view.data, b))
    axes = call.axes(ndim)
    kept, samples = _samples(view, a.shape, axes)
    with desk(get_engine(np.float64)) as take:
        x = take(a.shape, np.result_type(a.dtype, np.float64))
        _fill(x, a, samples, call.options.request.workers)
        seen = _Seen.of(call, (a.shape, b.shape), x, samples)
        if view.inside is not None:
            seen = seen._replace(data=view.inside)
        sums = seen.sums(call, axes, b.shape, take)
        kernel = Kernel.of(_taps(b, axes, call.door.correlate), sums, _real(a.dtype, b.dtype))
        kernel.check()
        wide = np.result_type(seen.x.dtype, kernel.dtype)
        # whatever `out` shares memory with is still needed
        needed = (a, b, kept, samples.missing)
        alone = out.dtype == wide and not any(np.may_share_memory(out, v) for v in needed)
        values = out if alone else take(out.shape, wide)
        region, gone = normalise(sums, kernel, seen.samples, seen.x, values)
        if seen.data is not None:
            region, gone = _without_samples(sums, kernel, seen, values, (region, gone))
        if not alone:
            _round(values, out)
    keeps = view.policy == "omit_keep"
    if gone is None and not keeps:
        return out, np.ma.nomask
    lost = np.zeros(out.shape, bool)
    if gone is not None:
        lost[region] = gone
    if keeps:
        lost |= kept
        np.copyto(out, np.nan, where=kept)
    return out, lost


class _Seen(NamedTuple):
    """What the windows of a call see: samples of in1 by its mode, or with what lies outside spelled out.

    Attributes
    ----------
    mode : str
    x : ndarray
        The samples, weighted.
    samples : Samples
    data : ndarray of bool or None
        Which of them are samples of in1, where some are not and have a weight.
    """

    mode: str
    x: Array
    samples: Samples
    data: Array | None

    @classmethod
    def of(cls, call: Call, shapes: tuple[Ints, Ints], x: Array, samples: Samples) -> _Seen:
        around = Around.of(call, shapes)
        if around is None:
            return cls(call.mode, x, samples, None)
        if around.is_empty:
            return cls(call.mode, x, samples._replace(outside=False), None)
        wide = around.samples(x.astype(np.result_type(x, np.asarray(around.fill).dtype), copy=False))
        weights = None if samples.weights is None else around.weights(samples.weights)
        data = around.data(~samples.missing) if around.is_filled else None
        return cls("valid", wide, Samples(~around.weights(~samples.missing), weights, samples.outside), data)

    def sums(self, call: Call, axes: Ints, kernel: Ints, take: Take) -> Sums:
        """The convolutions of arrays like these."""
        window = (CONVOLVE if self.mode == "valid" else call.door).windows[self.mode]
        sizes = {axis: (self.x.shape[axis], kernel[axis]) for axis in axes}
        windows = {axis: window(*sizes[axis]) for axis in axes}
        return Sums(self.mode, call.options._replace(axes=axes, extension=None), windows, sizes, take)


def _without_samples(
    sums: Sums, kernel: Kernel, seen: _Seen, values: Array, lost: tuple[Region, Array | None]
) -> tuple[Region, Array]:
    """What is lost where outputs that see missing samples and no others, but a fill value, are lost too."""
    assert seen.data is not None
    region, gone = lost
    alone = without_data(sums, kernel, seen.samples.missing, seen.data)
    np.copyto(values, np.nan, where=alone)
    if gone is not None:
        alone = np.broadcast_to(alone, values.shape).copy()
        alone[region] |= gone
    return sums.everything(values.ndim), alone


def _fill(x: Array, a: Array, samples: Samples, workers: int) -> None:
    """The samples of `a`, weighted, with zeros for what is missing."""
    missing = np.broadcast_to(samples.missing, a.shape)
    weights = None if samples.weights is None else np.broadcast_to(samples.weights, a.shape)

    def fill(strip: Strip) -> None:
        part = x[strip]
        np.copyto(part, a[strip])
        np.copyto(part, 0, where=missing[strip])
        if weights is not None:
            with np.errstate(all="ignore"):
                part *= weights[strip]

    for_strips(a.shape, fill, workers)


def _real(data: DType, taps: DType) -> DType:
    """In which weights are summed: complex only where the kernel is."""
    return np.result_type(np.empty(0, data).real.dtype, taps, np.float64)


def _taps(b: Array, axes: Ints, correlate: bool) -> Array:
    """The kernel as a convolution has it, in a floating dtype."""
    if b.dtype.kind in "biu":
        b = b.astype(np.float64)
    return np.flip(b, axes).conj() if correlate else b


def _samples(view: View, shape: Ints, axes: Ints) -> tuple[Array, Samples]:
    """What is missing, without and with what has no weight, with batch axes of length 1 where entries agree."""

    def spread(a: Array) -> Array:
        a = a.reshape((1,) * (len(shape) - a.ndim) + a.shape)
        return np.broadcast_to(a, [n if i in axes else a.shape[i] for i, n in enumerate(shape)])

    missing = np.zeros((1,) * len(shape), bool) if view.missing is None else view.missing
    missing = kept = _shared(spread(missing), axes)
    if view.weights is None:
        return kept, Samples(missing, None, view.outside)
    weights = spread(view.weights.astype(np.result_type(view.weights, np.float64), copy=False))
    missing = missing | (weights == 0)
    return kept, Samples(missing, np.where(missing, 0, weights), view.outside)


def _shared(flags: Array, axes: Ints) -> Array:
    """`flags` with length 1 along every batch axis on which all entries are the same."""
    for i in set(range(flags.ndim)) - set(axes):
        first, second = (flags.take(range(j, min(j + 1, flags.shape[i])), i) for j in (0, 1))
        if flags.shape[i] > 1 and (first == second).all() and (flags == first).all():
            flags = first
    return flags


def _round(values: Array, out: Array) -> None:
    with np.errstate(over="ignore", under="ignore"):
        np.copyto(out, values, casting="same_kind")
