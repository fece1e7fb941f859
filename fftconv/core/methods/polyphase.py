"""Input and kernel dilation as several dense problems on strided views; no zero is ever materialised.

Output ``y`` and tap ``u`` meet sample ``q = (y*s + u*d - lo) / b`` where b divides the numerator. Split both by residue:

* ``y = y0 + Y*b/gcd(b, s)`` and ``u = u0 + U*b/gcd(b, d)`` keep the residue modulo b, so each pair (y0, u0) that
  divides reads ``q = c + Y*s/gcd(b, s) + U*d/gcd(b, d)``: a problem without input dilation.
* What is left has a stride s and a kernel dilation d. ``Y = y1 + Z*d/gcd(s, d)`` makes every q of one residue
  modulo d, so on ``x[r::d]`` it has stride ``s/gcd(s, d)`` and no kernel dilation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import gcd

import numpy as np

from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import ConvProblem


@dataclass(frozen=True)
class Phase:
    """One axis of one dense sub-problem: which samples, taps and outputs it joins, and how."""

    samples: slice
    taps: slice
    outputs: slice
    sizes: tuple[int, int]
    stride: int
    pads: tuple[int, int]


def phases(n: int, k: int, m: int, axis: tuple[int, int, int, int]) -> list[list[Phase]]:
    """Per output residue, the phases whose sum is that residue's output; `axis` is (stride, lo, b, d)."""
    s, lo, b, d = axis
    out_step, tap_step = b // gcd(b, s), b // gcd(b, d)
    s1, d1 = s // gcd(b, s), d // gcd(b, d)
    inner = d1 // gcd(s1, d1)
    found = []
    for y0 in range(out_step):
        for y1 in range(inner):
            first, step = y0 + y1 * out_step, out_step * inner
            outputs = slice(first, None, step)
            count = len(range(first, m, step))
            if count == 0:
                continue
            parts = []
            for u0 in range(min(tap_step, k)):
                top = first * s + u0 * d - lo
                if top % b:
                    continue
                q = top // b
                r = q % d1
                taps, samples = len(range(u0, k, tap_step)), len(range(r, n, d1))
                # on x[r::d1] the first output reads from (q - r)/d1 on, with stride s1*inner/d1
                stride, low = s1 * inner // d1, (r - q) // d1
                high = (count - 1) * stride + taps - samples - low
                parts.append(
                    Phase(
                        slice(r, None, d1),
                        slice(u0, None, tap_step),
                        outputs,
                        (samples, taps),
                        stride,
                        (low, high),
                    )
                )
            found.append(parts or [Phase(slice(0, 0), slice(0, 0), outputs, (0, 0), 1, (0, 0))])
    return found


def axis_phases(p: ConvProblem) -> list[list[list[Phase]]]:
    """`phases` of every spatial axis."""
    return [
        phases(n, k, m, (s, lo, b, d))
        for n, k, m, s, (lo, _), b, d in zip(
            p.input_size,
            p.kernel_size,
            p.output_size,
            p.stride,
            p.pads,
            p.lhs_dilation,
            p.rhs_dilation,
            strict=True,
        )
    ]


def sub_problem(p: ConvProblem, parts: tuple[Phase, ...]) -> ConvProblem:
    """The dense problem that joins one phase of every axis."""
    ones = (1,) * p.ndim
    return p.with_(
        input_size=tuple(f.sizes[0] for f in parts),
        kernel_size=tuple(f.sizes[1] for f in parts),
        pads=tuple(f.pads for f in parts),
        stride=tuple(f.stride for f in parts),
        lhs_dilation=ones,
        rhs_dilation=ones,
        flip=False,
    )


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    from fftconv.core.run import run

    p = plan.problem
    if p.flip:
        w = w[(..., *(slice(None, None, -1),) * p.ndim)]
    request = Request(workers=plan.workers)
    for residue in product(*axis_phases(p)):
        target = out[(..., *(parts[0].outputs for parts in residue))]
        first = True
        for parts in product(*residue):
            xs = x[(..., *(f.samples for f in parts))]
            ws = w[(..., *(f.taps for f in parts))]
            sub = sub_problem(p, parts)
            if first:
                run(sub, xs, ws, target, request)
            else:
                target += run(sub, xs, ws, None, request)
            first = False
