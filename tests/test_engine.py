"""Every engine against the contract, and against a transform written out from its definition."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from fftconv.core.config import Config, config_context, get_config
from fftconv.core.engine import Engine, FFTSpec, get_engine
from fftconv.core.engine.base import SPECTRUM_DTYPES
from fftconv.core.engine.registry import ENGINES, choose_engine

DTYPES = list(SPECTRUM_DTYPES)
COMMON = [np.dtype(name) for name in ("f4", "f8", "c8", "c16")]
PRIMES = (257, 509, 1009, 4099)
SMOOTH = (4096, 10800, 30030, 65536, 100_000)


@pytest.fixture(params=[engine.name for engine in ENGINES])
def engine(request: pytest.FixtureRequest) -> Engine:
    try:
        return choose_engine(replace(Config(), engine=request.param))[0]
    except ImportError:
        pytest.skip(f"{request.param} is not installed")


def spec_of(shape: tuple[int, ...], axes: tuple[int, ...], dtype: Any) -> FFTSpec:
    return FFTSpec(shape, axes, np.dtype(dtype))


def samples(spec: FFTSpec, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(spec.shape)
    return (x if spec.real else x + 1j * rng.standard_normal(spec.shape)).astype(spec.dtype)


@cache
def dft_matrix(n: int) -> np.ndarray:
    """``exp(-2 pi i jk / n)`` in long double, the phase reduced in integers."""
    turn = 8 * np.arctan(np.longdouble(1))
    phase = turn * (np.outer(np.arange(n), np.arange(n)) % n).astype(np.longdouble) / n
    return np.cos(phase) - 1j * np.sin(phase)


def defined_transform(spec: FFTSpec, x: np.ndarray) -> np.ndarray:
    """The spectrum by the definition, halved like the engine's."""
    X = x.astype(np.clongdouble)
    for axis in spec.axes:
        X = np.moveaxis(np.tensordot(dft_matrix(spec.shape[axis]), X, axes=(1, axis)), 0, axis)
    return X[tuple(slice(n) for n in spec.spectrum_shape)]


def numpy_transform(spec: FFTSpec, x: np.ndarray) -> np.ndarray:
    """The spectrum by numpy.fft in double precision, halved like the engine's."""
    wide = np.promote_types(spec.dtype, np.float64)
    X = np.fft.fftn(x.astype(wide), axes=spec.axes)
    return X[tuple(slice(n) for n in spec.spectrum_shape)]


def assert_close(got: np.ndarray, expected: np.ndarray, *dtypes: Any) -> None:
    """Relative error in the L2 norm within 30 units of the coarsest of `dtypes`."""
    eps = max(np.finfo(dtype).eps for dtype in dtypes)
    error = np.linalg.norm((got - expected).ravel().astype(np.clongdouble))
    assert error <= 30 * eps * np.linalg.norm(expected.ravel())


def check(engine: Engine, spec: FFTSpec, oracle: Callable[[FFTSpec, np.ndarray], np.ndarray]) -> None:
    """Forward against `oracle`, then back, from an input that must stay as it was."""
    x = samples(spec)
    x.flags.writeable = False
    before = x.copy()
    with engine.borrow(spec) as plan:
        X = plan.forward(x)
        assert X.shape == spec.spectrum_shape
        assert X.dtype == spec.spectrum_dtype
        expected = oracle(spec, x)
        assert_close(X, expected, spec.dtype, expected.dtype)
        np.testing.assert_array_equal(plan.signal, x)
        y = plan.backward(expected.astype(spec.spectrum_dtype))
        assert y.shape == spec.shape
        assert y.dtype == spec.dtype
        assert_close(y, x.astype(np.clongdouble) * np.prod(spec.transform_shape), spec.dtype, expected.dtype)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_length_to_256(engine: Engine, dtype: np.dtype[Any]) -> None:
    if not engine.supports(dtype):
        pytest.skip(f"{engine.name} has no {dtype}")
    for n in range(1, 257):
        check(engine, spec_of((n,), (0,), dtype), defined_transform)


