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
from fftconv._normalised import CONVOLVE, Kernel, Samples, Sums, normalise, without_data
from fftconv._overflow import checked
from fftconv._recipe import DType, native
from fftconv.core.boundary import Boundary
from fftconv.core.problem import Ints

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
    if view.policy != "propagate":
        view = _with_gaps(view, b, call.door.names)
    call = call._replace(options=call.options._replace(dtype=dtype))
    if view.whole or 0 in shape:
        return _returned(
            ordinary(call, a, b, None if masked else out), np.ma.nomask, in1 if masked else None, out
        )
    found, lost = _averaged(call, view, b, shape)
    return _returned(_cast(found, dtype), lost, in1 if masked else None, out)


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


def _cast(a: Array, dtype: DType) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        return a.astype(dtype, copy=False)


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


def _with_gaps(view: _View, kernel: Array, names: tuple[str, str]) -> _View:
    """`view` with regard to what is not finite, or the error that the policy wants."""
    if not _finite(kernel):
        raise ValueError(
            f"{names[1]} must be finite under nan_policy={view.policy!r}, got "
            f"{_found(kernel, ~np.isfinite(kernel))}; a kernel without some of its taps is another kernel"
        )
    if _finite(view.data):
        return view
    gaps = ~np.isfinite(view.data)
    if view.missing is not None:
        gaps &= ~view.missing
    if view.weights is not None:
        gaps &= view.weights > 0
    if view.policy != "raise":
        return view._replace(missing=gaps if view.missing is None else gaps | view.missing)
    if gaps.any():
        raise ValueError(f"{names[0]} must be finite under nan_policy='raise', got {_found(view.data, gaps)}")
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


def _averaged(call: Call, view: _View, b: Array, shape: Ints) -> tuple[Array, Any]:
    """The normalised convolution, and where it is lost or kept missing."""
    ndim = len(shape)
    a, b = (native(v.reshape((1,) * (ndim - v.ndim) + v.shape)) for v in (view.data, b))
    axes, mode, outside = call.axes(ndim), call.mode, view.outside
    around = Around.of(call, (a.shape, b.shape))
    kept, samples = _samples(view, a.shape, axes)
    x = a.astype(np.result_type(a.dtype, np.float64))
    np.copyto(x, 0, where=samples.missing)
    if samples.weights is not None:
        with np.errstate(all="ignore"):
            x *= samples.weights
    window, data = call.door.windows[mode], None
    if around is not None and around.is_empty:
        outside = False
    elif around is not None:
        data = around.data(~samples.missing) if around.is_filled else None
        x = around.samples(x.astype(np.result_type(x, np.asarray(around.fill).dtype), copy=False))
        samples = Samples(
            ~around.weights(~samples.missing),
            None if samples.weights is None else around.weights(samples.weights),
        )
        mode, window = "valid", CONVOLVE.windows["valid"]
    sizes = {axis: (x.shape[axis], b.shape[axis]) for axis in axes}
    windows = {i: window(*sizes[i]) for i in axes}
    sums = Sums(mode, call.options._replace(axes=axes, extension=None), windows, sizes)
    kernel = Kernel.of(_taps(b, axes, call.door.correlate), sums, _real(a.dtype, b.dtype))
    kernel.check()
    values, region, gone = normalise(sums, x, kernel, samples, outside)
    if data is not None:
        alone = without_data(sums, kernel, samples.missing, data)
        np.copyto(values, np.nan, where=alone)
        if gone is not None:
            alone = np.broadcast_to(alone, shape).copy()
            alone[region] |= gone
        region, gone = sums.everything(ndim), alone
    keeps = view.policy == "omit_keep"
    if gone is None and not keeps:
        return values, np.ma.nomask
    lost = np.zeros(shape, bool)
    if gone is not None:
        lost[region] = gone
    if keeps:
        lost |= kept
        np.copyto(values, np.nan, where=kept)
    return values, lost


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
        return kept, Samples(missing, None)
    weights = spread(view.weights)
    missing = missing | (weights == 0)
    return kept, Samples(missing, np.where(missing, 0, weights))


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
