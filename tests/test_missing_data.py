"""Missing samples, masks and weights: normalised convolution against sums made one output at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from missing_oracle import normalised

import fftconv
from fftconv.core.engine.base import FFTPlan
from fftconv.core.planner import METHODS
from fftconv.signal import convolve, correlate

nan, inf = np.nan, np.inf
MODES = ("full", "same", "valid")


def agrees(got, want, dtype="f8", scale=1.0):
    """Equal to within rounding of the dtype, NaN where NaN."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    error = np.abs(np.where(np.isnan(want), 0, got - want)).max(initial=0)
    assert error <= scale * 2000 * np.finfo(dtype).eps, error


def answering(*operands, **keywords) -> list[str]:
    """The methods that may be asked for with these operands."""
    found = []
    for method in METHODS:
        try:
            fftconv.explain(*operands, method=method, **keywords)
        except ValueError:
            assert method in ("band", "jit", "separable")
        else:
            found.append(method)
    return found


@st.composite
def cases(draw, most=2):
    """Operands with small integers for values, so that taps of both signs cancel exactly or not at all."""
    ndim = draw(st.integers(1, most))
    n = draw(st.tuples(*[st.integers(1, 9 if ndim == 1 else 5)] * ndim))
    k = draw(st.tuples(*[st.integers(1, 5 if ndim == 1 else 3)] * ndim))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-9, 10, n).astype(draw(st.sampled_from(["f8", "f4", "c16"])))
    w = rng.integers(draw(st.sampled_from([-2, 0, 1])), 4, k).astype(float)
    if abs(w.sum()) < 0.5:
        w[(0,) * ndim] += 1 - w.sum()
    missing = rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    mode = draw(st.sampled_from(MODES))
    if not (all(a >= b for a, b in zip(n, k, strict=True)) or all(a <= b for a, b in zip(n, k, strict=True))):
        mode = "same"
    return x, w, missing, mode


@given(cases(), st.sampled_from(["nan", "inf", "mask", "ma", "weights"]), st.booleans())
def test_every_way_to_say_missing_says_the_same(case, way, correlates):
    x, w, missing, mode = case
    call = correlate if correlates else convolve
    want, empty = normalised(x, w, mode, missing=missing, correlate=correlates)
    if not missing.any() and way != "weights":
        want, empty = normalised(x, w, mode, correlate=correlates)
    spoilt = x.copy()
    if way in ("nan", "inf"):
        spoilt[missing] = nan if way == "nan" else -inf
        got = call(spoilt, w, mode, nan_policy="omit")
    elif way == "mask":
        spoilt[missing] = 777
        got = call(spoilt, w, mode, mask=missing)
    elif way == "weights":
        spoilt[missing] = nan
        got = call(spoilt, w, mode, weights=~missing)
    else:
        spoilt[missing] = nan
        got = call(np.ma.array(spoilt, mask=missing), w, mode)
        assert isinstance(got, np.ma.MaskedArray)
        np.testing.assert_array_equal(np.ma.getmaskarray(got), empty)
        got = got.filled(nan)
    assert got.dtype == np.result_type(x, w)
    agrees(got, want, scale=100)


@given(cases(), st.integers(0, 2**32 - 1))
def test_weights(case, seed):
    x, w, missing, mode = case
    weights = np.random.default_rng(seed).integers(0, 5, x.shape) / 4
    got = convolve(np.where(missing, nan, x), w, mode, nan_policy="omit", weights=weights)
    want, _ = normalised(x, w, mode, missing=missing, weights=weights)
    agrees(got, want, scale=100)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("large", [1.0, 1e-12, 1e9])
def test_weights_of_any_size(mode, large):
    """No data is told from next to none at the edges too, where what lies outside weighs 1."""
    x, k = np.arange(1.0, 31.0), np.hanning(9)[1:-1]
    weights = np.full(30, large)
    weights[:5] = weights[12:20] = 0
    weights[8] = 1e-3 * large
    for outside in ({}, {"fill_value": nan, "nan_policy": "omit"}):
        got = convolve(x, k, mode, weights=weights, **outside)
        want, empty = normalised(x, k, mode, weights=weights, outside=0 if outside else 1)
        np.testing.assert_array_equal(np.isnan(got), empty)
        np.testing.assert_allclose(got, want.astype(float), rtol=1e-9)


