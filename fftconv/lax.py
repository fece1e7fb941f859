"""The convolutions of ``jax.lax`` on NumPy arrays: any layout, stride, dilation, grouping and number of axes.

All of them correlate: the kernel is neither reversed nor conjugated. Per spatial axis, with input length ``n``,
kernel length ``k``, stride ``s``, pads ``(lo, hi)``, input dilation ``b`` and kernel dilation ``d``, the output
length is ``max(0, (dil(n, b) + lo + hi - dil(k, d)) // s + 1)``, where ``dil(m, r)`` is ``(m - 1) * r + 1``, or 0
for ``m = 0``.

Arguments mean what they mean in jax, with these words for all functions:

* `lhs` and `rhs` are arrays (not lists) of one dtype, which is the result's; `preferred_element_type` computes
  and returns in a wider one.
* `padding` is ``"VALID"``, ``"SAME"`` (the odd sample goes to the end), ``"SAME_LOWER"`` (to the start) or a
  sequence of ``(low, high)`` pairs; negative entries crop the dilated input.
* `precision` is accepted and has no effect: every result is accurate to the rounding of its dtype.
* `method` forces an algorithm by name, ``"auto"`` takes the cheapest; `workers` bounds the threads.

Every broken rule raises ValueError or TypeError; where jax raises another kind, the exception is of both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fftconv import _lax, _patches
from fftconv._general import Call, RankError, array, request
from fftconv._lax import ConvDimensionNumbers, Layout, Padding, conv_dimension_numbers, padtype_to_pads

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

    Raises
    ------
    ValueError, TypeError
        Operands of different ranks or dtypes, ``C`` that the kernel does not expect, a stride below 1, pads of
        another number than that of the spatial axes.

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
    """Like `conv` in parameters, result and errors, with the dilations of input and kernel as required arguments.

    Either dilation may be None, which stands for 1 on every axis.

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
        Input with batch axis N, channel axis C and any number of spatial axes, laid out as
        `dimension_numbers` says.
    rhs : numpy.ndarray
        Kernel with axes O, I and the same spatial axes; ``C == I * feature_group_count``.
    window_strides : sequence of int
        Output steps, one per spatial axis.
    padding : str or sequence of (int, int)
        ``"SAME"``, ``"VALID"``, ``"SAME_LOWER"`` in any case, or pairs. Words do not go with an input
        dilation.
    lhs_dilation, rhs_dilation : sequence of int, optional
        Distance of neighbouring input samples and kernel taps. The zeros between them are never made.
    dimension_numbers : optional
        The layouts; see `conv_dimension_numbers`.
    feature_group_count : int
        Groups of channels: output channel o sees the inputs of group ``o // (O / feature_group_count)``.
    batch_group_count : int
        Groups of the batch: output channel o sees batch block ``o // (O / batch_group_count)``, and the
        output has ``N / batch_group_count`` entries. At most one of the two counts may exceed 1.
    precision, preferred_element_type, method, workers
        See the module.

    Returns
    -------
    numpy.ndarray
        In the output layout. A kernel that does not fit gives an axis of length 0.

    Raises
    ------
    ValueError, TypeError
        Operands of different ranks or dtypes; a stride, dilation or count below 1, or one that is no integer; pads,
        strides or dilations of another number than that of the spatial axes; channels or a batch that the counts do
        not divide; both counts above 1; layouts that repeat or miss a letter; a method that cannot answer.

    References
    ----------
    .. [1] V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285: the output
       lengths, relationships 1 to 14.

    Examples
    --------
    >>> import numpy as np
    >>> image, kernel = np.ones((1, 5, 7, 3)), np.ones((3, 3, 3, 8))
    >>> conv_general_dilated(image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")).shape
    (1, 3, 4, 8)
    """
    with Call("conv_general_dilated", lhs=lhs, rhs=rhs):
        asked = request(method, workers)
        given = _lax.operands(lhs, rhs, dimension_numbers, preferred_element_type)
        features, batches = _lax.group_counts(feature_group_count, batch_group_count)
        given = given._replace(x=_lax.grouped(given.x, given.w, features, batches))
        size, kernel = given.x.shape[2:], given.w.shape[2:]
        steps = _lax.forward_steps(len(size), window_strides, lhs_dilation, rhs_dilation)
        geometry = _lax.window_geometry(size, kernel, steps, padding, features * batches)
        return _lax.correlate(given, geometry, asked)


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

    With ``k' = dil(k, d)``, the output length is ``n * s`` for ``"SAME"`` and ``n * s + max(k' - s, 0)``
    for ``"VALID"``. Pairs pad the dilated input as they are; with `use_consistent_padding` a pair (a tuple)
    is the padding of the forward convolution that this one transposes, and the length is
    ``(n - 1) * s + k' - low - high``.

    Parameters
    ----------
    lhs, rhs : numpy.ndarray
        Input and kernel. The default layout is channels-last: NC and IO, NHC and HIO, NHWC and HWIO, NHWDC
        and HWDIO.
    strides : sequence of int
        Input dilation, one entry per spatial axis.
    padding : str or sequence of (int, int)
        Exactly ``"SAME"`` or ``"VALID"``, or pairs. Other words are refused; jax silently takes some as
        forward padding.
    rhs_dilation, dimension_numbers, precision, preferred_element_type, method, workers
        As in `conv_general_dilated`.
    transpose_kernel : bool
        Reverse the kernel and exchange its O and I axes: the exact transpose of the forward convolution
        with `rhs`.
    use_consistent_padding : bool
        Read pairs as torch does.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ValueError, TypeError
        As in `conv_general_dilated`, and for words of padding other than the two.

    References
    ----------
    .. [1] V. Dumoulin, F. Visin, arXiv:1603.07285, section 4: transposed convolutions as convolutions of the
       dilated input.

    Examples
    --------
    >>> import numpy as np
    >>> x, w = np.array([1.0, 2.0]).reshape(1, 2, 1), np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    >>> conv_transpose(x, w, (2,), "VALID", transpose_kernel=True)[0, :, 0]
    array([  1.,  10., 102.,  20., 200.])
    """
    with Call("conv_transpose", lhs=lhs, rhs=rhs):
        asked = request(method, workers)
        ndim = np.ndim(lhs)
        if np.ndim(rhs) != ndim:
            raise RankError(f"lhs and rhs must have the same number of axes, got {ndim} and {np.ndim(rhs)}")
        if dimension_numbers is None:
            dimension_numbers = _lax.channels_last(ndim)
        given = _lax.operands(lhs, rhs, dimension_numbers, preferred_element_type)
        if transpose_kernel:
            w = given.w.swapaxes(0, 1)
            given = given._replace(w=np.flip(w, tuple(range(2, ndim))))
        _lax.grouped(given.x, given.w, 1, 1)
        size, kernel = given.x.shape[2:], given.w.shape[2:]
        steps = _lax.transposed_steps(len(size), strides, rhs_dilation)
        geometry = _lax.transposed_geometry(size, kernel, steps, padding, use_consistent_padding)
        return _lax.correlate(given, geometry, asked)


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

    Channel ``c * P + u`` of the output holds, at each output position, the sample of input channel c under
    tap u; the P taps count in C order of `filter_shape`. The entries are copies: a NaN appears where the
    window holds it and nowhere else (in jax, which multiplies by a one-hot kernel, it spreads over the
    whole patch).

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

    Raises
    ------
    ValueError, TypeError
        As in `conv_general_dilated`, and for a `filter_shape` of another number of axes or with a length below 1.

    Examples
    --------
    >>> import numpy as np
    >>> conv_general_dilated_patches(np.arange(5.0).reshape(1, 1, 5), (3,), (1,), "VALID")[0]
    array([[0., 1., 2.],
           [1., 2., 3.],
           [2., 3., 4.]])
    """
    with Call("conv_general_dilated_patches", lhs=lhs):
        _lax.direct_only(method, workers)
        steps, how = (window_strides, lhs_dilation, rhs_dilation), (padding, dimension_numbers)
        x, p, layout = _lax.window_problem(lhs, filter_shape, steps, how)
        dtype = _lax.result_dtype(x.dtype, x.dtype, preferred_element_type)
        out, view = _lax.laid_out(p.out_shape, layout.out_spec, dtype)
        split = view.reshape(p.batch, p.in_channels, *p.kernel_size, *p.output_size)
        _patches.gather(p, x, tuple(slice(0, m) for m in p.output_size), split)
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
        Kernels with axes O, I and one spatial axis per *output* axis; I holds ``C * prod(filter_shape)``
        entries in the order of `conv_general_dilated_patches`.
    filter_shape : sequence of int
        Window length per spatial axis, in the kernel's order of them.
    window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, precision
        As in `conv_general_dilated`. Here dtypes may differ; the result has their common
        one, in which an integer leaves the width of a float as it is.
    method, workers
        There is one method, ``"direct"`` (or ``"auto"``).

    Returns
    -------
    numpy.ndarray
        In the output layout.

    Raises
    ------
    ValueError, TypeError
        As in `conv_general_dilated_patches`, and for kernels that are not one for each output position.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.ones((1, 1, 4))
    >>> kernels = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]).reshape(1, 2, 3)
    >>> conv_general_dilated_local(x, kernels, (1,), "VALID", (2,))
    array([[[11., 22., 33.]]])
    """
    with Call("conv_general_dilated_local", lhs=lhs, rhs=rhs):
        _lax.direct_only(method, workers)
        steps, how = (window_strides, lhs_dilation, rhs_dilation), (padding, dimension_numbers)
        x, p, layout = _lax.window_problem(lhs, filter_shape, steps, how)
        kernels = array("rhs", rhs)
        if kernels.ndim != x.ndim:
            raise TypeError(f"lhs and rhs must have the same number of axes, got {x.ndim} and {kernels.ndim}")
        w = kernels.transpose(layout.rhs_spec)
        expected = (p.out_channels, *p.output_size)
        if w.shape[1:] != expected:
            raise TypeError(
                "rhs must have C * prod(filter_shape) inputs and the output's spatial sizes, "
                f"expected {expected}, got {w.shape[1:]}"
            )
        dtype = _lax.promoted(x.dtype, w.dtype)
        out, view = _lax.laid_out((p.batch, w.shape[0], *p.output_size), layout.out_spec, dtype)
        _patches.contract(p, x, w, view)
        return out
