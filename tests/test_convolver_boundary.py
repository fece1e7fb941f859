"""Convolver with something other than zeros outside: results, exact transposes, and what it refuses when it is made."""

from __future__ import annotations

import pickle
from itertools import product
from typing import Any

import extension
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import lsqr
from test_convolver import inner, values

from fftconv import Convolver, convolve
from fftconv.core.boundary import Boundary, Outside, put_back, read

WORDS = ("edge", "reflect", "symmetric", "wrap", "constant", "renormalize")
LINEAR = WORDS[:4]
by_word = pytest.mark.parametrize("word", WORDS)
by_mode = pytest.mark.parametrize("mode", ("full", "same", "valid"))

# x, kernel, axes
SHAPES = {
    "1-d": ((50,), (7,), None),
    "even": ((20,), (8,), None),
    "longer kernel": ((5,), (13,), None),
    "one sample": ((1,), (4,), None),
    "two samples": ((2,), (101,), None),
    "2-d": ((9, 11), (4, 3), None),
    "rows": ((3, 20), (5,), -1),
    "columns": ((20, 3), (5, 1), 0),
    "own kernels": ((3, 12), (3, 5), -1),
    "kernels of one signal": ((12,), (3, 5), -1),
}
by_shape = pytest.mark.parametrize(("x", "kernel", "axes"), SHAPES.values(), ids=SHAPES)


def kernel_of(shape: tuple[int, ...], dtype: Any = float) -> np.ndarray:
    """Taps whose sums are nowhere near zero."""
    return values(shape, dtype) + np.dtype(dtype).type(2)


def made(x, kernel, axes, mode, word, **more) -> Convolver | None:
    """A Convolver whose kernel is no longer than `x` where the mode asks for that."""
    if mode == "valid" and any(n < k for n, k in zip(x[::-1], kernel.shape[::-1], strict=False)):
        return None
    fill = {"fill_value": 1.5} if word == "constant" else {}
    return Convolver(kernel, mode=mode, axes=axes, boundary=word, **fill, **more)


