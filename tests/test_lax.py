"""The lax door: layouts, padding words, groups, dtypes, patches, the local operator, and every rule broken once."""

from __future__ import annotations

import runpy
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import oracle
import pytest

from fftconv import _patches, lax

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(2024)


def problem(x: np.ndarray, w: np.ndarray, **fields: object) -> SimpleNamespace:
    """The plain fields that the oracle reads."""
    ones = (1,) * (x.ndim - 2)
    plain = {
        "batch": x.shape[0],
        "in_channels": x.shape[1],
        "out_channels": w.shape[0],
        "groups": 1,
        "input_size": x.shape[2:],
        "kernel_size": w.shape[2:],
        "pads": ((0, 0),) * len(ones),
        "stride": ones,
        "lhs_dilation": ones,
        "rhs_dilation": ones,
        "flip": False,
        "dtype": x.dtype,
    }
    return SimpleNamespace(**(plain | fields))


def assert_is(p: SimpleNamespace, x: np.ndarray, w: np.ndarray, got: np.ndarray) -> None:
    want = oracle.by_taps(p, x, w)
    assert got.shape == want.shape
    assert got.dtype == p.dtype
    if got.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
    else:
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        np.testing.assert_allclose(got, want.astype(got.dtype), rtol=0, atol=1e-12 * scale)


def shuffled(a: np.ndarray, layout: str, canonical: str) -> np.ndarray:
    """`a`, whose axes are `canonical`, laid out as `layout`, in memory of its own."""
    return np.ascontiguousarray(a.transpose([canonical.index(c) for c in layout]))


# --- layouts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", range(5))
def test_default_layout(axes: int) -> None:
    shape = (2,) * (axes + 2)
    spec = tuple(range(axes + 2))
    assert lax.conv_dimension_numbers(shape, shape, None) == (spec, spec, spec)


def test_dimension_numbers_print_as_in_jax() -> None:
    found = lax.conv_dimension_numbers((1, 200, 198, 3), (3, 3, 3, 3), ("NHWC", "HWIO", "NHWC"))
    expected = "ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))"
    assert repr(found) == expected


def test_spatial_axes_count_in_the_order_of_the_kernel() -> None:
    found = lax.conv_dimension_numbers((1,) * 4, (1,) * 4, ("NHWC", "WHIO", "NWHC"))
    assert found == ((0, 3, 2, 1), (3, 2, 0, 1), (0, 3, 1, 2))


def test_dimension_numbers_pass_through() -> None:
    given = lax.ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (2, 0, 1))
    assert lax.conv_dimension_numbers((1,) * 9, (1,) * 3, given) is given


@pytest.mark.parametrize("lhs", [*map("".join, permutations("NCHW"))])
def test_every_layout_is_the_same_convolution(lhs: str) -> None:
    rhs, out = lhs[::-1].replace("N", "O").replace("C", "I"), lhs[1:] + lhs[0]
    x, w = RNG.standard_normal((2, 3, 7, 8)), RNG.standard_normal((4, 3, 3, 2))
    spatial = [c for c in rhs if c in "HW"]  # strides and pads count in this order
    strides, pads = {"H": 2, "W": 1}, {"H": (1, 2), "W": (-1, 3)}
    got = lax.conv_general_dilated(
        shuffled(x, lhs, "NCHW"),
        shuffled(w, rhs, "OIHW"),
        [strides[c] for c in spatial],
        [pads[c] for c in spatial],
        dimension_numbers=(lhs, rhs, out),
    )
    p = problem(x, w, stride=(2, 1), pads=(pads["H"], pads["W"]))
    assert_is(p, x, w, np.ascontiguousarray(got.transpose([out.index(c) for c in "NCHW"])))


def test_results_own_their_memory_in_the_layout_asked_for() -> None:
    x, w = np.ones((1, 9, 8, 3), np.float32), np.ones((3, 3, 3, 5), np.float32)
    got = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    assert got.shape == (1, 9, 8, 5)
    assert got.flags.owndata
    assert got.flags.c_contiguous


# --- the general convolution -------------------------------------------------------------------------------------


