"""The product of input and kernel spectra, summed over the input channels of each group."""

from __future__ import annotations

import numpy as np


def contract(bins: np.ndarray, spectra: np.ndarray, out: np.ndarray) -> None:
    """``out[b, g*J + j] = sum_i spectra[g*J + j, i] * bins[b, g*I + i]`` for every block and bin.

    `bins` is (batch, C, blocks, \\*F), `spectra` (O, I, 1, \\*F), `out` (batch, O, blocks, \\*F).
    """
    inputs = spectra.shape[1]
    groups = bins.shape[1] // inputs
    outputs = spectra.shape[0] // groups
    for o in range(spectra.shape[0]):
        first = (o // outputs) * inputs
        np.multiply(bins[:, first], spectra[o, 0], out=out[:, o])
        for i in range(1, inputs):
            out[:, o] += bins[:, first + i] * spectra[o, i]
