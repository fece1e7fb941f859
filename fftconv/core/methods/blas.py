"""One BLAS thread per worker.

The channel products run on our own worker threads. A BLAS that starts threads of its own under each of them
fights for the same processors, and may add up in an order that depends on how many it found. OpenBLAS, the
library of the published NumPy wheels, keeps its number of threads in one process-wide variable: it is lowered while
products run here and put back when the last of them ends. With another BLAS nothing is touched.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_lock = threading.Lock()
_users = 0
_before = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the BLAS to one thread for as long as anybody is inside."""
    global _users, _before
    controls = _controls()
    if controls is None:
        yield
        return
    get, put = controls
    with _lock:
        _users += 1
        if _users == 1:
            _before = get()
            put(1)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                put(_before)


@cache
def _controls() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """OpenBLAS's getter and setter, looked up through NumPy's own extension module, or None."""
    import ctypes

    from numpy.linalg import _umath_linalg

    try:
        library = ctypes.CDLL(_umath_linalg.__file__)
    except (OSError, TypeError):
        return None
    for prefix in ("scipy_", ""):
        for suffix in ("64_", ""):
            try:
                get = library[f"{prefix}openblas_get_num_threads{suffix}"]
                put = library[f"{prefix}openblas_set_num_threads{suffix}"]
            except AttributeError:
                continue
            get.restype, put.argtypes, put.restype = ctypes.c_int, [ctypes.c_int], None
            return get, put
    return None


def _after_fork() -> None:
    """A child starts with nobody inside, whatever the parent's threads were at."""
    global _lock, _users
    _lock = threading.Lock()
    if _users:
        _users = 0
        controls = _controls()
        if controls is not None:
            controls[1](_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
