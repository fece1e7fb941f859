"""Sums in higher precision, and how far from them a result may be by `docs/accuracy.md`."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2, prod
from operator import ge
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import oracle

SUMS = ("direct", "band", "jit")


@dataclass
class Answer:
    """What a call must return.

    Attributes
    ----------
    dtype, value
        The result; `value` in higher precision, or exact.
    slack : ndarray or None
        How far each element may be off; None for integers.
    empty : ndarray or None
        Where the window holds nothing but zeros, so that the result is one.
    unsure : ndarray or None
        Elements that rounding decides.
    lost : ndarray or None
        Where a masked result is masked.
    raises : exception type or None
        What the call must raise instead.
    """

    dtype: np.dtype
    value: Any = None
    slack: Any = None
    empty: Any = None
    unsure: Any = None
    lost: Any = None
    raises: type[Exception] | None = None


class Sum(NamedTuple):
    """Exact sums, and what bounds their rounding: terms of each, points of a transform, norms of the operands."""

    value: np.ndarray
    magnitude: np.ndarray | None
    terms: int = 0
    points: int = 2
    norm: float = 0.0
    inputs: int = 1
    clears: bool = False

    @property
    def empty(self) -> np.ndarray | None:
        """Outputs that see nothing but zeros, where the kernel has none and is the shorter operand."""
        return self.magnitude == 0 if self.clears and self.magnitude is not None else None


def finite(a: np.ndarray) -> np.ndarray:
    """Magnitudes, 0 for what is not finite."""
    return np.abs(np.where(np.isfinite(a), a, 0).astype(complex if a.dtype.kind == "c" else float))


def norm(a: np.ndarray) -> float:
    return float(np.sqrt((finite(a) ** 2).sum()))


def problem(x: np.ndarray, w: np.ndarray, dtype: np.dtype, pads: Any, **more: Any) -> SimpleNamespace:
    """Canonical operands (N, C, *S) and (O, C/g, *K) as the oracle takes them."""
    ones = (1,) * (x.ndim - 2)
    plain = {"stride": ones, "lhs_dilation": ones, "rhs_dilation": ones, "groups": 1, "flip": False} | more
    return SimpleNamespace(
        batch=x.shape[0], in_channels=x.shape[1], out_channels=w.shape[0], input_size=x.shape[2:],
        kernel_size=w.shape[2:], pads=tuple(pads), dtype=dtype, **plain,
    )  # fmt: skip


def tap_sum(p: SimpleNamespace, x: np.ndarray, w: np.ndarray) -> Sum:
    """The sums of a canonical problem."""
    value = oracle.by_taps(p, x, w)
    if p.dtype.kind in "iub":
        return Sum(value, None)
    sizes = zip(x.shape[2:], p.pads, w.shape[2:], p.lhs_dilation, p.rhs_dilation, strict=True)
    points = prod(2 * (n * b + max(lo, 0) + max(hi, 0) + k * d) for n, (lo, hi), k, b, d in sizes)
    magnitude = oracle.by_taps(p, finite(x), finite(w), np.dtype(float))
    clears = bool((np.isfinite(w) & (w != 0)).all() and w.size) and all(map(ge, x.shape[2:], w.shape[2:]))
    return Sum(value, magnitude, w[:1].size, points, norm(x) * norm(w), w.shape[1], clears)


def rounding(found: Sum, dtype: np.dtype, method: str) -> np.ndarray:
    """The bound of docs/accuracy.md for `method`, or the larger one where it is the planner's choice."""
    eps = float(np.finfo(np.float32 if dtype == np.float16 else dtype).eps)
    slack = (found.terms + 2) * eps * found.magnitude
    if method not in SUMS:
        transform = eps / 2 * (24 * log2(max(found.points, 2)) + 2 * found.inputs) * found.norm
        # of a sum of up to three products of 1-d kernels: each may be larger than the kernel
        growth = 1 if method in ("fft", "overlap_save") else 7 * np.sqrt(found.terms + 1)
        slack = np.maximum(slack, growth * transform)
    return slack + np.finfo(np.float32 if dtype == np.float16 else dtype).tiny


def answered(found: Sum, dtype: np.dtype, keywords: dict[str, Any], bias: np.ndarray | None = None) -> Answer:
    """The sums (and `bias`) in the dtype of the result."""
    value, magnitude = found.value, found.magnitude
    if bias is not None:
        value = (value + bias.astype(value.dtype)).astype(value.dtype)
    if magnitude is None:
        return Answer(dtype, value)
    slack = rounding(found, dtype, keywords.get("method", "auto"))
    if keywords.get("rtol") is not None or keywords.get("atol") is not None:
        slack = np.minimum(slack, keywords.get("rtol", 0.0) * magnitude + keywords.get("atol", 0.0))
    unsure = None
    if bias is not None:
        magnitude = magnitude + finite(bias)
        slack = slack + float(np.finfo(dtype).eps) * magnitude
    if dtype == np.float16:
        slack = slack + 2.0**-11 * (finite(value) + slack) * (1 + (bias is not None)) + 2.0**-24
        unsure = finite(value) + 4 * slack > 65000
    return Answer(dtype, value, slack, found.empty if bias is None else None, unsure)


def wider(dtype: np.dtype) -> np.dtype:
    kinds = {"b": bool, "i": np.uint64, "u": np.uint64, "c": np.clongdouble, "f": np.longdouble}
    return np.dtype(kinds[dtype.kind])


def dilated(n: int, d: int) -> int:
    return (n - 1) * d + 1 if n else 0
