"""Peak resident memory of one call, measured in a process of its own: ``python -m fftconv.bench.memory ...``.

The call is made twice before, to load and compile what it needs and to write down its steps. Then plans and free
memory are given back, the kernel's record of the peak is reset, and the call is made again. Needs Linux's /proc.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import fftconv
from fftconv.bench.case import Case
from fftconv.bench.cases import GROUPS
from fftconv.core.methods import jit
from fftconv.core.methods.warmth import prepare_all

PROC = Path("/proc/self")


def in_a_process(group: str, name: str, dtype: str, workers: int) -> int:
    """Bytes at the peak of the call beyond its input and output."""
    command = [sys.executable, "-m", "fftconv.bench.memory", group, name, dtype, str(workers)]
    # glibc then gives every larger block back when it is freed, instead of keeping it resident for the next call
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(64 * 2**10)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{name} {dtype}: the process that measures memory failed: {reason}")
    return int(done.stdout)


def peak_beyond_output(case: Case, dtype: str) -> int:
    """The same in this process."""
    x, w = case.arrays(dtype)
    call = case.ours(x, w)
    if case.plan(dtype).method == "jit":
        jit.warm_up(x.dtype)
    for _ in range(2):
        size = call().nbytes
        prepare_all(x.dtype.char)
        prepare_all(x.dtype.char.lower())
        _give_back()
    before = _resident("VmRSS")
    (PROC / "clear_refs").write_text("5")  # resets the peak
    result = call()
    peak = _resident("VmHWM")
    del result
    return max(0, peak - before - size)


def _give_back() -> None:
    for thread in threading.enumerate():
        if thread.name == "fftconv-jit":  # the compiler takes its memory once in a process
            thread.join()
    fftconv.clear_cache()
    gc.collect()
    with suppress(OSError, AttributeError):  # other C libraries have no such function
        ctypes.CDLL(None).malloc_trim(0)


def _resident(field: str) -> int:
    lines = (PROC / "status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def main(group: str, name: str, dtype: str, workers: str) -> None:
    wanted = next(c for c in GROUPS[group].cases if c.name == name)
    with fftconv.set_workers(int(workers)):
        print(peak_beyond_output(wanted.case, dtype))


if __name__ == "__main__":
    main(*sys.argv[1:])