def matrix(c: Convolver, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The linear part of a map, column by column."""
    origin = c(np.zeros(shape, dtype)).ravel()
    columns = np.eye(int(np.prod(shape)), dtype=dtype).reshape(-1, *shape)
    return np.stack([c(e).ravel() - origin for e in columns], axis=1)


class TestCall:
    @by_word
    @by_mode
    @by_shape
    def test_is_the_plain_call(self, x, kernel, axes, mode, word):
        for dtype in ("f4", "f8", "c16", "i4"):
            fill = {"fill_value": 2} if word == "constant" else {}
            a, w = values(x, dtype), kernel_of(kernel, dtype)
            try:
                expected = convolve(a, w, mode, axes=axes, boundary=word, **fill)
            except ValueError:
                return
            found = Convolver(w, mode=mode, axes=axes, boundary=word, **fill)(a)
            assert found.shape == expected.shape
            assert found.dtype == expected.dtype
            close = 1e-5 if dtype == "f4" else 1e-12
            np.testing.assert_allclose(found, expected, rtol=0, atol=close * abs(expected).max())

    @pytest.mark.parametrize("word", ("edge", "reflect", "symmetric", "wrap", "constant"))
    @pytest.mark.parametrize("method", ("direct", "jit", "fft", "overlap_save"))
    def test_agrees_with_a_padded_array(self, word, method):
        for shape, taps in (((40,), (9,)), ((30, 33), (4, 7)), ((6,), (15,))):
            x, w = values(shape), values(taps)
            wide = x
            for a, (n, k) in enumerate(zip(shape, taps, strict=True)):
                wide = extension.pad(wide, a, extension.reach("same", n, k), word, 3)
            fill = {"fill_value": 3.0} if word == "constant" else {}
            c = Convolver(w, boundary=word, method=method, **fill)
            for _ in range(2):
                np.testing.assert_allclose(c(x), extension.windows(wide, w).astype(float), atol=1e-12)

    def test_one_word_per_axis(self):
        x, w = values((20, 30)), values((5, 6))
        words = ("wrap", "reflect")
        found = Convolver(w, boundary=words)(x)
        np.testing.assert_allclose(found, convolve(x, w, "same", boundary=words), atol=1e-12)

    def test_repr_and_pickle(self):
        c = Convolver(values((5,)), boundary="wrap")
        assert "boundary='wrap'" in repr(c)
        x = values((30,))
        assert (pickle.loads(pickle.dumps(c))(x) == c(x)).all()


class TestTransposes:
    @by_word
    @by_mode
    @by_shape
    def test_the_adjoint_is_the_conjugate_transpose(self, x, kernel, axes, mode, word):
        for dtype, method in (("f8", "auto"), ("c16", "fft")):
            c = made(x, kernel_of(kernel, dtype), axes, mode, word, method=method)
            if c is None:
                return
            a = matrix(c, x, dtype)
            y = values(c(np.zeros(x, dtype)).shape, dtype, 1)
            found = c.adjoint(y, shape=x)
            assert found.shape == x
            expected = a.conj().T @ y.ravel()
            np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-12 * abs(a).sum())

    @pytest.mark.parametrize("word", (*LINEAR, ("wrap", "edge"), "renormalize"))
    @pytest.mark.parametrize("dtype", ("f4", "f8", "c16"))
    def test_products_are_equal(self, word, dtype):
        c = Convolver(kernel_of((31, 12), dtype), boundary=word)
        x = values((200, 150), dtype)
        y = values((200, 150), dtype, 1)
        size = np.linalg.norm(c(x)) * np.linalg.norm(y)
        close = 1e-6 if dtype == "f4" else 1e-13
        assert abs(inner(c(x), y) - inner(x, c.adjoint(y))) <= close * size

    @pytest.mark.parametrize("word", WORDS[:5])
    @by_mode
    @by_shape
    def test_the_gradient_by_the_kernel(self, x, kernel, axes, mode, word):
        for dtype in ("f8", "c16"):
            w = values(kernel, dtype)
            c = made(x, w, axes, mode, word)
            if c is None:
                return
            a = values(x, dtype)
            y = values(c(a).shape, dtype, 1)
            g = c.kernel_grad(a, y)
            assert g.shape == kernel
            size = np.linalg.norm(c(a)) * np.linalg.norm(y)
            assert abs(inner(c(a), y) - inner(w, g)) <= 1e-12 * size

    def test_a_complex_value_outside(self):
        w, a = values((5,), complex), values((9,), complex)
        c = Convolver(w, boundary="constant", fill_value=2 - 3j)
        y = values((9,), complex, 1)
        assert abs(inner(c(a), y) - inner(w, c.kernel_grad(a, y))) < 1e-12
        back = c.adjoint(y)
        assert abs(inner(c(a) - c(0 * a), y) - inner(a, back)) < 1e-12

    @pytest.mark.parametrize("word", LINEAR)
    def test_integers_are_exact(self, word):
        c = Convolver(values((40,), "i8"), boundary=word, mode="full")
        x = values((30,), "i8")
        y = values((69,), "i8", 1)
        assert inner(c(x), y) == inner(x, c.adjoint(y)) == inner(c.kernel, c.kernel_grad(x, y))

    def test_out(self):
        c = Convolver(values((5,)), boundary="reflect")
        y = values((30,))
        expected = c.adjoint(y)
        assert c.adjoint(y, y) is y
        assert (y == expected).all()

    @pytest.mark.parametrize("word", ("reflect", "renormalize"))
    def test_linear_operator(self, word):
        c = Convolver([0.2, 0.6, 0.3], boundary=word)
        x = values((40,))
        found = lsqr(c.as_linear_operator(40), c(x), atol=1e-12, btol=1e-12)[0]
        np.testing.assert_allclose(found, x, atol=1e-6)

    @given(
        n=st.integers(1, 9), first=st.integers(-40, 40), count=st.integers(1, 60),
        step=st.integers(1, 3), b=st.sampled_from(Boundary),
    )  # fmt: skip
    @settings(max_examples=60, deadline=None)
    def test_put_back_is_the_transpose_of_reading(self, n, first, count, step, b):
        window = [(first, count, step)]
        shown = np.empty((n, count))
        read(np.eye(n), window, Outside.of([b]), shown)
        assert (put_back(np.eye(count), window, [n], [b]) == shown.T).all()

    def test_put_back_of_very_many_periods(self):
        for b in (Boundary.REFLECT, Boundary.SYMMETRIC, Boundary.WRAP):
            window = [(-7, 500, 1)]
            shown = np.empty((3, 500))
            read(np.eye(3), window, Outside.of([b]), shown)
            assert (put_back(np.arange(500.0), window, [3], [b]) == shown @ np.arange(500.0)).all()


class TestBank:
    @by_word
    def test_forward_and_adjoint(self, word):
        fill = {"fill_value": 2.0} if word == "constant" else {}
        w, x = kernel_of((4, 5, 3)), values((20, 17))
        c = Convolver(w, bank=True, boundary=word, **fill)
        each = np.stack([convolve(x, k, "same", boundary=word, **fill) for k in w])
        np.testing.assert_allclose(c(x), each, atol=1e-12)
        y = values((4, 20, 17))
        difference = inner(c(x) - c(0 * x), y) - inner(x, c.adjoint(y))
        assert abs(difference) <= 1e-12 * np.linalg.norm(each) * np.linalg.norm(y)

    @by_word
    def test_reduce(self, word, monkeypatch):
        monkeypatch.setattr("fftconv._prepared.REDUCED_BYTES", 2**13)
        monkeypatch.setattr("fftconv._prepared.LEAST_BYTES", 2**10)
        for shape, kernels, axes in (((64, 80), (5, 9, 4), None), ((3, 300), (7, 19), -1)):
            x = values(shape)
            c = Convolver(kernel_of(kernels), axes=axes, bank=True, boundary=word)
            for op in (np.maximum, np.argmax):
                expected = (op.reduce if isinstance(op, np.ufunc) else op)(c(x), axis=0)
                np.testing.assert_allclose(c.reduce(x, op), expected, atol=1e-12)

    def test_reduce_of_renormalized_results_needs_an_axis(self):
        with pytest.raises(ValueError, match="no other"):
            c = Convolver(np.ones((3, 9)), bank=True, boundary="renormalize")
            c.reduce(np.ones(50), lambda a, axis: a.max())


class TestConstruction:
    @pytest.mark.parametrize(
        ("keywords", "error", "message"),
        [
            ({"mode": "middle"}, ValueError, "acceptable mode flags"),
            ({"kernel": np.ones(0)}, ValueError, r"kernel cannot be empty; got shape \(0,\)"),
            ({"kernel": np.ones((0, 3)), "bank": True}, ValueError, "kernel cannot be empty"),
            ({"kernel": np.array([1, "a"], object)}, TypeError, "kernel must hold .* Python objects"),
            ({"kernel": ["a"]}, TypeError, "kernel must hold"),
            ({"boundary": "magic"}, ValueError, "boundary must be one of"),
            ({"boundary": ("wrap", "edge")}, ValueError, "one per convolved axis, expected 1, got 2"),
            ({"boundary": ("wrap", "edge"), "axes": 0}, ValueError, "expected 1, got 2"),
            ({"boundary": "wrap", "fill_value": 3}, ValueError, "fill_value is what"),
            ({"fill_value": 0.5, "dtype": "i4", "kernel": [1, 2]}, ValueError, "fill_value must be a value"),
            ({"boundary": "renormalize", "kernel": [1.0, -1.0]}, ValueError, "sum is not zero"),
            ({"boundary": "renormalize", "kernel": [1.0, -1.0], "axes": -2}, ValueError, None),
            ({"boundary": "renormalize", "kernel": [1, 2], "dtype": "i4"}, TypeError, "dtype must be able"),
            ({"kernel": [1j], "dtype": "f8"}, TypeError, "dtype must be able to hold sums of complex128"),
            ({"axes": ()}, ValueError, "axes cannot be empty"),
            ({"axes": (0, 0)}, ValueError, "must be unique"),
        ],
    )
    def test_what_no_array_could_make_right_is_refused(self, keywords, error, message):
        given = {"kernel": np.ones(3), **keywords}
        if message is None:  # the taps are not summed along that axis
            Convolver(**given)
            return
        with pytest.raises(error, match=message):
            Convolver(**given)

    def test_what_some_array_makes_right_is_not(self):
        for axes in product((0, 1, -1, -2), repeat=2):
            if len(set(axes)) == 2:
                Convolver(np.ones((3, 3)), axes=axes)
        assert Convolver([1, 2], boundary="constant", fill_value=0.5)(np.ones(4)).dtype == float

    def test_a_constant_outside_is_no_linear_operator(self):
        c = Convolver(np.ones(3), boundary="constant", fill_value=2.0)
        with pytest.raises(ValueError, match=r"zeros for zeros; got fill_value=2"):
            c.as_linear_operator(10)

    def test_a_kernel_that_divides_has_no_linear_gradient(self):
        c = Convolver(np.ones(3), boundary="renormalize")
        with pytest.raises(ValueError, match="linear in the kernel"):
            c.kernel_grad(np.ones(10), np.ones(10))
