"""New results, refused with the numbers where memory cannot hold them.

Linux hands out more memory than there is and ends the process that comes to use it. So a large result is compared with
what is left before it is asked for.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np

from fftconv.core.problem import Ints

# Below it nobody looks: reading the system's files takes longer than a short convolution.
LARGE = 2**30


def new_result(shape: Ints, dtype: np.dtype) -> np.ndarray:
    """``numpy.empty``, or a MemoryError that says how much there would have to be.

    Examples
    --------
    >>> new_result((2, 3), np.dtype("f4")).shape
    (2, 3)
    """
    nbytes = prod(shape) * dtype.itemsize
    if nbytes < LARGE:
        return np.empty(shape, dtype)
    left = available()
    if nbytes > 2**62 or (left is not None and nbytes > left):
        there = "more than any array may" if left is None else f"and {in_words(left)} of memory are left"
        raise MemoryError(f"the result of shape {shape} {dtype} would take {in_words(nbytes)}, {there}")
    return np.empty(shape, dtype)


def in_words(nbytes: int) -> str:
    """Bytes in binary units."""
    units = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    power = min(max(nbytes.bit_length() - 1, 10) // 10, len(units))
    return f"{nbytes / 1024**power:.1f} {units[power - 1]}"


def available() -> int | None:
    """Bytes that this process could still come to use, None where the system does not say."""
    found = [left for left in (_free(), _cgroup_left()) if left is not None]
    return min(found, default=None)


def _free() -> int | None:
    """What Linux estimates to be available without swapping, and the free swap."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
        return 1024 * (fields["MemAvailable"] + fields["SwapFree"])
    except (OSError, ValueError, KeyError):
        return None


def _cgroup_left() -> int | None:
    """What a container may still use."""
    here = Path("/sys/fs/cgroup")
    try:
        return max(0, int((here / "memory.max").read_text()) - int((here / "memory.current").read_text()))
    except (OSError, ValueError):  # no limit, or another system
        return None
