"""The recorded calls of jax.lax and torch.nn.functional, replayed on our doors, by every method that is eligible."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import golden
import numpy as np
import pytest

from fftconv import lax, nn
from fftconv.core.planner import METHODS

DOORS: dict[str, ModuleType] = {"jax": lax, "torch": nn}
NAMED = [(library, f) for library in DOORS for f in sorted({c.function for c in golden.read(library)[0]})]
METHODLESS = ("conv_dimension_numbers", "conv_general_dilated_patches", "conv_general_dilated_local")
FORCED = [(library, f, m) for library, f in NAMED if f not in METHODLESS for m in METHODS]


def cases(library: str, function: str) -> list[golden.Case]:
    """All recorded calls of a function but the accidents of its library, which we refuse."""
    return [c for c in golden.read(library)[0] if c.function == function and "quirk" not in c.tags]


def values(library: str, function: str) -> list[golden.Case]:
    """The calls that returned something."""
    return [c for c in cases(library, function) if not c.fails]


def call(library: str, case: golden.Case, **extra: Any) -> Any:
    args, keywords = golden.arguments(case, lax.ConvDimensionNumbers)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if case.tags & {"nonfinite"} or str(case.outcome.get("dt")) == "float16":
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # inf - inf, and float16 overflow, are the right answer
        return getattr(DOORS[library], case.function)(*args, **keywords, **extra)


@pytest.mark.parametrize(("library", "function"), NAMED)
def test_values(library: str, function: str) -> None:
    pools = golden.read(library)[1]
    recorded = values(library, function)
    wrong = {c.number: golden.difference(c, pools, call(library, c)) for c in recorded}
    assert not any(wrong.values()), {k: v for k, v in wrong.items() if v}
    assert len(recorded) > 10


@pytest.mark.parametrize(("library", "function"), NAMED)
def test_bad_calls_raise_what_the_library_raises(library: str, function: str) -> None:
    """ValueError or TypeError always, and an exception that code written for the library catches."""
    for case in (c for c in cases(library, function) if c.fails):
        with pytest.raises((ValueError, TypeError)) as caught:
            call(library, case)
        kinds = [k.__name__ for k in caught.type.__mro__]
        assert case.outcome["t"] in kinds, f"case {case.number}: {caught.value!r}, {library}: {case.outcome}"


@pytest.mark.parametrize(("library", "function", "method"), FORCED)
def test_values_by_forced_methods(library: str, function: str, method: str) -> None:
    pools = golden.read(library)[1]
    wrong, answered = {}, 0
    for case in values(library, function):
        try:
            got = call(library, case, method=method)
        except ValueError as refusal:
            assert "cannot answer this problem" in str(refusal)
            continue
        wrong[case.number], answered = golden.difference(case, pools, got), answered + 1
    assert not any(wrong.values()), {k: v for k, v in wrong.items() if v}
    assert answered > 10 or method in ("band", "jit", "separable")


def test_accidents_of_jax_are_refused() -> None:
    """Padding words that conv_transpose takes for forward padding, and an empty dilation for one axis."""
    accidents = [c for c in golden.read("jax")[0] if "quirk" in c.tags]
    assert len(accidents) == 12
    for case in accidents:
        with pytest.raises(ValueError):
            call("jax", case)


def test_a_wrong_result_is_noticed() -> None:
    found, pools = golden.read("jax")
    whole = next(c for c in found if c.outcome.get("dt") == "float64" and c.outcome["n"] > 3)
    sampled = next(c for c in found if c.outcome.get("dt") == "float64" and "sd" in c.outcome)
    for case in (whole, sampled):
        got = call("jax", case)
        assert not golden.difference(case, pools, got)
        assert golden.difference(case, pools, got * (1 + 1e-9))
        assert golden.difference(case, pools, got[..., :1] * np.ones(2))
        spoiled = got.copy()
        spoiled.flat[-1] += 1
        assert golden.difference(case, pools, spoiled)
