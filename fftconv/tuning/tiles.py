"""What a spectral method costs beside its transforms: copies, products, the interpreter; fitted to whole calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np

from fftconv.core.cost import HostProfile
from fftconv.core.cost_contract import ChannelCost
from fftconv.core.engine.base import Engine
from fftconv.core.methods import spectral
from fftconv.core.plan import Candidate, ConvPlan, Tiling
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.tile_choice import Means, overlap_save, whole
from fftconv.core.tiling import TileLayout, block_step
from fftconv.core.workers import worker_limit
from fftconv.tuning.fit import Name, Sample, fit
from fftconv.tuning.problems import arrays, problem
from fftconv.tuning.stopwatch import Stopwatch

FITTED: tuple[Name, ...] = (
    ("call", None),
    ("job", None),
    ("copy", None),
    ("run", None),
    ("product", None),
    *((table, char) for table in ("multiply", "turn", "read", "multiply_add") for char in "FD"),
)
THREADS: tuple[Name, ...] = (("thread", None), ("handover", None))
ALONE: tuple[tuple[Ints, Ints], ...] = (
    ((100,), (20,)),
    ((5000,), (65,)),
    ((200_000,), (101,)),
    ((200_000,), (2001,)),
    ((60, 60), (9, 9)),
    ((500, 500), (9, 9)),
    ((500, 500), (31, 31)),
    ((60, 60, 60), (7, 7, 7)),
)
SUMMED: tuple[tuple[Ints, Ints, int], ...] = (
    ((2000,), (65,), 8),
    ((8000,), (257,), 32),
    ((64, 64), (9, 9), 4),
    ((64, 64), (9, 9), 16),
    ((128, 128), (15, 15), 8),
)
# What two workers share, in few jobs and in many.
SHARED: tuple[tuple[Ints, Ints], ...] = (
    ((500_000,), (65,)),
    ((3_000_000,), (65,)),
    ((1_000_000,), (1001,)),
    ((700, 700), (9, 9)),
    ((1000, 1000), (31, 31)),
    ((64, 64, 64), (5, 5, 5)),
)
# Shares of the time for each of those: two workers have to be left alone at once.
PATIENCE = 4


def tiles(
    engine: Engine, watch: Stopwatch, before: HostProfile
) -> tuple[HostProfile, list[Sample[HostProfile]]]:
    """Coefficients beside those of transforms, and the times that they were fitted to."""
    samples = list(_samples(engine, watch, before))
    found = fit(before, FITTED, samples)
    shared = list(_shared(engine, replace(watch, share=PATIENCE * watch.share), found))
    return fit(found, THREADS, shared), samples + shared


def _samples(engine: Engine, watch: Stopwatch, host: HostProfile) -> Iterator[Sample[HostProfile]]:
    for char, (x, w) in product("fdFD", ALONE):
        p = problem(x, w, np.dtype(char))
        yield from _timed(engine, watch, p, _tilings(engine, p, host))
    for char, (x, w, channels) in product("fdFD", SUMMED):
        p = problem(x, w, np.dtype(char), (channels, channels))
        yield from _timed(engine, watch, p, _tilings(engine, p, host)[:1])


def _tilings(engine: Engine, p: ConvProblem, host: HostProfile) -> list[Tiling]:
    """The tiling of choice, one block that covers everything, and many jobs of one small block each."""
    means = Means(engine.next_fast_len, engine.fresh, 2**26, host)
    found = [t for t in (overlap_save(p, 1, means).tiling, whole(p, 1, means).tiling) if t is not None]
    if p.ndim == 1 and p.kernel_size[0] == 101:
        found.append(Tiling((256,), (block_step(256, 101, 1),)))
    return list(dict.fromkeys(found))


def _shared(engine: Engine, watch: Stopwatch, host: HostProfile) -> Iterator[Sample[HostProfile]]:
    """Calls by two workers, predicted from what they take by one: all that is not known is what threads lose."""
    if worker_limit() < 2:
        return
    for char, (x, w) in product("fd", SHARED):
        p = problem(x, w, np.dtype(char))
        tiling = _tilings(engine, p, host)[0]
        alone, together = (_seconds(engine, p, (tiling, n), watch) for n in (1, 2))
        cost = ChannelCost(TileLayout(p, tiling), host)
        jobs, overhead, job = cost.steps[-1]
        rounds = -(-jobs // 2)
        halved = alone - alone * (jobs - rounds) * (overhead + job) / cost.seconds(1)
        yield Sample(f"two workers {p}", together, partial(_lost, halved, rounds))


def _lost(halved: float, rounds: int, host: HostProfile) -> float:
    return halved + host.thread + rounds * host.handover


def _timed(
    engine: Engine, watch: Stopwatch, p: ConvProblem, tilings: list[Tiling]
) -> Iterator[Sample[HostProfile]]:
    for tiling in tilings:
        seconds = _seconds(engine, p, (tiling, 1), watch)
        yield Sample(f"nfft {'x'.join(map(str, tiling.nfft))} {p}", seconds, partial(_predict, p, tiling))


def _seconds(engine: Engine, p: ConvProblem, how: tuple[Tiling, int], watch: Stopwatch) -> float:
    """Of a call by a tiling on so many workers."""
    x, w = arrays(p)
    out = np.empty(p.out_shape, p.dtype)
    chosen = Candidate("overlap_save", workers=how[1], tiling=how[0])
    plan = ConvPlan(p, chosen, engine.name)
    return watch.fastest(lambda: spectral.execute(plan, x, w, out))


def _predict(p: ConvProblem, tiling: Tiling, host: HostProfile) -> float:
    return ChannelCost(TileLayout(p, tiling), host).seconds(1)
