"""The planner: who may answer what, what a request can force, and what a plan says of itself."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import oracle
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from problems import EXTRAS, FLOATS, INTEGERS, Extras, arrays, problem, problems

from fftconv.core.cost_contract import ChannelCost
from fftconv.core.least_cost import least_seconds
from fftconv.core.plan import Request
from fftconv.core.planner import METHODS, plan_conv
from fftconv.core.profile import BUILT_IN
from fftconv.core.run import plan_for, run
from fftconv.core.tile_choice import EXECUTE_BYTES, NOMINAL_WORKERS, fill_execute
from fftconv.core.tiling import TileLayout, transformed_axes

REQUESTS = st.builds(Request, method=st.sampled_from((None, *METHODS)), workers=st.integers(0, 9))


def refusal(p, request: Request) -> str:
    """Why the request is refused; empty where it is not."""
    try:
        plan_conv(p, request)
    except ValueError as refused:
        return str(refused)
    return ""


# The others answer where their trick applies.
GENERAL = ("direct", "fft", "overlap_save")


@pytest.mark.parametrize("method", GENERAL)
@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_method_answers_numbers(method, extras, dtype):
    for sizes in (((50,), (7,)), ((20, 30), (3, 5)), ((7, 8, 9), (3, 1, 2))):
        plan = plan_conv(problem(*sizes, "same", dtype, EXTRAS[extras]), Request(method=method))
        assert plan.method == method and plan.chosen.eligible


@given(p=problems(), request=REQUESTS)
def test_a_plan_is_what_was_asked_for_or_a_reason(p, request):
    reason = refusal(p, request)
    if reason:
        assert request.method not in (None, "direct")
        assert repr(request.method) in reason and str(p) in reason
        return
    plan = plan_conv(p, request)
    assert plan.problem == p
    assert plan.chosen in plan.candidates and plan.chosen.eligible
    assert {c.method for c in plan.candidates} == set(METHODS)
    assert plan.workers >= 1 and plan.memory >= 0
    if request.method is None:
        assert plan.chosen.rank == min(c.rank for c in plan.candidates if c.eligible)
    else:
        assert plan.method == request.method
    if request.workers:
        assert plan.workers <= request.workers


@given(p=problems(), request=REQUESTS)
def test_choosing_is_a_pure_function(p, request):
    if not refusal(p, request):
        plan = plan_conv(p, request)
        assert plan_conv(p, request) == plan
        assert pickle.loads(pickle.dumps(plan)) == plan


@given(p=problems())
def test_a_plan_prints_a_row_for_every_method(p):
    plan = plan_conv(p, Request())
    lines = str(plan).splitlines()
    assert lines[0] == str(p)
    for method in METHODS:
        row = [line for line in lines if line.strip(" *").startswith(method + " ")]
        assert len(row) == 1, method
        assert ("*" in row[0]) == (method == plan.method)
    for c in plan.candidates:
        assert c.reason in str(plan)


@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_method_is_refused_by_name(method):
    with pytest.raises(ValueError, match=method + "x"):
        plan_conv(problem((9,), (3,)), Request(method=method + "x"))


@pytest.mark.parametrize("method", ("fft", "overlap_save"))
@pytest.mark.parametrize("dtype", ("i4", "u4", "i8", "u8"))
def test_integers_too_large_to_round_are_split_into_limbs(method, dtype):
    p = problem((500,), (100,), "full", dtype)
    x, w = arrays(p)
    plan = plan_for(p, x, w, Request(method=method))
    assert plan.method == method and plan.chosen.limbs is not None
    assert "limbs" in str(plan)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("extras", ("plain", "channels", "groups", "stride", "all at once"))
def test_small_integers_are_exact_by_every_method(forced, poisoned, method, dtype, extras):
    """Small enough to be recovered by rounding, large enough to wrap where the dtype is narrow."""
    for sizes in (((3000,), (200,)), ((40, 50), (9, 11))):
        p = problem(*sizes, "same", dtype, EXTRAS[extras])
        x, w = arrays(p, bound=100)
        got = forced(p, x, w, Request(method=method, workers=2))
        if got is None:
            assert method not in (None, *GENERAL)
            continue
        oracle.assert_close(p, got, x, w)


@pytest.mark.parametrize("dtype", ("i4", "i8", "u8", "u2"))
@pytest.mark.parametrize("bits", range(3, 64, 4))
def test_integers_are_exact_on_either_side_of_the_bound(dtype, bits):
    """Wherever the proof stops, the direct sum takes over: no magnitude slips through between."""
    dtype = np.dtype(dtype)
    for size, kernel in (((4000,), (150,)), ((60, 70), (12, 13))):
        p = problem(size, kernel, "same", dtype.str[1:])
        top = min(2**bits, np.iinfo(dtype).max)
        x, w = arrays(p, bound=top)
        x.flat[::7] = top
        oracle.assert_close(p, run(p, x, w), x, w)


@pytest.mark.parametrize(
    "p",
    (
        problem((10**6,), (1001,)),
        problem((10**6,), (10001,), dtype="f4"),
        problem((4096, 4096), (101, 101)),
        problem((200, 200, 200), (31, 31, 31)),
        problem((100_000,), (512,), extras=Extras(batch=64)),
    ),
    ids=str,
)
def test_large_problems_are_tiled_within_the_bound_on_scratch(p):
    plan = plan_conv(p, Request(workers=2))
    assert plan.method == "overlap_save"
    assert plan.memory <= 64 * 2**20
    assert all(c.eligible for c in plan.candidates if c.method in GENERAL)


@pytest.mark.parametrize(
    "p", (problem((500,), (10,)), problem((20,), (20,)), problem((64, 64), (3, 3))), ids=str
)
def test_small_problems_wake_no_thread(p):
    assert plan_conv(p, Request(workers=8)).workers == 1


@pytest.mark.parametrize("p", (problem((500,), (10,)), problem((20,), (20,))), ids=str)
def test_the_smallest_problems_are_summed_directly(p):
    assert plan_conv(p, Request()).method == "direct"


@given(p=problems())
def test_tiles_are_legal(p):
    """Enough samples for every output of a block, and no more outputs than there are."""
    for method in ("fft", "overlap_save"):
        q = replace(p, dtype=np.dtype("f8"), x_dtype=np.dtype("f8"), w_dtype=np.dtype("f8"))
        if min(q.out_shape) == 0 or min(q.x_shape) == 0 or min(q.w_shape) == 0:
            continue
        plan = plan_conv(q, Request(method=method))
        if plan.chosen.by_phases:
            continue
        t = plan.tiling
        assert t.blocks >= 1 and 1 <= t.batch <= q.batch
        assert all(1 <= step <= m for step, m in zip(t.step, q.output_size, strict=True))


LARGE = (
    problem((30_000,), (301,)),
    problem((400, 90), (9, 5), dtype="f4", extras=EXTRAS["batch"]),
    problem((300, 30, 200), (7, 1, 3), dtype="c16", extras=EXTRAS["channels"]),
    problem((90, 90, 90), (5, 5, 5), dtype="f4", extras=EXTRAS["all at once"]),
    problem((5000, 40), (65, 1), dtype="g", extras=EXTRAS["stride"]),
)


@pytest.mark.parametrize("held", (EXECUTE_BYTES, 4096))
@given(p=problems() | st.sampled_from(LARGE), data=st.data())
def test_no_tiling_is_weighed_below_the_bound_of_its_lengths(held, p, data):
    assume(p.ndim and all((*p.x_shape, *p.w_shape, *p.out_shape)) and set(p.lhs_dilation) == {1})
    nfft = [1] * p.ndim
    for a in transformed_axes(p):
        least = p.kernel_size[a] + p.stride[a] - 1
        nfft[a] = data.draw(st.integers(least, 8 * least) | st.sampled_from([2**i for i in range(3, 18)]))
        nfft[a] = max(nfft[a], least)
    host = BUILT_IN.spectral("fftw")
    packed = data.draw(st.booleans()) and p.dtype.kind != "c"
    tiling = fill_execute(p, tuple(nfft), packed, held)
    found = ChannelCost(TileLayout(p, tiling), host).seconds(NOMINAL_WORKERS)
    assert least_seconds(p, packed, host)(tiling.nfft) <= found * (1 + 1e-12)
