"""How one spatial axis is cut into cells, each of which a matrix product answers from one patch of samples.

Output ``y = (c*R + r)*T + t`` is row r of turn t of cell c. With stride s, kernel dilation d, input dilation b and
g = gcd(s, d) it reads, for tap u:

* b = 1, ``T = d/g``: sample ``c*R*T*s + t*s - lo + d*(r*s/g + u)``. The rows of one cell share the samples of one
  residue modulo d, and meet them ``s/g`` apart.
* d = 1, R a multiple of ``b / gcd(b, s)``, T = 1: sample ``c*R*s/b + (r*s + u - lo)/b``, for the taps that divide.

A patch is all that the rows of a cell read; what a row does not read of it has weight zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import gcd

from fftconv.core.problem import ConvProblem, Ints

Span = tuple[int, int]
"""Begin and end."""


@dataclass(frozen=True)
class Cells:
    """The cells of one axis.

    Attributes
    ----------
    rows, turns : int
        R and T.
    count : int
        Cells (of all turns) that cover the outputs; the last may reach past them.
    step, shift : int
        Samples from one cell to the next, and from one turn to the next.
    first : int
        Sample at which the patch of the first cell begins; negative in the padding.
    patch, spacing : int
        Samples in a patch and the distance between them.
    weights : tuple of (slice, slice)
        Per row, its taps and their places in the patch.
    """

    rows: int
    turns: int
    count: int
    step: int
    shift: int
    first: int
    patch: int
    spacing: int
    weights: tuple[tuple[slice, slice], ...]

    @property
    def outputs(self) -> int:
        """Outputs in one cell, all turns together."""
        return self.rows * self.turns

    @property
    def full(self) -> bool:
        """Whether every row reads its whole patch, so that no sample meets a weight of zero."""
        return all(place == slice(0, self.patch) for _, place in self.weights)

    def reach(self, count: int) -> int:
        """Samples from the first to the last that `count` neighbouring cells read."""
        return (count - 1) * self.step + (self.turns - 1) * self.shift + (self.patch - 1) * self.spacing + 1


@lru_cache(maxsize=1024)
def cut(p: ConvProblem, rows: Ints) -> tuple[Cells, ...]:
    """The cells of every axis; one row stands for ``b / gcd(b, s)`` where the input is dilated by b."""
    return tuple(
        (_cells if b == 1 else _woven)(p, i, r)
        for i, (b, r) in enumerate(zip(p.lhs_dilation, rows, strict=True))
    )


def _cells(p: ConvProblem, i: int, rows: int) -> Cells:
    k, m, s, d, lo = p.kernel_size[i], p.output_size[i], p.stride[i], p.rhs_dilation[i], p.pads[i][0]
    turns = d // gcd(s, d) if rows > 1 else 1
    apart = turns * s // d
    weights = tuple((slice(0, k, 1), slice(r * apart, r * apart + k)) for r in range(rows))
    patch = (rows - 1) * apart + k
    return Cells(rows, turns, -(-m // (rows * turns)), rows * turns * s, s, -lo, patch, d, weights)


def _woven(p: ConvProblem, i: int, rows: int) -> Cells:
    k, m, s, b, lo = p.kernel_size[i], p.output_size[i], p.stride[i], p.lhs_dilation[i], p.pads[i][0]
    rows *= b // gcd(b, s)
    # the first tap u of row r for which b divides r*s + u - lo
    starts = [(lo - r * s) % b for r in range(rows)]
    reads = [((r * s + u - lo) // b, len(range(u, k, b))) for r, u in enumerate(starts)]
    used = [(q, q + taps) for q, taps in reads if taps]
    first = min((q for q, _ in used), default=0)
    patch = max((end for _, end in used), default=1) - first
    weights = tuple(
        (slice(u, k, b), slice(q - first, q - first + taps)) if taps else (slice(0, 0, b), slice(0, 0))
        for u, (q, taps) in zip(starts, reads, strict=True)
    )
    return Cells(rows, 1, -(-m // rows), rows * s // b, 0, first, patch, 1, weights)


def chunks(sizes: Ints, target: int) -> Ints:
    """Lengths of a box of at most about `target` cells, the last axes whole first, that cuts `sizes` evenly."""
    found, room = [], max(1, target)
    for n in reversed(sizes):
        parts = -(-n // min(n, room)) if n else 1
        length = max(1, -(-n // parts))
        found.append(length)
        room = max(1, room // length)
    return tuple(reversed(found))


def boxes(sizes: Ints, lengths: Ints) -> Iterator[tuple[Span, ...]]:
    """The (begin, end) pairs of every box of `lengths` that together cover `sizes`."""
    axes = (
        [(a, min(a + length, n)) for a in range(0, n, length)]
        for n, length in zip(sizes, lengths, strict=True)
    )
    return product(*axes)
