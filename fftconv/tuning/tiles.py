"""What a spectral method costs beside its transforms: copies, products, the interpreter; fitted to whole calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np

from fftconv.core.channels import channels_of
from fftconv.core.cost import HostProfile
from fftconv.core.cost_contract import ChannelCost
from fftconv.core.engine.base import Engine
from fftconv.core.methods import lone, script, spectral
from fftconv.core.methods.brief import Brief
from fftconv.core.missing import watched
from fftconv.core.plan import Candidate, ConvPlan, Request, Tiling
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.run import Runner, run
from fftconv.core.tile_choice import Means, overlap_save, whole
from fftconv.core.tiling import TileLayout, block_step
from fftconv.core.workers import worker_limit
from fftconv.tuning.fit import Name, Sample, fit
from fftconv.tuning.problems import arrays, problem
from fftconv.tuning.stopwatch import Stopwatch

Call = Callable[[np.ndarray, np.ndarray, np.ndarray], object]
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
# Calls that are little but what surrounds the steps.
LITTLE: tuple[tuple[Ints, Ints], ...] = (((100,), (20,)), ((300,), (60,)), ((1000,), (50,)))
# Shares of the time for each of those: two workers have to be left alone at once.
PATIENCE = 4


def tiles(
    engine: Engine, watch: Stopwatch, before: HostProfile
) -> tuple[HostProfile, list[Sample[HostProfile]]]:
    """Coefficients beside those of transforms, and the times that they were fitted to."""
    samples = list(_samples(engine, watch, before))
    found = fit(before, FITTED, samples)
    shared = list(_shared(engine, replace(watch, share=PATIENCE * watch.share), found))
    found = fit(found, THREADS, shared)
    for name, made in SHORT:
        alone = list(_short(engine, watch, (name, made)))
        found, samples = fit(found, ((name, None),), alone), samples + alone
    return found, samples + shared


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


def _short(
    engine: Engine, watch: Stopwatch, form: tuple[str, Callable[[ConvPlan, Engine], Call | None]]
) -> Iterator[Sample[HostProfile]]:
    """Short calls, by an executor that is made for them."""
    name, made = form
    for char, (x, w) in product("fd", LITTLE):
        p = problem(x, w, np.dtype(char))
        tiling = Tiling((engine.next_fast_len(x[0] + w[0] - 1),), p.output_size)
        plan = _plan(engine, p, (tiling, 1))
        execute = made(plan, engine)
        if execute is not None:
            call = partial(execute, *arrays(p), np.empty(p.out_shape, p.dtype))
            yield Sample(f"{name} {p}", watch.fastest(call), partial(_predict_short, p, tiling, name))


def _brief(plan: ConvPlan, engine: Engine) -> Call | None:
    """A call as one entry of compiled code, where it can be, with what surrounds it."""
    can = _enters_compiled_code(plan)
    return Runner(plan.problem, Request("overlap_save", 1, tiling=plan.tiling)) if can else None


def _lone(plan: ConvPlan, engine: Engine) -> Call | None:
    """One tile and kernel without a loop."""
    channels = channels_of(TileLayout(plan.problem, plan.tiling))
    spectra = lone.own(channels, engine)
    # the look at the result is a good part of such calls
    execute = None if spectra is None else watched(plan, lone.executor(channels, engine, spectra), run)
    return None if execute is None else partial(execute, plan)


SHORT = ("brief", _brief), ("lone", _lone)


def _predict_short(p: ConvProblem, tiling: Tiling, name: str, host: HostProfile) -> float:
    call: float = getattr(host, name)
    return call + ChannelCost(TileLayout(p, tiling), host).singly


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
        halved = alone - alone * (jobs - rounds) * (overhead + job) / cost.shared(1)
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
    plan = _plan(engine, p, how)
    execute = spectral.made_for(plan) if _enters_compiled_code(plan) else spectral.execute
    return watch.fastest(partial(execute, plan, *arrays(p), np.empty(p.out_shape, p.dtype)))


def _enters_compiled_code(plan: ConvPlan) -> bool:
    """Whether calls are short ones that `brief` answers."""
    script.warmth.try_to_prepare(plan.problem.dtype.char.lower())
    made = spectral.made_for(plan)
    return isinstance(made, Brief) and bool(script.warmth.loops) and made.enters()


def _plan(engine: Engine, p: ConvProblem, how: tuple[Tiling, int]) -> ConvPlan:
    """By a tiling on so many workers."""
    return ConvPlan(p, Candidate("overlap_save", workers=how[1], tiling=how[0]), engine.name)


def _predict(p: ConvProblem, tiling: Tiling, host: HostProfile) -> float:
    return ChannelCost(TileLayout(p, tiling), host).shared(1)
