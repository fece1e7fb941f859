"""Idle plans by key, the least recently used out first, bounded in bytes.

Only idle plans are here: a plan in use belongs to the call that checked it out. A plan holds scratch and
nothing of the caller's, so dropping one early costs time and nothing else.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, NamedTuple
from weakref import WeakSet


class CacheInfo(NamedTuple):
    """State of a plan cache.

    Attributes
    ----------
    engine : str
    hits, misses : int
        Checkouts served by an idle plan, and those that made a new one.
    plans, bytes : int
        Idle plans and their scratch.
    limit : int
        Bound on `bytes`.
    """

    engine: str
    hits: int
    misses: int
    plans: int
    bytes: int
    limit: int


class PlanCache:
    """Free lists per key under one lock."""

    def __init__(self) -> None:
        self.reset()
        _caches.add(self)

    def reset(self) -> None:
        """Begin anew, the lock included: in a forked child its owner may not exist."""
        self._lock = threading.Lock()
        self._free: OrderedDict[Hashable, list[Any]] = OrderedDict()
        self._bytes = self._hits = self._misses = 0

    def take(self, key: Hashable) -> Any:
        """The idle plan of `key` that was used last, or None."""
        with self._lock:
            if key not in self._free:
                self._misses += 1
                return None
            self._hits += 1
            return self._pop(key, -1)

    def put(self, key: Hashable, plan: Any, limit: int) -> None:
        """Keep `plan`, and as many others as `limit` bytes allow."""
        dropped = []
        with self._lock:
            plans = self._free.get(key)
            if plans is None:
                plans = self._free[key] = []
            else:
                self._free.move_to_end(key)
            plans.append(plan)
            self._bytes += plan.nbytes
            while self._bytes > limit:
                dropped.append(self._pop(next(iter(self._free)), 0))
        # Destroying a plan may wait for the planner; that wait must not hold this lock.
        del dropped

    def _pop(self, key: Hashable, at: int) -> Any:
        plans = self._free[key]
        plan = plans.pop(at)
        self._bytes -= plan.nbytes
        if not plans:
            del self._free[key]
        return plan

    def clear(self) -> None:
        """Drop every idle plan and forget the counts."""
        with self._lock:
            dropped, self._free = self._free, OrderedDict()
            self._bytes = self._hits = self._misses = 0
        dropped.clear()

    def info(self, engine: str, limit: int) -> CacheInfo:
        """The state under which name and bound the caller reports it."""
        with self._lock:
            plans = sum(len(plans) for plans in self._free.values())
            return CacheInfo(engine, self._hits, self._misses, plans, self._bytes, limit)


_caches: WeakSet[PlanCache] = WeakSet()


def _reset_all() -> None:
    for cache in list(_caches):
        cache.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
