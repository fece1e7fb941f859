"""Errors stay below the bound that is stated; a tolerance is kept or refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import oracle
import pytest
from conftest import run_plan
from problems import EXTRAS, PLAIN, Extras, problem, random_array
from scipy.signal import convolve as scipys

import fftconv
from fftconv import convolve, correlate, explain
from fftconv.core.accuracy import sum_error, transform_error
from fftconv.core.certificate import Bounds, bound, missed
from fftconv.core.plan import SUMS, Request, Tiling, Tolerance
from fftconv.core.planner import METHODS, plan_conv
from fftconv.core.trim import trim

DTYPES = ("f4", "f8", "c8", "c16", "g", "G")


def fine(shape, rng):
    return rng.standard_normal(shape)


def wide(shape, rng):
    """Sixteen decades of magnitude."""
    return 10.0 ** rng.uniform(-8, 8, shape) * rng.choice((-1, 1), shape)


def spike(shape, rng):
    a = rng.standard_normal(shape)
    a.reshape(-1)[a.size // 3] = 1e9
    return a


def pedestal(shape, rng):
    return 1e4 + rng.standard_normal(shape)


def wave(shape, rng):
    """All energy in one bin, and no frequency that a transform has."""
    return np.cos(np.arange(np.prod(shape)) * 0.7071).reshape(shape)


def alternating(shape, rng):
    return (-1.0) ** np.arange(np.prod(shape)).reshape(shape)


DATA = {f.__name__: f for f in (fine, wide, spike, pedestal, wave, alternating)}

SHAPES = {
    "short": problem((10,), (3,), "full"),
    "one block": problem((500,), (450,), "same"),
    "many blocks": problem((9000,), (151,), "same"),
    "rows": problem((20, 500), (1, 45), "full"),
    "picture": problem((90, 100), (13, 9), "same"),
    "volume": problem((20, 14, 21), (4, 5, 3), "same"),
    **{
        name: problem((600,), (61,), "same", "f8", extras)
        for name, extras in EXTRAS.items()
        if extras != PLAIN
    },
}


def values(p, make, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for shape, dtype in ((p.x_shape, p.x_dtype), (p.w_shape, p.w_dtype)):
        a = make(shape, rng)
        found.append((a + 1j * make(shape, rng) if dtype.kind == "c" else a).astype(dtype))
    return found


def stated(plan, x, w):
    """The bound of every output, as `docs/accuracy.md` has it, from the plan's coefficient."""
    p = plan.problem
    if plan.method in SUMS:
        q = p.with_(x_dtype=np.dtype("f8"), w_dtype=np.dtype("f8"), dtype=np.dtype("f8"))
        return plan.chosen.error * oracle.by_taps(q, np.abs(x), np.abs(w))
    if plan.chosen.tiling is None:
        norms = (np.sqrt((np.abs(a.astype("D")) ** 2).reshape(len(a), -1).sum(1)).max() for a in (x, w))
        return plan.chosen.error * np.prod(list(norms))
    return Bounds(plan, x, w).at_outputs()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SHAPES)
def test_errors_stay_below_the_bound(name, dtype):
    d = np.dtype(dtype)
    p = SHAPES[name].with_(x_dtype=d, w_dtype=d, dtype=d)
    trimmed = trim(p)
    p = trimmed.problem if trimmed else p
    exact = d.char in "gG"  # the oracle is no wider: sums of integers, which it gives exactly
    ran = set()
    for data, make in DATA.items():
        if exact and data != "fine":
            continue
        x, w = values(p, make)
        if exact:
            x, w = np.rint(x * 1000), np.rint(w * 1000)
        want = oracle.by_taps(p, x, w)
        for method in METHODS:
            try:
                plan = plan_conv(p, Request(method=method, workers=1))
            except ValueError:
                continue
            error = np.abs(run_plan(plan, x, w) - want)
            limit = stated(plan, x, w)
            assert (error <= limit).all(), (
                f"{method} {data}: {(error / limit).max():.2g} times the bound of {p}"
            )
            assert limit.max() <= 1.0001 * bound(plan, x, w), f"{method} {data}"
            ran.add(method)
    assert {"direct", "fft", "overlap_save"} <= ran


def test_the_bound_is_no_sooner_met_than_needed():
    """It is within a factor of some thousands of the worst that happens, and not of millions."""
    for method in ("direct", "fft", "overlap_save"):
        p = problem((5000,), (301,), "same")
        plan = plan_conv(p, Request(method=method))
        draws = [values(p, fine, seed) for seed in range(5)]
        errors = [np.abs(run_plan(plan, x, w) - oracle.by_taps(p, x, w)).max() for x, w in draws]
        assert max(bound(plan, x, w) for x, w in draws) < 3000 * max(errors)


