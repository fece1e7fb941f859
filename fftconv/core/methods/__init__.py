"""The registry: one executor per method, one signature ``execute(plan, x, w, out)``.

`x`, `w` and `out` are views in the canonical layout of `core.problem`; every cell of `out` is written, no cell
of `x` or `w` is. An executor knows no keywords: all that it may vary stands in the plan.

A method that can do better for one plan than for any has ``made_for(plan)``, which returns an executor for this plan.
One that can work on the kernel before it sees the input also has ``prepare(plan, kernel)``, which returns an
executor for this plan and this kernel alone.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np

from fftconv.core.cost_direct import cheapest, is_one_line
from fftconv.core.kernel import Kernel
from fftconv.core.plan import ConvPlan
from fftconv.core.profile import in_force

Executor = Callable[[ConvPlan, np.ndarray, np.ndarray, np.ndarray], None]

_ROOMS = {
    "direct": "direct",
    "band": "gemm",
    "jit": "jit",
    "separable": "separable",
    "fft": "spectral",
    "overlap_save": "spectral",
    "by phases": "polyphase",
    "limbs": "limbs",
}


def executor(plan: ConvPlan) -> Executor:
    """The function that runs `plan`; for one short line it is made to measure, so that next to nothing is left."""
    method = _room(plan)
    if (
        method == "direct"
        and is_one_line(plan.problem)
        and cheapest(plan.problem, in_force().direct) == "lines"
    ):
        return import_module(f"{__name__}.lines").one_line(plan.problem)  # type: ignore[no-any-return]
    room = import_module(f"{__name__}.{_ROOMS[method]}")
    made_for = getattr(room, "made_for", None)
    return room.execute if made_for is None else made_for(plan)  # type: ignore[no-any-return]


def prepared(plan: ConvPlan, kernel: Kernel) -> Executor:
    """A function that runs `plan` with `kernel`, its work on the kernel done where the method can do it ahead."""
    room = import_module(f"{__name__}.{_ROOMS[_room(plan)]}")
    prepare = getattr(room, "prepare", None)
    return executor(plan) if prepare is None else prepare(plan, kernel)


def _room(plan: ConvPlan) -> str:
    chosen = plan.chosen
    return "limbs" if chosen.limbs else "by phases" if chosen.by_phases else chosen.method
