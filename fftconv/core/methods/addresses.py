"""Where an array's first element lies, as fast as it can be told.

NumPy's own answer, ``a.ctypes.data``, makes an object first: over a microsecond, and short calls need three addresses.
In NumPy's binary interface the address follows the head of the object, so it can be read there. That it is, is looked
at once.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np

_BEHIND_HEAD = object.__basicsize__
_read = ctypes.c_ssize_t.from_address


def _asked(a: np.ndarray) -> int:
    """Where the first element of `a` lies."""
    return int(a.ctypes.data)


def _read_there(a: np.ndarray) -> int:
    """Where the first element of `a` lies."""
    return _read(id(a) + _BEHIND_HEAD).value


def _agree() -> bool:
    """Whether both ways lead to the same, for arrays that own their memory and for views."""
    owner = np.arange(24).reshape(2, 3, 4)
    arrays = owner, owner[1:, ::-1], owner.T[3], np.frombuffer(bytes(8)), np.zeros(0), np.ma.zeros(3)
    return all(_read_there(a) == _asked(a) for a in arrays)


address = _read_there if sys.implementation.name == "cpython" and _agree() else _asked