def test_coefficients_grow_as_derived():
    p = problem((5000,), (301,), "same")
    eps = np.finfo("f8").eps
    assert sum_error(p) == 303 * eps
    assert transform_error(p, Tiling((1024,), (724,))) == (12 * 10 + 1) * eps
    many = problem((5000,), (301,), "same", "f8", Extras(channels=(16, 4)))
    assert sum_error(many) == (16 * 301 + 2) * eps
    assert transform_error(many, Tiling((1024,), (724,))) == (12 * 10 + 16) * eps
    assert sum_error(problem((50,), (3,), "same", "i4")) == 0


def test_large_values_spoil_their_own_tiles_only():
    """A sample lies in two tiles at most; of two tiles that share a transform both are spoilt."""
    x, w = np.random.default_rng(0).random(200_000) + 1, np.ones(101)
    want = convolve(x, w, "same", method="direct")
    x[100_000] = 1e14
    tiling = explain(x, w, "same", method="overlap_save").tiling
    nfft = tiling.nfft[0]
    far = np.abs(np.arange(x.size) - 100_000) > nfft
    assert far.sum() > 100_000
    errors = {m: np.abs(convolve(x, w, "same", method=m) / want - 1) for m in ("overlap_save", "fft")}
    if tiling.packed:
        assert np.count_nonzero(errors["overlap_save"][far] > 1e-12) <= 2 * nfft
    else:
        assert errors["overlap_save"][far].max() < 1e-12
    assert errors["fft"][far].max() > 1e-6


class TestTolerance:
    # scipy#22390: a transform gives 1e144 where the sum is 1
    wild = np.array([0] * 10_000 + [10 ** (9 * i) for i in range(10)], float)
    tame = np.random.default_rng(1).random(20_000)
    taps = np.random.default_rng(2).random(501)

    @pytest.mark.parametrize("call", (convolve, correlate))
    def test_wide_ranges_come_out_right(self, call):
        other = self.wild if call is convolve else self.wild[::-1]
        want = scipys(self.wild, self.wild, method="direct")
        np.testing.assert_allclose(call(self.wild, other, rtol=1e-9), want, rtol=1e-9)
        small = self.wild / 1e81
        np.testing.assert_allclose(call(small, other, rtol=1e-9), want / 1e81, rtol=1e-9)

    @pytest.mark.parametrize("method", ("fft", "overlap_save"))
    def test_or_are_refused(self, method):
        words = f"method '{method}' cannot promise .* with rtol=1e-09, atol=0: the bound of '{method}' is"
        with pytest.raises(ValueError, match=words):
            convolve(self.wild, self.wild, method=method, rtol=1e-9)

    def test_probabilities(self):
        """The distribution of a sum of many coins, tails included: no negative number, so rtol is of the output."""
        half = np.array([0.5, 0.5])
        for _ in range(11):
            half = convolve(half, half, rtol=1e-9)
        assert half.size == 2**11 + 1
        assert abs(half[0] / 0.5**2048 - 1) < 1e-8 if 0.5**2048 else half[0] == 0
        middle = half[1024]
        assert abs(middle - 0.01762880) < 1e-7 and abs(half.sum() - 1) < 1e-9
        wide = np.exp(-(np.linspace(-30, 30, 4001) ** 2) / 2)
        want = scipys(wide, wide, method="direct")
        np.testing.assert_allclose(convolve(wide, wide, rtol=1e-9), want, rtol=1e-9)

    def test_a_transform_is_used_where_it_can_promise(self):
        for asked in ({"rtol": 1e-9}, {"atol": 1e-6}, {"rtol": 1e-10, "atol": 1e-9}):
            plan = explain(self.tame, self.taps, **asked)
            assert plan.method in ("fft", "overlap_save"), asked
            assert np.array_equal(convolve(self.tame, self.taps, **asked), convolve(self.tame, self.taps))

    def test_else_a_sum(self):
        plan = explain(self.wild, self.wild, rtol=1e-9)
        assert plan.method in SUMS
        assert "its error bound exceeds rtol=1e-09, atol=0 on these values" in str(plan)

    def test_or_nothing(self):
        for asked in ({"rtol": 1e-16}, {"atol": 1e-15}, {"rtol": 0}):
            with pytest.raises(ValueError, match="no method can promise"):
                convolve(self.tame, self.taps, **asked)
        with pytest.raises(ValueError, match="a wider dtype= has smaller errors"):
            convolve(self.tame.astype("f4"), self.taps.astype("f4"), rtol=1e-7)
        convolve(self.tame.astype("f4"), self.taps.astype("f4"), rtol=1e-7, dtype="f8")

    def test_integers_are_exact(self):
        a = np.arange(5000)
        assert np.array_equal(convolve(a, a, rtol=0, atol=0), convolve(a, a))

    def test_zeros_are_exact_zeros(self):
        x = np.zeros(20_000)
        x[5000:5100] = self.tame[:100] + 1
        got = convolve(x, np.ones(300), method="overlap_save", rtol=1e-8)
        np.testing.assert_allclose(got, scipys(x, np.ones(300), method="direct"), rtol=1e-8)

    def test_what_is_not_finite_is_summed(self):
        x = self.tame.copy()
        x[77] = np.nan
        assert explain(x, self.taps, rtol=1e-8).method in SUMS
        assert np.isnan(convolve(x, self.taps, rtol=1e-8)).sum() == 501

    def test_halves_are_rounded_anyway(self):
        a = np.ones(9, "f2")
        with pytest.raises(
            ValueError, match="rtol and atol must be left out where results are rounded to float16"
        ):
            convolve(a, a, rtol=1e-2)
        assert convolve(a, a, rtol=1e-5, dtype="f4").dtype == np.float32

    @pytest.mark.parametrize("dtype", ("f4", "f8", "c8", "c16"))
    @pytest.mark.parametrize("data", DATA)
    def test_what_is_promised_is_kept(self, data, dtype):
        """Errors against the oracle, for tolerances from what nothing can keep to what anything can."""
        p = problem((1500,), (200,), "full", dtype)
        x, w = values(p, DATA[data])
        want = oracle.by_taps(p, x, w)
        q = problem((1500,), (200,), "full", "f8")
        scale = oracle.by_taps(q, np.abs(x), np.abs(w))
        promised = 0
        for rtol in 10.0 ** np.arange(-16, 1, 2):
            for method in ("direct", "fft", "overlap_save"):
                plan = plan_conv(p, Request(method))
                if missed(plan, (x, w), Tolerance(rtol, 0.0)) is None:
                    error = np.abs(run_plan(plan, x, w) - want)
                    assert (error <= rtol * scale).all()
                    promised += 1
        assert promised >= 3


