"""``overflow="raise"``: integers that are summed exactly, or not at all.

A bound shows for most calls that no sum can leave the dtype. Else the sums are made modulo ``2**bits``, as ever,
and beside them in float64. With r the one and f the other, which errs by at most E,

    y = r + m 2^bits,    |f - r| <= E where m = 0,    |f - r| >= 2^bits - E where it is not,

so for ``E < 2^bits / 4`` half of ``2^bits`` tells which, at every output and at the bounds of the dtype too. Where E
is larger, as for products of large 64-bit integers, either some f lies beyond the dtype by more than E, or sums
have cancelled; then they are made of digits of both operands, each pair of which fits in int64, and compared with r
digit by digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil, log2, prod
from typing import Any

import numpy as np

from fftconv._around import Around
from fftconv._broadcast import Array
from fftconv._door import Call, as_operand, check_out
from fftconv._recipe import DType
from fftconv.core.accuracy import CONSTANT, UNIT_ROUNDOFF
from fftconv.core.boundary import Boundary
from fftconv.core.exactness import peak
from fftconv.core.problem import Ints

Pair = tuple[Array, Array]

# More than the rounding errors of bounds and norms themselves.
_SLACK = 1.0 + 2.0**-20


def checked(call: Call, in1: Any, in2: Any, out: Any = None) -> Any:
    """The call; OverflowError, and nothing written to `out`, where a sum of integers does not fit its dtype."""
    a, b = (as_operand(name, value) for name, value in zip(call.door.names, (in1, in2), strict=True))
    if a.ndim == b.ndim == 0:
        return _product(call, a, b, out)
    shape, dtype = call.result(a, b)
    if dtype.kind not in "iu" or 0 in shape or 0 in (a.size, b.size):
        return call(a, b, out)
    if out is not None:
        check_out(out, shape, dtype)
    extension = call.options.extension
    if extension is None:
        bound = _bound(call, (a, b))
    else:
        bound = _kernel_bound(max(peak(a), abs(extension.fill)), b, call.along(b, len(shape)))
    if bound <= np.iinfo(dtype).max:
        return call(a, b, out)
    found = call(a, b)
    _check(*_spelled_out(call, a, b), found)
    if out is None:
        return found
    out[...] = found
    return out


def _product(call: Call, a: Array, b: Array, out: Any) -> Any:
    """Two 0-d operands."""
    dtype = call.options.dtype or np.result_type(a, b)
    if dtype.kind in "iu" and a.dtype.kind in "biu" and b.dtype.kind in "biu":
        value = int(a) * int(b)
        if not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            raise _error(dtype, (), value)
    return call(a, b, out)


def _bound(call: Call, operands: Pair) -> float:
    """No sum is larger than the largest sample times the sum of all magnitudes of the shorter operand's entries."""
    x, w = sorted(operands, key=lambda v: v.size, reverse=True)
    return _kernel_bound(peak(x), w, call.along(w, max(x.ndim, w.ndim)))


def _kernel_bound(largest: float, w: Array, axes: Ints) -> float:
    return largest * float(np.abs(w.astype(np.float64)).sum(axes).max()) * _SLACK


def _spelled_out(call: Call, a: Array, b: Array) -> tuple[Call, Pair]:
    """The same sums with zeros, or nothing, outside of in1."""
    ndim = max(a.ndim, b.ndim)
    a, b = (v.reshape((1,) * (ndim - v.ndim) + v.shape) for v in (a, b))
    around = Around.of(call, (a.shape, b.shape))
    if around is None:
        return call._replace(options=call.options._replace(extension=None)), (a, b)
    if Boundary.CONSTANT in around.along:
        a = a.astype(_holding(a.dtype, int(around.fill)))
    options = call.options._replace(axes=call.axes(ndim), extension=None)
    return call._replace(mode="valid", options=options), (around.samples(a), b)


