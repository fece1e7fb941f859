"""The convolutions of ``torch.nn.functional`` on NumPy arrays, and their gradients.

All of them correlate: the kernel is neither reversed nor conjugated. Input is (N, C, \\*n), or (C, \\*n)
for an unbatched call, and the output keeps that form. Arguments mean what they mean in torch, with these
words for all functions:

* `stride`, `padding`, `dilation` and `output_padding` are an integer for all spatial axes or a sequence
  with one each.
* input, weight and bias share one dtype, which is the result's.
* `method` forces an algorithm by name, ``"auto"`` takes the cheapest; `workers` bounds the threads.

Every broken rule raises ValueError or TypeError; where torch raises RuntimeError, the exception is of both
kinds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fftconv._general import Call, request
from fftconv._nn import Settings, forward, input_gradient, transposed, weight_gradient

__all__ = [
    "conv1d",
    "conv1d_input",
    "conv1d_weight",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "conv3d",
    "conv3d_input",
    "conv3d_weight",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

Axes = int | Sequence[int]


def conv1d(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """Correlate (N, C, L) with (O, C/groups, K) into (N, O, M).

    The output length is ``M = (L + 2*padding - dilation*(K - 1) - 1) // stride + 1``, and output channel o
    sees the input channels of group ``o // (O / groups)``.

    Parameters
    ----------
    input : numpy.ndarray
        (N, C, L) or (C, L).
    weight : numpy.ndarray
        (O, C/groups, K).
    bias : numpy.ndarray, optional
        (O,), added to the output.
    stride, dilation : int or sequence of int
        Output steps and tap distance.
    padding : int, sequence of int, ``"same"`` or ``"valid"``
        Samples added on both sides. ``"same"`` keeps the length (the odd sample goes to the end) and needs
        stride 1; ``"valid"`` adds none.
    groups : int
        Number of separate groups of channels.
    padding_mode : ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``
        What the added samples hold: zeros, the mirror image without the edge sample, the edge sample, or
        the array's other end. Reflection reaches at most ``L - 1`` samples, the circle ``L``. In these
        three a negative padding crops.
    method, workers
        See the module.

    Returns
    -------
    numpy.ndarray
        (N, O, M) or (O, M).

    Raises
    ------
    ValueError, TypeError
        Operands of another rank or of different dtypes; channels that `groups` does not divide or the weight does not
        expect; a stride, dilation or `groups` below 1; a negative padding with zeros; ``"same"`` with a stride; a
        kernel longer than the padded input; reflection or circle past the array; a method that cannot answer.

    References
    ----------
    .. [1] V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285: the output
       length.

    Examples
    --------
    >>> import numpy as np
    >>> conv1d(np.arange(5.0)[None], np.ones((1, 1, 3)), padding=1, padding_mode="replicate")
    array([[ 1.,  3.,  6.,  9., 11.]])
    """
    given = Settings(stride, padding, dilation, groups, padding_mode)
    with Call("conv1d", input=input, weight=weight, bias=bias):
        return forward(1, (input, weight, bias), given, request(method, workers))


def conv2d(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """Correlate (N, C, H, W) with (O, C/groups, KH, KW); everything else as in `conv1d`, per spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d(np.ones((1, 3, 8, 9)), np.ones((4, 3, 3, 3)), stride=(2, 1), padding=1).shape
    (1, 4, 4, 9)
    """
    given = Settings(stride, padding, dilation, groups, padding_mode)
    with Call("conv2d", input=input, weight=weight, bias=bias):
        return forward(2, (input, weight, bias), given, request(method, workers))


def conv3d(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """Correlate (N, C, D, H, W) with (O, C/groups, KD, KH, KW).

    Everything else is as in `conv1d`, per spatial axis.

    Examples
    --------
    >>> import numpy as np
    >>> conv3d(np.ones((2, 6, 7, 8)), np.ones((2, 1, 3, 3, 3)), padding="same", groups=2).shape
    (2, 6, 7, 8)
    """
    given = Settings(stride, padding, dilation, groups, padding_mode)
    with Call("conv3d", input=input, weight=weight, bias=bias):
        return forward(3, (input, weight, bias), given, request(method, workers))


def conv_transpose1d(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Axes = 1,
    padding: Axes = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The transpose of `conv1d`: every input sample spreads a weighted kernel over the output.

    The output length is ``M = (L - 1)*stride - 2*padding + dilation*(K - 1) + output_padding + 1``. With
    the same stride, padding, dilation and groups it is the exact transpose of the forward convolution with
    the same weight.

    Parameters
    ----------
    input : numpy.ndarray
        (N, C, L) or (C, L).
    weight : numpy.ndarray
        (C, O/groups, K).
    bias : numpy.ndarray, optional
        (O,), added to the output.
    stride, dilation : int or sequence of int
        Distance of the kernels' starts and of the taps within one.
    padding : int or sequence of int
        Samples cut off on both sides.
    output_padding : int or sequence of int
        Samples more at the end, fewer than the stride or than the dilation; they continue the formula.
    groups : int
        Number of separate groups of channels. Note that `groups` stands before `dilation` here, as in torch.
    method, workers
        See the module.

    Returns
    -------
    numpy.ndarray
        (N, O, M) or (O, M).

    Raises
    ------
    ValueError, TypeError
        As in `conv1d`; and for an `output_padding` that is neither below the stride nor below the dilation, and an
        output of no length.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose1d(np.array([[1.0, 2.0]]), np.array([[[1.0, 10.0, 100.0]]]), stride=2)
    array([[  1.,  10., 102.,  20., 200.]])
    """
    given = Settings(stride, padding, dilation, groups, output_padding=output_padding)
    with Call("conv_transpose1d", input=input, weight=weight, bias=bias):
        return transposed(1, (input, weight, bias), given, request(method, workers))


