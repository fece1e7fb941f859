"""The direct sum, in the form that is predicted to be the fastest for the problem."""

from __future__ import annotations

import numpy as np

from fftconv.core.cost_direct import cheapest
from fftconv.core.methods import gemm, lines, taps
from fftconv.core.plan import ConvPlan
from fftconv.core.profile import in_force

_FORMS = {"lines": lines.execute, "gemm": gemm.execute, "taps": taps.execute}


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    _FORMS[cheapest(plan.problem, in_force().direct)](plan, x, w, out)