def random_call(seed: int) -> tuple[SimpleNamespace, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    axes = int(rng.integers(1, 4))
    groups, inputs = int(rng.integers(1, 4)), int(rng.integers(1, 3))

    def ints(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(i) for i in rng.integers(low, high, axes))

    x = rng.standard_normal((2, groups * inputs, *ints(4, 10)))
    w = rng.standard_normal((groups * 2, inputs, *ints(1, 5)))
    p = problem(
        x,
        w,
        groups=groups,
        stride=ints(1, 4),
        lhs_dilation=ints(1, 4),
        rhs_dilation=ints(1, 4),
        pads=tuple(zip(ints(-2, 5), ints(-2, 5), strict=True)),
    )
    return p, x, w


@pytest.mark.parametrize("seed", range(30))
def test_everything_at_once(seed: int) -> None:
    p, x, w = random_call(seed)
    before = x.tobytes(), w.tobytes()
    x.flags.writeable = w.flags.writeable = False
    got = lax.conv_general_dilated(
        x, w, p.stride, p.pads, p.lhs_dilation, p.rhs_dilation, feature_group_count=p.groups
    )
    assert_is(p, x, w, got)
    assert (x.tobytes(), w.tobytes()) == before


def test_conv_and_conv_with_general_padding_are_the_same_convolution() -> None:
    x, w = RNG.standard_normal((2, 3, 9, 8)), RNG.standard_normal((4, 3, 3, 4))
    whole = lax.conv_general_dilated(x, w, (2, 1), [(1, 1), (1, 2)])
    np.testing.assert_array_equal(lax.conv(x, w, (2, 1), "SAME"), whole)
    np.testing.assert_array_equal(lax.conv_with_general_padding(x, w, (2, 1), "same", None, None), whole)


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize("kernel", range(1, 6))
@pytest.mark.parametrize("stride", (1, 2, 3))
def test_padding_words(size: int, kernel: int, stride: int) -> None:
    ((lo, hi),) = lax.padtype_to_pads((size,), (kernel,), (stride,), "SAME")
    assert lax.padtype_to_pads((size,), (kernel,), (stride,), "same_lower") == [(hi, lo)]
    assert 0 <= hi - lo <= 1
    x, w = np.ones((1, 1, size)), np.ones((1, 1, kernel))
    assert lax.conv(x, w, (stride,), "SAME").shape[2] == -(-size // stride)
    assert lax.conv(x, w, (stride,), "VALID").shape[2] == max(0, (size - kernel) // stride + 1)


def test_same_splits_by_stride() -> None:
    assert lax.padtype_to_pads((6,), (3,), (2,), "SAME") == [(0, 1)]


@pytest.mark.parametrize("batches", (2, 3))
def test_batch_groups_are_convolutions_side_by_side(batches: int) -> None:
    x, w = RNG.standard_normal((2 * batches, 3, 9)), RNG.standard_normal((batches * 2, 3, 4))
    got = lax.conv_general_dilated(x, w, (1,), "SAME", batch_group_count=batches)
    blocks = zip(np.split(x, batches), np.split(w, batches), strict=True)
    np.testing.assert_allclose(got, np.concatenate([lax.conv(a, b, (1,), "SAME") for a, b in blocks], axis=1))


def test_without_spatial_axes_it_is_a_matrix_product() -> None:
    x, w = RNG.standard_normal((3, 4)), RNG.standard_normal((5, 4))
    np.testing.assert_allclose(lax.conv(x, w, (), "SAME"), x @ w.T)
    np.testing.assert_allclose(lax.conv_general_dilated(x, w, (), []), x @ w.T)


@pytest.mark.parametrize(
    ("x", "w", "pads", "shape"),
    [
        ((0, 2, 5), (3, 2, 3), [(0, 0)], (0, 3, 3)),
        ((1, 2, 5), (0, 2, 3), [(0, 0)], (1, 0, 3)),
        ((1, 0, 5), (3, 0, 3), [(0, 0)], (1, 3, 3)),
        ((1, 2, 0), (3, 2, 3), [(2, 2)], (1, 3, 2)),
        ((1, 2, 2), (3, 2, 5), [(0, 0)], (1, 3, 0)),
        ((1, 2, 6), (3, 2, 3), [(-8, 6)], (1, 3, 2)),
        ((1, 2, 6), (3, 2, 3), [(-3, -3)], (1, 3, 0)),
    ],
)
def test_degenerate_shapes_are_zeros(x: tuple, w: tuple, pads: list, shape: tuple) -> None:
    got = lax.conv_general_dilated(np.ones(x), np.ones(w), (1,), pads)
    np.testing.assert_array_equal(got, np.zeros(shape))


# --- dtypes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["b1", "u1", "i1", "i4", "i8", "f2", "f4", "f8", "g", "c8", "c16"])
def test_the_result_has_the_dtype_of_the_operands(dtype: str) -> None:
    x, w = np.ones((1, 2, 6), dtype), np.ones((3, 2, 2), dtype)
    got = lax.conv(x, w, (1,), "VALID")
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, np.full((1, 3, 5), 1 if dtype == "b1" else 4, dtype))


def test_integers_wrap() -> None:
    x, w = np.full((1, 2, 3), 100, np.int8), np.full((1, 2, 1), 100, np.int8)
    np.testing.assert_array_equal(lax.conv(x, w, (1,), "VALID"), np.full((1, 1, 3), 32, np.int8))


def test_booleans_are_an_or_of_ands() -> None:
    x, w = RNG.random((2, 3, 9)) < 0.3, RNG.random((4, 3, 3)) < 0.3
    assert_is(problem(x, w, pads=((1, 1),)), x, w, lax.conv(x, w, (1,), "SAME"))


@pytest.mark.parametrize(
    ("dtype", "wider"), [("i1", "i4"), ("u1", "i2"), ("i4", "f8"), ("f4", "f8"), ("c8", "c16"), ("b1", "i4")]
)
def test_preferred_element_type_computes_in_the_wider_dtype(dtype: str, wider: str) -> None:
    x, w = RNG.integers(0, 100, (2, 3, 9)).astype(dtype), RNG.integers(0, 100, (4, 3, 3)).astype(dtype)
    got = lax.conv(x, w, (1,), "SAME", preferred_element_type=wider)
    assert_is(problem(x, w, pads=((1, 1),), dtype=np.dtype(wider)), x.astype(wider), w.astype(wider), got)


@pytest.mark.parametrize(
    ("dtype", "other"), [("i1", "u4"), ("i4", "i2"), ("f8", "f4"), ("f4", "i4"), ("f4", "c8"), ("i4", "c8")]
)
def test_preferred_element_type_neither_narrows_nor_changes_the_kind(dtype: str, other: str) -> None:
    with pytest.raises(TypeError, match="preferred_element_type"):
        lax.conv(np.ones((1, 1, 4), dtype), np.ones((1, 1, 2), dtype), (1,), "VALID", None, other)


def test_foreign_byte_order_and_strides() -> None:
    x = np.arange(60.0).reshape(2, 3, 10)
    w = RNG.standard_normal((4, 3, 3))
    want = lax.conv(x, w, (1,), "SAME")
    swapped = lax.conv(x.astype(">f8"), w.astype(">f8"), (1,), "SAME")
    assert swapped.dtype.isnative
    np.testing.assert_array_equal(swapped, want)
    np.testing.assert_array_equal(lax.conv(np.repeat(x, 2, 2)[..., ::2], w[::-1][::-1], (1,), "SAME"), want)


def test_precision_has_no_effect() -> None:
    x, w = RNG.standard_normal((1, 1, 9)), RNG.standard_normal((1, 1, 3))
    np.testing.assert_array_equal(lax.conv(x, w, (1,), "SAME", "highest"), lax.conv(x, w, (1,), "SAME"))


def test_nan_stays_in_its_window() -> None:
    x, w = np.zeros((1, 1, 64)), np.ones((1, 1, 5))
    x[0, 0, 30] = np.nan
    np.testing.assert_array_equal(
        np.flatnonzero(np.isnan(lax.conv(x, w, (1,), "SAME", method="direct"))), range(28, 33)
    )


# --- transposed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", range(1, 6))
@pytest.mark.parametrize("stride", range(1, 5))
@pytest.mark.parametrize("dilation", (1, 2))
def test_transposed_sizes(kernel: int, stride: int, dilation: int) -> None:
    x, w, reach = np.ones((1, 4, 1)), np.ones((kernel, 1, 1)), dilation * (kernel - 1) + 1
    for padding, length in (("SAME", 4 * stride), ("VALID", 4 * stride + max(reach - stride, 0))):
        assert lax.conv_transpose(x, w, (stride,), padding, (dilation,)).shape == (1, length, 1)
    cut = lax.conv_transpose(x, w, (stride,), [(0, 0)], (dilation,), use_consistent_padding=True)
    assert cut.shape[1] == 3 * stride + reach


@pytest.mark.parametrize("axes", range(4))
def test_transposed_default_is_channels_last(axes: int) -> None:
    x, w = np.ones((1, *(4,) * axes, 2)), np.ones((*(3,) * axes, 2, 5))
    assert lax.conv_transpose(x, w, (2,) * axes, "SAME").shape == (1, *(8,) * axes, 5)


def test_transposed_is_a_convolution_of_the_dilated_input() -> None:
    x, w = RNG.standard_normal((2, 5, 6, 3)), RNG.standard_normal((3, 4, 3, 2))
    layout = ("NHWC", "HWIO", "NHWC")
    got = lax.conv_transpose(x, w, (2, 3), [(2, 1), (-1, 3)], (1, 2))
    want = lax.conv_general_dilated(x, w, (1, 1), [(2, 1), (-1, 3)], (2, 3), (1, 2), layout)
    np.testing.assert_array_equal(got, want)


def test_transpose_kernel_turns_and_exchanges() -> None:
    x, w = RNG.standard_normal((2, 5, 3)), RNG.standard_normal((4, 2, 3))
    got = lax.conv_transpose(x, w, (2,), "SAME", transpose_kernel=True)
    want = lax.conv_transpose(x, np.ascontiguousarray(w[::-1].swapaxes(1, 2)), (2,), "SAME")
    np.testing.assert_array_equal(got, want)


# --- patches and the local operator ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
def test_patches_times_kernel_is_the_convolution(seed: int) -> None:
    p, x, w = random_call(seed)
    w = RNG.standard_normal((3, x.shape[1], *w.shape[2:]))
    geometry = (p.stride, p.pads, p.lhs_dilation, p.rhs_dilation)
    patches = lax.conv_general_dilated_patches(x, w.shape[2:], *geometry)
    want = lax.conv_general_dilated(x, w, *geometry)
    np.testing.assert_allclose(np.einsum("or,nr...->no...", w.reshape(3, -1), patches), want, atol=1e-12)


def test_patches_count_channels_first_and_taps_in_order() -> None:
    x = np.arange(24).reshape(1, 2, 3, 4)
    got = lax.conv_general_dilated_patches(x, (2, 3), (1, 1), "VALID")
    np.testing.assert_array_equal(got[0, :, 0, 0], [0, 1, 2, 4, 5, 6, 12, 13, 14, 16, 17, 18])
    turned = lax.conv_general_dilated_patches(
        x, (3, 2), (1, 1), "VALID", dimension_numbers=("NCHW", "OIWH", "NHWC")
    )
    np.testing.assert_array_equal(turned[0, 0, 0], [0, 4, 1, 5, 2, 6, 12, 16, 13, 17, 14, 18])


def test_patches_keep_a_nan_in_its_place() -> None:
    x = np.array([1.0, np.nan, 3.0, 4.0]).reshape(1, 1, 4)
    got = lax.conv_general_dilated_patches(x, (2,), (1,), "VALID")
    np.testing.assert_array_equal(got[0], [[1, np.nan, 3], [np.nan, 3, 4]])


@pytest.mark.parametrize("dtype", ["b1", "i4", "f2", "c16"])
def test_patches_keep_the_dtype(dtype: str) -> None:
    x = np.arange(5).astype(dtype).reshape(1, 1, 5)
    got = lax.conv_general_dilated_patches(x, (2,), (3,), "VALID")
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got[0], x[0, 0, [[0, 3], [1, 4]]])
    wide = lax.conv_general_dilated_patches(
        x, (2,), (3,), "VALID", preferred_element_type="c16" if dtype == "c16" else "f8"
    )
    np.testing.assert_array_equal(wide, got)


def local_by_definition(patches: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """``out[n, o, y] = sum_r patches[n, r, y] * kernels[o, r, y]``, one output at a time."""
    out = np.zeros((patches.shape[0], kernels.shape[0], *patches.shape[2:]), np.result_type(patches, kernels))
    for y in np.ndindex(patches.shape[2:]):
        out[(..., *y)] = patches[(..., *y)] @ kernels[(..., *y)].T
    return out


@pytest.mark.parametrize("scratch", (1, 5000, 2**24))
@pytest.mark.parametrize("seed", range(8))
def test_local_is_one_kernel_per_output(seed: int, scratch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_patches, "SCRATCH_BYTES", scratch)
    p, x, w = random_call(seed)
    geometry = (p.stride, p.pads)
    dilations = (p.lhs_dilation, p.rhs_dilation)
    patches = lax.conv_general_dilated_patches(x, w.shape[2:], *geometry, *dilations)
    kernels = RNG.standard_normal((3, *patches.shape[1:]))
    got = lax.conv_general_dilated_local(x, kernels, *geometry, w.shape[2:], *dilations)
    np.testing.assert_allclose(got, local_by_definition(patches, kernels), atol=1e-12)


def test_local_with_one_kernel_everywhere_is_the_convolution() -> None:
    x, w = RNG.standard_normal((2, 6, 7, 3)), RNG.standard_normal((3, 2, 3, 4))
    layout = ("NHWC", "HWIO", "NHWC")
    want = lax.conv_general_dilated(x, w, (1, 2), "SAME", dimension_numbers=layout)
    flat = w.transpose(2, 0, 1, 3).reshape(18, 4)
    kernels = np.broadcast_to(flat, (*want.shape[1:3], 18, 4))
    got = lax.conv_general_dilated_local(x, kernels, (1, 2), "SAME", (3, 2), dimension_numbers=layout)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "kernels", "result"),
    [
        ("f4", "f8", "f8"),
        ("i4", "f4", "f4"),
        ("f4", "c8", "c8"),
        ("u1", "i1", "i2"),
        ("b1", "b1", "b1"),
        ("f2", "f2", "f2"),
    ],
)
def test_local_promotes(dtype: str, kernels: str, result: str) -> None:
    got = lax.conv_general_dilated_local(
        np.ones((1, 2, 5), dtype), np.ones((3, 4, 4), kernels), (1,), "VALID", (2,)
    )
    assert got.dtype == np.dtype(result)
    np.testing.assert_array_equal(got, np.full((1, 3, 4), 1 if result == "b1" else 4, result))


