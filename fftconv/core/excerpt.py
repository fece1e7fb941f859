"""A part of the outputs as a problem of its own, with zeros outside: for the rare paths that count or split samples.

Methods never come here. They read windows through `core.boundary` and extend nothing.
"""

from __future__ import annotations

import numpy as np

from fftconv.core.boundary import ZEROS, Boundary, read
from fftconv.core.problem import ConvProblem
from fftconv.core.trim import trim

Box = tuple[tuple[int, int], ...]
"""Begin and end per axis; of a problem's outputs: of the batch, then of every spatial axis."""


def crop(p: ConvProblem, box: Box) -> ConvProblem:
    """The problem whose outputs are those of `p` inside `box`; pads say where its input begins and ends.

    Of the batch it keeps as many entries as `box` has; which ones is for the caller's views to say.

    Examples
    --------
    >>> import numpy as np
    >>> from fftconv.core.problem import ConvProblem
    >>> f8 = np.dtype("f8")
    >>> p = ConvProblem(1, 1, 1, 1, (10,), (3,), ((2, 2),), (1,), (1,), (1,), True, f8, f8, f8)
    >>> small = crop(p, ((0, 1), (4, 8)))
    >>> small.pads, small.output_size
    (((-2, -2),), (4,))
    """
    (first, last), *spans = box
    pads = []
    for (a, b), (lo, _), n, k, s in zip(
        spans, p.pads, p.dilated_input, p.dilated_kernel, p.stride, strict=True
    ):
        begin = lo - a * s
        pads.append((begin, (b - a - 1) * s + k - n - begin))
    return p.with_(batch=last - first, pads=tuple(pads))


def padded(p: ConvProblem) -> ConvProblem:
    """The problem whose input has the pads of extended axes in itself."""
    if p.outside == ZEROS:
        return p
    axes = list(zip(p.input_size, p.pads, p.boundary, strict=True))
    return p.with_(
        input_size=tuple(n + lo + hi if b else n for n, (lo, hi), b in axes),
        pads=tuple((0, 0) if b else pads for _, pads, b in axes),
        x_dtype=p.dtype if Boundary.CONSTANT in p.boundary else p.x_dtype,
        outside=ZEROS,
    )


def extended(p: ConvProblem, x: np.ndarray) -> np.ndarray:
    """The input of ``padded(p)``."""
    if p.outside == ZEROS:
        return x
    wide = padded(p)
    window = [
        (-lo if b else 0, n, 1) for n, (lo, _), b in zip(wide.input_size, p.pads, p.boundary, strict=True)
    ]
    found = np.empty(wide.x_shape, wide.x_dtype)
    read(x, window, p.outside, found)
    return found


Pair = tuple[np.ndarray, np.ndarray]


def excerpt(p: ConvProblem, box: Box, operands: Pair) -> tuple[ConvProblem, np.ndarray, np.ndarray]:
    """The outputs inside `box` as a trimmed problem with zeros outside, its input and its kernel.

    They are views, but for an input whose extension is read.
    """
    small = crop(p, box)
    x, w = operands[0][slice(*box[0])], operands[1]
    trimmed = trim(small)
    if trimmed is not None:
        small = trimmed.problem
        x, w = trimmed.views(x, w)
    return padded(small), extended(small, x), w
