"""Sums over what there is: the kernel's weight restricted to the part of a window that lies inside the array.

With W the sum of all taps and W(m) the sum of those that meet a sample, output m is the sum with zeros outside
times ``W / W(m)``. The weights follow from the kernel alone: along an axis, output m of the full convolution of n
samples meets the taps ``max(0, m - n + 1) .. min(k - 1, m)``. Where that is all k of them the factor is 1, and nothing
is done.

The weights are sums of taps without a difference among them, so small ones are as accurate as large ones: taps are
summed from the left and from the right within blocks of ``min(n, k)``, of which a window covers a whole one, an end
of one, or ends of two neighbours (van Herk 1992 and Gil and Werman 1993 find running maxima so).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from fftconv._broadcast import Array, Axis
from fftconv.core.problem import Ints

# The part of a kernel that is not to be told from zero in sums that hold all of it. A float32 kernel made to sum to
# zero does so to about this part.
FAINT = 2.0**-20

# Factors are kept for kernels up to this size: for short arrays finding them takes longer than the sums.
REMEMBERED_BYTES = 2**14

Correction = tuple[tuple[slice, ...], Array]
"""A part of the result, and the factors that belong to it."""


@dataclass(frozen=True)
class Restriction:
    """Which axes of a call have no weight outside.

    Attributes
    ----------
    axes : tuple of Axis
        Every axis of the result.
    weightless : tuple of bool
        Per axis; never True where nothing is convolved.
    correlate : bool
        Whether the kernel is reversed and conjugated.
    """

    axes: tuple[Axis, ...]
    weightless: tuple[bool, ...]
    correlate: bool

    def corrections(self, w: Array) -> list[Correction]:
        """The parts of the result that read outside, and the factors ``W / W(m)``; NaN where ``W(m)`` is 0.

        Raises
        ------
        ValueError
            Where a kernel's taps sum to zero: no scale is left to restore.
        """
        if w.nbytes > REMEMBERED_BYTES:
            return self._worked_out(w)
        return _remembered(self, w.tobytes(), w.dtype.char, w.shape)

    def _worked_out(self, w: Array) -> list[Correction]:
        with np.errstate(all="ignore"):
            return list(self._corrections(w))

    def _corrections(self, w: Array) -> Iterator[Correction]:
        convolved = tuple(i for i, a in enumerate(self.axes) if a.window is not None)
        weights = self._aligned(w, convolved)
        total = weights.sum(convolved, keepdims=True)
        _check_total(total, np.abs(weights).sum(convolved, keepdims=True))
        weights = weights.sum(tuple(i for i in convolved if not self.weightless[i]), keepdims=True)
        reaches = {i: Reach.of(self.axes[i]) for i in convolved if self.weightless[i]}
        for i, reach in reaches.items():
            weights = restricted(weights, i, reach)
        return _margins(np.where(weights == 0, np.nan, total / weights), reaches)

    def _aligned(self, w: Array, convolved: tuple[int, ...]) -> Array:
        """The taps in the order of the full convolution, one axis for each of the result."""
        w = w.reshape((1,) * (len(self.axes) - w.ndim) + w.shape)
        w = w.astype(np.result_type(w.dtype, np.float64), copy=False)
        return np.flip(w.conj(), convolved) if self.correlate else w


@lru_cache(maxsize=64)
def _remembered(restriction: Restriction, values: bytes, char: str, shape: Ints) -> list[Correction]:
    return restriction._worked_out(np.frombuffer(values, char).reshape(shape))


@dataclass(frozen=True)
class Settled:
    """The corrections of a kernel that stays."""

    found: list[Correction]

    def corrections(self, w: Array) -> list[Correction]:
        return self.found


def _check_total(total: Array, magnitude: Array) -> None:
    flat = np.abs(total) <= FAINT * magnitude
    if flat.any():
        raise ValueError(
            "boundary='renormalize' divides by the kernel's weight and needs taps whose sum is not zero; got the sum "
            f"{total[flat].flat[0]:.3g} of taps of total magnitude {magnitude[flat].flat[0]:.3g}"
        )


class Zone(NamedTuple):
    """Neighbouring outputs of one axis, and their places among the factors; the middle ones meet every tap."""

    outputs: slice
    factors: slice
    middle: bool


@dataclass(frozen=True)
class Reach:
    """The taps ``first..last`` that the outputs of one axis meet, those of the middle named once."""

    block: int
    zones: tuple[Zone, ...]
    first: Array
    last: Array

    @classmethod
    def of(cls, axis: Axis) -> Reach:
        n, k, (start, length) = axis.n, axis.k, axis.window or (0, 0)
        left = min(length, max(0, k - 1 - start)) if k <= n else length
        right = max(left, min(length, n - start))
        middle = int(left < right)
        zones = (
            Zone(slice(0, left), slice(0, left), False),
            Zone(slice(left, right), slice(left, left + middle), True),
            Zone(slice(right, length), slice(left + middle, None), False),
        )
        at = start + np.concatenate([np.arange(left + middle), np.arange(right, length)])
        kept = tuple(zone for zone in zones if zone.outputs.start < zone.outputs.stop)
        return cls(min(n, k), kept, np.maximum(0, at - n + 1), np.minimum(k - 1, at))


def restricted(w: Array, axis: int, reach: Reach) -> Array:
    """Sums along `axis` of the taps that a reach names."""
    shape, block = w.shape, reach.block
    blocks = -(-shape[axis] // block)
    if blocks * block > shape[axis]:
        w = np.pad(w, [(0, blocks * block - k if i == axis else 0) for i, k in enumerate(shape)])
    cut = w.reshape(*shape[:axis], blocks, block, *shape[axis + 1 :])
    upto = cut.cumsum(axis + 1).reshape(w.shape)
    since = np.flip(np.flip(cut, axis + 1).cumsum(axis + 1), axis + 1).reshape(w.shape)
    whole = reach.first % block == 0
    alone = reach.first // block == reach.last // block
    column = (-1, *(1,) * (w.ndim - 1 - axis))
    head = np.where(whole.reshape(column), 0, since.take(reach.first, axis))
    tail = np.where((alone & ~whole).reshape(column), 0, upto.take(reach.last, axis))
    found: Array = head + tail
    return found


def _margins(factors: Array, reaches: dict[int, Reach]) -> Iterator[Correction]:
    """Every part of the result that is not in the middle of all axes."""
    for zones in product(*(reach.zones for reach in reaches.values())):
        if not all(zone.middle for zone in zones):
            outputs, places = [_ALL] * factors.ndim, [_ALL] * factors.ndim
            for i, zone in zip(reaches, zones, strict=True):
                outputs[i], places[i] = zone.outputs, zone.factors
            yield tuple(outputs), factors[tuple(places)]


_ALL = slice(None)


def correct(out: Array, corrections: Sequence[Correction]) -> None:
    """Multiply every part by its factors."""
    with np.errstate(all="ignore"):
        for part, factors in corrections:
            np.multiply(out[part], factors, out=out[part], casting="same_kind")
