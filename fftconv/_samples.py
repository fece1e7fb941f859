"""What is known of the samples of in1: which are missing, by a mask or for being no number, and what each counts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fftconv._broadcast import Array
from fftconv._door import Call, as_operand
from fftconv.core.problem import Ints
from fftconv.core.sweeps import Strip, for_strips


class Care(NamedTuple):
    """What a call says about the samples of in1.

    Attributes
    ----------
    policy : str
    mask, weights : array_like or None
    outside : bool
        Whether what lies outside the array has a weight, of 1.
    checks : bool
        Whether sums of integers that do not fit are an error.
    """

    policy: str = "propagate"
    mask: Any = None
    weights: Any = None
    outside: bool = True
    checks: bool = False

    @property
    def averages(self) -> bool:
        """Whether results are means of samples by the look of the keywords alone."""
        return self.mask is not None or self.weights is not None or not self.outside


class View(NamedTuple):
    """What is known of the samples of in1, in arrays that broadcast to it.

    Attributes
    ----------
    data : ndarray
    policy : str
    missing : ndarray of bool or None
        Samples to leave out.
    weights : ndarray or None
    outside : bool
    inside : ndarray of bool or None
        Which are samples of in1, where some are not and have a weight.
    spoilt : bool
        Whether samples that are not finite are missing, and not told in `missing`.
    """

    data: Array
    policy: str
    missing: Array | None
    weights: Array | None
    outside: bool
    inside: Array | None = None
    spoilt: bool = False

    @classmethod
    def of(cls, in1: Any, data: Array, care: Care) -> View:
        missing = None if care.mask is None else _mask(care.mask, data.shape)
        if isinstance(in1, np.ma.MaskedArray) and in1.mask is not np.ma.nomask:
            own = np.ma.getmaskarray(in1)
            missing = own if missing is None else missing | own
        weights = None if care.weights is None else _weights(care.weights, data.shape)
        return cls(data, care.policy, missing, weights, care.outside)

    @property
    def whole(self) -> bool:
        """Whether every sample is there and counts alike."""
        unspoilt = self.outside and self.weights is None and not self.spoilt
        return unspoilt and (self.missing is None or not self.missing.any())


def _mask(mask: Any, shape: Ints) -> Array:
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biu":
        raise TypeError(
            f"mask must be boolean, True where a sample is to be left out; got dtype {mask.dtype} (weights= "
            f"takes numbers)"
        )
    _check_broadcast("mask", mask.shape, shape)
    return np.asarray(mask if mask.dtype.kind == "b" else mask != 0)


def _weights(weights: Any, shape: Ints) -> Array:
    weights = as_operand("weights", weights)
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"weights must be real numbers, got dtype {weights.dtype}")
    _check_broadcast("weights", weights.shape, shape)
    if weights.size and not 0 <= weights.min() <= weights.max() < np.inf:
        wrong = ~(np.isfinite(weights) & (weights >= 0))
        raise ValueError(f"weights must be finite and at least 0, got {_found(weights, wrong)}")
    return np.asarray(weights)


def _check_broadcast(name: str, shape: Ints, onto: Ints) -> None:
    try:
        fits = np.broadcast_shapes(shape, onto) == onto
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must broadcast to the shape of in1, {onto}; got {shape}")


def _found(a: Array, flags: Array) -> str:
    """The first flagged element and how many there are."""
    first = tuple(map(int, np.unravel_index(int(flags.argmax()), flags.shape)))
    return f"{a[first]} at index {first}, the first of {int(flags.sum())} in shape {a.shape}"


def check_kernel(name: str, kernel: Array, policy: str) -> None:
    if not finite(kernel):
        raise ValueError(
            f"{name} must be finite under nan_policy={policy!r}, got {_found(kernel, ~np.isfinite(kernel))}; "
            f"a kernel without some of its taps is another kernel"
        )


def finite(a: Array) -> bool:
    """Whether all elements are, by one sum; only where that is not finite does anything more have to be looked at."""
    if a.dtype.kind not in "fc":
        return True
    with np.errstate(all="ignore"):
        if np.isfinite(np.add.reduce(a, axis=None)):
            return True
        parts = (a.real, a.imag) if a.dtype.kind == "c" else (a,)
        return all(bool(np.isfinite(part.min()) and np.isfinite(part.max())) for part in parts)


def _gaps(a: Array, workers: int) -> Array:
    found = np.empty(a.shape, bool)

    def look(strip: Strip) -> None:
        part = found[strip]
        np.isfinite(a[strip], out=part)
        np.logical_not(part, out=part)

    for_strips(a.shape, look, workers)
    return found


def with_gaps(view: View, call: Call, spoilt: bool) -> View:
    """`view` with regard to what is not finite, or the error that the policy wants; `spoilt` where something is."""
    if not spoilt and finite(view.data):
        return view
    if view.policy != "raise" and call.options.request.max_memory:
        return view._replace(spoilt=True)
    gaps = _gaps(view.data, call.options.request.workers)
    if view.policy != "raise":
        return view._replace(missing=gaps if view.missing is None else gaps | view.missing)
    if view.missing is not None:
        gaps &= ~view.missing
    if view.weights is not None:
        gaps &= view.weights > 0
    if gaps.any():
        raise ValueError(
            f"{call.door.names[0]} must be finite under nan_policy='raise', got {_found(view.data, gaps)}"
        )
    return view
