"""``overflow="raise"``: integers whose sums do not fit are an error, at the bound and one beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fftconv import _overflow
from fftconv.core.planner import METHODS
from fftconv.signal import convolve, correlate

INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def exact(a, b, reverse=False):
    """The full convolution in Python integers, 1-d."""
    b = b[::-1] if reverse else b
    out = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += int(x) * int(y)
    return out


def fits(sums, dtype):
    limits = np.iinfo(dtype)
    return all(limits.min <= v <= limits.max for v in sums)


def check(a, b, call=convolve, **keywords):
    sums = exact(a, b, call is correlate)
    dtype = np.dtype(keywords.get("dtype", np.result_type(a, b)))
    if fits(sums, dtype):
        got = call(a, b, overflow="raise", **keywords)
        assert got.dtype == dtype and [int(v) for v in got] == sums
        return True
    with pytest.raises(OverflowError, match=rf"every sum must fit {dtype} .*dtype=numpy\.(int64|float64)"):
        call(a, b, overflow="raise", **keywords)
    return False


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("n", [1, 40])
def test_the_bound_and_one_beyond(dtype, n):
    """One product after another carries the sum to the largest and the least number, and past it."""
    limits = np.iinfo(dtype)
    for bound, step in ((limits.max, 1), (limits.min, -1)):
        part, rest = divmod(abs(bound), n)
        a = np.zeros(n + 1, dtype)
        a[:n], a[n] = step * part if step * part >= limits.min else 0, step * rest
        if step < 0 and limits.min == 0:
            continue
        b = np.ones(n + 1, dtype)
        assert check(a, b)
        a[n] += step
        assert not check(a, b)


@pytest.mark.parametrize("dtype", ["i8", "u8"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_at_64_bits(dtype, method):
    limits = np.iinfo(dtype)
    a = np.zeros(300, dtype)
    a[100], a[120] = limits.max - 1000, 1000
    b = np.ones(50, dtype)
    try:
        got = convolve(a, b, "same", method, overflow="raise")
    except ValueError as refused:
        assert method in ("band", "jit", "separable") and "cannot answer this problem" in str(refused)
        return
    assert got.max() == limits.max
    a[120] += 1
    with pytest.raises(OverflowError, match="float64 rounds it"):
        convolve(a, b, "same", method, overflow="raise")


@st.composite
def operands(draw):
    """Integers of any magnitude up to the extremes of their dtypes."""
    found = []
    for _ in range(2):
        dtype = np.dtype(draw(st.sampled_from(INTEGERS)))
        limits = np.iinfo(dtype)
        bits = draw(st.integers(1, 8 * dtype.itemsize))
        low, high = max(limits.min, -(2 ** (bits - 1))), min(limits.max, 2**bits - 1)
        found.append(np.array(draw(st.lists(st.integers(low, high), min_size=1, max_size=9)), dtype))
    return found


@given(operands(), st.booleans(), st.sampled_from([None, "i1", "u4", "i8"]))
def test_python_integers_agree(pair, correlates, dtype):
    a, b = pair
    common = np.result_type(a, b)
    keywords = {} if dtype is None or not np.can_cast(common, dtype, "same_kind") else {"dtype": dtype}
    call = correlate if correlates else convolve
    if common.kind == "f" and not keywords:
        assert call(a, b, overflow="raise").dtype == common
    else:
        check(a, b, call, **keywords)


@given(operands(), st.sampled_from([None, "i1", "i8"]))
def test_digits_tell_what_floats_cannot(pair, dtype):
    """The last resort, asked of everything."""
    a, b = pair
    common = np.result_type(a, b)
    if common.kind == "f" or (dtype and not np.can_cast(common, dtype, "same_kind")):
        return
    keywords = {"dtype": dtype} if dtype else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_overflow, "_bound", lambda *_: np.inf)
        patch.setattr(_overflow, "_float_error", lambda *_: 2.0**200)
        check(a, b, **keywords)


@pytest.mark.parametrize("extra", [0, 1])
def test_large_products_that_cancel(extra):
    """Of the order of 2**125 one by one, and in sum at the bound: no float64 tells that from one beyond."""
    big = 2**62 - 1
    a = np.array([big, -big, 2**62, 2**62 - 1 + extra], np.int64)
    b = np.array([1, 1, big, big], np.int64)
    want = exact(a, b)
    middle = want[3]
    assert middle == 2**63 - 1 + extra
    got = "fits"
    try:
        y = convolve(a, b, "valid", overflow="raise")
    except OverflowError:
        got = "does not"
    else:
        assert [int(v) for v in y] == [middle]
    assert got == ("does not" if extra else "fits")


def test_least_integer_squared():
    least = np.iinfo("i8").min
    with pytest.raises(OverflowError, match=r"about 8\.50706e"):
        convolve(np.array([least]), np.array([least]), overflow="raise")
    assert convolve(np.array([least]), [1], overflow="raise")[0] == least
    with pytest.raises(OverflowError):
        convolve(np.array([least]), [-1], overflow="raise")


def test_images_and_batches():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (3, 50, 60), np.uint8), np.ones((1, 3, 3), np.uint8)
    want = convolve(a, b, "same", axes=(1, 2), dtype=np.int64)
    with pytest.raises(OverflowError, match=rf"about {want.max()} at index .*dtype=numpy.int64 holds"):
        convolve(a, b, "same", axes=(1, 2), overflow="raise")
    for dtype in (np.uint16, np.int64):
        got = convolve(a, b, "same", axes=(1, 2), overflow="raise", dtype=dtype)
        np.testing.assert_array_equal(got, want)


def test_long_operands_at_the_bound():
    """Where transforms sum them: 2**15 products of -2**16 are the least number of 32 bits."""
    a, b = np.full(2**16, -(2**12), np.int32), np.full(2**15, 2**4, np.int32)
    assert convolve(a, b, "valid", overflow="raise").min() == -(2**31)
    a[1000] -= 1
    with pytest.raises(OverflowError):
        convolve(a, b, "valid", overflow="raise")


def test_nothing_is_written_that_is_refused():
    a, out = np.array([200, 200], np.uint8), np.full(3, 7, np.uint8)
    with pytest.raises(OverflowError):
        convolve(a, np.array([1, 1], np.uint8), out=out, overflow="raise")
    assert (out == 7).all()
    assert convolve(a, np.array([1, 0], np.uint8), out=out, overflow="raise") is out
    assert out.tolist() == [200, 200, 0]


def test_scalars_and_what_is_no_integer():
    with pytest.raises(OverflowError):
        convolve(2**40, 2**40, overflow="raise")
    assert convolve(2**31, 2**31, overflow="raise") == 2**62
    assert convolve([1e308], [10.0], overflow="raise") == [np.inf]
    assert convolve([True, True], [True], overflow="raise").tolist() == [True, True]


def test_a_bound_costs_nothing_more(monkeypatch):
    """Small integers are never summed twice."""
    monkeypatch.setattr(_overflow, "_check", lambda *_: pytest.fail("summed again"))
    a = np.full(1000, 255, np.int64)
    convolve(a, a, overflow="raise")
    convolve(a, a, overflow="raise", nan_policy="omit")