def test_boxes_cover_without_overlap() -> None:
    for size in ((), (5,), (3, 4), (2, 3, 4), (0, 3)):
        for limit in (1, 2, 5, 7, 100):
            seen = np.zeros(size, int)
            for box in _patches.boxes(size, limit):
                assert 0 < seen[box].size <= limit
                seen[box] += 1
            assert (seen == 1).all()


# --- the tour ----------------------------------------------------------------------------------------------------


def test_example_prints_shapes_and_dimension_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tour = runpy.run_path(str(ROOT / "examples" / "general_convolutions.py"))
    tour["main"](tmp_path)
    printed = capsys.readouterr().out
    for line in (
        "conv, SAME                      (1, 3, 200, 198)",
        "general padding (2, 2)          (1, 3, 202, 200)",
        "ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))",
        "SAME                            (1, 200, 198, 3)",
        "VALID                           (1, 198, 196, 3)",
        "SAME, stride 2                  (1, 100, 99, 3)",
        "VALID, kernel dilation 12       (1, 176, 174, 3)",
        "input dilation 2                (1, 397, 393, 3)",
        "transposed                      (1, 400, 396, 3)",
        "ConvDimensionNumbers(lhs_spec=(0, 2, 1), rhs_spec=(2, 1, 0), out_spec=(0, 2, 1))",
        "one axis                        (1, 200, 2)",
        "ConvDimensionNumbers(lhs_spec=(0, 4, 1, 2, 3), rhs_spec=(4, 3, 0, 1, 2), out_spec=(0, 4, 1, 2, 3))",
        "three axes                      (1, 30, 30, 30, 1)",
    ):
        assert line in printed