def holed(n, dtype="f8", seed=0):
    """Random data, with scattered gaps and a hole that covers a third of every axis."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n).astype(dtype)
    if x.dtype.kind == "c":
        x.imag = rng.standard_normal(n)
    missing = rng.random(n) < 0.02
    missing[tuple(slice(m // 3, 2 * m // 3) for m in n)] = True
    return x, missing


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16", "g", "f2"])
@pytest.mark.parametrize("sizes", [((400,), (21,)), ((24, 30), (5, 7)), ((9, 8, 10), (3, 1, 4))])
def test_every_method(sizes, dtype):
    n, k = sizes
    x, missing = holed(n, dtype)
    w = np.hanning(k[0] + 2)[1:-1].reshape(-1, *(1,) * (len(k) - 1)) * np.ones(k)
    w = w.astype("f4" if dtype in ("f2", "c8") else np.empty(0, dtype).real.dtype)
    spoilt = np.where(missing, x.dtype.type(nan), x)
    methods = answering(n, k, mode="same", dtype=np.result_type(dtype, "f8"))
    assert {"direct", "fft", "overlap_save"} <= set(methods)
    for mode in MODES[:2] if dtype != "f8" else MODES:
        want, _ = normalised(x, w, mode, missing=missing)
        for method in methods:
            got = convolve(spoilt, w, mode, method, nan_policy="omit")
            assert got.dtype == np.result_type(x, w)
            agrees(got, want, got.dtype, scale=abs(w).sum() if dtype != "f2" else 1)


@pytest.mark.parametrize("method", METHODS)
def test_long_signals(method):
    """The same by every method where there are many tiles and a hole wider than the kernel."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal(20_000), np.hanning(303)[1:-1]
    missing = rng.random(x.size) < 0.3
    missing[5000:6000] = True
    seen = np.convolve(np.pad(~missing, 150, constant_values=True), w, "valid")
    with np.errstate(invalid="ignore"):
        want = w.sum() * np.convolve(np.where(missing, 0, x), w, "same") / seen
    want[5150:5850] = nan
    try:
        got = convolve(x, w, "same", method, mask=missing)
    except ValueError as refused:
        assert method in ("band", "jit", "separable") and "cannot answer this problem" in str(refused)
        return
    # the last taps of the window are a millionth of it, and the rounding errors of all of it stand beside them
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * w.sum())


