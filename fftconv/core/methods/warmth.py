"""When to compile. No call is charged what it cannot repay."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Generic, TypeVar

from fftconv.core.cost_direct import WARM_UP_SECONDS, DirectCosts, seconds
from fftconv.core.methods.loops import Loops, compiled, written_out
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import ConvProblem
from fftconv.core.profile import in_force

# Where loops are so many times as fast as what stands in for them, calls need spend only a third as long in it: whoever
# makes several mostly makes many.
MUCH_FASTER, EAGERNESS = 3.0, 3.0

T = TypeVar("T")
_kept: list[Warmth[Any]] = []


class Warmth(Generic[T]):
    """Which loops are compiled by `make`, and what calls have spent for want of them."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self.lock = threading.Lock()
        self.make = make
        self.loops: dict[str, T] = {}
        self.wasted: dict[str, float] = {}
        self.begun: set[str] = set()
        _kept.append(self)

    def at_once(self, plan: ConvPlan) -> T | None:
        """The loops for a call that repays compiling them by itself."""
        p, host = plan.problem, in_force().direct
        saved = seconds("taps", p, plan.workers, host) - seconds("jit", p, plan.workers, host)
        if saved < WARM_UP_SECONDS or p.dtype.char in self.begun:
            return None
        with self.lock:
            self.begun.add(p.dtype.char)
        self.try_to_prepare(p.dtype.char)
        return self.loops.get(p.dtype.char)

    def spent(self, char: str, seconds: float) -> None:
        """A call took `seconds` without the loop; begin to compile if those before cost as much as compiling.

        After a first call, however long, nobody knows whether there will be another.
        """
        with self.lock:
            before = self.wasted.get(char, 0.0)
            self.wasted[char] = before + seconds
            if before < WARM_UP_SECONDS or char in self.begun:
                return
            self.begun.add(char)
        threading.Thread(target=self.try_to_prepare, args=(char,), name="fftconv-jit", daemon=True).start()

    def try_to_prepare(self, char: str) -> None:
        """Nobody is there to hear that the compiler is broken; NumPy goes on answering."""
        with suppress(Exception):
            self.prepare(char)

    def prepare(self, char: str) -> None:
        if char not in self.loops:
            self.loops[char] = self.make(char)


warmth = Warmth(compiled)


def eagerness(p: ConvProblem) -> float:
    """By how much to multiply the seconds that a call of `p` took without its loops."""
    return _eagerness(p, in_force().direct)


@lru_cache(maxsize=256)
def _eagerness(p: ConvProblem, host: DirectCosts) -> float:
    taps, loops = (seconds(form, p, 1, host) for form in ("taps", "jit"))
    return EAGERNESS if taps >= MUCH_FASTER * loops else 1.0


def prepare_all(char: str) -> None:
    """Compile all that is known of for numbers `char`, for those who measure what a call takes without that."""
    for each in _kept:
        each.try_to_prepare(char)


def _written_out(key: str) -> Loops:
    return written_out(key[0], int(key[1:]), warmth.loops[key[0]])


# Loops with more for lines of a few taps beside, such as "f3", once calls with such kernels have repaid that too.
written = Warmth(_written_out)


def _after_fork() -> None:
    """A child's locks are its own. A loop that was being compiled stays begun: its thread is not there any more."""
    for each in _kept:
        each.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
