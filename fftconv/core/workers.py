"""Worker threads: how many this process may use, and one way to run jobs on them.

The calling thread always works too, so a pool thread that is late or busy (nested use, a loaded machine) slows
nothing down: the caller takes the jobs that nobody else took.

Calls that run at one time share the machine: each takes as many helpers fewer as threads work for the others. So n
threads of a caller's own pool lead to n threads and the helpers of one call, not to n times as many. That has no
effect on results, which do not depend on how many threads work.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from fftconv.core.config import adopt, get_config

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_state = threading.local()
_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


class _Crew:
    """The threads that work, or are about to, for one call that may have more than one."""

    size = 1


# Weak, so that a call that an interrupt ended anywhere leaves nothing behind.
_crews: WeakSet[_Crew] = WeakSet()


def available_cpus() -> int:
    """Processors this process may run on: affinity mask and cgroup quota, whichever is less."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, _cgroup_quota() or cpus))


def _cgroup_quota() -> int | None:
    """Whole processors granted by cgroup v2 or v1, None without a limit."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as f:
            quota, period = f.read().split()
    except (OSError, ValueError):
        try:
            with (
                open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as f,
                open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as g,
            ):
                quota, period = f.read().strip(), g.read().strip()
        except OSError:
            return None
    if quota in ("max", "-1"):
        return None
    return max(1, int(quota) // int(period))


_cpus: int | None = None


def worker_limit(asked: int = 0) -> int:
    """Workers a call may use: what it asked for, else the configuration, else the processors (at most 8).

    A call from inside one of our own workers gets one: its siblings already fill the machine.
    """
    global _cpus
    if getattr(_state, "inside", False):
        return 1
    if asked > 0:
        return asked
    configured = get_config().workers
    if configured > 0:
        return configured
    if _cpus is None:
        _cpus = min(8, available_cpus())
    return _cpus


def for_each(jobs: Iterable[Any], work: Callable[[Any], None], workers: int) -> None:
    """Call ``work(job)`` for every job on up to `workers` threads; see `share`."""

    def drain(taken: Iterator[Any]) -> None:
        for job in taken:
            work(job)

    share(jobs, drain, workers)


def share(jobs: Iterable[Any], drain: Callable[[Iterator[Any]], None], workers: int) -> None:
    """Let up to `workers` threads each call ``drain(taken)``, where all of `taken` together are the jobs.

    Jobs are taken in order from one shared iterator. The first exception is raised here: after one no further job is
    started, and all started ones have ended when this returns.
    """
    if workers <= 1:
        drain(iter(jobs))
        return
    take = _SharedIterator(jobs)
    crew = _Crew()
    helpers: list[Future[None]] = []
    try:
        # what a job plans by itself is planned under the options of this call
        for _ in range(_hire(crew, workers)):
            helpers += _submit(adopt, get_config(), _drain, take, drain)
        _drain(take, drain)
    except BaseException:
        take.stop()
        raise
    finally:
        for f in helpers:
            # a helper that never got a thread has nothing to do any more
            if not f.cancel():
                f.exception()
        _crews.discard(crew)
    for f in helpers:
        if not f.cancelled() and (error := f.exception()) is not None:
            raise error


class _SharedIterator(Iterator[Any]):
    """One iterator, many takers."""

    def __init__(self, jobs: Iterable[Any]) -> None:
        self._it: Iterator[Any] = iter(jobs)
        self._lock = threading.Lock()

    def __iter__(self) -> _SharedIterator:
        return self

    def __next__(self) -> Any:
        with self._lock:
            return next(self._it)

    def stop(self) -> None:
        """No more jobs; a generator of them hears of it."""
        with self._lock:
            stopped, self._it = self._it, iter(())
            if isinstance(stopped, Generator):
                stopped.close()


def _drain(take: _SharedIterator, drain: Callable[[Iterator[Any]], None]) -> None:
    outer = getattr(_state, "inside", False)
    _state.inside = True
    try:
        drain(take)
    except BaseException:
        take.stop()
        raise
    finally:
        _state.inside = outer


def _submit(f: Callable[..., None], *args: Any) -> list[Future[None]]:
    """The future of a call on a thread of the pool; none where there is no thread, as when the interpreter leaves."""
    global _pool
    with _pool_lock:
        if _pool is None:
            from concurrent.futures import ThreadPoolExecutor

            # threads do not inherit a caller's np.errstate, and nobody is there to hear what they would say
            quiet = partial(np.seterr, all="ignore")
            _pool = ThreadPoolExecutor(max_workers=32, thread_name_prefix="fftconv", initializer=quiet)
        with suppress(RuntimeError):
            return [_pool.submit(f, *args)]
        return []


def _hire(crew: _Crew, workers: int) -> int:
    """How many helpers a call of so many workers gets, beside those that work for other calls."""
    with _pool_lock:
        helpers = max(0, workers - 1 - sum(other.size for other in _crews))
        crew.size = 1 + helpers
        _crews.add(crew)
    return helpers


def _after_fork() -> None:
    """Threads do not survive a fork: the child starts with no pool and fresh locks."""
    global _pool, _pool_lock, _crews
    _crews = WeakSet()
    _pool = None
    _pool_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
