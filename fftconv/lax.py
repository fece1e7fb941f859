"""The convolutions of ``jax.lax`` on NumPy arrays: any layout, stride, dilation, grouping and number of axes.

All of them correlate: the kernel is neither reversed nor conjugated. Per spatial axis, with input length ``n``,
kernel length ``k``, stride ``s``, pads ``(lo, hi)``, input dilation ``b`` and kernel dilation ``d``, the output length is
``max(0, (dil(n, b) + lo + hi - dil(k, d)) // s + 1)`` where ``dil(m, r) = (m - 1) * r + 1``, or 0 for ``m = 0``.

Arguments mean what they mean in jax, with these words for all functions:

* `lhs` and `rhs` are arrays (not lists) of one dtype, which is the result's; `preferred_element_type` computes and
  returns in a wider one.
* `padding` is ``"VALID"``, ``"SAME"`` (the odd sample goes to the end), ``"SAME_LOWER"`` (to the start) or a sequence of
  ``(low, high)`` pairs; negative entries crop the dilated input.
* `precision` is accepted and has no effect: every result is accurate to the rounding of its dtype.
* `method` forces an algorithm by name, ``"auto"`` takes the cheapest; `workers` bounds the threads.

Every broken rule raises ValueError or TypeError; where jax raises another kind, the exception is of both kinds.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from fftconv import _patches
from fftconv._general import Call, Geometry, RankError, RuleError, array, integers, problem, request
from fftconv.core.plan import Request
from fftconv.core.problem import Ints, Pads, dilated_size, same_lower_pads, same_pads
from fftconv.core.run import run

__all__ = [
    "ConvDimensionNumbers",
    "conv",
    "conv_dimension_numbers",
    "conv_general_dilated",
    "conv_general_dilated_local",
    "conv_general_dilated_patches",
    "conv_transpose",
    "conv_with_general_padding",
    "padtype_to_pads",
]


class ConvDimensionNumbers(NamedTuple):
    """Where the axes of input, kernel and output lie.

    Attributes
    ----------
    lhs_spec, out_spec : tuple of int
        The indices of the batch axis, the channel axis and the spatial axes.
    rhs_spec : tuple of int
        The indices of the output-channel axis, the input-channel axis and the spatial axes.
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
        Layouts of input, kernel and output. Input and output hold ``N`` (batch) and ``C`` (channels) once, the kernel
        ``O`` and ``I`` (output and input channels); every other letter names a spatial axis and stands once in each of the
        three. Spatial axes count in the kernel's order, and so do strides, pads and dilations. None stands for
        ``("NCHW", "OIHW", "NCHW")`` and its like for other numbers of axes. A ConvDimensionNumbers is returned as it is.

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
        ``"VALID"``: none. ``"SAME"``: ``ceil(n / s)`` outputs, the odd sample at the end; ``"SAME_LOWER"``: at the start. Upper
        or lower case.

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
    if word == "VALID":
        return [(0, 0)] * len(windows)
    rule = same_pads if word == "SAME" else same_lower_pads
    return [rule(n, k, s) for n, k, s in zip(sizes, windows, strides, strict=True)]


def conv(
    lhs: np.ndarray,
    rhs: np.ndarray,
    window_strides: Sequence[int],
    padding: Padding,
    precision: object = None,
    preferred_element_type: object = None,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """Correlate (N, C, ...) with (O, C, ...) into (N, O, ...).

    Parameters
    ----------
    lhs, rhs : numpy.ndarray
        Input (N, C, \\*n) and kernel (O, C, \\*k) of the same dtype.
    window_strides : sequence of int
        Output steps, one per spatial axis.
    padding : str or sequence of (int, int)
        ``"SAME"``, ``"VALID"``, ``"SAME_LOWER"``, or pairs.
    precision, preferred_element_type, method, workers
        See the module.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> import numpy as np
    >>> conv(np.ones((1, 1, 4, 4)), np.ones((2, 1, 3, 3)), (1, 1), "SAME")[0, 1]
    array([[4., 6., 6., 4.],
           [6., 9., 9., 6.],
           [6., 9., 9., 6.],
           [4., 6., 6., 4.]])
    """
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        preferred_element_type=preferred_element_type,
        method=method,
        workers=workers,
    )


