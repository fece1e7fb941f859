"""Small problems in compiled loops: each thread's window is used again and again, and no result shows it."""

from __future__ import annotations

import threading
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import scipy.signal
from problems import EXTRAS, Extras, arrays, awkward, poison, problem

import fftconv
from fftconv.core.boundary import Boundary, Outside
from fftconv.core.loop_rows import is_lone, is_small
from fftconv.core.methods import bench, executor, jit, taps
from fftconv.core.plan import Candidate, ConvPlan

pytestmark = pytest.mark.skipif(find_spec("llvmlite") is None, reason="the jit extra is not installed")


@pytest.fixture(autouse=True, scope="module")
def compiled():
    for dtype in ("f4", "f8", "i4", "u1"):
        jit.warm_up(np.dtype(dtype))


def assert_bits_of_taps(p, calls=3):
    """Several calls of one executor, each with other numbers."""
    plan = ConvPlan(p, Candidate("jit"), "")
    execute = executor(plan)
    assert is_small(p)
    for seed in range(calls):
        x, w = arrays(p, seed)
        want, got = poison(p.out_shape, p.dtype), poison(p.out_shape, p.dtype)
        taps.execute(plan, x, w, want)
        execute(plan, x, w, got)
        assert got.tobytes() == want.tobytes(), p
        got[...] = poison(p.out_shape, p.dtype)
        bench.bench_of(p).by_taps((x, w), got)
        assert got.tobytes() == want.tobytes(), p
        if execute.sums is not None:
            assert execute.sums(x[0, 0], w[0, 0]).tobytes() == want.tobytes(), p


@pytest.mark.parametrize("dtype", ("f4", "f8", "i4", "u1", ("f4", "f8", "f8"), ("u1", "i4", "i4")))
@pytest.mark.parametrize("extras", EXTRAS)
def test_calls_one_after_the_other_have_the_bits_of_taps(dtype, extras):
    for size, kernel in (((61,), (11,)), ((13, 21), (4, 5)), ((31, 9), (3, 3)), ((5, 6, 9), (3, 2, 4))):
        for pads in ("same", "full", "valid"):
            p = problem(size, kernel, pads, dtype, EXTRAS[extras])
            p = replace(p, lhs_dilation=(1,) * p.ndim)
            if all(p.output_size) and is_small(p):
                assert_bits_of_taps(p)


@pytest.mark.parametrize("extras", (Extras(), Extras(batch=2, channels=(4, 2), groups=2, stride=2)))
@pytest.mark.parametrize("boundary", Boundary)
def test_what_lies_outside(boundary, extras):
    for size, kernel in (((40,), (9,)), ((20, 17), (3, 7)), ((3, 30), (7, 2))):
        p = problem(size, kernel, "full", "f8", extras)
        assert_bits_of_taps(p.with_(outside=Outside.of((boundary,) * p.ndim, 2.5)))


def test_awkward_memory():
    p = problem((40, 30), (3, 5), "same", "f8")
    plan = ConvPlan(p, Candidate("jit"), "")
    (x, w), execute = arrays(p), executor(plan)
    want = execute.sums(x[0, 0], w[0, 0])
    for a in awkward(x).values():
        for b in awkward(w).values():
            assert np.array_equal(execute.sums(a[0, 0], b[0, 0]), want)
    for out in awkward(poison(p.out_shape, p.dtype)).values():
        if out.flags.writeable:
            execute(plan, x, w, out)
            assert np.array_equal(out[0, 0], want)


@pytest.mark.parametrize("sizes", (((16, 16), (3, 3)), ((500,), (10,)), ((7, 8, 9), (3, 2, 3)), ((5,), (9,))))
@pytest.mark.parametrize("mode", ("full", "same", "valid"))
def test_a_small_array_again(sizes, mode):
    """The second call with plain arrays goes past problem and views, and gives what the first one did."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(size) for size in sizes)
    want = scipy.signal.convolve(a, b, mode, method="direct")
    for method in ("jit", "auto"):
        first, *others = (fftconv.convolve(a, b, mode, method=method) for _ in range(4))
        np.testing.assert_allclose(first, want, rtol=0, atol=1e-12)
        for found in others:
            assert found.flags.owndata and found.flags.c_contiguous
            assert found.tobytes() == first.tobytes()
        prepared = fftconv.Convolver(b, mode=mode, method=method)
        for found in (prepared(a), prepared(a), prepared(a, out=np.empty_like(first))):
            np.testing.assert_allclose(found, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("value", (np.nan, np.inf))
@pytest.mark.parametrize("size, kernel", (((60,), (7,)), ((16, 16), (3, 3))))
def test_values_that_are_not_finite_stay_in_their_windows(value, size, kernel):
    """A tap that is not finite meets zeros outside, which are no terms; nor does a window remember a sample."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(size), rng.standard_normal(kernel)
    spoilt_x, spoilt_w = x.copy(), w.copy()
    spoilt_x[(3,) * x.ndim] = value
    spoilt_w[(0,) * w.ndim] = value
    with np.errstate(invalid="ignore"):
        for a, b in ((x, w), (spoilt_x, w), (x, spoilt_w), (spoilt_x, spoilt_w), (x, w)):
            want = fftconv.convolve(a, b, "same", method="direct")
            for _ in range(2):
                found = fftconv.convolve(a, b, "same", method="jit")
                np.testing.assert_allclose(found, want, rtol=0, atol=1e-13)


def test_threads_do_not_share_a_window():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((16, 30, 30)), rng.standard_normal((16, 5, 5))
    want = [fftconv.convolve(a, b, "same", method="jit").tobytes() for a, b in zip(x, w, strict=True)]
    wrong = []

    def work(i):
        for _ in range(200):
            if fftconv.convolve(x[i], w[i], "same", method="jit").tobytes() != want[i]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_of_few_problems_is_kept():
    """Others come by, the first one's window is dropped, and its executor finds another."""
    p = problem((50, 50), (3, 3))
    plan = ConvPlan(p, Candidate("jit"), "")
    (x, w), execute = arrays(p), executor(plan)
    want = execute.sums(x[0, 0], w[0, 0])
    assert p in bench._kept.benches
    for n in range(10):
        assert_bits_of_taps(problem((60_000 - n,), (3,)), 1)
        assert sum(b.nbytes for b in bench._kept.benches.values()) <= bench.KEPT_BYTES
    assert p not in bench._kept.benches
    assert np.array_equal(execute.sums(x[0, 0], w[0, 0]), want)


def test_rows_are_shared_where_there_is_work_for_threads():
    p = problem((100, 120), (15, 15), "same", "f4")
    assert is_small(p) and not is_lone(p)
    (x, w), want = arrays(p), poison(p.out_shape, p.dtype)
    taps.execute(ConvPlan(p, Candidate("direct"), ""), x, w, want)
    for workers in (1, 2, 3):
        plan, got = ConvPlan(p, Candidate("jit", workers=workers), ""), poison(p.out_shape, p.dtype)
        for _ in range(20):
            executor(plan)(plan, x, w, got)
            assert got.tobytes() == want.tobytes()
