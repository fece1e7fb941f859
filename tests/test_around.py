"""Boundaries beside masks, weights, nan_policy and overflow: against arrays with their extension spelled out."""

from __future__ import annotations

from itertools import product

import extension
import numpy as np
import pytest
from problems import random_array

from fftconv import convolve, correlate

SAMPLES = ("edge", "reflect", "symmetric", "wrap")
CASES = [((30,), (5,)), ((6,), (9,)), ((9, 8), (3, 4)), ((4, 5), (7, 3))]
by_case = pytest.mark.parametrize("size, kernel", CASES, ids=str)


def padded(a, kernel, mode, words, fill=0):
    for axis, word in enumerate(words):
        a = extension.pad(a, axis, extension.reach(mode, a.shape[axis], kernel[axis]), word, fill)
    return a


def positive(shape, seed):
    return np.abs(random_array(shape, np.dtype("f8"), seed)) + 0.1


@by_case
@pytest.mark.parametrize("word", SAMPLES)
@pytest.mark.parametrize("function", [convolve, correlate])
def test_missing_samples_are_missing_outside_too(function, word, size, kernel):
    x, w = random_array(size, np.dtype("f8"), 0), positive(kernel, 1)
    gaps = np.random.default_rng(2).random(size) < 0.3
    weights = positive(size, 3)
    words = (word,) * len(size)
    for mode in ("full", "same"):
        wide = {"x": x, "gaps": gaps, "weights": weights}
        wide = {name: padded(a, kernel, mode, words) for name, a in wide.items()}
        want = function(wide["x"], w, "valid", mask=wide["gaps"])
        np.testing.assert_allclose(function(x, w, mode, mask=gaps, boundary=word), want, atol=1e-12)
        holed = np.where(gaps, np.nan, x)
        got = function(holed, w, mode, nan_policy="omit", boundary=word)
        np.testing.assert_allclose(got, want, atol=1e-12)
        got = function(x, w, mode, mask=gaps, weights=weights, boundary=word)
        want = function(wide["x"], w, "valid", mask=wide["gaps"], weights=wide["weights"])
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_gaps_are_kept_where_they_were():
    x = np.array([np.nan, 1.0, 2.0, 3.0, np.nan, 5.0])
    got = convolve(x, np.ones(3) / 3, "same", nan_policy="omit_keep", boundary="reflect")
    np.testing.assert_array_equal(np.isnan(got), np.isnan(x))
    np.testing.assert_allclose(got[[1, 2, 3, 5]], [1.5, 2, 2.5, 5])


@by_case
def test_a_fill_value_has_weight_and_is_no_data(size, kernel):
    x, w = random_array(size, np.dtype("f8"), 0), positive(kernel, 1)
    gaps = np.zeros(size, bool)
    gaps[(slice(0, 3),) * len(size)] = True
    words = ("constant",) * len(size)
    for mode in ("full", "same"):
        got = convolve(x, w, mode, mask=gaps, boundary="constant", fill_value=4.0)
        want = convolve(
            padded(x, kernel, mode, words, 4.0), w, "valid", mask=padded(gaps, kernel, mode, words)
        )
        data = convolve(~gaps * 1.0, np.ones(kernel), mode, "direct")
        seen = convolve(gaps * 1.0, np.ones(kernel), mode, "direct")
        lost = (np.rint(data) == 0) & (np.rint(seen) > 0)
        assert lost.any() or mode == "same"
        np.testing.assert_allclose(got, np.where(lost, np.nan, want), atol=1e-12)


@by_case
def test_nothing_outside(size, kernel):
    """renormalize beside a mask is a mask that goes on outside."""
    x, w = random_array(size, np.dtype("f8"), 0), positive(kernel, 1)
    gaps = np.random.default_rng(2).random(size) < 0.3
    words = ("constant",) * len(size)
    for mode in ("full", "same"):
        want = convolve(
            padded(x, kernel, mode, words), w, "valid", mask=padded(gaps, kernel, mode, words, True)
        )
        got = convolve(x, w, mode, mask=gaps, boundary="renormalize")
        np.testing.assert_allclose(got, want, atol=1e-12)
        holed = np.where(gaps, np.nan, x)
        got = convolve(holed, w, mode, nan_policy="omit", fill_value=np.nan)
        np.testing.assert_allclose(got, want, atol=1e-12)
        ordinary = convolve(x, w, mode, boundary="renormalize")
        same = convolve(x, w, mode, boundary="renormalize", mask=np.zeros(size, bool))
        np.testing.assert_array_equal(same, ordinary)


