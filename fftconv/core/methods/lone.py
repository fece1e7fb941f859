"""One tile or few and one kernel: forward, multiply, inverse, with little left to work out.

For short arrays the loop over tiles, channels and workers costs more than the transforms. Where one execute
covers the whole problem there is nothing to loop over, and every index is known beforehand. The spectrum is one that
is held, or is made on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from fftconv.core.channels import Channels
from fftconv.core.engine.base import Engine
from fftconv.core.jobs import jobs_of
from fftconv.core.methods import Executor
from fftconv.core.methods.tiles import Sink, Source, place_kernels
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import Ints, at

Index = tuple[Any, ...]
Spectra = Callable[[np.ndarray], AbstractContextManager[np.ndarray]]
"""From the kernel to its spectrum (channels, 1, \\*bins), for the length of a ``with`` block."""


def executor(channels: Channels, engine: Engine, spectra: Spectra) -> Executor:
    """An executor of one tile (see `Channels.lone`)."""
    p, layout, spec = channels.problem, channels.layout, channels.tile_spec
    begins = tuple(lo for lo, _ in p.pads)
    ends = tuple(lo + n for n, lo in zip(p.input_size, begins, strict=True))
    inside = _at(*map(slice, begins, ends))
    margins = _margins(layout.tile_size, begins, ends)
    kept = _at(*map(slice, p.output_size))

    def run(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        held = engine.checkout(spec)
        try:
            signal = held.signal
            signal[inside] = x
            for margin in margins:
                signal[margin] = 0
            held.forward()
            spectrum = held.spectrum_whole
            with spectra(w) as kernel:
                np.multiply(spectrum, kernel, spectrum)
            out[...] = held.backward()[kept]
        finally:
            engine.checkin(held)

    return run


def in_turn(channels: Channels, engine: Engine, spectra: Spectra) -> Executor:
    """An executor of few tiles, one after the other, each channel by a kernel of its own."""
    layout, spec, every = channels.layout, channels.tile_spec, range(channels.problem.in_channels)
    jobs = jobs_of(layout)

    def run(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        source, sink = Source(layout, x), Sink(layout, out)
        with spectra(w) as kernel, engine.borrow(spec) as held:
            for job in jobs:
                source.gather(job, every, held.signal)
                held.forward()
                spectrum = held.spectrum_whole
                np.multiply(spectrum, kernel, spectrum)
                sink.scatter(job, every, held.backward())

    return run


def own(channels: Channels, engine: Engine) -> Spectra | None:
    """Spectra made in every call, where they lie in the scratch of their transform as products want them."""
    p, spec, tile = channels.problem, channels.kernel_spec, channels.tile_spec
    once = channels.kernel_jobs == p.group_outputs == 1 and channels.input_chunk == p.in_channels
    if not once or engine.spectrum_pitch(spec)[2:] != engine.spectrum_pitch(tile)[3:]:
        return None

    @contextmanager
    def made(w: np.ndarray) -> Iterator[np.ndarray]:
        with engine.borrow(spec) as plan:
            place_kernels(w[at(*(slice(None, None, -1),) * p.ndim)] if p.flip else w, plan.signal, p)
            plan.forward()
            spectrum = plan.spectrum_whole
            yield np.conjugate(spectrum, spectrum)

    return made


def _at(*spatial: slice) -> Index:
    """The index of spatial parts of the only block of a signal (batch, channels, blocks, \\*spatial)."""
    return (slice(None), slice(None), 0, *spatial)


def _margins(size: Ints, begins: Ints, ends: Ints) -> list[Index]:
    """What lies around the samples: along each axis before and after them, within the range of the axes before."""
    found = []
    for a, (n, begin, end) in enumerate(zip(size, begins, ends, strict=True)):
        within = [slice(*span) for span in zip(begins[:a], ends[:a], strict=True)]
        for margin in (slice(0, begin), slice(end, n)):
            if margin.start < margin.stop:
                found.append(at(*within, margin, *(slice(None),) * (len(size) - a - 1)))
    return found
