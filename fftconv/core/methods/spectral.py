"""Convolution by FFT, tile by tile: gather, forward, multiply, inverse, scatter.

One tile is the classic FFT convolution, many tiles are overlap-save; the code is the same. A correlation has its
kernel at the negative indices, ``h[-u mod nfft] = w[u]``, so that the outputs of a block begin at index 0 of the
inverse, whatever the kernel's length. The spectrum of h is the conjugate of that of ``conj(w[u])`` at the indices u:
the kernel is laid out so, and its transform need not look beyond it.

In a packed tiling two real tiles are the real and imaginary part of one complex signal; convolution with a real
kernel is linear over the complex numbers and keeps them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from time import perf_counter

import numpy as np

from fftconv.core.channels import Channels, Range, batched, channels_of, ranges
from fftconv.core.engine import get_engine
from fftconv.core.engine.base import Engine
from fftconv.core.jobs import Job, jobs_of
from fftconv.core.kernel import Kernel
from fftconv.core.methods import Executor, brief, lone, script
from fftconv.core.methods.care import Care, Facts, Level, none_negative, on_pedestal
from fftconv.core.methods.contract import Round
from fftconv.core.methods.tiles import Sink, Source, place_kernels
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import at
from fftconv.core.spare import aligned, spare
from fftconv.core.tiling import TileLayout, layout_of
from fftconv.core.workers import for_each, share

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
# Compiling goes on beside the calls, so it may begin before they have taken as long.
EAGER = 2
# Short calls gain a larger part of their time.
SOON = 4


def execute(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
    """Run a spectral plan."""
    layout = layout_of(plan.problem, plan.tiling)
    engine = get_engine(layout.dtype)
    with spare(engine, *spectra_memory(layout, engine)) as memory:
        channels, care = channels_of(layout), Care(layout, x, Facts(plan.problem, w))

        def spectra() -> np.ndarray:
            return kernel_spectra(layout, engine, (w, memory), plan.workers)

        if channels.products and channels.kernel_jobs == 1 and not care.pedestal:
            held = by_input(layout, memory)
            work = script.Work(x, held, out, care.positive, spectra)
            if script.run(channels, engine, work, plan.workers):
                return
        apply_spectra(layout, engine, (x, spectra(), out), plan.workers, care)


# of outputs that see one input each (see `core.missing.watched`)
execute.keeps_signs = True  # type: ignore[attr-defined]


def made_for(plan: ConvPlan) -> Executor:
    """An executor for this plan; calls that are short and plain are written down as a whole."""
    layout = layout_of(plan.problem, plan.tiling)
    channels, engine = channels_of(layout), get_engine(layout.dtype)
    if not channels.brief:
        return execute
    # before anything is compiled, one thread does without the loop over workers
    spectra = lone.own(channels, engine) if plan.workers == 1 else None
    if spectra is None:
        return brief.Brief(layout, engine, execute)
    simple = (lone.executor if channels.lone else lone.in_turn)(channels, engine, spectra)
    return brief.Brief(layout, engine, _careless(plan, simple, execute))


def _careless(plan: ConvPlan, simple: Executor, careful: Executor, facts: Facts | None = None) -> Executor:
    """`simple` where neither signs nor a pedestal ask for care.

    What short calls spend there is a reason to compile their steps. `facts` are those of a prepared kernel.
    """
    p, layout = plan.problem, layout_of(plan.problem, plan.tiling)
    char, short = layout.dtype.char.lower(), plan.workers == 1 and channels_of(layout).brief

    def run(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        if on_pedestal(p, x) or none_negative(x, facts or Facts(p, w)):
            careful(plan, x, w, out)
            return
        begin = perf_counter()
        simple(plan, x, w, out)
        if short:
            script.warmth.spent(char, SOON * (perf_counter() - begin))

    run.keeps_signs = True  # type: ignore[attr-defined]
    return run


def prepare(plan: ConvPlan, kernel: Kernel) -> Executor:
    """An executor of `plan` that transforms `kernel` only if its spectra are not held yet."""
    p, layout = plan.problem, layout_of(plan.problem, plan.tiling)
    engine = get_engine(layout.dtype)
    shape, dtype = spectra_memory(layout, engine)
    single_shape, repeats = shape, layout.repeats_spectra and channels_of(layout).products
    if repeats:
        single_shape = (shape[0], 1, *(n if a in layout.axes else 1 for a, n in enumerate(shape[2:])))
    transform = (plan.tiling.nfft, layout.dtype.char, p.flip, engine.name, engine.effort)

    def once() -> np.ndarray:
        return kernel_spectra(layout, engine, (kernel.w, aligned(single_shape, dtype)), plan.workers)

    def repeated() -> np.ndarray:
        # plans of one tile shape differ in their blocks, and share one transform
        single = kernel.keep((single_shape, transform), once)
        memory = aligned(shape, dtype).reshape(*single.shape[:2], *shape[1:])
        np.copyto(memory, single)
        return memory

    spectra = kernel.kept((shape, transform), repeated if repeats else once)
    channels, facts = channels_of(layout), Facts(p, kernel.w)
    short = channels.brief

    def run(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        apply_spectra(layout, engine, (x, spectra(), out), plan.workers, Care(layout, x, facts))

    run.keeps_signs = True  # type: ignore[attr-defined]
    if not channels.lone:
        return brief.Brief(layout, engine, run, facts, spectra) if short else run
    alone = lone.executor(channels, engine, lambda w: nullcontext(spectra()[:, 0]))

    careless = _careless(plan, alone, run, facts)
    return brief.Brief(layout, engine, careless, facts, spectra) if short else careless


def apply_spectra(
    layout: TileLayout, engine: Engine, arrays: Arrays, workers: int, care: Care | None = None
) -> None:
    """Convolve `x` with prepared kernel spectra into `out`; `arrays` is (x, spectra, out)."""
    channels = channels_of(layout)
    if channels.products:
        _multiply(channels, engine, arrays, workers, None if care is None or care.idle else care)
        return
    shapes, dtype = Round.shapes(channels), arrays[1].dtype
    with spare(engine, shapes[0], dtype) as inputs, spare(engine, shapes[1], dtype) as outputs:
        scratch = Round(channels, engine, arrays, (inputs, outputs))
        for jobs in batched(jobs_of(layout), channels.round_slots):
            scratch.run(jobs, workers)


def _multiply(channels: Channels, engine: Engine, arrays: Arrays, workers: int, care: Care | None) -> None:
    """Outputs of one input each: a few channels of a few tiles at a time, transformed while they are in the cache."""
    layout, spec = channels.layout, channels.tile_spec
    positive = care is not None and care.positive
    scripted = care is None or not care.pedestal
    if scripted and script.run(channels, engine, script.Work(*arrays, positive), workers):
        return
    p = layout.problem
    x, spectra, out = arrays
    outputs = p.group_outputs
    source = Source(layout, x)
    sink = Sink(layout, out, source.never_negative if positive else None)

    def put(levels: list[Level], job: Job, targets: range, y: np.ndarray) -> None:
        if care is not None:
            care.give(levels, job, targets, y)
        sink.scatter(job, targets, y)

    def drain(jobs: Iterator[tuple[Range, Range, Job]]) -> None:
        with engine.borrow(spec) as plan:
            for (a, b), (first, last), job in jobs:
                levels: list[Level] = []
                if care is None:
                    source.gather(job, range(a, b), plan.signal)
                else:
                    levels = care.gather(source, job, range(a, b), plan.signal)
                plan.forward()
                held = plan.spectrum_whole[:, : b - a]
                if outputs == 1:
                    np.multiply(held, spectra[a:b, 0], out=held)
                    put(levels, job, range(a, b), plan.backward())
                    continue
                with engine.borrow(spec) as inverse:
                    for j in range(first, last):
                        np.multiply(held, spectra[a:b, j], out=inverse.spectrum_whole[:, : b - a])
                        put(levels, job, range(a * outputs + j, b * outputs, outputs), inverse.backward())

    begin = perf_counter()
    share(
        product(
            ranges(p.in_channels, channels.input_chunk),
            ranges(outputs, channels.outputs_of_one if workers > 1 else outputs),
            jobs_of(layout),
        ),
        drain,
        workers,
    )
    if scripted and script.is_plain(channels, x, out):
        script.warmth.spent(spec.dtype.char.lower(), EAGER * (perf_counter() - begin))


def by_input(layout: TileLayout, memory: np.ndarray) -> np.ndarray:
    """Memory for spectra that multiply, (inputs, outputs of one, blocks, \\*bins)."""
    p = layout.problem
    return memory.reshape(p.in_channels, p.group_outputs, *memory.shape[1:])


def spectra_memory(layout: TileLayout, engine: Engine) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of the memory for the spectra of all kernels.

    Where each output sees one input, (O, blocks, \\*bins) to multiply tiles, laid out like
    `FFTPlan.spectrum_whole`; blocks and carried axes are 1 long unless the layout repeats spectra. Where products
    are summed one by one, (O, C/groups, pitch). Else (\\*bins, groups, C/groups, 1 or 2, O/groups): two are ``W``
    and ``i*W``, which seen as real numbers are the rows of ``[[a, b], [-b, a]]``.
    """
    p, channels = layout.problem, channels_of(layout)
    tiles = channels.tile_spec
    if channels.products:
        blocks, *pitch = engine.spectrum_pitch(tiles)[2:]
        if not layout.repeats_spectra:
            blocks, pitch = 1, [n if a in layout.axes else 1 for a, n in enumerate(pitch)]
        return (p.out_channels, blocks, *pitch), tiles.spectrum_dtype
    if channels.summed:
        return (p.out_channels, p.group_inputs, channels.pitch), tiles.spectrum_dtype
    bins = (n if a in layout.axes else 1 for a, n in enumerate(layout.spectrum_size))
    matrix = (p.group_inputs, 2 if channels.widened else 1, p.group_outputs)
    return (*bins, p.groups, *matrix), tiles.spectrum_dtype