def test_explain_states_the_bound():
    by_shape = explain((100_000,), (1001,))
    assert by_shape.bound is None and "|x| |w|" in str(by_shape) and "sum|x w|" in str(by_shape)
    x, w = random_array((100_000,), np.dtype("f8"), 0), np.ones(1001)
    plan = explain(x, w)
    assert plan == by_shape
    assert f"error of these values at most {plan.bound:.2g}" in str(plan)
    assert 1e-13 < plan.bound < 1e-9
    ints = explain(np.arange(50_000), np.arange(50_000))
    assert ints.bound == 0 and "exact" in str(ints)
    sums = explain(x[:1000], w[:5], method="direct")
    np.testing.assert_allclose(sums.bound, 7 * np.finfo(float).eps * 5 * np.abs(x[:1000]).max())


def test_the_page_lists_what_was_measured():
    page = (Path(__file__).parents[1] / "docs" / "accuracy.md").read_text()
    table = page.split("<!-- measured errors -->")[1]
    for word in ("1000000 by 1001", *("float32", "float64", "complex64", "complex128"), *METHODS):
        assert word in table
    for word in ("longdouble", "clongdouble", "fft by phases", "limbs"):
        assert word in table
    integers = [row for row in table.splitlines() if re.search(r"\| u?int\d+ \|", row)]
    cells = [cell for row in integers for cell in row.strip("| ").split(" | ")[2:]]
    assert len(cells) > 100 and all(re.fullmatch(r"0(, \d x \d limbs)?", cell) for cell in cells)
    parts = [float(p) for p in re.findall(r"\((\d[^)]*)\)", table)]
    assert len(parts) > 100 and max(parts) < 1


def test_options_reach_both_functions():
    for call in (fftconv.signal.convolve, fftconv.signal.correlate):
        with pytest.raises(ValueError, match="no method can promise"):
            call(TestTolerance.tame, TestTolerance.taps, rtol=1e-17)


@pytest.mark.parametrize("spoiler", (np.nan, np.inf, -np.inf))
@pytest.mark.parametrize("operand", (0, 1))
def test_values_that_are_not_finite_neither_keep_nor_break_a_promise(spoiler, operand):
    """One infinity made bound and tolerance infinite, so that float32 promised eleven digits."""
    rng = np.random.default_rng(0)
    pair = [rng.standard_normal(60).astype("f4"), rng.random(9).astype("f4")]
    pair[operand][4] = spoiler
    with pytest.raises(ValueError, match="can promise"):
        convolve(*pair, rtol=1e-11)
    got = convolve(*pair, atol=1e-3)
    assert not np.isfinite(got).all()
    if operand == 0:
        assert np.isfinite(got).sum() == got.size - 9


def test_sums_beyond_the_range_of_floats_promise_no_more_than_others():
    with pytest.raises(ValueError, match="can promise"):
        convolve([1e300, 1.0, 1.0], [1e300, 2.0, 3.0], rtol=1e-17)
