"""Convolution and correlation under scipy.signal's names.

The functions take scipy's arguments and return what scipy returns, with these differences, all on purpose:

* Integers are never rounded: every method gives the direct sum, modulo ``2**bits`` of the result's dtype.
* With ``axes=``, operands broadcast as in numpy, in every mode, and may differ in their number of dimensions.
* Empty batch axes give an empty result of the right shape.
* `correlation_lags` names the lags that `correlate` returns, also for ``same`` and even lengths.
* `correlate2d` conjugates in every mode; results are computed in the precision of their dtype.
* One NaN spoils only the outputs whose window holds it; `convolve` and `correlate` can leave missing samples out.
* Object arrays are refused, and masked elements where they cannot be left out.
"""

from __future__ import annotations

import operator
import time
from math import inf, prod
from typing import Any

import numpy as np

from fftconv._boundary import Extension
from fftconv._broadcast import Array, same_late
from fftconv._door import CONVOLVE, MODES, Call, apply, as_operand, mode_text, options_of, remembered
from fftconv._missing import answer, care_of
from fftconv._recipe import PLAIN, Door, NotNumericError, Options, check_mode, recipe_for
from fftconv.core.boundary import Boundary

__all__ = [
    "choose_conv_method",
    "convolve",
    "convolve2d",
    "correlate",
    "correlate2d",
    "correlation_lags",
    "fftconvolve",
    "oaconvolve",
]

SPECTRAL = ("fft", "overlap_save")

CORRELATE = Door(MODES, correlate=True)
FFTCONVOLVE = Door(MODES, floats=True, empty="empty")
CONVOLVE2D = Door(MODES, empty="zeros", ndim=2)
CORRELATE2D = Door({**MODES, "same": same_late}, correlate=True, empty="zeros", ndim=2)


