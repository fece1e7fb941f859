"""Strips cover an array once, whatever its shape."""

from __future__ import annotations

import numpy as np
import pytest

from fftconv.core.sweeps import ELEMENTS, for_strips


@pytest.mark.parametrize(
    "shape",
    [(), (1,), (0,), (3, 0), (5 * ELEMENTS + 3,), (1, 1, ELEMENTS + 1), (9, ELEMENTS), (700, 1000), (1, 1)],
)
@pytest.mark.parametrize("asked", [1, 3])
def test_every_element_is_met_once(shape, asked):
    met = np.zeros(shape, np.int8)

    def work(strip):
        met[strip] += 1

    for_strips(shape, work, asked)
    assert (met == 1).all()
