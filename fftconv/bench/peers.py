"""The libraries that we are measured against: which are installed, and how each computes a case.

A peer gets what its users would give it: contiguous arrays of the same dtype, the kernel already reversed where the
function correlates, and the threads it can be told to use. Each is imported when first measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from fftconv.bench.case import Case, Layer, Signal


@dataclass(frozen=True)
class Call:
    """One way in which a peer computes a case.

    Attributes
    ----------
    function : str
    run : callable
        Returns the result as an array of our result's shape.
    seconds, scratch : float, int
        What a direct sum is known to need at least, so that a hopeless one is not started; else 0.
    """

    function: str
    run: Callable[[], np.ndarray]
    seconds: float = 0.0
    scratch: int = 0


Calls = Iterator[Call]


@dataclass(frozen=True)
class Peer:
    """A library that convolves.

    Attributes
    ----------
    name : str
        Column heading.
    module : str
        What is imported.
    calls : callable
        Yields the `Call` of every function of the library that computes a case.
    use_threads : callable
        Tells the library how many threads to use; returns how many it will.
    """

    name: str
    module: str
    calls: Callable[[Any, Case, np.ndarray, np.ndarray], Calls]
    use_threads: Callable[[Any, int], int]

    @property
    def installed(self) -> bool:
        with suppress(ModuleNotFoundError):
            return find_spec(self.module) is not None
        return False

    def load(self) -> Any:
        return import_module(self.module)


def free_memory() -> int:
    """Bytes that can be allocated without swapping; 8 GiB where the system does not say."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return 8 * 2**30


def reversed_kernel(w: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.flip(w))


def _numpy(numpy: Any, case: Case, x: np.ndarray, w: np.ndarray) -> Calls:
    if isinstance(case, Signal) and len(case.x) == 1:
        yield Call("convolve", lambda: numpy.convolve(x, w, "same"), case.macs / 4e9)


def _scipy(signal: Any, case: Case, x: np.ndarray, w: np.ndarray) -> Calls:
    if isinstance(case, Signal):
        wide = w.reshape(case.wide)
        yield Call("convolve", lambda: signal.convolve(x, wide, "same"))
        yield Call("fftconvolve", lambda: signal.fftconvolve(x, wide, "same", axes=case.axes))
        yield Call("oaconvolve", lambda: signal.oaconvolve(x, wide, "same", axes=case.axes))


def _ndimage(ndimage: Any, case: Case, x: np.ndarray, w: np.ndarray) -> Calls:
    if not isinstance(case, Signal):
        return
    if w.ndim == 1:
        axis = 0 if case.axes is None else case.axes[0]
        yield Call(
            "convolve1d",
            lambda: ndimage.convolve1d(x, w, axis, mode="constant", origin=w.size % 2 - 1),
            case.macs / 1e9,
        )
    else:
        wide = w.reshape(case.wide)
        origin = tuple(-(k % 2 == 0) for k in wide.shape)
        yield Call(
            "convolve", lambda: ndimage.convolve(x, wide, mode="constant", origin=origin), case.macs / 5e8
        )


def _opencv(cv2: Any, case: Case, x: np.ndarray, w: np.ndarray) -> Calls:
    if isinstance(case, Signal) and len(case.x) == 2 and case.axes is None:
        kernel = reversed_kernel(w)
        anchor = tuple(k // 2 for k in reversed(w.shape))
        yield Call(
            "filter2D", lambda: cv2.filter2D(x, -1, kernel, anchor=anchor, borderType=cv2.BORDER_CONSTANT)
        )


def _astropy(convolution: Any, case: Case, x: np.ndarray, w: np.ndarray) -> Calls:
    if not isinstance(case, Signal) or case.axes is not None or not all(k % 2 for k in w.shape):
        return
    given = {"boundary": "fill", "normalize_kernel": False}
    yield Call("convolve", lambda: convolution.convolve(x, w, **given), case.macs / 1e9)
    # complex double precision, and several copies of it
    padded = 16 * prod(n + k for n, k in zip(x.shape, w.shape, strict=True))
    yield Call(
        "convolve_fft",
        lambda: convolution.convolve_fft(x, w, **given, allow_huge=True),
        padded / 16 / 2e7,
        6 * padded,
    )


def _torch(torch: Any, case: Case, x: np.ndarray, w: np.ndarray) -> Calls:
    if isinstance(case, Signal):
        yield from _torch_signal(torch, case, x, w)
    elif isinstance(case, Layer):
        function = getattr(torch.nn.functional, case.function)
        signal, kernel = torch.from_numpy(x), torch.from_numpy(w)
        problem = case.problem(x.dtype.name)
        pairs = problem.group_inputs * problem.group_outputs
        columns = problem.group_inputs * prod(case.w[2:]) * prod(problem.output_size) * case.x[0]
        yield Call(
            case.function,
            lambda: function(signal, kernel, **case.keywords).numpy(),
            case.macs / _torch_rate(x.dtype, pairs),
            columns * x.itemsize if x.dtype == np.float64 else 0,
        )


def _torch_signal(torch: Any, case: Signal, x: np.ndarray, w: np.ndarray) -> Calls:
    rank = w.ndim
    if case.axes not in (None, tuple(range(x.ndim - rank, x.ndim))) or rank > 3:
        return
    function = getattr(torch.nn.functional, f"conv{rank}d")
    signal = torch.from_numpy(x.reshape(-1, 1, *x.shape[x.ndim - rank :]))
    kernel = torch.from_numpy(reversed_kernel(w)[None, None])
    pads = [k // 2 for k in w.shape]
    kept = (..., *(slice(0, n) for n in signal.shape[2:]))

    def run() -> np.ndarray:
        result: np.ndarray = function(signal, kernel, padding=pads).numpy()[kept]
        return result.reshape(x.shape)

    columns = case.macs * x.itemsize if x.dtype == np.float64 else 0
    seconds = case.macs / _torch_rate(x.dtype, 1)
    yield Call(f"conv{rank}d", run, 5 * seconds if rank == 1 else seconds, columns)


def _torch_rate(dtype: np.dtype, pairs: int) -> float:
    """Multiply-adds a second; few pairs of channels leave its matrix products thin, and only float32 has fast ones."""
    return 2e9 * min(16, pairs) if dtype == np.float32 else 4e8 * min(2, pairs)


def _one_thread(module: Any, threads: int) -> int:
    return 1


def _torch_threads(torch: Any, threads: int) -> int:
    torch.set_num_threads(threads)
    return int(torch.get_num_threads())


def _opencv_threads(cv2: Any, threads: int) -> int:
    cv2.setNumThreads(threads)
    return int(cv2.getNumThreads())


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("numpy", "numpy", _numpy, _one_thread),
        Peer("scipy", "scipy.signal", _scipy, _one_thread),
        Peer("ndimage", "scipy.ndimage", _ndimage, _one_thread),
        Peer("opencv", "cv2", _opencv, _opencv_threads),
        Peer("torch", "torch", _torch, _torch_threads),
        Peer("astropy", "astropy.convolution", _astropy, _one_thread),
    )
}


def installed() -> tuple[str, ...]:
    """Names of the peers that can be imported here."""
    return tuple(name for name, peer in PEERS.items() if peer.installed)