@remembered(CONVOLVE)
def convolve(
    in1: Any,
    in2: Any,
    mode: str = "full",
    method: str = "auto",
    *,
    axes: Any = None,
    boundary: Any = "constant",
    fill_value: Any = 0.0,
    nan_policy: str = "propagate",
    mask: Any = None,
    weights: Any = None,
    dtype: Any = None,
    overflow: str = "wrap",
    rtol: float | None = None,
    atol: float | None = None,
    workers: int | None = None,
    out: Array | None = None,
    max_memory: int | str | None = None,
) -> Any:
    """Convolve two N-d arrays: ``out[m] = sum_j in1[m - j] in2[j]``.

    Parameters
    ----------
    in1, in2 : array_like
        With as many dimensions as each other, or, with `axes`, broadcast against each other.
    mode : {"full", "same", "valid"}
        Per convolved axis of lengths n and k: ``full`` is all ``n + k - 1`` sums; ``same`` the n of them that start
        at ``(k - 1) // 2``, whichever operand is longer; ``valid`` the ``abs(n - k) + 1`` in which the shorter operand
        lies wholly inside the longer one, which must then be the longer one along every convolved axis.
    method : {"auto", "direct", "fft", "overlap_save", ...}
        How to compute it. ``auto`` takes the cheapest by prediction (see `fftconv.explain`); a method that is asked for
        is used, or refused with the reason.
    axes : int or sequence of int, optional
        Axes to convolve along; default all. On the others lengths must be equal or 1.
    boundary : {"constant", "edge", "reflect", "symmetric", "wrap", "renormalize"} or sequence of these
        What lies outside in1, along every convolved axis or along each in the order of `axes`. The words are those of
        `numpy.pad`, and the sums those of `numpy.pad` followed by ``valid``, for kernels of any length::

            constant   kkkk|abcd|kkkk        reflect    cdcb|abcd|cbab
            edge       aaaa|abcd|dddd        symmetric  dcba|abcd|dcba        wrap  abcd|abcd|abcd

        ``renormalize`` has nothing outside: sums with zeros are scaled by the kernel's sum over that of the taps that
        lie inside, NaN where that is 0; integers give float64. ``valid`` reads nothing outside. Also understood:
        zeros, fill, nearest, replicate, mirror, symm, circular, grid-wrap.
    fill_value : scalar
        What ``constant`` puts outside; a value of the result's dtype. NaN under ``nan_policy="omit"`` is missing.
    nan_policy : {"propagate", "omit", "omit_keep", "raise"}
        What becomes of samples of `in1` that are NaN or infinite: they spoil exactly the outputs whose window holds
        them; they are missing, and outputs are means of what is there; the same, and the result is NaN where
        `in1` was not finite (mode ``same`` only); ValueError, for `in2` as well.
    mask : array_like of bool, optional
        True where a sample of `in1` is missing, whatever its value. Any shape that broadcasts to `in1`.
    weights : array_like, optional
        How much each sample of `in1` counts: real, finite, at least 0. Any shape that broadcasts to `in1`.
    overflow : {"wrap", "raise"}
        Sums of integers are exact modulo ``2**bits`` of the result's dtype; or those that do not fit it are an error.
    dtype : dtype, optional
        In which to accumulate and to return, such as ``numpy.int64`` for uint8 images. Default
        ``numpy.result_type(in1, in2)``.
    rtol, atol : float, optional
        What the error of every output may be: at most ``atol + rtol * sum |in1| |in2|``, the sum being that of
        the output with magnitudes (without negative numbers, the output itself). Where either is given, only a method
        that can promise it is used. Whether a transform can is found out from the values, which takes about as
        long as a second convolution. Default: the bound that `fftconv.explain` shows. Integers are always exact.
    workers : int, optional
        At most so many threads; default as `fftconv.set_workers` says.
    out : ndarray, optional
        Where to put the result. It may share memory with the inputs.
    max_memory : int or str, optional
        Bytes of memory that the computation may use beside inputs and result, such as ``64_000_000`` or ``"64 MB"``.
        Tiles are chosen to fit. By default tiles stay below 64 MiB, and `explain` says how much it will be.

    Returns
    -------
    ndarray
        A new C-contiguous array in native byte order, or `out`. Of two 0-d inputs, their product as a scalar. A masked
        array where `in1` is one.

    Raises
    ------
    ValueError
        For unknown modes, methods and boundaries, a `fill_value` that the result cannot hold, axes out of range,
        shapes that do not broadcast, an empty convolved axis, an `out` of another shape or read-only, a method that
        cannot answer, a tolerance that no method can promise, a kernel that sums to zero where samples are missing or
        weighted or the boundary is ``renormalize``.
    MemoryError
        Before anything is computed, if no method can keep within `max_memory` (this one is a ValueError too), or if the
        result itself is larger than the memory that is left.
    TypeError
        For data that is not numbers, a `dtype` that cannot hold the result, an `out` of another dtype.
    OverflowError
        Under ``overflow="raise"``, where a sum of integers does not fit the dtype of the result; `out` is left alone.

    See Also
    --------
    correlate, fftconvolve, fftconv.explain

    Notes
    -----
    bool by bool is an OR of ANDs. float16 is computed in float32 and returned as float16.

    With W the weights of the samples, 0 where one is missing, and s the sum of `in2`, the result is
    ``s * conv(in1 W, in2) / conv(W, in2)`` (H. Knutsson, C.-F. Westin, Normalized and differential convolution, CVPR
    1993), and NaN where an output sees no sample. Outside lie samples of value 0 and weight 1. Means of integers are
    float64. A masked array as `in1` is data and mask, and gives a masked array.

    Examples
    --------
    >>> import numpy as np
    >>> from fftconv.signal import convolve
    >>> convolve([1, 2, 3], [0, 1, 0.5])
    array([0. , 1. , 2.5, 4. , 1.5])

    >>> convolve([1.0, 2.0, 3.0], [1, 1, 1], "same", boundary="reflect")
    array([5., 6., 7.])

    A gap, and the means around it:

    >>> convolve([1, 2, np.nan, 4, 5], [0.25, 0.5, 0.25], "valid", nan_policy="omit")
    array([1.66666667, 3.        , 4.33333333])

    A bank of two kernels on every row of an image:

    >>> image, bank = np.ones((4, 100)), np.ones((2, 1, 5))
    >>> convolve(image, bank, "same", axes=-1).shape
    (2, 4, 100)
    """
    care = care_of(nan_policy, mask, weights, fill_value, overflow)
    options = options_of(
        axes, dtype, method, workers, (boundary, fill_value), rtol=rtol, atol=atol, max_memory=max_memory
    )
    return answer(Call(CONVOLVE, mode, options), (in1, in2), care, out)


