"""A convolution as one small immutable description, and the size formulas that belong to it.

Canonical layout: input ``x`` is (N, C, \\*S), kernel ``w`` is (O, C/groups, \\*K), output is (N, O, \\*M).
Per spatial axis, with input dilation ``b``, kernel dilation ``d``, stride ``s`` and pads ``(lo, hi)``::

    out[y] = sum_u w[u] * xpad[y*s + u*d],     xpad[p] = x[(p - lo) / b] where that index exists, else 0

(or else what `core.boundary` puts there), which is correlation. ``flip`` reverses the kernel along every spatial
axis first, which is convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any

import numpy as np

from fftconv.core.boundary import ZEROS, Boundary, Outside
from fftconv.core.lazy import lazy

Pads = tuple[tuple[int, int], ...]
Ints = tuple[int, ...]


def at(*spatial: Any) -> Any:
    """The index of spatial parts, one slice or number per spatial axis, of an array in the canonical layout."""
    return (..., *spatial)


def dilated_size(n: int, dilation: int) -> int:
    """Length of `n` samples with ``dilation - 1`` zeros between neighbours."""
    return 0 if n == 0 else (n - 1) * dilation + 1


def same_pads(n: int, k: int, stride: int = 1) -> tuple[int, int]:
    """Pads that give ``ceil(n / stride)`` outputs, the odd sample to the right (jax SAME, torch "same")."""
    total = max((-(-n // stride) - 1) * stride + k - n, 0)
    return total // 2, total - total // 2


def same_lower_pads(n: int, k: int, stride: int = 1) -> tuple[int, int]:
    """Pads that give ``ceil(n / stride)`` outputs, the odd sample to the left (jax SAME_LOWER, scipy same)."""
    hi, lo = same_pads(n, k, stride)
    return lo, hi


@dataclass(frozen=True)
class ConvProblem:
    """What is to be computed: sizes, geometry and dtypes, no arrays and no strings.

    Attributes
    ----------
    batch, in_channels, out_channels, groups : int
        N, C, O and the number of groups; each output channel sees ``in_channels // groups`` inputs.
    input_size, kernel_size : tuple of int
        S and K, one entry per spatial axis. A spatial axis of kernel length 1 is a batch axis by another
        name: it is never transformed.
    pads : tuple of (int, int)
        Samples read before and after the dilated input; negative entries crop it.
    stride, lhs_dilation, rhs_dilation : tuple of int
        Per spatial axis, all >= 1.
    flip : bool
        True for convolution (kernel reversed), False for correlation.
    x_dtype, w_dtype, dtype : numpy.dtype
        Native dtypes of the operands and of the result, in which sums are accumulated.
    outside : Outside
        What the pads show; along a dilated input nothing but zeros.
    """

    batch: int
    in_channels: int
    out_channels: int
    groups: int
    input_size: Ints
    kernel_size: Ints
    pads: Pads
    stride: Ints
    lhs_dilation: Ints
    rhs_dilation: Ints
    flip: bool
    x_dtype: np.dtype
    w_dtype: np.dtype
    dtype: np.dtype
    outside: Outside = ZEROS

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.input_size)

    @lazy
    def dilated_input(self) -> Ints:
        return tuple(map(dilated_size, self.input_size, self.lhs_dilation))

    @lazy
    def dilated_kernel(self) -> Ints:
        return tuple(map(dilated_size, self.kernel_size, self.rhs_dilation))

    @lazy
    def output_size(self) -> Ints:
        """Output length per axis, 0 where the kernel does not fit."""
        return tuple(
            max(0, (n + lo + hi - k) // s + 1)
            for n, k, s, (lo, hi) in zip(
                self.dilated_input, self.dilated_kernel, self.stride, self.pads, strict=True
            )
        )

    @lazy
    def boundary(self) -> tuple[Boundary, ...]:
        """What lies outside, per spatial axis."""
        return self.outside.along or (Boundary.ZERO,) * self.ndim

    @property
    def x_shape(self) -> Ints:
        return (self.batch, self.in_channels, *self.input_size)

    @property
    def w_shape(self) -> Ints:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    @property
    def out_shape(self) -> Ints:
        return (self.batch, self.out_channels, *self.output_size)

    @property
    def group_inputs(self) -> int:
        """Input channels that one output channel sees."""
        return self.in_channels // self.groups

    @property
    def group_outputs(self) -> int:
        return self.out_channels // self.groups

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct sum, edges counted as if they were full."""
        return prod(self.out_shape) * self.group_inputs * prod(self.kernel_size)

    @lazy
    def _hash(self) -> int:
        return hash(tuple(getattr(self, f.name) for f in fields(self)))

    def __hash__(self) -> int:
        """Computed once: a short call looks its problem up several times."""
        return self._hash

    def with_(self, **changes: object) -> ConvProblem:
        """The same problem with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def __str__(self) -> str:
        def by(sizes: Sequence[int]) -> str:
            return "x".join(map(str, sizes)) or "scalar"

        parts = [
            f"{'convolve' if self.flip else 'correlate'} "
            f"{self.batch}x{self.in_channels}->{self.out_channels} {by(self.input_size)} by {by(self.kernel_size)}",
            f"-> {by(self.output_size)}",
            f"pads {','.join(f'{lo}:{hi}' for lo, hi in self.pads)}" if any(map(any, self.pads)) else "",
            str(self.outside) if self.outside.along else "",
            f"stride {by(self.stride)}" if any(s > 1 for s in self.stride) else "",
            f"input dilation {by(self.lhs_dilation)}" if any(d > 1 for d in self.lhs_dilation) else "",
            f"kernel dilation {by(self.rhs_dilation)}" if any(d > 1 for d in self.rhs_dilation) else "",
            f"groups {self.groups}" if self.groups > 1 else "",
            self.dtype.name,
        ]
        return " ".join(p for p in parts if p)
