"""Sums over channels in compiled code: the bits of NumPy's, and nothing written beside them."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from problems import Extras, arrays, poison, problem
from test_spectral import cut

from fftconv.core.channels import Channels
from fftconv.core.methods import spectral, sums
from fftconv.core.plan import Candidate, ConvPlan
from fftconv.core.tiling import TileLayout

needs_compiler = pytest.mark.skipif(find_spec("llvmlite") is None, reason="the jit extra is not installed")
RNG = np.random.default_rng(7)


def rows(*shape: int, dtype: str) -> np.ndarray:
    """Complex rows of two cache lines, with others between them."""
    bins = 128 // np.dtype(dtype).itemsize
    whole = RNG.standard_normal((*shape, 2 * bins)) + 1j * RNG.standard_normal((*shape, 2 * bins))
    return whole.astype(dtype)[..., :bins]


@needs_compiler
@pytest.mark.parametrize("dtype", ("c8", "c16"))
@pytest.mark.parametrize("inputs", (1, 2, 5))
def test_bits(dtype: str, inputs: int) -> None:
    compiled = sums.compiled(np.dtype(dtype).type(0).real.dtype.char)
    for tiles in range(1, 2 * sums.TILES + 2):
        for outputs in range(1, 2 * sums.OUTPUTS + 2):
            x, w = rows(tiles, inputs, dtype=dtype), rows(outputs, inputs, dtype=dtype)
            x[0, 0, :3], w[0, 0, :3] = (-0.0, 0.0, complex(0.0, -0.0)), -1.0
            got, want = rows(tiles, outputs, dtype=dtype), rows(tiles, outputs, dtype=dtype)
            beside = got.base[..., got.shape[-1] :].copy()
            compiled(x, w, got)
            sums.in_numpy(x, w, want)
            assert got.tobytes() == want.tobytes(), (tiles, outputs)
            assert got.base[..., got.shape[-1] :].tobytes() == beside.tobytes()


@pytest.mark.parametrize("dtype", ("c8", "c16", "G"))
def test_numpy_sums_products(dtype: str) -> None:
    x, w, y = rows(3, 4, dtype=dtype), rows(2, 4, dtype=dtype), rows(3, 2, dtype=dtype)
    sums.in_numpy(x, w, y)
    np.testing.assert_allclose(y, np.einsum("tif,oif->tof", x, w), rtol=1e-4)


KINDS = {
    "matrix": Extras(batch=3, channels=(3, 5)),
    "groups": Extras(batch=2, channels=(6, 4), groups=2),
    "one output": Extras(channels=(7, 1)),
    "stride": Extras(batch=2, channels=(4, 4), stride=2),
    "dilation": Extras(batch=2, channels=(2, 3), dilation=(1, 3)),
}


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ("f4", "f8", "c8", "c16"))
def test_calls_have_the_same_bits_compiled_or_not(
    kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sums, and in whatever pieces: of rows whose last cache line is not full, and on any number of workers."""
    p = problem((40, 33), (5, 3), "same", dtype, KINDS[kind])
    operands = arrays(p)
    for packed in (False, True)[: 2 if dtype in ("f4", "f8") else 1]:
        tiling, found = cut(p, (9, 13), 2, packed), []
        layout = Channels(TileLayout(p, tiling))
        assert layout.summed and layout.bins * layout.bin_bytes % 64
        for loops in ({}, {char: sums.compiled(char) for char in "fd"}):
            monkeypatch.setattr(sums.warmth, "loops", loops)
            monkeypatch.setattr(sums.warmth, "begun", {"f", "d"})
            for workers in (1, 2):
                found.append(poison(p.out_shape, p.dtype))
                plan = ConvPlan(p, Candidate("overlap_save", workers=workers, tiling=tiling), "")
                spectral.execute(plan, *operands, found[-1])
        assert len({result.tobytes() for result in found}) == 1
