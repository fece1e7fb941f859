"""A pedestal is taken away and given back, edges, zeros and stray values included; constants stay constants."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from problems import EXTRAS, arrays, problem

from fftconv import convolve
from fftconv.core.accuracy import transform_error
from fftconv.core.methods import care
from fftconv.core.plan import Request
from fftconv.core.planner import plan_conv
from fftconv.core.run import run
from fftconv.core.tiling import TileLayout
from fftconv.core.trim import trim

SPECTRAL = ("fft", "overlap_save")
ALONE = {name: extras for name, extras in EXTRAS.items() if extras.channels[0] == extras.groups}
SIZES = (((4000,), (300,)), ((60, 70), (9, 11)), ((20, 300), (1, 40)), ((14, 15, 16), (3, 1, 4)))


def standing(p, height: float = 1e4, seed: int = 0):
    """Noise on a pedestal, and a kernel whose taps add up to nothing."""
    x, w = arrays(p, seed)
    w -= w.mean(tuple(range(2, w.ndim)), keepdims=True)
    return (x + p.dtype.type(height)).astype(p.x_dtype), w


@pytest.mark.parametrize("method", SPECTRAL)
@pytest.mark.parametrize("extras", ALONE)
@pytest.mark.parametrize("pads", ("same", "full", "valid"))
def test_the_error_is_that_of_what_stands_on_it(poisoned, method, extras, pads):
    for i, sizes in enumerate(SIZES):
        p = problem(*sizes, pads, "f4", ALONE[extras])
        x, w = standing(p, seed=i)
        want = oracle.reference(p, x, w)
        got = run(p, x, w, None, Request(method=method, workers=2))
        trimmed = trim(p)
        tiling = plan_conv(trimmed.problem if trimmed else p, Request(method=method)).chosen.tiling
        norms = np.linalg.norm((x - np.float32(1e4)).ravel()), np.linalg.norm(w.ravel())
        limit = np.finfo("f4").eps * np.abs(want) + transform_error(p, tiling) * norms[0] * norms[1] / 20
        assert (np.abs(got - want) <= limit).all(), (np.abs(got - want) / limit).max()


def test_thousands_of_times_closer():
    """A camera's bias of 1e4 in float32, a kernel of 501 taps without a mean: the direct sum errs by 1e-3."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal(100_000)).astype("f4")
    w = rng.standard_normal(501)
    w = (w - w.mean()).astype("f4")
    want = np.convolve(x.astype("f8"), w.astype("f8"), "valid")

    def error(method):
        missed = convolve(x, w, "valid", method=method) - want
        return np.sqrt((missed**2).mean() / (want**2).mean())

    assert max(error("fft"), error("overlap_save")) < 4e-7
    assert error("direct") > 1000 * error("overlap_save")


@pytest.mark.parametrize("dtype", ("f4", "f8"))
@pytest.mark.parametrize("value", (255.0, 0.1, -3e-5, 1e30))
@pytest.mark.parametrize("kernel", ((301,), (15, 21)))
def test_constants_stay_constant(dtype, value, kernel):
    """All outputs alike to the last bit, and the value times the sum of the taps but for one rounding."""
    w = np.exp(-(np.linspace(-2, 2, int(np.prod(kernel))).reshape(kernel) ** 2))
    w = (w / w.sum()).astype(dtype)
    x = np.full([k * 4 for k in kernel], value, dtype)
    total = w.astype(np.longdouble).sum()
    for method in SPECTRAL:
        got = convolve(x, w, "valid", method=method)
        assert (got == got.flat[0]).all()
        assert abs(got.flat[0] - x.flat[0] * total) <= np.spacing(np.abs(x.flat[0]))


@pytest.mark.parametrize("dtype", ("f4", "f8"))
@pytest.mark.parametrize("kernel", ((301,), (3, 3), (15, 21), (5, 5, 5)))
def test_constants_by_sums(dtype, kernel):
    """As many roundings as taps, and no more; compiled loops round alike everywhere."""
    for w in (np.ones(kernel), np.random.default_rng(0).random(kernel)):
        w = (w / w.sum()).astype(dtype)
        x = np.full([k * 3 for k in kernel], 0.1, dtype)
        total = w.astype(np.longdouble).sum()
        answered = 0
        for method in ("direct", "band", "jit", "separable"):
            try:
                got = convolve(x, w, "valid", method=method)
            except ValueError:
                continue  # not of this size, or not a product
            answered += 1
            ulp = np.abs(got - x.flat[0] * total).max() / np.spacing(x.flat[0])
            assert ulp <= w.size / 2 + 1
            assert method != "jit" or (got == got.flat[0]).all()
        assert answered > 0


@pytest.mark.parametrize("method", SPECTRAL)
def test_what_is_no_part_of_it(method):
    """Outliers, a dead region, a NaN and an infinity among samples that look like a pedestal."""
    p = problem((20_000,), (200,), "same", "f4")
    x, w = standing(p)
    w = np.abs(w)
    x[..., 5320:5720] = 0
    x[..., 9001] = -5e7
    x[..., 12_001], x[..., 15_001] = np.nan, np.inf
    assert care.on_pedestal(p, x)
    got = run(p, x, w, None, Request(method=method))[0, 0]
    assert np.isnan(got).sum() == 200 and np.isinf(got).sum() == 200
    assert (got[5420:5620] == 0).all()
    clean = np.where(np.isfinite(x), x, np.float32(0))
    want = oracle.reference(p, clean, w)[0, 0]
    good = np.isfinite(got)
    limit = transform_error(p, None) * np.linalg.norm(x[np.isfinite(x)]) * np.linalg.norm(w)
    assert (np.abs(got - want)[good] <= limit).all()
    assert (got[8000:8800] > 0).all() and (got[8950:9050] < 0).sum() > 80


def test_looks():
    p = problem((100_000,), (300,), "same", "f4")
    noise = arrays(p)[0]
    for x, found in (
        (noise, False),
        (noise + 3, False),
        (noise + 100, True),
        (noise * 0, False),
        (noise * 0 + 7, True),
        (np.full_like(noise, np.nan), False),
        (np.full_like(noise, np.inf), False),
    ):
        assert care.on_pedestal(p, x) == found
    double = p.with_(dtype=np.dtype("f8"), x_dtype=np.dtype("f8"))
    assert not care.on_pedestal(double, noise.astype("f8") + 1e4)
    assert care.on_pedestal(double, noise.astype("f8") * 0 + 1e4)


@pytest.mark.parametrize("method", SPECTRAL)
@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_signs_follow_the_samples(method, dtype):
    """No output is negative where nothing is; one negative sample, which no look meets, makes negative ones."""
    p = problem((30_000,), (300,), "same", dtype)
    x, w = (np.abs(a) for a in arrays(p))
    x[..., 3000:9000] *= 1e-9
    layout = TileLayout(p, plan_conv(p, Request(method=method)).tiling)
    request = Request(method=method, workers=2)
    got = run(p, x, w, None, request)
    assert (got >= 0).all() and (got[..., 3200:8800] < 1e-4).all()
    oracle.assert_close(p, got, x, w)
    x[..., 20_001] = -1e4
    assert care.Care(layout, x, care.Facts(p, w)).positive
    got = run(p, x, w, None, request)
    oracle.assert_close(p, got, x, w)
    assert (got[..., 19_900:20_100] < 0).sum() > 150
