"""FFTW's plans as addresses, for compiled code that executes them without the interpreter.

pyFFTW keeps the address of a plan to itself. But its extension module is linked to FFTW, so what the library exports
is found through it, and a second plan of the same transform costs no more than planning it: FFTW shares the tables
of both. Where nothing is exported there are no addresses, and Python executes the plans of pyFFTW.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from .fftw_planner import Task, planner, pyfftw

PREFIX = {"f": "fftwf_", "d": "fftw_"}
# Values of FFTW's header, which are part of its binary interface.
SIGNS = {"FFTW_FORWARD": -1, "FFTW_BACKWARD": 1}
FLAGS = {"FFTW_MEASURE": 0, "FFTW_DESTROY_INPUT": 1, "FFTW_PATIENT": 32, "FFTW_ESTIMATE": 64}
WISDOM_ONLY = 1 << 21


class _Axis(ctypes.Structure):
    """An axis of `fftw_plan_guru64_*`: its length and its steps in source and target."""

    _fields_ = (("n", ctypes.c_ssize_t), ("source", ctypes.c_ssize_t), ("target", ctypes.c_ssize_t))


class NativePlan:
    """A plan of FFTW's that `execute`, a function of one argument, runs at `address`. Retire it like any other."""

    __slots__ = ("_destroy", "address", "execute")

    def __init__(self, functions: dict[str, Any], address: int) -> None:
        self._destroy = functions["destroy_plan"]
        self.address = address
        self.execute: int = ctypes.cast(functions["execute"], ctypes.c_void_p).value or 0

    def __del__(self) -> None:
        self._destroy(self.address)


def native_plan(task: Task) -> NativePlan | None:
    """The plan of a task that pyFFTW has planned before, so that it is at once the same; None without addresses."""
    real = task.source if task.source.dtype.kind == "f" else task.target
    functions = _functions(real.real.dtype.char)
    if functions is None:
        return None
    axes, others = (
        [_axis(task, real, a) for a in found]
        for found in (task.axes, [a for a in range(real.ndim) if a not in task.axes])
    )
    arguments: list[Any] = [
        len(axes),
        (_Axis * len(axes))(*axes),
        len(others),
        (_Axis * len(others))(*others),
    ]
    arguments += [ctypes.c_void_p(a.ctypes.data) for a in (task.source, task.target)]
    if real.dtype.kind == "c":
        make = functions["plan_guru64_dft"]
        arguments.append(SIGNS[task.direction])
    else:
        make = functions[f"plan_guru64_dft_{'r2c' if real is task.source else 'c2r'}"]
    flags = planner.flags(task)
    # what was measured stands in the wisdom, and measuring would overwrite the arrays
    wanted = sum(map(FLAGS.__getitem__, flags)) | (0 if task.effort == "estimate" else WISDOM_ONLY)
    with planner.at_work(task):
        address = make(*arguments, ctypes.c_uint(wanted))
    return NativePlan(functions, address) if address else None


def _axis(task: Task, real: np.ndarray, a: int) -> _Axis:
    return _Axis(real.shape[a], *(m.strides[a] // m.itemsize for m in (task.source, task.target)))


@cache
def _functions(char: str) -> dict[str, Any] | None:
    """What FFTW exports for a precision, None where it cannot be reached."""
    names = "execute", "destroy_plan", "plan_guru64_dft", "plan_guru64_dft_r2c", "plan_guru64_dft_c2r"
    try:
        library = ctypes.CDLL(pyfftw().__file__)
        found = {name: getattr(library, PREFIX[char] + name) for name in names}
    except (OSError, AttributeError, KeyError):
        return None
    for name in names[2:]:
        found[name].restype = ctypes.c_void_p
    found["destroy_plan"].argtypes = (ctypes.c_void_p,)
    found["destroy_plan"].restype = None
    return found
