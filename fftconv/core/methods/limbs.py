"""Exact sums of integers of any size, and logical sums: a problem in float64 whose channels are limbs."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np

from fftconv.core.cells import boxes
from fftconv.core.exactness import split
from fftconv.core.excerpt import excerpt
from fftconv.core.limbs import Limbs
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.problem import ConvProblem

# Bytes of limbs, of samples and of sums, that are held at a time.
PIECE_BYTES = 64 * 2**20


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """One piece of the output after the other."""
    p, limbs = plan.problem, plan.chosen.limbs
    assert limbs is not None
    kernel = kernel_limbs(p, limbs, w)
    request = Request(plan.method, plan.workers)
    for box in boxes((p.batch, *p.output_size), piece(p, limbs)):
        batch, *spans = (slice(*span) for span in box)
        small, signal, taps = excerpt(p, box, (x, kernel))
        _answer(small, limbs, (signal, taps, request), out[(batch, slice(None), *spans)])


def piece(p: ConvProblem, limbs: Limbs) -> tuple[int, ...]:
    """Lengths of the batch and of the outputs that are answered at a time: long axes are halved first."""
    lengths = [p.batch, *p.output_size]
    each = 8 * (p.in_channels * limbs.count[0] * prod(p.stride) + 2 * p.out_channels * len(limbs.shifts))
    while prod(lengths) * each > PIECE_BYTES:
        a = max(range(len(lengths)), key=lambda i: lengths[i] / (1 if i == 0 else p.kernel_size[i - 1]))
        if lengths[a] <= (1 if a == 0 else 4 * p.kernel_size[a - 1]):
            break
        lengths[a] = -(-lengths[a] // 2)
    return tuple(lengths)


def kernel_limbs(p: ConvProblem, limbs: Limbs, w: np.ndarray) -> np.ndarray:
    """Kernels (O x shifts, I x limbs of x, \\*K): the limb of w that brings a limb of x to a shift, if there is one."""
    outputs, inputs = w.shape[:2]
    found = np.zeros((outputs, len(limbs.shifts), inputs, limbs.count[0], *p.kernel_size))
    digits = list(split(w, limbs.width[1], limbs.count[1]))
    for i, (j, digit) in product(range(limbs.count[0]), enumerate(digits)):
        shift = i * limbs.width[0] + j * limbs.width[1]
        if shift in limbs.shifts:
            found[:, limbs.shifts.index(shift), :, i] = digit
    return found.reshape(outputs * len(limbs.shifts), -1, *p.kernel_size)


def _answer(
    p: ConvProblem, limbs: Limbs, given: tuple[np.ndarray, np.ndarray, Request], out: np.ndarray
) -> None:
    from fftconv.core.run import run

    x, kernel, request = given
    if not x.size or not kernel.size:
        out[...] = 0
        return
    signal = np.empty((*x.shape[:2], limbs.count[0], *x.shape[2:]))
    for i, digit in enumerate(split(x, limbs.width[0], limbs.count[0])):
        signal[:, :, i] = digit
    y = run(limbs.problem(p), signal.reshape(x.shape[0], -1, *x.shape[2:]), kernel, None, request)
    y = y.reshape(x.shape[0], p.out_channels, len(limbs.shifts), *y.shape[2:])
    if out.dtype.kind == "b":
        np.greater(y[:, :, 0], 0.5, out=out)
        return
    np.rint(y, out=y)
    total = np.zeros(out.shape, np.uint64)
    for i, shift in enumerate(limbs.shifts):
        total += y[:, :, i].astype(np.int64).view(np.uint64) << np.uint64(shift)
    np.copyto(out, total, casting="unsafe")
