"""Each form of the direct sum on its own, whatever the cost model would choose."""

from __future__ import annotations

import threading
import tracemalloc
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import oracle
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st
from problems import EXTRAS, Extras, arrays, awkward, poison, problem, problems, random_array

import fftconv
from fftconv.core import cells, cost_direct, loop_rows
from fftconv.core.cells import boxes
from fftconv.core.cost_direct import FORMS, cheapest, fits, patches, seconds
from fftconv.core.methods import blas, direct, executor, gemm, jit, lines, loops, taps, warmth
from fftconv.core.plan import Candidate, ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.profile import BUILT_IN as PROFILE

BUILT_IN = PROFILE.direct
EXECUTORS = {
    "lines": lines.execute,
    "taps": taps.execute,
    "gemm": gemm.execute,
    "band": gemm.execute,
    "direct": direct.execute,
}
by_form = pytest.mark.parametrize("form", EXECUTORS)
needs_compiler = pytest.mark.skipif(find_spec("llvmlite") is None, reason="the jit extra is not installed")


def plan(form: str, p: ConvProblem, workers: int = 1) -> ConvPlan:
    chosen = Candidate(form, workers=workers)
    return ConvPlan(p, chosen, "")


def answer(form: str, p: ConvProblem, x: np.ndarray, w: np.ndarray, workers: int = 1) -> np.ndarray:
    out = poison(p.out_shape, p.dtype)
    EXECUTORS[form](plan(form, p, workers), x, w, out)
    return out


def repaired(p: ConvProblem, form: str) -> ConvProblem:
    """`p` with something to add up, of a kind that `form` takes."""
    p = replace(
        p,
        batch=max(1, p.batch),
        out_channels=max(p.groups, p.out_channels),
        input_size=tuple(max(1, n) for n in p.input_size),
        kernel_size=tuple(max(1, k) for k in p.kernel_size),
        lhs_dilation=p.lhs_dilation if form == "band" else (1,) * p.ndim,
    )
    if form == "band":
        p = replace(
            p,
            rhs_dilation=tuple(
                1 if b > 1 else d for b, d in zip(p.lhs_dilation, p.rhs_dilation, strict=True)
            ),
        )
    if form in ("gemm", "band") and p.dtype.char not in "fdFD":
        p = replace(p, **dict.fromkeys(("x_dtype", "w_dtype", "dtype"), np.dtype("f4")))
    if form == "lines":
        longest = max(range(p.ndim), key=lambda i: p.kernel_size[i])
        single = tuple(k if i == longest else 1 for i, k in enumerate(p.kernel_size))
        p = replace(p, kernel_size=single, in_channels=p.out_channels, groups=p.out_channels)
        stride = list(p.stride)
        stride[cost_direct.line_axis(p)] = 1
        p = replace(p, stride=tuple(stride), rhs_dilation=(1,) * p.ndim)
    # pads that crop everything away give way until one output is left
    missing = (
        k - n - lo - hi for k, n, (lo, hi) in zip(p.dilated_kernel, p.dilated_input, p.pads, strict=True)
    )
    return replace(p, pads=tuple((lo, hi + max(0, m)) for (lo, hi), m in zip(p.pads, missing, strict=True)))