def conv_transpose2d(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Axes = 1,
    padding: Axes = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The transpose of `conv2d`, with weight (C, O/groups, KH, KW); everything else as in `conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose2d(np.ones((1, 8, 5, 5)), np.ones((8, 4, 3, 3)), stride=2, padding=1, output_padding=1).shape
    (1, 4, 10, 10)
    """
    given = Settings(stride, padding, dilation, groups, output_padding=output_padding)
    with Call("conv_transpose2d", input=input, weight=weight, bias=bias):
        return transposed(2, (input, weight, bias), given, request(method, workers))


def conv_transpose3d(
    input: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Axes = 1,
    padding: Axes = 0,
    output_padding: Axes = 0,
    groups: int = 1,
    dilation: Axes = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The transpose of `conv3d`, with weight (C, O/groups, KD, KH, KW).

    Everything else is as in `conv_transpose1d`.

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose3d(np.ones((1, 2, 3, 3, 3)), np.ones((2, 1, 2, 2, 2)), stride=2).shape
    (1, 1, 6, 6, 6)
    """
    given = Settings(stride, padding, dilation, groups, output_padding=output_padding)
    with Call("conv_transpose3d", input=input, weight=weight, bias=bias):
        return transposed(3, (input, weight, bias), given, request(method, workers))


def conv1d_input(
    input_size: Sequence[int],
    weight: np.ndarray,
    grad_output: np.ndarray,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The gradient of `conv1d` with respect to its input: the exact adjoint of the convolution.

    For complex data the weight is conjugated, so that ``vdot(conv1d(x, w), g) == vdot(x,
    conv1d_input(x.shape, w, g))``.

    Parameters
    ----------
    input_size : sequence of int
        Shape of the input, (N, C, L) or (C, L).
    weight : numpy.ndarray
        (O, C/groups, K).
    grad_output : numpy.ndarray
        The gradient of the output, of the output's shape.
    stride, padding, dilation, groups, method, workers
        As they were in `conv1d`.

    Returns
    -------
    numpy.ndarray
        Of shape `input_size`.

    Raises
    ------
    ValueError, TypeError
        As in `conv1d`, and where `grad_output` has not the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> conv1d_input((1, 1, 5), np.array([[[1.0, 10.0, 100.0]]]), np.array([[[1.0, 2.0]]]), stride=2)
    array([[[  1.,  10., 102.,  20., 200.]]])
    """
    given = Settings(stride, padding, dilation, groups)
    with Call("conv1d_input", input_size=input_size, weight=weight, grad_output=grad_output):
        return input_gradient(1, input_size, (weight, grad_output), given, request(method, workers))


def conv2d_input(
    input_size: Sequence[int],
    weight: np.ndarray,
    grad_output: np.ndarray,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The gradient of `conv2d` with respect to its input; see `conv1d_input`.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d_input((1, 3, 8, 8), np.ones((4, 3, 3, 3)), np.ones((1, 4, 4, 4)), stride=2, padding=1).shape
    (1, 3, 8, 8)
    """
    given = Settings(stride, padding, dilation, groups)
    with Call("conv2d_input", input_size=input_size, weight=weight, grad_output=grad_output):
        return input_gradient(2, input_size, (weight, grad_output), given, request(method, workers))


def conv3d_input(
    input_size: Sequence[int],
    weight: np.ndarray,
    grad_output: np.ndarray,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The gradient of `conv3d` with respect to its input; see `conv1d_input`.

    Examples
    --------
    >>> import numpy as np
    >>> conv3d_input((1, 2, 4, 4, 4), np.ones((5, 2, 3, 3, 3)), np.ones((1, 5, 2, 2, 2))).shape
    (1, 2, 4, 4, 4)
    """
    given = Settings(stride, padding, dilation, groups)
    with Call("conv3d_input", input_size=input_size, weight=weight, grad_output=grad_output):
        return input_gradient(3, input_size, (weight, grad_output), given, request(method, workers))


def conv1d_weight(
    input: np.ndarray,
    weight_size: Sequence[int],
    grad_output: np.ndarray,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The gradient of `conv1d` with respect to its weight, summed over the batch.

    For complex data the input is conjugated, as in torch.

    Parameters
    ----------
    input : numpy.ndarray
        (N, C, L) or (C, L).
    weight_size : sequence of int
        Shape of the weight, (O, C/groups, K).
    grad_output : numpy.ndarray
        The gradient of the output, of the output's shape.
    stride, padding, dilation, groups, method, workers
        As they were in `conv1d`.

    Returns
    -------
    numpy.ndarray
        Of shape `weight_size`.

    Raises
    ------
    ValueError, TypeError
        As in `conv1d`, and where `grad_output` has not the shape of the output.

    Examples
    --------
    >>> import numpy as np
    >>> conv1d_weight(np.arange(5.0).reshape(1, 1, 5), (1, 1, 3), np.array([[[1.0, 0.0, 2.0]]]))
    array([[[ 4.,  7., 10.]]])
    """
    given = Settings(stride, padding, dilation, groups)
    with Call("conv1d_weight", input=input, weight_size=weight_size, grad_output=grad_output):
        return weight_gradient(1, weight_size, (input, grad_output), given, request(method, workers))


def conv2d_weight(
    input: np.ndarray,
    weight_size: Sequence[int],
    grad_output: np.ndarray,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The gradient of `conv2d` with respect to its weight; see `conv1d_weight`.

    Examples
    --------
    >>> import numpy as np
    >>> conv2d_weight(np.ones((1, 3, 8, 8)), (4, 3, 3, 3), np.ones((1, 4, 4, 4)), stride=2, padding=1).shape
    (4, 3, 3, 3)
    """
    given = Settings(stride, padding, dilation, groups)
    with Call("conv2d_weight", input=input, weight_size=weight_size, grad_output=grad_output):
        return weight_gradient(2, weight_size, (input, grad_output), given, request(method, workers))


def conv3d_weight(
    input: np.ndarray,
    weight_size: Sequence[int],
    grad_output: np.ndarray,
    stride: Axes = 1,
    padding: Axes | str = 0,
    dilation: Axes = 1,
    groups: int = 1,
    *,
    method: str = "auto",
    workers: int | None = None,
) -> np.ndarray:
    """The gradient of `conv3d` with respect to its weight; see `conv1d_weight`.

    Examples
    --------
    >>> import numpy as np
    >>> conv3d_weight(np.ones((1, 2, 4, 4, 4)), (5, 2, 3, 3, 3), np.ones((1, 5, 2, 2, 2))).shape
    (5, 2, 3, 3, 3)
    """
    given = Settings(stride, padding, dilation, groups)
    with Call("conv3d_weight", input=input, weight_size=weight_size, grad_output=grad_output):
        return weight_gradient(3, weight_size, (input, grad_output), given, request(method, workers))
