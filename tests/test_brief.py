"""Short spectral calls, in one entry of compiled code or by NumPy without a loop, have the bits of the general way."""

from __future__ import annotations

import threading
from dataclasses import replace
from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest
from problems import PLAIN, Extras, arrays, awkward, poison, problem
from test_script import KINDS, SIZES
from test_spectral import cut

import fftconv
from fftconv.core.boundary import Boundary, Outside
from fftconv.core.channels import channels_of
from fftconv.core.engine import fftw_native, get_engine
from fftconv.core.kernel import Kernel, Store
from fftconv.core.methods import brief, executor, lone, prepared, script, spectral
from fftconv.core.methods.addresses import address
from fftconv.core.plan import Candidate, ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.tiling import TileLayout

FFTW = get_engine(np.dtype("f8")).name == "fftw"
compiles = pytest.mark.skipif(
    find_spec("llvmlite") is None or not FFTW, reason="compiled steps need the jit extra and plans of FFTW"
)


@pytest.fixture
def entered(monkeypatch):
    """Whether short calls entered compiled code, one entry a call."""
    for char in "fd":
        script.warmth.prepare(char)
    brief._scripts.cache_clear()
    found, inner = [], brief.Brief.go
    monkeypatch.setattr(brief.Brief, "go", lambda *a: found.append(inner(*a)) or found[-1])
    return found


def planned(p: ConvProblem, tiling, workers: int = 1) -> ConvPlan:
    return ConvPlan(p, Candidate("overlap_save", workers=workers, tiling=tiling), "")


def in_general(plan: ConvPlan, operands) -> np.ndarray:
    """By NumPy, through the loop that serves any number of workers."""
    out = poison(plan.problem.out_shape, plan.problem.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script.warmth, "loops", {})
        patch.setattr(script.warmth, "begun", {"f", "d"})
        spectral.execute(plan, *operands, out)
    return out


def shortly(plan: ConvPlan, operands, kernel: Kernel | None = None) -> np.ndarray:
    out = poison(plan.problem.out_shape, plan.problem.dtype)
    (executor(plan) if kernel is None else prepared(plan, kernel))(plan, *operands, out)
    return out


def cases(ndim: int, dtype: str, kind: str):
    size, kernel, nfft = SIZES[ndim]
    along = Outside.of([Boundary.REFLECT, Boundary.CONSTANT, Boundary.WRAP][:ndim], 1.5)
    whole = tuple(64 if ndim < 3 else 32 for _ in nfft) if ndim > 1 else (512,)
    for mode, (each, blocks), packed in product(
        ("same", "full"), ((nfft, 1), (nfft, 3), (whole, 1)), (False, True)
    ):
        p = problem(size, kernel, mode, dtype, KINDS[kind])
        for q in (p, replace(p, outside=along)):
            yield q, cut(q, each, blocks, packed and dtype in ("f4", "f8"))


@compiles
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ("f4", "f8", "c8", "c16"))
@pytest.mark.parametrize("ndim", SIZES)
def test_bits_of_compiled_calls(entered, ndim, dtype, kind):
    expected = 0
    for p, tiling in cases(ndim, dtype, kind):
        operands = arrays(p)
        want = in_general(planned(p, tiling), operands).tobytes()
        for workers in (1, 3):
            plan = planned(p, tiling, workers)
            expected += 2 * channels_of(TileLayout(p, tiling)).brief
            assert shortly(plan, operands).tobytes() == want, plan
            assert shortly(plan, operands, Kernel(operands[1], Store())).tobytes() == want, plan
    assert len(entered) == expected >= 64 and all(entered)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ("f4", "c16"))
@pytest.mark.parametrize("ndim", SIZES)
def test_bits_before_anything_is_compiled(monkeypatch, ndim, dtype, kind):
    monkeypatch.setattr(script.warmth, "loops", {})
    monkeypatch.setattr(script.warmth, "begun", {"f", "d"})
    taken = []
    for form in ("executor", "in_turn"):
        inner = getattr(lone, form)
        monkeypatch.setattr(lone, form, lambda *a, inner=inner, form=form: taken.append(form) or inner(*a))
    for p, tiling in cases(ndim, dtype, kind):
        plan, operands = planned(p, tiling), arrays(p)
        assert shortly(plan, operands).tobytes() == in_general(plan, operands).tobytes(), (p, tiling)
    assert ("in_turn" in taken) == (kind != "bank")
    assert ("executor" in taken) == (kind == "plain")


