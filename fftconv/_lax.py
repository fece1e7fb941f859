"""The rules of the `lax` door: layouts, padding words, dtypes and groups become checked integers and views."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from fftconv._general import (
    Geometry,
    RankError,
    RuleError,
    array,
    compute,
    integer,
    integers,
    problem,
    request,
)
from fftconv.core.plan import Request
from fftconv.core.problem import ConvProblem, Ints, Pads, dilated_size, same_lower_pads, same_pads
from fftconv.core.room import new_result


class ConvDimensionNumbers(NamedTuple):
    """Where the axes of input, kernel and output lie.

    Attributes
    ----------
    lhs_spec, out_spec : tuple of int
        The indices of the batch axis, the channel axis and the spatial axes.
    rhs_spec : tuple of int
        The indices of the output-channel axis, the input-channel axis and the spatial axes.

    Examples
    --------
    >>> ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)).lhs_spec[1]  # channels last
    3
    """

    lhs_spec: Ints
    rhs_spec: Ints
    out_spec: Ints


Layout = ConvDimensionNumbers | Sequence[str] | None


Padding = str | Sequence[tuple[int, int]]


class Steps(NamedTuple):
    """Stride and dilations, one entry per spatial axis."""

    stride: Ints
    lhs_dilation: Ints
    rhs_dilation: Ints


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Layout
) -> ConvDimensionNumbers:
    """Turn a layout in letters into axis indices.

    Parameters
    ----------
    lhs_shape, rhs_shape : sequence of int
        Shapes of input and kernel; only their lengths matter.
    dimension_numbers : None, 3 strings, or ConvDimensionNumbers
        Layouts of input, kernel and output. Input and output hold ``N`` (batch) and ``C`` (channels) once,
        the kernel ``O`` and ``I`` (output and input channels); every other letter names a spatial axis and
        stands once in each of the three. Spatial axes count in the kernel's order, and so do strides, pads
        and dilations. None stands for ``("NCHW", "OIHW", "NCHW")`` and its like for other numbers of axes.
        A ConvDimensionNumbers is returned as it is.

    Returns
    -------
    ConvDimensionNumbers

    Raises
    ------
    ValueError, TypeError
        Shapes of different lengths; layouts of another number of letters, or that repeat or miss one.

    Examples
    --------
    >>> conv_dimension_numbers((1, 9, 9, 3), (3, 3, 3, 8), ("NHWC", "HWIO", "NHWC"))
    ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))
    """
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    ndim = len(lhs_shape)
    if len(rhs_shape) != ndim:
        raise TypeError(f"lhs and rhs must have the same number of axes, got {ndim} and {len(rhs_shape)}")
    if dimension_numbers is None:
        axes = tuple(range(ndim))
        return ConvDimensionNumbers(axes, axes, axes)
    lhs, rhs, out = _layouts(dimension_numbers, ndim)
    spatial = [c for c in rhs if c not in "OI"]
    for layout in (lhs, out):
        if set(layout) - set("NC") != set(spatial):
            raise TypeError(
                f"the three layouts must name the same spatial axes, expected {''.join(spatial)} as in {rhs!r}, "
                f"got {layout!r}"
            )
    return ConvDimensionNumbers(
        _indices(lhs, "NC", spatial), _indices(rhs, "OI", spatial), _indices(out, "NC", spatial)
    )


def _layouts(dimension_numbers: object, ndim: int) -> tuple[str, str, str]:
    """Three strings of `ndim` letters, each with its two special letters and no letter twice."""
    if not isinstance(dimension_numbers, (tuple, list)):
        raise TypeError(f"dimension_numbers must be None or three strings, got {dimension_numbers!r}")
    if len(dimension_numbers) != 3 or not all(isinstance(s, str) for s in dimension_numbers):
        raise TypeError(f"dimension_numbers must hold three strings, got {dimension_numbers!r}")
    for layout, letters in zip(dimension_numbers, ("NC", "OI", "NC"), strict=True):
        if len(layout) != ndim:
            raise TypeError(f"each layout needs one letter per axis, expected {ndim}, got {layout!r}")
        if not set(letters) <= set(layout):
            raise TypeError(f"layout {layout!r} must hold {letters[0]} and {letters[1]} once each")
        if len(set(layout)) != ndim:
            raise TypeError(f"layout {layout!r} must not repeat a letter")
    lhs, rhs, out = dimension_numbers
    return lhs, rhs, out


def _indices(layout: str, special: str, spatial: list[str]) -> Ints:
    return tuple(layout.index(c) for c in (*special, *spatial))


def padtype_to_pads(
    in_shape: Sequence[int], window_shape: Sequence[int], window_strides: Sequence[int], padding: str
) -> list[tuple[int, int]]:
    """The ``(low, high)`` pairs that a padding word stands for.

    Parameters
    ----------
    in_shape, window_shape, window_strides : sequence of int
        Input length, (dilated) kernel length and stride per spatial axis.
    padding : str
        ``"VALID"``: none. ``"SAME"``: ``ceil(n / s)`` outputs, the odd sample at the end; ``"SAME_LOWER"``:
        at the start. Upper or lower case.

    Returns
    -------
    list of (int, int)
        Samples before and after, per spatial axis.

    Raises
    ------
    ValueError, TypeError
        Another word; sequences of different lengths or of what are no integers.

    Examples
    --------
    >>> padtype_to_pads((8, 8), (4, 3), (1, 1), "SAME")
    [(1, 2), (1, 1)]
    """
    if not isinstance(padding, str):
        raise TypeError(f"padding must be one of VALID, SAME, SAME_LOWER, got {padding!r}")
    word = padding.upper()
    if word not in ("VALID", "SAME", "SAME_LOWER"):
        raise RuleError(f"padding must be one of VALID, SAME, SAME_LOWER, got {padding!r}")
    sizes, windows = integers("in_shape", in_shape), integers("window_shape", window_shape)
    strides = integers("window_strides", window_strides)
    if not len(sizes) == len(windows) == len(strides):
        raise RuleError(
            f"in_shape, window_shape and window_strides must have one length, got {sizes}, {windows}, {strides}"
        )
    if min(strides, default=1) < 1:
        raise ValueError(f"window_strides must be positive on every axis, got {strides}")
    if word == "VALID":
        return [(0, 0)] * len(windows)
    rule = same_pads if word == "SAME" else same_lower_pads
    return [rule(n, k, s) for n, k, s in zip(sizes, windows, strides, strict=True)]


class Operands(NamedTuple):
    """Canonical views of input and kernel, and what the output shall be."""

    x: np.ndarray
    w: np.ndarray
    out_spec: Ints
    dtype: np.dtype


def operands(lhs: object, rhs: object, dimension_numbers: object, preferred: object) -> Operands:
    """Check ranks, layout and dtypes."""
    a, b = array("lhs", lhs), array("rhs", rhs)
    if a.ndim != b.ndim:
        raise TypeError(f"lhs and rhs must have the same number of axes, got {a.ndim} and {b.ndim}")
    layout = checked_layout(a, b.shape, dimension_numbers)
    dtype = result_dtype(a.dtype, b.dtype, preferred)
    return Operands(a.transpose(layout.lhs_spec), b.transpose(layout.rhs_spec), layout.out_spec, dtype)


def checked_layout(lhs: np.ndarray, rhs_shape: Ints, dimension_numbers: object) -> ConvDimensionNumbers:
    """The layout, if each of its three parts is a permutation of the axes."""
    if lhs.ndim < 2:
        raise RankError(f"an array needs a batch and a channel axis, expected 2 axes or more, got {lhs.ndim}")
    layout = conv_dimension_numbers(lhs.shape, rhs_shape, dimension_numbers)  # type: ignore[arg-type]
    for name, spec in zip(layout._fields, layout, strict=True):
        if sorted(spec) != list(range(lhs.ndim)):
            raise TypeError(f"{name} must name each of the {lhs.ndim} axes once, got {tuple(spec)}")
    return layout


def channels_last(ndim: int) -> tuple[str, str, str]:
    """The default layout of `conv_transpose`."""
    if ndim > 5:
        raise ValueError(f"conv_transpose has default layouts up to 5 axes; {ndim} need dimension_numbers")
    spatial = "HWD"[: max(ndim - 2, 0)]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


def result_dtype(lhs: np.dtype, rhs: np.dtype, preferred: object) -> np.dtype:
    """The one dtype of the operands, or `preferred` where that is a wider one of a compatible kind."""
    if lhs != rhs:
        raise TypeError(f"lhs and rhs must have the same dtype, got {lhs} and {rhs}")
    if preferred is None:
        return lhs
    wanted: np.dtype = np.dtype(preferred).newbyteorder("=")  # type: ignore[call-overload]
    allowed = {"b": "biufc", "u": "uif", "i": "if", "f": "f", "c": "c"}[lhs.kind]
    if wanted.kind not in allowed:
        raise TypeError(
            "preferred_element_type must keep the kind and sign of the operands or turn integers into floats, "
            f"got {lhs} to {wanted}"
        )
    if wanted.itemsize < lhs.itemsize:
        raise TypeError(
            f"preferred_element_type must not be narrower than the operands, got {lhs} to {wanted}"
        )
    return wanted


def promoted(a: np.dtype, b: np.dtype) -> np.dtype:
    """jax's common dtype: NumPy's, except that an integer leaves the width of a float as it is."""
    exact = [t.kind in "biu" for t in (a, b)]
    if exact[0] != exact[1]:
        return b if exact[0] else a
    return np.promote_types(a, b)


def group_counts(features: object, batches: object) -> tuple[int, int]:
    """The two group counts, of which one is 1."""
    counts = integer("feature_group_count", features), integer("batch_group_count", batches)
    if min(counts) < 1:
        raise ValueError(
            f"feature_group_count and batch_group_count must be at least 1, got {counts[0]} and {counts[1]}"
        )
    if min(counts) > 1:
        raise ValueError(
            f"only one of feature_group_count and batch_group_count may exceed 1, got {counts[0]} and {counts[1]}"
        )
    return counts


def grouped(x: np.ndarray, w: np.ndarray, features: int, batches: int) -> np.ndarray:
    """Check the channels, and fold batch groups into channel groups.

    Batch block j feeds output block j, so blocks that are stacked along the channels are ordinary groups.
    """
    n, c, o, i = *x.shape[:2], *w.shape[:2]
    if c != i * features:
        raise ValueError(
            f"lhs channels must be rhs inputs * feature_group_count, expected {i} * {features}, got {c}"
        )
    if o % features:
        raise ValueError(f"feature_group_count must divide the output channels, got {features} and {o}")
    if batches == 1:
        return x
    if n % batches or o % batches:
        raise ValueError(
            f"batch_group_count must divide the batch and the output channels, got {batches} for {n} and {o}"
        )
    size = x.shape[2:]
    blocks = x.reshape(batches, n // batches, c, *size).swapaxes(0, 1)
    return blocks.reshape(n // batches, batches * c, *size)


def forward_steps(ndim: int, strides: object, lhs_dilation: object, rhs_dilation: object) -> Steps:
    """The steps of a forward convolution."""
    return Steps(
        _per_axis("window_strides", strides, ndim, ValueError),
        _dilation("lhs_dilation", lhs_dilation, ndim),
        _dilation("rhs_dilation", rhs_dilation, ndim),
    )


def transposed_steps(ndim: int, strides: object, rhs_dilation: object) -> Steps:
    """The steps of a transposed convolution, whose strides spread the input."""
    return Steps(
        (1,) * ndim,
        _per_axis("strides", strides, ndim, TypeError),
        _dilation("rhs_dilation", rhs_dilation, ndim),
    )


def _dilation(name: str, values: object, ndim: int) -> Ints:
    return (1,) * ndim if values is None else _per_axis(name, values, ndim, TypeError)


def _per_axis(name: str, values: object, ndim: int, error: type[ValueError | TypeError]) -> Ints:
    """A positive integer per axis; `error` is what jax raises for one that is not positive."""
    found = integers(name, values)
    if len(found) != ndim:
        raise ValueError(f"{name} needs one entry per spatial axis, expected {ndim}, got {found}")
    if min(found, default=1) < 1:
        raise error(f"{name} must be positive on every axis, got {found}")
    return found


def window_geometry(size: Ints, kernel: Ints, steps: Steps, padding: object, groups: int = 1) -> Geometry:
    """The geometry of a forward convolution, its padding given in words or pairs."""
    reach = reaches(kernel, steps)
    if not isinstance(padding, str):
        pads = checked_pairs(padding, size, steps)
    elif any(b != 1 for b in steps.lhs_dilation):
        raise ValueError(
            f"padding {padding!r} is not defined for a dilated input: give (low, high) pairs or use conv_transpose"
        )
    else:
        pads = tuple(padtype_to_pads(size, reach, steps.stride, padding))
    return Geometry(steps.stride, pads, steps.lhs_dilation, steps.rhs_dilation, groups)


def transposed_geometry(
    size: Ints, kernel: Ints, steps: Steps, padding: object, consistent: bool
) -> Geometry:
    """The geometry of a transposed convolution: the pads of the dilated input that give it its sizes."""
    reach = reaches(kernel, steps)
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise ValueError(f"padding of conv_transpose must be 'SAME', 'VALID' or pairs, got {padding!r}")
        rule = _transposed_same if padding == "SAME" else _transposed_valid
        pads = tuple(rule(k, s) for k, s in zip(reach, steps.lhs_dilation, strict=True))
    elif consistent:
        cuts = _pairs(padding, len(size))
        if not all(isinstance(pair, tuple) for pair in padding):  # type: ignore[attr-defined]
            raise ValueError(f"with use_consistent_padding each pair must be a tuple, got {padding!r}")
        pads = tuple((k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(reach, cuts, strict=True))
        pads = checked_pairs(pads, size, steps)
    else:
        pads = checked_pairs(padding, size, steps)
    return Geometry(steps.stride, pads, steps.lhs_dilation, steps.rhs_dilation)


def reaches(kernel: Ints, steps: Steps) -> Ints:
    """Lengths of the dilated kernel."""
    if min(kernel, default=1) < 1:
        raise ValueError(f"the kernel must not be empty along a spatial axis, got {kernel}")
    return tuple(map(dilated_size, kernel, steps.rhs_dilation))


def checked_pairs(padding: object, size: Ints, steps: Steps) -> Pads:
    """Explicit pads that do not crop more than the dilated input holds."""
    pads = _pairs(padding, len(size))
    dilated = tuple(map(dilated_size, size, steps.lhs_dilation))
    for axis, (n, (lo, hi)) in enumerate(zip(dilated, pads, strict=True)):
        if n + lo + hi < 0:
            raise ValueError(
                f"negative padding must not crop more than there is: the dilated spatial axis {axis} has {n} "
                f"samples, padding is {(lo, hi)}"
            )
    return pads


def _pairs(padding: object, ndim: int) -> Pads:
    try:
        pads = tuple((operator.index(lo), operator.index(hi)) for lo, hi in padding)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ValueError(
            f"padding must be a word or a sequence of (low, high) integers, got {padding!r}"
        ) from None
    if len(pads) != ndim:
        raise TypeError(f"padding needs one pair per spatial axis, expected {ndim}, got {pads}")
    return pads


def _transposed_same(k: int, s: int) -> tuple[int, int]:
    """Pads for n * s outputs."""
    total = k + s - 2
    lo = k - 1 if s > k - 1 else -(-total // 2)
    return lo, total - lo


def _transposed_valid(k: int, s: int) -> tuple[int, int]:
    """Pads for every partial overlap, at least n * s outputs."""
    total = k + s - 2 + max(k - s, 0)
    return k - 1, total - (k - 1)


def correlate(given: Operands, geometry: Geometry, asked: Request) -> np.ndarray:
    """Run the canonical problem into an array of the output layout."""
    p = problem(given.x, given.w, geometry, given.dtype)
    out, view = laid_out(p.out_shape, given.out_spec, given.dtype)
    compute(p, given.x, given.w, view, asked)
    return out


def laid_out(shape: Ints, spec: Ints, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """A new array whose axes lie as `spec` says, and its canonical view of the given `shape`."""
    placed = [0] * len(spec)
    for axis, length in zip(spec, shape, strict=True):
        placed[axis] = length
    out = new_result(tuple(placed), dtype)
    return out, out.transpose(spec)


def window_problem(
    lhs: object, filter_shape: object, steps: tuple[object, object, object], how: tuple[object, object]
) -> tuple[np.ndarray, ConvProblem, ConvDimensionNumbers]:
    """The canonical input, the one-hot problem whose output is the patches, and the layout.

    `steps` are strides and dilations, `how` padding and dimension numbers.
    """
    a, window = array("lhs", lhs), integers("filter_shape", filter_shape)
    padding, dimension_numbers = how
    if len(window) != a.ndim - 2 >= 0:
        raise TypeError(
            f"filter_shape needs one length per spatial axis, expected {a.ndim - 2}, got {window}"
        )
    layout = checked_layout(a, (1, 1, *window), dimension_numbers)
    x = a.transpose(layout.lhs_spec)
    channels, size = x.shape[1], x.shape[2:]
    if channels == 0:
        raise ValueError("patches need at least one channel, got 0")
    geometry = window_geometry(size, window, forward_steps(len(size), *steps), padding, channels)
    kernel = np.broadcast_to(np.zeros((), a.dtype), (channels * prod(window), 1, *window))
    return x, problem(x, kernel, geometry, a.dtype), layout


def direct_only(method: object, workers: object) -> None:
    asked = request(method, workers).method
    if asked not in (None, "direct"):
        raise ValueError(f"method {asked!r} needs one kernel for all outputs; here only 'direct' serves")
