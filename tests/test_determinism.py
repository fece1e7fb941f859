"""The same call gives the same bits: any number of workers, any process, any history."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from problems import EXTRAS, PLAIN, Extras, arrays, problem

import fftconv
from fftconv.core import planner
from fftconv.core.plan import Request
from fftconv.core.run import run

CASES = {
    "long": problem((200_003,), (1001,), "same", "f8"),
    "long, single": problem((200_003,), (301,), "full", "f4"),
    "complex": problem((50_000,), (3001,), "valid", "c16"),
    "rows": problem((4000,), (65,), "same", "f4", Extras(batch=13)),
    "picture": problem((301, 407), (31, 17), "same", "f8"),
    "small kernel": problem((300, 200), (3, 3), "same", "f4"),
    "volume": problem((40, 50, 45), (7, 6, 5), "full", "f8"),
    "channels": problem((60, 70), (5, 5), "same", "f4", Extras(batch=4, channels=(4, 6), groups=2)),
    "stride": problem((5000,), (99,), "same", "f8", Extras(stride=2)),
    "dilations": problem((500,), (9,), "same", "f8", EXTRAS["all at once"]),
    "one tile": problem((3000,), (2999,), "full", "f8", PLAIN),
}


PREPARED = {
    "one tile": ((3000,), (101,), {"method": "fft"}),
    "long": ((200_003,), (1001,), {}),
    "picture": ((301, 407), (31, 17), {"boundary": "reflect"}),
    "small kernel": ((300, 200), (3, 3), {}),
    "products": ((301, 407), (31, 31), {"method": "separable"}),
    "bank": ((200, 210), (5, 9, 9), {"bank": True, "boundary": "wrap"}),
}


def prepared_digest(name: str, workers: int) -> str:
    """Of a kept kernel's result, adjoint and gradient."""
    shape, taps, keywords = PREPARED[name]
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal(shape, np.float32), rng.standard_normal(taps, np.float32)
    if keywords.get("method") == "separable":
        w = np.outer(w[0], w[1])
    c = fftconv.Convolver(w, workers=workers, **keywords)
    y = c(x)
    found = (y, c.adjoint(y, shape=shape), c.kernel_grad(x, y))
    return hashlib.sha256(b"".join(a.tobytes() for a in found)).hexdigest()


def digest(name: str, workers: int, method: str | None = None) -> str:
    p = CASES[name]
    return hashlib.sha256(
        run(p, *arrays(p), None, Request(method=method, workers=workers)).tobytes()
    ).hexdigest()


@pytest.mark.parametrize("name", CASES)
def test_any_number_of_workers(name):
    assert {digest(name, workers) for workers in (0, 1, 2, 3, 8)} == {digest(name, 1)}


@pytest.mark.parametrize("name", PREPARED)
def test_any_number_of_workers_of_a_kept_kernel(name):
    assert {prepared_digest(name, workers) for workers in (2, 3, 8)} == {prepared_digest(name, 1)}


@pytest.mark.parametrize("method", planner.METHODS)
@pytest.mark.parametrize("name", ("rows", "picture", "channels", "dilations"))
def test_any_number_of_workers_with_a_forced_method(name, method):
    try:
        alone = digest(name, 1, method)
    except ValueError:
        return  # refused: test_planner holds who may refuse what
    assert {digest(name, workers, method) for workers in (2, 3, 8)} == {alone}


@pytest.mark.parametrize("name", CASES)
def test_alignment_and_memory_order_of_the_input_leave_the_bits(name):
    p = CASES[name]
    x, w = arrays(p)
    raw = np.empty(x.nbytes + 4, np.uint8)
    shifted = raw[4:].view(x.dtype).reshape(x.shape)
    shifted[...] = x
    want = run(p, x, w)
    assert (run(p, shifted, w) == want).all()
    assert (run(p, np.asfortranarray(x), np.asfortranarray(w)) == want).all()


FORCED = [(name, method) for name in ("rows", "picture", "channels") for method in planner.METHODS]


def digests(step: int, workers: int) -> dict[str, str | None]:
    """Of every case, every method that answers, and every kept kernel, in order of `step`."""
    calls: dict[str, Callable[[], str]] = {name: partial(digest, name, workers) for name in CASES}
    calls |= {f"{name} by {method}": partial(digest, name, workers, method) for name, method in FORCED}
    calls |= {f"kept, {name}": partial(prepared_digest, name, workers) for name in PREPARED}
    found: dict[str, str | None] = {}
    for name in list(calls)[::step]:
        try:
            found[name] = calls[name]()
        except ValueError:
            found[name] = None  # the method has no answer: test_planner holds who may refuse what
    return found


def test_fresh_processes():
    """Another process, another order, another hash seed, other threads' counts: the same digests."""
    code = "from test_determinism import digests; print(digests({}, {}))"
    here = digests(1, 2)
    assert sum(value is None for value in here.values()) < len(FORCED) / 2
    # what this process was told to find first, the children find first as well
    path = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(Path(fftconv.__file__).parents[1])])
    for step, workers, seed in ((1, 1, "1"), (-1, 3, "2"), (1, 8, "3")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(step, workers)],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            check=True,
        )
        assert eval(done.stdout) == here


def test_history_does_not_matter():
    """Plans in the cache, used for other things in between, give the bits of the first call."""
    first = {name: digest(name, 2) for name in CASES}
    for n in range(900, 960):
        p = problem((n,), (n // 3,), "full", "f8")
        run(p, *arrays(p))
    assert {name: digest(name, 2) for name in CASES} == first
