"""boundary="renormalize": the kernel's weight restricted to what lies inside, against two sums of numpy."""

from __future__ import annotations

from itertools import product

import extension
import numpy as np
import pytest
from problems import random_array

from fftconv import signal
from fftconv._broadcast import Axis
from fftconv._renormalize import Reach, restricted

CASES = [
    ((13,), (4,)), ((13,), (13,)), ((13,), (14,)), ((5,), (40,)), ((1,), (3,)), ((9,), (1,)),
    ((7, 9), (3, 4)), ((7, 9), (9, 3)), ((6, 5), (8, 21)), ((4, 5, 6), (2, 3, 9)),
]  # fmt: skip


def full_sums(x, w, mode, words, correlate):
    for a, word in enumerate(words):
        x = extension.pad(x, a, extension.reach(mode, x.shape[a], w.shape[a]), word)
    return extension.windows(x, w, correlate)


def by_hand(x, w, mode, words, correlate=False):
    """The sum with nothing outside, times the kernel's weight over the weight that there is."""
    there = np.ones(x.shape, np.longdouble)
    zeros = tuple("constant" if word == "renormalize" else word for word in words)
    total = (w.conj() if correlate else w).sum()
    weights = tuple("constant" if word == "renormalize" else "edge" for word in words)
    with np.errstate(all="ignore"):
        return full_sums(x, w, mode, zeros, correlate) * total / full_sums(there, w, mode, weights, correlate)


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("size, kernel", CASES, ids=str)
def test_restricted_weights(name, size, kernel):
    for dtype, mode in product(("f8", "f4", "c16"), ("full", "same")):
        x, w = random_array(size, np.dtype(dtype), 0), np.abs(random_array(kernel, np.dtype("f8"), 1)) + 0.1
        if dtype == "c16":
            w = w + 0.5j * random_array(kernel, np.dtype("f8"), 2)
        w = w.astype(dtype)
        got = getattr(signal, name)(x, w, mode, boundary="renormalize")
        want = by_hand(x, w, mode, ("renormalize",) * x.ndim, name == "correlate")
        assert got.dtype == dtype
        scale = np.abs(want).max() * np.finfo(dtype).eps
        np.testing.assert_allclose(got, want, atol=200 * float(scale), rtol=0)


@pytest.mark.parametrize(
    "words", list(product(("renormalize", "reflect", "constant"), repeat=2)), ids="-".join
)
def test_beside_other_boundaries(words):
    x, w = random_array((9, 8), np.dtype("f8"), 0), np.abs(random_array((4, 11), np.dtype("f8"), 1))
    got = signal.convolve(x, w, "full", boundary=words)
    want = by_hand(x, w, "full", words) if "renormalize" in words else full_sums(x, w, "full", words, False)
    np.testing.assert_allclose(got, want.astype("f8"), atol=1e-11)


def test_a_corner_has_no_weight_whatever_the_fill_value():
    """Outside along an axis without weight there is nothing, also where the other axis has a fill value."""
    x, w = np.ones((3, 3)), np.ones((3, 3))
    got = signal.convolve(x, w, "same", boundary=("constant", "renormalize"), fill_value=4.0)
    # at (0, 0): two columns of three rows, one of which is filled; weight 6 of 9
    np.testing.assert_allclose(got[:, 0], [(4 + 8) * 9 / 6, 9, (4 + 8) * 9 / 6])


def test_a_constant_stays_constant():
    w = np.random.default_rng(0).random((9, 8))
    w /= w.sum()
    for mode in ("full", "same"):
        got = signal.convolve(np.full((30, 40), 3.0), w, mode, boundary="renormalize")
        np.testing.assert_allclose(got, 3.0, rtol=1e-13)


def test_tiny_weights_are_accurate():
    """The first output of `full` meets the smallest tap only; no difference of large sums makes its weight."""
    w = np.exp(-0.5 * np.linspace(-9, 9, 61) ** 2)
    got = signal.convolve(np.full(1000, 2.0), w, "full", "direct", boundary="renormalize")
    np.testing.assert_allclose(got, 2.0 * w.sum(), rtol=1e-13)