def conv_with_general_padding(
    lhs: np.ndarray,
    rhs: np.ndarray,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: object = None,
    preferred_element_type: object = None,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """Like `conv`, with the dilations of input and kernel as required arguments (either may be None).

    Examples
    --------
    >>> import numpy as np
    >>> x, w = np.arange(4.0).reshape(1, 1, 4), np.ones((1, 1, 2))
    >>> conv_with_general_padding(x, w, (1,), [(1, 1)], (2,), None)
    array([[[0., 0., 1., 1., 2., 2., 3., 3.]]])
    """
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        preferred_element_type=preferred_element_type,
        method=method,
        workers=workers,
    )


def conv_general_dilated(
    lhs: np.ndarray,
    rhs: np.ndarray,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Layout = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: object = None,
    preferred_element_type: object = None,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The general convolution: strides, pads, both dilations, groups and layouts in one call.

    Parameters
    ----------
    lhs : numpy.ndarray
        Input with batch axis N, channel axis C and any number of spatial axes, laid out as `dimension_numbers` says.
    rhs : numpy.ndarray
        Kernel with axes O, I and the same spatial axes; ``C == I * feature_group_count``.
    window_strides : sequence of int
        Output steps, one per spatial axis.
    padding : str or sequence of (int, int)
        ``"SAME"``, ``"VALID"``, ``"SAME_LOWER"`` in any case, or pairs. Words do not go with an input dilation.
    lhs_dilation, rhs_dilation : sequence of int, optional
        Distance of neighbouring input samples and kernel taps. The zeros between them are never made.
    dimension_numbers : optional
        The layouts; see `conv_dimension_numbers`.
    feature_group_count : int
        Groups of channels: output channel o sees the inputs of group ``o // (O / feature_group_count)``.
    batch_group_count : int
        Groups of the batch: output channel o sees batch block ``o // (O / batch_group_count)``, and the output has
        ``N / batch_group_count`` entries. At most one of the two counts may exceed 1.
    precision, preferred_element_type, method, workers
        See the module.

    Returns
    -------
    numpy.ndarray
        In the output layout. A kernel that does not fit gives an axis of length 0.

    Examples
    --------
    >>> import numpy as np
    >>> image, kernel = np.ones((1, 5, 7, 3)), np.ones((3, 3, 3, 8))
    >>> conv_general_dilated(image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")).shape
    (1, 3, 4, 8)
    """
    with Call("conv_general_dilated", lhs=lhs, rhs=rhs):
        asked = request(method, workers)
        lhs, rhs = array("lhs", lhs), array("rhs", rhs)
        _same_rank(lhs, rhs)
        layout = _checked(conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers), lhs.ndim)
        x, w = lhs.transpose(layout.lhs_spec), rhs.transpose(layout.rhs_spec)
        dtype = _result_dtype(lhs.dtype, rhs.dtype, preferred_element_type)
        x, groups = _grouped(x, w, operator.index(feature_group_count), operator.index(batch_group_count))
        steps = _steps(x.ndim - 2, window_strides, lhs_dilation, rhs_dilation)
        pads = _pads(padding, x.shape[2:], w.shape[2:], steps)
        geometry = Geometry(steps.stride, pads, steps.lhs_dilation, steps.rhs_dilation, groups)
        return _correlate(x, w, geometry, (layout.out_spec, dtype), asked)


def conv_transpose(
    lhs: np.ndarray,
    rhs: np.ndarray,
    strides: Sequence[int],
    padding: Padding,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Layout = None,
    transpose_kernel: bool = False,
    precision: object = None,
    preferred_element_type: object = None,
    use_consistent_padding: bool = False,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The convolution with fractional stride: `strides` is the distance between the input samples.

    With ``k' = dil(k, d)``, the output length is ``n * s`` for ``"SAME"`` and ``n * s + max(k' - s, 0)`` for ``"VALID"``. Pairs pad the
    dilated input as they are; with `use_consistent_padding` a pair (a tuple) is the padding of the forward convolution
    that this one transposes, and the length is ``(n - 1) * s + k' - low - high``.

    Parameters
    ----------
    lhs, rhs : numpy.ndarray
        Input and kernel. The default layout is channels-last: NC and IO, NHC and HIO, NHWC and HWIO, NHWDC and HWDIO.
    strides : sequence of int
        Input dilation, one entry per spatial axis.
    padding : str or sequence of (int, int)
        Exactly ``"SAME"`` or ``"VALID"``, or pairs. Other words are refused; jax silently takes some as forward padding.
    rhs_dilation, dimension_numbers, precision, preferred_element_type, method, workers
        As in `conv_general_dilated`.
    transpose_kernel : bool
        Reverse the kernel and exchange its O and I axes: the exact transpose of the forward convolution with `rhs`.
    use_consistent_padding : bool
        Read pairs as torch does.

    Returns
    -------
    numpy.ndarray

    Examples
    --------
    >>> import numpy as np
    >>> x, w = np.array([1.0, 2.0]).reshape(1, 2, 1), np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, w, (2,), "VALID", transpose_kernel=True)[0, :, 0]
    array([  1.,  10., 102.,  20., 200.])
    """
    with Call("conv_transpose", lhs=lhs, rhs=rhs):
        asked = request(method, workers)
        lhs, rhs = array("lhs", lhs), array("rhs", rhs)
        if lhs.ndim != rhs.ndim:
            raise RankError(f"lhs and rhs must have the same number of axes, got {lhs.ndim} and {rhs.ndim}")
        _same_rank(lhs, rhs)
        if dimension_numbers is None:
            dimension_numbers = _channels_last(lhs.ndim)
        layout = _checked(conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers), lhs.ndim)
        x, w = lhs.transpose(layout.lhs_spec), rhs.transpose(layout.rhs_spec)
        if transpose_kernel:
            w = np.flip(w.swapaxes(0, 1), tuple(range(2, w.ndim)))
        dtype = _result_dtype(lhs.dtype, rhs.dtype, preferred_element_type)
        x, _ = _grouped(x, w, 1, 1)
        steps = _steps(x.ndim - 2, (1,) * (x.ndim - 2), strides, rhs_dilation)
        pads = _transposed_pads(padding, w.shape[2:], steps, use_consistent_padding)
        _check_crops(pads, x.shape[2:], steps.lhs_dilation)
        geometry = Geometry(steps.stride, pads, steps.lhs_dilation, steps.rhs_dilation)
        return _correlate(x, w, geometry, (layout.out_spec, dtype), asked)


def conv_general_dilated_patches(
    lhs: np.ndarray,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Layout = None,
    precision: object = None,
    preferred_element_type: object = None,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """What the kernel would see at every output, laid out along the channel axis.

    Channel ``c * P + u`` of the output holds, at each output position, the sample of input channel c under tap u; the P taps
    count in C order of `filter_shape`. The entries are copies: a NaN appears where the window holds it and nowhere else
    (in jax, which multiplies by a one-hot kernel, it spreads over the whole patch).

    Parameters
    ----------
    lhs : numpy.ndarray
        Input.
    filter_shape : sequence of int
        Window length per spatial axis, in the kernel's order of them.
    window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, precision, preferred_element_type
        As in `conv_general_dilated`; where the kernel layout puts O and I does not matter.
    method, workers
        Copying knows one method, ``"direct"`` (or ``"auto"``), and runs in the calling thread.

    Returns
    -------
    numpy.ndarray
        In the output layout, with ``C * prod(filter_shape)`` channels.

    Examples
    --------
    >>> import numpy as np
    >>> conv_general_dilated_patches(np.arange(5.0).reshape(1, 1, 5), (3,), (1,), "VALID")[0]
    array([[0., 1., 2.],
           [1., 2., 3.],
           [2., 3., 4.]])
    """
    with Call("conv_general_dilated_patches", lhs=lhs):
        _direct_only(method, workers)
        lhs = array("lhs", lhs)
        dtype = _result_dtype(lhs.dtype, lhs.dtype, preferred_element_type)
        steps = window_strides, lhs_dilation, rhs_dilation
        x, window, layout = _windows(lhs, filter_shape, dimension_numbers)
        p = problem(x, window, _window_geometry(x, window, steps, padding), dtype)
        out = np.empty(_laid_out(p.out_shape, layout.out_spec), dtype)
        split = (p.batch, p.in_channels, *p.kernel_size, *p.output_size)
        box = tuple(slice(0, m) for m in p.output_size)
        _patches.gather(p, x, box, out.transpose(layout.out_spec).reshape(split))
        return out


def conv_general_dilated_local(
    lhs: np.ndarray,
    rhs: np.ndarray,
    window_strides: Sequence[int],
    padding: Padding,
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Layout = None,
    precision: object = None,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The unshared convolution: every output position has a kernel of its own.

    Parameters
    ----------
    lhs : numpy.ndarray
        Input with N, C and spatial axes.
    rhs : numpy.ndarray
        Kernels with axes O, I and one spatial axis per *output* axis; I holds ``C * prod(filter_shape)`` entries in the order of
        `conv_general_dilated_patches`.
    filter_shape : sequence of int
        Window length per spatial axis, in the kernel's order of them.
    window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, precision
        As in `conv_general_dilated`. Here dtypes may differ; the result has NumPy's common type.
    method, workers
        There is one method, ``"direct"`` (or ``"auto"``).

    Returns
    -------
    numpy.ndarray
        In the output layout.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 1, 4))
    >>> kernels = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]).reshape(1, 2, 3)
    >>> conv_general_dilated_local(x, kernels, (1,), "VALID", (2,))
    array([[[11., 22., 33.]]])
    """
    with Call("conv_general_dilated_local", lhs=lhs, rhs=rhs):
        _direct_only(method, workers)
        lhs, rhs = array("lhs", lhs), array("rhs", rhs)
        dtype = np.result_type(lhs, rhs)
        steps = window_strides, lhs_dilation, rhs_dilation
        x, window, layout = _windows(lhs, filter_shape, dimension_numbers)
        p = problem(x, window, _window_geometry(x, window, steps, padding), dtype)
        expected = (p.in_channels * prod(p.kernel_size), *p.output_size)
        if rhs.ndim != lhs.ndim:
            raise TypeError(f"lhs and rhs must have the same number of axes, got {lhs.ndim} and {rhs.ndim}")
        w = rhs.transpose(layout.rhs_spec)
        if w.shape[1:] != expected:
            raise TypeError(
                "rhs must have C * prod(filter_shape) inputs and the output's spatial sizes, "
                f"expected {expected}, got {w.shape[1:]}"
            )
        p = p.with_(groups=1, out_channels=w.shape[0])
        out = np.empty(_laid_out(p.out_shape, layout.out_spec), dtype)
        _patches.contract(p, x, w, out.transpose(layout.out_spec))
        return out


def _correlate(
    x: np.ndarray, w: np.ndarray, geometry: Geometry, target: tuple[Ints, np.dtype], asked: Request
) -> np.ndarray:
    """Run the canonical problem into an array of the layout and dtype in `target`."""
    spec, dtype = target
    p = problem(x, w, geometry, dtype)
    out = np.empty(_laid_out(p.out_shape, spec), dtype)
    run(p, x, w, out.transpose(spec), asked)
    return out


def _laid_out(shape: Ints, spec: Ints) -> Ints:
    """The canonical `shape` in the order in which `spec` lays its axes."""
    placed = [0] * len(spec)
    for axis, length in zip(spec, shape, strict=True):
        placed[axis] = length
    return tuple(placed)


def _same_rank(lhs: np.ndarray, rhs: np.ndarray) -> None:
    if lhs.ndim != rhs.ndim:
        raise TypeError(f"lhs and rhs must have the same number of axes, got {lhs.ndim} and {rhs.ndim}")
    _two_axes(lhs)


def _two_axes(lhs: np.ndarray) -> None:
    if lhs.ndim < 2:
        raise RankError(
            f"an array needs a batch and a channel axis, expected at least 2 axes, got {lhs.ndim}"
        )


def _checked(layout: ConvDimensionNumbers, ndim: int) -> ConvDimensionNumbers:
    """`layout` if each of its three parts is a permutation of the axes."""
    for name, spec in zip(layout._fields, layout, strict=True):
        if sorted(spec) != list(range(ndim)):
            raise TypeError(f"{name} must name each of the {ndim} axes once, got {tuple(spec)}")
    return layout


def _channels_last(ndim: int) -> tuple[str, str, str]:
    if ndim > 5:
        raise RuleError(f"conv_transpose has default layouts up to 5 axes; {ndim} need dimension_numbers")
    spatial = "HWD"[: ndim - 2]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


def _result_dtype(lhs: np.dtype, rhs: np.dtype, preferred: object) -> np.dtype:
    """The one dtype of the operands, or `preferred` where that is a wider one of a compatible kind."""
    if lhs != rhs:
        raise TypeError(f"lhs and rhs must have the same dtype, got {lhs} and {rhs}")
    if preferred is None:
        return lhs
    wanted = np.dtype(preferred).newbyteorder("=")  # type: ignore[call-overload]
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


def _grouped(x: np.ndarray, w: np.ndarray, features: int, batches: int) -> tuple[np.ndarray, int]:
    """Check the channels; fold batch groups into channel groups; return `x` and the number of groups.

    Batch block j feeds output block j, so blocks that are stacked along the channels are ordinary groups.
    """
    for name, count in (("feature_group_count", features), ("batch_group_count", batches)):
        if count < 1:
            raise RuleError(f"{name} must be at least 1, got {count}")
    if features > 1 and batches > 1:
        raise RuleError(
            f"only one of feature_group_count and batch_group_count may exceed 1, got {features} and {batches}"
        )
    n, c, o, i = *x.shape[:2], *w.shape[:2]
    if c != i * features:
        raise RuleError(
            f"lhs channels must be rhs inputs * feature_group_count, expected {i} * {features}, got {c}"
        )
    if o % features:
        raise RuleError(f"feature_group_count must divide the output channels, got {features} and {o}")
    if batches == 1:
        return x, features
    if n % batches or o % batches:
        raise RuleError(
            f"batch_group_count must divide the batch and the output channels, got {batches} for {n} and {o}"
        )
    size = x.shape[2:]
    blocks = x.reshape(batches, n // batches, c, *size).swapaxes(0, 1)
    return blocks.reshape(n // batches, batches * c, *size), batches


def _steps(ndim: int, strides: object, lhs_dilation: object, rhs_dilation: object) -> Steps:
    """Strides and dilations as checked tuples; None is a dilation of 1."""
    ones = (1,) * ndim
    steps = Steps(
        integers("window strides", strides),
        ones if lhs_dilation is None else integers("lhs_dilation", lhs_dilation),
        ones if rhs_dilation is None else integers("rhs_dilation", rhs_dilation),
    )
    for name, values in steps._asdict().items():
        if len(values) != ndim:
            raise RuleError(f"{name} needs one entry per spatial axis, expected {ndim}, got {values}")
        if min(values, default=1) < 1:
            error = RuleError if name == "stride" else TypeError
            raise error(f"{name} must be positive on every axis, got {values}")
    return steps


def _pads(padding: object, size: Ints, kernel: Ints, steps: Steps) -> Pads:
    """Padding in words or pairs as checked pairs."""
    if 0 in kernel:
        raise RuleError(f"the kernel must not be empty along a spatial axis, got {kernel}")
    if isinstance(padding, str):
        if any(b != 1 for b in steps.lhs_dilation):
            raise RuleError(
                f"padding {padding!r} says nothing about a dilated input: give (low, high) pairs or use conv_transpose"
            )
        reach = tuple(map(dilated_size, kernel, steps.rhs_dilation))
        return tuple(padtype_to_pads(size, reach, steps.stride, padding))
    pads = _pairs(padding, len(size))
    _check_crops(pads, size, steps.lhs_dilation)
    return pads


def _pairs(padding: object, ndim: int) -> Pads:
    try:
        pads = tuple((operator.index(lo), operator.index(hi)) for lo, hi in padding)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise RuleError(
            f"padding must be a word or a sequence of (low, high) integers, got {padding!r}"
        ) from None
    if len(pads) != ndim:
        raise TypeError(f"padding needs one pair per spatial axis, expected {ndim}, got {pads}")
    return pads


def _check_crops(pads: Pads, size: Ints, dilation: Ints) -> None:
    for axis, (n, b, (lo, hi)) in enumerate(zip(size, dilation, pads, strict=True)):
        if dilated_size(n, b) + lo + hi < 0:
            raise RuleError(
                f"negative padding must not crop more than there is: spatial axis {axis} has {dilated_size(n, b)} "
                f"samples, padding is {(lo, hi)}"
            )


def _transposed_pads(padding: object, kernel: Ints, steps: Steps, consistent: bool) -> Pads:
    """Pads of the dilated input that give `conv_transpose` its sizes."""
    if 0 in kernel:
        raise RuleError(f"the kernel must not be empty along a spatial axis, got {kernel}")
    reach = tuple(map(dilated_size, kernel, steps.rhs_dilation))
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID"):
            raise RuleError(f"padding of conv_transpose must be 'SAME', 'VALID' or pairs, got {padding!r}")
        rule = _transposed_same if padding == "SAME" else _transposed_valid
        return tuple(rule(k, s) for k, s in zip(reach, steps.lhs_dilation, strict=True))
    pads = _pairs(padding, len(kernel))
    if not consistent:
        return pads
    if not all(isinstance(pair, tuple) for pair in padding):  # type: ignore[attr-defined]
        raise RuleError(f"with use_consistent_padding each pair must be a tuple, got {padding!r}")
    return tuple((k - 1 - lo, k - 1 - hi) for k, (lo, hi) in zip(reach, pads, strict=True))


def _transposed_same(k: int, s: int) -> tuple[int, int]:
    """Pads for n * s outputs."""
    total = k + s - 2
    lo = k - 1 if s > k - 1 else -(-total // 2)
    return lo, total - lo


def _transposed_valid(k: int, s: int) -> tuple[int, int]:
    """Pads for every partial overlap, at least n * s outputs."""
    total = k + s - 2 + max(k - s, 0)
    return k - 1, total - (k - 1)


def _direct_only(method: object, workers: object) -> None:
    asked = request(method, workers).method
    if asked not in (None, "direct"):
        raise ValueError(f"method {asked!r} needs one kernel for all outputs; here only 'direct' serves")


def _windows(
    lhs: np.ndarray, filter_shape: object, dimension_numbers: Layout
) -> tuple[np.ndarray, np.ndarray, ConvDimensionNumbers]:
    """The canonical input, a kernel of the window's shape that holds no data, and the layout."""
    window = integers("filter_shape", filter_shape)
    if len(window) != lhs.ndim - 2:
        raise TypeError(
            f"filter_shape needs one length per spatial axis, expected {lhs.ndim - 2}, got {window}"
        )
    _two_axes(lhs)
    layout = _checked(conv_dimension_numbers(lhs.shape, (1, 1, *window), dimension_numbers), lhs.ndim)
    x = lhs.transpose(layout.lhs_spec)
    if x.shape[1] == 0:
        raise RuleError("patches need at least one channel, got 0")
    shape = (x.shape[1] * prod(window), 1, *window)
    return x, np.broadcast_to(np.zeros((), lhs.dtype), shape), layout


def _window_geometry(
    x: np.ndarray, window: np.ndarray, steps: tuple[object, object, object], padding: object
) -> Geometry:
    checked = _steps(x.ndim - 2, *steps)
    pads = _pads(padding, x.shape[2:], window.shape[2:], checked)
    return Geometry(checked.stride, pads, checked.lhs_dilation, checked.rhs_dilation, x.shape[1])
