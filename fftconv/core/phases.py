"""Input and kernel dilation as several dense problems; no zero is ever materialised. Sizes only, no arrays.

Output ``y`` and tap ``u`` meet sample ``q = (y*s + u*d - lo) / b`` where b divides the numerator. Split by residue:

* ``y = y0 + Y*b/gcd(b, s)`` and ``u = u0 + U*b/gcd(b, d)`` keep the residue modulo b, so each pair (y0, u0)
  that divides reads ``q = c + Y*s/gcd(b, s) + U*d/gcd(b, d)``: a problem without input dilation.
* What is left has a stride s and a kernel dilation d. ``Y = y1 + Z*d/gcd(s, d)`` makes every q of one residue
  modulo d, so on ``x[r::d]`` it has stride ``s/gcd(s, d)`` and no kernel dilation.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd

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


Residue = tuple[Phase, ...]
"""The phases along one axis whose sum is the output of one residue class."""


@lru_cache(maxsize=1024)
def axis_residues(n: int, k: int, m: int, geometry: tuple[int, int, int, int]) -> tuple[Residue, ...]:
    """Every residue class of the outputs of one axis; `geometry` is (stride, lo, b, d)."""
    s, lo, b, d = geometry
    out_step, tap_step = b // gcd(b, s), b // gcd(b, d)
    s1, d1 = s // gcd(b, s), d // gcd(b, d)
    inner = d1 // gcd(s1, d1)
    step = out_step * inner
    found = []
    for first in range(min(step, m)):
        outputs = slice(first, None, step)
        count = len(range(first, m, step))
        tops = ((u0, first * s + u0 * d - lo) for u0 in range(min(tap_step, k)))
        parts = [
            _phase((n, k, count), (u0, tap_step), (top // b, d1, s1 * inner // d1), outputs)
            for u0, top in tops
            if top % b == 0
        ]
        found.append(tuple(parts) or (Phase(slice(0, 0), slice(0, 0), outputs, (0, 0), 1, (0, 0)),))
    return tuple(found)


def _phase(
    sizes: tuple[int, int, int], taps: tuple[int, int], read: tuple[int, int, int], outputs: slice
) -> Phase:
    """Outputs that first read sample q, then every stride-th of the samples ``x[q mod d::d]``."""
    n, k, count = sizes
    u0, tap_step = taps
    q, d, stride = read
    r = q % d
    samples, held = len(range(r, n, d)), len(range(u0, k, tap_step))
    low = (r - q) // d
    high = (count - 1) * stride + held - samples - low
    return Phase(slice(r, None, d), slice(u0, None, tap_step), outputs, (samples, held), stride, (low, high))


def residues(p: ConvProblem) -> list[tuple[Residue, ...]]:
    """The residue classes of the whole output: one `Residue` per axis each."""
    axes = [
        axis_residues(n, k, m, (s, lo, b, d))
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
    return list(product(*axes))


def sub_problem(p: ConvProblem, parts: tuple[Phase, ...]) -> ConvProblem:
    """The dense correlation that joins one phase of every axis."""
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


def sub_problems(p: ConvProblem) -> Counter[ConvProblem]:
    """How often each dense problem occurs."""
    return Counter(sub_problem(p, parts) for residue in residues(p) for parts in product(*residue))
