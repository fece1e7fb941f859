"""Every registered method against the oracle: dimensions, dtypes, sizes, memory layouts, workers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import lru_cache
from itertools import product

import numpy as np
import oracle
import pytest
from conftest import run_plan
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from problems import (
    EXTRAS,
    FLOATS,
    INTEGERS,
    MIXED,
    PLAIN,
    Extras,
    arrays,
    awkward,
    poison,
    problem,
    problems,
)

from fftconv.core import cost_direct, planner
from fftconv.core.engine.base import Engine, FFTPlan, FFTSpec
from fftconv.core.methods import gemm, lines, taps
from fftconv.core.plan import Candidate, ConvPlan, Request, Tiling
from fftconv.core.problem import ConvProblem
from fftconv.core.run import run
from fftconv.core.trim import trim

METHODS = (None, *planner.METHODS)  # None: whatever the planner picks
SIZES = {1: ((53,), (7,)), 2: ((9, 14), (3, 4)), 3: ((5, 6, 7), (2, 3, 2))}
MODES = ("full", "same", "valid")

by_method = pytest.mark.parametrize("method", METHODS, ids=str)
by_ndim = pytest.mark.parametrize("ndim", SIZES)


@lru_cache(maxsize=512)
def case(p: ConvProblem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input, kernel and expected result of `p`."""
    x, w = arrays(p)
    for a in (x, w):
        a.flags.writeable = False
    return x, w, oracle.reference(p, x, w)


def check(forced, p: ConvProblem, method: str | None, workers: int = 2) -> None:
    """`method` is right about `p` or refuses it."""
    x, w, want = case(p)
    got = forced(p, x, w, Request(method=method, workers=workers))
    if got is not None:
        oracle.assert_close(p, got, x, w, want)


@by_method
@by_ndim
@pytest.mark.parametrize("dtype", (*FLOATS, *INTEGERS, "b1", *MIXED), ids="-".join)
def test_dtypes(forced, poisoned, method, ndim, dtype):
    for mode in MODES:
        for workers in (1, 3):
            check(forced, problem(*SIZES[ndim], mode, dtype), method, workers)


@by_method
@by_ndim
@pytest.mark.parametrize("extras", EXTRAS)
def test_channels_strides_dilations(forced, poisoned, method, ndim, extras):
    for i, (dtype, mode) in enumerate(product(("f4", "c16", "i4", "b1"), MODES)):
        p = problem(*SIZES[ndim], mode, dtype, EXTRAS[extras])
        check(forced, replace(p, flip=i % 2 == 0), method)


ADVERSARIAL = {
    "one by one": ((1,), (1,), "full"),
    "one by many": ((1,), (9,), "full"),
    "one, same": ((1,), (8,), "same"),
    "two by two": ((2,), (2,), "full"),
    "two by two, valid": ((2,), (2,), "valid"),
    "primes": ((101,), (31,), "full"),
    "large prime": ((1009,), (503,), "same"),
    "kernel longer": ((11,), (40,), "full"),
    "kernel longer, same": ((11,), (40,), "same"),
    "kernel longer, valid": ((11,), (40,), "valid"),
    "kernel as long": ((32,), (32,), "valid"),
    "kernel as long, full": ((32,), (32,), "full"),
    "kernel of one": ((65,), (1,), "same"),
    "kernel of one sample, one axis": ((17, 9), (1, 4), "full"),
    "kernel of one sample, both axes": ((6, 7), (1, 1), "same"),
    "longer on one axis": ((4, 30), (9, 3), "full"),
    "longer on one axis, valid": ((4, 30), (9, 3), "valid"),
    "no samples": ((0,), (3,), "full"),
    "no taps": ((5,), (0,), ((0, 0),)),
    "an empty axis": ((4, 0), (2, 3), ((1, 1), (3, 3))),
    "huge pads": ((9,), (4,), ((1000, 3000),)),
    "all padding": ((3,), (5,), ((0, 500),)),
    "pads on one side": ((20, 20), (5, 5), ((0, 7), (9, 0))),
    "cropped": ((40,), (5,), ((-7, -9),)),
    "cropped to one": ((40,), (5,), ((-20, -15),)),
    "cropped away": ((40,), (5,), ((-30, -30),)),
    "cropped beyond, padded back": ((20,), (5,), ((-30, 40),)),
    "cropped and padded": ((12, 30), (3, 7), ((-2, 6), (5, -11))),
    "thin": ((1, 300), (1, 17), "same"),
    "long and short": ((3, 400), (3, 3), "same"),
    "four axes": ((3, 4, 2, 5), (2, 2, 2, 3), "full"),
    "no axes": ((), (), ()),
}


@by_method
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_sizes(forced, poisoned, method, name):
    size, kernel, pads = ADVERSARIAL[name]
    for dtype in ("f4", "f8", "c8", "i8"):
        for extras in (PLAIN, Extras(batch=2, channels=(2, 3)), Extras(stride=3)):
            for workers in (1, 3):
                check(forced, problem(size, kernel, pads, dtype, extras), method, workers)


