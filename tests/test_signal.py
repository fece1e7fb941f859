"""The signal door against scipy.signal where scipy is right, and against the definition everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal as sps
from hypothesis import given, settings
from hypothesis import strategies as st

import fftconv
from fftconv import signal

MODES = ("full", "same", "valid")
REAL = ("f4", "f8", "g")
DTYPES = ("?", "i1", "u1", "i2", "u4", "i8", "u8", "f2", *REAL, "F", "D", "G", ">f8", ">i2")


@pytest.fixture
def rng(request) -> np.random.Generator:
    """The same values for the same test in every run."""
    return np.random.default_rng(list(request.node.name.encode()))


def sample(rng: np.random.Generator, shape, dtype) -> np.ndarray:
    """Values over the whole range of an integer dtype, normal ones otherwise."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.4
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype.newbyteorder("="), endpoint=True).astype(
            dtype
        )
    real = rng.standard_normal(shape)
    return np.asarray(real + 1j * rng.standard_normal(shape) if dtype.kind == "c" else real).astype(dtype)


def definition(a, b, mode="full", axes=None) -> np.ndarray:
    """``out[m] = sum_j a[m - j] b[j]`` by shifted copies; integers modulo 2**64, all else in long double."""
    a, b = np.asarray(a), np.asarray(b)
    dtype = np.result_type(a, b)
    wide = {"b": np.int64, "i": np.uint64, "u": np.uint64, "f": np.longdouble, "c": np.clongdouble}[
        dtype.kind
    ]
    with np.errstate(over="ignore"):
        a, b = (v.astype(np.int64).astype(wide) if v.dtype.kind == "i" else v.astype(wide) for v in (a, b))
    ndim = max(a.ndim, b.ndim)
    a, b = (v.reshape((1,) * (ndim - v.ndim) + v.shape) for v in (a, b))
    along = {ax % ndim for ax in (range(ndim) if axes is None else axes)}
    lengths = [
        a.shape[i] + b.shape[i] - 1 if i in along else max(a.shape[i], b.shape[i]) for i in range(ndim)
    ]
    out = np.zeros(lengths, wide)
    for j in np.ndindex(*(b.shape[i] if i in along else 1 for i in range(ndim))):
        where = tuple(slice(j[i], j[i] + a.shape[i]) if i in along else slice(None) for i in range(ndim))
        out[where] += a * b[tuple(slice(j[i], j[i] + 1) if i in along else slice(None) for i in range(ndim))]
    out = out[tuple(_cut(mode, a.shape[i], b.shape[i]) if i in along else slice(None) for i in range(ndim))]
    return (
        out != 0 if dtype.kind == "b" else out.astype(dtype.newbyteorder("=")) if dtype.kind in "iu" else out
    )


def _cut(mode, n, k):
    if mode == "full":
        return slice(None)
    first = (n + k - 1 - n) // 2 if mode == "same" else min(n, k) - 1
    return slice(first, first + (n if mode == "same" else max(n, k) - min(n, k) + 1))


def reversed_conjugate(b):
    return np.flip(b.conj() if b.dtype.kind == "c" else b)


def check(got, want, a, b, dtype=None):
    """Right values, right shape, the result's dtype in native order, memory of its own."""
    dtype = np.result_type(a, b) if dtype is None else np.dtype(dtype)
    assert got.dtype == dtype.newbyteorder("=") and got.dtype.isnative
    assert got.shape == want.shape
    assert got.flags.c_contiguous and got.flags.writeable and got.base is None
    if dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
        return
    norm = np.sqrt(float((np.abs(a.astype("G")) ** 2).sum() * (np.abs(b.astype("G")) ** 2).sum()))
    bound = 8 * float(np.finfo(dtype).eps) * (norm + 1e-30)
    assert np.abs(got.astype("G") - want).max(initial=0) <= bound


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "dtypes", [(d, d) for d in DTYPES] + [("i2", "f4"), ("f4", "D"), ("u1", "i1"), ("?", "f2")]
)
@pytest.mark.parametrize(
    "shapes",
    [
        ((30,), (7,)),
        ((7,), (30,)),
        ((9, 8), (4, 5)),
        ((4, 5), (9, 8)),
        ((5, 6, 7), (2, 3, 4)),
        ((4,) * 4, (2,) * 4),
    ],
)
def test_every_dtype_rank_and_mode(rng, shapes, dtypes, mode):
    a, b = (sample(rng, s, d) for s, d in zip(shapes, dtypes, strict=True))
    check(signal.convolve(a, b, mode), definition(a, b, mode), a, b)
    check(signal.correlate(a, b, mode), definition(a, reversed_conjugate(b), mode), a, b)