@pytest.mark.parametrize("n, k", [(5, 3), (5, 5), (3, 11), (4, 12), (1, 6), (7, 1)])
def test_sums_of_taps(n, k):
    w = np.random.default_rng(0).integers(-9, 9, (2, k, 3))
    for start, length in ((0, n + k - 1), ((k - 1) // 2, n)):
        reach = Reach.of(Axis(n, k, (start, length)))
        found = restricted(w, 1, reach)
        want = [
            w[:, a : b + 1].sum(1) for a, b in zip(reach.first.tolist(), reach.last.tolist(), strict=True)
        ]
        np.testing.assert_array_equal(found, np.stack(want, 1))
        assert sum(zone.outputs.stop - zone.outputs.start for zone in reach.zones) == length


def test_a_bank_of_kernels():
    """Each kernel has weights of its own; what is not convolved is a batch."""
    x, w = random_array((4, 20), np.dtype("f8"), 0), np.abs(random_array((3, 1, 6), np.dtype("f8"), 1))
    got = signal.convolve(x, w, "same", axes=-1, boundary="renormalize")
    for i, j in np.ndindex(3, 4):
        np.testing.assert_allclose(
            got[i, j], by_hand(x[j], w[i, 0], "same", ("renormalize",)).astype("f8"), atol=1e-12
        )


def test_results_are_floating():
    x, w = np.arange(1, 9), np.ones(3, np.int64)
    got = signal.convolve(x, w, "same", boundary="renormalize")
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, [4.5, 6, 9, 12, 15, 18, 21, 22.5])
    half = signal.convolve(x.astype("f2"), w.astype("f2"), "same", boundary="renormalize")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, got)
    with pytest.raises(TypeError, match="dtype must be able to hold sums of float64"):
        signal.convolve(x, w, boundary="renormalize", dtype=np.int64)


def test_no_weight_at_all_is_nan():
    got = signal.convolve(np.ones(5), [0.0, 0.0, 1.0], "full", boundary="renormalize")
    np.testing.assert_array_equal(got, [np.nan, np.nan, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    "w", [np.array([1.0, -2, 1]), np.zeros(3), np.array([0.1, 0.2, -0.3]), np.array([1j, -1j, 0])]
)
def test_kernels_without_weight(w):
    out = np.full(9, 5.0 + 0j if w.dtype.kind == "c" else 5.0)
    with pytest.raises(ValueError, match="needs taps whose sum is not zero; got the sum"):
        signal.convolve(np.ones(9), w, "same", boundary="renormalize", out=out)
    assert (out == 5).all()
    assert signal.convolve(np.ones(9), w, "valid", boundary="renormalize").shape == (7,)


def test_one_of_a_bank_without_weight():
    with pytest.raises(ValueError, match="sum is not zero"):
        signal.convolve(np.ones((2, 9)), [[1.0, 1.0], [1.0, -1.0]], axes=-1, boundary="renormalize")


def test_out_may_be_an_operand():
    x, w = random_array((50,), np.dtype("f8"), 0), np.abs(random_array((7,), np.dtype("f8"), 1))
    want = signal.convolve(x, w, "same", boundary="renormalize")
    assert signal.convolve(x, w, "same", boundary="renormalize", out=x) is x
    np.testing.assert_array_equal(x, want)


def test_strays_stay_where_they_are():
    x, w = np.ones(40), np.ones(5)
    x[0], x[30] = np.nan, np.inf
    got = signal.convolve(x, w, "same", "fft", boundary="renormalize")
    assert np.flatnonzero(np.isnan(got)).tolist() == [0, 1, 2]
    assert np.flatnonzero(np.isinf(got)).tolist() == [28, 29, 30, 31, 32]
    np.testing.assert_allclose(np.delete(got, [0, 1, 2, 28, 29, 30, 31, 32]), 5, rtol=1e-13)


def test_factors_are_those_of_the_values():
    """Factors of a small kernel are kept, by its values: not by its identity, nor by its size alone."""
    x, w = random_array((40,), np.dtype("f8"), 0), np.abs(random_array((7,), np.dtype("f8"), 1)) + 0.1
    for change in (1.0, 1.0, 3.0, 1.0):
        w[2] *= change
        np.testing.assert_allclose(
            signal.convolve(x, w, "same", boundary="renormalize"),
            by_hand(x, w, "same", ("renormalize",)).astype("f8"),
            atol=1e-13,
        )
    backwards = w[::-1]
    np.testing.assert_allclose(
        signal.convolve(x, backwards, "same", boundary="renormalize"),
        by_hand(x, backwards, "same", ("renormalize",)).astype("f8"),
        atol=1e-13,
    )
    w[:] = [1, -1, 1, -1, 1, -1, 0]
    for _ in range(2):
        with pytest.raises(ValueError, match="taps whose sum is not zero"):
            signal.convolve(x, w, "same", boundary="renormalize")


def test_a_kernel_that_is_not_finite_is_no_warning():
    """The suite turns warnings into errors. The margins are scaled to a sum that is not finite."""
    got = signal.convolve(np.ones(9), [1.0, np.inf, -np.inf, 2.0], boundary="renormalize")
    assert not np.isfinite(got).any()
    got = signal.convolve(np.ones((3, 9)), [[1.0, np.nan], [1.0, 2.0]], boundary=("renormalize", "reflect"))
    assert np.isnan(got).all()
