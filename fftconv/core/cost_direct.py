"""What the direct forms cost: how each cuts a problem up, and its predicted seconds and bytes.

Pure functions of the problem. The cutting stands here and not in the methods, because a prediction is only
as good as its knowledge of the blocks that will run. Blocks do not depend on the number of workers, so
neither does a result.

Forms: "lines" is np.convolve line by line, "taps" a blocked multiply-add, "gemm" a matrix product over channels
and taps, "band" the same with several neighbouring outputs to a column, "jit" the multiply-add in compiled loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from math import prod
from typing import NamedTuple

from fftconv.core.cells import Cells, chunks, cut
from fftconv.core.loop_rows import (
    copied_boxes,
    inside,
    is_lone,
    is_small,
    loop_lengths,
    open_axes,
    row_outputs,
    samples_a_call,
)
from fftconv.core.problem import ConvProblem, Ints

# What one worker adds up, and what it gathers for one product.
BLOCK_BYTES = 128 * 2**10
COLUMN_BYTES = 2 * 2**20
# What products of several taps at once may occupy, and how many taps that has to be for it to be faster.
PRODUCT_BYTES = 512 * 2**10
FEWEST_TAPS = 12
FEWEST_COLUMNS = 64
# Lines up to which NumPy reads and writes within the cache.
CACHED_BYTES = 512 * 2**10
# What it costs to load the compiler and to compile the loops of one dtype.
WARM_UP_SECONDS = 0.09
# Outputs of one np.correlate call; with a few taps, for which NumPy has loops of its own, it is done before other
# threads have come.
LINE_BLOCK = 32768
SHORT_LINE = 11
SHORT_LINE_BLOCK = 2**20
BAND_ROWS = (2, 4, 8, 16, 32)
# Lines of one set of the innermost cache, and what lies between two addresses of the same set.
WAYS, PAGE_BYTES = 8, 4096
# Bytes of outputs of a row that compiled loops may sum abreast.
ABREAST = (256, 128, 64, 16)

FORMS = ("lines", "gemm", "taps")
"""The forms of the method "direct". "band" is not among them: it meets samples outside an output's window."""


@dataclass(frozen=True, eq=False)
class DirectCosts:
    """Fitted coefficients, all in seconds; by dtype character where they differ, others by item size.

    Attributes
    ----------
    call, job, thread : float
        Interpreter time of a call, of one job, and of waking and meeting the other workers.
    copy : float
        Per byte copied within the cache (gathers, sums).
    memory : float
        Per byte read from or written to memory.
    stream : float
        The same for compiled loops, which read and write once and in order.
    product : dict
        Per multiply-add of a matrix product.
    pack : float
        Per byte of columns that a product reads, whatever the height of the matrix.
    run : float
        Per run of neighbours that is gathered into columns: short ones cost more than their bytes.
    tap_call : float
        Interpreter time of one tap of one job.
    tap : dict
        Per multiply-add of the blocked form.
    handover : float
        By which a job of a matrix product, or of loops over a copy, takes longer beside other threads.
    loop_step : dict
        One tap of the compiled form, for all the outputs that are summed abreast, by the bytes of these.
    loop_line : float
        To begin a line of taps for them.
    loop_miss : float
        The same, beyond that, where channels lie such that their rows cannot stay in the cache together.
    loop_edge : float
        One tap of the outputs at both ends of a row, which reach past it.
    loop_call : float
        Interpreter time of one call of a loop: for every kernel, and once more for the ends of rows.
    loop_small : float
        Interpreter time of a small problem, whose window is kept, beside its calls of a loop.
    loop_copy : float
        Per byte of windows that are copied before they are summed; turned, as strides need it, they are twice that.
    loop_desk : float
        Interpreter time of a call that copies more than one window.
    line_call : float
        Interpreter time of one np.correlate among others.
    lone_line : float
        The same of one alone, made to measure.
    short_line : dict
        Per multiply-add of a line with at most 11 taps.
    dot : dict
        Per output of a line with more taps: one call of the dot product.
    dot_tail : dict
        Per output and tap beyond the last multiple of 32, which BLAS adds one at a time.
    long_line : dict
        Per multiply-add of such a line.
    """

    call: float
    job: float
    thread: float
    copy: float
    memory: float
    stream: float
    product: dict[str, float]
    pack: float
    run: float
    tap_call: float
    tap: dict[str, float]
    handover: float
    loop_step: dict[str, float]
    loop_line: float
    loop_miss: float
    loop_edge: float
    loop_call: float
    loop_small: float
    loop_copy: float
    loop_desk: float
    line_call: float
    lone_line: float
    short_line: dict[str, float]
    dot: dict[str, float]
    dot_tail: dict[str, float]
    long_line: dict[str, float]


