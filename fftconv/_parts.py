"""Means within a bound of memory: part by part of the result, from samples with what lies outside spelled out.

Sums of means are made in float64, in arrays as large as the data. Where `max_memory` leaves no room for these, the
outputs are cut into boxes, and each box is the `valid` mode of the window that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from fftconv._around import Around
from fftconv._broadcast import Array
from fftconv._door import Call
from fftconv._means import averaged
from fftconv._samples import View
from fftconv.core.excerpt import Box
from fftconv.core.plan import ScratchError
from fftconv.core.problem import Ints

# Numbers of float64 or complex128 that are held for every sample, output and tap at once.
PER_SAMPLE, PER_OUTPUT, PER_TAP = 6, 6, 8


def averaged_in_parts(call: Call, view: View, b: Array, out: Array, lost: Array | None) -> None:
    """The normalised convolution in `out`, which shares no memory with the operands; where it is lost in `lost`."""
    ndim, bound = out.ndim, call.options.request.max_memory
    a, b = (v.reshape((1,) * (ndim - v.ndim) + v.shape) for v in (view.data, b))
    axes = call.axes(ndim)
    request = replace(call.options.request, max_memory=max(1, bound // 2))
    options = call.options._replace(axes=axes, extension=None, request=request)
    for box in _boxes(out.shape, {i: b.shape[i] for i in axes}, bound // 2, np.result_type(out.dtype, float)):
        here = tuple(slice(*span) for span in box)
        taps = b[
            tuple(
                slice(*span) if n > 1 and i not in axes else slice(None)
                for i, (n, span) in enumerate(zip(b.shape, box, strict=True))
            )
        ]
        around = Around.of_part(call, (a.shape, b.shape), box, view.outside)
        part, gone = averaged(Call(call.door, "valid", options), _seen(view, around, a), taps, out[here])
        if view.policy == "omit_keep":
            gone = gone | _missing(view, np.broadcast_to(a, out.shape), here)
            np.copyto(part, np.nan, where=gone)
        if lost is not None:
            lost[here] = gone


def _seen(view: View, around: Around, a: Array) -> View:
    """What the windows of a part see, as an array of its own."""

    def spread(given: Array | bool) -> Array:
        return np.broadcast_to(given, a.shape)

    x = around.samples(a)
    inside, weighty = around.data(spread(True)), around.weights(spread(True))
    missing = ~weighty
    if view.missing is not None:
        missing |= around.data(spread(view.missing))
    if view.spoilt:
        missing |= ~np.isfinite(x) & inside
    weights = None
    if view.weights is not None:
        weights = around.weights(spread(view.weights))
        missing |= weights == 0
    return View(x, "omit", missing, weights, True, inside & ~missing if around.is_filled else None)


def _missing(view: View, a: Array, here: tuple[slice, ...]) -> Any:
    """Which samples of a part of the result in mode `same`, to which `a` is broadcast, are missing."""
    found = ~np.isfinite(a[here]) if view.spoilt else np.False_
    return found if view.missing is None else found | np.broadcast_to(view.missing, a.shape)[here]


def _boxes(shape: Ints, taps: dict[int, int], room: int, dtype: np.dtype) -> Iterator[Box]:
    """Boxes that cover `shape` such that what is held for one at a time fits into `room` bytes."""
    lengths = list(shape)
    while (held := _held(lengths, taps, dtype)) > room:
        longest = max(range(len(lengths)), key=lengths.__getitem__)
        if lengths[longest] == 1:
            raise ScratchError(
                f"max_memory={2 * room} bytes are too few for means of samples: those of a single output take "
                f"{2 * held} bytes, for a kernel of {' by '.join(map(str, taps.values()))} taps"
            )
        lengths[longest] = -(-lengths[longest] // 2)
    return product(
        *([(p, min(p + m, n)) for p in range(0, n, m)] for n, m in zip(shape, lengths, strict=True))
    )


def _held(lengths: list[int], taps: dict[int, int], dtype: np.dtype) -> int:
    samples = prod(n + taps.get(i, 1) - 1 for i, n in enumerate(lengths))
    return dtype.itemsize * (
        PER_SAMPLE * samples + PER_OUTPUT * prod(lengths) + PER_TAP * prod(taps.values())
    )
