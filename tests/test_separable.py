"""Kernels that are sums of few products of 1-d kernels: told from others, and answered one axis after the other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from problems import EXTRAS, PLAIN, Extras, arrays, awkward, poison, problem
from test_nonfinite import check, spoil

import fftconv as fc
from fftconv.core.cost_direct import has_compiler
from fftconv.core.methods import jit, loops, separable, warmth
from fftconv.core.passes import TOLERANCE
from fftconv.core.plan import Request, Tolerance
from fftconv.core.planner import plan_conv
from fftconv.core.problem import ConvProblem
from fftconv.core.run import Runner, plan_for, run
from fftconv.core.separability import terms_of
from fftconv.core.strips import STRIP_ROWS, strips_of
from fftconv.core.trim import trim

FORCED = Request("separable")


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Loops in strips, where there is a compiler."""
    if has_compiler():
        for char in "fd":
            jit.warm_up(np.dtype(char))


@pytest.fixture
def cold(monkeypatch):
    """Nothing is compiled, and nothing will be."""

    def freeze():
        none = warmth.Warmth(loops.compiled)
        none.begun.update("fd")
        for module in (jit, separable):
            monkeypatch.setattr(module, "warmth", none)

    return freeze


def kernel(p: ConvProblem, terms: int = 1, seed: int = 0) -> np.ndarray:
    """Random kernels that are a sum of so many products."""
    rng = np.random.default_rng(seed)
    total = np.zeros(p.w_shape)
    for _ in range(terms):
        product = np.ones(p.w_shape)
        for axis, k in enumerate(p.kernel_size, 2):
            shape = [p.out_channels if a == 0 else k if a == axis else 1 for a in range(product.ndim)]
            product = product * rng.standard_normal(shape)
        total += product
    return total.astype(p.w_dtype)


def gaussian(*sizes: int, sigma: float = 4.0, dtype: str = "f8") -> np.ndarray:
    product = np.ones(sizes)
    for axis, k in enumerate(sizes):
        at = np.arange(k) - (k - 1) / 2
        product *= np.exp(-0.5 * (at / sigma) ** 2).reshape(
            [-1 if a == axis else 1 for a in range(len(sizes))]
        )
    return (product / product.sum()).astype(dtype)


SIZES = {
    "picture": ((40, 53), (5, 7)),
    "one tap wide": ((40, 53, 9), (5, 1, 4)),
    "volume": ((14, 15, 16), (3, 4, 5)),
    "longer than the input": ((9, 11), (20, 13)),
    "many slabs": ((200, 300), (9, 11)),
    "a stride beyond the kernel": ((3, 11), (2, 2)),
    "two taps": ((5, 4), (2, 2)),
}
KINDS = [name for name in EXTRAS if name not in ("channels", "groups", "input dilation", "all at once")]


@pytest.mark.parametrize("dtype", ("f4", "f8", ("f4", "f8", "f8"), ("i2", "f4", "f4")), ids=str)
@pytest.mark.parametrize("name", SIZES)
def test_products(forced, poisoned, name, dtype):
    for kind in KINDS if name != "many slabs" else ["plain"]:
        for pads in ("full", "same", "valid"):
            p = problem(*SIZES[name], pads, dtype, EXTRAS[kind])
            if 0 in p.output_size:
                continue
            x, w = arrays(p)[0], kernel(p)
            for workers in (1, 3):
                got = forced(p, x, w, Request("separable", workers))
            if got is None:
                # of the taps that any output sees, there is one along an axis
                assert 1 in trim(p).problem.kernel_size
            else:
                oracle.assert_close(p, got, x, w)


def test_several_outputs_of_one_input(forced):
    p = problem((30, 40), (5, 6), "same", "f4", Extras(batch=2, channels=(2, 6), groups=2))
    x, w = arrays(p)[0], kernel(p)
    oracle.assert_close(p, forced(p, x, w, FORCED), x, w)


def test_pads_that_crop_and_pads_beyond(forced):
    for pads in (((-3, -4), (-2, 9)), ((-30, 60), (50, -40)), ((0, 100), (-39, 0))):
        for stride in (1, 3):
            p = problem((40, 50), (5, 6), pads, "f8", Extras(stride=stride))
            x, w = arrays(p)[0], kernel(p)
            oracle.assert_close(p, forced(p, x, w, FORCED), x, w)


@pytest.mark.parametrize("terms", (2, 3))
@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_sums_of_products(forced, terms, dtype):
    p = problem((300, 211), (15, 12), "same", dtype)
    x, w = arrays(p)[0], kernel(p, terms)
    assert plan_for(p, x, w, FORCED).chosen.terms == terms
    oracle.assert_close(p, forced(p, x, w, FORCED), x, w)


