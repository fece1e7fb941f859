"""Fixtures for every test: forced methods with proof that they ran, poisoned scratch, no state left behind."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import numpy as np
import problems
import pytest
from hypothesis import HealthCheck, settings

import fftconv.core.run as running
from fftconv.core.engine.base import Engine, FFTPlan, FFTSpec
from fftconv.core.methods import script
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import ConvProblem

# predictions are made from the built-in coefficients, here and in child processes, whatever this machine was tuned to
os.environ["FFTCONV_PROFILE"] = "off"

settings.register_profile(
    "fftconv",
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# for a second run under other circumstances: pytest --hypothesis-profile=brief
settings.register_profile("brief", settings.get_profile("fftconv"), max_examples=15)
settings.load_profile("fftconv")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="take minutes for what is otherwise sampled for a second"
    )


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether there is time."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(autouse=True)
def fresh_runners() -> None:
    """No call of a test finds what another test had settled."""
    running._runner.cache_clear()


Forced = Callable[..., np.ndarray | None]


def run_plan(plan: ConvPlan, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The result of `plan` as it stands, in an output that was poisoned before."""
    out = problems.poison(plan.problem.out_shape, plan.problem.dtype)
    running.executor(plan)(plan, x, w, out)
    return out


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Forced:
    """``forced(problem, x, w, request)``: the result of the method asked for, or None where it is refused.

    It proves that the method ran: the executor looked up first is that of a plan by that method. No transform
    may refuse numbers, and every refusal states a reason.
    """
    used: list[ConvPlan] = []
    lookup = running.executor

    def watched(plan: ConvPlan) -> object:
        used.append(plan)
        return lookup(plan)

    monkeypatch.setattr(running, "executor", watched)

    def call(p: ConvProblem, x: np.ndarray, w: np.ndarray, request: Request) -> np.ndarray | None:
        used.clear()
        running._runner.cache_clear()
        out = problems.poison(p.out_shape, p.dtype)
        try:
            got = running.run(p, x, w, out, request)
        except ValueError as refused:
            assert "cannot answer this problem" in str(refused)
            assert request.method not in (None, "direct"), p
            special = request.method in ("band", "jit", "separable")
            assert special or p.dtype.kind in "iub" or p.ndim == 0, p
            return None
        assert got is out
        if used:
            assert request.method in (None, used[0].method)
        else:
            assert not got.any(), "without an executor only sums over nothing can be answered"
        return got

    return call


@pytest.fixture
def in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spectral jobs in NumPy's steps: compiled ones execute transforms where nobody can count them, and compiling
    goes on beside a call whose memory may be traced.
    """
    monkeypatch.setattr(script.warmth, "loops", {})
    monkeypatch.setattr(script.warmth, "begun", {"f", "d"})


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every new array starts as NaN, or 777 where there is no NaN; scratch of the engine as well.

    The counter tells how often each was handed out.
    """
    empty, empty_like, checkout = np.empty, np.empty_like, Engine.checkout
    handed: Counter[str] = Counter()

    def filled(a: np.ndarray) -> np.ndarray:
        handed["arrays"] += 1
        if a.dtype.kind in "fciub":
            a[...] = problems.poison_value(a.dtype)[0]
        return a

    def dirty(engine: Engine, spec: FFTSpec) -> FFTPlan:
        handed["transforms"] += 1
        plan = checkout(engine, spec)
        plan.signal[...] = plan.spectrum[...] = np.nan
        return plan

    monkeypatch.setattr(np, "empty", lambda *args, **kwargs: filled(empty(*args, **kwargs)))
    monkeypatch.setattr(np, "empty_like", lambda *args, **kwargs: filled(empty_like(*args, **kwargs)))
    monkeypatch.setattr(Engine, "checkout", dirty)
    return handed