class TestAstropy:
    """astropy's documented examples, and its open issues about missing data."""

    @pytest.mark.parametrize(
        "x, w, want",
        [
            ([1, 0, 3], [1, 1, 1], [1 / 3, 4 / 3, 1]),
            ([1, nan, 3], [1, 1, 1], [0.5, 2, 1.5]),
            ([1, nan, 3], [0, 1, 0], [1, nan, 3]),
            ([1, 2, 3], [1], [1, 2, 3]),
            ([1, 4, 5, 6, 5, 7, 8], [0.2, 0.6, 0.2], [1.4, 3.6, 5, 5.6, 5.6, 6.8, 6.2]),
            ([1, 4, 5, 6, nan, 7, 8], [0.2, 0.6, 0.2], [1.4, 3.6, 5, 5.75, 6.5, 7.25, 6.2]),
        ],
    )
    def test_documented_examples(self, x, w, want):
        """With kernels of sum 1, as astropy makes them; without data it documents 0."""
        w = np.array(w) / np.sum(w)
        for method in ("direct", "fft"):
            agrees(convolve(np.array(x, float), w, "same", method, nan_policy="omit"), want)
        missing = np.isnan(x)
        agrees(normalised(x, w, "same", missing=missing)[0], want)

    def test_preserve_nan(self):
        got = convolve([1, 4, 5, 6, nan, 7, 8], [0.2, 0.6, 0.2], "same", nan_policy="omit_keep")
        agrees(got, [1.4, 3.6, 5, 5.75, nan, 7.25, 6.2])

    def test_a_kernel_without_normalisation_keeps_its_scale(self):
        """convolve([1, nan, 3], [1, 2, 3], normalize_kernel=False) of astropy 8.0.2."""
        agrees(convolve([1, nan, 3], [1, 2, 3], "same", nan_policy="omit"), [2.4, 9, 12])

    def test_negative_taps_are_not_a_lack_of_data(self):
        """astropy#20403: convolve_fft gives 0 where the kernel's remaining sum is negative."""
        image = np.arange(49.0).reshape(7, 7)
        image[3, 3] = nan
        kernel = np.array([[1, -2, 1], [-2, 5, -2], [1, -2, 2.0]])
        want, _ = normalised(image, kernel, "same", missing=np.isnan(image))
        assert want[3, 3] / 2 == pytest.approx(26.666666666666668)
        for method in answering((7, 7), (3, 3), mode="same"):
            agrees(convolve(image, kernel, "same", method, nan_policy="omit"), want, scale=10)

    def test_taps_that_cancel_have_no_mean(self):
        """In the same example what is left of the kernel at (4, 4) sums to 0; astropy returns the sample there."""
        image = np.arange(49.0).reshape(7, 7)
        image[3, 3] = nan
        kernel = np.array([[1, -2, 1], [-2, 5, -2], [1, -2, 2.0]])
        for method in answering((7, 7), (3, 3), mode="same"):
            got = convolve(image, kernel, "same", method, nan_policy="omit")
            assert np.argwhere(np.isnan(got)).tolist() == [[4, 4]]

    @pytest.mark.parametrize("method", ["direct", "fft", "overlap_save"])
    @pytest.mark.parametrize("mode", MODES)
    def test_no_data_is_not_zero(self, method, mode):
        """astropy#11920: of an array of nothing but NaN convolve_fft makes zeros."""
        y, x = np.mgrid[-8:9, -8:9]
        gaussian = np.exp(-(y**2 + x**2) / 8.0)
        got = convolve(np.full((30, 30), nan), gaussian, mode, method, nan_policy="omit")
        assert np.isnan(got).all()

    @pytest.mark.parametrize("method", ["direct", "fft"])
    def test_edges_do_not_depend_on_a_gap_elsewhere(self, method):
        """astropy#16497: with fill_value=nan, edges were NaN unless there was a NaN in the array too."""
        image = np.ones((10, 10))
        y, x = np.mgrid[-2:3, -2:3]
        gaussian = np.exp(-(y**2 + x**2) / 2.0)
        gaussian /= gaussian.sum()
        keywords = {"nan_policy": "omit", "fill_value": nan, "method": method}
        agrees(convolve(image, gaussian, "same", **keywords), np.ones((10, 10)))
        image[5, 5] = nan
        agrees(convolve(image, gaussian, "same", **keywords), np.ones((10, 10)))
        assert np.isnan(convolve(np.full((10, 10), nan), gaussian, "same", **keywords)).all()  # and #11920

    @pytest.mark.parametrize("method", ["direct", "fft"])
    def test_a_gap_does_not_change_what_is_far_from_it(self, method):
        rng = np.random.default_rng(3)
        image, w = rng.standard_normal((20, 30)), rng.random((5, 5))
        whole = convolve(image, w, "same", method, nan_policy="omit")
        np.testing.assert_array_equal(whole, convolve(image, w, "same", method))
        image[9, 9] = nan
        near = np.zeros(image.shape, bool)
        near[7:12, 7:12] = True
        holed = convolve(image, w, "same", method, nan_policy="omit")
        agrees(holed[~near], whole[~near], scale=0.1)
        agrees(holed, normalised(image, w, "same", missing=np.isnan(image))[0])


@given(cases(), st.booleans())
def test_nothing_outside(case, weighted):
    """With fill_value=nan what lies outside has no weight, but in `valid`, which does not see it."""
    x, w, missing, mode = case
    weights = np.random.default_rng(0).integers(0, 5, x.shape) / 4 if weighted else None
    outside = int(mode == "valid")
    want, _ = normalised(x, w, mode, missing=missing, weights=weights, outside=outside)
    got = convolve(np.where(missing, nan, x), w, mode, nan_policy="omit", weights=weights, fill_value=nan)
    agrees(got, want, scale=100)


@pytest.mark.parametrize("correlates", [False, True])
@pytest.mark.parametrize(
    "n, k, axes",
    [
        ((3, 12), (1, 4), 1),  # one kernel for every row
        ((3, 12), (3, 4), 1),  # a kernel for each
        ((1, 12), (3, 4), -1),  # a bank
        ((12,), (2, 3, 4), -1),
        ((2, 1, 12), (3, 4), (2,)),
        ((9, 3, 5), (4, 1, 2), (0, 2)),
        ((4, 5), (6, 3), (0, 1)),  # a kernel longer than the array
    ],
)
def test_batches_and_banks(n, k, axes, correlates):
    rng = np.random.default_rng(len(n) + len(k))
    x, w = rng.integers(-9, 10, n).astype(float), rng.integers(1, 5, k) * 1.0
    call = correlate if correlates else convolve
    for missing in (rng.random(n) < 0.3, rng.random(n[-1:]) < 0.5, rng.random((*n[:-1], 1)) < 0.5):
        for mode in ("full", "same"):
            want, empty = normalised(x, w, mode, missing=missing, axes=axes, correlate=correlates)
            agrees(call(x, w, mode, axes=axes, mask=missing), want, scale=100)
            spoilt = np.where(missing, nan, x)
            agrees(call(spoilt, w, mode, axes=axes, nan_policy="omit"), want, scale=100)
            got = call(np.ma.masked_invalid(spoilt), w, mode, axes=axes)
            np.testing.assert_array_equal(np.ma.getmaskarray(got), empty)


