"""How a problem will be computed: immutable, made by the planner, printed by `explain`, obeyed by the methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from fftconv.core.limbs import Limbs
from fftconv.core.problem import ConvProblem, Ints

SUMS = ("direct", "band", "jit")
"""Methods that add up the products of every output on its own."""


class ScratchError(MemoryError, ValueError):
    """No method keeps within the bytes that it may use."""


class Tolerance(NamedTuple):
    """What an error may be: ``|error| <= absolute + relative * sum|x w|``, at every output."""

    relative: float
    absolute: float

    def __str__(self) -> str:
        return f"rtol={self.relative:.3g}, atol={self.absolute:.3g}"


@dataclass(frozen=True)
class Request:
    """What the caller asks of the planner beyond the problem itself.

    Attributes
    ----------
    method : str or None
        A registered method to force, or None to let cost decide.
    workers : int
        Upper bound of worker threads; 0 lets the planner decide.
    fft_exact : bool or None
        For integer problems: True where a bound proves that a rounded float64 transform gives the exact
        sums, False where it does not, None where nobody looked at the values.
    bits : (int, int)
        For integer problems: bits of the largest magnitude of input and kernel, where `fft_exact` is False.
    max_memory : int
        Bytes of scratch the plan may use; 0 is no bound.
    prepared : bool
        Whether the kernel's transforms are done once for many calls, and cost this one nothing.
    tiling : Tiling or None
        The tile that `overlap_save` has to use: of a problem at least as long, with no pads along axes that it does
        not cover.
    tolerance : Tolerance or None
        What the error may be. The planner knows no values; `core.certificate` puts them to its plans.
    inaccurate : tuple of str
        The methods that were found not to promise it.
    terms : int or None
        Products of 1-d kernels that the kernel is the sum of, 0 where it is not a sum of few, None where nobody
        looked.
    zeros : bool
        Whether outputs that see nothing but zeros are made exactly 0. Callers that know theirs do without.
    """

    method: str | None = None
    workers: int = 0
    fft_exact: bool | None = None
    max_memory: int = 0
    bits: tuple[int, int] = (0, 0)
    prepared: bool = False
    tiling: Tiling | None = None
    tolerance: Tolerance | None = None
    inaccurate: tuple[str, ...] = ()
    terms: int | None = None
    zeros: bool = True


@dataclass(frozen=True)
class Tiling:
    """The shape of one spectral tile.

    Attributes
    ----------
    nfft : tuple of int
        Transform length per spatial axis; 1 where the kernel has length 1 and nothing is transformed.
    step : tuple of int
        Outputs that one block yields per spatial axis (rows carried along, where nothing is transformed).
    blocks : int
        Blocks in one execute, neighbours along the last transformed axis.
    batch : int
        Entries of the batch axis N in one execute.
    packed : bool
        Whether two real tiles travel as the real and the imaginary part of one complex transform. A real kernel
        keeps them apart, so nothing needs to be unpacked.
    """

    nfft: Ints
    step: Ints
    blocks: int = 1
    batch: int = 1
    packed: bool = False


@dataclass(frozen=True)
class Candidate:
    """One method as the planner saw it: eligible with a predicted cost, or out for a stated reason.

    Attributes
    ----------
    method : str
    seconds, scratch, workers
        Predicted time, bytes beyond input and output, and threads.
    tiling : Tiling or None
        Tile of a spectral method.
    limbs : Limbs or None
        How integers are split that are too large for a transform to round.
    terms : int
        Products of 1-d kernels that a separable kernel is the sum of.
    by_strips : bool
        Whether both passes of a separable kernel are compiled loops, strip by strip.
    by_phases : bool
        Whether dilations are first split into dense problems, each answered by `method`.
    reason : str
        Why the method is out; empty where it is eligible.
    error : float
        Bound of the error of any output: of a sum, over the same sum with magnitudes; of a spectral tile, over the
        2-norms of the samples it holds and of the kernel; 0 where the result is exact.
    rank : float
        What methods are compared by: the predicted time on a nominal number of workers, so that the choice,
        and with it every bit of the result, does not depend on how many a call has.
    """

    method: str
    seconds: float = float("inf")
    scratch: int = 0
    workers: int = 1
    tiling: Tiling | None = None
    by_phases: bool = False
    reason: str = ""
    rank: float = 0.0
    limbs: Limbs | None = None
    error: float = 0.0
    terms: int = 0
    by_strips: bool = False

    @property
    def eligible(self) -> bool:
        return not self.reason

    @property
    def is_spectral(self) -> bool:
        """Whether the error is bounded tile by tile, and not output by output."""
        return self.method not in SUMS


@dataclass(frozen=True)
class ConvPlan:
    """A problem, the method that answers it, and what else could.

    Attributes
    ----------
    problem, chosen, engine
    table : callable, optional
        Makes `candidates`: all methods, as the planner sees them. Where one is forced, the others need not be weighed
        to answer.
    bound : float or None
        Where values were given: what the error of no output exceeds. Plans are equal whatever the values.
    """

    problem: ConvProblem
    chosen: Candidate
    engine: str
    table: Callable[[], tuple[Candidate, ...]] | None = field(default=None, compare=False, repr=False)
    bound: float | None = field(default=None, compare=False)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return (self.chosen,) if self.table is None else self.table()

    @property
    def method(self) -> str:
        return self.chosen.method

    @property
    def workers(self) -> int:
        return self.chosen.workers

    @property
    def memory(self) -> int:
        """Predicted bytes of scratch beyond input and output."""
        return self.chosen.scratch

    @property
    def tiling(self) -> Tiling:
        """The tile of a spectral plan."""
        assert self.chosen.tiling is not None, f"method {self.method} has no tiles"
        return self.chosen.tiling

    def __str__(self) -> str:
        rows = [("method", "predicted", "scratch", "workers", "error bound", "")]
        for c in self.candidates:
            name = f"{'*' if c == self.chosen else ' '} {c.method}"
            if c.eligible:
                found = _seconds(c.seconds), _bytes(c.scratch), str(c.workers), _error(c)
                rows.append((name, *found, _detail(c)))
            else:
                rows.append((name, "-", "-", "-", "-", c.reason))
        widths = [max(len(r[i]) for r in rows) for i in range(5)]
        table = [
            "  ".join([*(cell.ljust(w) for cell, w in zip(r, widths, strict=False)), r[-1]]) for r in rows
        ]
        values = [] if self.bound is None else [f"error of these values at most {self.bound:.2g}"]
        lines = [str(self.problem), f"engine {self.engine}", *table, *values]
        return "\n".join(line.rstrip() for line in lines)


def _seconds(t: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if t >= scale:
            return f"{t / scale:.3g} {unit}"
    return f"{t * 1e9:.3g} ns"


def _bytes(n: int) -> str:
    if n >= 2**30:
        return f"{n / 2**30:.1f} GiB"
    return f"{n / 2**20:.1f} MiB" if n >= 2**20 else f"{n / 2**10:.0f} KiB"


def _error(c: Candidate) -> str:
    """The bound of the error with what it is a multiple of."""
    if not c.error:
        return "exact"
    return f"{c.error:.2g} {'|x| |w|' if c.is_spectral else 'sum|x w|'}"


def _detail(c: Candidate) -> str:
    if c.limbs is not None:
        (n, m), (b, d) = c.limbs.count, c.limbs.width
        return f"{n} limbs of {b} bits by {m} of {d}"
    if c.terms:
        return (
            f"the kernel is {'a product' if c.terms == 1 else f'a sum of {c.terms} products'} of 1-d kernels"
        )
    return _tiles(c.tiling)


def _tiles(tiling: Tiling | None) -> str:
    """The tile in words, such as ``nfft 4096, 3096 outputs a block, 8 blocks an execute``."""
    if tiling is None:
        return ""

    def by(sizes: Ints) -> str:
        return "x".join(map(str, sizes))

    packed = ", two real tiles in one complex transform" if tiling.packed else ""
    blocks = tiling.blocks * tiling.batch
    held = f"{blocks} block{'s' * (blocks > 1)} an execute"
    return f"nfft {by(tiling.nfft)}, {by(tiling.step)} outputs a block, {held}{packed}"
