"""What keeps rounding from showing, tile by tile, while a tile is in the cache.

*Pedestal.* The error of a tile follows the norm of its samples, most of which may be a constant that they all share:
the bias of a camera, a barometer's thousand hectopascals. Convolution is linear, so

    x * w = (x - c) * w + c (1 * w),

where 1 is zero where zeros lie outside the array, and one elsewhere. The last term is c times a sum of taps, exact but
for one rounding, at the edges too. With c the mean of what each block holds, ``|x - c| <= |x|``: the bound of the
error gets smaller.

*Signs.* Sums of products of non-negative numbers are not negative, so what a transform gives below 0 is set to 0.

Whether there is anything to do is found out from a few samples; most calls end there.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.jobs import EVERY, Job, Reads
from fftconv.core.lazy import lazy
from fftconv.core.methods.blocks import correlation_kernel
from fftconv.core.methods.tiles import Source
from fftconv.core.problem import ConvProblem
from fftconv.core.tiling import TileLayout

# How small the spread of some samples has to be, beside their mean, for it to be taken away. In float64 an error
# of the size of the roundoff is small enough, but a constant has to stay one.
SPREAD = {"f": 1 / 16, "d": 2.0**-20}
# Samples to look at along each axis, by the number of spatial axes.
LOOKS = {1: 32, 2: 8}


class Level(NamedTuple):
    """What was taken from some blocks: their samples in the scratch, and the means."""

    part: int
    place: tuple[Any, ...]
    mean: np.ndarray


class Facts:
    """What a kernel says, found out when it is asked for."""

    def __init__(self, p: ConvProblem, w: np.ndarray) -> None:
        self.problem = p
        self.w = w

    @lazy
    def never_negative(self) -> bool:
        return _looks_positive(self.w) and bool(self.w.min() >= 0)

    @lazy
    def sums(self) -> np.ndarray:
        """Sums of the first taps along every axis: (O, \\*K + 1)."""
        sums = correlation_kernel(self.problem, self.w)[:, 0].astype(np.longdouble)
        for axis in range(1, sums.ndim):
            zero = np.zeros((*sums.shape[:axis], 1, *sums.shape[axis + 1 :]), sums.dtype)
            sums = np.concatenate((zero, sums.cumsum(axis)), axis)
        return sums.astype(np.float64)


class Care:
    """What one call does to its tiles beside transforming them; only where each output sees one input.

    Attributes
    ----------
    pedestal, positive : bool
        Whether a mean is taken from each block, and whether no output can be negative unless a sample is.
    """

    def __init__(self, layout: TileLayout, x: np.ndarray, kernel: Facts) -> None:
        p = layout.problem
        self.layout = layout
        self.x = x
        self.kernel = kernel
        self.known: dict[tuple[Any, ...], np.ndarray] = {}
        self.pedestal = on_pedestal(p, x)
        self.positive = none_negative(x, kernel)

    @lazy
    def dense(self) -> dict[int, int]:
        """Outputs of a block per transformed axis; what lies beyond may not even have been computed."""
        t = self.layout.tiling
        strides = (self.layout.phased[a].stride for a in self.layout.axes)
        return {
            a: min(t.nfft[a], (t.step[a] - 1) * s + 1) for a, s in zip(self.layout.axes, strides, strict=True)
        }

    @property
    def idle(self) -> bool:
        return not (self.pedestal or self.positive)

    def gather(self, source: Source, job: Job, channels: range, signal: np.ndarray) -> list[Level]:
        """Gather a job's samples without the means of their blocks, which are returned."""
        if not self.pedestal:
            source.gather(job, channels, signal)
            return []
        axes = tuple(a - self.layout.problem.ndim for a in self.layout.axes)
        if self.x.dtype == self.layout.problem.dtype and all(map(_is_plain, job.reads)):
            means: list[list[np.ndarray]] = [[] for _ in job.reads]

            def less(tile: int, samples: np.ndarray) -> np.ndarray:
                means[tile].append(_mean(samples, axes))
                return means[tile][-1]

            source.gather(job, channels, signal, less)
            return _levels(job.reads, means)
        source.gather(job, channels, signal)
        levels = []
        for i, part in enumerate(self._parts(job, signal[:, : len(channels)])):
            for place in job.reads[i].shown:
                samples = part[place]
                if samples.size:
                    levels.append(Level(i, place, _mean(samples, axes)))
                    samples -= levels[-1].mean
        return levels

    def give(self, levels: list[Level], job: Job, outputs: range, y: np.ndarray) -> None:
        """Give back to the outputs of a job, which are those channels, what was taken."""
        parts = self._parts(job, y[:, : len(outputs)]) if levels else ()
        for level in levels:
            part = parts[level.part]
            rows, every, blocks, *inner = level.place
            wanted = [slice(0, self.dense[a]) if a in self.dense else span for a, span in enumerate(inner)]
            target = part[(rows, every, blocks, *wanted)]
            taps = self._taps(inner, outputs)
            if target.ndim > taps.ndim + 1:
                taps = taps[:, None]
            # rounded first: a sum of two types is made in pieces, at several times the cost
            target += (level.mean * taps).astype(target.dtype)

    def _taps(self, inner: list[slice], outputs: range) -> np.ndarray:
        """The sum of the taps of every output that meet samples, where these are those of `inner`: (O, \\*spatial)."""
        key = (outputs, *((span.start, span.stop) for span in inner))
        if key not in self.known:
            self.known[key] = self._summed(inner, outputs)
        return self.known[key]

    def _summed(self, inner: list[slice], outputs: range) -> np.ndarray:
        found = self.kernel.sums[outputs.start : outputs.stop : outputs.step]
        for a, (span, k) in enumerate(zip(inner, self.layout.problem.kernel_size, strict=True)):
            begin, end, _ = span.indices(self.layout.tile_size[a])
            # outputs whose windows are samples throughout; in a circular transform that is all of them
            most = min(self.layout.tile_size[a], self.dense.get(a, 0) + k - 1)
            if a not in self.dense or (begin == 0 and end >= most):
                found = found.take([k], 1 + a) - found.take([0], 1 + a)
            else:
                z = np.arange(self.dense[a])
                found = found.take(np.clip(end - z, 0, k), 1 + a) - found.take(
                    np.clip(begin - z, 0, k), 1 + a
                )
        return found

    def _parts(self, job: Job, a: np.ndarray) -> tuple[np.ndarray, ...]:
        """The tiles of a job in the scratch; two that see the array alike as one, at half the passes."""
        if not self.layout.tiling.packed:
            return (a,)
        if _are_alike(job.reads):
            return (a,)
        return (a.real, a.imag)[: len(job.reads)]


