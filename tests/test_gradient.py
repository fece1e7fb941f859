"""The gradient by the kernel, tile by tile, against the direct sum of the same products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import EXTRAS, Extras, problem

from fftconv import Convolver
from fftconv.core import adjoint
from fftconv.core.adjoint import kernel_gradient
from fftconv.core.boundary import Boundary, Outside
from fftconv.core.plan import Request

SIZES = {
    "1-d": ((700,), (60,)),
    "2-d": ((80, 70), (9, 4)),
    "carried rows": ((6, 500), (1, 21)),
    "carried columns": ((500, 6), (21, 1)),
    "3-d": ((20, 22, 18), (3, 4, 5)),
    "long": ((6000,), (101,)),
}
CLOSE = {"f4": 3e-5, "c8": 3e-5, "f8": 1e-12, "c16": 1e-12}
TILES = Request(method="overlap_save", workers=2)


def operands(p, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for shape in (p.x_shape, p.out_shape):
        a = rng.standard_normal(shape)
        found.append((a + 1j * rng.standard_normal(shape) if p.dtype.kind == "c" else a).astype(p.dtype))
    return found


@pytest.fixture
def tiled(monkeypatch):
    """How often a gradient was found by tiles."""
    count: list[int] = []
    by_tiles = adjoint._by_tiles
    monkeypatch.setattr(adjoint, "_by_tiles", lambda *args: (count.append(1), by_tiles(*args))[1])
    return count


def check(p):
    x, y = operands(p)
    expected = kernel_gradient(p, x, y, Request(method="direct"))
    found = kernel_gradient(p, x, y, TILES)
    assert found.dtype == expected.dtype
    size = np.sqrt((abs(x) ** 2).sum() * (abs(y) ** 2).sum())
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE[p.dtype.str[1:]] * size)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("size", SIZES)
def test_every_shape(tiled, size, dtype):
    for mode in ("same", "valid", "full"):
        for extras in (Extras(), Extras(batch=3), Extras(batch=2, channels=(3, 6), groups=3)):
            check(problem(*SIZES[size], mode, dtype, extras))
    assert len(tiled) >= 9


@pytest.mark.parametrize("extras", EXTRAS)
def test_every_geometry(extras):
    for size, kernel in (((300,), (20,)), ((40, 35), (5, 4))):
        check(problem(size, kernel, "same", "f8", EXTRAS[extras]))


@pytest.mark.parametrize("b", [b for b in Boundary if b])
def test_every_boundary(tiled, b):
    for size in ("1-d", "2-d", "long"):
        p = problem(*SIZES[size], "same", "f8")
        check(replace(p, outside=Outside.of([b] * p.ndim, 2.0)))
    assert len(tiled) == 3


def test_any_number_of_workers():
    for dtype in ("f4", "f8"):
        p = problem((300, 320), (15, 12), "same", dtype, Extras(batch=2, channels=(2, 20), groups=2))
        x, y = operands(p)
        alone = kernel_gradient(p, x, y, replace(TILES, workers=1))
        for workers in (2, 3, 8):
            assert (kernel_gradient(p, x, y, replace(TILES, workers=workers)) == alone).all()


def test_of_pictures_comes_from_tiles(tiled):
    c = Convolver(np.ones((31, 31)))
    x = np.random.default_rng(1).standard_normal((400, 400))
    c.kernel_grad(x, x)
    assert tiled


@pytest.mark.parametrize("bad", (np.nan, np.inf))
def test_what_is_not_finite(bad):
    p = problem((3000,), (64,), "valid", "f8")
    x, y = operands(p)
    x[..., 5] = bad
    expected = kernel_gradient(p, x, y, Request(method="direct"))
    assert np.isfinite(expected).sum() == 58
    np.testing.assert_allclose(kernel_gradient(p, x, y, TILES), expected, atol=1e-9)


def test_signs_and_zeros():
    """What sums products of non-negative numbers is not negative, and of zeros 0."""
    p = problem((3000,), (64,), "same", "f8")
    x, y = map(abs, operands(p))
    x[..., 1:] = 0
    y[..., 20:] = 0
    assert kernel_gradient(p, x, y, TILES).min() >= 0
    assert (kernel_gradient(p, 0 * x, y, TILES) == 0).all()


def test_a_large_constant_costs_no_digits():
    p = problem((5000,), (31,), "valid", "f4")
    x, y = operands(p)
    x, y = x * np.float32(1e-3) + np.float32(1000), y - y.mean()
    wide = p.with_(x_dtype=np.dtype("f8"), w_dtype=np.dtype("f8"), dtype=np.dtype("f8"))
    expected = kernel_gradient(wide, x.astype("f8"), y.astype("f8"), Request(method="direct"))
    assert abs(kernel_gradient(p, x, y, Request()) - expected).max() < 1e-6 * np.linalg.norm(x)


def test_a_separable_kernel_has_a_gradient():
    """The method is a matter of the kernel, and y need not be a product of 1-d kernels."""
    x = np.random.default_rng(2).standard_normal((60, 50))
    forced, free = (Convolver(np.ones((9, 9)), method=m) for m in ("separable", "auto"))
    np.testing.assert_allclose(forced.kernel_grad(x, x), free.kernel_grad(x, x), atol=1e-10)


@pytest.mark.parametrize("value", (np.inf, -np.inf, np.nan, 1e308))
def test_samples_that_are_not_finite_warn_of_nothing(value):
    """The look for a pedestal takes means of samples."""
    p = problem((51,), (4,), "full", "f8")
    x, y = operands(p)
    x[...], x[..., 3:7] = value, -value
    kernel_gradient(p, x, y, TILES)
