"""Missing samples, masks and weights: normalised convolution against sums made one output at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from missing_oracle import normalised

import fftconv
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
            assert method in ("band", "jit")
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
        assert method in ("band", "jit") and "cannot answer this problem" in str(refused)
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
    """With fill_value=nan what lies outside has no weight."""
    x, w, missing, mode = case
    weights = np.random.default_rng(0).integers(0, 5, x.shape) / 4 if weighted else None
    want, _ = normalised(x, w, mode, missing=missing, weights=weights, outside=0)
    got = convolve(np.where(missing, nan, x), w, mode, nan_policy="omit", weights=weights, fill_value=nan)
    agrees(got, want, scale=100)
