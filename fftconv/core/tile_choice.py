"""Which tile a spectral method should use: lengths worth trying, and the cost of each.

A longer block wastes less of itself on the ``k - 1`` samples of overlap but leaves the cache sooner; the cheapest
is found by trying. Candidate lengths are powers of two, their multiples by 3 and 5 along one axis, and the
lengths that cut the outputs into a few equal parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import prod

from fftconv.core.cost import BUILT_IN, HostProfile, fft_seconds
from fftconv.core.plan import Candidate, Tiling
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.tiling import TileLayout, block_step, spectral_dtype, transformed_axes, whole_nfft

FastLength = Callable[[int, bool], int]

# Bytes of signal that one execute should hold: enough to repay the interpreter and the hand-over of its lock
# between threads, few enough that signal and spectrum stay in the L2 cache.
EXECUTE_BYTES = 3 * 2**17
# A carried axis that lies inside the transformed one is taken in runs of at least a cache line.
INNER_RUN = 16


def whole(p: ConvProblem, workers: int, fast: FastLength) -> Candidate:
    """The cheapest plan with one block along every transformed axis."""
    nfft = [1] * p.ndim
    axes = transformed_axes(p)
    for a in axes:
        nfft[a] = fast(whole_nfft(p, a), a == axes[-1])
    return min(_variants(p, tuple(nfft), workers, "fft"), key=lambda c: c.seconds)


def overlap_save(p: ConvProblem, workers: int, fast: FastLength, limit: int) -> Candidate:
    """The cheapest plan of many blocks whose scratch stays under `limit` bytes, if any does."""
    axes = transformed_axes(p)
    lengths = [axis_lengths(p, a, fast, len(axes)) if a in axes else (1,) for a in range(p.ndim)]
    found = [c for nfft in product(*lengths) for c in _variants(p, nfft, workers, "overlap_save")]
    small = [c for c in found if c.scratch <= limit]
    return min(small or found, key=(lambda c: c.seconds) if small else (lambda c: c.scratch))


def axis_lengths(p: ConvProblem, a: int, fast: FastLength, transformed: int) -> Ints:
    """Transform lengths worth trying along one axis."""
    k, s, m = p.kernel_size[a], p.stride[a], p.output_size[a]
    dense = (m - 1) * s + 1
    least, most = k + s, max(fast(whole_nfft(p, a), True), fast(k + s, True))
    lengths = set()
    for radix in (1, 3, 5) if transformed == 1 else (1, 3):
        n = radix * 4
        while n < most:
            lengths.add(n)
            n *= 2
    parts = range(1, 9) if transformed < 3 else (1, 2, 3, 4, 6)
    lengths.update(fast(-(-dense // t) + k - 1, True) for t in parts)
    lengths.add(most)
    useful = sorted(n for n in lengths if least <= n <= most and n <= 2**20)
    wide = [n for n in useful if n >= 1.3 * k] or useful[-3:] or [most]
    return tuple(wide if transformed < 3 else wide[:9])


def _variants(p: ConvProblem, nfft: Ints, workers: int, method: str) -> Iterator[Candidate]:
    """Both packings of one transform shape, with the blocks, rows and batches of an execute filled in."""
    real = spectral_dtype(p).kind == "f"
    for packed in (False, True) if real else (False,):
        for w in (1, workers) if workers > 1 else (1,):
            tiling = _fill_execute(p, nfft, w, packed)
            yield _weigh(p, tiling, w, method)


def _fill_execute(p: ConvProblem, nfft: Ints, workers: int, packed: bool) -> Tiling:
    """How many rows, blocks and batch entries share an execute."""
    axes = transformed_axes(p)
    bytes_each = prod(nfft) * p.in_channels * spectral_dtype(p).itemsize * (2 if packed else 1)
    room = max(1, EXECUTE_BYTES // bytes_each)
    step = [1] * p.ndim
    for a in axes:
        m = p.output_size[a]
        covers = nfft[a] >= whole_nfft(p, a)
        step[a] = m if covers else min(m, block_step(nfft[a], p.kernel_size[a], p.stride[a]))
    run = axes[-1]
    for a in range(p.ndim - 1, run, -1):
        step[a] = min(p.output_size[a], max(room, INNER_RUN))
        room = max(1, room // step[a])
    total = -(-p.output_size[run] // step[run])
    blocks = _even_share(total, room, workers)
    room = max(1, room // blocks)
    for a in range(run - 1, -1, -1):
        if a not in axes:
            step[a] = _even_share(p.output_size[a], room, workers)
            room = max(1, room // step[a])
    return Tiling(nfft, tuple(step), blocks, _even_share(p.batch, room, workers), packed)


def _even_share(total: int, room: int, workers: int) -> int:
    """At most `room` of `total`, in parts as equal as they can be and enough of them for all workers."""
    if total <= 1:
        return 1
    parts = max(-(-total // room), min(workers, total))
    parts = -(-parts // workers) * workers if parts > workers else parts
    return max(1, -(-total // parts))


def _weigh(p: ConvProblem, tiling: Tiling, workers: int, method: str, host: HostProfile = BUILT_IN) -> Candidate:
    layout = TileLayout(p, tiling)
    parts = 2 if tiling.packed else 1
    jobs = -(-layout.tile_count // parts)
    workers = min(workers, jobs)
    shape, axes, dtype = layout.signal_shape(1), layout.fft_axes, layout.dtype
    transform = fft_seconds(shape, axes, dtype, host) / 2
    points = prod(shape)
    bins = tiling.batch * tiling.blocks * prod(layout.spectrum_size)
    channels = p.in_channels + p.out_channels
    products = p.out_channels * p.group_inputs
    spectrum = "F" if dtype.itemsize <= (8 if dtype.kind == "c" else 4) else "D"
    moved = points * dtype.itemsize * host.copy
    # gather and forward per input channel, inverse and scatter per output channel
    job = channels * (transform + moved * 1e-9)
    job += (2 * products - p.out_channels) * bins * host.multiply[spectrum] * 1e-9
    kernel = products * (transform / (tiling.batch * tiling.blocks) + 3e-6)
    seconds = host.call + kernel + jobs * (host.job + job / workers) + (host.thread if workers > 1 else 0)
    return Candidate(method, seconds, _scratch(layout, workers), workers, tiling)


def _scratch(layout: TileLayout, workers: int) -> int:
    """Bytes beyond input and output: per worker signals and spectra, and the samples of blocks at an edge; the
    kernel's spectra, and the transform that made them."""
    p, tiling, run = layout.problem, layout.tiling, layout.run_axis
    held = tiling.batch * tiling.blocks
    bins = prod(layout.spectrum_size)
    spectrum_bytes = bins * (layout.dtype.itemsize if layout.dtype.kind == "c" else 2 * layout.dtype.itemsize)
    signal_bytes = prod(layout.tile_size) * layout.dtype.itemsize
    pointwise = p.group_inputs == p.group_outputs == 1
    channels = p.in_channels if pointwise else p.in_channels + p.out_channels
    rows = prod(t for a, t in enumerate(layout.tile_size) if a not in layout.axes)
    kernels = (p.out_channels * p.group_inputs * spectrum_bytes + signal_bytes + spectrum_bytes) // rows
    edge = 0
    if tiling.blocks > 1:
        reach = (tiling.blocks - 1) * tiling.step[run] * p.stride[run] + tiling.nfft[run]
        edge = tiling.batch * p.in_channels * signal_bytes * reach // tiling.nfft[run]
    return workers * (held * channels * (signal_bytes + spectrum_bytes) + edge) + kernels