@by_method
@pytest.mark.parametrize(
    "extras",
    (Extras(batch=0), Extras(channels=(2, 0)), Extras(channels=(0, 2)), Extras(channels=(0, 0))),
    ids=("batch", "outputs", "inputs", "channels"),
)
def test_nothing_to_sum(forced, poisoned, method, extras):
    for dtype in ("f8", "c8", "i2"):
        check(forced, problem((9, 8), (3, 2), "same", dtype, extras), method)


@by_method
@by_ndim
def test_memory_layouts(forced, poisoned, method, ndim):
    for dtype in ("f4", "c16", "i4"):
        p = problem(*SIZES[ndim], "same", dtype, EXTRAS["channels"])
        x, w, want = case(p)
        for name, xs in awkward(x).items():
            ws = awkward(w)[name]
            for a, b in ((xs, w), (x, ws), (xs, ws)):
                got = forced(p, a, b, Request(method=method, workers=2))
                if got is not None:
                    oracle.assert_close(p, got, a, b, want)


@by_method
def test_overlapping_input(forced, poisoned, method):
    """Windows of one recording as a batch: neighbours share memory."""
    recording = np.random.default_rng(0).standard_normal(100)
    x = np.lib.stride_tricks.sliding_window_view(recording, 40)[::3, None]
    p = problem((40,), (9,), "full", "f8", Extras(batch=len(x)))
    w = np.random.default_rng(1).standard_normal(p.w_shape)
    got = forced(p, x, w, Request(method=method, workers=2))
    if got is not None:
        oracle.assert_close(p, got, x, w)


@by_method
def test_broadcast_input_and_kernel(forced, poisoned, method):
    """Strides of zero, as broadcasting makes them."""
    p = problem((30,), (5,), "same", "f8", EXTRAS["groups"])
    x, w = arrays(p)
    x, w = np.broadcast_to(x[:1], p.x_shape), np.broadcast_to(w[:, :, :1], p.w_shape)
    got = forced(p, x, w, Request(method=method, workers=2))
    if got is not None:
        oracle.assert_close(p, got, x, w)


@by_method
@pytest.mark.parametrize("step", (2, -1, -3))
def test_output_in_strided_memory(poisoned, method, step):
    """The result lands in the cells of the view and nowhere else."""
    p = problem((31, 40), (4, 5), "same", "f8", EXTRAS["depthwise" if method == "separable" else "channels"])
    x, w = arrays(p)
    if method == "separable":
        w = w[..., :1] * w[..., :1, :]
    want = oracle.by_taps(p, x, w)
    base = np.full((p.batch, p.out_channels, 31 * abs(step), 40 * abs(step)), 5.0)
    out = base[:, :, ::step, ::step]
    assert run(p, x, w, out, Request(method=method)) is out
    oracle.assert_close(p, out, x, w, want)
    out[...] = 5
    assert (base == 5).all()


@by_method
def test_inputs_are_not_touched(forced, method):
    for dtype in ("f4", "f8", "c8", "i4", "u1"):
        for extras in EXTRAS.values():
            p = problem((30, 17), (5, 4), "full", dtype, extras)
            x, w = arrays(p)
            before = x.tobytes(), w.tobytes()
            forced(p, x, w, Request(method=method, workers=2))
            assert (x.tobytes(), w.tobytes()) == before


@by_method
@settings(max_examples=150)
@given(p=problems(), workers=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_any_problem(forced, poisoned, method, p, workers, seed):
    x, w = arrays(p, seed)
    got = forced(p, x, w, Request(method=method, workers=workers))
    if got is not None:
        oracle.assert_close(p, got, x, w)


@by_method
@pytest.mark.parametrize("dtype", ("f4", "f8", "c8"))
@pytest.mark.parametrize(
    ("size", "kernel"),
    (((20011,), (101,)), ((3001,), (2003,)), ((300, 251), (13, 9)), ((40, 41, 37), (5, 4, 3))),
)
def test_many_tiles(forced, poisoned, method, dtype, size, kernel):
    for workers in (1, 2, 3):
        check(forced, problem(size, kernel, "same", dtype), method, workers)


@st.composite
def spectral_plans(draw: st.DrawFn) -> ConvPlan:
    """A dense problem of floats under tiles of any legal shape, however unwise."""
    ndim = draw(st.integers(1, 3))
    top = {1: 70, 2: 14, 3: 7}[ndim]
    groups = draw(st.integers(1, 2))
    extras = Extras(
        draw(st.integers(1, 4)), (groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))), groups
    )
    kernel = tuple(draw(st.integers(1, top)) for _ in range(ndim))
    size = tuple(draw(st.integers(1, top)) for _ in range(ndim))
    pads = tuple((draw(st.integers(0, k + 2)), draw(st.integers(0, k + 2))) for k in kernel)
    p = problem(size, kernel, pads, draw(st.sampled_from(("f4", "f8", "c8", "c16"))), extras)
    p = replace(p, stride=tuple(draw(st.integers(1, 3)) for _ in kernel), flip=draw(st.booleans()))
    assume(min(p.output_size) > 0)
    # what methods are given has no idle samples and taps
    trimmed = trim(p)
    p = p if trimmed is None else trimmed.problem
    kernel = p.kernel_size
    assume(min((*p.input_size, *kernel)) > 0 and max(kernel) > 1)
    step = tuple(draw(st.integers(1, m + 2)) for m in p.output_size)
    nfft = tuple(
        (t - 1) * s + k + draw(st.integers(0, 3)) if k > 1 else 1
        for t, s, k in zip(step, p.stride, kernel, strict=True)
    )
    packed = p.dtype.kind == "f" and draw(st.booleans())
    tiling = Tiling(nfft, step, draw(st.integers(1, 5)), draw(st.integers(1, extras.batch)), packed)
    chosen = Candidate("overlap_save", workers=draw(st.integers(1, 3)), tiling=tiling)
    return ConvPlan(p, chosen, "")


