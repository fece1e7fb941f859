"""Dilated problems by phases: each residue class of the output is a sum of dense problems on strided views."""

from __future__ import annotations

from itertools import product

import numpy as np

from fftconv.core.excerpt import extended, padded
from fftconv.core.phases import Residue, residues, sub_problem
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import at
from fftconv.core.workers import for_each


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Run a plan by phases; residue classes write disjoint outputs and run side by side."""
    from fftconv.core.run import run

    p, x = padded(plan.problem), extended(plan.problem, x)
    if p.flip:
        w = w[at(*(slice(None, None, -1),) * p.ndim)]
    classes = residues(p)
    outer = min(plan.workers, len(classes))
    request = Request(plan.method, plan.workers // outer, fft_exact=True)

    def work(residue: tuple[Residue, ...]) -> None:
        target = out[at(*(parts[0].outputs for parts in residue))]
        for i, parts in enumerate(product(*residue)):
            samples = x[at(*(f.samples for f in parts))]
            taps = w[at(*(f.taps for f in parts))]
            y = run(sub_problem(p, parts), samples, taps, None if i else target, request)
            if i:
                np.add(target, y, out=target)

    for_each(classes, work, outer)
