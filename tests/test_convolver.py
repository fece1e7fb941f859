"""Convolver: the plain call's results, its adjoints, banks, and that nothing of the kernel is done twice."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from problems import EXTRAS, arrays, poison, problem
from scipy.sparse.linalg import LinearOperator, cg, lsqr

import fftconv
from fftconv import Convolver, _prepared, convolve
from fftconv.core.engine import get_engine
from fftconv.core.engine.base import Engine, FFTPlan, FFTSpec
from fftconv.core.kernel import Kernel, Store
from fftconv.core.methods import spectral
from fftconv.core.plan import Request
from fftconv.core.run import Runner, run

MODES = ("full", "same", "valid")
METHODS = ("direct", "band", "jit", "fft", "overlap_save")
RNG = np.random.default_rng(7)


def values(shape: tuple[int, ...], dtype: Any = float, seed: int = 0) -> np.ndarray:
    rng, kind = np.random.default_rng([seed, *shape]), np.dtype(dtype)
    if kind.kind in "iu":
        return rng.integers(0, 100, shape).astype(kind)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if kind.kind == "c" else a).astype(kind)


# x, kernel, axes
BROADCASTS = {
    "1-d": ((500,), (31,), None),
    "longer kernel": ((20,), (33,), None),
    "2-d": ((60, 70), (7, 4), None),
    "3-d": ((12, 15, 17), (3, 4, 5), None),
    "rows": ((4, 300), (31,), -1),
    "columns": ((300, 4), (31, 1), 0),
    "colours": ((40, 50, 3), (5, 6, 1), (0, 1)),
    "own kernels": ((3, 200), (3, 21), -1),
    "kernels of one signal": ((200,), (3, 1, 21), -1),
    "everything": ((2, 1, 3, 60), (4, 3, 9), (3,)),
    "kernel of one row": ((1, 50), (5, 7), None),
    "one tap": ((30, 40), (1, 5), None),
    "no axes in common": ((4, 60), (2, 1, 9), (2,)),
}
by_broadcast = pytest.mark.parametrize(("x", "kernel", "axes"), BROADCASTS.values(), ids=BROADCASTS)
by_mode = pytest.mark.parametrize("mode", MODES)


def takes(x: tuple[int, ...], kernel: tuple[int, ...], axes: Any, mode: str) -> bool:
    try:
        convolve(np.ones(x), np.ones(kernel), mode, axes=axes)
    except ValueError:
        return False
    return True


class TestCall:
    @by_mode
    @by_broadcast
    def test_is_the_plain_call(self, x, kernel, axes, mode):
        if not takes(x, kernel, axes, mode):
            with pytest.raises(ValueError, match="valid"):
                Convolver(np.ones(kernel), mode=mode, axes=axes)(np.ones(x))
            return
        for dtype in ("f4", "f8", "c8", "i4", "f2", "b1"):
            a, w = values(x, dtype), values(kernel, dtype)
            expected = convolve(a, w, mode, axes=axes)
            found = Convolver(w, mode=mode, axes=axes)(a)
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
            close = {"f4": 1e-5, "c8": 1e-5, "f2": 2e-3}.get(dtype, 1e-12)
            np.testing.assert_allclose(found, expected, rtol=0, atol=close * (abs(expected).max() + 1))

    @pytest.mark.parametrize("dtype", ("f4", "f8", "c16", "i2", "i8", "b1"))
    @pytest.mark.parametrize("method", METHODS)
    def test_has_the_bits_of_the_plain_call_by_the_same_method(self, method, dtype):
        w = values((17, 9), dtype)
        try:
            convolve(values((5, 5), dtype), w, method=method)
        except ValueError:
            pytest.skip("this method has no such dtype")
        c = Convolver(w, method=method)
        for size in ((64, 64), (100, 30), (17, 9), (200, 210)):
            x = values(size, dtype)
            for _ in range(2):
                assert (c(x) == convolve(x, w, "same", method)).all()
            assert c.plan.method == method

    def test_has_the_bits_of_the_plain_call_around_the_edges_of_tiles(self):
        w = values((65,))
        c = Convolver(w, mode="full", method="overlap_save")
        step = fftconv.explain((10**5,), (65,), "full", method="overlap_save").tiling.step[0]
        for n in (65, step - 1, step, step + 1, 2 * step, 7 * step - 63, 30 * step + 1):
            x = values((n,))
            assert (c(x) == convolve(x, w, method="overlap_save")).all()

    def test_dtypes_are_those_of_convolve(self):
        for x in ("f4", "f8", "c8", "i4", "u1", "f2"):
            for w in ("f4", "f8", "c16", "i8", "b1"):
                a, k = values((50,), x), values((5,), w)
                assert Convolver(k)(a).dtype == convolve(a, k).dtype
        assert Convolver(values((5,), "u1"), dtype="i8")(values((50,), "u1")).dtype == np.int64
        with pytest.raises(TypeError, match="dtype must be able to hold"):
            Convolver(values((5,), complex), dtype="f8")(values((50,)))

    def test_large_integers_stay_exact(self):
        x, w = values((4000,), "i8") << 40, values((300,), "i8") << 20
        c = Convolver(w, method="fft")
        for part in (x, x >> 30, x[:1000] - 7):
            assert (c(part) == convolve(part, w, "same", "direct")).all()

    def test_out(self):
        w = values((9,))
        x = values((300,))
        c = Convolver(w)
        out = np.empty(300)
        assert c(x, out) is out
        assert (out == c(x)).all()
        mine = x.copy()
        assert c(mine, mine) is mine
        assert (mine == out).all()
        with pytest.raises(ValueError, match=r"shape of the result, \(300,\)"):
            c(x, np.empty(299))
        with pytest.raises(TypeError, match="dtype of the result"):
            c(x, np.empty(300, "f4"))

    def test_any_array_will_do(self):
        w = values((9, 3))
        c = Convolver(w)
        x = values((40, 50))
        expected = c(x)
        for a in (x[::-1][::-1], np.asfortranarray(x), x.astype(">f8"), x.tolist(), x.T.copy().T):
            assert (c(a) == expected).all()

    def test_nobody_can_make_the_kernel_writeable(self):
        with pytest.raises(ValueError, match="WRITEABLE"):
            Convolver(values((9,))).kernel.setflags(write=True)

    def test_the_kernel_is_a_copy(self):
        w = values((9,))
        c = Convolver(w)
        x = values((300,))
        expected = c(x)
        w[:] = 0
        assert (c(x) == expected).all()
        with pytest.raises(ValueError, match="read-only"):
            c.kernel[0] = 1

    @pytest.mark.parametrize("method", ("overlap_save", "fft", "auto"))
    def test_what_is_not_finite_stays_where_it_is(self, method):
        w = values((101,))
        c = Convolver(w, method=method)
        x = values((20_000,))
        clean = c(x)
        for bad in (np.nan, np.inf, -np.inf):
            x[9000] = bad
            found = c(x)
            touched = ~np.isfinite(found)
            assert (np.flatnonzero(touched) == np.arange(8950, 9051)).all()
            np.testing.assert_allclose(found[~touched], clean[~touched], atol=1e-12)
        w[3] = np.nan
        assert np.isnan(Convolver(w, mode="valid", method=method)(clean)).all()


class TestKernel:
    """The machine below the door, over problems that no Convolver poses: channels, groups, strides, dilations."""

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("extras", EXTRAS)
    def test_a_kept_kernel_gives_the_bits_of_a_new_one(self, method, extras):
        for dtype in ("f4", "c16", "i4"):
            for size, kernel in (((40, 30), (5, 4)), ((500,), (60,)), ((9, 8), (12, 3))):
                p = problem(size, kernel, "same", dtype, EXTRAS[extras])
                x, w = arrays(p)
                request = Request(method=method, workers=2)
                runner = Runner(p, request, Kernel(w, Store()))
                try:
                    expected = run(p, x, w, None, request)
                except ValueError:
                    continue
                for _ in range(2):
                    out = poison(p.out_shape, p.dtype)
                    runner(x, w, out)
                    assert (out == expected).all()

    def test_part_of_a_kernel_is_another(self):
        """A short signal meets only some of the taps; what was made of these is not for the others."""
        w = values((1, 1, 40))
        store = Store()
        for n in (5, 300, 6, 300):
            p = problem((n,), (40,), "valid" if n > 40 else ((0, 39 - n + 3),), "f8")
            x = values((1, 1, n))
            out = np.empty(p.out_shape)
            Runner(p, Request(method="fft"), Kernel(w, store))(x, w, out)
            np.testing.assert_allclose(out, run(p, x, w, None, Request(method="direct")), atol=1e-12)


class TestPlan:
    def test_is_that_of_the_last_call(self):
        c = Convolver(values((31, 31)))
        with pytest.raises(ValueError, match="before the first call"):
            _ = c.plan
        c(values((256, 256)))
        assert c.plan.problem.input_size == (256, 256)
        c(values((40, 50)))
        assert c.plan.problem.input_size == (40, 50)
        assert "overlap_save" in str(c.plan)

    def test_is_there_with_a_shape(self):
        c = Convolver(values((31, 31), "f4"), shape=(256, 256))
        assert c.plan.problem.input_size == (256, 256)
        assert c.plan.problem.dtype == np.float32
        assert c.nbytes > 0

    def test_predicts_no_kernel_transform(self):
        w, shape = values((700, 700)), (800, 800)
        plain = {p.method: p.seconds for p in fftconv.explain(shape, w.shape, "same").candidates}
        ours = {p.method: p.seconds for p in Convolver(w, shape=shape).plan.candidates}
        assert ours["fft"] < 0.9 * plain["fft"]
        assert ours["direct"] == plain["direct"]


class TestMemory:
    @pytest.mark.parametrize(
        ("x", "w", "keywords"),
        [
            ((1024, 1024), (31, 31), {}),
            ((200_000,), (1001,), {}),
            ((4096,), (64,), {}),
            ((8, 30_000), (501,), {"axes": -1}),
            ((256, 256), (4, 15, 15), {"bank": True}),
        ],
    )
    def test_warm_calls_plan_nothing_and_transform_no_kernel(self, monkeypatch, in_numpy, x, w, keywords):
        # how many plans several workers hold at one time is a matter of chance
        method = "fft" if len(x) == 1 and x[0] < 5000 else "overlap_save"
        c = Convolver(values(w), method=method, workers=1, **keywords)
        data = values(x)
        c(data)
        made: list[object] = []
        for owner, name in (
            (Engine, "new_plan"),
            (type(get_engine()), "new_plan"),
            (spectral, "kernel_spectra"),
        ):
            monkeypatch.setattr(owner, name, lambda *args, name=name: made.append(name))
        out = np.empty_like(c(data))
        gc.collect()
        tracemalloc.start()
        try:
            c(data, out)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            c(data, out)
            peak = tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
        assert made == []
        if get_engine().name == "fftw":  # scipy.fft answers in new arrays
            assert peak < 32 * 1024

    def test_tiles_of_one_shape_share_spectra(self, monkeypatch):
        made: list[object] = []
        kernel_spectra = spectral.kernel_spectra
        monkeypatch.setattr(
            spectral, "kernel_spectra", lambda *a, **k: (made.append(1), kernel_spectra(*a, **k))[1]
        )
        c = Convolver(values((1001,)), method="overlap_save")
        shapes = set()
        for n in (400_000, 400_001, 500_000, 450_000):
            c(values((n,)))
            shapes.add(c.plan.tiling.nfft)
        assert len(made) == len(shapes) < 4

    def test_what_is_held_is_bounded(self):
        c = Convolver(values((101,)), method="fft")
        with fftconv.config_context(cache_bytes=2**20):
            for n in range(2000, 60_000, 2000):
                c(values((n,)))
                assert c.nbytes <= 2**20
            x = values((200_000,))
            c(x)
            assert c.nbytes > 2**20
            assert (c(x) == convolve(x, c.kernel, "same", "fft")).all()
            c(values((2000,)))
            assert c.nbytes <= 2**20

    def test_shapes_are_forgotten(self):
        c = Convolver(values((3,)))
        for n in range(1, 400):
            c(np.ones(n))
        assert len(c._calls) <= 256


class TestThreadsAndProcesses:
    def test_eight_threads_give_the_bits_of_one(self):
        w = values((33, 5))
        shapes = [(64, 64), (100, 33), (33, 5), (300, 40), (64, 64), (128, 17)]
        data = [values(s, d, i) for i, s in enumerate(shapes) for d in ("f4", "f8", "c8")]
        serial = [Convolver(w, workers=1)(x) for x in data]
        c = Convolver(w)
        found: list[list[tuple[int, np.ndarray]]] = []
        gate = threading.Barrier(8)

        def work(seed: int) -> None:
            order = np.random.default_rng(seed).permutation(len(data))
            gate.wait()
            found.append([(int(i), c(data[i])) for i in order for _ in range(2)])

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(found) == 8
        assert all((y == serial[i]).all() for results in found for i, y in results)

    @pytest.mark.parametrize("used", (False, True))
    def test_pickle(self, used):
        c = Convolver(values((4, 9)), mode="full", axes=-1, bank=True, dtype="f8", method="fft", workers=1)
        x = values((3, 200))
        if used:
            c(x)
            c.adjoint(c(x))
        again = pickle.loads(pickle.dumps(c))
        assert len(pickle.dumps(c)) < 2000
        assert repr(again) == repr(c)
        assert (again.kernel == c.kernel).all()
        assert (again(x) == c(x)).all()
        assert (again.adjoint(c(x), shape=x.shape) == c.adjoint(c(x), shape=x.shape)).all()

    def test_a_pickle_knows_nothing_of_what_became_of_the_arguments(self):
        axes, shape, boundary, fill = [-2, -1], [4, 3], ["constant", "wrap"], np.array(3.0)
        c = Convolver(np.ones((3, 2)), axes=axes, shape=shape, boundary=boundary, fill_value=fill)
        axes[0], shape[0], boundary[0], fill[...] = 0, 9, "edge", 5.0
        x = values((4, 3))
        for again in (pickle.loads(pickle.dumps(c)), copy.copy(c)):
            assert repr(again) == repr(c)
            assert again.plan.problem.output_size == (4, 3)
            assert (again(x) == c(x)).all()
        words = Convolver(np.ones((3, 3)), boundary=iter(("edge", "wrap")))
        assert (pickle.loads(pickle.dumps(words))(x) == words(x)).all()


def inner(a: np.ndarray, b: np.ndarray) -> Any:
    return np.vdot(a, b)


class TestAdjoint:
    @by_mode
    @by_broadcast
    @pytest.mark.parametrize("method", ("auto", "fft"))
    def test_products_are_equal(self, x, kernel, axes, mode, method):
        if not takes(x, kernel, axes, mode):
            return
        for dtype, kind in (("f8", "f8"), ("c16", "c16"), ("f8", "c16"), ("c16", "f8")):
            a, w = values(x, dtype), values(kernel, kind)
            c = Convolver(w, mode=mode, axes=axes, method=method)
            ax = c(a)
            y = values(ax.shape, ax.dtype, 1)
            back = c.adjoint(y, shape=x)
            assert back.shape == x
            size = np.linalg.norm(ax) * np.linalg.norm(y) + 1e-300
            assert abs(inner(ax, y) - inner(a, back)) <= 1e-12 * size or dtype != kind
            assert abs(inner(a, back) - inner(ax, y)) <= 1e-12 * size or dtype == "f8"
            g = c.kernel_grad(a, y)
            assert g.shape == kernel
            # a real kernel has a real part only
            difference = inner(ax, y) - inner(w, g)
            assert abs(difference) <= 1e-12 * size

    @by_mode
    def test_banks(self, mode):
        for x, kernel, axes in (
            ((60, 50), (5, 7, 4), None),
            ((3, 200), (4, 21), -1),
            ((3, 200), (4, 3, 21), 1),
        ):
            c = Convolver(values(kernel, complex), mode=mode, axes=axes, bank=True)
            a = values(x, complex)
            y = values(c(a).shape, complex, 1)
            size = np.linalg.norm(c(a)) * np.linalg.norm(y)
            assert abs(inner(c(a), y) - inner(a, c.adjoint(y))) <= 1e-12 * size
            g = c.kernel_grad(a, y)
            assert g.shape == kernel
            assert abs(inner(c(a), y) - inner(c.kernel, g)) <= 1e-12 * size

    def test_the_shape_follows_from_the_mode(self):
        for mode, m in (("full", 108), ("same", 100), ("valid", 92)):
            c = Convolver(values((9,)), mode=mode)
            assert c.adjoint(np.ones(m)).shape == (100,)
            assert c.adjoint(np.ones((2, m, 3)).sum(2)[0], shape=100).shape == (100,)
        with pytest.raises(ValueError, match="must have the shape of a result"):
            Convolver(values((9,)), mode="full").adjoint(np.ones(8))
        with pytest.raises(ValueError, match=r"expected \(108,\) for inputs of shape \(100,\)"):
            Convolver(values((9,)), mode="full").adjoint(np.ones(107), shape=(100,))
        c = Convolver(values((3, 1, 9)), axes=-1, shape=(50,))
        assert c.adjoint(np.ones((3, 1, 50))).shape == (50,)

    def test_integers_are_exact(self):
        c = Convolver(values((40,), "i8"), mode="full")
        x = values((600,), "i8")
        y = values((639,), "i8", 1)
        assert inner(c(x), y) == inner(x, c.adjoint(y)) == inner(c.kernel, c.kernel_grad(x, y))

    def test_out(self):
        c = Convolver(values((9,)), mode="same")
        y = values((50,))
        expected = c.adjoint(y)
        out = np.empty(50)
        assert c.adjoint(y, out) is out
        assert (out == expected).all()
        assert (c.adjoint(y, y) == expected).all()

    def test_the_gradient_is_what_differences_say(self):
        w, x, y = values((3, 4)), values((10, 11)), values((12, 14))
        g = Convolver(w, mode="full").kernel_grad(x, y)
        for at in np.ndindex(w.shape):
            e = np.zeros(w.shape)
            e[at] = 1
            assert inner(convolve(x, e), y) == pytest.approx(g[at], abs=1e-12)

    def test_the_adjoint_of_the_gradient_of_long_signals(self):
        """Large enough for transforms."""
        c = Convolver(values((300,)), mode="same")
        x, y = values((50_000,)), values((50_000,), float, 1)
        g = c.kernel_grad(x, y)
        assert inner(c(x), y) == pytest.approx(inner(c.kernel, g), rel=1e-9)
        assert inner(c(x), y) == pytest.approx(inner(x, c.adjoint(y)), rel=1e-9)


class TestLinearOperator:
    def test_least_squares(self):
        c = Convolver(values((5, 5)), mode="full")
        x = values((20, 21))
        a = c.as_linear_operator(x.shape)
        assert isinstance(a, LinearOperator)
        assert a.shape == (24 * 25, 20 * 21)
        found = lsqr(a, c(x).ravel(), atol=1e-12, btol=1e-12, iter_lim=2000)[0]
        np.testing.assert_allclose(found.reshape(x.shape), x, atol=1e-6)

    def test_conjugate_gradients(self):
        c = Convolver(np.array([1.0, 4.0, 1.0]) / 6, mode="same")
        x = values((200,))
        found, flag = cg(c.as_linear_operator(200), c(x), rtol=1e-10)
        assert flag == 0
        np.testing.assert_allclose(found, x, atol=1e-8)

    def test_matrix_and_adjoint(self):
        c = Convolver(values((3, 4), complex), mode="same", axes=-1, bank=True)
        a = c.as_linear_operator((2, 10))
        matrix = a @ np.eye(20)
        assert matrix.shape == (60, 20)
        np.testing.assert_allclose(a.H @ np.eye(60), matrix.conj().T, atol=1e-12)
        assert a.dtype == np.complex128
        again = pickle.loads(pickle.dumps(a))
        assert (again @ np.ones(20) == a @ np.ones(20)).all()

    def test_dtypes(self):
        for kernel, dtype, expected in (
            ("f4", None, "f4"),
            ("i4", None, "f8"),
            ("f4", "f8", "f8"),
            ("c8", None, "c8"),
        ):
            assert Convolver(values((3,), kernel), dtype=dtype).as_linear_operator((9,)).dtype == np.dtype(
                expected
            )


class TestBank:
    @by_mode
    @pytest.mark.parametrize("dtype", ("f4", "f8", "c16", "i4"))
    def test_is_a_loop_over_kernels(self, mode, dtype):
        for x, kernels, axes in (
            ((40, 50), (3, 5, 4), None),
            ((300,), (11, 30), None),
            ((2, 300), (5, 30), -1),
            ((2, 300), (5, 2, 30), 1),
            ((300, 2), (5, 30, 1), 0),
            ((300,), (4, 2, 30), 1),
            ((100,), (1, 30), None),
        ):
            a, w = values(x, dtype), values(kernels, dtype)
            found = Convolver(w, mode=mode, axes=axes, bank=True)(a)
            each = np.stack([convolve(a, k, mode, axes=axes) for k in w])
            assert found.shape == each.shape
            assert found.dtype == each.dtype
            close = 1e-5 if dtype == "f4" else 1e-12
            np.testing.assert_allclose(found, each, rtol=0, atol=close * abs(each).max())

    @pytest.mark.parametrize("kernels", (4, 24))
    def test_one_forward_transform_per_tile(self, transforms, kernels):
        c = Convolver(values((kernels, 31, 31)), bank=True, method="overlap_save")
        x = values((1024, 1024))
        c(x)
        transforms.clear()
        c(x)
        assert transforms["backward"] == kernels * transforms["forward"] > kernels
        c.reduce(x, np.maximum)
        transforms.clear()
        c.reduce(x, np.maximum)
        assert transforms["backward"] == kernels * transforms["forward"] > kernels

    @pytest.mark.parametrize(
        "op",
        (np.maximum, np.add, np.argmax, np.median, lambda a, axis: (abs(a) ** 2).sum(axis)),
        ids=("maximum", "add", "argmax", "median", "energy"),
    )
    def test_reduce(self, op, monkeypatch):
        monkeypatch.setattr("fftconv._prepared.REDUCED_BYTES", 2**14)
        for x, kernels, axes in (
            ((64, 80), (5, 3, 4), None),
            ((3, 500), (7, 9), -1),
            ((3, 500), (7, 3, 9), 1),
            ((2, 1, 40), (3, 2, 4, 5), 2),
            ((90, 3), (2, 9, 1), 0),
            ((50,), (1, 4), None),
        ):
            a = values(x)
            c = Convolver(values(kernels), axes=axes, bank=True)
            expected = (op.reduce if isinstance(op, np.ufunc) else op)(c(a), axis=0)
            found = c.reduce(a, op)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, atol=1e-12)

    def test_reduce_of_integers_is_exact(self, monkeypatch):
        monkeypatch.setattr("fftconv._prepared.REDUCED_BYTES", 2**16)
        for shift in (0, 40):
            x, w = values((5000,), "i8") << shift, values((6, 300), "i8")
            for method in ("auto", "overlap_save"):
                c = Convolver(w, bank=True, method=method)
                expected = np.stack([convolve(x, k, "same", "direct") for k in w]).max(0)
                assert (c.reduce(x, np.maximum) == expected).all()

    def test_reduce_holds_a_part_of_the_outputs(self, in_numpy):
        c = Convolver(values((64, 9, 9), "f4"), bank=True, workers=1)
        x = values((1024, 1024), "f4")
        c.reduce(x, np.maximum)
        tracemalloc.start()
        try:
            c.reduce(x, np.maximum)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 64 * x.nbytes / 4

    def test_reduce_copies_what_op_finds_before_the_memory_serves_again(self, monkeypatch):
        """An `op` may return a part of what it is given, while other threads look for memory."""
        place = _prepared._place

        def slowly(box: Any) -> Any:
            time.sleep(0.002)
            return place(box)

        monkeypatch.setattr(_prepared, "_place", slowly)
        monkeypatch.setattr(_prepared, "REDUCED_BYTES", 2**16)
        x, c = values((200, 200)), Convolver(values((3, 5, 5)), bank=True, workers=4)
        np.testing.assert_allclose(
            c.reduce(x, lambda a, axis: np.moveaxis(a, axis, 0)[0]), c(x)[0], atol=1e-12
        )

    def test_a_bank_of_separable_kernels_has_an_adjoint_and_reductions(self):
        taps = np.array([1.0, 2.0, 1.0])
        w = np.stack([np.outer(taps, taps), np.outer(taps, [1.0, 0.0, -1.0])])
        c, x = Convolver(w, bank=True, method="separable"), values((40, 50))
        y = values((2, 40, 50), seed=1)
        assert c(x).shape == y.shape
        assert np.isclose(inner(c(x), y), inner(x, c.adjoint(y)))
        assert np.isclose(inner(c(x), y), inner(w, c.kernel_grad(x, y)))
        np.testing.assert_allclose(c.reduce(x, np.maximum), c(x).max(0), atol=1e-12)

    @pytest.mark.parametrize("op", (None, "max", np.sin, np.frexp, np.divmod, np.matmul))
    def test_reduce_says_what_op_must_be(self, op):
        with pytest.raises(TypeError, match="op must be a ufunc of two arguments and one result"):
            Convolver(values((3, 9)), bank=True).reduce(np.ones(50), op)

    def test_reduce_needs_a_bank_and_an_axis(self):
        with pytest.raises(ValueError, match="needs a bank"):
            Convolver(values((9,))).reduce(np.ones(50), np.maximum)
        with pytest.raises(ValueError, match="no other"):
            Convolver(values((3, 9)), bank=True).reduce(np.ones(50), lambda a, axis: a.max())


@pytest.fixture
def transforms(monkeypatch, in_numpy) -> Iterator[Counter[str]]:
    """How many executes there were in each direction."""
    count: Counter[str] = Counter()
    for name in ("forward", "backward"):
        method = getattr(FFTPlan, name)
        monkeypatch.setattr(
            FFTPlan,
            name,
            lambda self, *a, method=method, name=name: (count.update([name]), method(self, *a))[1],
        )
    return count


class TestPlanning:
    def test_measure_uses_plans_of_its_own(self, monkeypatch):
        if get_engine().name != "fftw":
            pytest.skip("only FFTW measures")
        efforts: list[str] = []
        new_plan = type(get_engine()).new_plan

        def noted(engine: Engine, spec: FFTSpec) -> FFTPlan:
            efforts.append(engine.effort)
            return new_plan(engine, spec)

        monkeypatch.setattr(type(get_engine()), "new_plan", noted)
        x, w = values((3000,)), values((100,))
        with fftconv.config_context(planning_limit=0.05):
            c = Convolver(w, planning="measure", method="overlap_save")
            np.testing.assert_allclose(c(x), convolve(x, w, "same"), atol=1e-12)
        assert set(efforts) >= {"measure"}
        efforts.clear()
        fftconv.clear_cache()
        Convolver(w, method="overlap_save")(x)
        assert set(efforts) == {"estimate"}


class TestBadInput:
    @pytest.mark.parametrize(
        ("keywords", "message"),
        [
            ({"kernel": 3.0}, "at least one axis"),
            ({"kernel": np.ones(3), "bank": True}, "axis of kernels"),
            ({"mode": "Same"}, "acceptable mode flags"),
            ({"mode": None}, "acceptable mode flags"),
            ({"method": "magic"}, "method must be one of"),
            ({"boundary": "magic"}, "boundary"),
            ({"workers": 0}, "workers must be"),
            ({"planning": "exhaustive"}, "planning must be one of estimate, measure, patient"),
            ({"shape": (3, -1)}, "shape must be"),
            ({"shape": "ab"}, "shape must be"),
            ({"shape": (30, 30)}, "same dimensionality"),
            ({"axes": ()}, "axes cannot be empty"),
            ({"axes": (0, 0)}, "must be unique"),
            ({"axes": 1.5}, "axes must be"),
            ({"kernel": np.ones(0)}, "kernel cannot be empty"),
            ({"kernel": np.ma.masked_array([1.0, 2.0], [0, 1])}, "no masked elements"),
        ],
    )
    def test_values(self, keywords, message):
        given = {"kernel": np.ones(3), **keywords}
        with pytest.raises(ValueError, match=message):
            Convolver(**given)(np.ones(10))

    def test_types(self):
        with pytest.raises(TypeError, match="kernel must hold"):
            Convolver(np.array(["a"]))(np.ones(5))
        with pytest.raises(TypeError, match="x must hold"):
            Convolver(np.ones(3))(np.array(["a", "b"]))
        for no_array in (None, scipy.sparse.eye(3)):
            with pytest.raises(TypeError, match="kernel must hold"):
                Convolver(no_array)
        with pytest.raises(TypeError, match="needs a dtype that holds them; got dtype=int64"):
            Convolver([1, 2, 1], dtype="i8").as_linear_operator(9)

    def test_dimensions_that_do_not_match_say_what_would(self):
        with pytest.raises(ValueError, match=r"\(4, 100\) and \(3,\) \(with axes= they broadcast\)"):
            Convolver(np.ones(3))(np.ones((4, 100)))
        with pytest.raises(ValueError, match=r"\(4, 100\) and \(3,\) \(with axes= they broadcast\)"):
            Convolver(np.ones((2, 3)), bank=True)(np.ones((4, 100)))

    def test_results_that_are_none(self):
        with pytest.raises(ValueError, match="shape of the result for x"):
            Convolver(np.ones(3)).kernel_grad(np.ones(10), np.ones(9))

    def test_empty_batches(self):
        c = Convolver(np.ones(3), axes=-1)
        assert c(np.ones((0, 10))).shape == (0, 10)
        assert c.adjoint(np.ones((0, 10))).shape == (0, 10)
        assert (c.kernel_grad(np.ones((0, 10)), np.ones((0, 10))) == np.zeros(3)).all()
