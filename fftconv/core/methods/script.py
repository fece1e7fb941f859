"""The jobs of a spectral method written down as steps that compiled code takes (see `steps.py`).

What is written is what `spectral._multiply` does with `tiles.py`, for the plain case: samples and outputs have the
scratch's own type, an output sees one input, nothing is rounded and no pedestal taken. Where an input is seen by
several outputs, its spectrum stays, and products and inverses have scratch of their own. Rows of steps hold no address
of the caller's, only distances. So they are kept, and serve every array with the same strides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fftconv.core.channels import MOST_BYTES, Channels, ranges
from fftconv.core.engine.base import Engine, FFTPlan, FFTSpec
from fftconv.core.jobs import EVERY, Job, jobs_of
from fftconv.core.lazy import lazy
from fftconv.core.methods.addresses import address
from fftconv.core.methods.copies import CLAMP, LOOK
from fftconv.core.methods.kernel_steps import SCALE, TURN
from fftconv.core.methods.steps import BASES, NOTES, Steps, compiled
from fftconv.core.methods.tiles import Sink, Source
from fftconv.core.methods.warmth import Warmth
from fftconv.core.problem import Ints, at
from fftconv.core.tiling import TileLayout
from fftconv.core.workers import for_each

Part = tuple[str, np.ndarray]
"""A view of an array, and what its places are counted from."""
Moves = list[list[tuple[np.ndarray, Any]]]
"""Per tile, parts of an array and their places in the signal."""
Loops = Sequence[tuple[int, int, int]]
"""Of nested loops the lengths and the steps of target and source."""

warmth: Warmth[Steps] = Warmth(compiled)


class Script:
    """The steps of all jobs: those of job i are the rows from ``firsts[i]`` to ``firsts[i + 1]``.

    Attributes
    ----------
    addresses : tuple of int
        Of `firsts` and `steps`: it takes as long to ask an array for its address as to claim a job.
    """

    def __init__(self, jobs: list[list[Ints]]) -> None:
        self.jobs = len(jobs)
        self.firsts = np.cumsum([0, *map(len, jobs)], dtype=np.int64)
        self.steps = np.array([row for job in jobs for row in job], np.int64)
        self.addresses = address(self.firsts), address(self.steps)


class Work(NamedTuple):
    """What one call works on.

    Attributes
    ----------
    x, spectra, out : ndarray
    positive : bool
        Whether no output can be negative where no sample of its tile is.
    make : callable, optional
        Makes the spectra, if they are still to be made: in the calling thread, while the first samples are
        transformed in others.
    """

    x: np.ndarray
    spectra: np.ndarray
    out: np.ndarray
    positive: bool = False
    make: Callable[[], object] | None = None


def run(channels: Channels, engine: Engine, work: Work, workers: int) -> bool:
    """Do all jobs in compiled code if that can be."""
    x, spectra, out, _, make = work
    layout, spec = channels.layout, channels.tile_spec
    steps = warmth.loops.get(spec.dtype.char.lower())
    if steps is None or not is_plain(channels, x, out):
        return False
    with engine.borrow(spec) as plan:
        outputs = channels.outputs_of_one if workers > 1 else layout.problem.group_outputs
        script = _script_for(layout, steps, plan, work, outputs)
    if script is None:
        return False
    counter, ready = np.zeros(1, np.int64), np.array([make is None], np.int64)
    constants = np.array([0, layout.problem.outside.fill], spec.dtype)
    most = max(1, MOST_BYTES // (spec.nbytes * layout.problem.group_outputs))
    heads = (address(counter), script.jobs, most, *script.addresses)
    caller, single = get_ident(), layout.problem.group_outputs == 1

    def end() -> None:
        counter[0], ready[0] = script.jobs, 1

    def turns() -> Iterator[None]:
        """One for each worker: those that wait for the caller leave it one. What breaks off here ends all work."""
        try:
            yield from [None] * workers
        except BaseException:
            end()
            raise

    def drain(_: None) -> None:
        try:
            if make is not None and get_ident() == caller and not ready[0]:
                make()
                ready[0] = 1
            with engine.borrow(spec) as plan, nullcontext(plan) if single else engine.borrow(spec) as inverse:
                there, back = plan.addresses(), inverse.addresses()
                assert there is not None
                assert back is not None
                scratch = (there.signal, there.spectrum, back.signal, back.spectrum)
                # asked for here, so that arrays live as long as a helper whose call was broken off
                ends, others = map(address, (x, out)), map(address, (spectra, constants, ready))
                bases = (*ends, *scratch, *others, 0, 0, 0, there.execute, *there.forward, *back.backward)
                # last, what a worker notes
                call = np.array([*heads, 0, *bases, 0, there.spectrum - back.spectrum, 0], np.int64)
                begin = address(call)
                call[len(heads)] = begin + (call.size - NOTES) * call.itemsize
                while counter[0] < script.jobs:
                    steps.drain(begin)
        except BaseException:
            end()
            raise

    for_each(turns(), drain, workers)
    return True


def is_plain(channels: Channels, x: np.ndarray, out: np.ndarray) -> bool:
    """Whether jobs move samples and outputs as they are, each output of one input."""
    return x.dtype == out.dtype == channels.problem.dtype and channels.plain


def _script_for(layout: TileLayout, steps: Steps, plan: FFTPlan, work: Work, outputs: int) -> Script | None:
    found = plan.addresses()
    if found is None:
        return None
    x, spectra, out, positive, _ = work
    forms = tuple((a.shape, a.strides) for a in (x, out, plan.signal, plan.spectrum_whole, spectra))
    return _script(layout, steps, forms, (len(found.forward), len(found.backward)), (positive, outputs))


@dataclass(frozen=True)
class Kernels:
    """Kernels whose transform is written down too.

    Attributes
    ----------
    forms : sequence of (shape, strides)
        Of the caller's kernels, and of signal and spectrum of their transform.
    spec : FFTSpec
    executes : int
        Of a forward transform.
    """

    forms: Sequence[tuple[Ints, Ints]]
    spec: FFTSpec
    executes: int


@lru_cache(maxsize=64)
def _script(
    layout: TileLayout,
    steps: Steps,
    forms: tuple[tuple[Ints, Ints], ...],
    transforms: tuple[int, int],
    how: tuple[bool, int],
) -> Script | None:
    """The script for arrays of these shapes and strides; None where a product does not run along memory.

    `how` is whether signs are put right, and the outputs of one input that a job yields.
    """
    positive, outputs = how
    return Writer(layout, steps, forms, positive).script(transforms, outputs)


class Writer:
    """Writes the jobs of a layout down; its arrays have shapes and strides, and nothing in them is ever read."""

    def __init__(
        self, layout: TileLayout, steps: Steps, forms: Sequence[tuple[Ints, Ints]], positive: bool
    ) -> None:
        self.layout = layout
        self.look, self.clamp = (LOOK, CLAMP) if positive else ("", "")
        self.functions = steps.functions
        real = layout.dtype.type(0).real.dtype
        self.complex = np.result_type(real, np.complex64)
        kinds = (layout.problem.dtype,) * 2 + (layout.dtype,) + (self.complex,) * 2
        x, out, self.signal, self.spectrum, self.kernel = map(_blank, kinds, forms)
        # what stays apart in a call is of one form
        arrays = (x, out, self.signal, self.spectrum, self.signal, self.spectrum, self.kernel)
        self.bases = {name: address(a) for name, a in zip(BASES, arrays, strict=False)}
        self.source, self.sink = Source(layout, x), Sink(layout, out)
        self.rows: list[Ints] = []

    def script(
        self, transforms: tuple[int, int], outputs: int, kernels: Kernels | None = None
    ) -> Script | None:
        """All jobs; the first begins with the transform of the kernels, if that is to be written down."""
        p, most = self.layout.problem, self.signal.shape[1]
        forward, backward = transforms
        jobs: list[list[Ints]] = []
        parts = ranges(p.in_channels, most), ranges(p.group_outputs, outputs), jobs_of(self.layout)
        for (a, b), (first, last), job in product(*parts):
            self.rows = []
            if kernels is not None and not jobs:
                self.prepare(kernels, range(forward + backward, forward + backward + kernels.executes))
            self.gather(job, slice(a, b))
            self.transform(range(forward))
            self.row("wait", ("ready", 0), ("ready", 0), [(1, 0, 0)])
            for j in range(first, last):
                if not self.multiply(slice(a, b), j):
                    return None
                self.transform(range(forward, forward + backward))
                self.scatter(job, slice(a * p.group_outputs + j, b * p.group_outputs, p.group_outputs))
            jobs.append(self.rows)
        return Script(jobs)

    def prepare(self, kernels: Kernels, executes: range) -> None:
        """As `spectral.kernel_spectra` does."""
        p = self.layout.problem
        w, signal, spectrum = map(_blank, (p.dtype, self.layout.dtype, self.complex), kernels.forms)
        self.bases |= {"w": address(w), "taps": address(signal), "bins": address(spectrum)}
        if p.flip:
            w = w[at(*(slice(None, None, -1),) * p.ndim)]
        taps = signal[at(*map(slice, p.kernel_size))]
        first, *rest = kernels.spec.idle
        self.clear(("taps", signal[first]))
        if self.source.packed:
            self.clear(("taps", taps))
        self.move(("taps", taps.real), ("w", w.real), name=SCALE)
        if w.dtype.kind == "c":
            self.move(("taps", taps.imag), ("w", w.imag), name=TURN)
        for i, part in zip(executes, (None, *rest), strict=True):
            if part is not None:
                self.clear(("bins", spectrum[part]))
            self.transform(range(i, i + 1))
        held = self.kernel.reshape(-1, *self.kernel.shape[2:])[at(*map(slice, spectrum.shape[2:]))]
        loops = _merged(spectrum.shape, held.strides, spectrum.strides)
        self.nest("conjugate", ("kernel", held), ("bins", spectrum), loops)

    def gather(self, job: Job, channels: slice) -> None:
        """As `Source.gather` does."""
        count = channels.stop - channels.start
        self.fill(self.signal[:, count:])
        signal = self.signal[:, :count]
        parts = _parts(signal, self.source.packed)
        for part, reads in zip(parts, job.reads, strict=False):
            for place in reads.zeros:
                self.fill(part[place])
            for place in reads.fills:
                self.fill(part[place], 1)
        arrays = [a[:, channels] for a in self.source.arrays]
        moves = [[(arrays[m.windowed][m.array], m.scratch) for m in reads.moves] for reads in job.reads]
        self.between(("x", moves), signal, "weave")
        if len(job.tiles) < len(parts):
            self.fill(signal.imag)

    def scatter(self, job: Job, channels: slice) -> None:
        """As `Sink.scatter` does."""
        arrays = [a[:, channels] for a in self.sink.arrays]
        moves = [[(arrays[m.windowed][m.array], m.scratch) for m in writes] for writes in job.writes]
        self.between(("out", moves), self.signal[:, : arrays[0].shape[1]], "unweave")

    def between(self, outer: tuple[str, Moves], signal: np.ndarray, name: str) -> None:
        """Copies between an array and the parts of the signal, those of two tiles at once where they are alike."""
        base, moves = outer
        if len(moves) == 2 and [place for _, place in moves[0]] == [place for _, place in moves[1]]:
            pairs = zip(*moves, strict=True)
            if all(self.woven((base, a, b), signal[place], name) for (a, place), (b, _) in pairs):
                return
        for part, moved in zip(_parts(signal, self.source.packed), moves, strict=False):
            for a, place in moved:
                outside = base, np.broadcast_to(a, part[place].shape)
                if name == "weave":
                    self.move(("signal", part[place]), outside, self.look)
                else:
                    self.move(outside, ("inverse", part[place]), self.clamp)

    def woven(self, lines: tuple[str, np.ndarray, np.ndarray], signal: np.ndarray, name: str) -> bool:
        """Whether two lines are the parts of complex numbers along memory; copied in one step if so."""
        base, a, b = lines
        if a.shape != signal.shape or a.strides != b.strides or not a.size:
            return False
        loops = _merged(signal.shape, signal.strides, a.strides)
        count, *steps = loops[-1]
        if steps != [2 * a.itemsize, a.itemsize]:
            return False
        apart = address(b) - address(a)
        if name == "weave":
            self.nest(name + self.look, ("signal", signal), (base, a), [*loops[:-1], (count, 0, apart)])
        else:
            outer = [(n, come, to) for n, to, come in loops[:-1]]
            self.nest(name + self.clamp, (base, a), ("inverse", signal), [*outer, (count, apart, 0)])
        return True

    def transform(self, which: range) -> None:
        for i in which:
            self.row("execute", ("execute", 0), (len(BASES) + i, 0), [(1, 0, 0)])

    def multiply(self, channels: slice, output: int) -> bool:
        """Whether products run along memory; if so, those with the kernels of one output of each input."""
        held = self.spectrum[:, : channels.stop - channels.start]
        kernel = self.kernel[channels, output]
        # a spectrum that is repeated for NumPy is read from one place, where it stays in the innermost cache
        for source in (kernel[self.repeats], kernel):
            loops = _merged(held.shape, held.strides, np.broadcast_to(source, held.shape).strides)
            if loops[-1][1:] == (held.itemsize,) * 2:
                self.nest("multiply", ("product", held), ("kernel", source), loops)
                return True
        return False

    @lazy
    def repeats(self) -> tuple[slice, ...]:
        """One of the spectra that are the same, but where zeros stand between them and have to stay."""
        layout = self.layout
        carried = (
            a not in layout.axes and n == m
            for a, (n, m) in enumerate(zip(self.spectrum.shape[3:], layout.spectrum_size, strict=True))
        )
        return (EVERY, *(slice(0, 1) if once else EVERY for once in (True, *carried)))

    def clear(self, target: Part) -> None:
        """Zeros in a part of some scratch."""
        a = target[1]
        if a.size:
            *loops, (count, step, _) = _merged(a.shape, a.strides, a.strides)
            if step != a.itemsize:
                loops, count = [*loops, (count, step, step)], 1
            self.nest("clear", target, target, [*loops, (count * a.itemsize, 1, 1)])

    def fill(self, target: np.ndarray, constant: int = 0) -> None:
        """Put one of the constants into a part of the signal."""
        if constant == 0 and target.strides[-1] == target.itemsize:
            self.clear(("signal", target))
            return
        base = np.empty(2, self.layout.dtype)
        self.bases["constants"] = address(base)
        value = base[constant : constant + 1]
        value = value.real if target.dtype.kind == "f" else value
        self.move(("signal", target), ("constants", np.broadcast_to(value, target.shape)))

    def move(self, target: Part, source: Part, care: str = "", name: str = "") -> None:
        """A copy; or what the function `name` makes of real numbers."""
        t, s = target[1], source[1]
        if not t.size:
            return
        shape, to, come = t.shape, t.strides, s.strides
        number = t.itemsize
        if t.dtype.kind == "c":
            number //= 2
            shape, to, come = (*shape, 2), (*to, number), (*come, number)
        loops = _merged(shape, to, come)
        count, *inner = loops[-1]
        line = inner == [number, number]
        if line and not care and not name:
            loops = [*loops[:-1], (count * number, 1, 1)]
        self.nest(name or ("move" if line else "copy") + care, target, source, loops)

    def nest(self, name: str, target: Part, source: Part, loops: Loops) -> None:
        """One row for the inner three loops; the outer ones are written out."""
        outer, inner = loops[:-3], loops[-3:]
        to, come = (address(a) - self.bases[base] for base, a in (target, source))
        for turn in product(*(range(n) for n, _, _ in outer)):
            t = to + sum(i * step for i, (_, step, _) in zip(turn, outer, strict=True))
            s = come + sum(i * step for i, (_, _, step) in zip(turn, outer, strict=True))
            self.row(name, (target[0], t), (source[0], s), inner)

    def row(self, name: str, target: tuple[str, int], source: tuple[str | int, int], loops: Loops) -> None:
        slot = BASES.index(source[0]) if isinstance(source[0], str) else source[0]
        nested = [*[(1, 0, 0)] * (3 - len(loops)), *loops]
        numbers = (n for loop in nested for n in loop)
        place = BASES.index(target[0]), target[1], slot, source[1]
        self.rows.append((self.functions[name], *place, *numbers))


def _blank(dtype: np.dtype, form: tuple[Ints, Ints]) -> np.ndarray:
    """An array that nobody reads, for its shape and strides."""
    return as_strided(np.empty(1, dtype), *form)


def _parts(signal: np.ndarray, packed: bool) -> tuple[np.ndarray, ...]:
    return (signal.real, signal.imag) if packed else (signal,)


def _merged(shape: Ints, to: Ints, come: Ints) -> list[tuple[int, int, int]]:
    """The loops over two arrays of one shape, as few as they can be; the last is the inner one."""
    found: list[tuple[int, int, int]] = []
    for n, t, s in zip(reversed(shape), reversed(to), reversed(come), strict=True):
        if n == 1:
            continue
        if found and found[-1][0] * found[-1][1] == t and found[-1][0] * found[-1][2] == s:
            found[-1] = (found[-1][0] * n, *found[-1][1:])
        else:
            found.append((n, t, s))
    return found[::-1] or [(1, to[-1], come[-1])]
