"""Which tile a spectral method should use: lengths worth trying, and the cost of each.

A longer block wastes less of itself on the ``k - 1`` samples of overlap but leaves the cache sooner; the cheapest
is found by trying. Candidate lengths are powers of two, their multiples by 3 and 5 along one axis, and the
lengths that cut the outputs into a few equal parts.

A tile never depends on how many workers a call has, so neither do the bits of a result: tiles are weighed as if
`NOMINAL_WORKERS` shared them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from math import inf, log2, prod
from typing import NamedTuple

from fftconv.core.cost import HostProfile
from fftconv.core.cost_contract import ChannelCost, channel_scratch
from fftconv.core.least_cost import INNER_RUN, least_seconds
from fftconv.core.plan import Candidate, Tiling
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.tiling import (
    TileLayout,
    block_covers,
    block_step,
    circular_nfft,
    phased_axis,
    spectral_dtype,
    transformed_axes,
    whole_nfft,
)

FastLength = Callable[[int], int]

# Bytes of signal that one execute should hold: enough to repay the interpreter and the hand-over of its lock
# between threads, few enough that signal and spectrum stay in the L2 cache.
EXECUTE_BYTES = 384 * 2**10
NOMINAL_WORKERS = 2
# How many lengths per axis are weighed against each other, by the number of transformed axes.
LENGTHS = {1: 40, 2: 9, 3: 5}


class Means(NamedTuple):
    """What a plan may use, and what that costs here.

    Attributes
    ----------
    fast : callable
        The engine's next fast length.
    fresh : bool
        Whether the engine answers in new arrays beside the scratch of its plans.
    limit : int
        Bytes of scratch.
    host : HostProfile
    """

    fast: FastLength
    fresh: bool
    limit: int
    host: HostProfile


def whole(p: ConvProblem, workers: int, means: Means) -> Candidate:
    """The cheapest plan with one block along every transformed axis. Workers go before scratch outgrows the limit."""
    nfft = [1] * p.ndim
    for a in transformed_axes(p):
        nfft[a] = _covering(p, a, means.fast)
    tilings = (fill_execute(p, tuple(nfft), packed, EXECUTE_BYTES) for packed in _packings(p))
    return weigh(p, min(tilings, key=lambda t: _rank(p, t, means.host)), workers, "fft", means)


def overlap_save(p: ConvProblem, workers: int, means: Means) -> Candidate:
    """The cheapest plan of many blocks whose scratch stays within the limit, if any does.

    Like every choice that shapes bits, this one is made for the nominal number of workers.
    """
    axes = transformed_axes(p)
    # in little room, an execute holds less
    helds = (EXECUTE_BYTES, means.limit // 16) if means.limit < 16 * EXECUTE_BYTES else (EXECUTE_BYTES,)
    for held, prefer in product(helds, (_waste(p, means.fast), _length)):
        lengths = [axis_lengths(p, a, means.fast, prefer) if a in axes else (1,) for a in range(p.ndim)]
        fitting = _cheapest(p, list(product(*lengths)), held, means)
        if fitting is not None:
            return weigh(p, fitting, workers, "overlap_save", means)
    tilings = (fill_execute(p, nfft, packed, held) for nfft in product(*lengths) for packed in _packings(p))
    return weigh(p, min(tilings, key=lambda t: _scratch(p, t, 1, means)), workers, "overlap_save", means)


def _cheapest(p: ConvProblem, shapes: list[Ints], held: int, means: Means) -> Tiling | None:
    """The cheapest tiling of these transform shapes among those that fit.

    Most are never weighed: they are taken in the order of a bound that none of them can undercut.
    """
    bounds = {packed: least_seconds(p, packed, means.host) for packed in _packings(p)}
    order = sorted((bound(nfft), nfft, packed) for packed, bound in bounds.items() for nfft in shapes)
    best, cheapest = inf, None
    for bound, nfft, packed in order:
        if bound >= best:
            break
        tiling = fill_execute(p, nfft, packed, held)
        rank = _rank(p, tiling, means.host)
        if rank < best and _scratch(p, tiling, NOMINAL_WORKERS, means) <= means.limit:
            best, cheapest = rank, tiling
    return cheapest


Preference = Callable[[int, int], float]
"""How little a transform length along an axis is wanted, from (axis, length)."""


def axis_lengths(p: ConvProblem, a: int, fast: FastLength, prefer: Preference) -> Ints:
    """Transform lengths worth trying along one axis, the most wanted ones first, and the one that covers it."""
    axis = phased_axis(p, a)
    k, s, m = p.kernel_size[a], axis.stride, axis.outputs
    dense, transformed = (m - 1) * s + 1, len(transformed_axes(p))
    most = _most(p, a, fast)
    lengths = {fast(-(-dense // t) + k - 1) for t in range(1, 9)}
    for radix in (1, 3, 5) if transformed == 1 else (1, 3):
        lengths.update(radix * 2**i for i in range(2, 20))
    useful = sorted((n for n in lengths if k + s <= n < most), key=lambda n: prefer(a, n))
    return (*useful[: LENGTHS.get(transformed, 4)], most)


@lru_cache(maxsize=1024)
def _most(p: ConvProblem, a: int, fast: FastLength) -> int:
    """The length beyond which there is nothing to gain along axis `a`."""
    covering = _covering(p, a, fast)
    if covering == circular_nfft(p, a):
        return covering
    return max(covering, fast(p.kernel_size[a] + phased_axis(p, a).stride))


def _covering(p: ConvProblem, a: int, fast: FastLength) -> int:
    """The length of one block that covers axis `a`: the axis itself where it wraps and that transforms fast."""
    n = circular_nfft(p, a)
    return n if n and fast(n) == n else fast(whole_nfft(p, a))


def _length(a: int, n: int) -> float:
    return n


def _waste(p: ConvProblem, fast: FastLength) -> Preference:
    """Work per output, as if the axis were alone; lengths that transform fast are worth some overlap."""

    def waste(a: int, n: int) -> float:
        axis = phased_axis(p, a)
        k, s, m = p.kernel_size[a], axis.stride, axis.outputs
        blocks = -(-m // min(m, block_step(n, k, s))) if n < _most(p, a, fast) else 1
        odd = n // (n & -n)
        return blocks * n * (log2(n) + 4) * (1.0 if odd in (1, 3, 5) else 1.2)

    return waste


def _packings(p: ConvProblem) -> tuple[bool, ...]:
    return (False, True) if spectral_dtype(p).kind == "f" else (False,)


def fill_execute(p: ConvProblem, nfft: Ints, packed: bool, held: int) -> Tiling:
    """How many rows, blocks and batch entries share an execute of about `held` bytes."""
    axes = transformed_axes(p)
    bytes_each = prod(nfft) * spectral_dtype(p).itemsize * (2 if packed else 1)
    room = max(1, held // bytes_each)
    step = [1] * p.ndim
    for a in axes:
        axis = phased_axis(p, a)
        covers = block_covers(p, a, nfft[a])
        fitting = block_step(nfft[a], p.kernel_size[a], axis.stride)
        step[a] = axis.outputs if covers else min(axis.outputs, fitting)
    run = axes[-1]
    for a in range(p.ndim - 1, run, -1):
        step[a] = min(p.output_size[a], max(room, INNER_RUN))
        room = max(1, room // step[a])
    along = phased_axis(p, run)
    # the blocks of an execute are neighbours, or the phases of one stretch
    total = along.phases if along.output_step > 1 else -(-along.outputs // step[run])
    share = NOMINAL_WORKERS * (2 if packed else 1)
    blocks = _even_share(total, room, share)
    room = max(1, room // blocks)
    for a in range(run - 1, -1, -1):
        if a not in axes:
            step[a] = _even_share(p.output_size[a], room, share)
            room = max(1, room // step[a])
    return Tiling(nfft, tuple(step), blocks, _even_share(p.batch, room, share), packed)


def _even_share(total: int, room: int, share: int) -> int:
    """At most `room` of `total`, in parts as equal as they can be, and a multiple of `share` of them."""
    if total <= 1:
        return 1
    parts = -(-total // room)
    parts = -(-parts // share) * share if parts > 1 else 1
    return max(1, -(-total // parts))


def _rank(p: ConvProblem, tiling: Tiling, host: HostProfile) -> float:
    return ChannelCost(TileLayout(p, tiling), host).seconds(NOMINAL_WORKERS)


def _scratch(p: ConvProblem, tiling: Tiling, workers: int, means: Means) -> int:
    return channel_scratch(TileLayout(p, tiling), workers, means.fresh)


def weigh(p: ConvProblem, tiling: Tiling, most: int, method: str, means: Means) -> Candidate:
    """A tiling as a candidate, on as many workers as repay themselves and whose scratch fits."""
    cost = ChannelCost(TileLayout(p, tiling), means.host)
    workers = cost.workers(most)
    while workers > 1 and channel_scratch(cost.layout, workers, means.fresh) > means.limit:
        workers -= 1
    scratch = channel_scratch(cost.layout, workers, means.fresh)
    seconds, rank = cost.seconds(workers), cost.seconds(NOMINAL_WORKERS)
    return Candidate(method, seconds, scratch, workers, tiling, rank=rank)