@remembered(CORRELATE)
def correlate(
    in1: Any,
    in2: Any,
    mode: str = "full",
    method: str = "auto",
    *,
    axes: Any = None,
    boundary: Any = "constant",
    fill_value: Any = 0.0,
    nan_policy: str = "propagate",
    mask: Any = None,
    weights: Any = None,
    dtype: Any = None,
    overflow: str = "wrap",
    rtol: float | None = None,
    atol: float | None = None,
    workers: int | None = None,
    out: Array | None = None,
    max_memory: int | str | None = None,
) -> Any:
    """Cross-correlate two N-d arrays: ``out[lag] = sum_l in1[l] conj(in2[l - lag])``, in the order of the lags.

    It is the convolution of `in1` with the reversed conjugate of `in2`. Parameters and errors are those of `convolve`.

    See Also
    --------
    convolve, correlation_lags

    Examples
    --------
    >>> from fftconv.signal import correlate, correlation_lags
    >>> z = correlate([0, 0, 1, 2, 1], [1, 2, 1])
    >>> int(correlation_lags(5, 3)[z.argmax()])
    2
    """
    care = care_of(nan_policy, mask, weights, fill_value, overflow)
    options = options_of(
        axes, dtype, method, workers, (boundary, fill_value), rtol=rtol, atol=atol, max_memory=max_memory
    )
    return answer(Call(CORRELATE, mode, options), (in1, in2), care, out)


@remembered(FFTCONVOLVE)
def fftconvolve(
    in1: Any,
    in2: Any,
    mode: str = "full",
    axes: Any = None,
    *,
    method: str = "auto",
    workers: int | None = None,
    out: Array | None = None,
) -> Any:
    """Convolve two N-d arrays in floating point, by scipy.signal.fftconvolve's rules.

    Unlike `convolve` it computes integers and bool as float64 and float16 as float32, and gives an empty result for an
    empty convolved axis. The method is still the planner's choice, as it does not show in the result beyond
    rounding; the other parameters are those of `convolve`.

    See Also
    --------
    convolve, oaconvolve

    Raises
    ------
    ValueError, TypeError
        As in `convolve`.

    Examples
    --------
    >>> from fftconv.signal import fftconvolve
    >>> fftconvolve([1, 2, 3], [1, 1], mode="same").dtype
    dtype('float64')
    """
    return apply(FFTCONVOLVE, (in1, in2), mode, options_of(axes, None, method, workers), out)


@remembered(FFTCONVOLVE)
def oaconvolve(
    in1: Any,
    in2: Any,
    mode: str = "full",
    axes: Any = None,
    *,
    method: str = "auto",
    workers: int | None = None,
    out: Array | None = None,
) -> Any:
    """`fftconvolve` under the name of scipy's overlap-add function, with which it shares every rule.

    Long arrays are computed block by block here whatever the function is called.

    Raises
    ------
    ValueError, TypeError
        As in `convolve`.

    Examples
    --------
    >>> import numpy as np
    >>> from fftconv.signal import oaconvolve
    >>> oaconvolve(np.ones(1000), np.ones(10), mode="valid").shape
    (991,)
    """
    return apply(FFTCONVOLVE, (in1, in2), mode, options_of(axes, None, method, workers), out)


def convolve2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """Convolve two images, with a choice of what lies around the first.

    Parameters
    ----------
    in1, in2 : array_like
        2-d.
    mode : {"full", "same", "valid"}
        As for `convolve`.
    boundary : {"fill", "wrap", "symm"}
        ``fill`` (or ``pad``): `fillvalue` everywhere; ``wrap`` (``circular``): ``abc|abc|abc``; ``symm``
        (``symmetric``): ``cba|abc|cba``. Repeated as often as a long kernel needs.
    fillvalue : scalar
        Cast to the dtype of the result.

    Returns
    -------
    ndarray
        In ``numpy.result_type(in1, in2)``; an empty input gives the zeros of an empty sum.

    Raises
    ------
    ValueError, TypeError
        For data that are not two pictures of numbers, bool and float16 among them, as scipy refuses these; unknown
        modes and boundaries; a `fillvalue` that is no scalar or does not fit the dtype; in mode ``valid`` pictures of
        which neither holds the other.

    Examples
    --------
    >>> from fftconv.signal import convolve2d
    >>> convolve2d([[1, 2], [3, 4]], [[1, 1]], mode="same", boundary="wrap")
    array([[3, 3],
           [7, 7]])
    """
    return _planar(CONVOLVE2D, (in1, in2), mode, boundary, fillvalue)


