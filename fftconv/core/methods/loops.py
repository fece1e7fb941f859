"""The loop that `jit` compiles. Plain Python and slow as it stands; written for the compiler.

Eight taps are taken at a time, so that a sum is read and written once for eight products and stays in a
register between. The parentheses fix the order of the additions: one tap after the other.
"""

from __future__ import annotations

import numpy as np


def multiply_add(
    window: np.ndarray, where: tuple[np.ndarray, np.ndarray, int], weights: np.ndarray, total: np.ndarray
) -> None:
    """``total[r, j] = sum_t weights[t] * window[starts[r] + offsets[t] + j * step]``."""
    starts, offsets, step = where
    taps, n = weights.size, total.shape[1]
    reach = (n - 1) * step + 1
    for r in range(starts.size):
        x, y = window[starts[r] :], total[r]
        if step != 1:
            for j in range(n):
                s = weights[0] * x[offsets[0] + j * step]
                for t in range(1, taps):
                    s = s + weights[t] * x[offsets[t] + j * step]
                y[j] = s
            continue
        a, v = x[offsets[0] : offsets[0] + reach], weights[0]
        for j in range(n):
            y[j] = v * a[j]
        t = 1
        while t + 8 <= taps:
            a, b = x[offsets[t] :][:n], x[offsets[t + 1] :][:n]
            c, d = x[offsets[t + 2] :][:n], x[offsets[t + 3] :][:n]
            e, f = x[offsets[t + 4] :][:n], x[offsets[t + 5] :][:n]
            g, h = x[offsets[t + 6] :][:n], x[offsets[t + 7] :][:n]
            va, vb, vc, vd = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
            ve, vf, vg, vh = weights[t + 4], weights[t + 5], weights[t + 6], weights[t + 7]
            for j in range(n):
                s = ((y[j] + va * a[j]) + vb * b[j]) + vc * c[j]
                s = ((s + vd * d[j]) + ve * e[j]) + vf * f[j]
                y[j] = (s + vg * g[j]) + vh * h[j]
            t += 8
        while t < taps:
            a, v = x[offsets[t] :][:n], weights[t]
            for j in range(n):
                y[j] = y[j] + v * a[j]
            t += 1
