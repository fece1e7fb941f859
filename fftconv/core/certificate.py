"""Values put to the error bounds of a plan: what its error may be, and whether that meets a tolerance.

A tolerance asks for ``|error| <= absolute + relative * S`` at every output, where S is the same sum with magnitudes,
``sum |x| |w|``. For data and kernels without negative numbers S is the output itself. Any sum promises a relative
tolerance above its coefficient, whatever the values. A transform promises what the norms of its tiles allow, so
S has to be known: the plan itself computes it, from the magnitudes of the operands.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf, prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.excerpt import extended, padded
from fftconv.core.jobs import jobs_of
from fftconv.core.methods import executor
from fftconv.core.plan import ConvPlan, Tolerance
from fftconv.core.support import windows_with
from fftconv.core.tiling import Tile, TileLayout


class Miss(NamedTuple):
    """An output at which a plan cannot promise a tolerance: its bound there, and what was asked for."""

    bound: float
    asked: float

    @property
    def excess(self) -> float:
        return self.bound / self.asked if self.asked else inf


def bound(plan: ConvPlan, x: np.ndarray, w: np.ndarray) -> float:
    """What the error of no output exceeds, for these values."""
    plan, x = _spelled_out(plan, x)
    if not plan.chosen.error:
        return 0.0
    with np.errstate(all="ignore"):
        if plan.chosen.tiling is not None:
            return float(Bounds(plan, x, w).blocks.max())
        if not plan.chosen.is_spectral:
            return plan.chosen.error * _largest_sum(plan, x, w)
        # the problems within hold no more than the whole
        norms = (_norms(a.reshape(len(a), -1), 1).max() for a in (x, w))
        return float(plan.chosen.error * prod(norms))


def missed(plan: ConvPlan, operands: tuple[np.ndarray, np.ndarray], asked: Tolerance) -> Miss | None:
    """Where the plan cannot promise `asked` of these values; None where it can everywhere."""
    plan, x = _spelled_out(plan, operands[0])
    operands, error = (x, operands[1]), plan.chosen.error
    if error == 0 or (error <= asked.relative and not plan.chosen.is_spectral):
        return None
    with np.errstate(all="ignore"):
        if plan.chosen.is_spectral:
            return _missed_by_tiles(plan, operands, asked)
        largest = _largest_sum(plan, *operands)
        miss = Miss(error * largest, asked.absolute + asked.relative * largest)
        return None if miss.bound <= miss.asked else miss


def _spelled_out(plan: ConvPlan, x: np.ndarray) -> tuple[ConvPlan, np.ndarray]:
    """What the tiles and sums of `plan` read, as the input of a problem with zeros outside."""
    return replace(plan, problem=padded(plan.problem)), extended(plan.problem, x)


def _largest_sum(plan: ConvPlan, x: np.ndarray, w: np.ndarray) -> float:
    """No output has a larger sum of magnitudes, but for those that are not finite and have no error."""
    samples, taps = (np.where(np.isfinite(a), _magnitudes(a), 0) for a in (x, w))
    found = samples.max() * taps.reshape(plan.problem.out_channels, -1).sum(1).max()
    return min(float(found), float(np.finfo(np.float64).max))


def _missed_by_tiles(plan: ConvPlan, operands: tuple[np.ndarray, ...], asked: Tolerance) -> Miss | None:
    if plan.chosen.tiling is None or not all(np.isfinite(a).all() for a in operands):
        return Miss(np.inf, asked.absolute)
    p = plan.problem
    bounds = Bounds(plan, *operands)
    if not asked.relative:
        worst = float(bounds.blocks.max())
        return None if worst <= asked.absolute else Miss(worst, asked.absolute)
    x, w = (np.abs(a.astype(p.dtype, copy=False)) for a in operands)
    sums = np.empty(p.out_shape, p.dtype)
    # sums that overflow promise nothing
    executor(plan)(plan, x, w, sums)
    error = bounds.at_outputs()
    # the sums of magnitudes err by no more than the sums
    allowed = asked.absolute + asked.relative * np.maximum(sums.real - error, 0)
    bad = ~(error <= allowed)
    if bad.any():
        # what sees nothing but zeros is exactly 0
        bad &= np.repeat(windows_with(p, operands[0]), p.group_outputs, 1)
    if not bad.any():
        return None
    worst_at = np.argmax(np.where(bad, error / np.maximum(allowed, np.finfo(np.float64).tiny), 0))
    return Miss(float(error.flat[worst_at]), float(allowed.flat[worst_at]))


class Bounds:
    """The error bound of every block of a spectral plan.

    Attributes
    ----------
    blocks : ndarray
        (N, O, \\*blocks per axis).
    spans : tuple of int
        Outputs of a block per axis, those of all phases together.
    """

    def __init__(self, plan: ConvPlan, x: np.ndarray, w: np.ndarray) -> None:
        self.problem = plan.problem
        self.layout = TileLayout(plan.problem, plan.tiling)
        self.spans = tuple(
            step * axis.output_step if a in self.layout.axes else 1
            for a, (step, axis) in enumerate(zip(plan.tiling.step, self.layout.phased, strict=True))
        )
        kernels = _norms(w.reshape(self.problem.out_channels, -1), 1)
        samples = np.repeat(self._held(x), self.problem.group_outputs, 1)
        self.blocks = plan.chosen.error * samples * kernels.reshape(1, -1, *(1,) * self.problem.ndim)

    def at_outputs(self) -> np.ndarray:
        """The bound of every output."""
        found: np.ndarray = self.blocks
        for a, (span, m) in enumerate(zip(self.spans, self.problem.output_size, strict=True), 2):
            found = np.repeat(found, span, a)[(slice(None),) * a + (slice(0, m),)]
        return found

    def _held(self, x: np.ndarray) -> np.ndarray:
        """2-norms of the samples that every block transforms: (N, groups, \\*blocks per axis)."""
        p, layout = self.problem, self.layout
        found = _magnitudes(x)
        peak = found.max(initial=0) or 1.0
        found = ((found / peak) ** 2).reshape(p.batch, p.groups, p.group_inputs, *p.input_size).sum(2)
        for a, span in enumerate(self.spans):
            first = np.arange(0, p.output_size[a], span) * p.stride[a] - p.pads[a][0]
            axis = layout.phased[a]
            reach = 1
            if a in layout.axes:
                reach += (layout.tiling.nfft[a] - 1) * axis.sample_step + (axis.output_step - 1) * p.stride[a]
            found = _box_sums(found, 2 + a, first, reach)
        # squares below the range of a float are lost, and added at their most
        least = np.finfo(found.dtype).tiny * prod(x.shape[1:])
        held: np.ndarray = np.sqrt(found + least) * peak
        if layout.tiling.packed:
            _share_pairs(self, held)
        return held


def _share_pairs(bounds: Bounds, held: np.ndarray) -> None:
    """Two tiles in one complex transform share their errors."""

    def blocks(tile: Tile) -> tuple[Any, ...]:
        ends = zip(tile.spans, bounds.spans, strict=True)
        return (slice(*tile.batch), slice(None), *(slice(a // s, -(-b // s)) for (a, b), s in ends))

    for job in jobs_of(bounds.layout):
        parts = [held[blocks(tile)] for tile in job.tiles]
        if len(parts) == 2:
            most = [part.max() for part in parts]
            for part, other in zip(parts, reversed(most), strict=True):
                np.hypot(part, other, out=part)


def _magnitudes(a: np.ndarray) -> np.ndarray:
    """Absolute values in at least double precision."""
    found: np.ndarray = np.abs(a.astype(np.result_type(a, np.float64), copy=False))
    return found


def _norms(a: np.ndarray, axis: int) -> np.ndarray:
    found = _magnitudes(a)
    peak = found.max(initial=0) or 1.0
    norms: np.ndarray = np.sqrt(((found / peak) ** 2).sum(axis)) * peak
    return norms


def _box_sums(a: np.ndarray, axis: int, first: np.ndarray, reach: int) -> np.ndarray:
    """Sums of ``a[first : first + reach]`` along `axis`, as far as these exist, for every entry of `first`."""
    n = a.shape[axis]
    begin, end = np.clip(first, 0, n), np.clip(first + reach, 0, n)
    ends = np.stack((begin, end), 1).reshape(-1)
    # a range that ends with the array needs an entry to end at
    last = np.zeros((*a.shape[:axis], 1, *a.shape[axis + 1 :]), a.dtype)
    along = (slice(None),) * axis
    sums: np.ndarray = np.add.reduceat(np.concatenate((a, last), axis), ends, axis)[
        (*along, slice(None, None, 2))
    ]
    sums[(*along, begin >= end)] = 0
    return sums