@compiles
@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_signs(entered, dtype):
    """As in the general way: nothing negative where no sample of the tile is."""
    for (x_sign, w_sign), blocks, packed in product(((1, 1), (-1, 1), (1, -1)), (1, 3), (False, True)):
        p = problem((301,), (7,), "same", dtype)
        x, w = (sign * np.abs(a) for sign, a in zip((x_sign, w_sign), arrays(p), strict=True))
        x[..., :150] *= np.finfo(dtype).eps ** 2
        x[..., 1:4] = -0.0
        plan = planned(p, cut(p, (32,), blocks, packed))
        got = shortly(plan, (x, w))
        assert got.tobytes() == in_general(plan, (x, w)).tobytes()
        assert (got.min() >= 0) == (x_sign == w_sign)
    assert all(entered)


@compiles
def test_memory_of_any_layout(entered):
    p = problem((40, 33), (5, 3), "same", "f4", Extras(batch=2, channels=(3, 3), groups=3))
    x, w = arrays(p)
    plan = planned(p, cut(p, (12, 16), 2))
    execute, want = executor(plan), in_general(plan, (x, w)).tobytes()
    layouts = list(product(awkward(x).items(), awkward(w).items()))
    for (x_name, x_other), (w_name, w_other) in layouts:
        out = poison(p.out_shape, p.dtype)
        execute(plan, x_other, w_other, out)
        assert out.tobytes() == want, (x_name, w_name)
    assert any(entered) and len(execute.scripts.held) <= brief.MOST_SCRIPTS


@compiles
def test_what_is_not_of_the_problems_type_is_left_to_numpy(entered):
    p = problem((301,), (7,), "same", "f4")
    plan = planned(p, cut(p, (32,), 2))
    operands = tuple(a.astype("f8") for a in arrays(p))
    assert shortly(plan, operands).tobytes() == in_general(plan, operands).tobytes()
    assert not entered
    for dtype, extras in (("i4", PLAIN), ("g", PLAIN), ("f8", Extras(channels=(2, 3)))):
        p = problem((301,), (7,), "same", dtype, extras)
        assert not channels_of(TileLayout(p, cut(p, (32,), 2))).brief


@compiles
def test_a_pedestal_is_taken_first(entered):
    p = problem((301,), (7,), "same", "f8")
    x, w = arrays(p)
    x = 1e9 + 1e-3 * x
    plan = planned(p, cut(p, (512,), 1))
    assert shortly(plan, (x, w)).tobytes() == in_general(plan, (x, w)).tobytes() and not entered


@compiles
def test_without_what_fftw_exports(entered, monkeypatch):
    monkeypatch.setattr(fftw_native, "_functions", lambda char: None)
    get_engine(np.dtype("f8")).clear()
    p = problem((301,), (7,), "same", "f8")
    plan, operands = planned(p, cut(p, (32,), 2)), arrays(p)
    got = shortly(plan, operands)
    get_engine(np.dtype("f8")).clear()
    assert got.tobytes() == in_general(plan, operands).tobytes() and entered == [False]


@compiles
@pytest.mark.parametrize("workers", (1, 2))
def test_threads_have_desks_of_their_own(entered, workers):
    p = problem((3001,), (65,), "same", "f8")
    plan = planned(p, cut(p, (512,), 2), workers)
    execute, rng = executor(plan), np.random.default_rng(0)
    work = [tuple(rng.standard_normal(s) for s in (p.x_shape, p.w_shape)) for _ in range(8)]
    wanted, wrong = [in_general(plan, each).tobytes() for each in work], []

    def call(i: int) -> None:
        out = np.empty(p.out_shape)
        for _ in range(50):
            execute(plan, *work[i], out)
            if out.tobytes() != wanted[i]:
                wrong.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(work))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and len(entered) == 400 and all(entered)


