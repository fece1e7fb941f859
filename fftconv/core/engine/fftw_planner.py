"""FFTW's planner, which is one shared and unlocked thing, made safe for threads and forks.

Everything in FFTW but executing a plan touches shared state: creating plans, destroying them, wisdom. All of
it happens here under one lock. pyFFTW destroys a plan wherever its last reference dies, without a lock and
possibly while another thread plans; so plans are handed to `Planner.retire` instead, and die under the lock.

Wisdom is kept in two pools. FFTW answers an ESTIMATE request from MEASURE wisdom if it has any, so with one
pool the bits of a default call would depend on what else the process had planned. Wisdom that was loaded from
a file is in both: there the same file gives the same bits.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from .base import Array

Wisdom = tuple[bytes, ...]  # double, single, long double
Execute = Callable[[], None]

POOLS = ("estimate", "tuned")
ALIGNMENT = 64  # one cache line, and a multiple of every SIMD width FFTW knows
EFFORT_FLAGS = {"estimate": "FFTW_ESTIMATE", "measure": "FFTW_MEASURE", "patient": "FFTW_PATIENT"}


@cache
def pyfftw() -> Any:
    """pyFFTW's extension module; ImportError where it cannot be had.

    ``import pyfftw`` also loads interfaces to scipy and dask, which take ten times as long as the rest and
    which nothing here uses. So the extension is loaded alone where it can be, and not registered: a later
    ``import pyfftw`` proceeds as ever and finds the same classes.
    """
    if "pyfftw" not in sys.modules:
        alone = _extension_alone()
        if alone is not None:
            return alone
    importlib.import_module("pyfftw")
    return sys.modules["pyfftw.pyfftw"]


def _extension_alone() -> Any:
    package = importlib.util.find_spec("pyfftw")
    if package is None or not package.submodule_search_locations:
        return None
    places = list(package.submodule_search_locations)
    spec = importlib.machinery.PathFinder.find_spec("pyfftw.pyfftw", places)
    if spec is None or spec.loader is None:
        return None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError:
        # Where the package's __init__ prepares the search path of FFTW's library, only it can load this.
        return None
    finally:
        # It enters itself; left there, the package would never bind it as its attribute.
        sys.modules.pop(spec.name, None)
    return module


@dataclass(frozen=True)
class Task:
    """What is to be planned: a transform of `source` into `target` over `axes`.

    The content of both arrays is lost unless `effort` is ``estimate``.
    """

    source: Array
    target: Array
    axes: tuple[int, ...]
    direction: str
    effort: str
    limit: float
    flags: tuple[str, ...] = ()


class Planner:
    """The one door to FFTW's planner.

    Attributes
    ----------
    lock : threading.RLock
        Held for every call into FFTW but executing.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._retired: deque[Any] = deque()
        self._pool = "estimate"
        self._stored: dict[str, Wisdom] = {}

    def plan(self, task: Task) -> Execute:
        """The bound ``execute`` of a new plan; RuntimeError where FFTW has none."""
        library = pyfftw()
        with self.at_work(task):
            plan = library.FFTW(
                task.source,
                task.target,
                axes=task.axes,
                direction=task.direction,
                flags=self.flags(task),
                threads=1,
                planning_timelimit=None if task.effort == "estimate" else task.limit,
            )
        # execute() alone: calling the plan would scale, check and copy.
        execute: Execute = plan.execute
        return execute

    @contextmanager
    def at_work(self, task: Task) -> Iterator[None]:
        """The planner for one thread alone, with the wisdom that `task` is planned by."""
        with self.lock:
            self._sweep()
            self._use_pool("estimate" if task.effort == "estimate" else "tuned")
            yield

    def flags(self, task: Task) -> tuple[str, ...]:
        """FFTW's names of how a task is planned."""
        return (EFFORT_FLAGS[task.effort], *task.flags)

    def retire(self, *executes: Any) -> None:
        """Destroy the plans behind `executes` as soon as the planner is free; never waits, so finalizers may call."""
        self._retired.extend(executes)
        if self.lock.acquire(blocking=False):
            try:
                self._sweep()
            finally:
                self.lock.release()

    def _sweep(self) -> None:
        while self._retired:
            self._retired.popleft()

    def _use_pool(self, pool: str) -> None:
        if pool == self._pool:
            return
        library = pyfftw()
        self._stored[self._pool] = library.export_wisdom()
        library.forget_wisdom()
        if pool in self._stored:
            library.import_wisdom(self._stored[pool])
        self._pool = pool

    def export_wisdom(self) -> Wisdom:
        """What measuring has taught FFTW in this process, and what was imported."""
        with self.lock:
            self._use_pool("tuned")
            wisdom: Wisdom = pyfftw().export_wisdom()
            return wisdom

    def import_wisdom(self, wisdom: Wisdom, pools: tuple[str, ...] = POOLS) -> tuple[bool, ...]:
        """Add `wisdom` to `pools`; per precision, whether FFTW accepted it."""
        with self.lock:
            for pool in pools:
                self._use_pool(pool)
                accepted: tuple[bool, ...] = pyfftw().import_wisdom(wisdom)
            return accepted

    def forget_wisdom(self) -> None:
        """Empty both pools."""
        with self.lock:
            self._stored.clear()
            pyfftw().forget_wisdom()

    def before_fork(self) -> None:
        """Wait until no thread is inside FFTW, so that the child inherits it in order."""
        self.lock.acquire()

    def after_fork(self) -> None:
        """In the parent: go on."""
        self.lock.release()

    def after_fork_in_child(self) -> None:
        """In the child: a lock that no thread of the parent's holds."""
        self.lock = threading.RLock()


planner = Planner()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=planner.before_fork,
        after_in_parent=planner.after_fork,
        after_in_child=planner.after_fork_in_child,
    )
