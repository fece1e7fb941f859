"""A call without its values: what shapes, dtypes and keywords say, worked out once and remembered.

`recipe_for` parses and checks; what it returns is called with the arrays. Recipes hold no arrays and are kept in a
bounded cache, so a call like one before it goes straight to the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from fftconv._boundary import Extension, fill_of
from fftconv._broadcast import Array, Axis, Layout, Window, lay_out, swap_pays
from fftconv._renormalize import Restriction, Settled, correct
from fftconv.core import room
from fftconv.core.boundary import Boundary
from fftconv.core.lazy import lazy
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import Ints
from fftconv.core.room import new_result
from fftconv.core.run import Runner, plan_of

DType = np.dtype
Operand = tuple[Ints, DType]


class NotNumericError(TypeError, ValueError):
    """Data that is not numbers: a ValueError in numpy, a TypeError in scipy, and here whichever is caught."""


@dataclass(frozen=True, eq=False)
class Door:
    """What distinguishes one public function from its neighbours.

    Attributes
    ----------
    windows : mapping from mode to Window
    correlate : bool
        Whether the second operand is reversed and conjugated.
    names : (str, str)
        What the function calls its operands.
    floats : bool
        Whether integers and bool are computed as float64 and float16 as float32, as by scipy's fftconvolve.
    empty : {"raise", "empty", "zeros"}
        What an empty convolved axis gives: ValueError, an empty result, or the zeros of an empty sum.
    ndim : int or None
        Dimensions that both operands must have.
    keeps : bool
        Whether the second operand is the kernel however long it is, because something is kept of it.
    """

    windows: Mapping[str, Window]
    correlate: bool = False
    names: tuple[str, str] = ("in1", "in2")
    floats: bool = False
    empty: str = "raise"
    ndim: int | None = None
    keeps: bool = False


class Options(NamedTuple):
    """The keywords that shape a recipe, in canonical form."""

    axes: Ints | None = None
    dtype: DType | None = None
    request: Request = Request()
    extension: Extension | None = None

    @property
    def weightless(self) -> bool:
        """Whether what lies outside has no weight, along some axis."""
        return self.extension is not None and any(self.extension.weightless)

    def surroundings(self, ndim: int) -> dict[int, tuple[Boundary, bool]]:
        """Per convolved axis of `ndim`, what lies outside and whether that has no weight; empty for zeros."""
        if self.extension is None:
            return {}
        convolved = range(ndim) if self.axes is None else normal_axes(self.axes, ndim)
        return dict(zip(convolved, self.extension.on(len(convolved)), strict=True))


PLAIN = Options()


@dataclass(frozen=True)
class Recipe:
    """Everything about a call but its arrays.

    Attributes
    ----------
    shape, dtype
        Of the result.
    layout : Layout or None
        How the arrays become a problem; None where the sums are empty.
    run : Runner or None
        What computes that problem.
    native : bool
        False where an operand has to be brought to native byte order first.
    restriction : Restriction, Settled or None
        What is made of the sums where the outside has no weight.
    """

    shape: Ints
    dtype: DType
    layout: Layout | None
    run: Runner | None
    native: bool
    restriction: Restriction | Settled | None = None

    def __call__(self, in1: Array, in2: Array, out: Array | None = None) -> Array:
        """The result, in `out` where given; `out` may share memory with the operands."""
        if out is None:
            if self.alone is not None and (sums := self.alone.sums_at_once()) is not None:
                return sums(in1, in2)
            if self.plain is not None and self.nbytes < room.LARGE:
                # the short call: a new array, three views, and the sums
                layout, run = self.plain
                out = np.empty(self.shape, self.dtype)
                run(*layout.operands(in1, in2), layout.out.of(out))
                return out
            self._check()
            out = new_result(self.shape, self.dtype)
        elif np.may_share_memory(out, in1) or np.may_share_memory(out, in2):
            out[...] = self(in1, in2)
            return out
        else:
            self._check()
        self.fill(in1, in2, out)
        return out

    def fill(self, in1: Array, in2: Array, out: Array) -> ConvPlan | None:
        """The result, in an `out` that shares no memory with the operands; returns the plan, where there was one."""
        if self.layout is None or self.run is None:
            out[...] = 0
            return None
        return self._compute(self.layout, self.run, (in1, in2), out)

    @lazy
    def plain(self) -> tuple[Layout, Runner] | None:
        """Layout and runner where nothing is done to operands or sums beside."""
        layout, run = self.layout, self.run
        if layout is None or run is None or not self.native or self.restriction is not None:
            return None
        more = layout.conj_out or layout.merges or run.request.max_memory
        return None if more else (layout, run)

    @lazy
    def alone(self) -> Runner | None:
        """The runner, where moreover operands and result are those of the problem but for the axes that it adds."""
        if self.plain is None:
            return None
        layout, run = self.plain
        views, p = (layout.x, layout.w, layout.out), run.problem
        as_they_are = all(view.index is view.order is None for view in views)
        channels = p.batch == p.in_channels == p.out_channels == 1
        asks = layout.swap or layout.conj_w or not channels or p.ndim != len(self.shape)
        return run if as_they_are and not asks else None

    @lazy
    def nbytes(self) -> int:
        """Of the result."""
        return prod(self.shape) * self.dtype.itemsize

    def _check(self) -> None:
        """What planning would raise, before anything is allocated."""
        if self.run is not None and self.run.request.max_memory:
            self.run.check()

    def _compute(self, layout: Layout, run: Runner, operands: tuple[Array, Array], out: Array) -> ConvPlan:
        in1, in2 = operands if self.native else map(native, operands)
        corrections = None if self.restriction is None else self.restriction.corrections(in2)
        x, w = layout.operands(in1, in2)
        y = layout.out.of(out)
        plan = run(x, w, y)
        if layout.conj_out:
            np.conjugate(y, out=y)
        if layout.merges and not np.may_share_memory(y, out):
            layout.out.put(y, out)
        if corrections is not None:
            correct(out, corrections)
        return plan

    def plan(self, arrays: tuple[Array, Array] | None = None) -> ConvPlan:
        """How the machine computes this call; for integers that may depend on the values."""
        if self.layout is None or self.run is None:
            raise ValueError(
                f"there is nothing to plan: every sum of the result of shape {self.shape} is empty"
            )
        views = None if arrays is None else self.layout.operands(*map(native, arrays))
        plan = plan_of(self.run.problem, self.run.request, views)
        _ = plan.candidates  # all of them are weighed under the options of now
        return plan


@dataclass(frozen=True)
class Product:
    """The recipe of two scalars, of which scipy returns the product as numpy gives it."""

    correlate: bool
    dtype: Any
    shape: Ints = ()

    def __call__(self, in1: Array, in2: Array, out: Array | None = None) -> Any:
        result = np.multiply(in1, in2.conj() if self.correlate else in2, dtype=self.dtype)[()]
        if out is None:
            return result
        out[...] = result
        return out

    def plan(self, arrays: tuple[Array, Array] | None = None) -> ConvPlan:
        raise ValueError("there is nothing to plan: two scalars are multiplied")


def native(a: Array) -> Array:
    """`a` in the byte order of this machine."""
    return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


@lru_cache(maxsize=1024)
def recipe_for(
    door: Door, first: Operand, second: Operand, mode: str, options: Options = PLAIN
) -> Recipe | Product:
    """The recipe of a call to `door` with operands of these shapes and dtypes.

    Raises
    ------
    ValueError, TypeError
        Where shapes, dtypes and keywords break a rule; the message states it with the shapes.
    """
    shapes, dtypes = (first[0], second[0]), (first[1], second[1])
    dtype = result_dtype(door, dtypes, options.dtype, options.weightless)
    if door.ndim is not None:
        _check_ndim(door, shapes)
    elif shapes == ((), ()):
        return Product(door.correlate, options.dtype)
    if dtype == np.float16 and options.request.tolerance is not None:
        raise ValueError(
            f"rtol and atol must be left out where results are rounded to float16 ({door.names[0]} {dtypes[0]}, "
            f"{door.names[1]} {dtypes[1]}), got {options.request.tolerance}; dtype='float32' keeps the errors small"
        )
    if options.weightless and options.request.tolerance is not None:
        raise ValueError(
            "rtol and atol bound the errors of sums, and must be left out where sums are scaled to the weight inside "
            f"(boundary='renormalize'); got {options.request.tolerance}"
        )
    check_mode(door, mode)
    axes = _pair_axes(door, shapes, options.axes, mode)
    restriction = None
    if options.extension is not None:
        fill = fill_of(options.extension.fill, dtype)
        axes, restriction = _extend(axes, options, mode, (door.correlate, fill))
    result = tuple(a.length for a in axes)
    layout = None
    if 0 not in result and all(a.n and a.k for a in axes):
        d1, d2 = (d.newbyteorder("=") for d in dtypes)
        swap = not door.keeps and swap_pays(axes)
        layout = lay_out(axes, (len(shapes[0]), len(shapes[1])), (d1, d2, dtype), door.correlate, swap)
    run = Runner(layout.problem, options.request) if layout else None
    return Recipe(result, dtype, layout, run, all(d.isnative for d in dtypes), restriction)


def _extend(
    axes: list[Axis], options: Options, mode: str, how: tuple[bool, Any]
) -> tuple[list[Axis], Restriction | None]:
    """The axes with what lies outside of them, and what follows where that has no weight.

    `how` says whether this is a correlation, and what value constant axes have. The windows of ``valid`` read nothing
    outside, whichever operand is the longer one.
    """
    given = options.surroundings(len(axes))
    if mode == "valid":
        return axes, None
    bounds = [given.get(i, (Boundary.ZERO, False)) for i in range(len(axes))]
    correlate, fill = how
    extended = [
        a._replace(boundary=b, fill=fill) if a.k > 1 else a for a, (b, _) in zip(axes, bounds, strict=True)
    ]
    weightless = tuple(none for _, none in bounds)
    return extended, Restriction(tuple(axes), weightless, correlate) if any(weightless) else None


def check_mode(door: Door, mode: str) -> None:
    if mode not in door.windows:
        raise ValueError(f"acceptable mode flags are 'valid', 'same', or 'full'; got {mode!r}")


def _check_ndim(door: Door, shapes: tuple[Ints, Ints]) -> None:
    for name, shape in zip(door.names, shapes, strict=True):
        if len(shape) != door.ndim:
            raise ValueError(f"{name} must be {door.ndim}-d, got shape {shape}")


def result_dtype(
    door: Door, dtypes: tuple[DType, DType], asked: DType | None, weightless: bool = False
) -> DType:
    """The dtype in which operands of `dtypes` are summed, `asked` where it can hold such sums."""
    for name, d in zip(door.names, dtypes, strict=True):
        check_numeric(name, d)
    if door.floats:
        dtypes = (_as_float(dtypes[0]), _as_float(dtypes[1]))
    common = np.result_type(*dtypes).newbyteorder("=")
    if weightless and common.kind not in "fc":
        common = np.dtype(np.float64)
    if asked is None:
        return common
    if asked.kind not in "biufc" or not np.can_cast(common, asked, "same_kind"):
        raise TypeError(
            f"dtype must be able to hold sums of {common} ({door.names[0]} {dtypes[0]}, "
            f"{door.names[1]} {dtypes[1]}), got {asked}"
        )
    return asked.newbyteorder("=")


def check_numeric(name: str, d: DType) -> None:
    """A dtype whose elements can be multiplied and added."""
    if d.kind not in "biufc":
        reason = "; sums of Python objects cannot be planned" if d.kind == "O" else ""
        raise NotNumericError(
            f"{name} must hold booleans, integers, real or complex numbers, got dtype {d}{reason}"
        )


def _as_float(d: DType) -> DType:
    """The dtype in which scipy's FFT functions compute: at least float32, float64 for what is not floating."""
    return np.result_type(d, np.float32) if d.kind in "fc" else np.dtype(np.float64)