def fits(form: str, p: ConvProblem) -> bool:
    """Whether `form` can answer `p`. "taps" takes everything but input dilation."""
    if form == "direct":
        return any(fits(f, p) for f in FORMS)
    if form in ("gemm", "band"):
        return _is_product(p) and (
            bool(bands(p)) if form == "band" else all(c.full for c in cut(p, (1,) * p.ndim))
        )
    if any(b > 1 for b in p.lhs_dilation):
        return False
    if form == "taps":
        return True
    if p.ndim == 0 or any(k == 0 for k in p.kernel_size):
        return False
    if form == "jit":
        return p.dtype.char in "fdbBhHiIlLqQ" and has_compiler()
    axis = line_axis(p)
    dense = p.stride[axis] == 1 and (p.rhs_dilation[axis] == 1 or p.kernel_size[axis] == 1)
    extends = sum(k > 1 for k in p.kernel_size)
    if any(b for a, b in enumerate(p.boundary) if a != axis):
        return False
    return extends <= 1 and dense and p.group_inputs == p.group_outputs == 1


def _is_product(p: ConvProblem) -> bool:
    """Whether BLAS takes the dtype and no axis is dilated on both sides."""
    if p.ndim == 0 or p.dtype.char not in "fdFD" or 0 in p.kernel_size:
        return False
    return all(b == 1 or d == 1 for b, d in zip(p.lhs_dilation, p.rhs_dilation, strict=True))


@cache
def has_compiler() -> bool:
    """Whether the optional compiler is installed; it is not loaded here."""
    return find_spec("llvmlite") is not None


@lru_cache(maxsize=1024)
def cheapest(p: ConvProblem, host: DirectCosts) -> str:
    """The form that "direct" takes: the fastest on one worker, so that the sum is the same on any number."""
    return min((f for f in FORMS if fits(f, p)), key=lambda f: seconds(f, p, 1, host))


def seconds(form: str, p: ConvProblem, workers: int, host: DirectCosts) -> float:
    """Predicted time of `form`."""
    if form == "direct":
        form = cheapest(p, host)
    work = work_of(form, p, host)
    used = _worth_waking(work, workers, host)
    # a single line needs next to nothing around it
    call = 0.0 if form == "lines" and work.jobs == 1 else host.call
    return call + _shared(work, used, host)


def useful_workers(form: str, p: ConvProblem, most: int, host: DirectCosts) -> int:
    """How many of `most` threads `form` has work for that repays waking them."""
    if form == "direct":
        form = cheapest(p, host)
    return _worth_waking(work_of(form, p, host), most, host)


class Work(NamedTuple):
    """Jobs of a form, the seconds of all of them on one worker, and by how many each takes longer beside another."""

    jobs: int
    busy: float
    wait: float


@lru_cache(maxsize=1024)
def work_of(form: str, p: ConvProblem, host: DirectCosts) -> Work:
    """What `form` has to do. Many short calls to a job are as many at which threads wait for the interpreter."""
    from_copies = form in ("gemm", "band") or (form == "jit" and inside(p) is None and not is_small(p))
    return Work(*_MODELS[form](form, p, host), host.handover if from_copies else 0.0)


def _worth_waking(work: Work, most: int, host: DirectCosts) -> int:
    # threads that gain less than it takes to wake them would, as likely as not, gain nothing
    used = min(most, work.jobs)
    return used if used > 1 and _shared(work, used, host) + host.thread < work.busy else 1


