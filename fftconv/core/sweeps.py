"""Passes over large arrays, strip by strip: what one strip takes fits in a cache, and threads take them in turn.

Several steps of one element after the other cost one trip to memory instead of several. Results are those of whole
arrays to the bit, as no element sees another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

from fftconv.core.workers import for_each, worker_limit

Strip = tuple[slice, ...]

# Elements of a strip, and of an array for which a second thread is worth waking.
ELEMENTS, SHARED = 2**15, 2**18


def for_strips(shape: tuple[int, ...], work: Callable[[Strip], None], asked: int = 0) -> None:
    """Call ``work(strip)`` for strips that cover `shape`, on as many threads as a call that `asked` may use."""
    for_each(strips(shape), work, worker_limit(asked) if prod(shape) >= SHARED else 1)


def strips(shape: tuple[int, ...]) -> Iterator[Strip]:
    """Blocks of the first axis on which there is more than one entry.

    Examples
    --------
    >>> list(strips((1, 70_000)))
    [(slice(None, None, None), slice(0, 32768, None)), (slice(None, None, None), slice(32768, 65536, None)), \
(slice(None, None, None), slice(65536, 70000, None))]
    """
    axis = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    if axis == len(shape):
        yield ()
        return
    n, before = shape[axis], (slice(None),) * axis
    step = max(1, ELEMENTS // max(1, prod(shape[axis + 1 :])))
    for begin in range(0, n, step):
        yield (*before, slice(begin, min(begin + step, n)))
