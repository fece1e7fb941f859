"""The contract of an FFT engine: a spec names a transform, a plan performs it, an engine lends plans out.

Nothing here knows convolution or which library does the work. A plan owns two arrays, `signal` and
`spectrum`. The caller fills one and reads the other; what the caller owns is only ever read. A plan serves
one thread at a time: it is checked out of its engine, used, and checked in again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import prod
from operator import le
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .cache import CacheInfo, PlanCache

Array = np.ndarray[Any, Any]

SPECTRUM_DTYPES: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(signal): np.dtype(spectrum)
    for signal, spectrum in (
        (np.float32, np.complex64),
        (np.float64, np.complex128),
        (np.longdouble, np.clongdouble),
        (np.complex64, np.complex64),
        (np.complex128, np.complex128),
        (np.clongdouble, np.clongdouble),
    )
}


@dataclass(frozen=True, slots=True)
class FFTSpec:
    """The hashable name of a transform.

    Attributes
    ----------
    shape : tuple of int
        Shape of the signal, batch axes included; every length at least 1.
    axes : tuple of int
        Transformed axes, ascending and not negative. The last of them is halved when the signal is real.
    dtype : numpy.dtype
        Of the signal: float32, float64, longdouble, or their complex counterparts.
    filled : tuple of int
        Per transformed axis, how many leading samples a forward transform reads; it takes the others for zeros. Empty
        for all. A small kernel in a large tile then costs a part of a whole transform.
    kept : tuple of int
        Per transformed axis, how many leading samples of a backward transform are wanted; the others are undefined.
        Empty for all.
    key : tuple
        The same in plain tuples, which hash and compare faster than an object does.

    Examples
    --------
    >>> FFTSpec((4, 10), (1,), np.dtype("f4")).spectrum_shape
    (4, 6)
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: np.dtype[Any]
    filled: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    key: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dtype = np.dtype(self.dtype)
        if dtype not in SPECTRUM_DTYPES:
            names = ", ".join(str(d) for d in SPECTRUM_DTYPES)
            raise TypeError(f"a transform's dtype must be one of {names} in native byte order; got {dtype!r}")
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"a transform's lengths must all be >= 1; got shape {self.shape}")
        ascending = all(a < b for a, b in zip(self.axes, self.axes[1:], strict=False))
        if not self.axes or not ascending or self.axes[0] < 0 or self.axes[-1] >= len(self.shape):
            raise ValueError(
                f"axes must be ascending, distinct and within 0..{len(self.shape) - 1}; "
                f"got {self.axes} for shape {self.shape}"
            )
        for part in (self.filled, self.kept):
            if part and (len(part) != len(self.axes) or not all(map(le, part, self.transform_shape))):
                raise ValueError(
                    f"a part must have a length per transformed axis, at most {self.transform_shape}; got {part}"
                )
        object.__setattr__(self, "dtype", dtype)
        object.__setattr__(self, "key", (self.shape, self.axes, dtype.char, self.filled, self.kept))

    @property
    def real(self) -> bool:
        """Whether the signal is real and its spectrum therefore half as long."""
        return self.dtype.kind == "f"

    @property
    def spectrum_shape(self) -> tuple[int, ...]:
        """Shape of the spectrum: `shape`, the last transformed axis ``n // 2 + 1`` long for a real signal."""
        if not self.real:
            return self.shape
        last = self.axes[-1]
        return (*self.shape[:last], self.shape[last] // 2 + 1, *self.shape[last + 1 :])

    @property
    def spectrum_dtype(self) -> np.dtype[Any]:
        """The complex dtype of the same precision."""
        return SPECTRUM_DTYPES[self.dtype]

    @property
    def transform_shape(self) -> tuple[int, ...]:
        """Lengths along the transformed axes."""
        return tuple(self.shape[axis] for axis in self.axes)

    def part(self, lengths: tuple[int, ...]) -> tuple[slice, ...]:
        """The index of leading `lengths` along the first transformed axes, everything along the others."""
        index = [slice(None)] * len(self.shape)
        for axis, length in zip(self.axes, lengths, strict=False):
            index[axis] = slice(0, length)
        return tuple(index)

    @property
    def idle(self) -> tuple[tuple[slice, ...], ...]:
        """What a forward transform takes for zeros: of the signal first, then of the spectrum.

        Axes are transformed one after the other, the last one first; one entry before each of them.
        """
        if not self.filled:
            return ()
        parts = []
        for i in reversed(range(len(self.axes))):
            index = list(self.part(self.filled[:i]))
            index[self.axes[i]] = slice(self.filled[i], None)
            parts.append(tuple(index))
        return tuple(parts)

    @property
    def nbytes(self) -> int:
        """Bytes of scratch that a plan holds: signal and spectrum."""
        spectrum = prod(self.spectrum_shape) * self.spectrum_dtype.itemsize
        return prod(self.shape) * self.dtype.itemsize + spectrum


class Addresses(NamedTuple):
    """Calls that run a plan: ``execute(address)`` for every address of a direction, in order; and its scratch.

    Before every call of a forward transform that reads a part, one of `FFTSpec.idle` has to be zero.
    """

    execute: int
    signal: int
    spectrum: int
    forward: tuple[int, ...]
    backward: tuple[int, ...]


class FFTPlan(ABC):
    """One transform with its scratch. Use it from one thread at a time.

    Attributes
    ----------
    spec : FFTSpec
    nbytes : int
        Bytes of the scratch.
    signal : ndarray
        Scratch of ``spec.shape``, the same array for the life of the plan; the caller fills it before
        `forward`. Its content is not changed by `forward`, but for zeros beyond ``spec.filled``.
    spectrum : ndarray
        Input of `backward`, which may destroy it.
    """

    __slots__ = ("nbytes", "signal", "spec", "spectrum")

    spec: FFTSpec
    nbytes: int
    signal: Array
    spectrum: Array

    def forward(self, x: Array | None = None) -> Array:
        """The transform of `x`, or of what `signal` holds; valid until the next call of this plan.

        Parameters
        ----------
        x : ndarray, optional
            Any layout, alignment and dtype of the same kind; copied into `signal`, never written.
        """
        if x is not None and x is not self.signal:
            np.copyto(self.signal, x)
        return self._forward()

    def backward(self, X: Array | None = None) -> Array:
        """The inverse of `X`, or of what `spectrum` holds, without the factor 1/N; valid until the next call.

        Where ``spec.kept`` asks for a part, the result holds that part at its beginning, and may be shorter than the
        signal.

        Parameters
        ----------
        X : ndarray, optional
            Copied into `spectrum` unless it is `spectrum`. May be destroyed only in that second case.
        """
        if X is not None and X is not self.spectrum:
            np.copyto(self.spectrum, X)
        return self._backward()

    @property
    def spectrum_whole(self) -> Array:
        """`spectrum` with whatever idle bins lie between its rows, as one contiguous array.

        A product over it is a single pass; idle bins are zero at first and nothing reads them.
        """
        return self.spectrum

    def addresses(self) -> Addresses | None:
        """How compiled code runs both directions on this scratch; None where only Python can."""
        return None

    @abstractmethod
    def _forward(self) -> Array:
        """Transform `signal`."""

    @abstractmethod
    def _backward(self) -> Array:
        """Inverse of `spectrum`."""


class Borrowed:
    """A plan checked out for the length of a ``with`` block."""

    __slots__ = ("_engine", "_plan")

    def __init__(self, engine: Engine, plan: FFTPlan) -> None:
        self._engine = engine
        self._plan = plan

    def __enter__(self) -> FFTPlan:
        return self._plan

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._engine.checkin(self._plan)


class Engine(ABC):
    """An FFT library with its settings, and the cache of its idle plans.

    Engines of one library share one cache; an engine object adds the settings (planning effort, bytes) under
    which a call was started, so that its worker threads plan alike.

    Attributes
    ----------
    name : str
    fresh : bool
        Whether a transform answers in a new array, beside the scratch of its plan.
    cache_bytes : int
        Bound on the scratch of idle plans, applied whenever one is checked in.

    Examples
    --------
    >>> from fftconv.core.engine import get_engine
    >>> engine = get_engine(np.dtype("f8"))
    >>> with engine.borrow(FFTSpec((8,), (0,), np.dtype("f8"))) as plan:
    ...     float(plan.forward(np.ones(8))[0].real)
    8.0
    """

    name: ClassVar[str]
    cache: ClassVar[PlanCache]
    fresh: ClassVar[bool] = False

    def __init__(self, cache_bytes: int, effort: str = "") -> None:
        self.cache_bytes = cache_bytes
        self.effort = effort

    @abstractmethod
    def supports(self, dtype: DTypeLike) -> bool:
        """Whether signals of `dtype` can be transformed."""

    @abstractmethod
    def next_fast_len(self, n: int, real: bool = True) -> int:
        """The smallest length >= `n` that this library transforms fast; `real` for a halved axis."""

    @abstractmethod
    def new_plan(self, spec: FFTSpec) -> FFTPlan:
        """A plan with scratch of its own, whose content is undefined."""

    def spectrum_pitch(self, spec: FFTSpec) -> tuple[int, ...]:
        """Shape of `FFTPlan.spectrum_whole`."""
        return spec.spectrum_shape

    def checkout(self, spec: FFTSpec) -> FFTPlan:
        """A plan for `spec` that no other thread holds; give it back with `checkin`."""
        plan: FFTPlan | None = self.cache.take((spec.key, self.effort))
        return self.new_plan(spec) if plan is None else plan

    def checkin(self, plan: FFTPlan) -> None:
        """Return a plan. Its arrays must not be used afterwards."""
        self.cache.put((plan.spec.key, self.effort), plan, self.cache_bytes)

    def borrow(self, spec: FFTSpec) -> Borrowed:
        """`checkout` and `checkin` as a context manager."""
        return Borrowed(self, self.checkout(spec))

    def clear(self) -> None:
        """Drop the idle plans of this library."""
        self.cache.clear()

    def info(self) -> CacheInfo:
        """State of the cache."""
        return self.cache.info(self.name, self.cache_bytes)
