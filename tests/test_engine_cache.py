"""Plans lent and returned: distinct per holder, bounded in bytes, safe across threads and forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fftconv.core.engine import Engine, FFTSpec, cache_info, clear_cache, get_engine
from fftconv.core.engine.cache import PlanCache
from fftconv.core.engine.registry import ENGINES

F8 = np.dtype("f8")


@pytest.fixture(params=[engine.name for engine in ENGINES])
def engine(request: pytest.FixtureRequest) -> Engine:
    from fftconv.core.config import config_context

    try:
        with config_context(engine=request.param, cache_bytes=2**20):
            engine = get_engine()
    except ImportError:
        pytest.skip(f"{request.param} is not installed")
    engine.clear()
    return engine


def line(n: int) -> FFTSpec:
    return FFTSpec((n,), (0,), F8)


def test_two_checkouts_share_nothing(engine: Engine) -> None:
    a, b = engine.checkout(line(64)), engine.checkout(line(64))
    assert a is not b
    assert not np.shares_memory(a.signal, b.signal)
    assert not np.shares_memory(a.spectrum, b.spectrum)
    engine.checkin(a)
    engine.checkin(b)


def test_a_returned_plan_is_lent_again(engine: Engine) -> None:
    plan = engine.checkout(line(64))
    engine.checkin(plan)
    with engine.borrow(FFTSpec((64,), (0,), F8)) as again:
        assert again is plan
    assert engine.info()[:4] == (engine.name, 1, 1, 1)


def test_another_spec_is_another_plan(engine: Engine) -> None:
    engine.checkin(engine.checkout(line(64)))
    with engine.borrow(FFTSpec((64,), (0,), np.dtype("f4"))) as plan:
        assert plan.signal.dtype == np.float32
    assert engine.info().plans == 2


def test_a_plan_returns_after_an_error(engine: Engine) -> None:
    with pytest.raises(KeyError), engine.borrow(line(64)):
        raise KeyError
    assert engine.info().plans == 1


def test_bytes_are_counted_and_bounded(engine: Engine) -> None:
    spec = line(4096)
    plans = [engine.checkout(spec) for _ in range(40)]
    for plan in plans:
        engine.checkin(plan)
    info = engine.info()
    assert info.plans == 2**20 // spec.nbytes
    assert info.bytes == info.plans * spec.nbytes <= info.limit == 2**20


def test_least_recently_used_goes_first(engine: Engine) -> None:
    each = 2**18  # three fit beside each other, four do not
    specs = [line(n) for n in (20000, 20002, 20004, 20006)]
    assert all(3 * each < 4 * spec.nbytes and 3 * spec.nbytes <= 2**20 for spec in specs)
    a, b, c, d = (engine.checkout(spec) for spec in specs)
    for plan in (a, b, c):
        engine.checkin(plan)
    with engine.borrow(specs[0]) as again:
        assert again is a
    engine.checkin(d)
    with engine.borrow(specs[0]) as again:
        assert again is a
    with engine.borrow(specs[1]) as fresh:
        assert fresh is not b


def test_a_plan_above_the_bound_is_not_kept(engine: Engine) -> None:
    engine.checkin(engine.checkout(line(2**20)))
    assert engine.info().bytes == 0


def test_clear_cache() -> None:
    engine = get_engine()
    with engine.borrow(line(64)):
        pass
    assert cache_info().plans >= 1
    clear_cache()
    assert cache_info()[1:5] == (0, 0, 0, 0)


def test_threads_get_the_right_answers(engine: Engine) -> None:
    """Eight threads, few specs, many loans: a plan run by two at once would give another's transform."""
    together = threading.Barrier(8)

    def work(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        together.wait()
        for k in range(150):
            n = (48, 64, 100)[k % 3]
            x = rng.standard_normal((4, n))
            with engine.borrow(FFTSpec((4, n), (1,), F8)) as plan:
                X = plan.forward(x)
                good = np.allclose(X, np.fft.rfft(x))
                y = plan.backward(X)
                if not (good and np.allclose(y, n * x)):
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_plans_are_made_and_destroyed_in_many_threads(engine: Engine) -> None:
    """Nothing is kept (bound 0), so planning and destroying run against each other."""
    tight = type(engine)(0)

    def work(seed: int) -> bool:
        for k in range(40):
            n = 16 + (7 * k + seed) % 50
            with tight.borrow(line(n)) as plan:
                if not np.allclose(plan.forward(np.ones(n)), n * (np.arange(n // 2 + 1) == 0)):
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert engine.info().bytes == 0


def test_a_reset_cache_has_a_new_lock() -> None:
    cache = PlanCache()
    cache._lock.acquire()
    cache.reset()
    assert cache.take("anything") is None


def run_python(code: str, timeout: float = 120) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_plans_anew() -> None:
    """Every child transforms and ends, also one forked while other threads plan.

    scipy.fft is forked after its threads have ended: it has a lock of its own that a fork cannot know.
    """
    out = run_python(
        """
        import os, threading, numpy as np
        from fftconv.core.engine import FFTSpec, get_engine
        engine = get_engine()
        def line(n): return FFTSpec((n,), (0,), np.dtype("f8"))
        stop = False
        def churn():
            n = 100
            while not stop:
                n = 100 + (n * 7 + 3) % 900
                plan = type(engine)(0).checkout(line(n))
                plan.forward(np.ones(n))
                engine.checkin(plan)
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for t in threads: t.start()
        if engine.name == "scipy":
            stop = True
            for t in threads: t.join()
        codes = []
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                good = engine.info().plans == 0
                for n in (64, 101):
                    with engine.borrow(line(n)) as plan:
                        good &= bool(np.allclose(plan.forward(np.ones(n))[0], n))
                os._exit(0 if good else 1)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        stop = True
        for t in threads: t.join()
        print(codes == [0] * 10)
        """
    )
    assert out.strip() == "True"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_hundreds_of_lengths_leave_memory_flat() -> None:
    out = run_python(
        """
        import numpy as np
        from fftconv.core.config import config_context
        from fftconv.core.engine import FFTSpec, get_engine
        def resident():
            with open("/proc/self/statm") as f: return int(f.read().split()[1]) * 4096
        with config_context(cache_bytes=4 * 2**20): engine = get_engine()
        def visit(lengths):
            for n in lengths:
                with engine.borrow(FFTSpec((n,), (0,), np.dtype("c16"))) as plan:
                    plan.signal[...] = 1
                    plan.backward(plan.forward())
                assert engine.info().bytes <= 4 * 2**20
        visit(range(20000, 20100))
        before = resident()
        visit(range(20100, 20400))
        print((resident() - before) / 2**20)
        """
    )
    # The scratch of three hundred plans, 0.6 MiB each, would be 180.
    assert float(out) < 24