def test_a_boundary_for_each_axis():
    x, w = random_array((7, 9), np.dtype("f8"), 0), positive((4, 5), 1)
    gaps = np.random.default_rng(2).random(x.shape) < 0.2
    for words in product(("reflect", "renormalize", "wrap"), repeat=2):
        wide, missing = x, gaps
        for axis, word in enumerate(words):
            reach = extension.reach("full", x.shape[axis], w.shape[axis])
            by = "constant" if word == "renormalize" else word
            wide = extension.pad(wide, axis, reach, by)
            missing = extension.pad(missing, axis, reach, by, True)
        want = convolve(wide, w, "valid", mask=missing)
        np.testing.assert_allclose(convolve(x, w, "full", mask=gaps, boundary=words), want, atol=1e-12)


def test_a_batch_shares_a_mask():
    x, w = random_array((3, 20), np.dtype("f8"), 0), positive((2, 1, 5), 1)
    gaps = np.random.default_rng(2).random(20) < 0.3
    got = convolve(x, w, "same", axes=-1, mask=gaps, boundary="symmetric")
    for i, j in np.ndindex(2, 3):
        want = convolve(x[j], w[i, 0], "same", mask=gaps, boundary="symmetric")
        np.testing.assert_allclose(got[i, j], want, atol=1e-12)


def test_a_missing_fill_value_beside_other_words():
    x, w = random_array((6, 7), np.dtype("f8"), 0), positive((3, 3), 1)
    x[2, 3] = np.nan
    got = convolve(x, w, "same", nan_policy="omit", boundary=("reflect", "constant"), fill_value=np.nan)
    want = convolve(x, w, "same", nan_policy="omit", boundary=("reflect", "renormalize"))
    np.testing.assert_array_equal(got, want)


def test_masked_arrays():
    x = np.ma.masked_invalid([1.0, np.nan, 3.0, 4.0])
    got = convolve(x, np.ones(3), "same", boundary="wrap")
    assert isinstance(got, np.ma.MaskedArray) and not got.mask.any()
    np.testing.assert_allclose(got, [7.5, 6, 10.5, 8])


# --- overflow


@pytest.mark.parametrize("word", (*SAMPLES, "constant"))
@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "i8"])
def test_sums_that_do_not_fit(word, dtype):
    """Samples seen through the boundary, and fill values, count."""
    top = np.iinfo(dtype).max
    x, w = np.array([top // 3, 1, 2, 3, 1], dtype), np.array([1, 1, 1], dtype)
    keywords = {"boundary": word, "fill_value": top if word == "constant" else 0, "overflow": "raise"}
    exact = extension.windows(
        padded(x, w.shape, "full", (word,), top).astype(object).astype("g"), w.astype("g")
    )
    if exact.max() > top:
        with pytest.raises(OverflowError, match="every sum must fit"):
            convolve(x, w, "full", **keywords)
    else:
        np.testing.assert_array_equal(convolve(x, w, "full", **keywords), exact.astype(dtype))
    small = keywords | {"fill_value": 1 if word == "constant" else 0}
    got = convolve(x // 4, w, "full", **small)
    np.testing.assert_array_equal(
        got, convolve(x // 4, w, "full", boundary=word, fill_value=small["fill_value"])
    )


def test_a_longer_kernel_meets_a_sample_often():
    """in1 is the shorter operand, and its one sample is in every product."""
    x, w = np.array([2], np.int8), np.full(60, 1, np.int8)
    assert convolve(x, w, "same", boundary="edge", overflow="raise").tolist() == [120]
    with pytest.raises(OverflowError):
        convolve(x, np.full(64, 1, np.int8), "same", boundary="edge", overflow="raise")


def test_digits_with_a_fill_value():
    x, w = np.array([2**62, -(2**62), 5], np.int64), np.array([2**33, 2**33, 1], np.int64)
    kwargs = {"boundary": "constant", "fill_value": -(2**62), "overflow": "raise"}
    with pytest.raises(OverflowError):
        convolve(x, w, "same", **kwargs)
    with pytest.raises(ValueError, match="must be at least 0 beside uint64"):
        convolve(x.astype("u8"), w.astype("u8"), "same", dtype="i8", **kwargs)
