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
    """By transform shape: seconds on two workers, who share everything and never wait."""
    real = spectral_dtype(p)
    dtype = np.result_type(real, np.complex64) if packed else real
    char, factor = LONG.get(dtype.char, (dtype.char, 1.0))
    axes = transformed_axes(p)
    last, inner = axes[-1], prod(p.output_size[axes[-1] + 1 :]) > 1
    carried = p.batch * prod(m for a, m in enumerate(p.output_size) if a not in axes) / (2 if packed else 1)
    inputs, outputs, kernels = p.in_channels, p.out_channels, p.out_channels * p.group_inputs
    # an execute of one input is followed by those of its outputs; sums over inputs have executes of their own
    ends = outputs if p.group_inputs == 1 else inputs + outputs
    per_tile, per_kernel = _per_point(p, dtype, host)
    per_tile += (inputs + outputs) * dtype.itemsize * host.copy * (2 if packed else 1)

    @cache
    def along(a: int, n: int) -> tuple[int, float, float]:
        """Blocks along one axis, the part of one that is kept, nanoseconds per point of a transform."""
        axis, k = phased_axis(p, a), p.kernel_size[a]
        step = axis.outputs
        if not block_covers(p, a, n):
            step = min(step, block_step(n, k, axis.stride))
        each = (
            column(n, char, host) if a != last else row(n, char, host) * (host.strided_rows if inner else 1.0)
        )
        kept = min(n, (step - 1) * axis.stride + 1) / n
        return axis.phases * -(-axis.outputs // step), kept, each * factor / 2

    def bound(nfft: Ints) -> float:
        points, tiles = prod(nfft), carried
        forward, backward, left = 0.0, 0.0, 1.0
        beyond = spill(points * dtype.itemsize, char, host) * factor / 2
        for a in axes:
            blocks, kept, each = along(a, nfft[a])
            each += beyond * nfft[a] if a != last else 0.0
            tiles *= blocks
            forward += each
            backward += left * each
            left *= kept
        each = inputs * forward + outputs * backward + per_tile
        busy = points * (tiles * each + kernels * (forward + per_kernel)) * 1e-9
        held = tiles / max(EXECUTE_BYTES / (points * dtype.itemsize), INNER_RUN if inner else 1)
        alone = busy + (1 + max(1.0, held * ends)) * host.job
        return host.call + min(alone, host.thread + alone / 2 + max(1.0, held * inputs / 2) * host.handover)

    return bound


def _per_point(p: ConvProblem, dtype: np.dtype, host: HostProfile) -> tuple[float, float]:
    """Nanoseconds of the products per point of a tile, and of the kernel's spectra per point of one."""
    size, bins = (dtype.itemsize, 1.0) if dtype.kind == "c" else (2 * dtype.itemsize, 0.5)
    char = {8: "F", 16: "D"}.get(size, "G")
    if p.group_inputs == 1:
        return bins * p.out_channels * host.multiply[char], bins * host.read[char]
    turns = (p.in_channels + p.out_channels) * host.turn[char]
    products = p.out_channels * p.group_inputs * host.multiply_add[char]
    return bins * (turns + products), bins * host.turn[char]