@by_form
@given(p=problems(), workers=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_any_problem(poisoned, form, p, workers, seed):
    p = repaired(p, form)
    if form == "band" and not fits(form, p):
        p = repaired(problem((*p.input_size, 5), (2, *p.kernel_size), "full", p.dtype.str), form)
    assert fits(form, p)
    x, w = arrays(p, seed)
    oracle.assert_close(p, answer(form, p, x, w, workers), x, w)


LARGE = {
    "a long line": problem((200_001,), (9,), "same", "f4"),
    "a long line, long kernel": problem((50_001,), (333,), "full", "f8"),
    "lines down the columns": problem((300, 70), (12, 1), "same", "f4", Extras(batch=2)),
    "an image": problem((301, 257), (5, 4), "same", "f4"),
    "a strided image": problem((301, 257), (5, 4), "same", "f8", Extras(stride=3)),
    "channels": problem((65, 49), (3, 3), "same", "c8", Extras(batch=3, channels=(12, 20))),
    "too many channels for one product": problem((40,), (200,), "full", "f8", Extras(channels=(90, 5))),
    "depthwise": problem((31, 37), (3, 3), "same", "f4", Extras(batch=2, channels=(24, 24), groups=24)),
    "a volume": problem((30, 41, 37), (4, 3, 5), "full", "f8", Extras(channels=(2, 3))),
    "a transposed image": problem((40, 50), (4, 4), "full", "f4", Extras(channels=(8, 6), dilation=(2, 1))),
    "taps that do not divide": problem(
        (40, 50), (5, 3), "same", "f8", Extras(channels=(4, 2), dilation=(3, 1))
    ),
    "strides on both sides": problem((40, 50), (6, 4), "full", "c8", Extras(stride=2, dilation=(4, 1))),
    "a strided dilated image": problem((150, 160), (3, 4), "full", "f4", Extras(stride=4, dilation=(1, 6))),
    "a dilated image": problem((150, 160), (3, 4), "full", "f4", Extras(dilation=(1, 7), channels=(2, 2))),
}


@by_form
@pytest.mark.parametrize("name", LARGE)
def test_many_blocks(poisoned, form, name):
    """Right, and the same bits for every number of workers."""
    p = LARGE[name]
    if not fits(form, p):
        pytest.skip("this form does not answer it")
    x, w = arrays(p)
    one = answer(form, p, x, w)
    oracle.assert_close(p, one, x, w)
    for workers in (2, 3, 8):
        np.testing.assert_array_equal(answer(form, p, x, w, workers), one)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("extras", EXTRAS)
def test_one_nan_touches_only_its_window(form, extras):
    """Of "band" this is not asked: its zeros meet samples of neighbouring windows."""
    p = replace(problem((40, 30), (3, 4), "same", "f8", EXTRAS[extras]), lhs_dilation=(1, 1))
    if not fits(form, p):
        p = replace(p, kernel_size=(1, 4), stride=(1, 1), rhs_dilation=(1, 1))
    if not fits(form, p):
        pytest.skip("this form does not answer it")
    x, w = arrays(p)
    spoilt = x.copy()
    spoilt[0, 0, 20, 13] = np.nan
    clean = np.zeros_like(x)
    clean[0, 0, 20, 13] = 1
    touched = answer("taps", p, clean, np.ones_like(w)) != 0
    got = answer(form, p, spoilt, w)
    np.testing.assert_array_equal(np.isnan(got), touched)
    np.testing.assert_array_equal(got[~touched], answer(form, p, x, w)[~touched])


@by_form
def test_awkward_memory(form):
    p = problem((33,), (6,), "full", "f4") if form == "lines" else problem((19, 23), (3, 4), "full", "f4")
    x, w = arrays(p)
    want = answer(form, p, x, w)
    for name, xs in awkward(x).items():
        ws = awkward(w)[name]
        np.testing.assert_array_equal(
            answer(form, p, xs, ws), answer(form, p, np.array(xs), np.array(ws)), err_msg=name
        )
    wide = np.full((*p.out_shape[:-1], 2 * p.out_shape[-1]), 5, p.dtype)
    EXECUTORS[form](plan(form, p), x, w, wide[..., ::-2])
    np.testing.assert_array_equal(wide[..., ::-2], want)
    assert (wide[..., ::2] == 5).all()


@pytest.mark.parametrize("workers", (1, 2))
@pytest.mark.parametrize("form", ("taps", "gemm", "band"))
def test_scratch_is_as_predicted(form, workers):
    """Within a fifth, at the peak: what is allocated on top of input and output."""
    p = problem((30, 128, 128), (3, 3, 3), "same", "f8", Extras(channels=(4, 4)))
    x, w = arrays(p)
    out = np.empty(p.out_shape, p.dtype)
    tracemalloc.start()
    try:
        EXECUTORS[form](plan(form, p, workers), x, w, out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    predicted = cost_direct.scratch(form, p, workers, BUILT_IN)
    # a job's last wish for memory may come when its sibling has ended: fewer copies than workers is fine
    assert predicted / workers * 0.8 <= peak <= predicted * 1.2 + 2**17, (predicted, peak)


@given(p=problems())
def test_predictions_are_sane(p):
    p = repaired(p, "taps")
    assert cheapest(p, BUILT_IN) in FORMS and fits(cheapest(p, BUILT_IN), p)
    for form in ("direct", "band", "jit", *FORMS):
        if fits(form, p):
            assert 0 < seconds(form, p, 2, BUILT_IN) < 1
            one, two = (cost_direct.scratch(form, p, workers, BUILT_IN) for workers in (1, 2))
            assert 0 < one <= two


def test_more_of_everything_costs_more():
    small = problem((64, 64), (3, 3), "same", "f4", Extras(channels=(2, 2)))
    for form in ("taps", "gemm", "band"):
        for more in ({"batch": 8}, {"input_size": (256, 256)}, {"out_channels": 16}, {"kernel_size": (9, 9)}):
            assert seconds(form, replace(small, **more), 1, BUILT_IN) > seconds(form, small, 1, BUILT_IN)


def test_bands_serve_few_channels():
    """One output channel takes many rows to a column, many channels few."""

    def height(channels: int) -> int:
        p = problem((256, 256), (7, 7), "same", "f4", Extras(channels=(channels, channels)))
        return max(c.rows for c in patches(p, "band", BUILT_IN).cells)

    assert height(1) >= 4 > height(64)


def test_boxes_cover_every_cell_once():
    sizes = (5, 7, 12)
    for target in (1, 3, 11, 50, 10**6):
        lengths = cells.chunks(sizes, target)
        seen = np.zeros(sizes, int)
        for box in boxes(sizes, lengths):
            seen[tuple(slice(*span) for span in box)] += 1
        assert (seen == 1).all() and np.prod(lengths) <= target


def test_blas_gets_its_threads_back():
    controls = blas._controls()
    if controls is None:
        pytest.skip("not OpenBLAS")
    get, _ = controls
    before = get()
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with blas.one_thread():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    inside.wait(10)
    with blas.one_thread():
        assert get() == 1
    assert get() == 1, "the other thread is still multiplying"
    leave.set()
    other.join()
    assert get() == before


@pytest.fixture
def none_is_small(monkeypatch):
    """Everything as for large arrays."""
    monkeypatch.setattr(jit, "is_small", lambda p: False)


def assert_bits_of_taps(p):
    x, w = arrays(p)
    want = answer("taps", p, x, w)
    for workers in (1, 3):
        got = poison(p.out_shape, p.dtype)
        jit.execute(plan("jit", p, workers), x, w, got)
        assert got.tobytes() == want.tobytes(), p


@pytest.mark.parametrize("dtype", ("f4", "f8", "g", "i1", "u1", "i8", "u8"))
@pytest.mark.parametrize("outputs", ((2,), (3,), (40,), (1, 2), (3, 1, 5)))
def test_products_of_several_taps_at_once_are_added_one_after_the_other(dtype, outputs):
    """The bits of one tap at a time, signs of zeros too, however many products there is room for."""
    dtype = np.dtype(dtype)
    for shape in ((70,), (5, 7), (2, 3, 4)):
        terms = random_array((*shape, *outputs), dtype, 0)
        weights = random_array((int(np.prod(shape)),), dtype, 1)
        zeros = np.zeros_like(terms), -np.ones_like(weights)
        for a, b in ((terms, weights), zeros, (-zeros[0], -zeros[1])):
            found, want = np.empty(outputs, dtype), np.empty(outputs, dtype)
            one_by_one = np.empty((2, *outputs), dtype)
            with np.errstate(all="ignore"):
                taps.accumulate(a, b, want, one_by_one)
                for room in (3, 4, 5, 8, 13, 36, 71, 100):
                    taps.accumulate(a, b, found, np.empty((room, *outputs), dtype))
                    if dtype.char == "g":  # bytes beyond the number are anything
                        assert np.array_equal(found, want) and np.array_equal(
                            np.signbit(found), np.signbit(want)
                        )
                    else:
                        assert found.tobytes() == want.tobytes()


@needs_compiler
@pytest.mark.usefixtures("none_is_small")
@pytest.mark.parametrize("dtype", ("f4", "f8", "i4", "u1"))
def test_compiled_loops_give_the_bits_of_taps(dtype):
    jit.warm_up(np.dtype(dtype))
    for size, kernel in (((61,), (11,)), ((23, 31), (4, 5)), ((9, 8, 17), (3, 2, 4))):
        for extras in EXTRAS.values():
            p = replace(problem(size, kernel, "same", dtype, extras), lhs_dilation=(1,) * len(size))
            assert_bits_of_taps(p)


@needs_compiler
@pytest.mark.usefixtures("none_is_small")
@pytest.mark.parametrize("dtype", ("f4", "f8", "i2", "u8"))
def test_windows_read_where_they_are(dtype):
    """Large enough for it: the middle from the input itself, the frame from copies; the bits of taps all the same."""
    jit.warm_up(np.dtype(dtype))
    for size, kernel, extras in (
        ((301, 257), (5, 2), EXTRAS["plain"]),
        ((70_001,), (11,), EXTRAS["plain"]),
        ((90, 91, 167), (2, 1, 2), EXTRAS["batch"]),
        ((340, 350), (3, 3), EXTRAS["groups"]),
        ((600, 512), (3, 3), Extras(dilation=(1, 3), channels=(2, 2))),
        ((270, 3000), (9, 9), EXTRAS["plain"]),
    ):
        for pads in ("same", "full", "valid"):
            p = problem(size, kernel, pads, dtype, extras)
            p = replace(p, stride=(2, 1)) if size == (600, 512) else p
            assert loop_rows.inside(p), p
            assert_bits_of_taps(p)


@needs_compiler
@pytest.mark.usefixtures("none_is_small")
@pytest.mark.parametrize("extras", (Extras(batch=17), Extras(batch=9, groups=2, channels=(4, 6))))
@pytest.mark.parametrize("pads", ("same", "full", "valid"))
def test_samples_of_a_batch_take_turns(extras, pads, monkeypatch):
    """All kernels read some samples before they read the next ones: the bits of taps, also where the last are fewer."""
    monkeypatch.setattr(loop_rows, "SHARE_BYTES", 68 * 2**10)
    monkeypatch.setattr(loop_rows, "LOOP_MACS", 10_000)
    jit.warm_up(np.dtype("f4"))
    p = problem((60, 70), (3, 3), pads, "f4", extras)
    shapes = (p.batch, 1, p.group_inputs, *p.input_size), (p.batch, 1, p.group_outputs, *p.output_size)
    assert 1 < loop_rows.samples_a_call(p, *shapes) < p.batch
    assert_bits_of_taps(p)


@needs_compiler
@pytest.mark.usefixtures("none_is_small")
def test_awkward_memory_of_large_arrays():
    """Input and output that can or cannot be read and written where they are, rows backwards and all."""
    jit.warm_up(np.dtype("f4"))
    p = problem((301, 257), (5, 4), "same", "f4")
    x, w = arrays(p)
    want = answer("taps", p, x, w)
    raw = np.empty(x.nbytes + 1, np.uint8)
    crooked = raw[1:].view(p.dtype).reshape(p.out_shape)
    wide = np.full((1, 1, 2 * 301, 2 * 257), 5, p.dtype)
    flipped = x[:, :, ::-1].copy()[:, :, ::-1]
    for source in (*awkward(x).values(), flipped):
        for target in (crooked, wide[:, :, ::-2, :257], wide[:, :, ::2, ::-2]):
            target[...] = np.nan
            jit.execute(plan("jit", p, 2), source, w, target)
            np.testing.assert_array_equal(target, want)


@needs_compiler
@pytest.mark.usefixtures("none_is_small")
@pytest.mark.parametrize("dtype", ("f4", "f8", "i4", "u1"))
@pytest.mark.parametrize("k", loops.WRITTEN_OUT)
def test_lines_that_are_written_out_give_the_bits_of_taps(monkeypatch, dtype, k):
    char = np.dtype(dtype).char
    jit.warm_up(np.dtype(dtype))
    mine = warmth.Warmth(lambda key: loops.written_out(char, k, warmth.warmth.loops[char]))
    monkeypatch.setattr(jit, "written", mine)
    mine.prepare(f"{char}{k}")
    assert mine.loops[f"{char}{k}"].of(300, True, k)[0].taps == k
    assert mine.loops[f"{char}{k}"].of(300, True, k + 1)[0].taps == 0
    for size, kernel, extras in (
        ((90, 140), (k, k), Extras()),
        ((90, 140), (2, k), Extras(batch=2, channels=(2, 4), groups=2)),
        ((5, 40, 70), (3, 2, k), Extras()),
        ((90, 140), (3, k), Extras(dilation=(1, 2))),
    ):
        for pads in ("same", "full", "valid"):
            p = problem(size, kernel, pads, dtype, extras)
            x, w = arrays(p)
            got = poison(p.out_shape, p.dtype)
            jit.execute(plan("jit", p, 2), x, w, got)
            np.testing.assert_array_equal(got, answer("taps", p, x, w))


@needs_compiler
@pytest.mark.usefixtures("none_is_small")
def test_signed_zeros_are_those_of_taps():
    jit.warm_up(np.dtype("f8"))
    p = problem((40, 40), (3, 3), "same", "f8")
    for x in (np.zeros(p.x_shape), -np.zeros(p.x_shape)):
        for w in (-np.ones(p.w_shape), np.where(np.eye(3) > 0, 1.0, -1.0)[None, None]):
            got = poison(p.out_shape, p.dtype)
            jit.execute(plan("jit", p), x, w, got)
            assert got.tobytes() == answer("taps", p, x, w).tobytes()


@needs_compiler
def test_nothing_is_compiled_for_calls_that_cannot_repay_it(monkeypatch):
    mine = warmth.Warmth(loops.compiled)
    monkeypatch.setattr(jit, "warmth", mine)
    p = problem((50,), (5,), "same", "f8")
    x, w = arrays(p)
    out = poison(p.out_shape, p.dtype)
    jit.execute(plan("jit", p), x, w, out)
    oracle.assert_close(p, out, x, w)
    assert not mine.begun and not mine.loops
    mine.spent("d", cost_direct.WARM_UP_SECONDS)
    assert not mine.begun  # there may be no other call
    mine.spent("d", 0.0)
    assert mine.begun == {"d"}
    for thread in threading.enumerate():
        if thread.name == "fftconv-jit":
            thread.join(60)
    assert "d" in mine.loops and "f" not in mine.loops
    assert mine.at_once(plan("jit", problem((200, 200), (3, 3), "same", "f4"))) is None
    large = problem((2000, 2000), (13, 13), "same", "f4")
    assert mine.at_once(plan("jit", large)) is not None, "one such call repays it"


@needs_compiler
def test_loops_that_are_much_faster_are_compiled_sooner(monkeypatch):
    """But never for a first call, of which nobody knows whether there will be another."""
    p = problem((1664,), (65,), "same", "f8")
    taken = cost_direct.WARM_UP_SECONDS / warmth.eagerness(p)
    assert taken < cost_direct.WARM_UP_SECONDS / 2
    mine = warmth.Warmth(lambda char: None)
    monkeypatch.setattr(jit, "warmth", mine)
    now = iter((0.0, taken, 1.0, 1.0))
    monkeypatch.setattr(jit, "perf_counter", lambda: next(now))
    (x, w), out = arrays(p), poison(p.out_shape, p.dtype)
    jit.execute(plan("jit", p), x, w, out)
    assert not mine.begun
    jit.execute(plan("jit", p), x, w, out)
    assert mine.begun == {"d"}


@pytest.mark.parametrize("dtype", ("f4", "f8", "i4", "c8", ("f4", "f8", "f8")))
@pytest.mark.parametrize("flip", (True, False))
def test_one_short_line(dtype, flip):
    """Made to measure or not, the executor of one line gives the bits of the form it stands for."""
    for pads in ("full", "same", "valid", ((3, 0),), ((0, 9),)):
        p = replace(problem((90,), (7,), pads, dtype), flip=flip)
        x, w = arrays(p)
        out = poison(p.out_shape, p.dtype)
        chosen = plan("direct", p)
        executor(chosen)(chosen, x, w, out)
        np.testing.assert_array_equal(out, answer("lines", p, x, w))
        oracle.assert_close(p, out, x, w)


@pytest.mark.parametrize("mode", ("full", "same", "valid"))
@pytest.mark.parametrize("sizes", ((500, 10), (10, 500), (7, 7), (100_000, 2)))
@pytest.mark.parametrize("unit", ((1, 0), (1, 1j)), ids=("real", "complex"))
def test_a_short_line_again(mode, sizes, unit):
    """The second call with plain arrays goes past problem and views, and gives what the first one did."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, 2))[::-1] @ unit for n in sizes)
    for ours, theirs in (
        (fftconv.convolve, scipy.signal.convolve),
        (fftconv.correlate, scipy.signal.correlate),
    ):
        first, *others = (ours(a, b, mode) for _ in range(3))
        np.testing.assert_allclose(first, theirs(a, b, mode, method="direct"), rtol=0, atol=1e-12)
        for found in others:
            assert found.flags.owndata and found.tobytes() == first.tobytes()
        with fftconv.config_context(workers=1):
            assert ours(a, b, mode).tobytes() == first.tobytes()


@needs_compiler
@pytest.mark.usefixtures("none_is_small")
@pytest.mark.parametrize(
    "size, kernel", [((100, 78), (6, 5)), ((40, 9, 12), (3, 2, 3)), ((9, 40, 12), (2, 3, 2))]
)
def test_tall_arrays_have_the_bits_of_wide_ones(size, kernel):
    """Rows of the loops run along the longest axis; terms are added in the order of the kernel all the same."""
    p = problem(size, kernel, "valid", "f8")
    jit.warm_up(p.dtype)
    x, w = arrays(p)
    got, want = (np.empty(p.out_shape, p.dtype) for _ in range(2))
    jit.execute(plan("jit", p), x, w, got)
    taps.execute(plan("direct", p), x, w, want)
    assert np.array_equal(got, want)
