"""Sums over channels: one matrix product per frequency.

Transforms leave spectra channel by channel, (tiles, channels, bins); a product wants a matrix of tiles by channels for
each frequency. The turn from one to the other is made on a block of frequencies at a time, between the scratch of the
round and a private one that stays in the cache with its product: turned as a whole, spectra would be written a cache
line here and there all over the memory of a round, at ten times the price.

Few channels do not repay the turn: their products are summed as spectra lie (`sums.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from time import perf_counter

import numpy as np

from fftconv.core.channels import LINE, TURNED_ROWS, Channels, Range, ranges
from fftconv.core.engine.base import Engine, FFTSpec
from fftconv.core.jobs import Job
from fftconv.core.methods.blas import one_thread
from fftconv.core.methods.sums import in_numpy, warmth
from fftconv.core.methods.tiles import Sink, Source
from fftconv.core.spare import spare
from fftconv.core.workers import share

# Frequencies that NumPy sums at a time.
NUMPY_BINS = 2**13

Slot = tuple[tuple[int, Job], Range]


class Round:
    """The three steps of a round, and the scratch that they share.

    Parameters
    ----------
    channels : Channels
    engine : Engine
    arrays : tuple
        (x, spectra, out) with `spectra` as `kernel_spectra` makes them.
    scratch : tuple
        Memory for the spectra of inputs and outputs, as `shapes` says.
    """

    def __init__(
        self,
        channels: Channels,
        engine: Engine,
        arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
        scratch: tuple[np.ndarray, np.ndarray],
    ) -> None:
        self.channels = channels
        self.engine = engine
        x, self.spectra, out = arrays
        self.source, self.sink = Source(channels.layout, x), Sink(channels.layout, out)
        self.inputs, self.outputs = scratch

    @staticmethod
    def shapes(channels: Channels) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of the scratch for input and output spectra."""
        p, held = channels.problem, (channels.round_slots, channels.slot)
        return (*held, p.in_channels, channels.pitch), (*held, p.out_channels, channels.pitch)

    def run(self, jobs: list[Job], workers: int) -> None:
        """Answer `jobs`, at most `round_slots` of them."""
        p, c = self.channels.problem, self.channels
        slots = list(enumerate(jobs))
        share(product(slots, ranges(p.in_channels, c.input_chunk)), self._forward, workers)
        rows = len(jobs) * c.slot
        if c.summed:
            self._sum(rows, workers)
        else:
            with one_thread():
                share(ranges(c.bins, c.bin_chunk), lambda taken: self._multiply(taken, rows), workers)
        share(product(slots, ranges(p.out_channels, c.output_chunk)), self._backward, workers)

    def _spec(self, channels: int) -> FFTSpec:
        layout = self.channels.layout
        return FFTSpec(layout.signal_shape(channels), layout.fft_axes, layout.dtype, kept=layout.kept)

    def _forward(self, jobs: Iterator[Slot]) -> None:
        with self.engine.borrow(self._spec(self.channels.input_chunk)) as plan:
            for (slot, job), (a, b) in jobs:
                self.source.gather(job, range(a, b), plan.signal)
                spectra = _bins_last(self.channels, plan.forward()[:, : b - a])
                np.copyto(self._held(self.inputs[slot, :, a:b], spectra.shape), spectra)

    def _backward(self, jobs: Iterator[Slot]) -> None:
        with self.engine.borrow(self._spec(self.channels.output_chunk)) as plan:
            for (slot, job), (a, b) in jobs:
                spectra = _bins_last(self.channels, plan.spectrum[:, : b - a])
                np.copyto(spectra, self._held(self.outputs[slot, :, a:b], spectra.shape))
                self.sink.scatter(job, range(a, b), plan.backward())

    def _held(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The bins of (tiles, channels, pitch) without what lies between rows, in the shape of `_bins_last`."""
        return rows[..., : self.channels.bins].reshape(shape)

    def _sum(self, tiles: int, workers: int) -> None:
        """Products of spectra as they lie, summed over the inputs of each group."""
        p, c = self.channels.problem, self.channels
        x, y = (
            rows.reshape(-1, p.groups, size, c.pitch)[:tiles]
            for rows, size in ((self.inputs, p.group_inputs), (self.outputs, p.group_outputs))
        )
        char = x.real.dtype.char
        sums = warmth.loops.get(char, in_numpy)
        # compiled sums want rows that stay in the cache, and whole lines of it, whatever lies behind the last bin
        line, most, end = max(1, LINE // c.bin_bytes), c.bin_chunk, c.pitch
        if sums is in_numpy:
            most, end = max(most, NUMPY_BINS), c.bins
        lines = ranges(-(-c.bins // line), most // line)

        def work(jobs: Iterator[Range]) -> None:
            for first, last in jobs:
                bins = slice(first * line, min(last * line, end))
                for g in range(p.groups):
                    sums(x[:, g, :, bins], self.spectra[g, ..., bins], y[:, g, :, bins])

        begin = perf_counter()
        share(lines, work, workers)
        if sums is in_numpy and char in "fd":
            warmth.spent(char, perf_counter() - begin)

    def _multiply(self, jobs: Iterator[Range], tiles: int) -> None:
        """[tiles x I] * [I x J] for each frequency and group."""
        p, c = self.channels.problem, self.channels
        dtype = self.inputs.dtype
        x_rows, y_rows = (rows.reshape(-1, c.pitch) for rows in (self.inputs, self.outputs))
        x_rows, y_rows = x_rows[: tiles * p.in_channels], y_rows[: tiles * p.out_channels]
        shapes = [(c.bin_chunk, c.turned_pitch(rows)) for rows in (p.in_channels, p.out_channels)]
        with (
            spare(self.engine, shapes[0], dtype) as x_turned,
            spare(self.engine, shapes[1], dtype) as y_turned,
        ):
            for begin, end in jobs:
                x, y = x_turned[: end - begin, : len(x_rows)], y_turned[: end - begin, : len(y_rows)]
                for rows in ranges(len(x_rows), TURNED_ROWS):
                    np.copyto(x[:, slice(*rows)], x_rows[slice(*rows), begin:end].T)
                self._products(x, self.spectra[begin:end], y)
                for rows in ranges(len(y_rows), TURNED_ROWS):
                    np.copyto(y_rows[slice(*rows), begin:end].T, y[:, slice(*rows)])

    def _products(self, x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
        """Of (bins, tiles and inputs) with the kernel's matrices, into (bins, tiles and outputs)."""
        p = self.channels.problem
        inputs, outputs = p.group_inputs, p.group_outputs
        if self.channels.widened:
            real = x.real.dtype
            x, y, w = x.view(real), y.view(real), w.view(real)
            inputs, outputs = 2 * inputs, 2 * outputs
        x = x.reshape(len(x), -1, p.groups, inputs)
        y = y.reshape(len(y), -1, p.groups, outputs)
        # the kernel's matrices lie as they are multiplied: transposed ones take BLAS three times as long
        w = w.reshape(len(w), p.groups, -1, w.shape[-1])
        np.matmul(x.swapaxes(1, 2), w, out=y.swapaxes(1, 2))


def _bins_last(channels: Channels, spectra: np.ndarray) -> np.ndarray:
    """A view (batch, blocks, \\*carried, channels, \\*bins) of spectra (batch, channels, blocks, \\*spatial)."""
    transformed = (3 + a for a in channels.layout.axes)
    carried = (3 + a for a in channels.carried)
    return spectra.transpose(0, 2, *carried, 1, *transformed)
