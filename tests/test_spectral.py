"""The two ways of channels through a spectral plan, and phases of a dilated kernel, on tiles that are given."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import assert_close
from problems import Extras, arrays, poison, problem

from fftconv.core import channels
from fftconv.core.channels import Channels
from fftconv.core.methods.spectral import execute
from fftconv.core.plan import Candidate, ConvPlan, Tiling
from fftconv.core.tiling import TileLayout, block_step, phased_axis, transformed_axes, whole_nfft

# groups, input and output channels: matrices, groups of them, one input with one output or several
KINDS = {
    "matrix": ((3, 5), 1),
    "many to one": ((4, 1), 1),
    "groups": ((4, 6), 2),
    "depthwise": ((3, 3), 3),
    "bank": ((1, 11), 1),
    "multiplier": ((2, 6), 2),
}


def cut(p, nfft, blocks=1, packed=False) -> Tiling:
    """A tiling of `p` with given transform lengths."""
    axes = [phased_axis(p, a) for a in range(p.ndim)]
    step = [
        axis.outputs
        if n >= whole_nfft(p, a)
        else min(axis.outputs, block_step(n, p.kernel_size[a], axis.stride))
        for a, (n, axis) in enumerate(zip(nfft, axes, strict=True))
    ]
    return Tiling(tuple(nfft), tuple(step), blocks, 1, packed)


def answer(p, tiling: Tiling, workers: int = 1) -> np.ndarray:
    out = poison(p.out_shape, p.dtype)
    execute(ConvPlan(p, Candidate("fft", workers=workers, tiling=tiling), ""), *arrays(p, bound=100), out)
    return out


@pytest.fixture(params=("summed", "matrices"))
def sums(request, monkeypatch):
    """Sums over channels product by product, and as matrix products."""
    channels.channels_of.cache_clear()
    monkeypatch.setattr(channels, "FEW", 10**6 if request.param == "summed" else 0)
    yield request.param
    channels.channels_of.cache_clear()


@pytest.mark.parametrize("packed", (False, True))
@pytest.mark.parametrize("stride", (1, 2, 3))
@pytest.mark.parametrize("dtype", ("f4", "f8", "g", "i4"))
@pytest.mark.parametrize("kind", KINDS)
def test_channels(kind, dtype, stride, packed, sums):
    pair, groups = KINDS[kind]
    p = problem((23, 30), (3, 5), "same", dtype, Extras(batch=2, channels=pair, groups=groups, stride=stride))
    assert_close(p, answer(p, cut(p, (12, 16), 2, packed)), *arrays(p, bound=100))


@pytest.mark.parametrize("kind", KINDS)
def test_complex_channels(kind, sums):
    pair, groups = KINDS[kind]
    p = problem((41,), (6,), "full", "c16", Extras(batch=2, channels=pair, groups=groups))
    assert_close(p, answer(p, cut(p, (16,), 3)), *arrays(p))


@pytest.mark.parametrize("wide", (0, 10**6))
def test_products_of_real_and_of_complex_matrices(monkeypatch, wide):
    monkeypatch.setattr(channels, "FEW", 0)
    monkeypatch.setattr(channels, "WIDE", wide)
    p = problem((20, 20), (3, 3), "same", "f8", Extras(batch=2, channels=(6, 4), groups=2))
    tiling = cut(p, (8, 16), packed=True)
    assert Channels(TileLayout(p, tiling)).widened == bool(wide)
    assert_close(p, answer(p, tiling), *arrays(p))


@pytest.mark.parametrize("kind", ("matrix", "groups", "depthwise"))
def test_chunks_and_rounds_of_the_least_size(monkeypatch, kind, sums):
    for bound in (
        "EXECUTE_BYTES",
        "ROUND_BYTES",
        "PRODUCT_BYTES",
        *(["LINE"] if sums == "matrices" else []),  # rows that are summed are whole lines
        "TURNED_ROWS",
        "MOST_BINS",
        "FEWEST_BINS",
    ):
        monkeypatch.setattr(channels, bound, 1)
    pair, groups = KINDS[kind]
    p = problem((30, 25), (4, 3), "same", "f8", Extras(batch=3, channels=pair, groups=groups))
    tiling = cut(p, (12, 12), packed=True)
    layout = Channels(TileLayout(p, tiling))
    assert (layout.input_chunk, layout.round_slots) == (1, 1)
    assert_close(p, answer(p, tiling), *arrays(p))


@pytest.mark.parametrize("axis", (0, 1))
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_carried(kind, axis, sums):
    pair, groups = KINDS[kind]
    kernel = (4, 1) if axis == 0 else (1, 4)
    p = problem((20, 21), kernel, "same", "f4", Extras(channels=pair, groups=groups))
    assert transformed_axes(p) == (axis,)
    nfft = [1, 1]
    nfft[axis] = 12
    tiling = cut(p, nfft, 2, True)
    step = list(tiling.step)
    step[1 - axis] = 6
    assert_close(p, answer(p, Tiling(tiling.nfft, tuple(step), 2, 1, True)), *arrays(p))


@pytest.mark.parametrize("blocks", (1, 2, 5))
@pytest.mark.parametrize("stride", (1, 2, 3, 4))
@pytest.mark.parametrize("dilation", (2, 4, 7))
@pytest.mark.parametrize("mode", ("same", "valid", "full"))
def test_dilated_kernels(mode, dilation, stride, blocks):
    extras = Extras(batch=2, channels=(2, 3), stride=stride, dilation=(1, dilation))
    p = problem((31, 37), (3, 4), mode, "f8", extras)
    assert_close(p, answer(p, cut(p, (8, 8), blocks, True)), *arrays(p))


@pytest.mark.parametrize("dilation", (1, 3))
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_workers(kind, dilation, sums):
    pair, groups = KINDS[kind]
    extras = Extras(batch=2, channels=pair, groups=groups, dilation=(1, dilation))
    p = problem((90, 80), (5, 4), "same", "f4", extras)
    tiling = cut(p, (32, 32), 2, True)
    assert {answer(p, tiling, n).tobytes() for n in (1, 2, 3, 8)} == {answer(p, tiling).tobytes()}
