"""`explain` tells what the call does, without doing it."""

from __future__ import annotations

import numpy as np
import pytest

import fftconv as fc
from fftconv import explain
from fftconv.core import run as core_run
from fftconv.core.plan import ConvPlan


def test_shapes_and_arrays_give_the_same_plan():
    by_shape = explain((5000,), (301,), "same", dtype="f4")
    by_array = explain(np.ones(5000, "f4"), np.ones(301, "f4"), "same")
    assert isinstance(by_shape, ConvPlan) and by_shape == by_array
    assert explain((np.int64(5000),), (np.uint16(301),), "same", dtype="f4") == by_array
    assert by_shape.problem.output_size == (5000,)


def test_the_table_names_every_method_and_marks_the_chosen_one():
    plan = explain((100_000,), (2001,), workers=2)
    lines = str(plan).splitlines()
    for candidate in plan.candidates:
        assert any(candidate.method in line for line in lines)
    marked = [line for line in lines if line.startswith("* ")]
    assert len(marked) == 1 and plan.method in marked[0]
    assert plan.chosen.seconds == min(c.seconds for c in plan.candidates if c.eligible)


def test_a_forced_method_is_the_chosen_one():
    for method in ("direct", "fft", "overlap_save"):
        assert explain((1000,), (50,), method=method).method == method


def test_axes_make_a_batch():
    plan = explain((64, 1000), (1, 50), "same", axes=1)
    assert (plan.problem.batch, plan.problem.input_size) == (64, (1000,))


def test_tuples_of_other_things_are_data():
    assert explain((1.0, 2.0, 3.0), (1.0, 1.0)).problem.output_size == (4,)


def test_half_precision_is_planned_as_it_is_computed():
    plan = explain(np.ones(5000, "f2"), np.ones(301, "f2"), "same")
    assert plan.problem.dtype == np.float32
    assert plan.chosen == explain((5000,), (301,), "same", dtype="f2").chosen


def test_the_plan_is_the_one_that_runs():
    """Of a kernel longer than the signal, taps that only ever meet zeros take no part."""
    for arrays in (((10,), (1001,)), (np.ones(10, int), np.ones(1001, int))):
        assert explain(*arrays, "same").problem.input_size == (19,)


def test_values_decide_for_integers():
    """Small integers are transformed as they are, large ones in limbs, which costs more."""
    small, large = np.ones(50_000, int), np.full(50_000, 2**40)
    plain, limbs = explain(small, small), explain(large, large)
    assert plain.method != "direct" and limbs.method != "direct"
    assert limbs.chosen.seconds > plain.chosen.seconds
    assert all(c.reason for c in limbs.candidates if not c.eligible)


@pytest.mark.parametrize("in1, in2", [((0, 5), (1, 3)), (3.0, 4.0)])
def test_nothing_to_sum_is_nothing_to_plan(in1, in2):
    axes = {"axes": 1} if isinstance(in1, tuple) else {}
    with pytest.raises(ValueError, match="nothing to plan"):
        explain(in1, in2, **axes)


def test_bad_calls_are_those_of_convolve():
    with pytest.raises(ValueError, match="acceptable mode flags"):
        explain((5,), (3,), "middle")
    with pytest.raises(ValueError, match="boundary must be one of"):
        explain((5,), (3,), boundary="periodic")
    with pytest.raises(TypeError, match="no keyword 'color'"):
        explain((5,), (3,), color="red")


def test_a_missing_fill_value_is_no_sample():
    """Under ``omit`` a fill value of NaN is nothing, of integers too: sums with zeros outside are what is computed."""
    for x in (np.ones(50), np.ones(50, int)):
        given = {"nan_policy": "omit", "fill_value": np.nan}
        assert explain(x, x[:5], "same", **given) == explain(x, x[:5], "same", boundary="renormalize")
        assert fc.convolve(x, x[:5], "same", **given).shape == (50,)
    assert explain((50,), (5,), "same", **given) == explain((50,), (5,), "same")


def test_what_means_cannot_be_is_refused_as_by_the_call():
    x, w = np.ones(50), np.ones(5)
    for given in (
        {"nan_policy": "omit_keep"},
        {"nan_policy": "omit", "rtol": 1e-9},
        {"mask": x > 1, "atol": 1},
    ):
        for call in (fc.convolve, explain):
            with pytest.raises(ValueError, match=r"omit_keep|rtol"):
                call(x, w, **given)


def test_the_module_does_not_hide_the_function():
    import fftconv._explain

    assert callable(fftconv.explain)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: fc.nn.conv2d(x, w, stride=2, padding=1),
        lambda x, w: fc.nn.conv_transpose2d(x, w, stride=2),
        lambda x, w: fc.nn.conv2d_input((1, 4, 34, 34), w, x),
        lambda x, w: fc.nn.conv2d_weight(x, (4, 4, 5, 5), x[..., 2:-2, 2:-2]),
        lambda x, w: fc.lax.conv_general_dilated(x, w, (1, 1), "SAME", rhs_dilation=(3, 2)),
        lambda x, w: fc.lax.conv_transpose(x, w, (2, 2), "VALID", dimension_numbers=("NCHW", "OIHW", "NCHW")),
    ],
)
def test_calls_of_the_general_family_are_planned_as_they_are_computed(call, monkeypatch):
    x, w = np.ones((1, 4, 30, 30)), np.ones((4, 4, 5, 5))
    ran: list[ConvPlan] = []
    executor = core_run.executor
    monkeypatch.setattr(core_run, "executor", lambda plan: ran.append(plan) or executor(plan))
    plan = explain(lambda: call(x, w))
    assert not ran
    call(x, w)
    assert (plan.problem, plan.chosen) == (ran[0].problem, ran[0].chosen)
    assert plan.bound is not None


def test_functions_that_convolve_nothing_of_the_family_are_refused():
    for call in (lambda: None, lambda: fc.convolve(np.ones(5), np.ones(3))):
        with pytest.raises(ValueError, match="which convolves nothing there"):
            explain(call)
    layer = lambda: fc.nn.conv1d(np.ones((1, 9)), np.ones((1, 1, 3)))  # noqa: E731
    with pytest.raises(ValueError, match="with other arguments"):
        explain(layer, axes=0)
    with pytest.raises(TypeError, match="conv1d: input must be an array"):
        explain(lambda: fc.nn.conv1d([1.0], np.ones((1, 1, 3))))
    assert layer().shape == (1, 7)