def test_the_tour_is_the_same_in_jax() -> None:
    """With nothing but the import changed, the calls of the example run in jax and give the same."""
    jax_lax = pytest.importorskip("jax.lax")
    tour = runpy.run_path(str(ROOT / "examples" / "general_convolutions.py"))
    image, kernel = tour["squares"](), tour["diagonal_edges"]()
    calls = {
        "any layout": lambda: tour["any_layout"](image, kernel).values(),
        "one axis": lambda: tour["one_axis"](),
        "three axes": lambda: tour["three_axes"](),
    }
    for name, call in calls.items():
        ours = list(call())
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(tour["any_layout"].__globals__, "lax", jax_lax)
            theirs = list(call())
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4, err_msg=name)


# --- broken rules ------------------------------------------------------------------------------------------------

X, W = np.ones((2, 4, 6), np.float32), np.ones((4, 4, 3), np.float32)
IMAGE = np.ones((1, 1, 5, 6), np.float32)


def general(
    x: object = X, w: object = W, s: object = (1,), p: object = "VALID", **keywords: object
) -> object:
    return lax.conv_general_dilated(x, w, s, p, **keywords)  # type: ignore[arg-type]


def image(**keywords: object) -> object:
    return general(IMAGE, IMAGE, (1, 1), **keywords)