class TestShared:
    """A mask that all entries of a batch share is transformed once."""

    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((40, 3000)), rng.random((1, 200))
    mask = rng.random(3000) < 0.05

    @pytest.fixture
    def points(self, monkeypatch, in_numpy):
        """How many samples were transformed forward."""
        done, forward = [], FFTPlan.forward

        def counted(plan, *args):
            done.append(plan.signal.size)
            return forward(plan, *args)

        monkeypatch.setattr(FFTPlan, "forward", counted)
        return done

    def cost(self, points, x, **keywords):
        points.clear()
        convolve(x, self.w, "same", "fft", axes=1, **keywords)
        return sum(points)

    def test_it_costs_next_to_nothing(self, points):
        holed = np.where(self.mask, nan, self.x)
        other = self.x.copy()
        other[self.rng.random(other.shape) < 0.05] = nan
        plain = self.cost(points, self.x)
        assert plain > 0
        for keywords in ({"mask": self.mask}, {"mask": self.mask[None]}, {"weights": ~self.mask}):
            assert self.cost(points, self.x, **keywords) < 1.2 * plain
        assert self.cost(points, holed, nan_policy="omit") < 1.2 * plain
        assert self.cost(points, np.ma.masked_invalid(holed)) < 1.2 * plain
        assert self.cost(points, other, nan_policy="omit") > 1.9 * plain

    def test_and_gives_the_same(self):
        each = convolve(self.x, self.w, "same", axes=1, mask=np.broadcast_to(self.mask, self.x.shape).copy())
        np.testing.assert_array_equal(convolve(self.x, self.w, "same", axes=1, mask=self.mask), each)


class TestNothingMissing:
    """Without gaps every policy gives the bits of the plain call."""

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "c16", "g", "i4", "?"])
    @pytest.mark.parametrize("method", ["auto", "direct", "fft"])
    def test_the_same_bits(self, dtype, method):
        rng = np.random.default_rng(0)
        x, w = (rng.integers(0, 9, n).astype(dtype) for n in ((60, 70), (5, 6)))
        want = convolve(x, w, "same", method)
        for policy in ("omit", "omit_keep", "raise"):
            got = convolve(x, w, "same", method, nan_policy=policy)
            assert type(got) is np.ndarray and got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
        if want.dtype.kind in "fc":
            np.testing.assert_array_equal(convolve(x, w, "same", method, mask=np.zeros((60, 1), bool)), want)

    def test_finite_sums_that_overflow_are_no_gap(self):
        x = np.full(1000, 1e307)
        np.testing.assert_array_equal(convolve(x, [0.5, 0.5], nan_policy="omit"), convolve(x, [0.5, 0.5]))

    def test_a_zero_tap_that_meets_the_edge_only(self):
        """An output of nothing but zero taps is 0 as ever, whatever is missing elsewhere."""
        x = np.array([1.0, 2.0, nan, 4.0, 5.0])
        got = convolve(x, [1.0, 0.0, 0.0], "full", nan_policy="omit")
        np.testing.assert_array_equal(got, [1, 2, nan, 4, 5, 0, 0])