def kernel_spectra(
    layout: TileLayout, engine: Engine, arrays: tuple[np.ndarray, np.ndarray], workers: int = 1
) -> np.ndarray:
    """Spectra of all kernels, with the 1/N of the inverse folded in, as `apply_spectra` takes them.

    `arrays` is (w, memory), the memory as `spectra_memory` says; the result is a view of it.
    """
    p, channels = layout.problem, channels_of(layout)
    w, memory = arrays
    if p.flip:
        w = w[at(*(slice(None, None, -1),) * p.ndim)]
    spec, shares, target = channels.kernel_spec, channels.kernel_groups, memory
    if channels.products:
        target = _within(memory, layout)
    elif channels.summed:
        target = memory.reshape(shares, -1, *memory.shape[1:])

    def work(job: tuple[int, Range, Range]) -> None:
        group, outputs, inputs = job[0], slice(*job[1]), slice(*job[2])
        kernels = w.reshape(shares, -1, *w.shape[1:])[group, outputs, inputs]
        held = tuple(map(slice, kernels.shape[:2]))
        with engine.borrow(spec) as plan:
            place_kernels(kernels, plan.signal[held], p)
            found = plan.forward()[held]
            if channels.products:
                np.conjugate(found, out=target[outputs])
            elif channels.summed:
                rows = target[group, outputs, inputs, : channels.bins]
                np.conjugate(found, out=rows.reshape(found.shape))
            else:
                _turn(found, target[..., group, inputs, :, outputs])

    each = w.shape[0] // shares, w.shape[1]
    jobs = product(range(shares), *map(ranges, each, channels.kernel_chunk))
    for_each(jobs, work, min(workers, channels.kernel_jobs))
    if channels.products:
        return by_input(layout, memory)
    if channels.summed:
        return target
    return memory.reshape(-1, *memory.shape[-4:])


def _within(memory: np.ndarray, layout: TileLayout) -> np.ndarray:
    """The part of the memory that holds spectra; zeros in the rest, which is multiplied too and must not overflow."""
    ends = [min(n, m) for n, m in zip(layout.spectrum_size, memory.shape[2:], strict=True)]
    for a, (n, m) in enumerate(zip(ends, memory.shape[2:], strict=True)):
        if n < m:
            memory[(slice(None),) * (2 + a) + (slice(n, None),)] = 0
    held: np.ndarray = memory[at(*map(slice, ends))]
    return held


def _turn(spectra: np.ndarray, target: np.ndarray) -> None:
    r"""Conjugates of spectra (outputs, inputs, \*bins) to (\*bins, inputs, 1 or 2, outputs); overwrites `spectra`."""
    np.conjugate(spectra, out=spectra)
    turned = np.moveaxis(spectra, (1, 0), (-2, -1))
    np.copyto(target[..., 0, :], turned)
    if target.shape[-2] == 2:
        np.multiply(spectra, 1j, out=spectra)
        np.copyto(target[..., 1, :], turned)
