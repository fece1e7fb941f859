"""A kernel, or a bank of kernels, prepared once and applied to many arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fftconv._boundary import fill_of
from fftconv._broadcast import Array
from fftconv._door import CONVOLVE, as_operand, check_out, mode_text, options_of, shape_of
from fftconv._prepared import Prepared, Shared
from fftconv._recipe import (
    DType,
    Operand,
    Options,
    Recipe,
    check_mode,
    check_numeric,
    native,
    normal_axes,
    recipe_for,
    result_dtype,
)
from fftconv.core.config import PLANNING
from fftconv.core.kernel import Store
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import Ints

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["Convolver"]

CONVOLVER = replace(CONVOLVE, names=("x", "kernel"), keeps=True)
GRADIENT = replace(CONVOLVER, names=("x", "y"))

# Shapes and dtypes of input for which everything but the spectra is remembered.
REMEMBERED = 256


class Convolver:
    """``c(x)`` is ``convolve(x, kernel, mode, axes=axes)``, with all that concerns the kernel done beforehand.

    Parameters
    ----------
    kernel : array_like
        At least 1-d. It is copied: what happens to the array afterwards has no effect.
    mode : {"same", "full", "valid"}
        As for `convolve`; the first operand is `x`.
    axes : int or sequence of int, optional
        Axes of `x` to convolve along. Without it `x` must have as many dimensions as the kernel; with it they
        broadcast against each other as in `convolve`.
    boundary : str or sequence of str
        What lies outside of `x`, as for `convolve`.
    fill_value : number
        The value outside where `boundary` is ``"constant"``.
    dtype : dtype, optional
        In which to accumulate and to return. Default ``numpy.result_type(x, kernel)``.
    shape : tuple of int, optional
        Shape of the arrays to come. The first call then happens at once, on zeros, and `plan` is there. Arrays of
        other shapes stay welcome.
    bank : bool
        Whether the first axis of `kernel` counts kernels. The result then has that axis first, `axes` and the rules of
        broadcasting are those of a single kernel, and every tile of `x` is transformed once for all kernels.
    method : str
        As for `convolve`.
    workers : int, optional
        At most so many threads; default as `fftconv.set_workers` says.
    planning : {"estimate", "measure", "patient"}
        Effort of FFTW's planner. The latter two time transforms, at most the option `planning_limit` each, when a tile
        shape is first met; results may then differ in their last bits from one process to the next. The default is
        what the options say.

    Attributes
    ----------
    kernel : ndarray
        Read-only.
    plan : ConvPlan
        How the last call was computed, or would be, for `shape`. Prints as a table.
    nbytes : int
        What is held of spectra and the like.

    Raises
    ------
    ValueError, TypeError
        As `convolve` does; by the call where only the shape or dtype of `x` can tell.

    See Also
    --------
    convolve : the same once

    Notes
    -----
    Spectra are kept per shape of tile, not of array, up to the option `cache_bytes` and at least those used last.
    After one call per shape and dtype, a call plans nothing, and where it uses a transform it transforms no kernel
    and allocates nothing but its result. Direct sums take their scratch anew; integers that are too large for a
    transform to round are split anew, the kernel's included.

    The kernel's transforms being free, a transform may be chosen where `convolve` would take the direct sum. Where
    both choose the same plan, and `x` is at least as long as the kernel, results are equal bit by bit.

    A Convolver may be called from any number of threads, and pickled: it takes the kernel along and prepares it
    again where it arrives.

    Examples
    --------
    >>> import numpy as np
    >>> from fftconv import Convolver
    >>> smooth = Convolver([0.25, 0.5, 0.25])
    >>> smooth(np.array([0.0, 4.0, 0.0, 0.0]))
    array([1., 2., 1., 0.])

    Two kernels on every row of an image:

    >>> bank = Convolver([[0.5, 0.5, 0.0], [1.0, 0.0, -1.0]], axes=-1, bank=True)
    >>> bank(np.ones((4, 100))).shape
    (2, 4, 100)
    """

    def __init__(
        self,
        kernel: Any,
        *,
        mode: str = "same",
        axes: Any = None,
        boundary: Any = "constant",
        fill_value: Any = 0.0,
        dtype: Any = None,
        shape: Any = None,
        bank: bool = False,
        method: str = "auto",
        workers: int | None = None,
        planning: str = "estimate",
    ) -> None:
        if isinstance(boundary, Iterable):
            boundary = boundary if isinstance(boundary, str) else tuple(boundary)
        self._mode = mode_text(mode)
        check_mode(CONVOLVER, self._mode)
        options = options_of(axes, dtype, method, workers, (boundary, fill_value))
        self._options = options._replace(request=replace(options.request, prepared=True))
        self._bank = bool(bank)
        kernel = _kernel(kernel, self._bank)
        self._shared = Shared(kernel, Store(), _effort(planning))
        _check_options(kernel, self._bank, self._options)
        self._calls: dict[Operand, Prepared] = {}
        self._last: Prepared | None = None
        self._shape = None if shape is None else shape_of(shape)
        # what was asked for, in values that nobody changes later
        self._given = {
            "mode": self._mode, "axes": self._options.axes, "boundary": boundary, "fill_value": self._fill,
            "dtype": self._options.dtype, "shape": self._shape, "bank": self._bank, "method": method,
            "workers": workers, "planning": planning,
        }  # fmt: skip
        self._check_weight()
        if self._shape is not None:
            self(np.zeros(self._shape, kernel.dtype if dtype is None else dtype))

    def __call__(self, x: Any, out: Array | None = None) -> Array:
        """The convolution of `x` with the kernel, or with each kernel of the bank.

        Parameters
        ----------
        x : array_like
        out : ndarray, optional
            Where to put the result. It may share memory with `x`.

        Returns
        -------
        ndarray
            A new array, or `out`.

        Raises
        ------
        ValueError, TypeError
            As `convolve` does.
        """
        if x.__class__ is not np.ndarray:
            x = as_operand("x", x)
        call = self._calls.get((x.shape, x.dtype)) or self._call(x.shape, x.dtype)
        self._last = call
        if out is not None:
            check_out(out, call.recipe.shape, call.recipe.dtype)
        return call.forward(x, call.operand, out)

    def adjoint(self, y: Any, out: Array | None = None, *, shape: Any = None) -> Array:
        """The adjoint of the convolution as a linear map: ``<c(x), y> == <x, c.adjoint(y)>``.

        It is the correlation of `y` with the conjugate of the kernel, in the mode that undoes the change of size, what
        falls outside being added to the samples that `boundary` shows there; of a bank, the sum of those of its
        kernels. With a `fill_value` other than 0 it is the adjoint of ``c(x) - c(0)``.

        Parameters
        ----------
        y : array_like
            Of the shape of a result.
        out : ndarray, optional
            Where to put the adjoint.
        shape : tuple of int, optional
            Shape of the inputs. By default the one given to the constructor if its result has the shape of `y`, else
            what follows from the mode, axes that are not convolved being as long as those of `y`.

        Returns
        -------
        ndarray
            Of `shape`.

        Raises
        ------
        ValueError
            Where no input, or none of `shape`, has a result of the shape of `y`.

        Examples
        --------
        >>> import numpy as np
        >>> from fftconv import Convolver
        >>> c = Convolver([1.0, 2.0, 3.0], mode="valid")
        >>> x, y = np.arange(5.0), np.array([1.0, 0.0, 2.0])
        >>> float(np.vdot(c(x), y)), float(np.vdot(x, c.adjoint(y)))
        (36.0, 36.0)
        """
        y = as_operand("y", y)
        call = self._call_of_result("y", y, shape)
        if out is not None:
            check_out(out, call.x_shape, call.recipe.dtype)
        return call.adjoint(y, out)

    def kernel_grad(self, x: Any, y: Any) -> Array:
        """The gradient of ``<c(x), y>`` with respect to the kernel: ``<c(x), y> == <kernel, c.kernel_grad(x, y)>``.

        Parameters
        ----------
        x : array_like
            An input.
        y : array_like
            Of the shape of the result.

        Returns
        -------
        ndarray
            Of the shape of `kernel`, in `dtype` or ``numpy.result_type(x, y)``. For complex data `x` is conjugated.

        Raises
        ------
        ValueError
            Where `y` has not the shape of the result for `x`, or that is not linear in the kernel (``renormalize``).

        Examples
        --------
        >>> import numpy as np
        >>> from fftconv import Convolver
        >>> Convolver(np.zeros(3), mode="valid").kernel_grad(np.arange(5.0), np.array([1.0, 0.0, 2.0]))
        array([10.,  7.,  4.])
        """
        if self._options.weightless and self._mode != "valid":
            raise ValueError(
                "kernel_grad needs results that are linear in the kernel; with boundary='renormalize' they are divided "
                "by its weight"
            )
        x, y = as_operand("x", x), as_operand("y", y)
        call = self._call_of_result("y", y, x.shape, "the result for x")
        dtype = result_dtype(GRADIENT, (x.dtype, y.dtype), self._options.dtype)
        return call.kernel_gradient(x, y, dtype)

    def reduce(self, x: Any, op: Any) -> Array:
        """A reduction over the kernels of a bank, such as the largest response, without their results side by side.

        Parameters
        ----------
        x : array_like
        op : numpy.ufunc or callable
            A ufunc of two arguments (``numpy.maximum``, ``numpy.add``), or a function called as ``op(a, axis=i)`` that
            reduces that axis alone (``numpy.argmax``, ``numpy.median``). It sees parts of the result.

        Returns
        -------
        ndarray
            ``op`` along the first axis of ``c(x)``, to within rounding, in the dtype that `op` makes.

        Raises
        ------
        ValueError, TypeError
            Where there is no bank, or `op` is nothing of the kind, or reduces anything else.

        Examples
        --------
        >>> import numpy as np
        >>> from fftconv import Convolver
        >>> bank = Convolver([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]], bank=True)
        >>> bank.reduce(np.array([1.0, 5.0, 2.0, 2.0]), np.argmax)
        array([0, 1, 1, 1])
        """
        if not self._bank:
            raise ValueError("reduce needs a bank of kernels: Convolver(kernels, bank=True)")
        reduction = _reduction(op)
        x = as_operand("x", x)
        call = self._call(x.shape, x.dtype)
        self._last = call
        return call.reduce(x, reduction, self.kernel.shape[0])

    def as_linear_operator(self, shape: Any) -> LinearOperator:
        """The convolution of arrays of `shape` as a `scipy.sparse.linalg.LinearOperator`.

        Parameters
        ----------
        shape : tuple of int
            Of the inputs, which the operator takes as vectors (in C order).

        Returns
        -------
        scipy.sparse.linalg.LinearOperator
            With an exact adjoint; for `lsqr`, `lsmr`, `cg` and the like. It needs scipy.

        Raises
        ------
        ValueError, TypeError
            Where a `fill_value` other than 0 lies outside, or results are asked for in a `dtype` of integers.

        Examples
        --------
        >>> import numpy as np
        >>> from scipy.sparse.linalg import lsqr
        >>> from fftconv import Convolver
        >>> blur = Convolver([0.2, 0.6, 0.2])
        >>> x = np.array([0.0, 3.0, 1.0, 0.0, 2.0])
        >>> np.allclose(lsqr(blur.as_linear_operator(x.shape), blur(x))[0], x, atol=1e-4)
        True
        """
        from scipy.sparse.linalg import LinearOperator

        if self._fill != 0:
            raise ValueError(
                "a linear operator needs a convolution that gives zeros for zeros; got "
                f"fill_value={self._fill!r} outside of x"
            )
        asked = self._options.dtype
        if asked is not None and asked.kind not in "fc":
            raise TypeError(
                f"a linear operator is for vectors of real or complex numbers, and needs a dtype that holds them; "
                f"got dtype={asked}"
            )
        kind = self.kernel.dtype if asked is None else asked
        dtype = kind if kind.kind in "fc" else np.dtype(np.float64)
        size = shape_of(shape)
        result = self._call(size, dtype).recipe.shape

        return LinearOperator(
            (prod(result), prod(size)),
            matvec=partial(_forward, self, size),
            rmatvec=partial(_backward, self, (result, size)),
            dtype=dtype,
        )

    @property
    def kernel(self) -> Array:
        """The kernel, or the bank: read-only."""
        return self._shared.kernel

    @property
    def nbytes(self) -> int:
        """Bytes of spectra and the like that are held now."""
        return self._shared.store.nbytes

    @property
    def plan(self) -> ConvPlan:
        """How the last call was computed.

        Raises
        ------
        ValueError
            Before the first call, if no `shape` was given.
        """
        if self._last is None:
            raise ValueError("there is no plan before the first call; Convolver(kernel, shape=...) makes one")
        return self._last.recipe.plan()

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.kernel.shape[self._bank :]))
        counted = f"{self.kernel.shape[0]} kernels of {sizes}" if self._bank else f"kernel {sizes}"
        axes = "" if self._options.axes is None else f", axes={self._options.axes}"
        outside = "" if self._options.extension is None else f", boundary={self._given['boundary']!r}"
        return f"<Convolver: {counted} {self.kernel.dtype}, mode={self._mode!r}{axes}{outside}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.kernel, self._given)

    @property
    def _fill(self) -> Any:
        """What lies outside, where `boundary` is ``"constant"``."""
        extension = self._options.extension
        return 0.0 if extension is None else extension.fill

    def _call(self, shape: Ints, dtype: DType) -> Prepared:
        """What is remembered for inputs of this shape and dtype."""
        found = self._calls.get((shape, dtype))
        if found is None:
            operand, axes = self._against(shape)
            recipe = recipe_for(
                CONVOLVER,
                (shape, dtype),
                (operand.shape, operand.dtype),
                self._mode,
                self._options._replace(axes=axes),
            )
            assert isinstance(recipe, Recipe)
            found = Prepared(recipe, shape, operand, self._shared)
            self._calls[shape, dtype] = found
            for old in list(self._calls)[:-REMEMBERED]:
                self._calls.pop(old, None)
        return found

    def _against(self, shape: Ints) -> tuple[Array, Ints | None]:
        """The kernel as the second operand of a convolution with an array of `shape`, and the axes of that."""
        axes = self._options.axes
        if not self._bank:
            return self.kernel, axes
        kernels, *sizes = self.kernel.shape
        if axes is None:
            if len(shape) != len(sizes):
                raise ValueError(
                    f"x and the kernels of the bank should have the same dimensionality; got shapes {shape} and "
                    f"{tuple(sizes)} (with axes= they broadcast)"
                )
            return self.kernel, tuple(range(-len(sizes), 0))
        ndim = max(len(shape), len(sizes))
        operand = self.kernel.reshape(kernels, *(1,) * (ndim - len(sizes)), *sizes)
        return operand, tuple(a - ndim for a in normal_axes(axes, ndim))

    def _check_weight(self) -> None:
        """Refuse a kernel without weight where one is divided by, if it is known which of its axes are convolved."""
        sizes, axes = self.kernel.shape[self._bank :], self._options.axes
        if self._options.weightless and (axes is None or max(axes) < 0):
            ndim = max([len(sizes), *(-a for a in axes or ())])
            shape = (1,) * (ndim - len(sizes)) + sizes
            _ = self._call(shape, self.kernel.dtype).forward

    def _call_of_result(self, name: str, y: Array, shape: Any, whose: str = "a result") -> Prepared:
        """The call whose result has the shape of `y`, for inputs of `shape` or of one that follows from the mode."""
        if shape is not None:
            call = self._call(shape_of(shape), y.dtype)
        elif self._shape is not None and self._call(self._shape, y.dtype).recipe.shape == y.shape:
            return self._call(self._shape, y.dtype)
        else:
            call = self._call(self._input_shape(y.shape), y.dtype)
        if call.recipe.shape != y.shape:
            raise ValueError(
                f"{name} must have the shape of {whose}, expected {call.recipe.shape} for inputs of shape "
                f"{call.x_shape}, got {y.shape}"
            )
        return call

    def _input_shape(self, shape: Ints) -> Ints:
        """The inputs whose results have `shape`, as far as that can be told."""
        result, sizes = shape[self._bank :], self.kernel.shape[self._bank :]
        axes = self._options.axes
        inside = range(len(result)) if axes is None else normal_axes(axes, len(result))
        taps = (1,) * (len(result) - len(sizes)) + sizes
        grown = {"same": 0, "full": 1, "valid": -1}[self._mode]
        found = tuple(
            m - grown * (k - 1) if a in inside else m
            for a, (m, k) in enumerate(zip(result, taps, strict=False))
        )
        fits = len(taps) == len(result) > 0 and all(found[a] > 0 for a in inside)
        if not fits:
            raise ValueError(f"y must have the shape of a result; got {shape}, which {self} cannot yield")
        return found


def _again(kind: type[Convolver], kernel: Array, given: dict[str, Any]) -> Convolver:
    return kind(kernel, **given)


def _forward(c: Convolver, size: Ints, v: Array) -> Array:
    return c(v.reshape(size)).ravel()


def _backward(c: Convolver, sizes: tuple[Ints, Ints], v: Array) -> Array:
    result, size = sizes
    return c.adjoint(v.reshape(result), shape=size).ravel()


def _reduction(op: Any) -> Any:
    """`op` as a function of an array and an axis."""
    if isinstance(op, np.ufunc):
        if op.nin == 2 and op.nout == 1 and op.signature is None:
            return op.reduce
    elif callable(op):
        return op
    raise TypeError(
        f"op must be a ufunc of two arguments and one result, such as numpy.maximum, or a function that is called as "
        f"op(a, axis=i), such as numpy.argmax; got {op!r}"
    )


def _kernel(value: Any, bank: bool) -> Array:
    """A private copy of the kernel that nobody can write to."""
    kernel = native(np.array(as_operand("kernel", value), order="C"))
    check_numeric("kernel", kernel.dtype)
    least = 2 if bank else 1
    if kernel.ndim < least:
        wanted = "an axis of kernels and at least one of samples" if bank else "at least one axis"
        raise ValueError(f"kernel must have {wanted}, got shape {kernel.shape}")
    if kernel.size == 0:
        raise ValueError(f"kernel cannot be empty; got shape {kernel.shape}")
    kernel.flags.writeable = False
    # of a view, nobody can make it writeable again
    return kernel.view()


def _check_options(kernel: Array, bank: bool, options: Options) -> None:
    """Refuse what no `x` could make right."""
    sizes = kernel.shape[bank:]
    axes = tuple(range(-len(sizes), 0)) if options.axes is None else options.axes
    if not axes or len(set(axes)) < len(axes):
        normal_axes(axes, max([len(sizes), *(abs(a) + 1 for a in axes)]))
    if options.dtype is not None:
        result_dtype(CONVOLVER, (kernel.dtype, kernel.dtype), options.dtype, options.weightless)
    if options.extension is not None:
        options.extension.on(len(axes))
        if options.dtype is not None:
            fill_of(options.extension.fill, options.dtype)


def _effort(planning: Any) -> str:
    """Effort of the planner where it is more than the options say."""
    if planning not in PLANNING:
        raise ValueError(f"planning must be one of {', '.join(PLANNING)}; got {planning!r}")
    return "" if planning == PLANNING[0] else str(planning)