class TestFoundOnTheWay:
    """In large arrays what is not finite is not looked for before a transform has met it."""

    n = 2**17
    w = np.hanning(303)[1:-1]

    @pytest.fixture
    def x(self):
        return np.random.default_rng(2).random(self.n) + 1

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("value", [nan, inf, -inf])
    def test_wherever_it_is(self, x, method, value):
        if method not in answering((self.n,), (301,), mode="same"):
            return
        for at in (0, 1, 150, 70_000, self.n - 1):
            spoilt = x.copy()
            spoilt[at] = value
            got = convolve(spoilt, self.w, "same", method, nan_policy="omit")
            assert np.isfinite(got).all()
            whole = convolve(x, self.w, "same", method)
            near = np.abs(np.arange(self.n) - at) <= 150
            assert np.abs(got - whole)[near].max() < 2
            np.testing.assert_allclose(got[~near], whole[~near], rtol=1e-12)
            with pytest.raises(
                ValueError, match=rf"in1 must be finite .* at index \({at},\), the first of 1 "
            ):
                convolve(spoilt, self.w, "same", method, nan_policy="raise")

    @pytest.mark.parametrize("policy", ["omit", "omit_keep", "raise"])
    @pytest.mark.parametrize("method", ["direct", "fft", "overlap_save"])
    def test_nothing_there(self, x, policy, method):
        want, out = convolve(x, self.w, "same", method), np.zeros(self.n)
        np.testing.assert_array_equal(convolve(x, self.w, "same", method, nan_policy=policy), want)
        assert convolve(x, self.w, "same", method, nan_policy=policy, out=out) is out
        np.testing.assert_array_equal(out, want)

    def test_overflow_within_a_transform_is_repaired(self, x):
        x *= np.finfo("f8").max / 1e4
        want = convolve(x, self.w, "same", "fft")
        assert np.isfinite(want).all()
        np.testing.assert_array_equal(convolve(x, self.w, "same", "fft", nan_policy="omit"), want)

    def test_out_is_left_alone_by_errors(self, x):
        x[5000] = nan
        slope = np.r_[self.w, -self.w]
        bank = np.stack([self.w, self.w - self.w.mean()])
        for keywords, kernel in (({"nan_policy": "raise"}, self.w), ({"nan_policy": "omit"}, slope)):
            out = np.full(self.n, 7.0)
            with pytest.raises(ValueError):
                convolve(x, kernel, "same", out=out, **keywords)
            assert (out == 7).all()
        out = np.full((2, self.n), 7.0)
        with pytest.raises(ValueError, match="of 2 kernels 1 do"):
            convolve(x, bank, "same", axes=-1, out=out, nan_policy="omit")
        assert (out == 7).all()

    def test_the_next_call_propagates(self, x):
        x[5000] = nan
        convolve(x, self.w, "same", "fft", nan_policy="omit")
        assert np.isnan(convolve(x, self.w, "same", "fft")).sum() == 301


class TestCounts:
    """No data is a matter of counting."""

    @pytest.mark.parametrize("method", ["direct", "fft", "overlap_save"])
    @pytest.mark.parametrize("tiny", [1e-12, 1e-30, 5e-200])
    def test_no_weight_is_too_small(self, method, tiny):
        x = np.full(2000, 3.0)
        x[900:1100] = nan
        w = np.full(201, tiny)
        w[100] = 1
        got = convolve(x, w / w.sum(), "same", method, nan_policy="omit")
        agrees(got[100:-100], np.full(1800, 3.0))
        assert np.isfinite(got[100:-100]).all()

    @pytest.mark.parametrize("method", ["direct", "fft"])
    def test_zero_taps_see_nothing(self, method):
        y, x = np.mgrid[-6:7, -6:7]
        ring = ((y**2 + x**2 <= 36) & (y**2 + x**2 >= 20)).astype(float)
        image, missing = holed((40, 44))
        missing[8:34, 8:34] = True
        missing[20, 20] = False  # within reach of the ring, and in its hole
        want, empty = normalised(image, ring, "same", missing=missing)
        assert empty[20, 20]
        got = convolve(np.ma.array(image, mask=missing), ring, "same", method)
        np.testing.assert_array_equal(np.ma.getmaskarray(got), empty)
        agrees(got.filled(nan), want, scale=ring.sum())

    def test_a_hole_as_wide_as_the_kernel(self):
        for k in (1, 2, 3, 8, 9):
            for width in (k - 1, k, k + 1):
                x = np.ones(50)
                x[20 : 20 + width] = nan
                got = convolve(x, np.ones(k), "valid", nan_policy="omit")
                assert np.isnan(got).sum() == max(0, width - k + 1)


