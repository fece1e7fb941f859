"""What a spectral plan costs, channels included: seconds of its steps, bytes of its scratch.

A plan's steps follow each other, and each is shared by all workers. Outputs of one input each take two: the
kernel's transforms, then jobs of forward, multiply, inverse. Sums over inputs take four: the kernel's transforms, the
forward ones, the products per frequency, the inverse ones (see `core.channels`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from fftconv.core.channels import Channels
from fftconv.core.config import Config
from fftconv.core.cost import HostProfile, backward_seconds, fft_seconds, shared_seconds
from fftconv.core.cost_direct import has_compiler
from fftconv.core.lazy import lazy
from fftconv.core.tiling import TileLayout

# Twiddle factors of both directions, in complex numbers per point of an axis. FFTW keeps 0.45 to 1.1 of a real
# transform and 0.01 to 0.2 of a complex one.
TABLES = {"f": 0.8, "c": 0.15}
# Idle plans that the cache of an engine holds unless told otherwise.
KEPT = Config().cache_bytes

Step = tuple[int, float, float]
"""Jobs of a step, the interpreter's seconds of each, and the others."""


@dataclass(frozen=True)
class ChannelCost:
    """Predicted time of one tiling of one problem.

    Attributes
    ----------
    layout : TileLayout
    host : HostProfile
    """

    layout: TileLayout
    host: HostProfile

    def seconds(self, workers: int) -> float:
        """On at most `workers` threads."""
        return min(self.shared(workers), self.alone)

    def workers(self, most: int) -> int:
        """How many of `most` threads are worth waking."""
        if self.alone <= self.shared(most):
            return 1
        return max(shared_seconds(*step, most, self.host)[1] for step in self.steps)

    @lazy
    def alone(self) -> float:
        """On one thread, which has less to do around the steps than several."""
        calls = [self._call]
        if self.channels.brief and self.channels.lone:
            calls.append(self.host.lone)
        return min(calls) + self.singly

    @lazy
    def singly(self) -> float:
        """All steps on one thread."""
        return sum(shared_seconds(*step, 1, self.host)[0] for step in self.steps)

    def shared(self, workers: int) -> float:
        """On at most `workers` threads, by what serves any number of them."""
        return self._call + sum(shared_seconds(*step, workers, self.host)[0] for step in self.steps)

    @lazy
    def _compiled(self) -> bool:
        """Whether jobs are taken by compiled code."""
        return self.channels.plain and self.host.brief > 0 and has_compiler()

    @lazy
    def _call(self) -> float:
        return self.host.brief if self._compiled and self.channels.brief else self.host.call

    @lazy
    def _job(self) -> float:
        return 0.0 if self._compiled else self.host.job

    def kernel_seconds(self, workers: int) -> float:
        """Of that, the kernel's transforms."""
        return shared_seconds(*self._kernel, workers, self.host)[0]

    @lazy
    def channels(self) -> Channels:
        return Channels(self.layout)

    @lazy
    def steps(self) -> tuple[Step, ...]:
        """What happens one after the other."""
        if self.channels.products:
            return self._kernel, self._alone
        return self._kernel, self._end("in"), self._products, self._end("out")

    @lazy
    def _moved(self) -> float:
        """What the samples of one channel of a job take to gather, or to scatter."""
        layout = self.layout
        each = layout.dtype.itemsize * self.host.copy + self.host.run / layout.tile_size[-1]
        return prod(layout.signal_shape(1)) * each * (2 if layout.tiling.packed else 1) * 1e-9

    @lazy
    def _forward(self) -> float:
        """One channel of a job gathered and transformed."""
        layout = self.layout
        return self._moved + fft_seconds(layout.signal_shape(1), layout.fft_axes, layout.dtype, self.host)

    @lazy
    def _backward(self) -> float:
        """One channel of a job transformed back and scattered."""
        layout = self.layout
        shape, axes = layout.signal_shape(1), layout.fft_axes
        return self._moved + backward_seconds(shape, axes, layout.dtype, layout.kept, self.host)

    def _per_bin(self, table: dict[str, float]) -> float:
        return table[{8: "F", 16: "D"}.get(self.channels.bin_bytes, "G")] * 1e-9

    @lazy
    def _kernel(self) -> Step:
        c, tiling = self.channels, self.layout.tiling
        axes = tuple(1 + a for a in self.layout.axes)
        each = fft_seconds((1, *tiling.nfft), axes, self.layout.dtype, self.host)
        each += (
            c.bins * self._per_bin(self.host.read if c.products else self.host.turn) * (2 if c.widened else 1)
        )
        return c.kernel_jobs, self._job, each * prod(c.kernel_chunk)

    @lazy
    def _alone(self) -> Step:
        p, c = self.layout.problem, self.channels
        bins = c.slot * c.bins
        multiply = bins * self._per_bin(self.host.multiply)
        each = self._forward + c.outputs_of_one * (self._backward + multiply)
        jobs = c.jobs * -(-p.in_channels // c.input_chunk) * -(-p.group_outputs // c.outputs_of_one)
        return jobs, self._job * c.outputs_of_one, each * c.input_chunk

    def _end(self, side: str) -> Step:
        p, c = self.layout.problem, self.channels
        total, chunk = (p.in_channels, c.input_chunk) if side == "in" else (p.out_channels, c.output_chunk)
        transform = self._forward if side == "in" else self._backward
        each = transform + c.slot * c.bins * self._per_bin(self.host.turn)
        return c.jobs * -(-total // chunk), self.host.job, each * chunk

    @lazy
    def _products(self) -> Step:
        p, c = self.layout.problem, self.channels
        rounds, calls = -(-c.jobs // c.round_slots), -(-c.bins // c.bin_chunk)
        tiles = min(c.jobs, c.round_slots) * c.slot
        pairs = p.group_inputs * p.group_outputs
        each = self.host.product * 1e-9 + pairs * (
            tiles * self._per_bin(self.host.multiply_add) + self._per_bin(self.host.read)
        )
        return rounds * calls, self.host.job / 2, c.bin_chunk * p.groups * each


def channel_scratch(layout: TileLayout, workers: int, fresh: bool = False) -> int:
    """Bytes beyond input and output: the kernel's spectra, the spectra of a round, the transforms of every worker.

    An engine that answers in `fresh` arrays holds an old spectrum while it makes a new one.
    """
    p, c = layout.problem, Channels(layout)
    signal = c.tile_bytes
    spectrum = c.slot * c.bins * c.bin_bytes
    kernel_plan = prod(c.kernel_chunk) * (
        prod(layout.tiling.nfft) * layout.dtype.itemsize + c.bins * c.bin_bytes
    )
    rows = prod(n for a, n in enumerate(layout.tile_size) if a not in layout.axes)
    repeated = layout.tiling.blocks * rows if c.products and layout.repeats_spectra else 1
    total = c.kernel_bytes * repeated
    kernels = min(workers, c.kernel_jobs) * kernel_plan
    if c.products:
        plans = c.input_chunk * (1 if p.group_outputs == 1 else 2)
        jobs = c.jobs * -(-p.in_channels // c.input_chunk) * -(-p.group_outputs // c.outputs_of_one)
    else:
        same = c.input_chunk == c.output_chunk
        plans = c.input_chunk if same else c.input_chunk + c.output_chunk
        jobs = c.jobs * -(-p.in_channels // c.input_chunk)
        total += c.round_slots * c.slot * c.pitch * c.bin_bytes * (p.in_channels + p.out_channels)
        total += min(workers, -(-c.bins // c.bin_chunk)) * c.turned_bytes
    workers = min(workers, jobs)
    tiles = workers * plans * (signal + spectrum * (2 if fresh else 1))
    # the kernel's transforms are idle by then, and stay as long as the cache has room
    idle = kernels if kernels <= KEPT else KEPT // kernel_plan * kernel_plan
    return total + _tables(layout) + max(kernels, idle + tiles)


def _tables(layout: TileLayout) -> int:
    """Bytes of the twiddle factors that the library keeps, once for all workers."""
    real = layout.dtype.kind == "f"
    points = (
        layout.tiling.nfft[a] * TABLES["f" if real and a == layout.run_axis else "c"] for a in layout.axes
    )
    return int(sum(points) * layout.dtype.itemsize * (2 if real else 1))
