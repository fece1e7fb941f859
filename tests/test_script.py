"""Spectral jobs in compiled steps: the bits of NumPy's, whatever the geometry, and no result where they cannot be."""

from __future__ import annotations

import threading
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from time import sleep

import numpy as np
import pytest
from problems import PLAIN, Extras, arrays, awkward, poison, problem
from test_spectral import cut

from fftconv.core import workers
from fftconv.core.boundary import Boundary, Outside
from fftconv.core.channels import channels_of
from fftconv.core.engine import fftw_native, get_engine
from fftconv.core.methods import script, spectral
from fftconv.core.plan import Candidate, ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.tiling import TileLayout

pytestmark = [
    pytest.mark.skipif(find_spec("llvmlite") is None, reason="the jit extra is not installed"),
    pytest.mark.skipif(
        get_engine(np.dtype("f8")).name != "fftw", reason="plans of FFTW alone have addresses"
    ),
]

SIZES = {1: ((301,), (7,), (32,)), 2: ((40, 33), (5, 3), (12, 16)), 3: ((14, 11, 17), (3, 2, 3), (8, 6, 8))}
KINDS = {
    "plain": PLAIN,
    "rows": Extras(batch=5),
    "depthwise": Extras(batch=2, channels=(3, 3), groups=3),
    "bank": Extras(channels=(2, 6), groups=2),
    "stride": Extras(stride=2),
    "dilation": Extras(batch=2, dilation=(1, 3)),
}


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
    """The steps at hand, and how often they were taken."""
    for char in "fd":
        script.warmth.prepare(char)
    taken, inner = [], script.run
    monkeypatch.setattr(script, "run", lambda *a: taken.append(inner(*a)) or taken[-1])
    return taken


def answers(p: ConvProblem, tiling, operands, workers: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """By compiled steps, and by NumPy."""
    plan = ConvPlan(p, Candidate("overlap_save", workers=workers, tiling=tiling), "")
    results = poison(p.out_shape, p.dtype), poison(p.out_shape, p.dtype)
    spectral.execute(plan, *operands, results[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script.warmth, "loops", {})
        patch.setattr(script.warmth, "begun", {"f", "d"})
        spectral.execute(plan, *operands, results[1])
    return results


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ("f4", "f8", "c8", "c16"))
@pytest.mark.parametrize("ndim", SIZES)
def test_bits(compiled, ndim, dtype, kind):
    size, kernel, nfft = SIZES[ndim]
    along = Outside.of([Boundary.REFLECT, Boundary.CONSTANT, Boundary.WRAP][:ndim], 1.5)
    for mode, blocks, packed in product(("same", "full"), (1, 3), (False, True)):
        p = problem(size, kernel, mode, dtype, KINDS[kind])
        for q in (p, replace(p, outside=along)):
            got, want = answers(q, cut(q, nfft, blocks, packed and dtype in ("f4", "f8")), arrays(q))
            assert got.tobytes() == want.tobytes(), (mode, blocks, packed, q.outside)
    # without compiled steps it is asked twice: by the call, and by what serves kept kernels too
    assert compiled.count(True) == 16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ("f4", "f8"))
