"""What the direct methods cost: how each would cut a problem up, and predicted seconds and bytes.

Pure functions of the problem. The cutting stands here and not in the methods, because a prediction is only
as good as its knowledge of the blocks that will run, and because blocks must not depend on the workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from fftconv.core.problem import ConvProblem, Ints

BLOCK_BYTES = 128 * 2**10
COLUMN_BYTES = 512 * 2**10
FEWEST_COLUMNS = 64


@dataclass(frozen=True)
class Patches:
    """How a channel product is cut up.

    Attributes
    ----------
    rows : tuple of int
        Outputs per spatial axis that one column yields; all 1 without a band.
    cells : tuple of int
        Columns per spatial axis.
    lengths : tuple of int
        Extent of one job over (groups, batch, *cells).
    channels : int
        Input channels gathered at once.
    """

    rows: Ints
    cells: Ints
    lengths: Ints
    channels: int


def chunks(sizes: Ints, target: int) -> Ints:
    """Lengths of a box of about `target` cells, the last axes whole first, that cuts `sizes` evenly."""
    found, room = [], max(1, target)
    for n in reversed(sizes):
        parts = -(-n // min(n, room)) if n else 1
        length = max(1, -(-n // parts))
        found.append(length)
        room = max(1, room // length)
    return tuple(reversed(found))


# --- blocked multiply-add


def tap_block(p: ConvProblem) -> int:
    """Outputs in one block: what is added up stays in the cache."""
    return max(1024, min(BLOCK_BYTES // p.dtype.itemsize, 32768))


# --- lines


def line_axis(p: ConvProblem) -> int:
    """The one spatial axis along which the kernel extends (the last one if it does along none)."""
    return max(range(p.ndim), key=lambda i: (p.kernel_size[i] > 1, i))


def line_block(p: ConvProblem) -> int:
    """Outputs of one np.convolve call."""
    return max(16384, 8 * max(p.kernel_size))


# --- channel products


@lru_cache(maxsize=1024)
def patches(p: ConvProblem, method: str) -> Patches:
    """The cut of `method`: "gemm" without a band, "band" with the cheapest one."""
    rows = (1,) * p.ndim
    if method == "band":
        rows = min(bands(p), key=lambda r: band_cost(p, r))
    return cut(p, rows)


def cut(p: ConvProblem, rows: Ints) -> Patches:
    cells = tuple(-(-m // r) for m, r in zip(p.output_size, rows, strict=True))
    patch = p.dtype.itemsize * prod((r - 1) * s + k for r, s, k in zip(rows, p.stride, p.kernel_size, strict=True))
    channels = max(1, min(p.group_inputs, COLUMN_BYTES // (patch * FEWEST_COLUMNS)))
    total = p.groups * p.batch * prod(cells)
    target = max(FEWEST_COLUMNS, min(COLUMN_BYTES // (patch * channels), total // 8))
    return Patches(rows, cells, chunks((p.groups, p.batch, *cells), target), channels)


def bands(p: ConvProblem) -> list[Ints]:
    """Every band worth a look: 2 to 64 rows along one axis that is not the last."""
    return [
        (*(1,) * i, r, *(1,) * (p.ndim - 1 - i))
        for i in range(p.ndim - 1)
        if p.kernel_size[i] > 1 and p.rhs_dilation[i] == 1
        for r in (2, 4, 8, 12, 16, 24, 32)
        if r < 2 * p.output_size[i]
    ]


def band_cost(p: ConvProblem, rows: Ints) -> float:
    import os
    if "R" in os.environ:
        return abs(prod(rows)-int(os.environ["R"]))
    height = p.group_outputs * prod(rows)
    depth = p.group_inputs * prod((r - 1) * s + k for r, s, k in zip(rows, p.stride, p.kernel_size, strict=True))
    return (depth * (height * .025 + .15) + height * .15 )/ prod(rows)


def fits(form: str, p: ConvProblem) -> bool:
    """Whether `form` can compute `p` at all; input dilation is split into phases before."""
    if form == "taps":
        return True
    if p.ndim == 0 or p.dtype.char == "e":
        return False
    if form == "lines":
        along = [k > 1 for k in p.kernel_size]
        unit = all(s == d == 1 for s, d, k in zip(p.stride, p.rhs_dilation, p.kernel_size, strict=True) if k > 1)
        return sum(along) <= 1 and unit and p.group_inputs == p.group_outputs == 1
    if p.dtype.char not in "fdFD":
        return False
    return form == "gemm" or bool(bands(p))


def cheapest(p: ConvProblem, workers: int) -> str:
    return min((f for f in ("lines", "gemm", "taps") if fits(f, p)), key=lambda f: seconds(f, p, workers))


def seconds(form: str, p: ConvProblem, workers: int) -> float:
    return {"lines": 1.0, "gemm": 2.0, "taps": 3.0}[form]

_ = np
