"""One tile, one kernel whose spectrum is held: forward, multiply, inverse, with nothing left to work out.

For short arrays the loop over tiles, channels and workers costs more than the transforms. Where one execute
covers the whole problem there is nothing to loop over, and every index is known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fftconv.core.engine.base import Engine, FFTSpec
from fftconv.core.plan import ConvPlan
from fftconv.core.problem import Ints, at
from fftconv.core.tiling import TileLayout

Index = tuple[Any, ...]


def executor(
    layout: TileLayout, engine: Engine, spec: FFTSpec, spectra: Callable[[], np.ndarray]
) -> Callable[[ConvPlan, np.ndarray, np.ndarray, np.ndarray], None]:
    """An executor of a layout whose channels are `lone`, by the transform `spec` of its tile.

    `spectra` gives what `spectral.kernel_spectra` made.
    """
    p = layout.problem
    begins = tuple(lo for lo, _ in p.pads)
    ends = tuple(lo + n for n, lo in zip(p.input_size, begins, strict=True))
    inside = _at(*map(slice, begins, ends))
    margins = _margins(layout.tile_size, begins, ends)
    kept = _at(*map(slice, p.output_size))

    def run(plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        kernel = spectra()[:, 0]
        held = engine.checkout(spec)
        try:
            signal = held.signal
            signal[inside] = x
            for margin in margins:
                signal[margin] = 0
            held.forward()
            spectrum = held.spectrum_whole
            np.multiply(spectrum, kernel, spectrum)
            out[...] = held.backward()[kept]
        finally:
            engine.checkin(held)

    return run


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
