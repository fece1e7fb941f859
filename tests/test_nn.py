"""The nn door: keywords, padding modes, transposed sizes, gradients, and every rule broken once."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest

from fftconv import lax, nn

RNG = np.random.default_rng(31)
CONV = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}
TRANSPOSED = {1: nn.conv_transpose1d, 2: nn.conv_transpose2d, 3: nn.conv_transpose3d}
INPUT = {1: nn.conv1d_input, 2: nn.conv2d_input, 3: nn.conv3d_input}
WEIGHT = {1: nn.conv1d_weight, 2: nn.conv2d_weight, 3: nn.conv3d_weight}


def by_definition(x: np.ndarray, w: np.ndarray, stride: tuple, dilation: tuple, groups: int) -> np.ndarray:
    """One window at a time; `x` is padded already."""
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True)]
    size = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, stride, strict=True)]
    out = np.zeros((x.shape[0], w.shape[0], *size), x.dtype)
    for o, y in product(range(w.shape[0]), np.ndindex(*size)):
        first = o // (w.shape[0] // groups) * w.shape[1]
        at = [slice(i * s, i * s + r, d) for i, s, r, d in zip(y, stride, reach, dilation, strict=True)]
        seen = x[(slice(None), slice(first, first + w.shape[1]), *at)]
        out[(slice(None), o, *y)] = (seen * w[o]).reshape(x.shape[0], -1).sum(1)
    return out


# --- the convolution ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", (1, 2, 3))
@pytest.mark.parametrize("groups", (1, 2))
def test_all_keywords_at_once(axes: int, groups: int) -> None:
    stride, dilation, padding = (2, 1, 3)[:axes], (1, 2, 1)[:axes], (2, 0, 1)[:axes]
    x, w = (
        RNG.standard_normal((2, 4, *(9, 8, 7)[:axes])),
        RNG.standard_normal((6, 4 // groups, *(3, 2, 4)[:axes])),
    )
    bias = RNG.standard_normal(6)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    want = by_definition(padded, w, stride, dilation, groups) + bias.reshape(-1, *(1,) * axes)
    got = CONV[axes](x, w, bias, stride, padding, dilation, groups)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("axes", (1, 2, 3))
def test_an_integer_counts_for_every_axis(axes: int) -> None:
    x, w = RNG.standard_normal((1, 2, *(9,) * axes)), RNG.standard_normal((2, 2, *(3,) * axes))
    want = CONV[axes](x, w, None, (2,) * axes, (1,) * axes, (2,) * axes)
    for form in (int, np.int64, lambda i: [i], lambda i: (i,)):
        np.testing.assert_array_equal(CONV[axes](x, w, None, form(2), form(1), form(2)), want)


@pytest.mark.parametrize("axes", (1, 2, 3))
def test_unbatched_input_gives_unbatched_output(axes: int) -> None:
    x, w = RNG.standard_normal((2, *(6,) * axes)), RNG.standard_normal((4, 2, *(3,) * axes))
    got = CONV[axes](x, w, padding=1)
    np.testing.assert_array_equal(got, CONV[axes](x[None], w, padding=1)[0])
    assert got.flags.owndata
    back = TRANSPOSED[axes](got, w)
    np.testing.assert_array_equal(back, TRANSPOSED[axes](got[None], w)[0])
    assert back.flags.owndata


@pytest.mark.parametrize("kernel", range(1, 6))
@pytest.mark.parametrize("dilation", (1, 2, 3))
def test_same_keeps_the_size_and_pads_more_at_the_end(kernel: int, dilation: int) -> None:
    x, w = RNG.standard_normal((1, 1, 7)), RNG.standard_normal((1, 1, kernel))
    total = dilation * (kernel - 1)
    padded = np.pad(x, [(0, 0), (0, 0), (total // 2, total - total // 2)])
    got = nn.conv1d(x, w, padding="same", dilation=dilation)
    np.testing.assert_allclose(got, nn.conv1d(padded, w, dilation=dilation), atol=1e-13)
    assert got.shape == x.shape


def test_valid_pads_nothing() -> None:
    x, w = RNG.standard_normal((1, 1, 9)), RNG.standard_normal((1, 1, 3))
    np.testing.assert_array_equal(nn.conv1d(x, w, stride=2, padding="valid"), nn.conv1d(x, w, stride=2))


def test_inputs_stay_as_they_are() -> None:
    x, w, b = np.ones((1, 2, 9)), np.ones((2, 2, 3)), np.ones(2)
    for a in (x, w, b):
        a.flags.writeable = False
    nn.conv1d(x, w, b, padding=1, padding_mode="circular")
    nn.conv_transpose1d(x, w, b, stride=2)
    assert all((a == 1).all() for a in (x, w, b))


@pytest.mark.parametrize("dtype", ["u1", "i1", "i4", "i8", "f2", "f4", "f8", "c8", "c16"])
def test_the_result_has_the_dtype_of_the_operands(dtype: str) -> None:
    x, w, b = np.ones((1, 2, 6), dtype), np.ones((3, 2, 2), dtype), np.ones(3, dtype)
    got = nn.conv1d(x, w, b)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, np.full((1, 3, 5), 5, dtype))


def test_complex_numbers_are_not_conjugated() -> None:
    x, w = np.full((1, 1, 3), 1j), np.full((1, 1, 1), 1j)
    np.testing.assert_array_equal(nn.conv1d(x, w), np.full((1, 1, 3), -1 + 0j))


def test_nothing_of_a_batch_is_nothing() -> None:
    assert nn.conv2d(np.ones((0, 2, 5, 5)), np.ones((3, 2, 3, 3)), np.ones(3)).shape == (0, 3, 3, 3)
    np.testing.assert_array_equal(
        nn.conv1d(np.ones((1, 0, 4)), np.ones((2, 0, 3)), np.ones(2)), np.ones((1, 2, 2))
    )


# --- padding modes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
@pytest.mark.parametrize("axes", (1, 2, 3))
def test_padding_modes_extend_the_array(mode: str, numpy_mode: str, axes: int) -> None:
    x, w = RNG.standard_normal((2, 2, *(6, 5, 7)[:axes])), RNG.standard_normal((3, 2, *(3, 2, 3)[:axes]))
    padding = (2, 1, 3)[:axes]
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], mode=numpy_mode)
    got = CONV[axes](x, w, padding=padding, padding_mode=mode)
    np.testing.assert_allclose(got, CONV[axes](padded, w), atol=1e-13)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_same_with_a_padding_mode(mode: str) -> None:
    x, w = RNG.standard_normal((1, 1, 8)), RNG.standard_normal((1, 1, 4))
    assert nn.conv1d(x, w, padding="same", padding_mode=mode).shape == x.shape
    np.testing.assert_array_equal(nn.conv1d(x, w, padding="valid", padding_mode=mode), nn.conv1d(x, w))


@pytest.mark.parametrize(("mode", "most"), [("reflect", 4), ("circular", 5), ("replicate", 40)])
def test_padding_modes_reach_their_limit(mode: str, most: int) -> None:
    x, w = RNG.standard_normal((1, 1, 5)), np.ones((1, 1, 1))
    assert nn.conv1d(x, w, padding=most, padding_mode=mode).shape == (1, 1, 5 + 2 * most)
    if mode != "replicate":
        with pytest.raises(ValueError, match=f"at most {most}, got {most + 1}"):
            nn.conv1d(x, w, padding=most + 1, padding_mode=mode)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_negative_padding_crops_in_the_other_modes(mode: str) -> None:
    x, w = RNG.standard_normal((1, 1, 4, 9)), RNG.standard_normal((1, 1, 2, 3))
    got = nn.conv2d(x, w, padding=(1, -2), padding_mode=mode)
    np.testing.assert_array_equal(got, nn.conv2d(x[..., 2:7], w, padding=(1, 0), padding_mode=mode))


# --- transposed --------------------------------------------------------------------------------------------------


def spread(x: np.ndarray, w: np.ndarray, stride: int, dilation: int, groups: int) -> np.ndarray:
    """Every input sample adds a weighted kernel to the output; nothing is cut off."""
    members, outputs, k = w.shape[0] // groups, w.shape[1], w.shape[2]
    out = np.zeros((x.shape[0], groups * outputs, (x.shape[2] - 1) * stride + dilation * (k - 1) + 1))
    for c, r, y, u in np.ndindex(w.shape[0], outputs, x.shape[2], k):
        out[:, c // members * outputs + r, y * stride + u * dilation] += x[:, c, y] * w[c, r, u]
    return out


@pytest.mark.parametrize("groups", (1, 2))
@pytest.mark.parametrize(
    ("stride", "dilation", "extra"), [(1, 1, 0), (2, 1, 1), (3, 2, 2), (1, 3, 2), (2, 4, 3)]
)
@pytest.mark.parametrize("padding", (0, 1, 2, 5))
def test_transposed_spreads_kernels(
    groups: int, stride: int, dilation: int, extra: int, padding: int
) -> None:
    x, w, bias = (
        RNG.standard_normal((2, 4, 7)),
        RNG.standard_normal((4, 3, 3)),
        RNG.standard_normal(3 * groups),
    )
    full = spread(x, w, stride, dilation, groups)
    size = full.shape[2] - 2 * padding + extra
    if size < 1:
        with pytest.raises(ValueError, match="output must not be empty"):
            nn.conv_transpose1d(x, w, bias, stride, padding, extra, groups, dilation)
        return
    longer = np.pad(full, [(0, 0), (0, 0), (0, extra)])
    want = longer[..., padding : padding + size] + bias[:, None]
    got = nn.conv_transpose1d(x, w, bias, stride, padding, extra, groups, dilation)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("axes", (2, 3))
def test_transposed_axes_are_independent(axes: int) -> None:
    lines = [RNG.standard_normal((1, 1, n)) for n in (4, 5, 3)[:axes]]
    kernels = [RNG.standard_normal((1, 1, k)) for k in (3, 2, 4)[:axes]]
    stride, padding, extra = (2, 3, 1)[:axes], (1, 0, 2)[:axes], (1, 2, 0)[:axes]

    def outer(parts: list) -> np.ndarray:
        return np.einsum(*(v for i, a in enumerate(parts) for v in (a[0, 0], [i])))[None, None]

    each = zip(lines, kernels, stride, padding, extra, strict=True)
    want = outer([nn.conv_transpose1d(x, w, None, s, p, e) for x, w, s, p, e in each])
    got = TRANSPOSED[axes](outer(lines), outer(kernels), None, stride, padding, extra)
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_transposed_agrees_with_lax() -> None:
    x, w = RNG.standard_normal((2, 3, 6, 5)), RNG.standard_normal((3, 4, 3, 2))
    want = lax.conv_transpose(
        x,
        w,
        (2, 3),
        [(1, 1), (0, 0)],
        (1, 2),
        ("NCHW", "OIHW", "NCHW"),
        transpose_kernel=True,
        use_consistent_padding=True,
    )
    np.testing.assert_allclose(
        nn.conv_transpose2d(x, w, None, (2, 3), (1, 0), dilation=(1, 2)), want, atol=1e-12
    )


# --- gradients ---------------------------------------------------------------------------------------------------

GEOMETRIES = [
    {"stride": 1, "padding": 0, "dilation": 1},
    {"stride": 2, "padding": 1, "dilation": 1},
    {"stride": 3, "padding": 2, "dilation": 2},
    {"stride": 1, "padding": 4, "dilation": 3},
    {"stride": 1, "padding": "same", "dilation": 2},
    {"stride": 3, "padding": "valid", "dilation": 1},
]


def setting(axes: int, groups: int, geometry: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = RNG.standard_normal((2, 2 * groups, *(9, 8, 7)[:axes]))
    w = RNG.standard_normal((3 * groups, 2, *(3, 2, 3)[:axes]))
    return x, w, RNG.standard_normal(CONV[axes](x, w, groups=groups, **geometry).shape)


@pytest.mark.parametrize("axes", (1, 2))
@pytest.mark.parametrize("groups", (1, 2))
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradients_are_the_derivatives(axes: int, groups: int, geometry: dict) -> None:
    """The convolution is linear in each operand, so a difference of any size is its derivative."""
    x, w, g = setting(axes, groups, geometry)
    dx = INPUT[axes](x.shape, w, g, groups=groups, **geometry)
    dw = WEIGHT[axes](x, w.shape, g, groups=groups, **geometry)
    assert (dx.shape, dw.shape) == (x.shape, w.shape)
    for i in RNG.choice(x.size, 10, replace=False):
        e = np.zeros_like(x)
        e.flat[i] = 1
        np.testing.assert_allclose(
            dx.flat[i], np.vdot(CONV[axes](e, w, groups=groups, **geometry), g), atol=1e-11
        )
    for i in RNG.choice(w.size, 10, replace=False):
        e = np.zeros_like(w)
        e.flat[i] = 1
        np.testing.assert_allclose(
            dw.flat[i], np.vdot(CONV[axes](x, e, groups=groups, **geometry), g), atol=1e-11
        )


@pytest.mark.parametrize("axes", (1, 2, 3))
@pytest.mark.parametrize("groups", (1, 2))
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradients_against_torch(axes: int, groups: int, geometry: dict) -> None:
    torch = pytest.importorskip("torch")
    x, w, g = setting(axes, groups, geometry)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, w)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of the copy it makes for even kernels under "same"
        y = getattr(torch.nn.functional, f"conv{axes}d")(*tensors, groups=groups, **geometry)
    dx, dw = torch.autograd.grad(y, tensors, torch.from_numpy(g))
    np.testing.assert_allclose(INPUT[axes](x.shape, w, g, groups=groups, **geometry), dx.numpy(), atol=1e-11)
    np.testing.assert_allclose(WEIGHT[axes](x, w.shape, g, groups=groups, **geometry), dw.numpy(), atol=1e-11)
    if isinstance(geometry["padding"], int):  # torch.nn.grad knows no words
        grad = getattr(torch.nn.grad, f"conv{axes}d_input")
        theirs = grad(x.shape, torch.from_numpy(w), torch.from_numpy(g), groups=groups, **geometry)
        np.testing.assert_allclose(theirs.numpy(), dx.numpy(), atol=1e-11)


def test_gradients_of_unbatched_input() -> None:
    x, w, g = setting(1, 2, GEOMETRIES[1])
    keywords = {"stride": 2, "padding": 1, "groups": 2}
    got = nn.conv1d_input(x.shape[1:], w, g[0], **keywords)
    np.testing.assert_array_equal(got, nn.conv1d_input((1, *x.shape[1:]), w, g[:1], **keywords)[0])
    got = nn.conv1d_weight(x[0], w.shape, g[0], **keywords)
    np.testing.assert_array_equal(got, nn.conv1d_weight(x[:1], w.shape, g[:1], **keywords))


def test_gradients_of_an_empty_batch_are_zero() -> None:
    g = np.ones((0, 4, 3))
    np.testing.assert_array_equal(nn.conv1d_weight(np.ones((0, 2, 5)), (4, 2, 3), g), np.zeros((4, 2, 3)))
    assert nn.conv1d_input((0, 2, 5), np.ones((4, 2, 3)), g).shape == (0, 2, 5)


# --- broken rules ------------------------------------------------------------------------------------------------

X, W, B = np.ones((2, 4, 6)), np.ones((4, 4, 3)), np.ones(4)


def conv(x: object = X, w: object = W, b: object = None, **keywords: object) -> object:
    return nn.conv1d(x, w, b, **keywords)  # type: ignore[arg-type]


def back(x: object = X, w: object = W, b: object = None, **keywords: object) -> object:
    return nn.conv_transpose1d(x, w, b, **keywords)  # type: ignore[arg-type]


BROKEN = {
    "a list": (TypeError, "must be an array", lambda: conv(x=[[1.0]])),
    "booleans": (TypeError, "booleans", lambda: conv(x=X > 0, w=W > 0)),
    "text": (TypeError, "numbers", lambda: conv(x=np.full((1, 1, 1), "a"))),
    "dtypes differ": (TypeError, "one dtype", lambda: conv(w=W.astype("f4"))),
    "dtype of the bias": (TypeError, "one dtype", lambda: conv(b=B.astype("f4"))),
    "rank of the input": (ValueError, "2 or 3 axes, got 4", lambda: conv(x=X[None])),
    "rank of the weight": (ValueError, "3 axes, got 2", lambda: conv(w=W[0])),
    "two axes for conv1d": (ValueError, "axes", lambda: nn.conv2d(X, W)),
    "channels": (ValueError, "input channels", lambda: conv(w=W[:, :3])),
    "groups and channels": (ValueError, "input channels", lambda: conv(w=W[:, :1], groups=3)),
    "groups and outputs": (ValueError, "multiple of groups", lambda: conv(w=W[:3, :2], groups=2)),
    "no outputs": (ValueError, "positive multiple", lambda: conv(w=W[:0])),
    "groups 0": (ValueError, "groups must be at least 1", lambda: conv(groups=0)),
    "groups -1": (ValueError, "groups must be at least 1", lambda: conv(groups=-1)),
    "broken groups": (TypeError, "float", lambda: conv(groups=1.0)),
    "stride 0": (ValueError, "stride must be at least 1", lambda: conv(stride=0)),
    "stride -1": (ValueError, "stride must be at least 1", lambda: conv(stride=-1)),
    "dilation 0": (ValueError, "dilation must be at least 1", lambda: conv(dilation=0)),
    "dilation -2": (ValueError, "dilation must be at least 1", lambda: conv(dilation=(-2,))),
    "negative padding": (ValueError, "padding must be at least 0", lambda: conv(padding=-1)),
    "too many strides": (ValueError, "one per spatial axis", lambda: conv(stride=(1, 1))),
    "too many pads": (ValueError, "one per spatial axis", lambda: conv(padding=(1, 2))),
    "broken stride": (TypeError, "stride must be an integer", lambda: conv(stride=1.5)),
    "broken padding": (TypeError, "padding must be an integer", lambda: conv(padding=1.0)),
    "no padding": (TypeError, "padding must be an integer", lambda: conv(padding=None)),
    "same with stride": (ValueError, "needs stride 1", lambda: conv(padding="same", stride=2)),
    "upper case": (ValueError, "'same', 'valid'", lambda: conv(padding="SAME")),
    "unknown padding": (ValueError, "'same', 'valid'", lambda: conv(padding="full")),
    "unknown mode": (ValueError, "zeros, reflect, replicate, circular", lambda: conv(padding_mode="edge")),
    "mode of no word": (
        ValueError,
        "zeros, reflect, replicate, circular",
        lambda: conv(padding_mode=["zeros"]),
    ),
    "groups of no integer": (TypeError, "groups must be an integer, got 1.0", lambda: conv(groups=1.0)),
    "masked input": (ValueError, "no masked elements, got 48", lambda: conv(x=np.ma.masked_greater(X, 0))),
    "reflection too long": (ValueError, "at most 5, got 6", lambda: conv(padding=6, padding_mode="reflect")),
    "circle too long": (ValueError, "at most 6, got 7", lambda: conv(padding=7, padding_mode="circular")),
    "cropped to nothing": (ValueError, "leave samples", lambda: conv(padding=-3, padding_mode="reflect")),
    "kernel too long": (ValueError, "must fit the padded input", lambda: conv(x=X[..., :2])),
    "dilated kernel too long": (ValueError, "the kernel needs 9", lambda: conv(dilation=4)),
    "empty kernel": (ValueError, "kernel must not be empty", lambda: conv(w=W[..., :0])),
    "empty input": (ValueError, "input must not be empty", lambda: conv(x=X[..., :0], padding=2)),
    "long bias": (ValueError, r"expected \(4,\), got \(5,\)", lambda: conv(b=np.ones(5))),
    "bias of two axes": (ValueError, "bias must have one entry", lambda: conv(b=np.ones((4, 1)))),
    "unknown method": (
        ValueError,
        "auto, direct, band, jit, separable, fft, overlap_save",
        lambda: conv(method="winograd"),
    ),
    "workers": (ValueError, "workers", lambda: conv(workers=0)),
    "method that cannot answer": (
        ValueError,
        "cannot answer",
        lambda: conv(x=np.full((1, 1, 6), 2**40), w=np.full((1, 1, 3), 2**40), method="band"),
    ),
    "transposed: channels": (ValueError, "input channels", lambda: back(w=W[:3])),
    "transposed: groups": (ValueError, "multiple of groups", lambda: back(groups=3)),
    "transposed: padding word": (TypeError, "integer or one per axis", lambda: back(padding="same")),
    "transposed: negative padding": (ValueError, "padding must be at least 0", lambda: back(padding=-1)),
    "transposed: output_padding": (ValueError, "less than the stride", lambda: back(output_padding=1)),
    "transposed: output_padding of the stride": (
        ValueError,
        "less than the stride",
        lambda: back(stride=2, output_padding=2),
    ),
    "transposed: negative output_padding": (
        ValueError,
        "output_padding must be at least 0",
        lambda: back(stride=2, output_padding=-1),
    ),
    "transposed: nothing left": (ValueError, "output must not be empty", lambda: back(padding=4)),
    "transposed: empty input": (ValueError, "must not be empty", lambda: back(x=X[..., :0])),
    "transposed: no outputs": (ValueError, "must not be empty", lambda: back(w=W[:, :0])),
    "transposed: bias": (ValueError, "bias must have one entry", lambda: back(b=np.ones(3))),
    "transposed: stride 0": (ValueError, "stride must be at least 1", lambda: back(stride=0)),
    "gradient of another output": (
        ValueError,
        r"expected \(2, 4, 4\), got \(2, 4, 5\)",
        lambda: nn.conv1d_input((2, 4, 6), W, np.ones((2, 4, 5))),
    ),
    "gradient of another batch": (
        ValueError,
        r"expected \(2, 4, 4\), got \(1, 4, 4\)",
        lambda: nn.conv1d_weight(X, (4, 4, 3), np.ones((1, 4, 4))),
    ),
    "input_size too short": (ValueError, "input size must have", lambda: nn.conv1d_input((6,), W, X)),
    "input_size of other channels": (ValueError, "input channels", lambda: nn.conv1d_input((2, 3, 6), W, X)),
    "broken input_size": (TypeError, "sequence of integers", lambda: nn.conv1d_input(6, W, X)),  # type: ignore[arg-type]
    "weight_size too long": (ValueError, "3 entries", lambda: nn.conv1d_weight(X, (4, 4, 3, 1), X)),
    "weight_size of other channels": (
        ValueError,
        "input channels",
        lambda: nn.conv1d_weight(X, (4, 3, 3), X),
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(rule: str) -> None:
    kind, words, call = BROKEN[rule]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert isinstance(caught.value, kind)


def test_code_written_for_torch_catches_our_errors() -> None:
    for call in (lambda: conv(stride=0), lambda: conv(w=W.astype("f4")), lambda: conv(x=X[..., :2])):
        with pytest.raises(RuntimeError):
            call()


def test_errors_show_the_shapes() -> None:
    with pytest.raises(
        ValueError, match=r"conv1d: .*input \(2, 4, 6\) float64, weight \(4, 3, 3\) float64\)"
    ):
        conv(w=W[:, :3])
