"""Predicted seconds: what a transform, a pass over memory and a job cost on this host.

The model is a sum of passes. A spectral job gathers, transforms along its contiguous axis (rows) and along the
others (columns), multiplies, transforms back and scatters. Rows cost nanoseconds per point by ``log2(nfft)``,
columns by the bytes they stride through. Each job also costs the interpreter a fixed time, which worker threads
cannot share.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from math import log2, prod

import numpy as np

from fftconv.core.problem import Ints

# Lengths whose cost is known one by one, because no rule tells it: FFTW plans them by guesswork. They are the ones that
# transform fast; any other stands next to one of them.
# fmt: off
ODD = (
    12, 20, 24, 28, 36, 40, 44, 48, 52, 56, 60, 72, 80, 84, 88, 96, 100, 104, 108, 112, 120, 132, 140,
    144, 156, 160, 168, 176, 180, 192, 196, 200, 208, 216, 220, 224, 240, 252, 260, 264, 280, 288, 300,
    308, 312, 320, 324, 336, 352, 360, 364, 384, 392, 396, 400, 416, 420, 432, 440, 448, 468, 480, 500,
    504,
)
# fmt: on
# FFTW's guess is a bad one for long rows that are a high power of two times a little that is no multiple of 5.
HIGH_POWER = 1024

Table = dict[str, tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class HostProfile:
    """Fitted coefficients of one host; times in nanoseconds unless they say seconds.

    Attributes
    ----------
    rows : dict
        Per dtype character, per point: a forward and a backward transform along a contiguous axis, at
        ``log2(nfft)`` = 5, 6, ... 20.
    columns : dict
        Per dtype character, per point: what another axis adds, at ``log2(nfft)`` = 5, 6, ... 10.
    spill : dict
        Per dtype character, per point and column of 256: what a tile adds that outgrows the cache, at 1, 2,
        4, ... 32 MiB; it grows with the length of the column.
    odd_rows, odd_columns : dict
        Per dtype character, factors on lengths that are no power of two: at each of `ODD`, then on all longer ones, in
        rows of those that are neither below.
    round_rows : dict
        Per dtype character, factor on rows of 3 or 5 times a power of two, longer than `ODD`, up to 1024.
    long_odd : dict
        Per dtype character, factors on rows of more than 8192 points whose length is no power of two: most of them,
        and multiples of `HIGH_POWER` without a factor of 5.
    strided_rows : float
        Factor on rows whose axis is not the contiguous one.
    copy : float
        Per byte gathered or scattered; twice that where two real tiles are interleaved.
    run : float
        Per run of neighbouring samples that is gathered or scattered.
    multiply : dict
        Per complex bin, by dtype character of the spectrum.
    turn : dict
        Per complex bin, to copy it between the orders of transform and product of channels.
    read : dict
        Per complex bin of the kernel's spectra that a product reads.
    multiply_add : dict
        Per complex multiply-add of the products over channels.
    product : float
        Of one small matrix product.
    limb : float
        Per limb of a sample or of a sum: split or rounded, shifted and added.
    job : float
        Seconds of interpreter time per job, unless compiled code takes the jobs.
    thread : float
        Seconds to wake the other workers and to meet again.
    handover : float
        Seconds by which a job takes longer beside other threads: they take the interpreter's lock from each other.
    call : float
        Seconds of interpreter time of any call.
    brief, lone : float
        The same of a call on one thread that is one entry of compiled code, 0 where the engine's plans have no
        addresses; and of one tile and kernel without a loop (see `Channels.brief` and `Channels.lone`).
    """

    rows: Table
    columns: Table
    spill: Table
    odd_rows: Table
    odd_columns: Table
    round_rows: dict[str, float]
    long_odd: Table
    strided_rows: float
    copy: float
    run: float
    multiply: dict[str, float]
    turn: dict[str, float]
    read: dict[str, float]
    multiply_add: dict[str, float]
    product: float
    limb: float
    job: float
    thread: float
    handover: float
    call: float
    brief: float
    lone: float


LONG = {"g": ("d", 12.0), "G": ("D", 12.0)}


def interpolate(table: tuple[float, ...], position: float) -> float:
    """Linear between entries, flat beyond the ends."""
    if position <= 0:
        return table[0]
    if position >= len(table) - 1:
        return table[-1]
    i = int(position)
    return table[i] + (position - i) * (table[i + 1] - table[i])


def fft_seconds(shape: Ints, axes: Ints, dtype: np.dtype, host: HostProfile) -> float:
    """One forward transform of a tile of `shape`, batch axes included; a whole backward one takes as long."""
    return backward_seconds(shape, axes, dtype, (), host)


def backward_seconds(shape: Ints, axes: Ints, dtype: np.dtype, kept: Ints, host: HostProfile) -> float:
    """One backward transform that keeps the first `kept` samples per axis: each axis leaves lines to the next ones."""
    _, factor = LONG.get(dtype.char, (dtype.char, 1.0))
    columns, rows = _per_point(shape, axes, dtype, host)
    left, per_point = 1.0, 0.0
    for i, column in enumerate(columns):
        per_point += left * column
        left *= kept[i] / shape[axes[i]] if kept else 1.0
    return prod(shape) * (per_point + left * rows) * factor * 0.5e-9


def _per_point(shape: Ints, axes: Ints, dtype: np.dtype, host: HostProfile) -> tuple[list[float], float]:
    """Nanoseconds of a forward and a backward transform along every axis but the last, and along that one."""
    char, _ = LONG.get(dtype.char, (dtype.char, 1.0))
    *others, last = axes
    rows = row(shape[last], char, host)
    inner = prod(shape[last + 1 :])
    if inner > 1:
        rows *= host.strided_rows
    tile = prod(shape[a] for a in axes) * inner * dtype.itemsize
    beyond = spill(tile, char, host)
    return [beyond * shape[a] + column(shape[a], char, host) for a in others], rows


@lru_cache(maxsize=4096)
def row(n: int, char: str, host: HostProfile) -> float:
    """Nanoseconds per point of a forward and a backward transform along a contiguous axis of `n` points."""
    found = interpolate(host.rows[char], log2(n) - 5)
    odd = n // (n & -n)
    if odd == 1:
        return found
    if n > 8192:
        return found * host.long_odd[char][1 if n % 5 and n & -n >= HIGH_POWER else 0]
    if odd in (3, 5) and n > ODD[-1]:
        return found * (host.round_rows[char] if n <= 1024 else max(1.0, host.round_rows[char]))
    return found * host.odd_rows[char][bisect_left(ODD, n)]


@lru_cache(maxsize=4096)
def column(n: int, char: str, host: HostProfile) -> float:
    """The same along another axis."""
    found = interpolate(host.columns[char], log2(n) - 5)
    return found if n & (n - 1) == 0 else found * host.odd_columns[char][bisect_left(ODD, n)]


def spill(tile: int, char: str, host: HostProfile) -> float:
    """What a column of a tile of so many bytes takes beyond that, by its length."""
    return interpolate(host.spill[char], log2(tile) - 20) / 256 if tile > 2**20 else 0.0


def shared_seconds(jobs: int, overhead: float, job: float, most: int, host: HostProfile) -> tuple[float, int]:
    """Time of equal jobs on at most `most` threads, and how many of them are worth waking.

    The interpreter's part of a job, `overhead`, is one thread's at a time.
    """
    alone = jobs * (overhead + job)
    workers = min(most, jobs)
    if workers > 1:
        rounds = -(-jobs // workers)
        together = host.thread + max(jobs * overhead, rounds * (overhead + job + host.handover))
        if together < alone:
            return together, workers
    return alone, 1