@pytest.mark.parametrize("terms", (1, 2))
def test_awkward_memory(forced, terms):
    p = problem((33, 41), (5, 6), "same", "f4")
    x, w = arrays(p)[0], kernel(p, terms)
    want = forced(p, x, w, FORCED)
    for name, xs in awkward(x).items():
        np.testing.assert_array_equal(forced(p, xs, awkward(w)[name], FORCED), want, err_msg=name)
    wide = np.full((*p.out_shape[:-1], 2 * p.out_shape[-1]), 5, p.dtype)
    run(p, x, w, wide[..., ::-2], FORCED)
    np.testing.assert_array_equal(wide[..., ::-2], want)
    assert (wide[..., ::2] == 5).all()


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12) | st.integers(16, 40)),
    taps=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    pads=st.tuples(*[st.tuples(st.integers(-4, 9), st.integers(-4, 9))] * 2),
    extras=st.builds(
        Extras,
        batch=st.integers(1, 3),
        stride=st.integers(1, 3),
        dilation=st.tuples(st.just(1), st.integers(1, 3)),
    ),
    terms=st.integers(1, 3),
)
def test_any_problem(size, taps, pads, extras, terms):
    p = problem(size, taps, pads, "f8", extras)
    x, w = arrays(p)[0], kernel(p, terms)
    try:
        got = run(p, x, w, poison(p.out_shape, p.dtype), FORCED)
    except ValueError as refused:  # trimmed to what outputs see, a kernel may extend along one axis
        assert "extends along one axis" in str(refused)
        return
    oracle.assert_close(p, got, x, w)


# --- strips

STRIPS = {
    "picture": ((150, 211), (9, 12), PLAIN, {}),
    "blocks and ranges": ((700, 900), (5, 7), Extras(batch=2), {}),
    "one row of outputs": ((5, 40), (5, 3), PLAIN, {}),
    "narrow": ((400, 16), (31, 5), PLAIN, {}),
    "narrower than the kernel": ((40, 17), (3, 40), PLAIN, {}),
    "rows apart": ((90, 60), (6, 7), PLAIN, {"stride": (3, 1)}),
    "stride and dilation alike": ((90, 60), (6, 7), PLAIN, {"stride": (2, 1), "rhs_dilation": (2, 3)}),
    "dilated": ((90, 200), (6, 7), PLAIN, {"rhs_dilation": (3, 2)}),
    "a stride beyond the kernel": ((90, 60), (2, 3), PLAIN, {"stride": (5, 1)}),
    "channels": ((60, 70), (5, 6), Extras(batch=2, channels=(2, 6), groups=2), {}),
}


@pytest.mark.skipif(not has_compiler(), reason="strips are compiled")
@pytest.mark.parametrize("dtype", ("f4", "f8"))
@pytest.mark.parametrize("name", STRIPS)
def test_strips_have_the_bits_of_passes_over_slabs(forced, cold, name, dtype):
    size, taps, extras, steps = STRIPS[name]
    problems = [problem(size, taps, pads, dtype, extras).with_(**steps) for pads in ("same", "full", "valid")]
    cases = [(p, terms) for p in problems if 0 not in p.output_size for terms in (1, 2, 3)]
    assert any(plan_conv(trimmed(p), Request("separable", terms=t)).chosen.by_strips for p, t in cases)
    warm = [forced(p, arrays(p)[0], kernel(p, terms), Request("separable", 3)) for p, terms in cases]
    cold()
    for (p, terms), got in zip(cases, warm, strict=True):
        x, w = arrays(p)[0], kernel(p, terms)
        oracle.assert_close(p, got, x, w)
        np.testing.assert_array_equal(forced(p, x, w, FORCED), got)


def trimmed(p: ConvProblem) -> ConvProblem:
    found = trim(p)
    return p if found is None else found.problem


