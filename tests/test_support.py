"""Non-negative in, non-negative out; and what sees nothing but zeros is zero, by every method."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import EXTRAS, PLAIN, Extras, arrays, problem, problems

from fftconv.core import zeros
from fftconv.core.plan import Request
from fftconv.core.run import run
from fftconv.core.support import reach_of, window_counts, windows_with

SPECTRAL = ("fft", "overlap_save")
SIZES = (((1500,), (100,)), ((40, 50), (6, 7)), ((14, 15, 16), (3, 1, 4)))


def islands(p, seed: int, sign: bool = False) -> np.ndarray:
    """Zeros with a few islands of numbers between 1e-3 and 1e3 in magnitude."""
    rng = np.random.default_rng(seed)
    x = np.zeros(p.x_shape, p.dtype)
    places = rng.integers(0, x.size, 6)
    for place in places:
        x.reshape(-1)[place : place + 9] = 10 ** rng.uniform(-3, 3, x.reshape(-1)[place : place + 9].size)
    return x * rng.choice((-1, 1), x.shape) if sign else x


def seen(p, x: np.ndarray) -> np.ndarray:
    """Where an output sees anything but zeros."""
    indicator = (x != 0).astype(np.int64)
    q = p.with_(x_dtype=np.dtype("i8"), w_dtype=np.dtype("i8"), dtype=np.dtype("i8"))
    return oracle.by_taps(q, indicator, np.ones(p.w_shape, np.int64)) > 0


@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("pads", ("same", "full", "valid"))
@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_islands(forced, poisoned, extras, pads, dtype):
    for i, sizes in enumerate(SIZES):
        p = problem(*sizes, pads, dtype, EXTRAS[extras])
        w = np.abs(arrays(p)[1]) + p.dtype.type(0.01)
        positive, signed = islands(p, i), islands(p, i, sign=True)
        assert ((positive != 0) == (signed != 0)).all()
        there = seen(p, positive)
        for x, taps, workers in ((positive, w, 2), (signed, -w, 0)):
            want = oracle.reference(p, x, taps)
            for method in SPECTRAL:
                got = forced(p, x, taps, Request(method=method, workers=workers))
                assert x is signed or (got >= 0).all()
                assert not got[~there].any()
                oracle.assert_close(p, got, x, taps, want)


@pytest.mark.parametrize("method", SPECTRAL)
@pytest.mark.parametrize("extras", ("plain", "stride", "groups", "kernel dilation"))
@pytest.mark.parametrize("flip", (True, False))
def test_margins_of_zeros(forced, poisoned, method, extras, flip):
    """Of both operands: a window is that of the taps that are not zero."""
    for i, sizes in enumerate(SIZES):
        p = problem(*sizes, "full", "f8", EXTRAS[extras]).with_(flip=flip)
        x, w = islands(p, i, sign=True), arrays(p)[1]
        for a, k in enumerate(p.kernel_size, 2):
            taps = np.moveaxis(w, a, 0)
            taps[: k // 4] = taps[k - k // 3 :] = 0
        whole = p.with_(x_dtype=np.dtype("i8"), w_dtype=np.dtype("i8"), dtype=np.dtype("i8"))
        blank = oracle.by_taps(whole, *((a != 0).astype(np.int64) for a in (x, w))) == 0
        assert blank.any()
        got = forced(p, x, w, Request(method=method))
        assert not got[blank].any()
        oracle.assert_close(p, got, x, w)
        # a tap of 0 and an infinity are a term, which is NaN
        x[..., -1] = np.inf
        with np.errstate(invalid="ignore"):
            want = oracle.reference(p, x, w)
        assert (np.isnan(forced(p, x, w, Request(method=method))) == np.isnan(want)).all()


@pytest.mark.parametrize("method", SPECTRAL)
@pytest.mark.parametrize("share", (0.5, 0.05, 0.002))
@pytest.mark.parametrize("pads", ("same", "full", "valid"))
def test_zeros_here_and_there(method, share, pads):
    """Cells of zeros are told from cells with some zeros, and windows from cells."""
    for seed, sizes in enumerate(
        (((8_000,), (301,)), ((20_000,), (6,)), ((100, 200), (21, 10)), ((24, 24, 24), (5, 6, 4)))
    ):
        p = problem(*sizes, pads, "f4", Extras(batch=2))
        rng = np.random.default_rng(seed)
        x, w = arrays(p)
        x = np.where(rng.random(x.shape) < share, x, 0).astype("f4")
        x[0, 0, ..., 100:] = 0
        got = run(p, x, w, None, Request(method=method))
        assert not got[~seen(p, x)].any()
        oracle.assert_close(p, got, x, w)


@pytest.mark.parametrize("method", SPECTRAL)
def test_complex_zeros(method):
    p = problem((3000,), (200,), "full", "c16")
    x, w = arrays(p)
    x[0, 0, 500:1500] = 0
    got = run(p, x, w, None, Request(method=method))
    assert not got[~seen(p, x)].any() and (~seen(p, x)).sum() == 801
    oracle.assert_close(p, got, x, w)


@pytest.mark.parametrize("method", SPECTRAL)
def test_counts_with_a_dead_region(method):
    """Poisson counts, the case in which transforms leave a sea of tiny numbers of either sign."""
    rng = np.random.default_rng(0)
    p = problem((20_000,), (300,), "same")
    x = rng.poisson(3.0, p.x_shape).astype(float)
    x[..., 8000:10_000] = 0
    w = np.exp(-((np.arange(300.0) - 150) ** 2) / 5000).reshape(p.w_shape)
    got = run(p, x, w, None, Request(method=method))
    assert (got >= 0).all() and (got == 0).sum() == 1701
    oracle.assert_close(p, got, x, w)


@pytest.mark.parametrize("method", SPECTRAL)
def test_a_nan_elsewhere_changes_nothing(method):
    p = problem((20_000,), (300,), "same")
    x = np.zeros(p.x_shape)
    x[..., 1000:1020], x[..., 15_000] = 1000.0, np.nan
    got = run(p, x, np.ones(p.w_shape), None, Request(method=method))[0, 0]
    assert np.isnan(got).sum() == 300
    finite = got[~np.isnan(got)]
    assert (finite >= 0).all() and (finite > 0).sum() == 319


@pytest.mark.parametrize("method", SPECTRAL)
@pytest.mark.parametrize(
    "dtype, value, count", [("i1", 16, 256), ("u1", 16, 256), ("i2", 256, 256), ("i1", 1, 128)]
)
def test_integers_whose_squares_wrap(method, dtype, value, count):
    """Their sum of squares, in their own type, is 0 or -128."""
    p = problem((4000,), (256,), "same").with_(w_dtype=np.dtype(dtype))
    x, w = np.random.default_rng(0).standard_normal(p.x_shape), np.zeros(p.w_shape, dtype)
    x[..., 1000:3000] = 0
    w[..., :count] = value
    got = run(p, x, w, None, Request(method=method))
    assert not got[~seen(p, x)].any() and (~seen(p, x)).sum() == 1745
    p, x = p.with_(x_dtype=np.dtype(dtype)), np.where(x == 0, 0, value).astype(dtype)
    x[..., count:] = 0
    oracle.assert_close(p, run(p, x, w, None, Request(method=method)), x, w)


def test_negative_results_stay_negative():
    p = problem((3000,), (200,), "same")
    x, w = np.abs(arrays(p)[0]), np.abs(arrays(p)[1])
    for a, b in ((-x, w), (x, -w)):
        assert (run(p, a, b, None, Request(method="fft")) < 0).all()
    x[0, 0, 1234] = -5000.0
    oracle.assert_close(p, run(p, x, w, None, Request(method="fft")), x, w)
    w[0, 0, 33] = -5000.0
    oracle.assert_close(p, run(p, x, w, None, Request(method="fft")), x, w)


@given(p=problems(), seed=st.integers(0, 1000))
def test_window_counts(p, seed):
    p = p.with_(
        lhs_dilation=(1,) * p.ndim, x_dtype=np.dtype("i8"), w_dtype=np.dtype("i8"), dtype=np.dtype("i8")
    )
    if not p.out_channels or not p.batch:
        return
    flags = np.random.default_rng(seed).random(p.x_shape) < 0.3
    want = oracle.by_taps(p, flags.astype(np.int64), np.ones(p.w_shape, np.int64))
    np.testing.assert_array_equal(np.repeat(window_counts(p, flags), p.group_outputs, 1), want)


@given(p=problems(), seed=st.integers(0, 1000), share=st.sampled_from((0.02, 0.3)))
def test_windows_with(p, seed, share):
    p = p.with_(lhs_dilation=(1,) * p.ndim, x_dtype=np.dtype("f8"))
    if not all((*p.x_shape, *p.w_shape, *p.out_shape)):
        return
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(p.x_shape) < share, rng.standard_normal(p.x_shape), 0)
    want = seen(p, x)
    for samples in (x, x != 0, x.astype("c8"), np.asfortranarray(x)):
        got = np.repeat(windows_with(p, samples), p.group_outputs, 1)
        np.testing.assert_array_equal(got, want)
    assert want.all() or not zeros._hold_some(p, reach_of(p, x))


@pytest.mark.parametrize("kernel", ((1,), (2,), (31,), (6, 5)))
def test_cells_that_hold_some(kernel):
    """A gap that one window sees, wherever it begins, and none."""
    for begin in range(2 * kernel[0]):
        p = problem((200,) * len(kernel), kernel, "valid", "f8")
        x = np.ones(p.x_shape)
        assert zeros._hold_some(p, reach_of(p, x))
        x[(0, 0, *(slice(60 + begin, 60 + begin + k) for k in kernel))] = 0
        assert not zeros._hold_some(p, reach_of(p, x))


@pytest.mark.parametrize("slab", (1, 700, 2**17))
@pytest.mark.parametrize("workers", (1, 3))
@pytest.mark.parametrize(
    "extras", (PLAIN, Extras(batch=5), Extras(channels=(2, 4), groups=2), Extras(stride=2))
)
def test_slabs(monkeypatch, slab, workers, extras):
    """However zeros are cut up: those at edges and in corners, along rows and along columns, and scattered ones."""
    monkeypatch.setattr(zeros, "SLAB", slab)
    monkeypatch.setattr(zeros, "PER_TAP", 1)
    for i, (sizes, part) in enumerate(
        (
            (((30_000,), (90,)), np.s_[..., :11_000]),
            (((150, 160), (9, 11)), np.s_[..., :70, :]),
            (((150, 160), (9, 11)), np.s_[..., 60:]),
            (((150, 160), (9, 11)), np.s_[..., 20:130, 30:150]),
            (((40, 30, 50), (4, 5, 6)), np.s_[..., 10:30, 5:25, 20:]),
        )
    ):
        p = problem(*sizes, "same", "f8", extras)
        x, w = arrays(p, i)
        x[part] = 0
        x[..., -12:] *= np.random.default_rng(i).random(x[..., -12:].shape) < 0.01
        got = run(p, x, w, None, Request(method="overlap_save", workers=workers))
        blank = ~seen(p, x)
        assert blank.any() and not got[blank].any() and got[~blank].all()


def test_taps_of_zero_beside_a_nan():
    """A kernel's margins of zeros are left out of its window, but zero times NaN is NaN."""
    p = problem((20_000,), (300,), "same")
    x, w = arrays(p)
    w[..., :100] = 0
    x[..., 5000:8000] = 0
    x[..., 6500] = np.nan
    got = run(p, x, w, None, Request(method="overlap_save"))[0, 0]
    assert np.isnan(got).sum() == 300
    finite = got[5150:7850]
    assert not finite[~np.isnan(finite)].any()


@pytest.mark.parametrize("method", SPECTRAL)
@pytest.mark.parametrize("dtype", ("f4", "f8", "c16"))
@pytest.mark.parametrize(
    ("sizes", "pads", "extras"),
    (
        (((20, 30), (6, 4)), ((3, 3), (4, 7)), PLAIN),
        (((45,), (1,)), ((2, 4),), Extras(channels=(3, 2))),
        (((2,), (2,)), ((9, 9),), Extras(dilation=(1, 5), stride=2)),
        (((25,), (3,)), ((7, 1),), Extras(batch=2, dilation=(3, 2))),
    ),
)
def test_windows_that_hold_padding_alone_sum_to_zero(method, dtype, sizes, pads, extras):
    """Whatever the data: pads may reach further than the kernel, and dilated taps may step over a short array."""
    p = problem(*sizes, pads, dtype, extras)
    x, w = arrays(p)
    blind = ~seen(p, np.ones(p.x_shape))
    assert blind.any()
    assert (run(p, x, w, None, Request(method=method))[blind] == 0).all()
    x[..., 0], w[..., 0] = np.nan, np.inf
    assert (run(p, x, w, None, Request(method=method))[blind] == 0).all()