@pytest.mark.parametrize("method", ["direct", "fft", "overlap_save"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_constant_image_stays_constant(method, dtype):
    """In float32 to the last bit; in float64 to a few, divided by the part of the kernel that an output sees."""
    image, missing = holed((200, 180), dtype)
    image[...] = 7.3
    y, x = np.mgrid[-7:8, -7:8]
    gaussian = np.exp(-(y**2 + x**2) / 18.0)
    gaussian = (gaussian / gaussian.sum()).astype(dtype)
    got = convolve(image, gaussian, "valid", method, mask=missing)
    seen = convolve((~missing).astype(float), gaussian, "valid", "direct")
    total = gaussian.astype(float).sum()
    error = np.abs(got / total - image[0, 0]) / np.spacing(image[0, 0])
    assert (error * seen)[seen > 1e-6].max() <= 16
    if dtype == "f4":
        assert error[seen > 1e-6].max() < 1


@given(cases(), st.integers(0, 2**32 - 1))
def test_means_lie_among_their_samples(case, seed):
    x, _, missing, _ = case
    if x.dtype.kind == "c":
        return
    w = np.random.default_rng(seed).random([min(3, n) for n in x.shape])
    got = convolve(x, w, "valid", mask=missing) / w.sum()
    got = got[np.isfinite(got)]
    if got.size:
        there = x[~missing]
        assert there.min() - 1e-5 <= got.min() and got.max() <= there.max() + 1e-5


def test_non_negative_stays_non_negative():
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.01, 20_000).astype(float)
    counts[rng.random(counts.size) < 0.1] = nan
    got = convolve(counts, np.hanning(101), "same", "fft", nan_policy="omit")
    assert np.isfinite(got).all() and got.min() == 0


class TestOmitKeep:
    @pytest.mark.parametrize("k", [1, 4, 5])
    def test_nan_stays_where_it_was(self, k):
        x, missing = holed((50,))
        w = np.ones(k)
        want, _ = normalised(x, w, "same", missing=missing)
        agrees(
            convolve(np.where(missing, inf, x), w, "same", nan_policy="omit_keep"),
            np.where(missing, nan, want),
            scale=k,
        )

    @pytest.mark.parametrize("bound", [None, "2 MB"])
    def test_nan_without_weight_stays_too(self, bound):
        x, weights = np.array([1.0, nan, 3.0, 5.0, nan]), np.array([1, 0, 1, 0, 1])
        got = convolve(x, [1.0, 1.0, 1.0], "same", nan_policy="omit_keep", weights=weights, max_memory=bound)
        assert np.isnan(got).tolist() == [False, True, False, False, True]
        agrees(got[[0, 2, 3]], [1.5, 9.0, 9.0])

    def test_masked_stays_masked(self):
        x = np.ma.array([1.0, 2.0, 3.0, 4.0], mask=[0, 1, 0, 0])
        got = convolve(x, [1, 1, 1], "same", nan_policy="omit_keep", mask=[False, False, True, False])
        assert np.ma.getmaskarray(got).tolist() == [False, True, True, False]

    def test_in_a_bank(self):
        x = np.array([[1.0, nan, 3.0]])
        got = convolve(x, np.ones((4, 3)), "same", axes=1, nan_policy="omit_keep")
        assert np.isnan(got).tolist() == [[False, True, False]] * 4


class TestMaskedArrays:
    def test_an_edge_without_data_is_masked_where_nothing_else_is(self):
        """A zero tap is all that meets a sample there. A NaN among the samples is no lack of data."""
        for x in ([95.0, 86.0, 4.0], [95.0, nan, 4.0]):
            got = correlate(np.ma.array(x), [0.0, -1.0], boundary="renormalize")
            assert np.ma.getmaskarray(got).tolist() == [False, False, False, True]
            into = np.ma.zeros(4)
            correlate(np.array(x), [0.0, -1.0], boundary="renormalize", mask=np.zeros(3, bool), out=into)
            assert np.ma.getmaskarray(into).tolist() == [False, False, False, True]

    def test_what_is_returned(self):
        x = np.ma.array([1.0, 2.0, 3.0, 4.0, 5.0], mask=[0, 1, 1, 1, 0], fill_value=-7)
        before = x.data.copy(), x.mask.copy()
        got = convolve(x, [1.0, 1.0, 1.0], "same")
        assert isinstance(got, np.ma.MaskedArray) and got.fill_value == -7
        assert np.ma.getmaskarray(got).tolist() == [False, False, True, False, False]
        assert np.isnan(got.data[2])
        np.testing.assert_array_equal(x.data, before[0])
        np.testing.assert_array_equal(x.mask, before[1])

    def test_nothing_masked(self):
        got = convolve(np.ma.array([1.0, 2.0]), [1.0, 1.0])
        assert isinstance(got, np.ma.MaskedArray) and got.mask is np.ma.nomask
        assert got.tolist() == [1, 3, 2]

    @pytest.mark.parametrize("mask", [np.ma.nomask, [False, True, False]])
    @pytest.mark.parametrize("dtype", ["i4", "u1", "?"])
    def test_integers_become_float64_whatever_is_masked(self, dtype, mask):
        got = convolve(np.ma.array([1, 0, 1], dtype, mask=mask), np.ones(1, dtype))
        assert got.dtype == np.float64
        assert convolve(np.array([1, 0, 1], dtype), np.ones(1, dtype), mask=[False] * 3).dtype == np.float64

    def test_hidden_values_never_show(self):
        x = np.array([1.0, 999.0, 3.0, 4.0])
        for hidden in (999.0, nan, inf):
            x[1] = hidden
            got = convolve(np.ma.array(x, mask=[0, 1, 0, 0]), [0.5, 0.5], "valid")
            assert got.tolist() == [1, 3, 3.5]

    def test_a_nan_that_is_not_masked_is_a_nan(self):
        x = np.ma.array([1.0, 2.0, nan, 4.0, 5.0, 6.0, 7.0], mask=[1, 0, 0, 0, 0, 0, 0])
        got = convolve(x, [1.0, 1.0], "valid")
        assert not np.ma.getmaskarray(got).any()
        np.testing.assert_array_equal(got.data, [4, nan, nan, 9, 11, 13])
        agrees(convolve(x, [1.0, 1.0], "valid", nan_policy="omit").filled(nan), [4, 4, 8, 9, 11, 13])

    def test_scalars(self):
        assert convolve(np.ma.array(3.0), 2.0) == 6
        assert convolve(np.ma.array(3.0, mask=True), 2.0) is np.ma.masked
        assert np.isnan(convolve(nan, 2.0, nan_policy="omit"))
        assert convolve(3.0, 2.0, nan_policy="omit_keep", mask=False) == 6


class TestOut:
    @pytest.mark.parametrize("alias", ["in1", "in2", "weights", "none", "shifted"])
    @pytest.mark.parametrize("n", [40, 4000])
    def test_it_may_be_any_of_the_operands(self, alias, n):
        rng = np.random.default_rng(0)
        memory = rng.random((4, n))
        x, w, weights, out = memory
        x[rng.random(n) < 0.2] = nan
        x[n // 2 + 5 : n // 2 + 15] = nan
        out = {"in1": x, "in2": w, "weights": weights, "none": out}.get(alias)
        if alias == "shifted":
            out = memory.reshape(-1)[n // 2 : n // 2 + n]
        w[6:] = 0
        want = convolve(x.copy(), w.copy(), "same", nan_policy="omit", weights=weights.copy())
        assert np.isnan(want).any()
        got = convolve(x, w, "same", nan_policy="omit", weights=weights, out=out)
        assert got is out
        np.testing.assert_array_equal(got, want)

    def test_masked_or_not(self):
        x = np.ma.array([1.0, 2.0, 3.0, 4.0, 5.0], mask=[0, 1, 1, 1, 0])
        plain, masked = np.zeros(5, "f8"), np.ma.zeros(5)
        assert convolve(x, [1.0, 1.0, 1.0], "same", out=plain) is plain
        assert np.isnan(plain).tolist() == [False, False, True, False, False]
        assert (
            convolve(np.where(x.mask, nan, x.data), [1.0, 1.0, 1.0], "same", nan_policy="omit", out=masked)
            is masked
        )
        assert np.ma.getmaskarray(masked).tolist() == [False, False, True, False, False]

    def test_a_subclass_that_wants_no_part_in_numpy(self):
        class Shy(np.ndarray):
            def __array_function__(self, *given):
                raise RuntimeError

            __array_ufunc__ = __array_function__

        x = np.array([1.0, nan, 3.0])
        for keywords in (
            {"nan_policy": "omit"},
            {"mask": np.isnan(x)},
            {"nan_policy": "omit", "max_memory": "1 MB"},
        ):
            out = np.zeros(3).view(Shy)
            assert convolve(x.view(Shy), np.ones(3), "same", out=out, **keywords) is out
            agrees(out.view(np.ndarray), [1.5, 6.0, 4.5])

    def test_float32(self):
        x = np.array([1, nan, 3], "f4")
        out = np.zeros(3, "f4")
        assert convolve(x, np.ones(3, "f4"), "same", nan_policy="omit", out=out) is out
        agrees(out / 3, [0.5, 2, 1.5], "f4")


def test_inputs_are_never_written_to():
    rng = np.random.default_rng(0)
    x = rng.random((20, 30))
    x[rng.random(x.shape) < 0.3] = nan
    given_arrays = [x, rng.random((3, 4)), rng.random(x.shape) < 0.2, rng.random(x.shape)]
    for a in given_arrays:
        a.flags.writeable = False
    before = [a.tobytes() for a in given_arrays]
    x, w, mask, weights = given_arrays
    for mode in MODES:
        convolve(x, w, mode, nan_policy="omit", mask=mask, weights=weights)
    convolve(np.ma.array(x, mask=mask), w, "same", nan_policy="omit_keep")
    assert [a.tobytes() for a in given_arrays] == before


def test_any_memory_layout_and_byte_order():
    x, missing = holed((30, 40))
    w = np.arange(1.0, 13).reshape(3, 4)
    want, _ = normalised(x, w, "same", missing=missing)
    spoilt = np.where(missing, nan, x)
    for a in (
        spoilt.astype(">f8"),
        np.asfortranarray(spoilt),
        np.repeat(spoilt, 2, 1)[:, ::2],
        spoilt[::-1][::-1],
    ):
        agrees(convolve(a, w.astype(">f4"), "same", nan_policy="omit"), want, scale=100)
    agrees(convolve(spoilt.tolist(), w.tolist(), "same", nan_policy="omit"), want, scale=100)


def test_explain_takes_the_keywords():
    x, w = np.ones(5000, "i4"), np.ones(101)
    plain = fftconv.explain(x, w, "same")
    assert fftconv.explain(x, w, "same", nan_policy="omit", overflow="raise") == plain
    masked = fftconv.explain(np.ma.array(x), np.ones(101, "i4"), "same")
    assert masked.problem.dtype == np.float64
    with pytest.raises(ValueError, match="nan_policy must be one of"):
        fftconv.explain(x, w, nan_policy="what")


def test_workers_and_engines_have_no_say():
    x, missing = holed((300, 200))
    w = np.ones((31, 31)) / 961
    want = convolve(x, w, "same", "overlap_save", mask=missing, workers=1)
    for workers in (2, 3):
        got = convolve(x, w, "same", "overlap_save", mask=missing, workers=workers)
        assert got.tobytes() == want.tobytes()


def test_fill_values_beyond_the_range_of_half_precision_are_no_warning():
    """The suite turns warnings into errors."""
    for data in (np.ma.array(np.arange(4, dtype="i1"), mask=[0, 1, 0, 0]), np.ma.array(np.ones(4, "f2"))):
        got = convolve(data, np.ones(2, "f2"), "same")
        assert isinstance(got, np.ma.MaskedArray) and got.dtype == np.float16


def test_infinite_complex_samples_with_weights_are_no_warning():
    x = np.array([1, complex(np.inf, 1), 2, 3])
    got = convolve(x, [1.0, 1.0], "valid", weights=[1.0, 2.0, 1.0, 1.0])
    assert np.isfinite(got).tolist() == [False, False, True]


def test_what_lies_outside_is_not_missed_by_windows_that_lie_inside():
    """A kernel that sums to zero is refused where something is missing, and in mode valid nothing is outside."""
    x = np.arange(6.0) ** 2
    got = convolve(x, [1.0, -2.0, 1.0], "valid", nan_policy="omit", fill_value=nan)
    np.testing.assert_array_equal(got, np.full(4, 2.0))
    with pytest.raises(ValueError, match="sum to zero"):
        convolve(x, [1.0, -2.0, 1.0], "same", nan_policy="omit", fill_value=nan)


@pytest.mark.parametrize("taps", (3, 7))
def test_valid_reads_nothing_outside_whatever_is_said_of_it(taps):
    """Also of a kernel longer than the array, of which some taps meet no sample."""
    x, w = np.array([1.0, 2, np.nan, 4]), np.arange(1.0, taps + 1)
    want = convolve(x, w, "valid", nan_policy="omit")
    for outside in (
        {"fill_value": np.nan},
        {"fill_value": 3.0},
        {"boundary": "renormalize"},
        {"boundary": "wrap"},
    ):
        np.testing.assert_array_equal(convolve(x, w, "valid", nan_policy="omit", **outside), want)
        clean = convolve(np.nan_to_num(x), w, "valid", nan_policy="omit", **outside)
        np.testing.assert_array_equal(clean, convolve(np.nan_to_num(x), w, "valid"))
