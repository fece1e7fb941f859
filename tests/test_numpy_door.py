"""The numpy door against numpy itself, which sums directly and is exact where that matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fftconv import numpy as door

DTYPES = ["?", "b", "B", "h", "H", "i", "I", "l", "L", "e", "f", "d", "g", "F", "D", "G", ">f8", ">i4", ">c8"]
NAMES = ("convolve", "correlate")


def sample(rng: np.random.Generator, n: int, dtype: str) -> np.ndarray:
    kind = np.dtype(dtype).kind
    if kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, n, np.dtype(dtype).newbyteorder("="), True).astype(dtype)
    if kind == "b":
        return rng.random(n) < 0.4
    return (rng.standard_normal(n) + (1j * rng.standard_normal(n) if kind == "c" else 0)).astype(dtype)


def check(got, want, a, b):
    assert type(got) is np.ndarray and got.base is None
    assert got.dtype == want.dtype and got.shape == want.shape
    if got.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
    else:
        bound = 16 * np.finfo(got.dtype).eps * np.linalg.norm(a.astype("D")) * np.linalg.norm(b.astype("D"))
        assert np.abs(got.astype("G") - want.astype("G")).max() <= bound


@given(
    st.sampled_from(NAMES),
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)),
    st.sampled_from(["full", "same", "valid", 0, 1, 2, np.int64(1), np.str_("same")]),
    st.integers(0, 2**32 - 1),
)
def test_values_dtypes_and_lengths_are_numpys(name, lengths, dtypes, mode, seed):
    rng = np.random.default_rng(seed)
    a, v = (sample(rng, n, d) for n, d in zip(lengths, dtypes, strict=True))
    check(getattr(door, name)(a, v, mode), getattr(np, name)(a, v, mode), a, v)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("k", range(1, 8))
def test_every_pair_of_short_lengths(n, k, mode):
    a, v = 10.0 ** np.arange(n), np.arange(1, k + 1) * 1j
    for name in NAMES:
        np.testing.assert_allclose(getattr(door, name)(a, v, mode), getattr(np, name)(a, v, mode), rtol=1e-12)


def test_defaults_are_numpys():
    a, v = [1, 2, 3], [0, 1, 0.5]
    np.testing.assert_array_equal(door.convolve(a, v), np.convolve(a, v))
    np.testing.assert_array_equal(door.correlate(a, v), np.correlate(a, v))


def test_scalars_are_promoted_by_convolve_only():
    assert door.convolve(3, 4).tolist() == [12]
    assert door.convolve(np.array(3), np.ones(2)).tolist() == [3, 3]
    assert np.float32(2).dtype == door.convolve(np.ones(3, "f4"), np.float32(2)).dtype
    assert door.convolve(np.ones(3, "f4"), 2.0).dtype == np.float64
    with pytest.raises(ValueError, match=r"a must be 1-d, got shape \(\)"):
        door.correlate(3, [4])


def test_integers_wrap_and_booleans_are_logical():
    assert door.convolve(np.int8([100, 100]), np.int8([100, 1])).tolist() == [16, 116, 100]
    assert door.convolve([True, True], [True, True]).tolist() == [True, True, True]


def test_non_finite_values_stay_local_in_direct_sums():
    a = np.ones(5000)
    a[[7, 4000]] = np.nan, np.inf
    got = door.convolve(a, np.ones(900), method="direct")
    assert np.flatnonzero(np.isnan(got)).tolist() == list(range(7, 907))
    assert np.flatnonzero(np.isinf(got)).tolist() == list(range(4000, 4900))


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("name", NAMES)
def test_out_may_be_an_input(name, mode):
    rng = np.random.default_rng(3)
    a, v = rng.standard_normal(12), rng.standard_normal(1)
    want = getattr(np, name)(a, v, mode)
    assert getattr(door, name)(a, v, mode, out=a) is a
    np.testing.assert_allclose(a, want)


@pytest.mark.parametrize("method", ["direct", "fft", "overlap_save"])
def test_a_forced_method_gives_the_same(method):
    rng = np.random.default_rng(4)
    a, v = rng.standard_normal(400), rng.standard_normal(30)
    for name in NAMES:
        check(
            getattr(door, name)(a, v, "same", method=method, workers=1), getattr(np, name)(a, v, "same"), a, v
        )


BAD = [
    (([], [1]), "a cannot be empty"),
    (([1], []), "v cannot be empty"),
    (([], [1], "nonsense"), "acceptable mode flags"),
    (([[1, 2]], [1]), r"a must be 1-d, got shape \(1, 2\)"),
    (([1], np.ones((2, 2))), r"v must be 1-d, got shape \(2, 2\)"),
    (([1, 2], [1], "f"), "acceptable mode flags are 'valid', 'same', or 'full'; got 'f'"),
    (([1, 2], [1], "FULL"), "acceptable mode flags are 'valid', 'same', or 'full'; got 'FULL'"),
    (([1, 2], [1], 3), r"integer mode must be 0 \(valid\), 1 \(same\) or 2 \(full\); got 3"),
    (([1, 2], [1], -1), "integer mode must be 0"),
    (([1, 2], [1], None), "mode must be 'valid', 'same', 'full' or its number"),
    (([1, 2], [1], 1.0), "mode must be 'valid'"),
    (([1, 2], [1], True), "mode must be 'valid'"),
    (([1, 2], [1], b"full"), "mode must be 'valid'"),
    ((["a", "b"], ["c"]), "a must hold booleans, integers, real or complex numbers, got dtype <U1"),
    ((np.array(["2001-01-01"], "M8[D]"),) * 2, "a must hold booleans"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("args, words", BAD)
def test_bad_input_raises_what_numpy_raises(name, args, words):
    with pytest.raises((ValueError, TypeError)) as numpys:
        getattr(np, name)(*args)
    with pytest.raises(numpys.type, match=words):
        getattr(door, name)(*args)


def test_objects_are_refused_with_the_reason():
    with pytest.raises(TypeError, match="sums of Python objects cannot be planned"):
        door.convolve([1, None], [1])