def _pair_axes(door: Door, shapes: tuple[Ints, Ints], axes: Ints | None, mode: str) -> list[Axis]:
    """The axes of both operands side by side, each with the window that `mode` means for it."""
    shape1, shape2 = shapes
    if axes is None and len(shape1) != len(shape2):
        raise ValueError(
            f"{door.names[0]} and {door.names[1]} should have the same dimensionality; got shapes {shape1} and "
            f"{shape2} (with axes= they broadcast)"
        )
    ndim = max(len(shape1), len(shape2))
    convolved = range(ndim) if axes is None else normal_axes(axes, ndim, shapes)
    lengths = list(zip(_padded(shape1, ndim), _padded(shape2, ndim), strict=True))
    if any(1 not in lengths[i] and lengths[i][0] != lengths[i][1] for i in range(ndim) if i not in convolved):
        raise ValueError(
            f"incompatible shapes for {door.names[0]} and {door.names[1]}: {shape1} and {shape2}; off the "
            f"axes {tuple(convolved)} lengths must be equal or 1"
        )
    inside = [lengths[i] for i in convolved]
    if mode == "valid" and not (all(n >= k for n, k in inside) or all(n <= k for n, k in inside)):
        raise ValueError(
            "For 'valid' mode, one must be at least as large as the other in every dimension that is convolved; "
            f"got {shape1} and {shape2}"
        )
    if door.empty == "raise":
        _check_filled(door.names, shapes, inside)
    return [
        Axis(n, k, _window(door, mode, n, k) if i in convolved else None) for i, (n, k) in enumerate(lengths)
    ]


