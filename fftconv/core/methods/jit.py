"""The multiply-add of `taps` as compiled loops, with the same bits (optional: needs numba).

Terms are added in the same order, each product rounded before it is added: LLVM fuses the two only where a program
allows it, and this one does not. (Complex numbers are left out: NumPy's own products of them are fused.) So a
call may be answered by `taps` while nothing is compiled yet, and later calls by compiled code, and no result
depends on which.

Importing numba and loading or compiling a loop costs a good part of a second or more. That is never charged to a
call: the time that calls spend in `taps` is added up, and when compiling would have paid for itself a background
thread starts it. `warm_up` does it at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

from fftconv.core.cells import cut
from fftconv.core.cost_direct import WARM_UP_SECONDS, loop_lengths
from fftconv.core.methods import taps
from fftconv.core.methods.blocks import Scratch, Span, boxes, by_group, correlation_kernel
from fftconv.core.plan import ConvPlan
from fftconv.core.workers import for_each

Loop = Callable[[np.ndarray, tuple[np.ndarray, np.ndarray, int], np.ndarray, np.ndarray], None]
"""``loop(window, (starts, offsets, step), weights, total)``."""


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    loop = _warmth.loop(plan.problem.dtype.char)
    if loop is not None:
        run(loop, plan, (x, w), out)
        return
    begin = perf_counter()
    taps.execute(plan, x, w, out)
    _warmth.spent(plan.problem.dtype.char, perf_counter() - begin)


def warm_up(dtype: np.dtype) -> None:
    """Load or compile the loop of `dtype` now."""
    _warmth.prepare(np.dtype(dtype).char)


def run(loop: Loop, plan: ConvPlan, operands: tuple[np.ndarray, np.ndarray], out: np.ndarray) -> None:
    """Blocks as in `taps`, but larger: the loop itself goes row by row."""
    p = plan.problem
    x, w = operands
    # a copy: to the compiler, an array that may not be written is of another type
    weights = np.array(correlation_kernel(p, w)).reshape(p.groups, p.group_outputs, -1)
    inputs, outputs = by_group(p, x, out)
    scratch, single = Scratch(), cut(p, (1,) * p.ndim)

    def work(box: tuple[Span, ...]) -> None:
        desk = scratch.desk(p, single, box)
        desk.load(inputs, box)
        (group, _), batch, *cells = box
        place: tuple[Any, ...] = (slice(*batch), group, slice(None), *(slice(*span) for span in cells))
        region = outputs[place]
        for o, row in enumerate(weights[group]):
            target = region[:, o]
            fit = target.flags.c_contiguous and target.flags.aligned
            total = target if fit else scratch.take("total", target.shape, p.dtype)
            loop(desk.flat, desk.reads_at, row, total.reshape(-1, target.shape[-1]))
            if total is not target:
                target[...] = total

    for_each(boxes((p.groups, p.batch, *p.output_size), loop_lengths(p)), work, plan.workers)


class _Warmth:
    """Which loops are compiled, and what calls have spent for want of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loops: dict[str, Loop] = {}
        self.wasted: dict[str, float] = {}
        self.begun: set[str] = set()

    def loop(self, char: str) -> Loop | None:
        return self.loops.get(char)

    def spent(self, char: str, seconds: float) -> None:
        """A call took `seconds` without the loop; begin to compile once that has cost as much as compiling."""
        with self.lock:
            total = self.wasted[char] = self.wasted.get(char, 0.0) + seconds
            if total < WARM_UP_SECONDS or char in self.begun:
                return
            self.begun.add(char)
        threading.Thread(target=self.try_to_prepare, args=(char,), name="fftconv-jit", daemon=True).start()

    def try_to_prepare(self, char: str) -> None:
        """In the background nobody is there to hear that numba is broken; `taps` goes on answering."""
        with suppress(Exception):
            self.prepare(char)

    def prepare(self, char: str) -> None:
        if char not in self.loops:
            self.loops[char] = _compiled(char)


_warmth = _Warmth()


def _after_fork() -> None:
    """A child's lock is its own. A loop that was being compiled stays begun: its thread is not there any more."""
    _warmth.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _compiled(char: str) -> Loop:
    """The loop for one dtype, from numba's cache on disk where it has been compiled before."""
    import numba

    dispatcher = _dispatcher()
    element = numba.from_dtype(np.dtype(char))
    types: Any = numba.types
    index = types.int64
    signature = (
        element[::1],
        types.Tuple((index[::1], index[::1], index)),
        element[::1],
        element[:, ::1],
    )
    dispatcher.compile(signature)
    return dispatcher  # type: ignore[no-any-return]


@cache
def _dispatcher() -> Any:
    import numba

    from fftconv.core.methods import loops

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        return numba.njit(cache=True, **options)(loops.multiply_add)
    except RuntimeError:  # no folder for the cache can be written
        return numba.njit(**options)(loops.multiply_add)