@pytest.mark.parametrize("extras", (EXTRAS["batch"], EXTRAS["channels"]), ids=("pointwise", "contracted"))
def test_idle_rows_of_a_tile_warn_nobody(monkeypatch, extras):
    """Scratch of the last job may hold anything where no batch entry is left; it must not overflow aloud."""
    checkout = Engine.checkout

    def huge(engine: Engine, spec: FFTSpec) -> FFTPlan:
        plan = checkout(engine, spec)
        plan.signal[...] = plan.spectrum[...] = np.inf
        return plan

    monkeypatch.setattr(Engine, "checkout", huge)
    p = problem((60, 9), (5, 1), "same", "f4", replace(extras, batch=3))
    chosen = Candidate("overlap_save", tiling=Tiling((20, 1), (16, 4), 2, 2))
    x, w, want = case(p)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oracle.assert_close(p, run_plan(ConvPlan(p, chosen, ""), x, w), x, w, want)


@settings(max_examples=400)
@given(plan=spectral_plans())
def test_tiles_of_any_shape(poisoned, plan):
    x, w = arrays(plan.problem)
    oracle.assert_close(plan.problem, run_plan(plan, x, w), x, w)
    assert poisoned["transforms"] >= 2


@pytest.mark.parametrize("form", ("taps", "lines", "gemm", "band"))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data(), workers=st.integers(1, 3))
def test_every_form_of_the_direct_sum(poisoned, form, data, workers):
    """Each wherever it fits, also where another would be faster."""
    p = data.draw(problems(form == "lines"))
    p = replace(
        p, lhs_dilation=(1,) * p.ndim, batch=max(p.batch, 1), out_channels=max(p.out_channels, p.groups)
    )
    if form in ("gemm", "band"):
        dtype = np.dtype(data.draw(st.sampled_from("fdFD")))
        p = replace(p, x_dtype=dtype, w_dtype=dtype, dtype=dtype)
    trimmed = trim(p)
    p = p if trimmed is None else trimmed.problem
    assume(min((*p.x_shape, *p.w_shape, *p.out_shape)) > 0 and cost_direct.fits(form, p))
    x, w = arrays(p)
    chosen = Candidate(form, workers=workers)
    plan = ConvPlan(p, chosen, "")
    out = poison(p.out_shape, p.dtype)
    {"taps": taps, "lines": lines, "gemm": gemm, "band": gemm}[form].execute(plan, x, w, out)
    oracle.assert_close(p, out, x, w)


def test_the_two_oracles_agree():
    p = problem((9, 7), (3, 4), "full", "f8", EXTRAS["all at once"])
    for dtype in ("f8", "c8", "i1", "u8", "b1"):
        q = replace(p, x_dtype=np.dtype(dtype), w_dtype=np.dtype(dtype), dtype=np.dtype(dtype))
        x, w = arrays(q)
        np.testing.assert_allclose(oracle.by_taps(q, x, w), oracle.naive(q, x, w), rtol=1e-12, atol=1e-15)


@given(p=problems())
def test_the_two_oracles_agree_on_any_problem(p):
    x, w = arrays(p)
    slow, fast = oracle.naive(p, x, w), oracle.by_taps(p, x, w)
    assert slow.dtype == fast.dtype and slow.shape == fast.shape
    if slow.dtype.kind in "iub":
        np.testing.assert_array_equal(slow, fast)
    else:
        np.testing.assert_allclose(slow, fast, rtol=0, atol=1e-15 * (1 + np.abs(slow).max(initial=0)))


def test_oracle_knows_a_convolution_done_by_hand():
    """(1, 2, 3) * (4, 5): the row 4, 13, 22, 15; every second of it; and reversed taps for correlation."""
    x, w = np.array([[[1, 2, 3]]]), np.array([[[4, 5]]])
    p = problem((3,), (2,), "full", "i8")
    for f in (oracle.naive, oracle.by_taps):
        assert f(p, x, w).tolist() == [[[4, 13, 22, 15]]]
        assert f(replace(p, stride=(2,)), x, w).tolist() == [[[4, 22]]]
        assert f(replace(p, flip=False), x, w).tolist() == [[[5, 14, 23, 12]]]
        assert f(replace(p, pads=((-1, 0),)), x, w).tolist() == [[[22]]]
