"""How channels travel through a spectral method: how many share an execute, and which products join them.

Two ways, told apart by the inputs that an output sees:

* One input each (`products`): forward, multiply by one kernel's spectrum after the other, inverse. A job holds
  a few channels of a few tiles, and never leaves the cache between its transforms.
* Several inputs: a matrix product over channels per frequency. A round of many tiles is transformed, multiplied a
  block of frequencies at a time, and transformed back, each step shared by all workers. The kernel's spectra,
  often the largest array of all, are then read once a round.

Nothing here depends on the number of workers, so neither do the bits of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import prod
from typing import TypeVar

from fftconv.core.boundary import ZEROS
from fftconv.core.engine.base import FFTSpec
from fftconv.core.jobs import KEPT_TILES, holds_indices
from fftconv.core.lazy import lazy
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.tiling import TileLayout

# Bytes of signal that one transform call should hold: signal and spectrum then fit the L2 cache.
EXECUTE_BYTES = 3 * 2**17
# Bytes of input and output spectra in a round: within the L3 cache of most hosts.
ROUND_BYTES = 3 * 2**23
# Bytes of input and output spectra in one call of the batched product: they are turned in the cache.
PRODUCT_BYTES = 2**20
# Rows of spectra that are turned at a time: a cache line of each stays in the innermost cache.
TURNED_ROWS = 512
# Frequencies of one such call: enough to share among workers, and to fill cache lines.
MOST_BINS, FEWEST_BINS = 512, 32
# Input times output channels up to which complex matrices are multiplied as real ones.
WIDE = 256
# Input times output channels of a group up to which products are summed one by one, and spectra never turned.
FEW = 64
# Bytes of a cache line; copies that turn an array move whole ones where they can.
LINE = 64
# Outputs of one input that share a job, and with it a forward transform: all of them where that leaves enough jobs
# to share among workers, else at least so many.
OUTPUTS_OF_ONE = 8
JOBS_ENOUGH = 8

# Bytes of scratch that compiled code fills at most before it looks whether it has been interrupted.
MOST_BYTES = 2**27

T = TypeVar("T")
Range = tuple[int, int]


def ranges(total: int, most: int) -> Iterator[Range]:
    """``range(total)`` in the fewest parts of at most `most`, as equal as they can be."""
    step = even(total, most)
    return ((a, min(total, a + step)) for a in range(0, total, step))


def even(total: int, most: int) -> int:
    """The length of the parts of `ranges`."""
    parts = -(-total // max(1, most))
    return -(-total // parts)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive items in lists of `size`, the last one perhaps shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def odd_lines(length: int, itemsize: int) -> int:
    """At least `length` items that fill an odd number of cache lines: columns then do not share a set of the cache."""
    if itemsize > LINE or LINE % itemsize:
        return length
    return (-(-length * itemsize // LINE) | 1) * (LINE // itemsize)


@dataclass(frozen=True)
class Channels:
    """Channels of one layout, in chunks.

    Attributes
    ----------
    layout : TileLayout
    """

    layout: TileLayout

    @property
    def problem(self) -> ConvProblem:
        return self.layout.problem

    @lazy
    def products(self) -> bool:
        """Whether each output sees one input."""
        return self.problem.group_inputs == 1

    @lazy
    def summed(self) -> bool:
        """Whether sums over channels are taken product by product, of spectra as they lie.

        Matrix products want spectra turned, inputs, outputs and kernels, which few channels do not repay.
        """
        return not self.products and self.problem.group_inputs * self.problem.group_outputs <= FEW

    @lazy
    def carried(self) -> Ints:
        """Spatial axes that are not transformed: their rows are tiles by another name."""
        return tuple(a for a in range(self.problem.ndim) if a not in self.layout.axes)

    @lazy
    def lone(self) -> bool:
        """Whether one execute of one tile computes everything, each channel by a kernel of its own."""
        p, tiling = self.problem, self.layout.tiling
        return (
            self.layout.tile_count == tiling.blocks == 1
            and not tiling.packed
            and p.group_inputs == p.group_outputs == 1
            and self.input_chunk == p.in_channels
            and tiling.batch == p.batch
            and p.dtype.kind in "fc"
            and p.outside == ZEROS
            and set(p.stride) == set(p.rhs_dilation) == set(p.lhs_dilation) == {1}
            and all(p.pads[a] == (0, 0) for a in self.carried)
            # a circular tile holds one period, which may be less than is given of the samples
            and all(
                lo + n <= size
                for (lo, _), n, size in zip(p.pads, p.input_size, self.layout.tile_size, strict=True)
            )
        )

    @lazy
    def plain(self) -> bool:
        """Whether jobs move samples and outputs as they are, each output of one input."""
        layout = self.layout
        p = layout.problem
        return (
            p.group_inputs == 1
            and p.dtype.char in "fdFD"
            and layout.tile_count * p.group_outputs <= KEPT_TILES
            and not holds_indices(layout)
        )

    @lazy
    def brief(self) -> bool:
        """Whether a call can be one entry of compiled code: short, one transform for all kernels, no axis carried."""
        p = self.problem
        executes = self.jobs * -(-p.in_channels // self.input_chunk)
        return (
            self.plain
            and p.x_dtype == p.w_dtype == p.dtype
            and not self.carried
            and self.kernel_jobs == 1
            and executes * self.tile_bytes * self.input_chunk * p.group_outputs <= MOST_BYTES
        )

    @lazy
    def single(self) -> bool:
        """Whether there is but one job to take, whatever the number of workers."""
        p = self.problem
        return self.jobs == p.group_outputs == 1 and self.input_chunk == p.in_channels

    @lazy
    def bins(self) -> int:
        """Complex bins of one tile of one channel."""
        return prod(self.layout.spectrum_size[a] for a in self.layout.axes)

    @lazy
    def bin_bytes(self) -> int:
        dtype = self.layout.dtype
        return dtype.itemsize * (1 if dtype.kind == "c" else 2)

    @lazy
    def slot(self) -> int:
        """Tiles of one execute, two packed ones counted as one."""
        tiling = self.layout.tiling
        return tiling.batch * tiling.blocks * prod(self.layout.tile_size[a] for a in self.carried)

    @lazy
    def tile_bytes(self) -> int:
        """Signal of one slot of one channel."""
        return self.slot * prod(self.layout.tiling.nfft) * self.layout.dtype.itemsize

    @lazy
    def tile_spec(self) -> FFTSpec:
        """The transform of one execute."""
        layout = self.layout
        return FFTSpec(layout.signal_shape(self.input_chunk), layout.fft_axes, layout.dtype, kept=layout.kept)

    @lazy
    def _held(self) -> int:
        """Channels whose signals fill an execute."""
        return max(1, EXECUTE_BYTES // self.tile_bytes)

    @lazy
    def input_chunk(self) -> int:
        """Input channels of one execute."""
        return even(self.problem.in_channels, self._held)

    @lazy
    def output_chunk(self) -> int:
        """Output channels of one execute; where inputs are alone, one output of each."""
        if self.products:
            return self.input_chunk
        return even(self.problem.out_channels, self._held)

    @lazy
    def outputs_of_one(self) -> int:
        """Outputs of one input that a job yields."""
        jobs = self.jobs * -(-self.problem.in_channels // self.input_chunk)
        parts = -(-JOBS_ENOUGH // jobs)
        outputs = self.problem.group_outputs
        return even(outputs, max(OUTPUTS_OF_ONE, -(-outputs // parts)))

    @lazy
    def widened(self) -> bool:
        """Whether the products per frequency are real ones, of matrices twice as high and as wide.

        The kernel's spectra ``a + ib`` then hold the matrix ``[[a, b], [-b, a]]``, at twice the bytes for the same
        work. BLAS libraries have faster ways for small real matrices, which need no buffer and so no lock. Larger
        ones are as fast as complex ones, and half as many bytes to make.
        """
        return not self.summed and self.problem.group_inputs * self.problem.group_outputs <= WIDE

    @lazy
    def kernel_chunk(self) -> tuple[int, int]:
        """Kernels transformed in one execute: outputs, and inputs of each."""
        p, tiling = self.problem, self.layout.tiling
        held = max(1, EXECUTE_BYTES // (prod(tiling.nfft) * self.layout.dtype.itemsize))
        if self.products:
            return even(p.out_channels, held), 1
        held = max(held, LINE // self.bin_bytes)
        outputs = even(p.group_outputs, held)
        return outputs, even(p.group_inputs, held // outputs)

    @lazy
    def kernel_spec(self) -> FFTSpec:
        """The transform of that execute."""
        layout = self.layout
        shape = (*self.kernel_chunk, *layout.tiling.nfft)
        filled = tuple(layout.problem.kernel_size[a] for a in layout.axes)
        return FFTSpec(shape, tuple(2 + a for a in layout.axes), layout.dtype, filled=filled)

    @lazy
    def kernel_groups(self) -> int:
        """Parts of the kernel that share no execute: groups, where they are matrices."""
        return 1 if self.products else self.problem.groups

    @lazy
    def kernel_jobs(self) -> int:
        """Executes that transform all kernels."""
        p, (outputs, inputs) = self.problem, self.kernel_chunk
        each = p.out_channels // self.kernel_groups
        return self.kernel_groups * -(-each // outputs) * -(-p.group_inputs // inputs)

    @lazy
    def kernel_bytes(self) -> int:
        """Spectra of all kernels."""
        p = self.problem
        wide = 1 if self.products or not self.widened else 2
        bins = self.pitch if self.summed else self.bins
        return p.out_channels * p.group_inputs * bins * self.bin_bytes * wide

    @lazy
    def jobs(self) -> int:
        return -(-self.layout.tile_count // (2 if self.layout.tiling.packed else 1))

    @lazy
    def round_slots(self) -> int:
        """Jobs of the layout that share a round."""
        p = self.problem
        each = self.slot * self.bins * self.bin_bytes * (p.in_channels + p.out_channels)
        return even(self.jobs, ROUND_BYTES // each)

    @lazy
    def pitch(self) -> int:
        """Bins from one row of the spectra of a round to the next."""
        return odd_lines(self.bins, self.bin_bytes)

    def turned_pitch(self, channels: int) -> int:
        """Bins from one frequency to the next where the spectra of a round lie frequency by frequency."""
        return odd_lines(self.round_slots * self.slot * channels, self.bin_bytes)

    @lazy
    def bin_chunk(self) -> int:
        """Frequencies in one call of the batched product: whole cache lines of them."""
        p = self.problem
        each = self.round_slots * self.slot * (p.in_channels + p.out_channels) * self.bin_bytes
        line = max(1, LINE // self.bin_bytes)
        wanted = min(MOST_BINS, max(FEWEST_BINS, PRODUCT_BYTES // each))
        return -(-even(self.bins, wanted) // line) * line

    @lazy
    def turned_bytes(self) -> int:
        """Turned spectra of one call of the batched product."""
        p = self.problem
        if self.summed:
            return 0
        return (
            self.bin_chunk
            * (self.turned_pitch(p.in_channels) + self.turned_pitch(p.out_channels))
            * self.bin_bytes
        )


@lru_cache(maxsize=256)
def channels_of(layout: TileLayout) -> Channels:
    """The channels of a layout, with all that was worked out about them."""
    return Channels(layout)