@pytest.mark.parametrize("dtype", ["i2", "u8", "f4", "f8", "D"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n, k", [(1, 1), (1, 4), (4, 1), (5, 2), (2, 5), (6, 6), (8, 4), (7, 4), (4, 7)])
def test_lengths_agree_with_scipy(rng, n, k, mode, dtype):
    a, b = sample(rng, n, dtype), sample(rng, k, dtype)
    for name in ("convolve", "correlate"):
        want = getattr(sps, name)(a, b, mode, method="direct")
        got = getattr(signal, name)(a, b, mode)
        assert got.dtype == want.dtype and got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-4 if dtype == "f4" else 1e-9, atol=1e-5)


@st.composite
def broadcast_pairs(draw):
    """Two shapes that broadcast off the axes, the axes, and a mode that they allow."""
    ndim = draw(st.integers(1, 4))
    axes = draw(st.lists(st.integers(0, ndim - 1), min_size=1, unique=True))
    length = st.integers(1, 5 if ndim < 4 else 3)
    shape1, shape2 = [], []
    for i in range(ndim):
        n, k = draw(length), draw(length)
        if i not in axes:
            n, k = draw(st.sampled_from([(n, n), (n, 1), (1, k)]))
        shape1.append(n)
        shape2.append(k)
    ordered = {n >= k for n, k in ((shape1[i], shape2[i]) for i in axes) if n != k}
    mode = draw(st.sampled_from(MODES if len(ordered) < 2 else MODES[:2]))
    return tuple(shape1), tuple(shape2), [a - ndim if draw(st.booleans()) else a for a in axes], mode


@settings(max_examples=300, deadline=None)
@given(broadcast_pairs(), st.sampled_from(["f8", "i2", "D"]), st.integers(0, 2**32 - 1))
def test_axes_and_broadcasting(case, dtype, seed):
    shape1, shape2, axes, mode = case
    rng = np.random.default_rng(seed)
    a, b = sample(rng, shape1, dtype), sample(rng, shape2, dtype)
    check(signal.convolve(a, b, mode, axes=axes), definition(a, b, mode, axes), a, b)
    flipped = np.flip(b.conj(), axes)
    check(signal.correlate(a, b, mode, axes=axes), definition(a, flipped, mode, axes), a, b)
    floating = np.result_type(a, b) if dtype != "i2" else np.dtype("f8")
    for function in (signal.fftconvolve, signal.oaconvolve):
        got = function(a, b, mode, axes)
        check(got, definition(a.astype(floating), b.astype(floating), mode, axes), a, b, floating)


@settings(max_examples=60, deadline=None)
@given(broadcast_pairs(), st.integers(0, 3), st.booleans())
def test_fewer_dimensions_count_from_the_last(case, drop, first):
    shape1, shape2, axes, mode = case
    rng = np.random.default_rng(drop)
    shapes = [shape1, shape2]
    short = shapes[not first]
    while drop and len(short) > 1 and short[0] == 1:
        short, drop = short[1:], drop - 1
    shapes[not first] = short
    a, b = (sample(rng, s, "f8") for s in shapes)
    ndim = max(a.ndim, b.ndim)
    along = [ax if ax < 0 else ax - len(shape1) for ax in axes]
    if all(-ndim <= ax for ax in along):
        check(signal.convolve(a, b, mode, axes=along), definition(a, b, mode, along), a, b)


def test_paired_axes_apart_from_each_other(rng):
    """Groups and channels that no view can merge in the caller's order, for the operands or for the result."""
    a, b = sample(rng, (3, 9, 1, 4, 2), "D"), sample(rng, (3, 3, 5, 4, 1), "D")
    check(signal.convolve(a, b, "same", axes=1), definition(a, b, "same", [1]), a, b)
    out = np.full((3, 9, 5, 4, 2), np.nan, "D")
    assert signal.convolve(a, b, "same", axes=1, out=out) is out
    check(out, definition(a, b, "same", [1]), a, b)


@pytest.mark.parametrize("method", ["direct", "fft", "overlap_save"])
@pytest.mark.parametrize("mode", MODES)
def test_forced_methods_agree(rng, method, mode):
    a, b = sample(rng, (6, 200), "f8"), sample(rng, (6, 31), "f8")
    check(signal.convolve(a, b, mode, method, axes=1), definition(a, b, mode, [1]), a, b)
    check(signal.fftconvolve(a, b, mode, 1, method=method), definition(a, b, mode, [1]), a, b)


@pytest.mark.parametrize(
    "layout", ["big-endian", "read-only", "strided", "reversed", "fortran", "unaligned", "matrix"]
)
def test_any_memory_layout(rng, layout):
    plain = rng.standard_normal((12, 10))
    a = {
        "big-endian": lambda: plain.astype(">f8"),
        "read-only": lambda: plain.copy(),
        "strided": lambda: np.repeat(plain, 2, axis=1)[:, ::2],
        "reversed": lambda: plain[::-1, ::-1].copy()[::-1, ::-1],
        "fortran": lambda: np.asfortranarray(plain),
        "unaligned": lambda: np.frombuffer(b"-" + plain.tobytes(), "f8", offset=1).reshape(plain.shape),
        "matrix": lambda: plain.view(np.matrix),
    }[layout]()
    if layout == "read-only":
        a.flags.writeable = False
    b = rng.standard_normal((3, 4))
    before = a.tobytes()
    got = signal.convolve(a, b)
    assert type(got) is np.ndarray
    check(got, definition(plain, b), plain, b)
    assert a.tobytes() == before


def test_memmap_and_nested_lists(tmp_path, rng):
    values = rng.standard_normal(50)
    values.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", "f8", "r")
    got = signal.convolve(mapped, [1, 2, 1], "same")
    assert type(got) is np.ndarray
    np.testing.assert_allclose(got, sps.convolve(values, [1, 2, 1], "same"))
    np.testing.assert_array_equal(signal.convolve([[1, 2], [3, 4]], [[1, 1]]), [[1, 3, 2], [3, 7, 4]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_stay_local_in_direct_sums(rng, value):
    x = rng.standard_normal(300)
    x[100] = value
    got = signal.convolve(x, np.ones(7), "same", "direct")
    assert np.flatnonzero(~np.isfinite(got)).tolist() == list(range(97, 104))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n, k", [(5, 4), (4, 5), (5, 5), (6, 4), (1, 3), (3, 1), (8, 3), (3, 8)])
def test_lags_are_those_that_correlate_returns(n, k, mode):
    """A pulse at each position of in1 against a pulse at 0 of in2 shows the lag of every output."""
    lags = signal.correlation_lags(n, k, mode)
    pulse = np.zeros(k)
    pulse[0] = 1
    for at in range(n):
        got = signal.correlate(np.eye(n)[at], pulse, mode)
        assert lags[got == 1].tolist() == [lag for lag in lags if lag == at]
        assert got.shape == lags.shape


def test_lags_agree_with_scipy_but_for_its_slip():
    for n in range(1, 9):
        for k in range(1, 9):
            for mode in MODES:
                got, scipys = signal.correlation_lags(n, k, mode), sps.correlation_lags(n, k, mode)
                slip = mode == "same" and n % 2 == 1 and k % 2 == 0
                np.testing.assert_array_equal(got, scipys - 1 if slip else scipys)


def test_scalars_are_multiplied():
    assert signal.convolve(3, 4, "nonsense") == 12
    assert signal.correlate(2, 3j) == -6j
    assert signal.fftconvolve(np.int64(3), 4) == 12 and signal.fftconvolve(np.array(3), 4).dtype == np.int64
    assert signal.convolve(np.uint8(200), np.uint8(2), dtype=np.int64) == 400


def test_accumulating_in_another_dtype(rng):
    a, b = sample(rng, (20, 20), "u1"), sample(rng, (5, 5), "u1")
    got = signal.convolve(a, b, dtype=np.int64)
    check(got, definition(a.astype("i8"), b.astype("i8")), a, b, "i8")
    assert signal.convolve(a, b, dtype="f4").dtype == np.float32
    counts = signal.correlate([True, True, True], [True, True], dtype=int)
    assert counts.tolist() == [1, 2, 2, 1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("boundary", ["fill", "pad", "wrap", "circular", "symm", "symmetric"])
@pytest.mark.parametrize(
    "shapes", [((5, 6), (3, 4)), ((2, 3), (7, 8)), ((4, 4), (2, 1)), ((3, 5), (5, 3)), ((1, 1), (4, 6))]
)
@pytest.mark.parametrize("dtypes", [("i4", "u1"), ("f4", "f4"), ("D", "D"), ("f8", "?")])
def test_planar_boundaries_agree_with_scipy(rng, shapes, boundary, mode, dtypes):
    a, b = (sample(rng, s, d) for s, d in zip(shapes, dtypes, strict=True))
    grown = [n >= k for n, k in zip(*shapes, strict=True)]
    if mode == "valid" and not (all(grown) or not any(grown)):
        pytest.skip("scipy refuses it")
    for name in ("convolve2d", "correlate2d"):
        got = getattr(signal, name)(a, b, mode, boundary, 3)
        want = getattr(sps, name)(a, b, mode, boundary, 3)
        if name == "correlate2d" and mode == "valid" and not all(grown):
            want = np.conj(want)
        assert got.dtype == want.dtype
        check(got, want, np.append(a, np.full(b.size, 3)), b, want.dtype)


@pytest.mark.parametrize("shapes", [((0, 3), (2, 2)), ((3, 2), (0, 2)), ((0, 0), (0, 0))])
@pytest.mark.parametrize("mode", ["full", "same"])
def test_planar_empty_sums_are_zeros(shapes, mode):
    got = signal.convolve2d(np.ones(shapes[0]), np.ones(shapes[1]), mode)
    n = [max(n + k - 1, 0) if mode == "full" else n for n, k in zip(*shapes, strict=True)]
    assert got.shape == tuple(n) and not got.any()


def test_planar_fill_around_no_samples():
    image, kernel = np.ones((1, 0)), np.arange(32.0).reshape(4, 8)
    want = sps.convolve2d(image, kernel, "full", "fill", 2)
    np.testing.assert_allclose(signal.convolve2d(image, kernel, "full", "fill", 2), want)


@pytest.mark.parametrize(
    "fill, dtype, want", [(1.5, "i8", 1), (254.9, "u1", 254), ([2], "f4", 2), (True, "f8", 1), (1j, "D", 1j)]
)
def test_fill_values_are_cast(fill, dtype, want):
    one = np.ones((1, 1), dtype)
    np.testing.assert_array_equal(
        signal.convolve2d(one, np.ones((1, 2), dtype), "full", "fill", fill), [[1 + want, 1 + want]]
    )


class TestScipysOddities:
    """Where scipy errs, the right answer; each test shows scipy's as well, so that a repair there is noticed."""

    def test_o1_correlate2d_valid_conjugates_with_in2_larger(self, rng):
        a, b = sample(rng, (2, 3), "D"), sample(rng, (5, 6), "D")
        got = signal.correlate2d(a, b, "valid")
        np.testing.assert_allclose(got, signal.correlate(a, b, "valid"))
        np.testing.assert_allclose(got, np.conj(sps.correlate2d(a, b, "valid")))

    def test_o2_lags_of_same(self):
        assert signal.correlation_lags(5, 4, "same").tolist() == [-2, -1, 0, 1, 2]
        assert sps.correlation_lags(5, 4, "same").tolist() == [-1, 0, 1, 2, 3]

    def test_o3_valid_conflicts_raise_on_axes_of_length_one(self):
        assert sps.fftconvolve(np.ones((1, 5)), np.ones((4, 3)), "valid").shape == (4, 3)
        with pytest.raises(ValueError, match="For 'valid' mode"):
            signal.fftconvolve(np.ones((1, 5)), np.ones((4, 3)), "valid")

    def test_o3_same_keeps_broadcast_axes(self):
        a, b = np.ones((1, 100)), np.ones((7, 10))
        assert sps.fftconvolve(a, b, "same", 1).shape == (1, 100)
        assert signal.fftconvolve(a, b, "same", 1).shape == (7, 100)

    def test_o4_products_of_integers_are_floats_like_everything_else(self):
        assert sps.fftconvolve([4967], [3920]).dtype == np.int64
        got = signal.fftconvolve([4967], [3920])
        assert got.dtype == np.float64 and got.tolist() == [4967 * 3920]

    def test_o5_empty_batches_have_their_shape(self):
        a, b = np.ones((0, 10)), np.ones((1, 3))
        assert sps.fftconvolve(a, b, axes=1).shape == (0,)
        for function in (signal.fftconvolve, signal.convolve, signal.correlate):
            assert function(a, b, axes=1).shape == (0, 12)
        assert signal.fftconvolve([], [1.0]).shape == (0,)
        assert signal.oaconvolve(np.ones((0, 4)), np.ones((2, 3))).shape == (0, 6)

    def test_o6_results_have_the_precision_of_their_dtype(self, rng):
        a, b = sample(rng, 4000, "f4"), rng.integers(-100, 100, 3000)
        want = definition(a, b)
        scale = np.abs(want).max()
        assert np.abs(sps.fftconvolve(a, b) - want).max() > 1e-10 * scale
        assert np.abs(signal.fftconvolve(a, b) - want).max() < 1e-13 * scale


class TestChooseConvMethod:
    @pytest.mark.parametrize("ndim", [1, 2])
    @pytest.mark.parametrize("mode", MODES)
    def test_small_problems_go_direct(self, rng, mode, ndim):
        x, h = rng.standard_normal((8,) * ndim), rng.standard_normal((6,) * ndim)
        assert signal.choose_conv_method(x, h, mode) == "direct"

    def test_measuring_tells_both_times(self, rng):
        method, times = signal.choose_conv_method(np.ones(8), np.ones(6), measure=True)
        assert set(times) == {"fft", "direct"} and times[method] == min(times.values())

    def test_large_problems_go_spectral(self):
        assert signal.choose_conv_method(np.ones(100_000), np.ones(50_000)) == "fft"

    @pytest.mark.parametrize(
        "a",
        [
            np.array([2**51]),
            np.full(10**5, 2**30),
            np.ones(10**5, bool),
            np.array([1, None]),
            np.ones(10, "g"),
        ],
    )
    def test_what_no_transform_may_answer_goes_direct(self, a):
        assert signal.choose_conv_method(a, a) == "direct"

    def test_half_precision(self):
        """It is computed in float32, so a transform may answer."""
        assert signal.choose_conv_method(np.ones(50_000, "f2"), np.ones(20_000, "f2")) == "fft"

    @pytest.mark.parametrize("measure", [False, True])
    def test_what_convolve_refuses_is_refused(self, measure):
        for a, b, mode, words in [
            (np.ones(9), np.ones(5), "sme", "acceptable mode flags"),
            (np.float64(9), np.float64(5), "sme", "acceptable mode flags"),
            (np.ones(9, bool), np.ones(5, bool), "sme", "acceptable mode flags"),
            (np.ones(0), np.ones(5), "same", "in1 cannot be empty"),
            (np.ones((9, 9)), np.ones(5), "same", "same dimensionality"),
        ]:
            with pytest.raises(ValueError, match=words):
                signal.choose_conv_method(a, b, mode, measure)

    def test_measuring_times_integers_in_limbs_too(self):
        a = np.full(3000, 2**40)
        method, times = signal.choose_conv_method(a, a, measure=True)
        assert method == min(times, key=times.get) and max(times.values()) < np.inf


def test_names_at_the_top_are_those_of_the_door():
    for name in signal.__all__:
        assert getattr(fftconv, name) is getattr(signal, name)
    assert set(signal.__all__) < set(dir(fftconv))
