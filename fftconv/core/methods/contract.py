"""Sums over channels: one matrix product per frequency, on spectra with the frequency outermost.

A round is (\\*bins, slots, tiles, channels): for each frequency a matrix of tiles by channels, which BLAS multiplies
by the kernel's. The copies into and out of that order move whole cache lines, and are made where the transforms
have just left their spectra in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from fftconv.core.channels import Channels, Range, ranges
from fftconv.core.engine.base import Engine, FFTSpec
from fftconv.core.jobs import Job
from fftconv.core.methods.blas import one_thread
from fftconv.core.methods.tiles import Sink, Source
from fftconv.core.workers import for_each, share

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
        held = (channels.bins, channels.round_slots, channels.slot)
        return (*held, channels.problem.in_channels), (*held, channels.problem.out_channels)

    def run(self, jobs: list[Job], workers: int) -> None:
        """Answer `jobs`, at most `round_slots` of them."""
        p, c = self.channels.problem, self.channels
        slots = list(enumerate(jobs))
        share(product(slots, ranges(p.in_channels, c.input_chunk)), self._forward, workers)
        with one_thread():
            for_each(ranges(c.bins, c.bin_chunk), lambda bins: self._multiply(bins, len(jobs)), workers)
        share(product(slots, ranges(p.out_channels, c.output_chunk)), self._backward, workers)

    def _spec(self, channels: int) -> FFTSpec:
        layout = self.channels.layout
        return FFTSpec(layout.signal_shape(channels), layout.fft_axes, layout.dtype, kept=layout.kept)

    def _forward(self, jobs: Iterator[Slot]) -> None:
        with self.engine.borrow(self._spec(self.channels.input_chunk)) as plan:
            for (slot, job), (a, b) in jobs:
                self.source.gather(job, range(a, b), plan.signal)
                bins = bins_first(self.channels, plan.forward()[:, : b - a])
                np.copyto(self.inputs[:, slot, :, a:b].reshape(bins.shape), bins)

    def _backward(self, jobs: Iterator[Slot]) -> None:
        with self.engine.borrow(self._spec(self.channels.output_chunk)) as plan:
            for (slot, job), (a, b) in jobs:
                bins = bins_first(self.channels, plan.spectrum[:, : b - a])
                np.copyto(bins, self.outputs[:, slot, :, a:b].reshape(bins.shape))
                self.sink.scatter(job, range(a, b), plan.backward())

    def _multiply(self, bins: Range, slots: int) -> None:
        """[tiles x I] * [I x J] for each frequency and group."""
        p = self.channels.problem
        count = bins[1] - bins[0]
        x, y, w = (
            self.inputs[slice(*bins), :slots],
            self.outputs[slice(*bins), :slots],
            self.spectra[slice(*bins)],
        )
        if self.channels.widened:
            real = x.real.dtype
            x, y, w = x.view(real), y.view(real), w.view(real)
        x = x.reshape(count, -1, p.groups, x.shape[-1] // p.groups)
        y = y.reshape(count, -1, p.groups, y.shape[-1] // p.groups)
        # the kernel's matrices lie as they are multiplied: transposed ones take BLAS three times as long
        w = w.reshape(count, p.groups, -1, w.shape[-1])
        np.matmul(x.swapaxes(1, 2), w, out=y.swapaxes(1, 2))


def bins_first(channels: Channels, spectra: np.ndarray) -> np.ndarray:
    """A view (\\*bins, batch, blocks, \\*carried, channels) of spectra (batch, channels, blocks, \\*spatial)."""
    transformed = (3 + a for a in channels.layout.axes)
    carried = (3 + a for a in channels.carried)
    return spectra.transpose(*transformed, 0, 2, *carried, 1)