def _are_alike(reads: tuple[Reads, ...]) -> bool:
    return len(reads) == 2 and reads[0].shown == reads[1].shown


def _is_plain(reads: Reads) -> bool:
    """Whether every box of samples is one copy."""
    return not reads.fills and tuple(move.scratch for move in reads.moves) == reads.shown


def _levels(reads: tuple[Reads, ...], means: list[list[np.ndarray]]) -> list[Level]:
    """What was taken from the boxes of each tile; of two that see the array alike, as complex numbers."""
    if _are_alike(reads):
        means = [[real + 1j * imag for real, imag in zip(*means, strict=True)]]
    found = zip(reads, means, strict=False)
    return [
        Level(i, *taken) for i, (box, mean) in enumerate(found) for taken in zip(box.shown, mean, strict=True)
    ]


def _mean(samples: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The mean along `axes`; of equal samples, exactly their value."""
    mean: np.ndarray = np.add.reduce(samples, axes, keepdims=True)
    mean /= prod(samples.shape[axis] for axis in axes)
    at: list[Any] = [EVERY] * samples.ndim
    for axis in axes:
        at[axis] = slice(0, 1)
    first = samples[tuple(at)]
    pairs = [(mean.real, first.real), (mean.imag, first.imag)][: 2 if mean.dtype.kind == "c" else 1]
    for m, f in pairs:
        np.copyto(m, f, where=np.abs(m - f) <= 32 * np.finfo(f.dtype).eps * np.abs(f))
    return mean


def none_negative(x: np.ndarray, kernel: Facts) -> bool:
    """Whether no output can be negative unless a sample is, and some samples are not."""
    p = kernel.problem
    return (
        p.dtype.char in SPREAD
        and p.group_inputs == 1
        and _looks_positive(x)
        and not p.outside.fill < 0
        and kernel.never_negative
        and bool(_some(x).min() >= 0)
    )


def on_pedestal(p: ConvProblem, x: np.ndarray) -> bool:
    """Whether samples differ little beside what they have in common: two of them first, then some more."""
    spread = SPREAD.get(p.dtype.char)
    if spread is None:
        return False
    first, last = x.item(0), x.item(x.size - 1)
    if not abs(first - last) <= 2 * spread * abs(first) or p.group_inputs > 1:
        return False
    some = _some(x).astype(np.float64)
    with np.errstate(all="ignore"):
        return bool(some.std() < spread * abs(some.mean()))


def _looks_positive(a: np.ndarray) -> bool:
    """A look at three elements; most data that have a sign end here."""
    n = a.size
    return bool(a.item(0) >= 0 and a.item(n // 2) >= 0 and a.item(n - 1) >= 0)


def _some(x: np.ndarray) -> np.ndarray:
    """Some dozens of samples from all over the array."""
    most = LOOKS.get(x.ndim - 2, 4)
    steps = (max(1, m // most) for m in x.shape)
    found: np.ndarray = x[tuple(slice(step // 2, None, step) for step in steps)]
    return found
