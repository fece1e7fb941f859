"""What no tiling of a transform shape can cost less than, told from its lengths alone.

Weighing a tiling takes some 30 us of Python, and a problem has hundreds. Nearly all of them lose by their transforms
already, so they are met in the order of this bound (see `tile_choice`). It is what `cost_contract` adds up, without
the parts of a step that stay idle and with jobs as full as they can be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from fftconv.core.channels import EXECUTE_BYTES
from fftconv.core.cost import LONG, HostProfile, column, row, spill
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.tiling import block_covers, block_step, phased_axis, spectral_dtype, transformed_axes

# A carried axis that lies inside the transformed one is taken in runs of at least a cache line.
INNER_RUN = 16


def least_seconds(p: ConvProblem, packed: bool, host: HostProfile) -> Callable[[Ints], float]:
    """By transform shape: seconds on two workers, who share every step evenly."""
    real = spectral_dtype(p)
    dtype = np.result_type(real, np.complex64) if packed else real
    char, factor = LONG.get(dtype.char, (dtype.char, 1.0))
    axes = transformed_axes(p)
    last, inner = axes[-1], prod(p.output_size[axes[-1] + 1 :]) > 1
    carried = p.batch * prod(m for a, m in enumerate(p.output_size) if a not in axes) / (2 if packed else 1)
    inputs, outputs = p.in_channels, p.out_channels
    per_kernel, per_end, per_tile, per_product = _per_point(p, dtype, host)
    per_end += dtype.itemsize * host.copy * (2 if packed else 1)
    job = 0.0 if p.group_inputs == 1 and host.brief else host.job
    least_call = min(host.call, host.lone, host.brief or host.lone) if p.group_inputs == 1 else host.call

    @cache
    def along(a: int, n: int) -> tuple[int, float, float]:
        """Blocks along one axis, the part of one that is kept, nanoseconds per point of a transform."""
        axis, k = phased_axis(p, a), p.kernel_size[a]
        step = axis.outputs
        if not block_covers(p, a, n):
            step = min(step, block_step(n, k, axis.stride))
        each = column(n, char, host) if a != last else row(n, char, host)
        kept = min(n, (step - 1) * axis.stride + 1) / n
        return axis.phases * -(-axis.outputs // step), kept, each * factor / 2

    def bound(nfft: Ints) -> float:
        points, tiles = prod(nfft), carried
        kernel, forward, backward, left = 0.0, 0.0, 0.0, 1.0
        beyond = spill(points * dtype.itemsize, char, host) * factor / 2
        for a in axes:
            blocks, kept, each = along(a, nfft[a])
            each += beyond * nfft[a] if a != last else 0.0
            tiles *= blocks
            kernel += each
            # the rows of a kernel are contiguous, whatever lies inside those of a tile
            each *= host.strided_rows if inner and a == last else 1.0
            forward += each
            backward += left * each
            left *= kept
        held = tiles / max(EXECUTE_BYTES / (points * dtype.itemsize), INNER_RUN if inner else 1)
        begins, ends = tiles * inputs * (forward + per_end), tiles * outputs * (backward + per_end)
        steps = [(outputs * p.group_inputs * (kernel + per_kernel), 1.0, 1.0)]
        if p.group_inputs == 1:
            # an execute of one input is followed by those of its outputs
            steps += [(begins + ends + tiles * per_tile, held * outputs, held * inputs)]
        else:
            steps += [(begins, held * inputs, held * inputs), (ends, held * outputs, held * outputs)]
            steps += [(tiles * per_tile + per_product, 0.5, 1.0)]
        singly = [points * each * 1e-9 + max(0.5, overheads) * job for each, overheads, _ in steps]
        together = sum(map(shared, singly, (jobs for *_, jobs in steps)))
        return least_call + min(sum(singly), together)

    def shared(alone: float, jobs: float) -> float:
        """One step, which begins when the one before has ended."""
        return min(alone, host.thread + alone / 2 + max(1.0, jobs / 2) * host.handover)

    return bound


def _per_point(p: ConvProblem, dtype: np.dtype, host: HostProfile) -> tuple[float, float, float, float]:
    """Nanoseconds per point of a tile beside its transforms: of a kernel, of a tile's way in or out, of its products,
    and of products whatever the tiles.
    """
    size, bins = (dtype.itemsize, 1.0) if dtype.kind == "c" else (2 * dtype.itemsize, 0.5)
    char = {8: "F", 16: "D"}.get(size, "G")
    if p.group_inputs == 1:
        return bins * host.read[char], 0.0, bins * p.out_channels * host.multiply[char], 0.0
    turn, pairs = bins * host.turn[char], p.out_channels * p.group_inputs
    # all kernels are read by the products of one round of tiles at least
    once = bins * (p.groups * host.product + pairs * host.read[char])
    return turn, turn, bins * pairs * host.multiply_add[char], once
