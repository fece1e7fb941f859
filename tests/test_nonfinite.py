"""NaN and infinity stay where the direct sum has them, by every method; what overflows on the way comes out right."""

from __future__ import annotations

from itertools import product

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import EXTRAS, Extras, arrays, problem, problems

import fftconv
from fftconv.core.plan import Request
from fftconv.core.planner import METHODS, plan_conv
from fftconv.core.run import Runner, run
from fftconv.core.trim import trim

SPOILERS = (np.nan, np.inf, -np.inf)
SIZES = (((900,), (50,)), ((40, 50), (5, 6)), ((12, 13, 14), (3, 1, 4)))


def direct_sum(p, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One tap at a time over the samples it meets; padding is never multiplied."""
    wide = np.promote_types(p.dtype, np.float64)
    out = np.zeros(oracle.output_shape(p), wide)
    x, w = x.astype(p.dtype).astype(wide), w.astype(p.dtype).astype(wide)
    inputs, outputs = p.in_channels // p.groups, p.out_channels // p.groups
    with np.errstate(all="ignore"):
        for u in product(*map(range, p.kernel_size)):
            ys, qs = zip(*(_meets(p, a, i) for a, i in enumerate(u)), strict=True)
            tap = tuple(k - 1 - i for k, i in zip(p.kernel_size, u, strict=True)) if p.flip else u
            for o, c in product(range(p.out_channels), range(inputs)):
                out[(slice(None), o, *ys)] += (
                    x[(slice(None), o // outputs * inputs + c, *qs)] * w[(o, c, *tap)]
                )
    return out


def _meets(p, axis: int, u: int) -> tuple[slice, slice]:
    """The outputs for which tap `u` falls on a sample, and that sample."""
    y = np.arange(oracle.output_length(p, axis))
    q, between = np.divmod(
        y * p.stride[axis] + u * p.rhs_dilation[axis] - p.pads[axis][0], p.lhs_dilation[axis]
    )
    there = (between == 0) & (q >= 0) & (q < p.input_size[axis])
    return _progression(y[there]), _progression(q[there])


def _progression(a: np.ndarray) -> slice:
    return slice(a[0], a[-1] + 1, a[1] - a[0] if a.size > 1 else 1) if a.size else slice(0, 0)


def spoil(a: np.ndarray, count: int, seed: int, values: tuple[float, ...] = SPOILERS) -> np.ndarray:
    """`a` with `count` random elements, or parts of complex ones, that are not finite."""
    rng = np.random.default_rng(seed)
    a = a.copy()
    flat = (a.view(a.real.dtype) if a.dtype.kind == "c" else a).reshape(-1)
    if flat.size:
        flat[rng.integers(0, flat.size, count)] = rng.choice(values, count)
    return a


def answering(p) -> list[str]:
    """The methods that answer `p`; transforms and the direct sum always do."""
    found, trimmed = [], trim(p)
    for method in METHODS:
        try:
            # what is computed is the problem without the taps that meet nothing but padding
            plan_conv(p if trimmed is None else trimmed.problem, Request(method=method))
        except ValueError:
            assert method in ("band", "jit", "separable")
        else:
            found.append(method)
    return found


def check(p, got: np.ndarray, x: np.ndarray, w: np.ndarray, method: str = "") -> None:
    """Values that are not finite are those of the direct sum, part by part; all others are as accurate as ever.

    Libraries multiply complex numbers with unlike orders of their real products, so of a complex direct sum only the
    set of these values is known.
    """
    want = direct_sum(p, x, w)
    np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want), err_msg=str(p))
    by_parts = p.dtype.kind != "c" or method != "direct"
    for mine, true in ((got.real, want.real), (got.imag, want.imag)) if by_parts else ():
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(true), err_msg=str(p))
        for sign in (np.inf, -np.inf):
            np.testing.assert_array_equal(mine == sign, true == sign, err_msg=str(p))
    finite = np.isfinite(want)
    clean = [np.where(np.isfinite(a), a, 0) for a in (x, w)]
    oracle.assert_close(p, np.where(finite, got, 0).astype(p.dtype), *clean, np.where(finite, want, 0))


@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("dtype", ("f4", "f8", "c8", "c16", "g"))
def test_data_spoil_what_the_direct_sum_spoils(forced, poisoned, extras, dtype):
    for i, sizes in enumerate(SIZES):
        p = problem(*sizes, "same", dtype, EXTRAS[extras])
        x, w = arrays(p)
        values = ((np.nan,), SPOILERS, (np.inf,))[i]
        for method in answering(p):
            spoilt = spoil(x, 1 + i, len(method), values)
            before = spoilt.copy()
            check(p, forced(p, spoilt, w, Request(method=method, workers=2)), spoilt, w, method)
            np.testing.assert_array_equal(spoilt, before)


@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("dtype", ("f4", "f8", "c16"))
@pytest.mark.parametrize("pads", ("same", "full", "valid"))
def test_kernels_spoil_only_where_a_tap_meets_a_sample(forced, extras, dtype, pads):
    for i, sizes in enumerate((((300,), (30,)), ((22, 31), (5, 8)), ((12, 13, 14), (3, 1, 4)))):
        p = problem(*sizes, pads, dtype, EXTRAS[extras])
        x, w = arrays(p)
        for method in answering(p):
            bad = spoil(w, 2, i, (SPOILERS[(i + len(method)) % 3],))
            check(p, forced(p, x, bad, Request(method=method, workers=2)), x, bad, method)
            bad_x, bad_w = spoil(x, 2, i), spoil(w, 2, i + 9)
            check(p, forced(p, bad_x, bad_w, Request(method=method)), bad_x, bad_w, method)


@given(p=problems(), seed=st.integers(0, 2**30), counts=st.tuples(st.integers(0, 4), st.integers(0, 2)))
def test_any_problem(p, seed, counts):
    if p.dtype.kind not in "fc" or p.x_dtype.kind not in "fc" or p.w_dtype.kind not in "fc":
        p = p.with_(x_dtype=np.dtype("f8"), w_dtype=np.dtype("f8"), dtype=np.dtype("f8"))
    x, w = arrays(p, seed % 1000)
    x, w = spoil(x, counts[0], seed), spoil(w, counts[1], seed + 1)
    for method in answering(p):
        check(p, run(p, x, w, None, Request(method=method)), x, w, method)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "separable"])  # test_separable has its own
def test_zero_taps_and_opposite_infinities(forced, method):
    p = problem((1, 2000), (1, 31), "same") if method != "band" else problem((2000, 3), (31, 1), "same")
    x, w = arrays(p)
    w.reshape(-1)[::3] = 0
    line = x[0, 0, 0] if method != "band" else x[0, 0, :, 1]
    line[[40, 400, 410, 999, 1500, 1501]] = np.inf, np.inf, -np.inf, np.nan, -np.inf, -np.inf
    got = forced(p, x, w, Request(method=method))
    check(p, got, x, w)
    assert np.isnan(got).sum() > 31 and np.isposinf(got).any() and np.isneginf(got).any()


def test_a_band_is_repaired_where_its_part_is_no_band():
    """One row of outputs, whose taps no neighbour shares."""
    p = problem((4, 9), (2, 1), "valid", "c8", Extras(channels=(3, 3), groups=3))
    x, w = arrays(p)
    x[0, 0, 3, 0] = complex(0, np.inf)
    check(p, run(p, x, w, None, Request(method="band")), x, w, "band")


@pytest.mark.parametrize("method", ("fft", "overlap_save"))
def test_one_nan_in_a_long_signal_touches_its_window_and_no_other_bits(method):
    p = problem((300_000,), (1001,), "same")
    x, w = arrays(p)
    want = run(p, x, w, None, Request(method=method))
    x[0, 0, 123_456] = np.nan
    got = run(p, x, w, None, Request(method=method))
    touched = np.isnan(got[0, 0])
    assert np.flatnonzero(touched).tolist() == list(range(123_456 - 500, 123_456 + 501))
    np.testing.assert_allclose(got[0, 0][~touched], want[0, 0][~touched], atol=1e-11)
    if method == "overlap_save":
        far = np.abs(np.arange(300_000) - 123_456) > 20_000
        assert (got[0, 0][far] == want[0, 0][far]).all()


@pytest.mark.parametrize("method", ("fft", "overlap_save"))
def test_one_image_of_a_batch_and_many_holes(method):
    p = problem((200, 300), (15, 17), "same", "f4", Extras(batch=5))
    x, w = arrays(p)
    want = run(p, x, w, None, Request(method=method))
    holes = np.random.default_rng(3).random(x[2].shape) < 0.001
    x[2][holes] = np.nan
    got = run(p, x, w, None, Request(method=method))
    check(p, got, x, w)
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(got[others], want[others], atol=1e-4)


def test_every_row_has_tiles_of_its_own():
    p = problem((40, 3000), (1, 200), "same")
    x, w = arrays(p)
    x[0, 0, 17, 2000] = -np.inf
    for method in answering(p):
        check(p, run(p, x, w, None, Request(method=method)), x, w, method)


def test_nothing_but_nan():
    p = problem((5000,), (300,), "full")
    x, w = arrays(p)
    for method in answering(p):
        assert np.isnan(run(p, np.full_like(x, np.nan), w, None, Request(method=method))).all()
        assert np.isnan(run(p, x, np.full_like(w, np.nan), None, Request(method=method))).all()


@pytest.mark.parametrize("dtype", ("f4", "f8", "c8", "c16", "g"))
def test_finite_sums_of_huge_numbers_are_finite(dtype):
    """Near the largest number the transform of a tile overflows although no output does."""
    for sizes in (((4000,), (300,)), ((60, 70), (12, 13))):
        p = problem(*sizes, "same", dtype)
        x, w = arrays(p)
        huge = np.finfo(p.dtype).max / 16
        for method in answering(p):
            tame = run(p, x, w / 64, None, Request(method=method))
            got = run(p, x * huge, w / 64, None, Request(method=method))
            scale = np.abs(tame).max()
            assert scale < 16
            np.testing.assert_allclose(got / huge / scale, tame / scale, atol=300 * np.finfo(p.dtype).eps)


@pytest.mark.parametrize("method", ("fft", "overlap_save"))
@pytest.mark.parametrize("sign", (1, -1))
def test_sums_that_overflow_are_infinite_with_their_sign(method, sign):
    p = problem((3000,), (200,), "same", "f4")
    x, w = np.full(p.x_shape, 1e38, "f4"), np.full(p.w_shape, sign, "f4")
    assert (run(p, x, w, None, Request(method=method)) == sign * np.inf).all()


def test_huge_data_and_tiny_kernel():
    p = problem((3000,), (200,), "same")
    x, w = arrays(p)
    tame = run(p, x, w, None, Request(method="fft"))
    got = run(p, x * 2.0**1020, w * 2.0**-1010, None, Request(method="fft"))
    np.testing.assert_allclose(got, tame * 1024, atol=1e-8)


def test_a_narrower_result_makes_infinities_of_what_it_cannot_hold():
    p = problem((3000,), (200,), "same", ("f8", "f8", "f4"))
    x, w = arrays(p)
    x[0, 0, 1000] = 1e300
    for method in answering(p):
        with np.errstate(over="ignore"):
            check(p, run(p, x, w, None, Request(method=method)), x, w, method)


def test_a_settled_runner_repairs_too():
    p = problem((5000,), (500,), "full")
    x, w = arrays(p)
    out = np.empty(p.out_shape)
    runner = Runner(p, Request(method="fft"))
    for spoiler in (0.5, np.nan, 1.5, np.inf):
        x[0, 0, 700] = spoiler
        runner(x, w, out)
        check(p, out, x, w)


@pytest.mark.parametrize("dtype", ("f4", "f8", "g", "c8", "c16", "G"))
def test_a_look_at_few_outputs_warns_of_nothing(dtype):
    """Warnings are errors here: of opposite infinities, and of what is finite but whose absolute value is not."""
    x, w = np.zeros((3, 9, 9), dtype), np.zeros((1, 3, 3), dtype)
    w[0, 0, 0] = w[0, 2, 2] = 1
    x[:, 0, 0] = np.inf, -np.inf, 1
    got = fftconv.convolve(x, w, mode="full", method="direct", axes=(1, 2))
    assert (got[:, 0, 0].real == x[:, 0, 0].real).all()
    x[:, 0, 0] = 0.9 * np.finfo(dtype).max * (1 if x.dtype.kind == "f" else 1 + 1j)
    got = fftconv.convolve(x, w, mode="full", method="direct", axes=(1, 2))
    assert (got[:, 0, 0] == x[:, 0, 0]).all()


@pytest.mark.parametrize("dtype", ("f4", "c8"))
def test_a_look_whose_sum_is_beyond_the_type_warns_of_nothing(dtype):
    x, w = np.zeros((8, 300), dtype), np.zeros((1, 64), dtype)
    x[:, 0], w[0, 31], w[0, ::63] = 0.9 * np.finfo(dtype).max, 1, 1e-30
    for _ in range(2):
        got = fftconv.convolve(x, w, mode="same", method="fft", workers=1, axes=1)
        np.testing.assert_allclose(got[:, 0], x[:, 0], rtol=1e-5)
