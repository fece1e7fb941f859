"""Convolution and correlation under numpy's names and by its rules: 1-d, ``same`` as long as the longer operand."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fftconv._broadcast import Array, full, valid
from fftconv._door import apply, as_operand, is_plain, options_of
from fftconv._recipe import Door, recipe_for

__all__ = ["convolve", "correlate"]


def _convolve_same(n: int, k: int) -> tuple[int, int]:
    """numpy exchanges operands first, so the shorter one is the kernel."""
    return (min(n, k) - 1) // 2, max(n, k)


def _correlate_same(n: int, k: int) -> tuple[int, int]:
    """numpy exchanges operands first and reverses the result, which moves the start where in2 is longer."""
    return ((k - 1) // 2, n) if n >= k else (n // 2, k)


CONVOLVE = Door({"full": full, "same": _convolve_same, "valid": valid}, names=("a", "v"), ndim=1)
CORRELATE = Door(
    {"full": full, "same": _correlate_same, "valid": valid}, correlate=True, names=("a", "v"), ndim=1
)

_MODES = ("valid", "same", "full")


def convolve(
    a: Any,
    v: Any,
    mode: Any = "full",
    *,
    method: str = "auto",
    workers: int | None = None,
    out: Array | None = None,
) -> Any:
    """Convolve two 1-d sequences as numpy.convolve does, by the fastest method.

    Parameters
    ----------
    a, v : array_like
        1-d and not empty; scalars count as one sample.
    mode : {"full", "same", "valid"} or {2, 1, 0}
        With N the longer and K the shorter length: all ``N + K - 1`` sums, the N of them that start at
        ``(K - 1) // 2``, or the ``N - K + 1`` of full overlap.
    method, workers, out
        As for `fftconv.signal.convolve`.

    Returns
    -------
    ndarray
        In ``numpy.result_type(a, v)``.

    Raises
    ------
    ValueError, TypeError
        For empty or N-d data, unknown modes, and data that is not numbers.

    Examples
    --------
    >>> from fftconv.numpy import convolve
    >>> convolve([1, 2, 3], [0, 1, 0.5], "same")
    array([1. , 2.5, 4. ])
    """
    if out is None and workers is None and method == "auto" and is_plain(a, v, mode):
        return recipe_for(CONVOLVE, (a.shape, a.dtype), (v.shape, v.dtype), mode)(a, v)
    operands = np.atleast_1d(as_operand("a", a), as_operand("v", v))
    return apply(CONVOLVE, operands, _mode_name(mode), options_of(None, None, method, workers), out)


def correlate(
    a: Any,
    v: Any,
    mode: Any = "valid",
    *,
    method: str = "auto",
    workers: int | None = None,
    out: Array | None = None,
) -> Any:
    """Cross-correlate two 1-d sequences as numpy.correlate does: ``c[k] = sum_n a[n + k] conj(v[n])``, k ascending.

    Parameters and errors are those of `convolve`; scalars are refused, as numpy refuses them.

    Examples
    --------
    >>> from fftconv.numpy import correlate
    >>> correlate([1, 2, 3], [0, 1, 0.5])
    array([3.5])
    """
    if out is None and workers is None and method == "auto" and is_plain(a, v, mode):
        return recipe_for(CORRELATE, (a.shape, a.dtype), (v.shape, v.dtype), mode)(a, v)
    return apply(CORRELATE, (a, v), _mode_name(mode), options_of(None, None, method, workers), out)


def _mode_name(mode: Any) -> str:
    """A mode by name; numpy also takes its number."""
    if isinstance(mode, str):
        return mode
    try:
        number = None if isinstance(mode, (bool, np.bool_)) else operator.index(mode)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"mode must be 'valid', 'same', 'full' or its number 0, 1, 2; got {mode!r}")
    if not 0 <= number < len(_MODES):
        raise ValueError(f"integer mode must be 0 (valid), 1 (same) or 2 (full); got {number}")
    return _MODES[number]