@compiles
def test_more_workers_than_tiles_leave_the_kernel_to_the_caller(entered):
    """Helpers that find nothing to do take no turn away from the one whom others wait for."""
    p = problem((301,), (7,), "same", "f8")
    plan, operands = planned(p, cut(p, (512,), 1), workers=6), arrays(p)
    execute, want = executor(plan), in_general(plan, operands).tobytes()
    out = np.empty(p.out_shape)
    for _ in range(2000):
        execute(plan, *operands, out)
        assert out.tobytes() == want
    assert all(entered)


@compiles
def test_idle_desks_are_counted_and_dropped(entered):
    engine = get_engine(np.dtype("f8"))
    engine.clear()
    p = problem((301,), (7,), "same", "f8")
    plan, operands = planned(p, cut(p, (512,), 1)), arrays(p)
    shortly(plan, operands)
    held = engine.info()
    assert held.plans == 1 and 2 * 512 * 8 * 2 <= held.bytes <= 2**16
    with fftconv.config_context(cache_bytes=0):
        shortly(plan, operands)
        assert engine.info().bytes == 0


@compiles
@pytest.mark.parametrize("first", (2, 4))
def test_as_many_kernels_for_other_channels(entered, first):
    """8 kernels both times, in one transform, but of 4 inputs and of 2: their spectra lie in another order."""
    get_engine(np.dtype("f8")).clear()
    for inputs in (first, 8 // first):
        p = problem((20000,), (101,), "same", "f8", Extras(channels=(inputs, 8), groups=inputs))
        plan, operands = planned(p, cut(p, (6144,), 3)), arrays(p)
        assert shortly(plan, operands).tobytes() == in_general(plan, operands).tobytes()
    assert entered == [True, True]


@compiles
def test_more_layouts_than_scripts_are_kept(entered, monkeypatch):
    """None is written anew in every turn, and one that stays is written in the end."""
    written, inner = [], brief.Brief.write
    monkeypatch.setattr(brief.Brief, "write", lambda *a: written.append(a) or inner(*a))
    p = problem((301,), (7,), "same", "f8")
    (x, w), plan = arrays(p), planned(p, cut(p, (512,), 1))
    execute, want, most = executor(plan), in_general(plan, (x, w)).tobytes(), brief.MOST_SCRIPTS
    layouts = [np.repeat(x, step, axis=-1)[..., ::step] for step in range(1, 3 * most)]
    for other in layouts:
        out = poison(p.out_shape, p.dtype)
        execute(plan, other, w, out)
        assert out.tobytes() == want
    assert len(written) == most == sum(entered)
    for other in (layouts[-1], layouts[-1], layouts[1]):
        execute(plan, other, w, out)
    assert len(written) == most + 1 and entered[-2:] == [True, True]
    assert len(execute.scripts.held) == most >= len(execute.scripts.met)


@compiles
def test_scripts_are_for_the_functions_they_were_written_for(entered, monkeypatch):
    p = problem((301,), (7,), "same", "f8")
    plan, operands = planned(p, cut(p, (512,), 1)), arrays(p)
    execute, want = executor(plan), in_general(plan, operands).tobytes()
    for steps in (script.warmth.loops["d"], script.compiled("d")):
        monkeypatch.setitem(script.warmth.loops, "d", steps)
        out = poison(p.out_shape, p.dtype)
        execute(plan, *operands, out)
        assert out.tobytes() == want
    assert entered == [True, True] and len(execute.scripts.held) == 2


def test_calls_with_a_kept_kernel_lead_to_compiling(monkeypatch):
    monkeypatch.setattr(script.warmth, "loops", {})
    spent = []
    monkeypatch.setattr(script.warmth, "spent", lambda char, seconds: spent.append(char))
    p = problem((301,), (7,), "same", "f4")
    plan, operands = planned(p, cut(p, (512,), 1)), arrays(p)
    assert channels_of(TileLayout(p, plan.tiling)).lone
    shortly(plan, operands, Kernel(operands[1], Store()))
    assert spent == ["f"]


def test_addresses():
    owner = np.arange(24.0).reshape(2, 3, 4)
    fixed = np.arange(3)
    fixed.flags.writeable = False
    for a in (
        owner,
        owner[1:, ::-1],
        owner.T[3],
        owner[:0],
        fixed,
        np.zeros(0),
        np.ma.zeros(3),
        np.float32(2)[None],
    ):
        assert address(a) == a.ctypes.data
