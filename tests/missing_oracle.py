"""Normalised convolution one output at a time, in long double, without the package."""

from __future__ import annotations

from itertools import product

import numpy as np


def window(mode: str, n: int, k: int) -> tuple[int, int]:
    """Start and length of a mode's part of the full convolution, as scipy has it."""
    if mode == "full":
        return 0, n + k - 1
    if mode == "same":
        return (k - 1) // 2, n
    return min(n, k) - 1, abs(n - k) + 1


def normalised(x, k, mode="full", *, missing=None, weights=None, axes=None, correlate=False, outside=1):
    """``s * sum(k W x) / sum(k W)`` over the taps of each output, and where no sample is to be had.

    Samples outside the array are 0 and weigh `outside`. Without anything missing and without weights it
    is the ordinary sum. NaN where taps that are not zero meet missing samples only, or where their weights cancel.
    """
    x, k = np.asarray(x), np.asarray(k)
    ndim = max(x.ndim, k.ndim)
    plain = missing is None and weights is None and outside
    missing = np.zeros(x.shape, bool) if missing is None else np.broadcast_to(missing, x.shape)
    weights = np.ones(x.shape) if weights is None else np.broadcast_to(weights, x.shape)
    missing = missing | (weights == 0)
    x, k, missing, weights = (v.reshape((1,) * (ndim - v.ndim) + v.shape) for v in (x, k, missing, weights))
    axes = range(ndim) if axes is None else [a % ndim for a in np.atleast_1d(axes)]
    if correlate:
        k = np.flip(k, tuple(axes)).conj()
    wide = np.clongdouble if np.iscomplexobj(x) or np.iscomplexobj(k) else np.longdouble
    windows = {a: window(mode, x.shape[a], k.shape[a]) for a in axes}
    shape = [windows[a][1] if a in windows else max(x.shape[a], k.shape[a]) for a in range(ndim)]
    out, empty = np.zeros(shape, wide), np.zeros(shape, bool)
    for at in np.ndindex(*shape):
        ranges = [range(k.shape[a]) if a in windows else [min(at[a], k.shape[a] - 1)] for a in range(ndim)]
        total = left = value = wide(0)
        size = np.longdouble(0)
        there = gone = 0
        for tap in product(*ranges):
            c = wide(k[tap])
            total += c
            where = [
                at[a] + windows[a][0] - tap[a] if a in windows else min(at[a], x.shape[a] - 1)
                for a in range(ndim)
            ]
            if not all(0 <= i < n for i, n in zip(where, x.shape, strict=True)):
                left, size = left + c * outside, size + abs(c) * outside
            elif missing[tuple(where)]:
                gone += c != 0
            else:
                weight = np.longdouble(weights[tuple(where)])
                there += c != 0
                value += c * weight * wide(x[tuple(where)])
                left, size = left + c * weight, size + abs(c) * weight
        if plain:
            out[at] = value
            continue
        empty[at] = (not there and (gone > 0 or not outside)) or abs(left) <= 1e-14 * size
        out[at] = np.nan if empty[at] or left == 0 else total * value / left
    return out, empty