def correlate2d(in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0) -> Any:
    """Cross-correlate two images, with a choice of what lies around the first.

    Parameters, result and errors are those of `convolve2d`; `in2` is conjugated and not reversed. For an even
    kernel ``same`` starts one lag later than `correlate` has it, at ``-((k - 1) // 2)``.

    Examples
    --------
    >>> from fftconv.signal import correlate2d
    >>> correlate2d([[1, 2, 3]], [[1, 10]], mode="same")
    array([[21, 32,  3]])
    """
    return _planar(CORRELATE2D, (in1, in2), mode, boundary, fillvalue)


_PLANAR = {
    "fill": Boundary.CONSTANT,
    "pad": Boundary.CONSTANT,
    "wrap": Boundary.WRAP,
    "circular": Boundary.WRAP,
    "symm": Boundary.SYMMETRIC,
    "symmetric": Boundary.SYMMETRIC,
}


def _planar(door: Door, operands: tuple[Any, Any], mode: str, boundary: str, fillvalue: Any) -> Any:
    a, b = (as_operand(name, value) for name, value in zip(door.names, operands, strict=True))
    plain = recipe_for(door, (a.shape, a.dtype), (b.shape, b.dtype), mode_text(mode))
    if plain.dtype == np.bool_ or plain.dtype == np.float16:
        raise NotNumericError(
            f"images must hold integers, float32 or wider, or complex numbers; got {a.dtype} and {b.dtype}"
        )
    if not isinstance(boundary, str) or boundary not in _PLANAR:
        raise ValueError(f"boundary must be one of {', '.join(map(repr, _PLANAR))}; got {boundary!r}")
    along = _PLANAR[boundary]
    fill = _fill_value(fillvalue, plain.dtype) if along == Boundary.CONSTANT else 0
    if along == Boundary.CONSTANT and fill == 0:
        return plain(a, b)
    if along == Boundary.CONSTANT and 0 in a.shape and 0 not in b.shape and mode != "valid":
        # nothing to extend, but something outside: windows of the fill value
        pads = (length + k - 1 for length, k in zip(plain.shape, b.shape, strict=True))
        return apply(door, (np.full(tuple(pads), fill), b), "valid", PLAIN)
    options = Options(extension=Extension((along,), (False,), fill))
    return apply(door, (a, b), mode, options)


def _fill_value(fillvalue: Any, dtype: np.dtype) -> Any:
    """`fillvalue` as a scalar of `dtype`; fractions are cut off for integers, nothing else is changed on the way."""
    array = np.asarray(fillvalue)
    if array.size == 0:
        raise ValueError("`fillvalue` cannot be an empty array")
    if array.size > 1:
        raise ValueError(f"`fillvalue` must be scalar or an array with one element, got shape {array.shape}")
    value = array.item()
    refusal = f"could not cast `fillvalue` directly to the output dtype {dtype}, got {fillvalue!r}"
    if array.dtype.kind not in "biufcO" or not isinstance(value, (int, float, complex)):
        raise ValueError(refusal)
    if isinstance(value, complex) and dtype.kind != "c":
        raise ValueError(refusal)
    if dtype.kind not in "iu":
        return dtype.type(value)
    limits = np.iinfo(dtype)
    if isinstance(value, complex) or not limits.min - 1 < value < limits.max + 1:
        raise ValueError(refusal)
    return dtype.type(int(value))


