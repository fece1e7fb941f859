"""Many threads at once, forks after threads, and leaving quickly."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from problems import EXTRAS, PLAIN, Extras, arrays, problem

import fftconv
from fftconv.core import workers
from fftconv.core.engine import get_engine
from fftconv.core.plan import Request
from fftconv.core.planner import METHODS
from fftconv.core.run import run

MIXED_SHAPES = [
    problem(size, kernel, mode, dtype, extras)
    for size, kernel, extras in (
        ((5000,), (101,), PLAIN),
        ((777,), (778,), Extras(batch=2)),
        ((64, 80), (9, 5), EXTRAS["groups"]),
        ((130, 70), (31, 17), PLAIN),
        ((15, 20, 17), (4, 3, 5), PLAIN),
        ((400,), (7,), EXTRAS["all at once"]),
    )
    for mode in ("full", "same")
    for dtype in ("f4", "f8", "c8")
]
MIXED_SHAPES += [problem((300,), (20,), "full", "i4"), problem((30, 30), (3, 3), "same", "u1")]


def results(order: np.ndarray, workers: int = 0) -> dict[int, bytes]:
    return {
        int(i): run(MIXED_SHAPES[i], *arrays(MIXED_SHAPES[i]), None, Request(workers=workers)).tobytes()
        for i in order
    }


def test_eight_threads_give_the_bits_of_one():
    serial = results(np.arange(len(MIXED_SHAPES)), workers=1)
    found: list[dict[int, bytes]] = []
    gate = threading.Barrier(8)

    def work(seed: int) -> None:
        gate.wait()
        found.append(
            results(np.random.default_rng(seed).permutation(len(MIXED_SHAPES)), workers=1 + seed % 3)
        )

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 8
    assert all(f == serial for f in found)


def test_sixteen_threads_of_mixed_shapes(long):
    """With ``--long`` for a minute; each thread takes shapes and numbers of workers as they come."""
    serial = results(np.arange(len(MIXED_SHAPES)), workers=1)
    inputs = [arrays(p) for p in MIXED_SHAPES]
    until = time.monotonic() + (60 if long else 1)
    counts, wrong = [0] * 16, []

    def work(thread: int) -> None:
        rng = np.random.default_rng(thread)
        while time.monotonic() < until and not wrong:
            i = int(rng.integers(len(MIXED_SHAPES)))
            got = run(MIXED_SHAPES[i], *inputs[i], None, Request(workers=int(rng.integers(1, 4))))
            if got.tobytes() != serial[i]:
                wrong.append(MIXED_SHAPES[i])
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert min(counts) > 0 and sum(counts) > 100


def _digest(seed: int) -> dict[int, bytes]:
    """What a worker of any kind of pool computes: a few shapes, in an order of its own."""
    return results(np.random.default_rng(seed).permutation(len(MIXED_SHAPES))[:12], workers=2)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_pools_of_threads_and_of_forked_and_of_spawned_processes():
    """All three at once, forks made while the threads are at work."""
    serial = results(np.arange(len(MIXED_SHAPES)), workers=1)
    with ExitStack() as stack:
        pools = [
            stack.enter_context(ThreadPoolExecutor(4)),
            stack.enter_context(ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))),
            stack.enter_context(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork"))),
        ]
        calls = [pool.submit(_digest, seed) for seed in range(4) for pool in pools]
        found = [call.result(timeout=60) for call in calls]
    assert len(found) == 12
    for part in found:
        assert part == {i: serial[i] for i in part}


def test_eight_threads_on_one_problem():
    """All want the same transform at the same moment; nobody may get another's scratch."""
    p = problem((20000,), (501,), "same", "f8")
    inputs = [arrays(p, seed) for seed in range(8)]
    serial = [run(p, *a, None, Request(workers=1)) for a in inputs]
    found: dict[int, list[np.ndarray]] = {i: [] for i in range(8)}
    gate = threading.Barrier(8)

    def work(i: int) -> None:
        gate.wait()
        for _ in range(5):
            found[i].append(run(p, *inputs[i], None, Request(workers=2)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for i in range(8):
        assert len(found[i]) == 5
        assert all((f == serial[i]).all() for f in found[i])


def _in_child(answers: multiprocessing.SimpleQueue) -> None:
    answers.put(results(np.arange(len(MIXED_SHAPES)), workers=2))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_fork_after_threads_computes_the_same():
    mine = results(np.arange(len(MIXED_SHAPES)), workers=2)
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(answers,))
    child.start()
    box: list[dict[int, bytes]] = []
    reader = threading.Thread(target=lambda: box.append(answers.get()), daemon=True)
    reader.start()
    reader.join(30)
    if child.is_alive() and not box:
        child.kill()
        pytest.fail("the forked child hangs")
    child.join(10)
    assert child.exitcode == 0
    assert box[0] == mine


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_fork_amid_other_threads_work_finishes():
    """The fork may happen while another thread holds any of the package's locks."""
    stop = threading.Event()

    def busy() -> None:
        n = 1000
        while not stop.is_set():
            n += 1
            p = problem((n,), (101,), "same", "f4")
            run(p, *arrays(p), None, Request(workers=2))

    thread = threading.Thread(target=busy)
    thread.start()
    context = multiprocessing.get_context("fork")
    p = problem((3001,), (101,), "same", "f8")
    x, w = arrays(p)
    try:
        for _ in range(8):
            time.sleep(0.01)
            child = context.Process(target=run, args=(p, x, w, None, Request(workers=2)))
            child.start()
            child.join(20)
            if child.exitcode is None:
                child.kill()
            assert child.exitcode == 0
    finally:
        stop.set()
        thread.join()


def package_locks() -> dict[str, threading.Lock | threading.RLock]:
    """Every lock in a module of the package, or in an object that lives in one; not FFTW's own.

    A fork waits until nobody is inside FFTW's planner, so to hold that one would hold the fork.
    """
    kinds = (type(threading.Lock()), type(threading.RLock()))
    found = {}
    for module in [m for name, m in sys.modules.items() if name.startswith("fftconv")]:
        for name, thing in vars(module).items():
            if isinstance(thing, ModuleType):
                continue
            inner = {f"{name}.{k}": v for k, v in getattr(thing, "__dict__", {}).items() if name != "planner"}
            cache = {f"{name}.cache._lock": getattr(getattr(thing, "cache", None), "_lock", None)}
            for label, value in {name: thing, **inner, **cache}.items():
                if isinstance(value, kinds):
                    found[f"{module.__name__}.{label}"] = value
    return found


def _all_methods() -> None:
    for p in (*MIXED_SHAPES[::5], problem((30, 30), (3, 3), "same", "f4", Extras(channels=(8, 8)))):
        for method in METHODS:
            with suppress(ValueError):  # refused: test_planner holds who may refuse what
                run(p, *arrays(p), None, Request(method=method, workers=2))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_no_lock_is_inherited_shut():
    """At the moment of the fork another thread is inside every lock of the package."""
    _all_methods()
    locks = package_locks()
    assert any("_pool_lock" in name for name in locks) and any("cache" in name for name in locks)
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in {id(lock): lock for lock in locks.values()}.values():
                stack.enter_context(lock)
            held.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        child = multiprocessing.get_context("fork").Process(target=_all_methods)
        child.start()
        child.join(15)
        if child.exitcode is None:
            child.kill()
    finally:
        leave.set()
        thread.join()
    assert child.exitcode == 0, f"a child hangs on one of {sorted(locks)}"


def test_the_interpreter_leaves_at_once():
    """No pool and no library thread holds it back after use with several workers."""
    code = """
import time
from problems import *
from fftconv.core.plan import Request
from fftconv.core.run import run
for dtype in FLOATS:
    p = problem((300000,), (501,), "full", dtype)
    run(p, *arrays(p), None, Request(workers=3))
print(time.time())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(fftconv.__file__).parents[1])},
        check=True,
    )
    assert time.time() - float(done.stdout) < 1
    assert done.stderr == ""


@pytest.mark.skipif(
    get_engine(np.dtype("f8")).name != "fftw",
    reason="Python ends a daemon's thread inside the C++ of scipy.fft",
)
def test_the_interpreter_leaves_amid_the_work_of_another_thread():
    code = """
import threading, time
import numpy as np
import fftconv
started = threading.Event()
def busy():
    n = 50_000
    while True:
        n += 1
        fftconv.convolve(np.ones(n), np.ones(501), workers=2)
        started.set()
threading.Thread(target=busy, daemon=True).start()
started.wait()
print(time.time())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(fftconv.__file__).parents[1])},
        check=False,
    )
    assert time.time() - float(done.stdout) < 1
    assert done.returncode == 0 and done.stderr == ""