def _check(call: Call, operands: Pair, found: Array) -> None:
    dtype = found.dtype
    free = call.options._replace(request=replace(call.options.request, method=None, tolerance=None))
    near = call._replace(options=free._replace(dtype=np.dtype(np.float64)))(*operands)
    error = _float_error(call, operands)
    cycle = 2.0 ** (8 * dtype.itemsize)
    if error < cycle / 4:
        over = np.abs(near - found) > cycle / 2
    else:
        over = np.abs(near) > cycle + error
        if not over.any():
            exact = call._replace(options=free._replace(dtype=np.dtype(np.int64)))
            over = _differs(exact, operands, found, prod(map(min, _lengths(call, operands))))
    if over.any():
        at = np.unravel_index(int(np.where(over, np.abs(near), -1).argmax()), found.shape)
        raise _error(dtype, tuple(map(int, at)), float(near[at]))


def _holding(dtype: DType, fill: int) -> DType:
    """The dtype of samples, or one that holds them and the fill value too."""
    if dtype.kind != "b" and np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max:
        return dtype
    if dtype != np.uint64:
        return np.dtype(np.int64)
    raise ValueError(f"fill_value must be at least 0 beside {dtype} under overflow='raise', got {fill}")


def _lengths(call: Call, operands: Pair) -> list[tuple[int, int]]:
    """Of both operands, per convolved axis."""
    ndim = max(v.ndim for v in operands)
    one, other = ((1,) * (ndim - v.ndim) + v.shape for v in operands)
    return [(one[i], other[i]) for i in call.axes(ndim)]


def _float_error(call: Call, operands: Pair) -> float:
    """Bound of the error of any sum in float64, by whichever method, with that of the operands' conversion.

    A transform errs by less than ``CONSTANT u log2(N) ||x|| ||w||`` (see `fftconv.core.accuracy`), a sum of K products
    by ``K u sum |x w|``, which is at most ``K u ||x|| ||w||``.
    """
    lengths, ndim = _lengths(call, operands), max(v.ndim for v in operands)
    points, terms = prod(2 * sum(pair) for pair in lengths), prod(map(min, lengths))
    norms = (float(np.sqrt((v.astype(np.float64) ** 2).sum(call.along(v, ndim))).max()) for v in operands)
    factor = CONSTANT * log2(points) + terms + 4
    return factor * UNIT_ROUNDOFF * prod(norms) * _SLACK


def _differs(exact: Call, operands: Pair, found: Array, terms: int) -> Array:
    """Where the exact sums are not `found`; `exact` convolves in int64."""
    # as wide as leaves the sums of up to 33 pairs of digits room in int64
    width = (63 - 6 - ceil(log2(terms + 1))) // 2
    digits = [list(_digits(v, width)) for v in operands]
    sums: dict[int, Array] = {}
    for i, first in enumerate(digits[0]):
        for j, second in enumerate(digits[1]):
            part = exact(first, second)
            sums[i + j] = sums[i + j] + part if i + j in sums else part
    low = (1 << width) - 1
    carry, over = np.zeros(found.shape, np.int64), np.zeros(found.shape, bool)
    for t in range(len(sums)):
        carry += sums[t]
        over |= (carry & low) != _digit(found, t * width, low)
        carry >>= width
    return np.asarray(over | (carry != _digit(found, len(sums) * width, -1)))


def _digits(a: Array, width: int) -> Iterator[Array]:
    """``a = sum_i d_i 2^(width i)``, with digits of `width` bits but for the last, which has the sign."""
    count = -(-8 * a.dtype.itemsize // width)
    for i in range(count):
        yield _digit(a, i * width, (1 << width) - 1 if i < count - 1 else -1)


def _digit(a: Array, shift: int, low: int) -> Array:
    """The bits of `a` from `shift` on, in two's complement without end, as far as the bits of `low` go."""
    if a.dtype.kind != "u":
        return np.asarray((a.astype(np.int64) >> min(shift, 63)) & low)
    bits = a.astype(np.uint64) >> min(shift, 63) if shift < 64 else np.zeros(a.shape, np.uint64)
    return np.asarray(bits.astype(np.int64) & low)


def _error(dtype: DType, at: Ints, value: float) -> OverflowError:
    limits = np.iinfo(dtype)
    wider = "numpy.int64 holds" if abs(value) < 2.0**63 * (1 - 2.0**-40) else "numpy.float64 rounds"
    return OverflowError(
        f"every sum must fit {dtype} ({limits.min} to {limits.max}) under overflow='raise', got about {value:.6g} at "
        f"index {at}; dtype={wider} it, overflow='wrap' keeps its lowest {8 * dtype.itemsize} bits"
    )