@pytest.mark.parametrize("terms", (1, 2))
def test_rows_that_one_range_of_strips_leaves_to_the_next_are_in_the_ring(terms):
    """No place of the ring is written while a row in it is still to be read."""
    for size, taps, stride, dilation in (((700, 900), (31, 7), 1, 1), ((333, 77), (6, 7), 3, 4)):
        p = problem(size, taps).with_(stride=(stride, 1), rhs_dilation=(dilation, 1))
        cut = strips_of(p, terms)
        assert [r for span in cut.ranges for r in range(*span)] == list(range(len(cut.strips)))
        for (a, b), (_, later) in pairwise(cut.strips):
            oldest, newest = a * stride, (b - 1) * stride + (taps[0] - 1) * dilation
            assert newest - oldest < cut.ring
            assert later - b <= STRIP_ROWS
        assert all(b - a <= cut.pitch - 64 // p.dtype.itemsize for a, b in cut.columns)


# --- which kernels


def test_other_kernels_are_refused_with_a_reason():
    p = problem((50, 60), (7, 9))
    x, w = arrays(p)
    with pytest.raises(ValueError, match="not a sum of few products"):
        run(p, x, w, None, FORCED)
    with pytest.raises(ValueError, match="only the values"):
        plan_conv(p, FORCED)
    for other, reason in (
        (problem((50, 60), (7, 1)), "along one axis"),
        (problem((50, 60), (7, 9), dtype="c8"), "real floats"),
        (problem((50, 60), (7, 9), dtype="i4"), "real floats"),
        (problem((50, 60), (7, 9), extras=EXTRAS["channels"]), "one input to an output"),
        (problem((50, 60), (7, 9), extras=EXTRAS["input dilation"]), "no input dilation"),
    ):
        with pytest.raises(ValueError, match=reason):
            run(other, *arrays(other), None, FORCED)


@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_a_kernel_is_a_product_to_within_its_last_bits_or_not_at_all(dtype):
    """One element off by more than the tolerance, anywhere, and the kernel is no product."""
    p = problem((500, 500), (31, 31), "same", dtype)
    w = gaussian(31, 31, sigma=5, dtype=dtype)[None, None]
    assert len(terms_of(p, w, 1)) == 1
    bound = TOLERANCE * np.finfo(dtype).eps * np.linalg.norm(w.astype("f8"))
    for at in ((0, 0), (15, 15), (3, 27)):
        v = w.copy()
        v[(0, 0, *at)] += 2 * bound
        assert terms_of(p, v, 1) is None
    rng = np.random.default_rng(0)
    assert terms_of(p, rng.standard_normal(w.shape).astype(dtype), 3) is None


def test_what_is_left_of_the_kernel_is_within_the_bound():
    for seed in range(20):
        p = problem((90, 90), (9, 13), "same", "f4")
        w = kernel(p, 1 + seed % 3, seed)
        total = sum(np.einsum("ou,ov->ouv", *(line.astype("f8") for line in t)) for t in terms_of(p, w, 3))
        # to the bound for the products as found comes one rounding of each factor
        assert np.linalg.norm(total - w[:, 0]) <= (TOLERANCE + 2) * 3 * np.finfo("f4").eps * np.linalg.norm(w)


def test_kernels_without_a_largest_element():
    p = problem((50, 60), (7, 9))
    for value in (0.0, np.nan, np.inf):
        w = kernel(p)
        w[0, 0] = value
        assert terms_of(p, w, 3) is None
    spoilt = kernel(p)
    spoilt[0, 0, 2, 3] = np.nan
    assert terms_of(p, spoilt, 3) is None


def test_a_box_and_what_cv2_and_scipy_would_separate():
    p = problem((200, 200), (21, 15))
    assert len(terms_of(p, np.ones(p.w_shape), 3)) == 1
    sobel = np.outer([1, 2, 1], [1, 0, -1.0])[None, None]
    assert len(terms_of(problem((20, 20), (3, 3)), sobel, 3)) == 1
    dog = (gaussian(25, 25, sigma=2) - gaussian(25, 25, sigma=3.2))[None, None]
    assert len(terms_of(problem((200, 200), (25, 25)), dog, 3)) == 2


# --- what it promises


@pytest.mark.parametrize("terms", (1, 2, 3))
@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_values_that_are_not_finite_stay_where_the_direct_sum_has_them(forced, terms, dtype):
    for i, values in enumerate(((np.nan,), (np.inf,), (np.inf, -np.inf, np.nan))):
        for extras in ("plain", "batch", "stride"):
            p = problem((60, 70), (5, 8), "same", dtype, EXTRAS[extras])
            w = kernel(p, terms)
            w[:, :, 1] = 0
            x = spoil(arrays(p)[0], 1 + 2 * i, i, values)
            check(p, forced(p, x, w, FORCED), x, w)


def test_zero_taps_of_underflow_are_no_product():
    """Zero times infinity is NaN, and a tiny number times infinity is not."""
    p = problem((60, 70), (41, 41), "same", "f4")
    w = gaussian(41, 41, sigma=1.2, dtype="f4")[None, None]
    assert (w == 0).any() and terms_of(p, w, 1) is None


@pytest.mark.parametrize("dtype", ("f4", "f8"))
@pytest.mark.parametrize("terms", (1, 2))
def test_finite_sums_of_huge_numbers_are_finite(forced, dtype, terms):
    p = problem((60, 70), (12, 13), "same", dtype)
    x, w = arrays(p)[0], kernel(p, terms)
    w /= 4 * np.abs(w).sum()
    huge = np.finfo(dtype).max / 16
    tame = forced(p, x, w, FORCED)
    for up, down in ((huge, 1), (1, huge)):
        got = forced(p, x * p.dtype.type(up), w * p.dtype.type(down), FORCED)
        np.testing.assert_allclose(got / huge, tame, atol=300 * np.finfo(dtype).eps)


@pytest.mark.parametrize("terms", (1, 2))
def test_signs_and_zeros(forced, terms):
    p = problem((300, 310), (25, 25), "same", "f4")
    w = gaussian(25, 25, sigma=3, dtype="f4")
    w = (w if terms == 1 else w + gaussian(25, 25, sigma=6, dtype="f4"))[None, None]
    x = np.zeros(p.x_shape, "f4")
    x[0, 0, 100:140, 60:200] = np.random.default_rng(0).random((40, 140))
    got = forced(p, x, w, FORCED)
    assert got.min() >= 0 and not got[0, 0, 155:].any() and got[0, 0, 110, 70] > 0
    assert plan_for(p, x, w, FORCED).chosen.terms == terms


def test_the_same_bits_on_any_number_of_workers(forced):
    p = problem((300, 500), (15, 21), "same", "f4")
    for terms in (1, 2):
        x, w = arrays(p)[0], kernel(p, terms)
        alone = forced(p, x, w, Request("separable", 1)).copy()
        for workers in (2, 3, 8):
            np.testing.assert_array_equal(forced(p, x, w, Request("separable", workers)), alone)


def test_a_runner_looks_at_every_kernel():
    p = problem((700, 600), (35, 35), "same", "f4")
    x, w = arrays(p)
    out = np.empty(p.out_shape, "f4")
    runner = Runner(p)
    for v in (kernel(p), w, kernel(p, 2), kernel(p)):
        runner(x, v, out)
        np.testing.assert_allclose(out, run(p, x, v, None, Request("fft")), atol=1e-3)
        np.testing.assert_array_equal(out, run(p, x, v))
    assert runner._settled.by_values and runner._settled.plan.method == "separable"


def test_a_gaussian_is_taken_apart_and_explain_says_so():
    x, w = np.ones((1024, 1024), "f4"), gaussian(31, 31, sigma=5, dtype="f4")
    plan = fc.explain(x, w, "same")
    assert plan.method == "separable" and "a product of 1-d kernels" in str(plan)
    assert "only the values of a kernel tell" in str(fc.explain(x.shape, w.shape, "same", dtype="f4"))
    dense = plan_conv(plan.problem, Request(terms=0))
    assert plan.chosen.rank < dense.chosen.rank / 1.5
    volume = fc.explain(np.ones((100, 100, 100)), gaussian(15, 15, 15), "same")
    assert volume.method == "separable"


def test_scratch_is_bounded():
    """Workers go first, then the method."""
    p = problem((4096, 4096), (101, 101), "same", "f4")
    plan = plan_conv(p, Request("separable", 2, terms=1))
    assert plan.workers == 2 and plan.memory <= 32 * 2**20
    less = plan_conv(p, Request("separable", 2, terms=1, max_memory=plan.memory - 1))
    if plan.chosen.by_strips or not less.chosen.by_strips:
        assert less.workers == 1 and less.memory == plan.memory // 2
    else:  # slabs that do not fit give way to strips
        assert less.memory < plan.memory // 2
        less = plan_conv(p, Request("separable", 2, terms=1, max_memory=less.memory - 1))
    assert less.workers == 1
    with pytest.raises(ValueError, match="bytes of scratch"):
        plan_conv(p, Request("separable", 2, terms=1, max_memory=less.memory - 1))
    volume = problem((200, 200, 200), (31, 31, 31))
    assert plan_conv(volume, Request("separable", 8, terms=1)).workers == 1


@pytest.mark.parametrize("dtype", ("f4", "f8"))
def test_errors_stay_below_the_bound_and_a_tolerance_takes_another_method(dtype):
    p = problem((60, 70), (9, 12), "same", dtype)
    for terms in (1, 2, 3):
        x, w = arrays(p)[0], kernel(p, terms)
        plan = plan_for(p, x, w, FORCED)
        error = np.abs(run(p, x, w, None, FORCED) - oracle.reference(p, x, w)).max()
        assert 0 < error < plan.chosen.error * np.linalg.norm(x.astype("f8")) * np.linalg.norm(w.astype("f8"))
    with pytest.raises(ValueError, match="no tolerance"):
        plan_for(p, x, w, Request("separable", tolerance=Tolerance(1e-3, 0.0)))
