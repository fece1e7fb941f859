"""Samples that are missing or count less than others: `nan_policy`, `mask`, `weights`, and NumPy's masked arrays.

Keywords are checked here, and the way to an answer is chosen: the ordinary one where every sample is there, else
means of those that are (`_means`), of what is known of in1 (`_samples`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fftconv._boundary import Extension
from fftconv._broadcast import Array
from fftconv._door import Call, as_operand, check_out
from fftconv._mean_kernel import may_sum_to_zero
from fftconv._means import averaged
from fftconv._overflow import checked
from fftconv._parts import averaged_in_parts
from fftconv._recipe import DType, Recipe
from fftconv._samples import Care, View, check_kernel, finite, with_gaps
from fftconv.core.boundary import Boundary
from fftconv.core.missing import SpoiltError, alarm, betrays
from fftconv.core.room import new_result

OMIT = ("omit", "omit_keep")
POLICIES = ("propagate", *OMIT, "raise")


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
    call, care = settled(call, care)
    ordinary = checked if care.checks else Call.__call__
    masked = isinstance(in1, np.ma.MaskedArray)
    if care.policy == "propagate" and not (masked or care.averages):
        return ordinary(call, in1, in2, out)
    _check_tolerance(call, care)
    a, b = np.asarray(np.ma.getdata(in1)), as_operand(call.door.names[1], in2)
    if a.ndim == b.ndim == 0:
        return _scalars(call, (in1 if masked else a, b), care, out)
    shape, given = call.result(a, b)
    dtype = _result_dtype(given, call.options.dtype, masked or care.averages)
    place = None
    if out is not None:
        check_out(out, shape, dtype)
        # a subclass of ndarray may do anything when it is written to
        place = np.asarray(np.ma.getdata(out))
    _check_kept(call, care)
    # `valid` reads nothing outside, so what is said of it makes no difference
    view = View.of(in1, a, care._replace(outside=care.outside or call.mode == "valid"))
    call = call._replace(options=call.options._replace(dtype=dtype))
    if view.policy != "propagate":
        check_kernel(call.door.names[1], b, view.policy)
        spoilt = _spoilt_here_and_there(a)
        if not spoilt and _tries(call, view, b, place):
            found = _at_once(call, (a, b), None if masked else place)
            if found is not None:
                return _returned(found, np.ma.nomask, in1 if masked else None, (out, place))
            spoilt = True
        view = with_gaps(view, call, spoilt)
    if view.whole or 0 in shape:
        found = ordinary(call, a, b, None if masked else place)
        lost = _dataless(call, a, b, found) if masked or isinstance(out, np.ma.MaskedArray) else np.ma.nomask
        return _returned(found, lost, in1 if masked else None, (out, place))
    target = None if masked else place
    if call.options.request.max_memory:
        # whatever `out` shares memory with is still needed
        needed = (v for v in (a, b, view.missing, view.weights) if v is not None)
        if target is None or any(np.may_share_memory(target, v) for v in needed):
            target = new_result(shape, dtype)
        marks = np.zeros(shape, bool) if masked or isinstance(out, np.ma.MaskedArray) else None
        averaged_in_parts(call, view, b, target, marks)
        return _returned(target, marks, in1 if masked else None, (out, place))
    found, lost = averaged(call, view, b, new_result(shape, dtype) if target is None else target)
    return _returned(found, lost, in1 if masked else None, (out, place))


def settled(call: Call, care: Care) -> tuple[Call, Care]:
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


def _check_tolerance(call: Call, care: Care) -> None:
    """Means have no bound of their errors; a call that only looks at its samples has that of its sums."""
    if call.options.request.tolerance is not None and care.policy != "raise":
        raise ValueError(
            f"rtol and atol bound the errors of sums, and must be left out where results are means of samples "
            f"(nan_policy, mask, weights, masked arrays); got {call.options.request.tolerance}"
        )


def _check_kept(call: Call, care: Care) -> None:
    if care.policy == "omit_keep" and call.mode != "same":
        raise ValueError(
            f"nan_policy='omit_keep' keeps NaN at the positions of in1, which only mode='same' has; got "
            f"mode={call.mode!r}"
        )


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


# Samples to which a look takes longer than everything around it.
_MANY = 2**16


def _spoilt_here_and_there(a: Array) -> bool:
    """Whether some of about a thousand samples is not finite; what fewer than these miss is rare."""
    if a.size < _MANY or a.dtype.kind not in "fc":
        return False
    step = max(1, round((a.size / 1024) ** (1 / a.ndim)))
    with np.errstate(all="ignore"):
        return not np.isfinite(a[tuple(slice(min(step, n) // 2, None, step) for n in a.shape)].sum())


def _tries(call: Call, view: View, kernel: Array, out: Any) -> bool:
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
    return found if (plan is not None and betrays(plan)) or finite(operands[0]) else None


def _dataless(call: Call, a: Array, b: Array, found: Array) -> Any:
    """Where the ordinary result has no data: nothing lies outside, and taps of zero are all that meets a sample."""
    extension = call.options.extension
    if extension is None or not any(extension.weightless) or not np.isnan(found).any() or not finite(b):
        return np.ma.nomask
    return np.isnan(call(np.zeros_like(a), b))


def explained(call: Call, operands: tuple[Any, Any], care: Care) -> tuple[Call, Array, Array]:
    """The call and the plain operands of one of the convolutions that a mean is made of."""
    in1, in2 = operands
    masked = isinstance(in1, np.ma.MaskedArray)
    if masked or care.averages or care.policy != "propagate":
        _check_tolerance(call, care)
        _check_kept(call, care)
    a, b = np.asarray(np.ma.getdata(in1)), as_operand(call.door.names[1], in2)
    if masked or care.averages:
        given = _result_dtype(call.result(a, b)[1], call.options.dtype, True)
        call = call._replace(options=call.options._replace(dtype=np.result_type(given, np.float64)))
    return call, a, b


def _returned(found: Array, lost: Any, masked: Any, given: tuple[Any, Array | None]) -> Any:
    """The result in the kind of array that in1 is, or in the caller's `out`, `given` with its memory."""
    out, place = given
    if place is not None:
        if place is not found:
            np.copyto(place, found)
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
