"""What the `lax` and `nn` doors share: checked arrays and integers, the geometry, errors that show the shapes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import NamedTuple

import numpy as np

from fftconv.core import planner
from fftconv.core.boundary import ZEROS, Outside
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import ConvProblem, Ints, Pads
from fftconv.core.run import plan_of, run


class RuleError(ValueError, RuntimeError):
    """A broken rule for which torch and jax raise RuntimeError; code written for them still catches it."""


class RankError(ValueError, IndexError, AssertionError):
    """Too few axes, or different numbers of them, where jax lets an index or an assertion fail."""


class DTypeError(TypeError, NotImplementedError):
    """Dtypes that differ or that the operation does not know; torch raises a kind of RuntimeError here."""


class Geometry(NamedTuple):
    """Everything about a convolution but its sizes and dtypes; one entry per spatial axis."""

    stride: Ints
    pads: Pads
    lhs_dilation: Ints
    rhs_dilation: Ints
    groups: int = 1
    flip: bool = False
    outside: Outside = ZEROS


class Call:
    """``with Call("conv", lhs=lhs, rhs=rhs):`` adds the name and the shapes to any error that leaves it."""

    def __init__(self, name: str, **arrays: object) -> None:
        self.name, self.arrays = name, arrays

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, (ValueError, TypeError)):
            shapes = ", ".join(f"{k} {_describe(a)}" for k, a in self.arrays.items() if a is not None)
            error.args = (f"{self.name}: {error} ({shapes})",)


def _describe(a: object) -> str:
    shape, dtype = getattr(a, "shape", None), getattr(a, "dtype", None)
    return repr(a) if shape is None else f"{tuple(shape)} {dtype}"


def array(name: str, value: object) -> np.ndarray:
    """`value` as an array of numbers in native byte order; lists are refused, as by jax and torch."""
    if isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be an array, got a {type(value).__name__}; numpy.asarray makes one")
    refuse_masked(name, value)
    a = np.asarray(value)
    if a.dtype.kind not in "biufc":
        raise DTypeError(f"{name} must hold booleans, integers, real or complex numbers, got dtype {a.dtype}")
    return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


def refuse_masked(name: str, value: object) -> None:
    """A masked array with something masked is refused: the values under its mask are not data."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name} must have no masked elements, got {np.ma.getmaskarray(value).sum()} of shape {value.shape}; "
            f"fill them first, as in {name}.filled(0)"
        )


def integer(name: str, value: object) -> int:
    """An integer that an array's size could be."""
    try:
        found = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if abs(found) >= 2**63:
        raise ValueError(f"{name} must be less than 2**63, got {found}")
    return found


def integers(name: str, values: object) -> Ints:
    """A sequence of integers as a tuple of int."""
    try:
        return tuple(integer(name, v) for v in values)  # type: ignore[attr-defined]
    except TypeError:
        raise TypeError(f"{name} must be a sequence of integers, got {values!r}") from None


def request(method: object, workers: object) -> Request:
    """What the caller asks of the planner."""
    known = ("auto", *planner.METHODS)
    if method not in known:
        raise ValueError(f"method must be one of {', '.join(known)}; got {method!r}")
    try:
        count = 0 if workers is None else operator.index(workers)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"workers must be None or an integer >= 1, got {workers!r}") from None
    if workers is not None and count < 1:
        raise ValueError(f"workers must be None or at least 1, got {workers!r}")
    return Request(method=None if method == "auto" else str(method), workers=count)


def problem(x: np.ndarray, w: np.ndarray, geometry: Geometry, dtype: np.dtype) -> ConvProblem:
    """The problem of two canonical arrays."""
    return ConvProblem(
        batch=x.shape[0],
        in_channels=x.shape[1],
        out_channels=w.shape[0],
        input_size=x.shape[2:],
        kernel_size=w.shape[2:],
        x_dtype=x.dtype,
        w_dtype=w.dtype,
        dtype=dtype,
        **geometry._asdict(),
    )


class Planned(Exception):
    """Ends a call that was only to be explained."""

    def __init__(self, plan: ConvPlan) -> None:
        self.plan = plan


_only_planned: ContextVar[bool] = ContextVar("_only_planned", default=False)


def compute(p: ConvProblem, x: np.ndarray, w: np.ndarray, out: np.ndarray, asked: Request) -> None:
    """Run the problem of a call into `out`; within `plan_of_call` raise its plan instead."""
    if _only_planned.get():
        raise Planned(plan_of(p, asked, (x, w)))
    run(p, x, w, out, asked)


def plan_of_call(call: Callable[[], object]) -> ConvPlan | None:
    """The plan of the first convolution that `call` comes to, None where it comes to none."""
    token = _only_planned.set(True)
    try:
        call()
    except Planned as planned:
        return planned.plan
    finally:
        _only_planned.reset(token)
    return None