@pytest.mark.parametrize("ndim", SIZES)
def test_signs(compiled, ndim, dtype, kind):
    """Compiled copies find the samples that are not negative, and leave no output of theirs negative."""
    size, kernel, nfft = SIZES[ndim]
    for mode, blocks, packed, negative in product(("same", "full"), (1, 3), (False, True), (False, True)):
        p = problem(size, kernel, mode, dtype, KINDS[kind])
        x, w = (np.abs(a) for a in arrays(p))
        x[..., : size[-1] // 2] *= np.finfo(dtype).eps ** 2
        x[..., 1:4] = -0.0
        if negative:
            x[..., size[-1] // 3] = -1e3
        got, want = answers(p, cut(p, nfft, blocks, packed), (x, w))
        assert got.tobytes() == want.tobytes(), (mode, blocks, packed)
        assert (got.min() < -1) == negative
        assert negative or got.min() == 0
    assert compiled.count(True) == 16


@pytest.mark.parametrize("axis", (0, 1))
def test_rows_that_are_carried(compiled, axis):
    nfft, kernel = [1, 1], [1, 1]
    nfft[axis], kernel[axis] = 16, 4
    p = problem((40, 33), tuple(kernel), "same", "f8", Extras(channels=(2, 2), groups=2))
    tiling = cut(p, tuple(nfft), 2, True)
    step = list(tiling.step)
    step[1 - axis] = 5
    got, want = answers(p, replace(tiling, step=tuple(step)), arrays(p))
    assert got.tobytes() == want.tobytes()


def test_memory_of_any_layout(compiled):
    p = problem((40, 33), (5, 3), "same", "f4", Extras(batch=2, channels=(3, 3), groups=3))
    x, w = arrays(p)
    for name, other in awkward(x).items():
        got, want = answers(p, cut(p, (12, 16), 2), (other, w))
        assert got.tobytes() == want.tobytes(), name


@pytest.mark.parametrize("workers", (1, 3))
def test_outputs_of_one_input_shared_by_jobs(compiled, workers):
    """Jobs yield 6 of 18 outputs each if there are workers to share them, else all."""
    p = problem((301,), (7,), "same", "f8", Extras(batch=2, channels=(3, 54), groups=3))
    tiling = cut(p, (512,), 1)
    assert channels_of(TileLayout(p, tiling)).outputs_of_one == 6
    got, want = answers(p, tiling, arrays(p), workers)
    assert got.tobytes() == want.tobytes() and any(compiled)


def test_one_forward_transform_per_tile(compiled, monkeypatch):
    made, inner = [], script.Script
    monkeypatch.setattr(script, "Script", lambda jobs: made.append(inner(jobs)) or made[-1])
    script._script.cache_clear()
    p = problem((301,), (7,), "same", "f8", Extras(channels=(1, 24)))
    got, want = answers(p, cut(p, (64,), 1), arrays(p), workers=1)
    assert got.tobytes() == want.tobytes()
    (each,) = made
    executes = np.split(each.steps[:, 0], each.firsts[1:-1])
    assert each.jobs > 4
    assert all((job == script.warmth.loops["d"].functions["execute"]).sum() == 25 for job in executes)


@pytest.mark.parametrize("axis", (0, 1))
def test_repeated_spectra_are_read_from_one(compiled, axis):
    """Blocks and carried rows have one spectrum, but zeros in a padded scratch stay zeros."""
    nfft, kernel = [1, 1, 64], [1, 1, 4]
    nfft[axis], kernel[axis] = 16, 3
    p = problem((40, 40, 100), tuple(kernel), "same", "f8")
    tiling = cut(p, tuple(nfft), 2)
    step = list(tiling.step)
    step[1 - axis] = 32
    layout = TileLayout(p, replace(tiling, step=tuple(step)))
    pitch = get_engine(layout.dtype).spectrum_pitch(channels_of(layout).tile_spec)
    assert layout.repeats_spectra and (pitch[4 - axis] > 32) == (axis == 0)
    got, want = answers(p, layout.tiling, arrays(p))
    assert got.tobytes() == want.tobytes() and any(compiled)


def test_what_is_not_plain_is_left_to_numpy(compiled):
    for dtype, extras in (
        ("i4", PLAIN),
        ("g", PLAIN),
        (("f4", "f8", "f8"), PLAIN),
        ("f8", Extras(channels=(2, 3))),
    ):
        p = problem((301,), (7,), "same", dtype, extras)
        answers(p, cut(p, (32,), 2), arrays(p, bound=100))
    assert not any(compiled)


def test_without_what_fftw_exports(compiled, monkeypatch):
    monkeypatch.setattr(fftw_native, "_functions", lambda char: None)
    get_engine(np.dtype("f8")).clear()
    p = problem((301,), (7,), "same", "f8")
    got, want = answers(p, cut(p, (32,), 2), arrays(p))
    get_engine(np.dtype("f8")).clear()
    assert got.tobytes() == want.tobytes() and not any(compiled)


@pytest.mark.parametrize("packed", (False, True))
def test_plans_by_address_are_those_of_pyfftw(packed):
    engine = get_engine(np.dtype("f8"))
    for size, nfft in (((3000,), (256,)), ((200, 200), (64, 96)), ((40, 40, 40), (16, 24, 20))):
        p = problem(size, (9,) * len(size), "same", "f8")
        layout = TileLayout(p, cut(p, nfft, 1, packed))
        with engine.borrow(channels_of(layout).tile_spec) as plan:
            found = plan.addresses()
            assert found is not None and len(found.backward) == (len(size) if layout.kept else 1)


def test_an_interrupt_ends_the_work_of_all(compiled, monkeypatch):
    """Whoever is interrupted leaves no job to the others."""
    p = problem((100_000,), (9,), "same", "f8")
    steps = script.warmth.loops["d"]
    calls = []

    def interrupted(call: int) -> None:
        calls.append(call)
        raise KeyboardInterrupt

    monkeypatch.setitem(script.warmth.loops, "d", replace(steps, drain=interrupted))
    with pytest.raises(KeyboardInterrupt):
        answers(p, cut(p, (64,), 1), arrays(p), workers=3)
    assert 1 <= len(calls) <= 3
    monkeypatch.setitem(script.warmth.loops, "d", steps)
    got, want = answers(p, cut(p, (64,), 1), arrays(p))
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("error", (KeyboardInterrupt, MemoryError))
def test_helpers_that_wait_for_spectra_are_released(compiled, monkeypatch, error):
    """Others transform samples while the caller transforms the kernel, and wait for it; not if it never comes."""
    p = problem((100_000,), (9,), "same", "f8")
    operands, tiling = arrays(p), cut(p, (256,), 2)

    def broken(*_: object) -> np.ndarray:
        raise error

    inner = workers._submit

    def submitted_and_broken(*a: object) -> list[object]:
        inner(*a)
        sleep(0.01)
        raise error

    for place, name, by in ((spectral, "kernel_spectra", broken), (workers, "_submit", submitted_and_broken)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, by)
            with pytest.raises(error):
                answers(p, tiling, operands, workers=3)
    got, want = answers(p, tiling, operands)
    assert got.tobytes() == want.tobytes()


def test_steps_are_compiled_for_those_who_call_often(monkeypatch):
    mine = script.Warmth(script.compiled)
    monkeypatch.setattr(script, "warmth", mine)
    p = problem((100_000,), (9,), "same", "f8")
    plan = ConvPlan(p, Candidate("overlap_save", workers=1, tiling=cut(p, (256,), 8)), (), "")
    out = poison(p.out_shape, p.dtype)
    calls = 0
    while not mine.begun:
        spectral.execute(plan, *arrays(p), out)
        calls += 1
    assert calls > 1 and mine.begun == {"d"}
    for thread in threading.enumerate():
        if thread.name == "fftconv-jit":
            thread.join(60)
    assert "d" in mine.loops and "f" not in mine.loops
