"""What lies outside: every boundary by every method against numpy.pad and a sum, and against scipy.ndimage."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from functools import lru_cache
from itertools import product

import extension
import numpy as np
import oracle
import pytest
import scipy.ndimage
import scipy.signal
from conftest import run_plan
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from problems import Extras, arrays, problem, problems, random_array
from test_nonfinite import SPOILERS, answering, spoil
from test_nonfinite import check as check_stray

import fftconv
from fftconv import nn, signal
from fftconv.core import loop_rows, planner
from fftconv.core.boundary import ZEROS, Boundary, Outside, fold, pieces, read
from fftconv.core.plan import Request, Tolerance
from fftconv.core.planner import plan_conv
from fftconv.core.run import run
from fftconv.core.trim import trim

BOUNDARIES = tuple(b for b in Boundary if b)
METHODS = (None, *planner.METHODS)
PADDED = tuple(extension.WORDS)

by_method = pytest.mark.parametrize("method", METHODS, ids=str)
by_boundary = pytest.mark.parametrize("b", BOUNDARIES, ids=lambda b: b.name)


def outside(p, *bounds: Boundary, fill=3):
    """`p` with `bounds`, the last of them along all further axes."""
    bounds = (*bounds, *bounds[-1:] * (p.ndim - len(bounds)))[: p.ndim]
    return replace(p, outside=Outside.of(bounds, p.dtype.type(fill)))


@lru_cache(maxsize=64)
def case(p, seed: int):
    """Input and kernel of `p`, the same problem with zeros outside, its input, and the result."""
    x, w = arrays(p, seed)
    plain, wide = extension.spelled_out(p, x)
    return x, w, plain, wide, oracle.reference(plain, wide, w)


def check(forced, p, method: str | None, workers: int = 2, seed: int = 0) -> None:
    """`method` is right about `p` or refuses it."""
    x, w, plain, wide, want = case(p, seed)
    got = forced(p, x, w, Request(method=method, workers=workers))
    if got is not None:
        oracle.assert_close(plain, got, wide, w, want)


# --- index maps


@given(
    n=st.integers(1, 12), first=st.integers(-90, 90), count=st.integers(1, 80), step=st.integers(1, 5),
    b=st.sampled_from(BOUNDARIES[1:]),
)  # fmt: skip
@example(n=1, first=-5, count=9, step=1, b=Boundary.REFLECT)
@example(n=2, first=-70, count=300, step=1, b=Boundary.REFLECT)
def test_index_maps(n, first, count, step, b):
    """The formula, the slices, and numpy.pad say the same."""
    at = first + step * np.arange(count)
    x = np.arange(n) + 100
    far = int(np.abs(at).max()) + 1
    wide = np.pad(x, far, extension.NUMPYS[b])
    want = wide[at + far]
    np.testing.assert_array_equal(x[fold(at, n, b)], want)
    got = np.full(count, -1)
    for target, source in pieces((first, count, step), n, b):
        got[target] = x[source]
    np.testing.assert_array_equal(got, want)


@given(st.data())
def test_windows_of_several_axes(data):
    """Every combination of boundaries, windows partly, wholly or not at all outside; zeros win over a fill value."""
    ndim = data.draw(st.integers(1, 3))
    sizes = tuple(data.draw(st.integers(1, 6)) for _ in range(ndim))
    bounds = tuple(data.draw(st.sampled_from(Boundary)) for _ in range(ndim))
    window = tuple(
        (data.draw(st.integers(-30, 30)), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3)))
        for _ in sizes
    )
    x = np.arange(1.0, 1 + np.prod(sizes)).reshape(sizes)
    target = np.full(tuple(count for _, count, _ in window), np.nan)
    read(x, window, Outside.of(bounds, 7.5), target)
    want = x
    for word in ("constant", None):
        for a, b in enumerate(bounds):
            if (b == Boundary.ZERO) == (word is None):
                fill = 0 if b == Boundary.ZERO else 7.5
                want = extension.pad(want, a, (100, 100), extension.NUMPYS.get(b, "constant"), fill)
    spans = (slice(f + 100, f + 100 + (c - 1) * s + 1, s) for f, c, s in window)
    np.testing.assert_array_equal(target, want[tuple(spans)])


def test_a_window_of_many_periods_is_one_piece():
    assert len(pieces((-1000, 3000, 1), 3, Boundary.SYMMETRIC)) == 1
    assert len(pieces((-1000, 3000, 1), 1, Boundary.SYMMETRIC)) == 3
    assert len(pieces((-10, 300, 1), 200, Boundary.WRAP)) == 3


def test_equal_extensions_compare_equal():
    assert Outside.of((Boundary.ZERO, Boundary.ZERO), 5) is ZEROS
    assert Outside.of((Boundary.EDGE,), 5) == Outside.of((Boundary.EDGE,))
    assert str(Outside.of((Boundary.CONSTANT, Boundary.WRAP), 2.5)) == "outside constant,wrap 2.5"


# --- every method


SIZES = {
    "shorter": ((53,), (7,)),
    "shorter, even": ((53,), (8,)),
    "as long": ((19,), (19,)),
    "longer by one": ((19,), (20,)),
    "several periods": ((7,), (40,)),
    "many periods": ((2,), (150,)),
    "one sample": ((1,), (6,)),
    "one tap": ((9,), (1,)),
    "long": ((3000,), (90,)),
    "2-d": ((9, 14), (3, 4)),
    "2-d, longer": ((5, 30), (12, 3)),
    "2-d, lines": ((12, 6), (5, 1)),
    "2-d, tiles": ((90, 70), (6, 5)),
    "3-d": ((5, 6, 7), (2, 3, 2)),
    "3-d, longer": ((2, 3, 9), (5, 3, 1)),
}


@by_method
@by_boundary
@pytest.mark.parametrize("name", SIZES)
def test_sizes(forced, poisoned, method, b, name):
    for mode in ("full", "same", "valid"):
        for dtype in ("f8", "i4"):
            check(forced, outside(problem(*SIZES[name], mode, dtype), b), method)


@pytest.mark.parametrize("method", ["direct", "jit"])
@pytest.mark.parametrize(
    "size, kernel",
    [((110, 700), (5, 6)), ((80_000,), (11,)), ((60, 12, 150), (3, 1, 4)), ((500, 420), (3, 1))],
    ids=str,
)
def test_rows_that_are_read_in_place(forced, method, size, kernel):
    """Large enough for loops to read the array itself, but at the edges."""
    p = problem(size, kernel, "same", "f4")
    assert loop_rows.inside(p) is not None
    for b in Boundary:
        for others in ((b,), (Boundary.ZERO, b), (b, Boundary.ZERO)):
            check(forced, outside(p, *others), method)


@by_method
@pytest.mark.parametrize(
    "dtype",
    ["f4", "c8", "c16", "g", "u1", "i8", "b1", ("u1", "i2", "i4"), ("f2", "f2", "f4"), ("f4", "c16", "c16")],
    ids="-".join,
)
def test_dtypes(forced, poisoned, method, dtype):
    for b in BOUNDARIES:
        for size, kernel in (((40,), (9,)), ((8, 9), (3, 4))):
            fill = 1 if dtype == "b1" else 200 if dtype == ("u1", "i2", "i4") else 3
            check(forced, outside(problem(size, kernel, "same", dtype), b, fill=fill), method)


@by_method
@pytest.mark.parametrize(
    "bounds", list(product(Boundary, repeat=2)), ids=lambda bs: "-".join(b.name for b in bs)
)
def test_a_boundary_for_each_axis(forced, poisoned, method, bounds):
    check(forced, outside(problem((11, 13), (4, 15), "full"), *bounds), method)


EXTRAS = {
    "batch": Extras(batch=3),
    "channels": Extras(batch=2, channels=(2, 3)),
    "groups": Extras(batch=2, channels=(4, 6), groups=2),
    "depthwise": Extras(channels=(3, 3), groups=3),
    "stride": Extras(stride=2),
    "stride 3": Extras(batch=2, stride=3),
    "kernel dilation": Extras(dilation=(1, 2)),
    "all at once": Extras(batch=2, channels=(4, 2), groups=2, stride=2, dilation=(1, 3)),
}


@by_method
@by_boundary
@pytest.mark.parametrize("extras", EXTRAS)
def test_channels_strides_dilations(forced, poisoned, method, b, extras):
    for size, kernel, mode in (
        ((31,), (6,), "same"),
        ((9, 14), (3, 4), "full"),
        ((6, 40), (3, 1), ((7, 2), (3, 4))),
    ):
        for dtype in ("f8", "i4"):
            check(forced, outside(problem(size, kernel, mode, dtype, EXTRAS[extras]), b), method)


PADS = {
    "one side": ((20,), (5,), ((0, 7),)),
    "other side": ((20,), (5,), ((9, 0),)),
    "cropped and padded": ((20,), (5,), ((-6, 9),)),
    "padded and cropped": ((20,), (5,), ((9, -6),)),
    "cropped": ((20,), (5,), ((-3, -2),)),
    "far outside": ((20,), (5,), ((-40, 70),)),
    "huge": ((9,), (4,), ((400, 1000),)),
    "one axis inside": ((12, 30), (3, 7), ((5, 6), (-3, -1))),
}


@by_method
@by_boundary
@pytest.mark.parametrize("name", PADS)
def test_pads(forced, poisoned, method, b, name):
    for dtype in ("f8", "i4"):
        check(forced, outside(problem(*PADS[name], dtype), b), method)


@st.composite
def bounded_problems(draw):
    p = draw(problems())
    bounds = tuple(draw(st.sampled_from(Boundary)) for _ in range(p.ndim))
    assume(all(n > 0 <= n + sum(pads) for n, pads, b in zip(p.input_size, p.pads, bounds, strict=True) if b))
    p = replace(p, lhs_dilation=tuple(1 if b else d for b, d in zip(bounds, p.lhs_dilation, strict=True)))
    fill = draw(st.sampled_from((1, 0, 3))) if p.dtype.kind != "b" else 1
    return replace(p, outside=Outside.of(bounds, p.dtype.type(fill)))


@settings(max_examples=150)
@given(p=bounded_problems(), method=st.sampled_from(METHODS), seed=st.integers(0, 99))
def test_any_problem(forced, p, method, seed):
    check(forced, p, method, seed=seed)


def test_windows_inside_forget_what_is_outside():
    p = problem((30, 40), (3, 4), "valid")
    assert trim(outside(p, Boundary.WRAP)).problem == p
    p = problem((30, 40), (3, 4), ((1, 1), (0, 0)))
    assert trim(outside(p, Boundary.WRAP)).problem.boundary == (Boundary.WRAP, Boundary.ZERO)


@by_boundary
@pytest.mark.parametrize("method", planner.METHODS)
def test_workers_make_no_difference(b, method):
    p = outside(problem((230, 90), (6, 7), "same", "f4"), b)
    if method in answering(p):
        x, w = arrays(p)
        first, *others = (run(p, x, w, None, Request(method, n)).tobytes() for n in (1, 2, 3, 8))
        assert all(other == first for other in others)


# --- circular transforms


def test_a_periodic_axis_needs_no_padding():
    plan = fftconv.explain((512, 512), (301, 301), "same", boundary="wrap", method="fft")
    assert plan.tiling.nfft == (512, 512)
    assert fftconv.explain((512, 512), (301, 301), "same", boundary="reflect", method="fft").tiling.nfft > (
        800,
        800,
    )
    assert plan.memory < fftconv.explain((512, 512), (301, 301), "same", method="fft").memory


@pytest.mark.parametrize(
    "size, kernel, pads, circular",
    [
        (64, 9, (4, 4), True), (64, 64, (32, 31), True), (64, 65, (32, 32), False), (61, 9, (4, 4), False),
        (64, 9, (30, -22), True), (64, 9, (-20, 28), True), (64, 9, (8, 8), False), (64, 9, (4, 0), True),
    ],
)  # fmt: skip
def test_when_a_transform_is_circular(size, kernel, pads, circular):
    p = outside(problem((size,), (kernel,), (pads,)), Boundary.WRAP)
    plan = plan_conv(p, Request("fft"))
    assert (plan.tiling.nfft == (size,)) == circular
    x, w = arrays(p)
    plain, wide = extension.spelled_out(p, x)
    oracle.assert_close(plain, run_plan(plan, x, w), wide, w)


@pytest.mark.parametrize("dtype", ("f4", "f8", "c16"))
@pytest.mark.parametrize("workers", (1, 2))
@pytest.mark.parametrize("size, kernel", [((16,), (3,)), ((12, 16), (4, 3)), ((6, 8, 4), (2, 2, 3))], ids=str)
def test_a_tolerance_is_looked_at_in_circular_tiles(size, kernel, workers, dtype):
    """Sums of magnitudes come from the same tiles, which hold less than what is spelled out of the samples."""
    p = outside(problem(size, kernel, "same", dtype), Boundary.WRAP)
    assert plan_conv(p, Request("fft")).tiling.nfft == size
    x, w = arrays(p)
    x, w = np.abs(x).astype(dtype), np.abs(w).astype(dtype)
    plain, wide = extension.spelled_out(p, x)
    request = Request("fft", workers, tolerance=Tolerance(1e-2 if dtype == "f4" else 1e-11, 0.0))
    oracle.assert_close(plain, run(p, x, w, None, request), wide, w)


# --- promises


@pytest.mark.parametrize("method", planner.METHODS)
@pytest.mark.parametrize("sizes", [((400,), (30,)), ((30, 24), (7, 4)), ((6, 7, 8), (3, 1, 4))], ids=str)
def test_strays_are_seen_through_the_boundary(method, sizes):
    """A NaN near an edge is mirrored with its neighbours, and touches no output beyond."""
    for b, dtype, seed in product(BOUNDARIES, ("f4", "f8"), range(2)):
        p = outside(problem(*sizes, "same", dtype), b)
        if method not in answering(p):
            continue
        x, w = arrays(p, seed)
        x = x.copy()
        x[..., seed] = SPOILERS[seed]
        x = spoil(x, 1, seed)
        plain, wide = extension.spelled_out(p, x)
        check_stray(plain, run(p, x, w, None, Request(method)), wide, w, method)
        plain, wide = extension.spelled_out(p, arrays(p, seed)[0])
        spoilt = spoil(w, 1, seed)
        check_stray(plain, run(p, arrays(p, seed)[0], spoilt, None, Request(method)), wide, spoilt, method)


@pytest.mark.parametrize("fill", [np.nan, np.inf, complex(1, np.nan)])
@pytest.mark.parametrize("method", ["direct", "fft", "overlap_save"])
def test_a_stray_fill_value(fill, method):
    x, w = random_array((200,), np.dtype("f8"), 0), random_array((9,), np.dtype("f8"), 1)
    if isinstance(fill, complex):
        x = x + 0j
    got = signal.convolve(x, w, "same", method, boundary="constant", fill_value=fill)
    assert not np.isfinite(got[[0, 3, -4, -1]]).any()
    np.testing.assert_allclose(got[4:-4], signal.convolve(x, w, "valid", "direct"), atol=1e-12)


@pytest.mark.parametrize("b", BOUNDARIES[1:], ids=lambda b: b.name)
def test_true_zeros_and_signs(b):
    """Outputs that see zeros only are 0, through the boundary too; sums of what is not negative are not negative."""
    x = np.zeros((60, 70))
    x[:5, :6] = 1e-3 + random_array((5, 6), np.dtype("f8"), 0) ** 2
    x[40, 50] = 1e6
    w = np.abs(random_array((9, 8), np.dtype("f8"), 1)) * 1e-9
    p = outside(problem((60, 70), (9, 8), "full"), b)
    plain, wide = extension.spelled_out(p, x[None, None])
    want = oracle.by_taps(plain, wide, w[None, None])
    for method in ("fft", "overlap_save"):
        got = run(p, x[None, None], w[None, None], None, Request(method))
        np.testing.assert_array_equal(got == 0, want == 0)
        assert got.min() >= 0


def test_a_negative_fill_value_is_not_clipped():
    x, w = np.ones((64, 64)), np.ones((9, 9))
    got = signal.convolve(x, w, "same", "fft", boundary="constant", fill_value=-2.0)
    np.testing.assert_allclose(got[0, 0], 25 - 2 * 56, rtol=1e-12)


@pytest.mark.parametrize("method", ["fft", "overlap_save", None])
def test_integers_beyond_rounding(method):
    """The fill value counts among the magnitudes that decide whether rounding recovers the sums."""
    for b, dtype in product(BOUNDARIES, ("i8", "u4")):
        p = outside(problem((300,), (40,), "full", dtype), b, fill=2**31 + 12345)
        x, w = arrays(p)
        small = outside(problem((300,), (40,), "full", "i8"), b, fill=2**52 + 1)
        for q, a, c in ((p, x, w), (small, *arrays(small, bound=3))):
            plain, wide = extension.spelled_out(q, a)
            want = oracle.by_taps(plain, wide, c)
            np.testing.assert_array_equal(run(q, a, c, None, Request(method)), want)


@by_boundary
@pytest.mark.parametrize("method", ["fft", "overlap_save"])
@pytest.mark.parametrize("size, kernel", [((3000,), (301,)), ((512,), (300,)), ((64, 96), (15, 21))], ids=str)
def test_a_pedestal_reaches_outside(b, method, size, kernel):
    """What is taken from a block is given back to all its outputs, whatever lies outside; a constant stays one."""
    for spread in (1e-3, 0.0):
        p = outside(problem(size, kernel, "same", "f4"), b, fill=900)
        x, w = arrays(p)
        x, w = (1000 + spread * x).astype("f4"), np.abs(w)
        got = run(p, x, w, None, Request(method))
        plain, wide = extension.spelled_out(p, x)
        want = oracle.by_taps(plain, wide, w)
        assert np.abs(got - want).max() <= 4 * np.finfo("f4").eps * want.max()
        assert spread or b == Boundary.CONSTANT or (got == got.flat[0]).all()


@by_boundary
def test_signs_are_told_from_what_is_seen(b):
    """A negative sample that is seen through the boundary only makes negative outputs there."""
    p = outside(problem((4000,), (600,), ((599, 599),)), b)
    x, w = (np.abs(a) for a in arrays(p))
    x[..., -700:-1] = 0
    x[..., -1] = -1e6
    for method in ("fft", "overlap_save"):
        got = run(p, x, w, None, Request(method))
        plain, wide = extension.spelled_out(p, x)
        oracle.assert_close(plain, got, wide, w)


@by_boundary
@pytest.mark.parametrize("size, kernel", [((3000,), (301,)), ((512,), (300,)), ((40, 64), (5, 9))], ids=str)
def test_promised_errors(b, size, kernel):
    """The bound for given values covers what is seen through the boundary, and vetoes methods by it."""
    x, w = random_array(size, np.dtype("f8"), 0), random_array(kernel, np.dtype("f8"), 1)
    x[(0,) * x.ndim] = 1e12
    keywords = {"boundary": extension.NUMPYS[b], "fill_value": 3e12 if b == Boundary.CONSTANT else 0.0}
    want = by_hand(x, w, "same", (keywords["boundary"],) * x.ndim, keywords["fill_value"])
    for method in ("direct", "fft", "overlap_save"):
        bound = fftconv.explain(x, w, "same", method=method, **keywords).bound
        got = signal.convolve(x, w, "same", method, **keywords)
        assert 0 < np.abs(got - want).max() <= bound
    with pytest.raises(ValueError, match="cannot promise"):
        signal.convolve(x, w, "same", "fft", rtol=1e-13, **keywords)
    assert fftconv.explain(x, w, "same", rtol=1e-12, **keywords).method in ("direct", "band", "jit")
    fine = np.abs(random_array(size, np.dtype("f8"), 2)) + 1
    loose = signal.convolve(fine, np.abs(w) + 1, "same", "fft", rtol=1e-9, boundary=keywords["boundary"])
    assert loose.shape == size


def test_sums_to_the_weight_inside_have_no_promise():
    with pytest.raises(ValueError, match="must be left out where sums are scaled"):
        signal.convolve(np.ones(9), np.ones(3), boundary="renormalize", rtol=1e-3)


def test_bounded_scratch():
    x, w = np.ones((300, 300)), np.ones((31, 31))
    for word in PADDED:
        plan = fftconv.explain(x, w, "same", boundary=word, max_memory="2 MB")
        assert plan.memory <= 2e6
        np.testing.assert_allclose(
            signal.convolve(x, w, "same", boundary=word, max_memory="2 MB")[20, 20], 961
        )


def test_the_array_is_never_extended():
    x, w = random_array((1500, 1500), np.dtype("f4"), 0), np.ones((40, 40), np.float32)
    for word in PADDED:
        out = np.empty_like(x)
        fill = 2.0 if word == "constant" else 0.0
        signal.convolve(x, w, "same", boundary=word, fill_value=fill, out=out, workers=1)
        tracemalloc.start()
        signal.convolve(x, w, "same", boundary=word, fill_value=fill, out=out, workers=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 2, word


# --- the door


def by_hand(x, w, mode, words, fill=0, correlate=False):
    for a, word in enumerate(words):
        x = extension.pad(x, a, extension.reach(mode, x.shape[a], w.shape[a]), word, fill)
    return extension.windows(x, w, correlate)


CASES = [
    ((40,), (7,)), ((40,), (8,)), ((6,), (6,)), ((5,), (23,)), ((1,), (4,)), ((3,), (1,)),
    ((9, 8), (3, 4)), ((4, 9), (9, 2)), ((3, 2), (7, 8)), ((5, 6, 4), (2, 3, 9)),
]  # fmt: skip


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "i4", "u1"])
@pytest.mark.parametrize("size, kernel", CASES, ids=str)
def test_padding_then_a_valid_sum(name, dtype, size, kernel):
    x, w = random_array(size, np.dtype(dtype), 0), random_array(kernel, np.dtype(dtype), 1)
    for word, mode in product(PADDED, ("full", "same")):
        fill = 3 if word == "constant" else 0
        want = by_hand(x, w, mode, (word,) * x.ndim, x.dtype.type(fill), name == "correlate")
        got = getattr(signal, name)(x, w, mode, boundary=word, fill_value=fill)
        assert got.dtype == x.dtype and got.shape == want.shape
        if dtype in ("i4", "u1"):
            np.testing.assert_array_equal(got, want)
        else:
            scale = float(np.abs(want).max()) * np.finfo(dtype).eps
            np.testing.assert_allclose(got, want, atol=64 * scale, rtol=0)


@pytest.mark.parametrize("mode", ["full", "same"])
def test_the_operands_are_not_exchanged(mode):
    """Only in1 is extended, however long in2 is."""
    a, b = random_array((3,), np.dtype("c16"), 0), random_array((8,), np.dtype("c16"), 1)
    for word in PADDED[1:]:
        for x, w in ((a, b), (b, a)):
            got = signal.correlate(x, w, mode, boundary=word)
            np.testing.assert_allclose(
                got, by_hand(x, w, mode, (word,), correlate=True).astype("c16"), atol=1e-12
            )


@pytest.mark.parametrize("shapes", [((7, 9), (3, 4)), ((5, 6), (5, 6)), ((3, 4), (6, 4))], ids=str)
def test_valid_reads_no_boundary(shapes):
    x, w = (random_array(shape, np.dtype("f8"), 0) for shape in shapes)
    for word in (*PADDED, "renormalize"):
        np.testing.assert_array_equal(
            signal.convolve(x, w, "valid", boundary=word), signal.convolve(x, w, "valid")
        )


def test_words_belong_to_the_convolved_axes():
    x, w = random_array((4, 9, 3, 8), np.dtype("f8"), 0), random_array((2, 1, 5, 1, 4), np.dtype("f8"), 1)
    got = signal.convolve(x, w, "same", axes=(-1, 2), boundary=("wrap", "edge"))
    wide = extension.pad(
        extension.pad(x, 3, extension.reach("same", 8, 4), "wrap"), 1, extension.reach("same", 9, 5), "edge"
    )
    assert got.shape == (2, 4, 9, 3, 8)
    for i, j, k in np.ndindex(2, 4, 3):
        np.testing.assert_allclose(
            got[i, j, :, k], extension.windows(wide[j, :, k], w[i, 0, :, 0]).astype("f8"), atol=1e-12
        )


def test_a_batch_of_pairs():
    """Kernel i belongs to signal i, and is the longer one."""
    x, w = random_array((3, 5), np.dtype("f8"), 0), random_array((3, 8), np.dtype("f8"), 1)
    got = signal.convolve(x, w, "full", axes=1, boundary="reflect")
    for row, a, b in zip(got, x, w, strict=True):
        np.testing.assert_allclose(row, by_hand(a, b, "full", ("reflect",)).astype("f8"), atol=1e-12)


NDIMAGE = {
    "constant": "constant", "edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "wrap",
}  # fmt: skip


@pytest.mark.parametrize("word", NDIMAGE)
@pytest.mark.parametrize(
    "size, kernel",
    [((30,), (7,)), ((4,), (9,)), ((12, 9), (3, 5)), ((3, 5), (7, 3)), ((4, 5, 6), (3, 5, 1))],
    ids=str,
)
def test_ndimage(word, size, kernel):
    """Odd kernels have one centre. An even one has its centre a sample later there, which `origin` moves back."""
    fill = 2.5 if word == "constant" else 0.0
    x, w = random_array(size, np.dtype("f8"), 0), random_array(kernel, np.dtype("f8"), 1)
    for name in ("convolve", "correlate"):
        want = getattr(scipy.ndimage, name)(x, w, mode=NDIMAGE[word], cval=fill)
        got = getattr(signal, name)(x, w, "same", boundary=word, fill_value=fill)
        np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("word", NDIMAGE)
def test_ndimage_even(word):
    x, w = random_array((30,), np.dtype("f8"), 0), random_array((6,), np.dtype("f8"), 1)
    want = scipy.ndimage.convolve1d(x, w, mode=NDIMAGE[word], origin=-1)
    np.testing.assert_allclose(signal.convolve(x, w, "same", boundary=word), want, atol=1e-12)
    want = scipy.ndimage.correlate1d(x, w, mode=NDIMAGE[word])
    np.testing.assert_allclose(signal.correlate(x, w, "same", boundary=word), want, atol=1e-12)


@pytest.mark.parametrize("word", ["fill", "wrap", "symm"])
def test_planar_boundaries_of_any_reach(word):
    rng = np.random.default_rng(5)
    for _ in range(25):
        a, b = (rng.integers(-9, 9, rng.integers(1, 8, 2)) for _ in range(2))
        for name, mode in product(("convolve2d", "correlate2d"), ("full", "same")):
            want = getattr(scipy.signal, name)(a, b, mode, word, 4)
            np.testing.assert_array_equal(getattr(signal, name)(a, b, mode, word, 4), want)


@pytest.mark.parametrize(
    "word, of", [("nearest", "edge"), ("replicate", "edge"), ("mirror", "reflect"), ("circular", "wrap"),
                 ("grid-wrap", "wrap"), ("symm", "symmetric"), ("zeros", "constant"), ("fill", "constant")],
)  # fmt: skip
def test_other_spellings(word, of):
    x, w = random_array((20,), np.dtype("f8"), 0), random_array((5,), np.dtype("f8"), 1)
    np.testing.assert_array_equal(signal.convolve(x, w, boundary=word), signal.convolve(x, w, boundary=of))
    np.testing.assert_array_equal(signal.convolve(x, w, boundary=[word]), signal.convolve(x, w, boundary=of))


BAD = {
    "unknown": ({"boundary": "periodic"}, "boundary must be one of 'constant', 'edge', 'reflect'"),
    "upper case": ({"boundary": "Wrap"}, "got 'Wrap'"),
    "ndimage's other names": ({"boundary": "grid-mirror"}, "'mirror' for 'reflect'"),
    "none": ({"boundary": None}, "got None"),
    "a number": ({"boundary": 0}, "got 0"),
    "nothing": ({"boundary": ()}, r"got \(\)"),
    "one of two unknown": ({"boundary": ("wrap", 3)}, r"got \('wrap', 3\)"),
    "too many": ({"boundary": ("wrap", "edge")}, "one per convolved axis, expected 1, got 2"),
    "too many zeros": ({"boundary": ("constant", "zeros")}, "expected 1, got 2"),
    "fill without constant": (
        {"boundary": "edge", "fill_value": 1},
        "fill_value is what boundary='constant'",
    ),
    "fill beside zeros": ({"boundary": "zeros", "fill_value": 1}, "got 1 with boundary='zeros'"),
    "fill of words": ({"fill_value": "1"}, "fill_value must be a number, got '1'"),
    "fill of none": ({"fill_value": None}, "fill_value must be a number, got None"),
    "fill of arrays": ({"fill_value": np.ones(2)}, r"must be a number, got an array of shape \(2,\)"),
    "complex fill": ({"fill_value": 1j}, "value of the result's dtype float64, got 1j"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("door", [signal.convolve, signal.correlate, fftconv.explain])
def test_bad_input(door, name):
    keywords, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        door(np.ones(5), np.ones(3), **keywords)


@pytest.mark.parametrize(
    "dtype, fill",
    [("u1", -1), ("u1", 256), ("i4", 0.5), ("i8", 2**63), ("i4", np.nan), ("?", 2), ("f4", 1e300)],
)
def test_fill_values_that_the_result_cannot_hold(dtype, fill):
    a = np.ones(3, dtype)
    with pytest.raises(ValueError, match=f"must be a value of the result's dtype {a.dtype}, got"):
        signal.convolve(a, a, fill_value=fill)


def test_fill_values_in_the_dtype_of_the_result():
    picture = np.ones((4, 4), np.uint8)
    got = signal.convolve(picture, picture[:3, :3], "same", dtype=np.int16, fill_value=-1)
    assert got[0, 0] == 4 - 5
    assert signal.convolve([True, False], [True], "full", fill_value=True).tolist() == [True, False]
    got = signal.convolve([False, False], [False, True, True], "full", fill_value=True)
    assert got.tolist() == [True, True, False, True]


def test_explain_says_what_is_outside():
    assert "outside reflect,wrap" in str(fftconv.explain((30, 40), (3, 5), boundary=("reflect", "wrap")))
    assert "outside constant 2.0" in str(fftconv.explain((30,), (3,), fill_value=2))
    assert "outside" not in str(fftconv.explain((30,), (3,), "valid", boundary="wrap"))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_torchs_padding_modes_extend_nothing(mode):
    """Stride, dilation, channels and groups, padded lazily."""
    x, w = random_array((2, 4, 17, 15), np.dtype("f8"), 0), random_array((6, 2, 3, 4), np.dtype("f8"), 1)
    word = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    wide = np.pad(x, ((0, 0), (0, 0), (5, 5), (2, 2)), word)
    for stride, dilation in ((1, 1), (2, 1), (1, 2), (3, 2)):
        keywords = {"stride": stride, "dilation": dilation, "groups": 2}
        want = nn.conv2d(wide, w, **keywords)
        np.testing.assert_allclose(
            nn.conv2d(x, w, padding=(5, 2), padding_mode=mode, **keywords), want, atol=1e-12
        )


def test_an_equal_fill_of_another_type_is_not_remembered():
    """3+0j and 3.0 are equal, but stored into real samples the first is a warning."""
    x, w = np.arange(20.0).reshape(4, 5), np.arange(6.0).reshape(2, 3)
    for dtype in (complex, float, complex):
        got = signal.convolve(x.astype(dtype), w, method="direct", boundary="constant", fill_value=dtype(3))
        assert got.dtype == dtype
        np.testing.assert_allclose(got, scipy.signal.convolve2d(x, w, fillvalue=3))
