"""Random calls of every door against naive sums: some hundred here, many more with ``--long`` or by `fuzz.py`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import fuzz
import numpy as np
import pytest
from fuzz_cases import Array, Case
from fuzz_doors import draw
from fuzz_oracle import expected, resolved
from fuzz_scipy import extended

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_calls_answer_as_naive_sums_do(seed, long):
    counts, failures = fuzz.run(seed, range(5000 if long else 60))
    assert not failures, "\n".join(failures)
    assert counts["answered"] > 2 * counts["refused"]


def test_every_door_and_keyword_is_drawn():
    cases = [draw(9, i) for i in range(4000)]
    doors = Counter(case.door for case in cases)
    rooms = Counter(door.split(".")[0] for door in doors)
    assert rooms == {"signal": 6, "numpy": 2, "lax": 6, "nn": 12, "Convolver": 1}
    words = {word for case in cases for word in case.keywords}
    assert words >= {
        "axes", "atol", "bank", "batch_group_count", "boundary", "dilation", "dimension_numbers", "dtype",
        "feature_group_count", "fill_value", "fillvalue", "groups", "lhs_dilation", "mask", "masked", "max_memory",
        "method", "mode", "nan_policy", "out", "output_padding", "overflow", "padding", "padding_mode",
        "preferred_element_type", "rhs_dilation", "rtol", "stride", "strides", "transpose_kernel",
        "use_consistent_padding", "weights", "window_strides", "workers",
    }  # fmt: skip


def test_a_printed_case_is_the_case():
    for index in range(300):
        case = draw(3, index)
        text = fuzz.line(case).partition("check(")[2].removesuffix(")")
        again = eval(text, {"Case": Case, "Array": Array, "nan": np.nan, "inf": np.inf})
        assert repr(again) == repr(case)
        np.testing.assert_array_equal(
            next(iter(again.arrays.values())).make(), next(iter(case.arrays.values())).make()
        )


def test_a_fill_value_beside_large_integers_is_a_python_integer():
    """The oracle of overflow sums beyond 64 bits."""
    found = extended(np.array([2**63], object), [(1, 2)], ["constant"], 3)
    assert found.tolist() == [3, 2**63, 3, 3] and {type(v) for v in found} == {int}


@pytest.mark.parametrize("index", range(40))
def test_what_is_wrong_is_found(index):
    """One element that is off by ten bounds, one of another dtype, one that is not finite."""
    case = draw(4, index)
    arrays = {name: fuzz.native(np.asarray(a.make())) for name, a in resolved(case).items()}
    extras = {k: v.make() for k, v in case.keywords.items() if isinstance(v, Array)}
    want = expected(case, arrays, extras)
    case = replace(case, keywords={k: v for k, v in case.keywords.items() if k != "masked"})
    if want.raises or not want.value.size or want.unsure is not None:
        return
    with np.errstate(all="ignore"):
        right = want.value.astype(want.dtype)
    fuzz.compare(case, right, want)
    at = (0,) * right.ndim
    wrong = right.copy()
    wrong[at] = (
        wrong[at] ^ 1
        if right.dtype.kind in "iub"
        else right[at] + 10 * np.broadcast_to(want.slack, right.shape)[at]
    )
    if want.slack is None or (np.isfinite(right[at]) and wrong[at] != right[at]):
        with pytest.raises(fuzz.Failed, match=r"differ|off"):
            fuzz.compare(case, wrong, want)
    with pytest.raises(fuzz.Failed, match="dtype"):
        fuzz.compare(case, right.astype("G" if right.dtype != "G" else object), want)
    if right.dtype.kind in "fc" and np.isfinite(right[at]):
        wrong[at] = np.nan
        with pytest.raises(fuzz.Failed, match="not finite"):
            fuzz.compare(case, wrong, want)
