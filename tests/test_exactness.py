"""Integers and booleans are exact: by rounding where that is proved, by limbs beyond, modulo the bits of the result."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import EXTRAS, INTEGERS, Extras, arrays, problem, problems

from fftconv.core.exactness import peak_bits, recovers, split, splits
from fftconv.core.limbs import Limbs
from fftconv.core.methods.limbs import piece
from fftconv.core.plan import Request
from fftconv.core.planner import METHODS
from fftconv.core.run import plan_for, run
from fftconv.signal import convolve

SPECTRAL = ("fft", "overlap_save")
MASK = 2**64 - 1


def extremes(p, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Operands of the whole range of their dtypes, both ends included."""
    x, w = arrays(p, seed)
    for a in (x, w):
        if a.size:
            info = np.iinfo(a.dtype)
            a.flat[::3], a.flat[1::5] = info.min, info.max
    return x, w


@pytest.mark.parametrize("method", SPECTRAL)
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("extras", EXTRAS)
def test_transforms_give_the_sums_of_any_integers(forced, poisoned, method, dtype, extras):
    for sizes in (((700,), (90,)), ((30, 33), (7, 8)), ((7, 8, 9), (3, 1, 4))):
        p = problem(*sizes, "same", dtype, EXTRAS[extras])
        x, w = extremes(p)
        got = forced(p, x, w, Request(method=method, workers=2))
        assert got is not None
        np.testing.assert_array_equal(got, oracle.by_taps(p, x, w), err_msg=str(p))


@pytest.mark.parametrize("method", SPECTRAL)
@given(p=problems(), seed=st.integers(0, 1000))
def test_any_integer_problem(method, p, seed):
    if p.dtype.kind not in "iu" or p.x_dtype.kind not in "iu" or p.w_dtype.kind not in "iu":
        p = p.with_(x_dtype=np.dtype("i8"), w_dtype=np.dtype("i4"), dtype=np.dtype("i8"))
    if p.ndim == 0:
        return
    x, w = extremes(p, seed)
    np.testing.assert_array_equal(run(p, x, w, None, Request(method=method)), oracle.by_taps(p, x, w))


@pytest.mark.parametrize(
    "dtypes", (("i8", "i8", "i4"), ("i8", "u1", "i2"), ("u8", "u8", "u1"), ("u4", "i4", "i8"))
)
def test_results_narrower_than_operands_wrap(dtypes):
    p = problem((800,), (60,), "full", dtypes)
    x, w = extremes(p)
    want = oracle.by_taps(p, x, w)
    for method in (None, "direct", *SPECTRAL):
        np.testing.assert_array_equal(run(p, x, w, None, Request(method=method)), want)


@pytest.mark.parametrize("power", range(2, 63, 3))
def test_either_side_of_the_bound_of_rounding(power):
    """From small integers, transformed whole, to large ones in limbs: always the sums of Python."""
    p = problem((600,), (50,), "same", "i8")
    x, w = arrays(p, bound=2**power)
    x[0, 0, ::7], w[0, 0, ::3] = 2**power, -(2**power)
    want = np.convolve(x[0, 0].astype(object), w[0, 0].astype(object), "same")
    plan = plan_for(p, x, w, Request(method="fft"))
    assert (plan.chosen.limbs is None) == (power < 20)
    got = run(p, x, w, None, Request(method="fft"))
    assert [int(v) & MASK for v in got[0, 0]] == [int(v) & MASK for v in want]


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5), st.integers(1, 40), st.integers(1, 64)
)
def test_digits_add_up(values, width, count):
    digits = list(split(np.array(values, np.int64), width, count))
    assert len(digits) == count
    modulus = 2 ** min(width * count, 64)
    for i, value in enumerate(values):
        found = [int(d[i]) for d in digits]
        assert all(-(2 ** (width - 1)) <= d < 2 ** (width - 1) for d in found)
        assert (sum(d << (width * j) for j, d in enumerate(found)) - value) % modulus == 0


@given(st.integers(1, 64), st.integers(1, 64), st.sampled_from(("i2", "u4", "i8", "u8")))
def test_limbs_hold_their_operands(x, w, dtype):
    """Every way to split reaches up to the largest magnitude, or covers the bits of the result."""
    p = problem((5000,), (300,), "same", dtype)
    found = list(splits(p, (x, w), None))
    assert found
    for limbs in found:
        assert recovers(limbs.problem(p), None, limbs.peaks)
        for bits, width, count in zip((x, w), limbs.width, limbs.count, strict=True):
            top = sum((2 ** (width - 1) - 1) << (width * i) for i in range(count))
            assert top >= 2**bits - 1 or width * count >= limbs.bits


