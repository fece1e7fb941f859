"""Large scratch that outlives a call: fresh memory costs a page fault every few kilobytes, as much as the work.

Idle scratch waits beside the idle plans of an engine, under the same bound of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod

import numpy as np

from fftconv.core.engine.base import Engine

ALIGNMENT = 64


class Spare:
    """Bytes at a multiple of a cache line."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        memory = np.empty(nbytes + ALIGNMENT, np.uint8)
        first = -memory.ctypes.data % ALIGNMENT
        self.memory = memory[first : first + nbytes]


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of undefined content whose memory starts a cache line."""
    return Spare(prod(shape) * dtype.itemsize).memory.view(dtype).reshape(shape)


Take = Callable[[tuple[int, ...], np.dtype], np.ndarray]
"""From a shape and a dtype to an array of undefined content."""


@contextmanager
def desk(engine: Engine) -> Iterator[Take]:
    """As many such arrays as are asked for, for the length of a ``with`` block."""
    with ExitStack() as held:
        yield lambda shape, dtype: held.enter_context(spare(engine, shape, dtype))


@contextmanager
def spare(engine: Engine, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """An array of undefined content for the length of a ``with`` block.

    What takes more than half of the bound of `engine` is given back to the system at once, so that one large
    call does not drop every plan.
    """
    nbytes = prod(shape) * dtype.itemsize
    key = ("spare", nbytes)
    held = engine.cache.take(key) or Spare(nbytes)
    try:
        yield held.memory.view(dtype).reshape(shape)
    finally:
        if 2 * nbytes <= engine.cache_bytes:
            engine.cache.put(key, held, engine.cache_bytes)
