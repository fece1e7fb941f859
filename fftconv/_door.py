"""What the doors of scipy's and numpy's dialects share: operands, keywords and `out`, checked in one place."""

from __future__ import annotations

import numbers
import operator
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from math import inf
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from fftconv._boundary import extension
from fftconv._broadcast import Array, full, same, valid
from fftconv._general import refuse_masked, request
from fftconv._recipe import Door, DType, Options, Product, Recipe, recipe_for
from fftconv.core.plan import Tolerance
from fftconv.core.problem import Ints

F = TypeVar("F", bound=Callable[..., Any])

MODES = {"full": full, "same": same, "valid": valid}
CONVOLVE = Door(MODES)


def as_operand(name: str, value: Any) -> Array:
    """`value` as a plain array."""
    refuse_masked(name, value)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array or what numpy.asarray makes one of: {error}") from None


def apply(door: Door, operands: tuple[Any, Any], mode: Any, options: Options, out: Any = None) -> Any:
    """The call that a door makes of its arguments."""
    a, b = (as_operand(name, value) for name, value in zip(door.names, operands, strict=True))
    recipe = recipe_for(door, (a.shape, a.dtype), (b.shape, b.dtype), mode_text(mode), options)
    if out is None:
        return recipe(a, b)
    check_out(out, recipe.shape, recipe.dtype)
    recipe(a, b, np.asarray(out))  # a subclass may index otherwise than an array, as numpy.matrix does
    return out


class Call(NamedTuple):
    """A call to `door` but for its operands."""

    door: Door
    mode: Any
    options: Options

    def __call__(self, in1: Any, in2: Any, out: Any = None) -> Any:
        return apply(self.door, (in1, in2), self.mode, self.options, out)

    def result(self, a: Array, b: Array) -> tuple[Ints, DType]:
        """Shape and dtype of the result; what breaks a rule is refused here."""
        recipe = self.recipe(a, b)
        return recipe.shape, recipe.dtype

    def recipe(self, a: Array, b: Array) -> Recipe | Product:
        """The recipe of operands like these."""
        return recipe_for(
            self.door, (a.shape, a.dtype), (b.shape, b.dtype), mode_text(self.mode), self.options
        )

    def axes(self, ndim: int) -> Ints:
        """The convolved ones, counted from the first."""
        axes = self.options.axes
        return tuple(range(ndim)) if axes is None else tuple(sorted(axis % ndim for axis in axes))

    def along(self, a: Array, ndim: int) -> Ints:
        """Those of them that an operand has, in a call of so many dimensions."""
        lacking = ndim - a.ndim
        return tuple(axis - lacking for axis in self.axes(ndim) if axis >= lacking)


def mode_text(mode: Any) -> str:
    """A mode for the table of modes."""
    if not isinstance(mode, str):
        raise ValueError(f"acceptable mode flags are 'valid', 'same', or 'full'; got {mode!r}")
    return str(mode)


def options_of(
    axes: Any,
    dtype: Any,
    method: Any,
    workers: Any,
    outside: tuple[Any, Any] = ("constant", 0.0),
    **limits: Any,
) -> Options:
    """Keywords in canonical form; `outside` is (boundary, fill_value), `limits` are those of `limits_of`."""
    asked, within = request(method, workers), limits_of(**limits)
    return Options(
        axes=None if axes is None else axes_of(axes),
        dtype=None if dtype is None else dtype_of(dtype),
        request=replace(asked, **within) if within else asked,
        extension=extension(*outside),
    )


def dtype_of(value: Any) -> DType:
    """A dtype by any of its names."""
    try:
        found: DType = np.dtype(value)
    except TypeError:
        raise TypeError(
            f"dtype must be a numpy dtype or the name of one, such as 'float64'; got {value!r}"
        ) from None
    return found


def limits_of(rtol: Any = None, atol: Any = None, max_memory: Any = None) -> dict[str, Any]:
    """What error and scratch may be, as fields of a request."""
    limits: dict[str, Any] = {}
    if rtol is not None or atol is not None:
        limits["tolerance"] = Tolerance(_tolerance("rtol", rtol), _tolerance("atol", atol))
    if max_memory is not None:
        limits["max_memory"] = bytes_of("max_memory", max_memory)
    return limits


def _tolerance(name: str, value: Any) -> float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = 0.0 if value is None else float(value) if real else inf
    if not 0 <= number < inf:
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return number


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_BYTES = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([KMGT]?I?B|)\s*")


def bytes_of(name: str, value: Any) -> int:
    """A number of bytes, as an integer or in words.

    Examples
    --------
    >>> bytes_of("max_memory", "1.5 MiB")
    1572864
    """
    if isinstance(value, str):
        found = _BYTES.fullmatch(value.upper())
        count = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    else:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        count = int(value) if whole else 0
    if count < 1:
        raise ValueError(
            f"{name} must be a number of bytes >= 1, such as 64000000 or '64 MB' (units B, KB, MB, GB, TB, KiB, MiB, "
            f"GiB, TiB); got {value!r}"
        )
    return count


def axes_of(axes: Any) -> Ints:
    """One axis or several as a tuple of int."""
    try:
        return tuple(map(operator.index, axes)) if isinstance(axes, Iterable) else (operator.index(axes),)
    except TypeError:
        raise ValueError(f"axes must be a scalar or iterable of integers, got {axes!r}") from None


def shape_of(shape: Any) -> Ints:
    """The shape of an array, given as a sequence of lengths or as one length."""
    sizes: Ints | None = None
    with suppress(TypeError):
        sizes = tuple(map(operator.index, shape if isinstance(shape, Iterable) else (shape,)))
    if sizes is None or min(sizes, default=0) < 0:
        raise ValueError(f"shape must be a sequence of lengths >= 0, got {shape!r}")
    return sizes


def check_out(out: Any, shape: Ints, dtype: DType | None) -> None:
    """An `out` that can take the result as it is."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array, got a {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have the shape of the result, {shape}; got {out.shape}")
    if dtype is not None and out.dtype != dtype:
        raise TypeError(f"out must have the dtype of the result, {dtype}; got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError(f"out must be writeable, got a read-only array of shape {out.shape}")
    if _overlaps_itself(out):
        raise ValueError(
            f"out must hold each element at an address of its own, got strides {out.strides} for shape {out.shape}"
        )


def _overlaps_itself(a: Array) -> bool:
    """Whether two elements may share memory, as where a stride is zero."""
    extent = a.itemsize
    for step, length in sorted((abs(s), n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if step < extent:
            return a.size > 0
        extent += step * (length - 1)
    return False


def is_plain(a: Any, b: Any, mode: Any) -> bool:
    """Whether operands and mode need no conversion before their recipe is looked up."""
    return a.__class__ is np.ndarray is b.__class__ and mode.__class__ is str and a.ndim > 0 < b.ndim


def remembered(door: Door) -> Callable[[F], F]:
    """Send calls with two plain arrays, a mode and no other keyword straight to their recipe.

    Such a call has nothing to parse, and for short arrays parsing would take longer than the sums.
    """

    def decorate(function: F) -> F:
        @wraps(function)
        def call(in1: Any, in2: Any, mode: Any = "full", *rest: Any, **keywords: Any) -> Any:
            if not rest and not keywords and is_plain(in1, in2, mode):
                return recipe_for(door, (in1.shape, in1.dtype), (in2.shape, in2.dtype), mode)(in1, in2)
            return function(in1, in2, mode, *rest, **keywords)

        return cast(F, call)

    return decorate