def test_few_limbs_for_small_values():
    p = problem((10**5,), (10**4,), "same", "i8")
    x, w = arrays(p, bound=2**15)
    limbs = plan_for(p, x, w, Request(method="overlap_save")).chosen.limbs
    assert limbs is not None and limbs.transforms <= 4
    x, w = arrays(p)
    assert plan_for(p, x, w).chosen.limbs.transforms <= 10


def test_limbs_beat_the_direct_sum():
    p = problem((10**5,), (10**4,), "same", "i8")
    x, w = arrays(p)
    plan = plan_for(p, x, w)
    assert plan.method == "overlap_save" and "limbs" in str(plan)
    run(p, x, w)
    begin = perf_counter()
    got = run(p, x, w)
    middle = perf_counter()
    want = run(p, x, w, None, Request(method="direct"))
    assert middle - begin < (perf_counter() - middle) / 3
    np.testing.assert_array_equal(got, want)


def test_long_arrays_are_answered_piece_by_piece(monkeypatch):
    monkeypatch.setattr("fftconv.core.methods.limbs.PIECE_BYTES", 2**16)
    for extras in ("plain", "stride", "all at once"):
        for sizes in (((6000,), (50,)), ((90, 80), (3, 5))):
            p = problem(*sizes, "same", "i8", EXTRAS[extras])
            assert piece(p, Limbs((13, 13), (5, 5), 64)) < (p.batch, *p.output_size)
            x, w = extremes(p)
            np.testing.assert_array_equal(
                run(p, x, w, None, Request(method="fft")), oracle.by_taps(p, x, w), err_msg=str(p)
            )


def test_peak_bits():
    for value, bits in ((0, 0), (1, 1), (-1, 1), (255, 8), (256, 9), (-128, 8), (2**40 - 1, 40)):
        assert peak_bits(np.array([value], np.int64)) == bits
    assert peak_bits(np.array([-(2**63)], np.int64)) == 64
    assert peak_bits(np.array([2**64 - 1], np.uint64)) >= 64


@pytest.mark.parametrize("method", ("direct", *SPECTRAL))
@pytest.mark.parametrize("extras", EXTRAS)
def test_logical_sums(forced, poisoned, method, extras):
    for sizes in (((700,), (90,)), ((30, 33), (7, 8))):
        p = problem(*sizes, "same", "b1", EXTRAS[extras])
        for density in (0.5, 0.01):
            rng = np.random.default_rng(5)
            x, w = (rng.random(shape) < density for shape in (p.x_shape, p.w_shape))
            got = forced(p, x, w, Request(method=method))
            assert got.dtype == bool
            np.testing.assert_array_equal(got, oracle.by_taps(p, x, w), err_msg=str(p))


def test_a_batch_of_images():
    p = problem((60, 70), (13, 15), "valid", "u4", Extras(batch=3, channels=(2, 3)))
    x, w = extremes(p)
    for method in SPECTRAL:
        np.testing.assert_array_equal(run(p, x, w, None, Request(method=method)), oracle.by_taps(p, x, w))


@pytest.mark.parametrize(("a", "b"), [("u8", "u2"), ("i8", "u1")])
def test_lines_sum_in_the_dtype_that_was_asked_for(a, b):
    """numpy takes uint64 and int64 to float64, where the last digits of these sums are lost."""
    x, w = np.array([0, 0, 2**40 + 1], a), np.array([0, 2**7 - 1], b)
    found = convolve(x, w, dtype=np.int64)
    assert found.dtype == np.int64
    assert found.tolist() == [0, 0, 0, (2**40 + 1) * 127]


@pytest.mark.parametrize(
    "dtypes", [("u8", "u4", "i8"), ("u4", "u8", "i8"), ("u8", "u8", "i8"), ("u8", "?", "i1")]
)
@pytest.mark.parametrize("sizes", [((1, 300), (1, 5)), ((9, 30), (3, 4)), ((3, 4000), (1, 700))])
def test_unsigned_operands_summed_as_signed(sizes, dtypes):
    """Between uint64 and int64 NumPy goes through float64, which has no room for the lowest bits."""
    rng = np.random.default_rng(0)
    a, b = (
        rng.integers(0, 2 if d == "?" else 2 ** (8 * int(d[1]) - 1), n).astype(d)
        for n, d in zip(sizes, dtypes, strict=False)
    )
    want = convolve(a.astype("u8"), b.astype("u8"), "same", "direct").astype(dtypes[2])
    for method in METHODS:
        try:
            got = convolve(a, b, "same", method, dtype=dtypes[2])
        except ValueError as refused:
            assert method in ("band", "jit", "separable") and "cannot answer" in str(refused)
        else:
            np.testing.assert_array_equal(got, want, err_msg=method)
