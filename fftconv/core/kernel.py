"""A kernel that stays: what methods make of it (spectra, matrices) is made once and kept within a bound of bytes.

A method that can do some of its work before it sees the input has a function ``prepare(plan, kernel)``; see
`core.methods`. It returns an executor, which asks for what it needs whenever it runs, by a function that
`Kernel.kept` made. So whatever had to be dropped is made again, and plans of one tile shape share their spectra
whatever the size of the input.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np

from fftconv.core.config import config_context, get_config
from fftconv.core.problem import at


class Store:
    """Arrays by key. The oldest are dropped beyond the bound of bytes, but never the newest.

    There is no lock, which a fork might find shut: each step is one operation of a dict, and of two threads that make
    the same array at one time, one is in vain.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for _, a in self._entries())

    def _entries(self) -> list[tuple[Hashable, np.ndarray]]:
        return list(self._held.items())

    def keep(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of `key`, made where it is not held."""
        found = self._held.get(key)
        return self._add(key, make()) if found is None else found

    def _add(self, key: Hashable, made: np.ndarray) -> np.ndarray:
        self._held[key] = made
        rest = self.nbytes - get_config().cache_bytes
        for old, a in self._entries()[:-1]:
            if rest <= 0:
                break
            self._held.pop(old, None)
            rest -= a.nbytes
        return made


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel in the canonical layout.

    Attributes
    ----------
    w : ndarray
        (O, C/groups, \\*K); nobody writes to it any more.
    store : Store
        Where its forms are kept, beside those of other kernels.
    name : hashable
        Which of the kernels of `store` this is.
    planning : str
        Effort of FFTW's planner for transforms of this kernel's plans; empty for that of the options.
    """

    w: np.ndarray
    store: Store
    name: Hashable = ()
    planning: str = ""

    def part(self, taps: tuple[slice, ...]) -> Kernel:
        """Some of the taps, as a kernel of its own; all of them, as this one."""
        w = self.w[at(*taps)]
        if w.shape == self.w.shape:
            return self
        spans = tuple((t.start, t.stop) for t in taps)
        return replace(self, w=w, name=(self.name, spans))

    def keep(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The form of this kernel that goes by `key`, made where it is not held."""
        return self.store.keep((self.name, key), make)

    def kept(self, key: Hashable, make: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
        """`keep` as a function, which looks a key up only when the array is not the last one any more."""
        last: weakref.ref[np.ndarray] | None = None

        def find() -> np.ndarray:
            nonlocal last
            found = None if last is None else last()
            if found is None:
                found = self.keep(key, make)
                last = weakref.ref(found)
            return found

        return find

    def options(self) -> AbstractContextManager[object]:
        """The options under which engines are chosen for this kernel."""
        return config_context(planning=self.planning) if self.planning else nullcontext()