@pytest.fixture
def interruptible():
    """A process that a shell has started in the background may ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal to a thread on this platform")
@pytest.mark.parametrize("method", ("direct", "fft", "overlap_save"))
def test_an_interrupt_leaves_the_next_call_right(interruptible, method):
    p = problem((400_000,), (301,), "same", "f8", Extras(batch=2))
    x, w = arrays(p)
    request = Request(method=method, workers=2)
    want = run(p, x, w, None, request)
    main = threading.main_thread().ident
    assert main is not None
    for milliseconds in (1, 3, 7, 12, 20):
        timer = threading.Timer(milliseconds / 1000, signal.pthread_kill, (main, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            while True:
                run(p, x, w, None, request)
        timer.join()
        assert (run(p, x, w, None, request) == want).all()


def test_a_thousand_shapes_leave_the_caches_within_their_bytes(long):
    rng = np.random.default_rng(0)
    with fftconv.config_context(cache_bytes=2**20):
        for n in range(1000, 11_000 if long else 2000):
            x, w = rng.standard_normal(n), rng.standard_normal(100 + n // 20)
            fftconv.convolve(x, w, method="fft", workers=1)
            info = fftconv.cache_info()
            assert 0 < info.bytes <= info.limit == 2**20


@pytest.mark.parametrize("method", (None, "direct", "jit", "fft", "overlap_save"))
def test_an_error_in_one_call_leaves_the_next_one_alone(method):
    """A result that may not be written to is refused by every method, those that write to addresses included."""
    p, request = problem((5000,), (101,), "same", "f8"), Request(method, workers=2)
    if method == "jit":
        pytest.importorskip("llvmlite", reason="compiled loops need llvmlite")
    x, w = arrays(p)
    want = run(p, x, w, None, request)
    read_only = np.zeros(p.out_shape)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="writeable"):
        run(p, x, w, read_only, request)
    assert not read_only.any()
    assert (run(p, x, w, None, request) == want).all()


def test_an_interrupt_while_waiting_for_helpers_leaves_none_of_them_busy(monkeypatch):
    """Ctrl-C may come anywhere in a call; threads it had would else be missing from every later one."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Future, "cancel", interrupted)
        workers.for_each(range(2), lambda _: None, 2)
    both = threading.Barrier(2)
    workers.for_each(range(2), lambda _: both.wait(30), 2)  # one thread alone would wait in vain


def test_calls_at_one_time_share_the_machine():
    """While other calls keep as many threads busy as a call may use, it has no helpers; afterwards it has again."""
    started, gate = threading.Barrier(3), threading.Event()

    def wait(_: int) -> None:
        started.wait(30)
        gate.wait(30)

    other = threading.Thread(target=workers.for_each, args=(range(2), wait, 2))
    other.start()
    started.wait(30)  # the other call and its helper are at work
    seen: set[int] = set()
    workers.for_each(range(50), lambda _: seen.add(threading.get_ident()), 2)
    assert seen == {threading.get_ident()}
    gate.set()
    other.join(30)
    both = threading.Barrier(2)
    workers.for_each(range(2), lambda _: both.wait(30), 2)  # one thread alone would wait in vain
