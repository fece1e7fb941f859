"""Integers as sums of digits that transforms are exact for; `core.exactness` derives when and how many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fftconv.core.lazy import lazy
from fftconv.core.problem import ConvProblem, Ints


@dataclass(frozen=True)
class Limbs:
    """How integers are split: the width of a limb in bits and the number of limbs, of x and of w.

    Examples
    --------
    >>> Limbs((16, 16), (4, 1), 64).shifts
    (0, 16, 32, 48)
    """

    width: tuple[int, int]
    count: tuple[int, int]
    bits: int

    @lazy
    def shifts(self) -> Ints:
        """The powers of two that the output channels stand for."""
        x, w = (range(0, n * width, width) for n, width in zip(self.count, self.width, strict=True))
        return tuple(sorted({i + j for i in x for j in w if i + j < self.bits}))

    @property
    def transforms(self) -> int:
        """Transforms of the signal, there and back."""
        return self.count[0] + len(self.shifts)

    @property
    def peaks(self) -> float:
        """Bound of the product of two limbs."""
        return 2.0 ** (sum(self.width) - 2)

    def problem(self, p: ConvProblem) -> ConvProblem:
        """The problem in float64 with limbs for channels."""
        real = np.dtype(np.float64)
        return p.with_(
            in_channels=p.in_channels * self.count[0],
            out_channels=p.out_channels * len(self.shifts),
            x_dtype=real,
            w_dtype=real,
            dtype=real,
        )