def transposed(p: object, s: object = (2,), **keywords: object) -> object:
    return lax.conv_transpose(X, W, s, p, dimension_numbers=("NCW", "OIW", "NCW"), **keywords)  # type: ignore[arg-type]


BROKEN = {
    "a list": (TypeError, "must be an array", lambda: general(x=[[[1.0]]])),
    "not numbers": (TypeError, "numbers", lambda: general(x=np.full((1, 1, 1), "a"))),
    "ranks differ": (TypeError, "same number of axes", lambda: general(w=IMAGE)),
    "one axis": (IndexError, "at least|or more", lambda: general(x=np.ones(3), w=np.ones(3), s=())),
    "dtypes differ": (TypeError, "same dtype", lambda: general(w=W.astype(np.float64))),
    "channels": (ValueError, "lhs channels", lambda: general(w=W[:, :3])),
    "groups and channels": (ValueError, "lhs channels", lambda: general(feature_group_count=3)),
    "groups and outputs": (
        ValueError,
        "divide the output",
        lambda: general(w=W[:3, :2], feature_group_count=2),
    ),
    "no groups": (ValueError, "at least 1", lambda: general(feature_group_count=0)),
    "negative batch groups": (ValueError, "at least 1", lambda: general(batch_group_count=-1)),
    "groups not an integer": (TypeError, "float", lambda: general(feature_group_count=1.0)),
    "both groups": (
        ValueError,
        "only one of",
        lambda: general(w=W[:, :2], feature_group_count=2, batch_group_count=2),
    ),
    "batch groups and batch": (ValueError, "divide the batch", lambda: general(batch_group_count=3)),
    "stride 0": (ValueError, "window_strides must be positive", lambda: general(s=(0,))),
    "stride -1": (ValueError, "window_strides must be positive", lambda: general(s=(-1,))),
    "too many strides": (ValueError, "one entry per spatial axis", lambda: general(s=(1, 1))),
    "stride without sequence": (TypeError, "sequence of integers", lambda: general(s=1)),
    "broken stride": (TypeError, "sequence of integers", lambda: general(s=(1.5,))),
    "input dilation 0": (TypeError, "positive", lambda: general(p=[(0, 0)], lhs_dilation=(0,))),
    "kernel dilation -1": (TypeError, "positive", lambda: general(rhs_dilation=(-1,))),
    "too many dilations": (ValueError, "one entry per spatial axis", lambda: general(rhs_dilation=(1, 1))),
    "no dilation": (ValueError, "one entry per spatial axis", lambda: general(rhs_dilation=())),
    "unknown padding": (RuntimeError, "VALID, SAME, SAME_LOWER", lambda: general(p="FULL")),
    "padding and input dilation": (ValueError, "dilated input", lambda: general(lhs_dilation=(2,))),
    "too many pads": (TypeError, "one pair per spatial axis", lambda: general(p=[(0, 0), (0, 0)])),
    "pads without pairs": (ValueError, "word or a sequence", lambda: general(p=(1, 1))),
    "no padding": (ValueError, "word or a sequence", lambda: general(p=None)),
    "broken pads": (ValueError, "word or a sequence", lambda: general(p=[(1.0, 1)])),
    "cropping too much": (ValueError, "crop more", lambda: general(p=[(-4, -3)])),
    "empty kernel": (ValueError, "kernel must not be empty", lambda: general(w=W[..., :0])),
    "layout of two": (TypeError, "three strings", lambda: general(dimension_numbers=("NCW", "OIW"))),
    "layout of integers": (TypeError, "three strings", lambda: general(dimension_numbers=((0, 1, 2),) * 3)),
    "layout in one string": (TypeError, "three strings", lambda: general(dimension_numbers="NCW")),
    "layout too long": (
        TypeError,
        "letter per axis",
        lambda: general(dimension_numbers=("NCHW", "OIHW", "NCHW")),
    ),
    "layout without N": (
        TypeError,
        "must hold N and C",
        lambda: general(dimension_numbers=("XCW", "OIW", "NCW")),
    ),
    "layout repeats": (
        TypeError,
        "repeat",
        lambda: image(dimension_numbers=("NCWW", "OIHW", "NCHW")),
    ),
    "layouts differ": (
        TypeError,
        "same spatial axes",
        lambda: general(dimension_numbers=("NCW", "OIW", "NCH")),
    ),
    "specs that are no permutation": (
        TypeError,
        "each of the 3 axes once",
        lambda: general(dimension_numbers=lax.ConvDimensionNumbers((0, 1, 1), (0, 1, 2), (0, 1, 2))),
    ),
    "unknown method": (
        ValueError,
        "auto, direct, band, jit, separable, fft, overlap_save",
        lambda: general(method="winograd"),
    ),
    "no workers": (ValueError, "workers", lambda: general(workers=0)),
    "groups of no integer": (
        TypeError,
        "feature_group_count must be an integer, got 1.0",
        lambda: general(feature_group_count=1.0),
    ),
    "stride beyond any array": (ValueError, "less than 2\\*\\*63", lambda: general(s=(2**70,))),
    "masked input": (
        ValueError,
        "lhs must have no masked elements, got 48",
        lambda: general(x=np.ma.masked_greater(X, 0)),
    ),
    "method that cannot answer": (
        ValueError,
        "float dtype",
        lambda: general(x=X > 0, w=W > 0, method="band"),
    ),
    "patches by transform": (
        ValueError,
        "only 'direct'",
        lambda: lax.conv_general_dilated_patches(X, (2,), (1,), "VALID", method="fft"),
    ),
    "patches of nothing": (
        ValueError,
        "at least one channel",
        lambda: lax.conv_general_dilated_patches(X[:, :0], (2,), (1,), "VALID"),
    ),
    "patches with an empty window": (
        ValueError,
        "kernel must not be empty",
        lambda: lax.conv_general_dilated_patches(X, (0,), (1,), "VALID"),
    ),
    "patches with too many axes": (
        TypeError,
        "filter_shape needs one length per spatial axis",
        lambda: lax.conv_general_dilated_patches(X, (2, 2), (1,), "VALID"),
    ),
    "patches with too many axes for the layout": (
        TypeError,
        "one length per spatial axis",
        lambda: lax.conv_general_dilated_patches(
            X,
            (2, 2),
            (1,),
            "VALID",
            dimension_numbers=lax.ConvDimensionNumbers((0, 1, 2), (0, 1, 2), (0, 1, 2)),
        ),
    ),
    "patches of a negative window": (
        ValueError,
        "kernel must not be empty",
        lambda: lax.conv_general_dilated_patches(X, (-1,), (1,), "VALID"),
    ),
    "local with other sizes": (
        TypeError,
        "output's spatial sizes",
        lambda: lax.conv_general_dilated_local(X, np.ones((1, 8, 4), np.float32), (1,), "VALID", (2,)),
    ),
    "local with other inputs": (
        TypeError,
        "output's spatial sizes",
        lambda: lax.conv_general_dilated_local(X, np.ones((1, 7, 5), np.float32), (1,), "VALID", (2,)),
    ),
    "local with more axes": (
        TypeError,
        "same number of axes",
        lambda: lax.conv_general_dilated_local(X, np.ones((1, 8, 5, 1), np.float32), (1,), "VALID", (2,)),
    ),
    "transposed: ranks differ": (
        AssertionError,
        "same number of axes",
        lambda: lax.conv_transpose(X, IMAGE, (2,), "SAME"),
    ),
    "transposed: 6 axes": (
        ValueError,
        "need dimension_numbers",
        lambda: lax.conv_transpose(np.ones((1,) * 6), np.ones((1,) * 6), (1,) * 4, "SAME"),
    ),
    "transposed: forward padding": (ValueError, "'SAME', 'VALID' or pairs", lambda: transposed("SAME_LOWER")),
    "transposed: lower case": (ValueError, "'SAME', 'VALID' or pairs", lambda: transposed("same", (1,))),
    "transposed: no padding": (ValueError, "word or a sequence", lambda: transposed(None)),
    "transposed: no consistent padding": (
        ValueError,
        "word or a sequence",
        lambda: transposed(None, use_consistent_padding=True),
    ),
    "transposed: stride 0": (TypeError, ": strides must be positive", lambda: transposed("SAME", (0,))),
    "transposed: too many strides": (
        ValueError,
        "one entry per spatial axis",
        lambda: transposed("SAME", (1, 1)),
    ),
    "transposed: list for a pair": (
        ValueError,
        "must be a tuple",
        lambda: transposed([[1, 1]], use_consistent_padding=True),
    ),
    "transposed: cropping too much": (ValueError, "crop more", lambda: transposed([(-8, -8)])),
    "transposed: channels": (
        ValueError,
        "lhs channels",
        lambda: lax.conv_transpose(X, np.ones((3, 5, 2), np.float32), (2,), "SAME"),
    ),
    "pads of no word": (TypeError, "VALID, SAME", lambda: lax.padtype_to_pads((5,), (3,), (1,), None)),  # type: ignore[arg-type]
    "pads with stride 0": (
        ValueError,
        "must be positive",
        lambda: lax.padtype_to_pads((5,), (3,), (0,), "SAME"),
    ),
    "pads of unequal lengths": (
        ValueError,
        "one length",
        lambda: lax.padtype_to_pads((5, 5), (3,), (1,), "SAME"),
    ),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named(rule: str) -> None:
    kind, words, call = BROKEN[rule]
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert isinstance(caught.value, kind)


def test_errors_show_the_shapes() -> None:
    with pytest.raises(
        ValueError, match=r"conv_general_dilated: .*lhs \(2, 4, 6\) float32, rhs \(4, 3, 3\) float32"
    ):
        general(w=W[:, :3])


@pytest.mark.parametrize("dtype", ("f2", "f4", "c8"))
def test_local_kernels_on_infinite_samples_are_no_warning(dtype):
    """The suite turns warnings into errors."""
    x = np.array([1, np.inf, -np.inf, 2, 3, np.nan, 1], dtype).reshape(1, 1, 7)
    got = lax.conv_general_dilated_local(x, np.ones((1, 2, 6), dtype), (1,), "VALID", (2,))
    assert np.isfinite(got[0, 0]).tolist() == [False, False, False, True, False, False]