def correlation_lags(in1_len: int, in2_len: int, mode: str = "full") -> Array:
    """The lags of the samples that `correlate` returns for 1-d inputs of these lengths.

    Parameters
    ----------
    in1_len, in2_len : int
    mode : {"full", "same", "valid"}

    Returns
    -------
    ndarray of int
        ``full``: ``-(in2_len - 1) .. in1_len - 1``; ``same``: the in1_len of them from ``-(in2_len // 2)``;
        ``valid``: the ``abs(in1_len - in2_len) + 1`` of them without padding.

    Raises
    ------
    ValueError, TypeError
        For an unknown mode, and lengths that are no integers or below 1.

    Examples
    --------
    >>> from fftconv.signal import correlation_lags
    >>> correlation_lags(5, 4, mode="same")
    array([-2, -1,  0,  1,  2])
    """
    if not isinstance(mode, str) or mode not in CORRELATE.windows:
        raise ValueError(f"Mode {mode} is invalid: it must be 'valid', 'same', or 'full'")
    try:
        n, k = operator.index(in1_len), operator.index(in2_len)
    except TypeError:
        raise TypeError(
            f"in1_len and in2_len must be integers >= 1, got {in1_len!r} and {in2_len!r}"
        ) from None
    if n < 1 or k < 1:
        raise ValueError(f"in1_len and in2_len must be integers >= 1, got {n} and {k}")
    start, length = CORRELATE.windows[mode](n, k)
    first = start - (k - 1)
    return np.arange(first, first + length)


def choose_conv_method(in1: Any, in2: Any, mode: str = "full", measure: bool = False) -> Any:
    """Whether the direct sum or a Fourier transform is the faster way to this convolution.

    Parameters
    ----------
    in1, in2, mode
        As for `convolve`.
    measure : bool
        Time both instead of predicting.

    Returns
    -------
    method : {"fft", "direct"}
        ``direct`` also where no transform may answer: bool, objects, integers whose sums may exceed ``2**52``.
    times : dict, only with `measure`
        Seconds of each method; infinite where it cannot answer.

    See Also
    --------
    fftconv.explain : the prediction in full

    Raises
    ------
    ValueError, TypeError
        As `convolve` raises for these operands.

    Examples
    --------
    >>> import numpy as np
    >>> from fftconv.signal import choose_conv_method
    >>> choose_conv_method(np.ones(8), np.ones(6))
    'direct'
    >>> choose_conv_method(np.ones(100_000), np.ones(50_000))
    'fft'
    """
    a, b = as_operand("in1", in1), as_operand("in2", in2)
    mode = mode_text(mode)
    check_mode(CONVOLVE, mode)
    if measure:
        recipe_for(
            CONVOLVE, (a.shape, a.dtype), (b.shape, b.dtype), mode
        )  # refuses what no method can answer
        times = {method: _seconds(a, b, mode, method) for method in ("fft", "direct")}
        return min(times, key=times.__getitem__), times
    kinds = a.dtype.kind + b.dtype.kind
    if "O" in kinds or kinds == "bb" or not a.ndim + b.ndim:
        return "direct"
    recipe = recipe_for(CONVOLVE, (a.shape, a.dtype), (b.shape, b.dtype), mode)
    if a.size * b.size <= _FEW_PRODUCTS or ({*kinds} & {*"iu"} and not _sums_fit(a, b)):
        return "direct"
    plan = recipe.plan()
    direct = min(c.seconds for c in plan.candidates if c.method == "direct")
    spectral = [c.seconds for c in plan.candidates if c.method in SPECTRAL]
    return "fft" if min(spectral, default=inf) < direct else "direct"


# So few take microseconds either way, and the direct sum has the smaller error.
_FEW_PRODUCTS = 4096


def _sums_fit(a: Array, b: Array) -> bool:
    """Whether no sum of products can exceed 2**52, up to which float64 rounds integers right."""
    largest = (max(abs(v.max().item()), abs(v.min().item())) for v in (a, b))
    return bool(prod(largest) * min(a.size, b.size) < 2**52)


def _seconds(a: Array, b: Array, mode: str, method: str) -> float:
    """The shortest of a few calls."""
    best, until = inf, time.perf_counter() + 0.1
    while best == inf or time.perf_counter() < until:
        start = time.perf_counter()
        try:
            convolve(a, b, mode, method)
        except ValueError:
            return inf
        best = min(best, time.perf_counter() - start)
    return best