def _shared(work: Work, used: int, host: DirectCosts) -> float:
    """Time on so many threads."""
    if used == 1:
        return work.busy
    return work.busy / used + host.thread + -(-work.jobs // used) * work.wait


def scratch(form: str, p: ConvProblem, workers: int, host: DirectCosts) -> int:
    """Predicted bytes beyond input and output."""
    if form == "direct":
        form = cheapest(p, host)
    size = p.dtype.itemsize
    if form == "lines":
        return workers * size * (min(line_block(p), p.output_size[line_axis(p)]) + max(p.kernel_size))
    kernel = size * prod(p.w_shape)
    if form == "taps":
        lengths = tap_lengths(p)
        return kernel + workers * size * (
            (2 + taps_together(p)) * prod(lengths) + _window(p, cut(p, (1,) * p.ndim), lengths)
        )
    if form == "jit" and is_small(p):
        return kernel + size * _copied(p, (p.groups, p.batch, *p.output_size))
    if form == "jit":
        return kernel + workers * size * max((_copied(p, lengths) for lengths in copied_boxes(p)), default=0)
    layout = patches(p, form, host)
    height = p.group_outputs * prod(c.rows for c in layout.cells)
    patch = prod(c.patch for c in layout.cells)
    passes = 1 if layout.channels == p.group_inputs else 2
    matrix = size * p.groups * height * p.group_inputs * patch
    per_worker = layout.columns * (layout.channels * patch + passes * height)
    return matrix + workers * size * (per_worker + _window(p, layout.cells, layout.lengths))


def _copied(p: ConvProblem, lengths: Ints) -> int:
    """What a worker holds while compiled loops answer a box of so many outputs from a copy of its window."""
    window = _window(p, cut(p, (1,) * p.ndim), lengths)
    # they add up in the output itself, but where their rows run along another axis than the last
    axis = max(range(p.ndim), key=lambda i: (lengths[2 + i], i))
    across = axis < p.ndim - 1
    turned = window if across or p.stride[axis] > 1 else 0
    return window + turned + across * p.group_outputs * prod(lengths)


def _window(p: ConvProblem, cells: tuple[Cells, ...], lengths: Ints) -> int:
    """Samples that one job reads."""
    groups, batch, *counts = lengths
    return groups * batch * p.group_inputs * prod(c.reach(n) for c, n in zip(cells, counts, strict=True))


def _jobs(sizes: Ints, lengths: Ints) -> int:
    return prod(-(-n // length) for n, length in zip(sizes, lengths, strict=True))


# --- blocked multiply-add


def tap_lengths(p: ConvProblem) -> Ints:
    """Extent of one job over (groups, batch, *outputs): what is added up stays in the cache."""
    return (1, *chunks((p.batch, *p.output_size), min(BLOCK_BYTES // p.dtype.itemsize, 32768)))


def taps_together(p: ConvProblem) -> int:
    """How many taps are multiplied at once, before their products are added one after the other.

    That pays where a block is small, and a call of NumPy takes longer than what it computes. The products of a single
    output NumPy would add up in another order.
    """
    total = prod(tap_lengths(p))
    most = PRODUCT_BYTES // max(1, p.dtype.itemsize * total)
    if total < 2 or most < FEWEST_TAPS or p.dtype.kind not in "fiu":
        return 1
    return max(1, min(most, p.group_inputs * prod(p.kernel_size)))


def _taps(form: str, p: ConvProblem, host: DirectCosts) -> tuple[int, float]:
    """Jobs, and the time of all of them on one worker."""
    lengths = tap_lengths(p)
    jobs = _jobs((p.groups, p.batch, *p.output_size), lengths)
    size = p.dtype.itemsize
    together = taps_together(p)
    calls = p.group_outputs * -(-p.group_inputs * prod(p.kernel_size) // together)
    each = host.tap.get(p.dtype.char, 0.05e-9 * size)
    # a strided source is read one element at a time, and many products leave the innermost cache
    each *= (2 if p.stride and p.stride[-1] > 1 else 1) * (1.5 if together > 1 else 1)
    moved = host.memory * size * (jobs * _window(p, cut(p, (1,) * p.ndim), lengths) + prod(p.out_shape))
    return jobs, jobs * (host.job + calls * host.tap_call) + p.macs * each + moved


# --- compiled multiply-add


def _loops(form: str, p: ConvProblem, host: DirectCosts) -> tuple[int, float]:
    """Rows where they are, or window by window from copies; rows that are short fill the vectors badly."""
    if is_small(p):
        return _from_window(p, host)
    moved = host.stream * p.dtype.itemsize * (prod(p.x_shape) + prod(p.out_shape))
    if inside(p) is None:
        jobs = _jobs((p.groups, p.batch, *p.output_size), loop_lengths(p))
        return jobs, moved + _from_copies(p, jobs, host)
    # what is read in place is one job, whatever its size, of which threads claim parts of rows
    around = 2 * (p.ndim - len(open_axes(p)))
    desk = host.loop_desk if around else 0.0
    rows = prod(p.out_shape[:-1])
    ends = rows * p.group_inputs * prod(p.kernel_size) if _has_ends(p) else 0
    samples = samples_a_call(
        p, (p.batch, 1, p.group_inputs, *p.input_size), (p.batch, 1, p.group_outputs, *p.output_size)
    )
    calls = -(-p.batch // samples) * p.out_channels * (2 if ends else 1)
    busy = (1 + around) * host.job + desk + calls * host.loop_call + ends * host.loop_edge
    claims = rows * -(-p.output_size[-1] // row_outputs(p))
    return claims, busy + rows * row_seconds(p, p.output_size[-1], host) + moved


def _from_window(p: ConvProblem, host: DirectCosts) -> tuple[int, float]:
    """All rows from one copy that stays in the cache, as is the result."""
    lengths = (p.groups, p.batch, *p.output_size)
    n = max(p.output_size)
    copied = p.dtype.itemsize * _copied(p, lengths)
    turned = p.stride[-1] > 1 or n > p.output_size[-1]
    calls = host.loop_small + p.out_channels * host.loop_call
    sums = prod(p.out_shape) / n * row_seconds(p, n, host)
    claims = 1 if is_lone(p) else prod(p.out_shape) // n
    return claims, calls + copied * (host.loop_copy if turned else host.copy) + sums


def _has_ends(p: ConvProblem) -> bool:
    """Whether rows in place have outputs that see what lies beyond them."""
    (begin, end), m = (inside(p) or ((0, 0),))[-1], p.output_size[-1]
    return end - begin < m and p.ndim - 1 in open_axes(p)


def _from_copies(p: ConvProblem, jobs: int, host: DirectCosts) -> float:
    """Every window copied, and turned where its rows lie along another axis or are strided."""
    lengths = loop_lengths(p)[2:]
    n = max(lengths)
    copied = jobs * p.dtype.itemsize * _window(p, cut(p, (1,) * p.ndim), loop_lengths(p))
    turned = p.stride[-1] > 1 or n > lengths[-1]
    calls = max(jobs, p.groups) * p.group_outputs * host.loop_call + (host.loop_desk if jobs > 1 else 0.0)
    sums = prod(p.out_shape) / n * row_seconds(p, n, host)
    return jobs * host.job + calls + copied * host.loop_copy * (2 if turned else 1) + sums


def row_seconds(p: ConvProblem, n: int, host: DirectCosts) -> float:
    """Taps of so many of the n outputs of a row abreast, line by line of the kernel."""
    size = p.dtype.itemsize
    width = next(b for b in ABREAST if b <= n * size or b == ABREAST[-1])
    lines = p.group_inputs * prod(p.kernel_size[:-1])
    # planes that are whole pages apart share their sets, of which one is full with eight
    miss = host.loop_miss if p.group_inputs > WAYS and size * prod(p.input_size) % PAGE_BYTES == 0 else 0.0
    each = lines * (host.loop_line + miss + p.kernel_size[-1] * host.loop_step[str(width)])
    return -(-n // max(1, width // size)) * each


# --- lines


def line_axis(p: ConvProblem) -> int:
    """The one spatial axis along which the kernel extends (the last one if it does along none)."""
    return max(range(p.ndim), key=lambda i: (p.kernel_size[i] > 1, i))


def is_one_line(p: ConvProblem) -> bool:
    """Whether np.correlate answers `p` in one call: one short signal, one kernel, zeros outside."""
    alone = p.ndim == p.batch == p.in_channels == p.out_channels == 1 and not p.outside.along
    return alone and p.output_size[0] <= line_block(p) and fits("lines", p)


def line_block(p: ConvProblem) -> int:
    """Outputs of one np.correlate call; not so few that its edges matter."""
    k = max(p.kernel_size)
    return SHORT_LINE_BLOCK if k <= SHORT_LINE else max(LINE_BLOCK, 8 * k)


def _lines(form: str, p: ConvProblem, host: DirectCosts) -> tuple[int, float]:
    axis = line_axis(p)
    m, k, char = p.output_size[axis], p.kernel_size[axis], p.dtype.char
    rows = prod(p.out_shape) // max(m, 1)
    jobs = rows * -(-m // line_block(p))
    if k <= SHORT_LINE and char in host.short_line:
        fixed, each = 0.0, host.short_line[char]
    else:
        fixed = host.dot.get(char, 2e-9) + k % 32 * host.dot_tail.get(char, 0.0)
        each = host.long_line.get(char, 0.55e-9)
    # lines that stay in the cache are read as fast as they are summed
    size, last = p.dtype.itemsize, axis == p.ndim - 1
    cached = last and size * (prod(p.x_shape) + prod(p.out_shape)) <= CACHED_BYTES
    moved = 0.0 if cached else host.memory * size * (1 if last else 6)
    # no tap is multiplied by the zeros outside
    (lo, hi), reach = p.pads[axis], m * k
    seen = (reach - sum(min(a, m) * (min(a, m) + 1) // 2 for a in (lo, hi) if a > 0)) / reach
    calls = host.lone_line if is_one_line(p) else jobs * host.line_call
    return jobs, calls + rows * m * (fixed + k * seen * each + moved)


# --- channel products


@dataclass(frozen=True)
class Patches:
    """How a channel product is cut up.

    Attributes
    ----------
    cells : tuple of Cells
        The cut of every spatial axis.
    lengths : tuple of int
        Extent of one job over (groups, batch, *counts).
    channels : int
        Input channels gathered at once.
    """

    cells: tuple[Cells, ...]
    lengths: Ints
    channels: int

    @property
    def counts(self) -> Ints:
        """Cells per spatial axis."""
        return tuple(c.count for c in self.cells)

    @property
    def turns(self) -> int:
        """Columns that one cell of every axis stands for."""
        return prod(c.turns for c in self.cells)

    @property
    def columns(self) -> int:
        """Columns of one job, all groups together."""
        return prod(self.lengths) * self.turns


@lru_cache(maxsize=1024)
def patches(p: ConvProblem, form: str, host: DirectCosts) -> Patches:
    """The cut of `form`: "band" takes the cheapest of its bands, the others have none."""
    layouts = [_layout(p, rows) for rows in (bands(p) if form == "band" else [(1,) * p.ndim])]
    return min(layouts, key=lambda layout: product_seconds(p, layout, host))


def bands(p: ConvProblem) -> list[Ints]:
    """Every band worth a look: some rows along one axis other than the last, whose runs are long."""
    single = [(1,) * p.ndim] if any(b > 1 for b in p.lhs_dilation) else []
    return single + [
        (*(1,) * i, r, *(1,) * (p.ndim - 1 - i))
        for i in range(p.ndim - 1)
        if p.kernel_size[i] > 1
        for r in BAND_ROWS
        if r < 2 * p.output_size[i]
    ]


def _layout(p: ConvProblem, rows: Ints) -> Patches:
    cells = cut(p, rows)
    sizes = (p.groups, p.batch, *(c.count for c in cells))
    patch, turns = p.dtype.itemsize * prod(c.patch for c in cells), prod(c.turns for c in cells)
    channels = max(1, min(p.group_inputs, COLUMN_BYTES // (patch * FEWEST_COLUMNS)))
    target = max(FEWEST_COLUMNS, min(COLUMN_BYTES // (patch * channels), prod(sizes) * turns // 8))
    return Patches(cells, chunks(sizes, target // turns), channels)


def _product(form: str, p: ConvProblem, host: DirectCosts) -> tuple[int, float]:
    layout = patches(p, form, host)
    return _jobs((p.groups, p.batch, *layout.counts), layout.lengths), product_seconds(p, layout, host)


def product_seconds(p: ConvProblem, layout: Patches, host: DirectCosts) -> float:
    """Window in, columns gathered, product, result out."""
    size, rows = p.dtype.itemsize, prod(c.rows for c in layout.cells)
    sizes = (p.groups, p.batch, *layout.counts)
    jobs = _jobs(sizes, layout.lengths)
    gathered = prod(sizes) * layout.turns * p.group_inputs * prod(c.patch for c in layout.cells)
    runs = gathered / layout.lengths[-1]
    stride = 2.5 if layout.cells[-1].step > 1 else 1
    moved = host.memory * size * (jobs * _window(p, layout.cells, layout.lengths) + 2 * prod(p.out_shape))
    each = size * (host.copy * stride + host.pack) + p.group_outputs * rows * host.product[p.dtype.char]
    return jobs * host.job + rows * host.tap_call + moved + runs * host.run + gathered * each


_MODELS: dict[str, Callable[[str, ConvProblem, DirectCosts], tuple[int, float]]] = {
    "lines": _lines,
    "taps": _taps,
    "jit": _loops,
    "gemm": _product,
    "band": _product,
}