def _padded(shape: Ints, ndim: int) -> Ints:
    return (1,) * (ndim - len(shape)) + shape


def normal_axes(axes: Ints, ndim: int, shapes: tuple[Ints, ...] = ()) -> Ints:
    """Axes counted from the first, each once."""
    given = f"for {ndim} dimensions" + (f" (shapes {' and '.join(map(str, shapes))})" if shapes else "")
    if not axes:
        raise ValueError(f"when provided, axes cannot be empty; got {axes} {given}")
    if any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"axes exceeds dimensionality of input: got {axes} {given}")
    normal = tuple(a % ndim for a in axes)
    if len(set(normal)) < len(normal):
        raise ValueError(f"all axes must be unique; got {axes} {given}")
    return normal


def _check_filled(
    names: tuple[str, str], shapes: tuple[Ints, Ints], inside: Sequence[tuple[int, int]]
) -> None:
    for which in (0, 1):
        if any(pair[which] == 0 for pair in inside):
            raise ValueError(
                f"{names[which]} cannot be empty along a convolved axis; got shape {shapes[which]}"
            )


def _window(door: Door, mode: str, n: int, k: int) -> tuple[int, int]:
    start, length = door.windows[mode](n, k)
    if n and k:
        return start, length
    return 0, 0 if door.empty == "empty" else max(length, 0)
