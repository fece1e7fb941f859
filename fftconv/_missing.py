"""Samples that are missing or count less than others: `nan_policy`, `mask`, `weights`, and NumPy's masked arrays.

Keywords and operands are checked here, and what they say about in1 is brought to one form (`Samples`). The
arithmetic is in `_normalised`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fftconv._around import Around
from fftconv._boundary import Extension
from fftconv._broadcast import Array
from fftconv._door import Call, as_operand, check_out
from fftconv._normalised import (
    CONVOLVE,
    Kernel,
    Region,
    Samples,
    Sums,
    may_sum_to_zero,
    normalise,
    without_data,
)
from fftconv._overflow import checked
from fftconv._recipe import DType, Recipe, native
from fftconv.core.boundary import Boundary
from fftconv.core.engine import get_engine
from fftconv.core.missing import SpoiltError, alarm, betrays
from fftconv.core.problem import Ints
from fftconv.core.room import new_result
from fftconv.core.spare import Take, desk

OMIT = ("omit", "omit_keep")
POLICIES = ("propagate", *OMIT, "raise")


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


def care_of(nan_policy: Any, mask: Any, weights: Any, outside: Any = 0.0, overflow: Any = "wrap") -> Care:
    """The keywords, with their words checked; `outside` is the value there, which may be missing too."""
    if not isinstance(nan_policy, str) or nan_policy not in POLICIES:
        raise ValueError(f"nan_policy must be one of {', '.join(map(repr, POLICIES))}; got {nan_policy!r}")
    if not isinstance(overflow, str) or overflow not in ("wrap", "raise"):
        raise ValueError(f"overflow must be 'wrap' or 'raise', got {overflow!r}")
    return Care(nan_policy, mask, weights, not (nan_policy in OMIT and is_nan(outside)), overflow == "raise")


def is_nan(value: Any) -> bool:
    """Whether `value` is a number that is not one."""
    return isinstance(value, (float, np.floating)) and value != value


def answer(call: Call, operands: tuple[Any, Any], care: Care, out: Any = None) -> Any:
    """The call, with `care` for the samples of in1."""
    in1, in2 = operands
    call, care = _settled(call, care)
    ordinary = checked if care.checks else Call.__call__
    masked = isinstance(in1, np.ma.MaskedArray)
    if care.policy == "propagate" and not (masked or care.averages):
        return ordinary(call, in1, in2, out)
    if call.options.request.tolerance is not None and care.policy != "raise":
        raise ValueError(
            f"rtol and atol bound the errors of sums, and must be left out where results are means of samples "
            f"(nan_policy, mask, weights, masked arrays); got {call.options.request.tolerance}"
        )
    a, b = np.asarray(np.ma.getdata(in1)), as_operand(call.door.names[1], in2)
    if a.ndim == b.ndim == 0:
        return _scalars(call, (in1 if masked else a, b), care, out)
    shape, given = call.result(a, b)
    dtype = _result_dtype(given, call.options.dtype, masked or care.averages)
    if out is not None:
        check_out(out, shape, dtype)
    if care.policy == "omit_keep" and call.mode != "same":
        raise ValueError(
            f"nan_policy='omit_keep' keeps NaN at the positions of in1, which only mode='same' has; got "
            f"mode={call.mode!r}"
        )
    view = _View.of(in1, a, care._replace(outside=care.outside or _stays_inside(call, (a.shape, b.shape))))
    call = call._replace(options=call.options._replace(dtype=dtype))
    if view.policy != "propagate":
        _check_kernel(call.door.names[1], b, view.policy)
        spoilt = _spoilt_here_and_there(a)
        if not spoilt and _tries(call, view, b, out):
            found = _at_once(call, (a, b), None if masked else out)
            if found is not None:
                return _returned(found, np.ma.nomask, in1 if masked else None, out)
            spoilt = True
        view = _with_gaps(view, call, spoilt)
    if view.whole or 0 in shape:
        return _returned(
            ordinary(call, a, b, None if masked else out), np.ma.nomask, in1 if masked else None, out
        )
    found, lost = _averaged(call, view, b, new_result(shape, dtype) if out is None or masked else out)
    return _returned(found, lost, in1 if masked else None, out)


def _settled(call: Call, care: Care) -> tuple[Call, Care]:
    """A fill value that is missing is none: what lies outside has no weight."""
    extension = call.options.extension
    if care.outside or extension is None:
        return call, care
    along = tuple(Boundary.ZERO if b == Boundary.CONSTANT else b for b in extension.along)
    if not any(along):
        return call._replace(options=call.options._replace(extension=None)), care
    weightless = tuple(
        none or b == Boundary.CONSTANT for b, none in zip(extension.along, extension.weightless, strict=True)
    )
    around = Extension(along, weightless, 0.0)
    return call._replace(options=call.options._replace(extension=around)), care._replace(outside=True)


def _stays_inside(call: Call, shapes: tuple[Ints, Ints]) -> bool:
    """Whether no window reads outside in1, so that it does not matter what lies there."""
    ndim = max(map(len, shapes))
    n, k = ((1,) * (ndim - len(shape)) + shape for shape in shapes)
    return bool(call.mode == "valid" and all(n[axis] >= k[axis] for axis in call.axes(ndim)))


def _scalars(call: Call, operands: tuple[Any, Array], care: Care, out: Any) -> Any:
    """Two 0-d operands, as arrays of one sample."""
    in1, b = operands
    policy = "omit" if care.policy == "omit_keep" else care.policy
    options = call.options._replace(axes=None)
    found = answer(Call(call.door, "full", options), (in1[None], b[None]), care._replace(policy=policy))[0]
    if out is None:
        return found
    check_out(out, (), None)
    out[...] = found
    return out


def _result_dtype(given: DType, asked: DType | None, averages: bool) -> DType:
    if not averages or given.kind in "fc":
        return given
    if asked is None:
        return np.dtype(np.float64)
    raise TypeError(
        f"dtype must be floating or complex where a mask, weights or a masked array make means of samples, got {asked}"
    )


def _round(values: Array, out: Array) -> None:
    with np.errstate(over="ignore", under="ignore"):
        np.copyto(out, values, casting="same_kind")


class _View(NamedTuple):
    """What is known of the samples of in1, in arrays that broadcast to it.

    Attributes
    ----------
    data : ndarray
    policy : str
    missing : ndarray of bool or None
        Samples to leave out.
    weights : ndarray or None
    outside : bool
    """

    data: Array
    policy: str
    missing: Array | None
    weights: Array | None
    outside: bool

    @classmethod
    def of(cls, in1: Any, data: Array, care: Care) -> _View:
        missing = None if care.mask is None else _mask(care.mask, data.shape)
        if isinstance(in1, np.ma.MaskedArray) and in1.mask is not np.ma.nomask:
            own = np.ma.getmaskarray(in1)
            missing = own if missing is None else missing | own
        weights = None if care.weights is None else _weights(care.weights, data.shape)
        return cls(data, care.policy, missing, weights, care.outside)

    @property
    def whole(self) -> bool:
        """Whether every sample is there and counts alike."""
        return self.outside and self.weights is None and (self.missing is None or not self.missing.any())


def _mask(mask: Any, shape: Ints) -> Array:
    mask = np.asarray(mask)
    if mask.dtype.kind not in "biu":
        raise TypeError(
            f"mask must be boolean, True where a sample is to be left out; got dtype {mask.dtype} (weights= "
            f"takes numbers)"
        )
    _check_broadcast("mask", mask.shape, shape)
    return np.asarray(mask != 0)


def _weights(weights: Any, shape: Ints) -> Array:
    weights = as_operand("weights", weights)
    if weights.dtype.kind not in "biuf":
        raise TypeError(f"weights must be real numbers, got dtype {weights.dtype}")
    _check_broadcast("weights", weights.shape, shape)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        raise ValueError(f"weights must be finite and at least 0, got {_found(weights, wrong)}")
    return np.asarray(weights, np.result_type(weights.dtype, np.float64))


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


def _check_kernel(name: str, kernel: Array, policy: str) -> None:
    if not _finite(kernel):
        raise ValueError(
            f"{name} must be finite under nan_policy={policy!r}, got {_found(kernel, ~np.isfinite(kernel))}; "
            f"a kernel without some of its taps is another kernel"
        )


# Samples to which a look takes longer than everything around it.
_MANY = 2**16


def _spoilt_here_and_there(a: Array) -> bool:
    """Whether some of about a thousand samples is not finite; what fewer than these miss is rare."""
    if a.size < _MANY or a.dtype.kind not in "fc":
        return False
    step = max(1, round((a.size / 1024) ** (1 / a.ndim)))
    with np.errstate(all="ignore"):
        return not np.isfinite(a[tuple(slice(min(step, n) // 2, None, step) for n in a.shape)].sum())


def _tries(call: Call, view: _View, kernel: Array, out: Any) -> bool:
    """Whether to convolve before anything is known of the values, at the risk of having filled `out` in vain.

    It is not risked where an error may be the answer.
    """
    a = view.data
    options = call.options
    if a.size < _MANY or a.dtype.kind not in "fc" or not view.whole:
        return False
    if options.extension is not None or options.request.max_memory:
        return False
    if out is None:
        return True
    axes = call.along(kernel, max(a.ndim, kernel.ndim))
    apart = not any(np.may_share_memory(out, v) for v in (a, kernel))
    return apart and view.policy != "raise" and not may_sum_to_zero(kernel, axes)


def _at_once(call: Call, operands: tuple[Array, Array], out: Array | None) -> Array | None:
    """The ordinary result of samples that turn out to be finite; None where they do not, or their sums are not.

    Whatever a transform meets that is not finite shows in a few of its outputs, so there is nothing more to do.
    """
    recipe = call.recipe(*operands)
    assert isinstance(recipe, Recipe)
    found = new_result(recipe.shape, recipe.dtype) if out is None else out
    try:
        with alarm():
            plan = recipe.fill(*operands, found)
    except SpoiltError:
        return None
    return found if (plan is not None and betrays(plan)) or _finite(operands[0]) else None


def _with_gaps(view: _View, call: Call, spoilt: bool) -> _View:
    """`view` with regard to what is not finite, or the error that the policy wants; `spoilt` where something is."""
    if not spoilt and _finite(view.data):
        return view
    gaps = ~np.isfinite(view.data)
    if view.missing is not None:
        gaps &= ~view.missing
    if view.weights is not None:
        gaps &= view.weights > 0
    if view.policy != "raise":
        return view._replace(missing=gaps if view.missing is None else gaps | view.missing)
    if gaps.any():
        raise ValueError(
            f"{call.door.names[0]} must be finite under nan_policy='raise', got {_found(view.data, gaps)}"
        )
    return view


def explained(call: Call, operands: tuple[Any, Any], care: Care) -> tuple[Call, Array, Array]:
    """The call and the plain operands of one of the convolutions that a mean is made of."""
    in1, in2 = operands
    masked = isinstance(in1, np.ma.MaskedArray)
    a, b = np.asarray(np.ma.getdata(in1)), as_operand(call.door.names[1], in2)
    if masked or care.averages:
        given = _result_dtype(call.result(a, b)[1], call.options.dtype, True)
        call = call._replace(options=call.options._replace(dtype=np.result_type(given, np.float64)))
    return call, a, b


def _finite(a: Array) -> bool:
    """Whether all elements are, by one sum; only where that is not finite does anything more have to be looked at."""
    if a.dtype.kind not in "fc":
        return True
    with np.errstate(all="ignore"):
        return bool(np.isfinite(np.add.reduce(a, axis=None)) or np.isfinite(a).all())


def _averaged(call: Call, view: _View, b: Array, out: Array) -> tuple[Array, Any]:
    """The normalised convolution in `out`, and where it is lost or kept missing."""
    ndim = out.ndim
    a, b = (native(v.reshape((1,) * (ndim - v.ndim) + v.shape)) for v in (view.data, b))
    axes = call.axes(ndim)
    kept, samples = _samples(view, a.shape, axes)
    with desk(get_engine(np.float64)) as take:
        x = take(a.shape, np.result_type(a.dtype, np.float64))
        np.copyto(x, a)
        np.copyto(x, 0, where=samples.missing)
        if samples.weights is not None:
            with np.errstate(all="ignore"):
                x *= samples.weights
        seen = _Seen.of(call, (a.shape, b.shape), x, samples)
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


def _real(data: DType, taps: DType) -> DType:
    """In which weights are summed: complex only where the kernel is."""
    return np.result_type(np.empty(0, data).real.dtype, taps, np.float64)


def _taps(b: Array, axes: Ints, correlate: bool) -> Array:
    """The kernel as a convolution has it, in a floating dtype."""
    if b.dtype.kind in "biu":
        b = b.astype(np.float64)
    return np.flip(b, axes).conj() if correlate else b


def _samples(view: _View, shape: Ints, axes: Ints) -> tuple[Array, Samples]:
    """What is missing, without and with what has no weight, with batch axes of length 1 where entries agree."""

    def spread(a: Array) -> Array:
        a = a.reshape((1,) * (len(shape) - a.ndim) + a.shape)
        return np.broadcast_to(a, [n if i in axes else a.shape[i] for i, n in enumerate(shape)])

    missing = np.zeros((1,) * len(shape), bool) if view.missing is None else view.missing
    missing = kept = _shared(spread(missing), axes)
    if view.weights is None:
        return kept, Samples(missing, None, view.outside)
    weights = spread(view.weights)
    missing = missing | (weights == 0)
    return kept, Samples(missing, np.where(missing, 0, weights), view.outside)


def _shared(flags: Array, axes: Ints) -> Array:
    """`flags` with length 1 along every batch axis on which all entries are the same."""
    for i in set(range(flags.ndim)) - set(axes):
        first, second = (flags.take(range(j, min(j + 1, flags.shape[i])), i) for j in (0, 1))
        if flags.shape[i] > 1 and (first == second).all() and (flags == first).all():
            flags = first
    return flags


def _returned(found: Array, lost: Any, masked: Any, out: Any) -> Any:
    """The result in the kind of array that in1 or `out` is."""
    if out is not None:
        if out is not found:
            np.copyto(np.ma.getdata(out), found)
        if isinstance(out, np.ma.MaskedArray):
            out.mask = lost
        return out
    if masked is None:
        return found
    result = np.ma.array(found, mask=lost)
    with np.errstate(over="ignore"):
        # the usual ones of NumPy are beyond the range of float16
        result.fill_value = _fill_value(masked, result.dtype)
    return result


def _fill_value(masked: Any, dtype: DType) -> Any:
    """The fill value of in1 where the result can hold it, else that of the dtype."""
    if np.can_cast(masked.dtype, dtype, "same_kind"):
        return masked.fill_value
    return None
