"""Extended arrays by numpy.pad, one axis after the other: what `fftconv.core.boundary` has to agree with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fftconv.core.boundary import ZEROS, Boundary

NUMPYS = {
    Boundary.CONSTANT: "constant",
    Boundary.EDGE: "edge",
    Boundary.REFLECT: "reflect",
    Boundary.SYMMETRIC: "symmetric",
    Boundary.WRAP: "wrap",
}
WORDS = {word: boundary for boundary, word in NUMPYS.items()}


def pad(x: np.ndarray, axis: int, pads: tuple[int, int], word: str, fill=0) -> np.ndarray:
    """`x` with samples before and after; negative pads crop what would lie there."""
    lo, hi = pads
    widths = [(0, 0)] * x.ndim
    widths[axis] = (max(lo, 0), max(hi, 0))
    more = {"constant_values": fill} if word == "constant" else {}
    x = np.pad(x, widths, word, **more)
    return x[(slice(None),) * axis + (slice(max(-lo, 0), x.shape[axis] - max(-hi, 0)),)]


def spelled_out(p, x: np.ndarray):
    """The problem and the array with extended axes padded in full, and zeros outside."""
    if Boundary.CONSTANT in p.boundary:
        x = x.astype(p.dtype)
    pads, bounds = list(p.pads), p.boundary
    for a, b in enumerate(bounds):
        if b:
            x = pad(x, 2 + a, pads[a], NUMPYS[b], p.outside.fill)
            pads[a] = (0, 0)
    plain = replace(p, input_size=x.shape[2:], pads=tuple(pads), x_dtype=x.dtype, outside=ZEROS)
    return plain, x


def windows(x: np.ndarray, w: np.ndarray, correlate: bool = False) -> np.ndarray:
    """The valid sums of arrays of one number of axes, tap by tap; integers modulo 2^64, then as their dtype."""
    dtype = np.result_type(x, w)
    wide = {"i": np.dtype("u8"), "u": np.dtype("u8"), "f": np.dtype("g"), "c": np.dtype("G")}[dtype.kind]
    x, w = x.astype(dtype).astype(wide), w.astype(dtype).astype(wide)
    w = w.conj() if correlate else np.flip(w)
    sizes = [n - k + 1 for n, k in zip(x.shape, w.shape, strict=True)]
    out = np.zeros(sizes, wide)
    for j in np.ndindex(w.shape):
        out += x[tuple(slice(i, i + m) for i, m in zip(j, sizes, strict=True))] * w[j]
    return out.astype(dtype) if dtype.kind in "iu" else out


def reach(mode: str, n: int, k: int, correlate: bool = False) -> tuple[int, int]:
    """How far the windows of a mode of `convolve` and `correlate` read before and after n samples."""
    if mode == "full":
        return k - 1, k - 1
    if mode == "valid":
        return 0, 0
    return k // 2, (k - 1) // 2