@pytest.mark.parametrize("dtype", COMMON, ids=str)
@pytest.mark.parametrize("n", PRIMES + SMOOTH)
def test_primes_and_large_smooth_lengths(engine: Engine, n: int, dtype: np.dtype[Any]) -> None:
    check(engine, spec_of((n,), (0,), dtype), numpy_transform)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((6, 7), (0, 1)),
        ((7, 6), (0,)),  # batch behind
        ((3, 16), (1,)),  # batch before
        ((4, 5, 6), (0, 1, 2)),
        ((4, 5, 6), (0, 2)),  # batch between
        ((4, 5, 6), (1,)),
        ((3, 4, 5, 6), (0, 1, 2, 3)),
        ((3, 4, 5, 7), (2, 3)),
        ((3, 4, 5, 6), (0, 2)),
        ((1, 1), (0, 1)),
        ((1, 9, 1), (0, 1, 2)),  # halved axis of length 1
        ((2, 2, 2, 2, 2), (1, 4)),
    ],
)
def test_axes_and_batches(
    engine: Engine, shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    if not engine.supports(dtype):
        pytest.skip(f"{engine.name} has no {dtype}")
    check(engine, spec_of(shape, axes, dtype), defined_transform)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((96, 96), (0, 1)), ((8, 2048), (1,)), ((32, 32, 32), (0, 1, 2)), ((2, 60, 64), (1, 2))],
)
@pytest.mark.parametrize("dtype", COMMON, ids=str)
def test_tiles(engine: Engine, shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    check(engine, spec_of(shape, axes, dtype), numpy_transform)


PARTS = [
    ((6, 8), (0, 1), (4, 5)),
    ((9,), (0,), (3,)),
    ((3, 8, 6), (1, 2), (1, 6)),
    ((2, 6, 5, 8), (1, 2, 3), (2, 5, 1)),
    ((4, 6, 5), (0, 1), (2, 3)),  # batch behind
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "axes", "part"), PARTS)
def test_a_forward_transform_reads_the_filled_part(
    engine: Engine, shape: tuple[int, ...], axes: tuple[int, ...], part: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    if not engine.supports(dtype):
        pytest.skip(f"{engine.name} has no {dtype}")
    spec = FFTSpec(shape, axes, dtype, filled=part)
    whole = np.zeros(shape, dtype)
    whole[spec.part(part)] = samples(spec)[spec.part(part)]
    expected = defined_transform(spec, whole)
    with engine.borrow(spec) as plan:
        for _ in range(2):
            # what lies beyond counts for zeros, also when the scratch was used before
            plan.signal[...] = np.nan
            plan.spectrum[...] = np.nan
            plan.signal[spec.part(part)] = whole[spec.part(part)]
            assert_close(plan.forward(), expected, dtype, expected.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("shape", "axes", "part"), PARTS)
def test_a_backward_transform_gives_the_kept_part(
    engine: Engine, shape: tuple[int, ...], axes: tuple[int, ...], part: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    if not engine.supports(dtype):
        pytest.skip(f"{engine.name} has no {dtype}")
    spec = FFTSpec(shape, axes, dtype, kept=part)
    x = samples(spec)
    with engine.borrow(spec) as plan:
        y = plan.backward(defined_transform(spec, x).astype(spec.spectrum_dtype))
        expected = x.astype(np.clongdouble) * np.prod(spec.transform_shape)
        assert_close(y[spec.part(part)], expected[spec.part(part)], dtype)


def unaligned(x: np.ndarray) -> np.ndarray:
    raw = np.empty(x.nbytes + 1, np.uint8)[1:]
    copy = raw.view(x.dtype).reshape(x.shape) if x.ndim == 1 else np.ndarray(x.shape, x.dtype, raw.data)
    copy[...] = x
    return copy


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "negative strides": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "fortran": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "unaligned": unaligned,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "integer": lambda x: (10 * x.real).astype(np.int16),
    "narrower": lambda x: x.astype(np.complex64 if x.dtype.kind == "c" else np.float32),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_any_layout_is_read_and_none_is_written(engine: Engine, dtype: str, layout: str) -> None:
    spec = spec_of((12, 10), (0, 1), dtype)
    x = LAYOUTS[layout](samples(spec))
    before = x.copy()
    x.flags.writeable = False
    with engine.borrow(spec) as plan:
        assert_close(plan.forward(x), numpy_transform(spec, before), spec.dtype)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", COMMON, ids=str)
@pytest.mark.parametrize(("shape", "axes"), [((24,), (0,)), ((8, 9), (0, 1)), ((4, 6, 5), (0, 1, 2))])
def test_backward_leaves_the_callers_spectrum(
    engine: Engine, shape: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    spec = spec_of(shape, axes, dtype)
    with engine.borrow(spec) as plan:
        X = plan.forward(samples(spec)).copy()
        before = X.copy()
        X.flags.writeable = False
        first = plan.backward(X).copy()
        np.testing.assert_array_equal(X, before)
        np.testing.assert_array_equal(plan.backward(X[::-1][::-1]), first)


@pytest.mark.parametrize("dtype", COMMON, ids=str)
def test_scratch_is_filled_in_place(engine: Engine, dtype: np.dtype[Any]) -> None:
    """The way of the tiles: fill `signal`, transform, multiply the result in place, transform back, again."""
    spec = spec_of((3, 20), (1,), dtype)
    with engine.borrow(spec) as plan:
        signal = plan.signal
        for seed in range(3):
            x = samples(spec, seed)
            signal[...] = x
            X = plan.forward()
            np.multiply(X, 2, out=X)
            assert_close(plan.backward(X), 40 * x, spec.dtype)
            assert plan.signal is signal


def test_spectrum_filled_without_forward(engine: Engine) -> None:
    spec = spec_of((16,), (0,), "f8")
    with engine.borrow(spec) as plan:
        plan.spectrum[...] = 0
        plan.spectrum[0] = 3
        np.testing.assert_allclose(plan.backward(), np.full(16, 3.0))


def test_wrong_input_is_refused(engine: Engine) -> None:
    with engine.borrow(spec_of((8,), (0,), "f8")) as plan:
        with pytest.raises(TypeError):
            plan.forward(np.ones(8, complex))
        with pytest.raises(ValueError, match="broadcast"):
            plan.forward(np.ones(9))


def test_scratch_is_aligned_for_simd(engine: Engine) -> None:
    if engine.name != "fftw":
        pytest.skip("scipy copies where it needs to")
    for n in (7, 33, 1000):
        with engine.borrow(spec_of((n,), (0,), "f4")) as plan:
            assert plan.signal.ctypes.data % 64 == 0
            assert plan.spectrum.ctypes.data % 64 == 0


@pytest.mark.parametrize("real", [True, False])
def test_fast_lengths(engine: Engine, real: bool) -> None:
    lengths = [engine.next_fast_len(n, real) for n in range(1, 3000)]
    assert all(m >= n for n, m in enumerate(lengths, 1))
    assert lengths == sorted(lengths)
    assert all(engine.next_fast_len(m, real) == m for m in set(lengths))
    assert all(m <= 1.12 * n + 3 for n, m in enumerate(lengths, 1))
    for m in set(lengths):
        rest = m
        for prime in (2, 3, 5, 7, 11, 13):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1
    with pytest.raises(ValueError, match="must be >= 1, got 0"):
        engine.next_fast_len(0, real)


def test_large_fast_length(engine: Engine) -> None:
    n = 10**8 + 7
    assert n <= engine.next_fast_len(n) <= 1.01 * n


def test_spec_facts() -> None:
    spec = spec_of((3, 10, 4), (0, 1), "f4")
    assert spec.real
    assert spec.spectrum_shape == (3, 6, 4)
    assert spec.spectrum_dtype == np.complex64
    assert spec.transform_shape == (3, 10)
    assert spec.nbytes == 3 * 10 * 4 * 4 + 3 * 6 * 4 * 8
    assert spec_of((3, 10), (1,), "c16").spectrum_shape == (3, 10)


def test_spec_is_a_key() -> None:
    a, b = spec_of((3, 10), (1,), "f4"), FFTSpec((3, 10), (1,), np.float32)  # type: ignore[arg-type]
    assert a == b
    assert hash(a) == hash(b)
    assert a != spec_of((3, 10), (1,), "f8")
    assert a != spec_of((3, 10), (0,), "f4")
    assert pickle.loads(pickle.dumps(a)) == a


@pytest.mark.parametrize(
    ("shape", "axes", "dtype", "error", "message"),
    [
        ((4, 0), (0,), "f8", ValueError, r"lengths must all be >= 1; got shape \(4, 0\)"),
        ((), (0,), "f8", ValueError, "lengths must all be >= 1"),
        ((4, 4), (), "f8", ValueError, "axes must be ascending"),
        ((4, 4), (1, 0), "f8", ValueError, r"axes must be ascending.*got \(1, 0\) for shape \(4, 4\)"),
        ((4, 4), (1, 1), "f8", ValueError, "axes must be ascending"),
        ((4, 4), (-1,), "f8", ValueError, "axes must be ascending"),
        ((4, 4), (2,), "f8", ValueError, "axes must be ascending"),
        ((4,), (0,), "i4", TypeError, "dtype must be one of float32"),
        ((4,), (0,), ">f8", TypeError, "native byte order"),
    ],
)
def test_bad_spec_is_refused(
    shape: tuple[int, ...], axes: tuple[int, ...], dtype: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        spec_of(shape, axes, dtype)


@pytest.mark.parametrize("part", [(3,), (3, 9), (2, 3, 4)])
def test_parts_fit_the_transform(part: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"at most \(4, 8\); got"):
        FFTSpec((4, 8), (0, 1), np.dtype("f8"), kept=part)


def test_get_engine_follows_the_options() -> None:
    with config_context(engine="scipy"):
        assert get_engine(np.dtype("f4")).name == "scipy"
        assert get_engine() is get_engine()
    with config_context(engine="scipy", cache_bytes=12345):
        assert get_engine().cache_bytes == 12345
        assert get_engine().info().limit == 12345
    assert get_engine().cache_bytes == get_config().cache_bytes


@pytest.mark.parametrize("dtype", ["i4", "f2", "O", ">f8"])
def test_get_engine_refuses_what_no_engine_transforms(dtype: str) -> None:
    with pytest.raises(TypeError, match="transforms are of"):
        get_engine(np.dtype(dtype))
