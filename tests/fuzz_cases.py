"""A call in words that make it again, and random choices of which to make one.

A `Case` prints as the Python that builds it, and holds no arrays: an `Array` says how to make one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import prod
from typing import Any

import numpy as np

from fftconv.core.planner import METHODS

BOOLEANS, FLOATS, COMPLEX = ("?",), ("f4", "f8", "g", "f2"), ("c8", "c16", "G")
INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
SPOILERS = (np.nan, np.inf, -np.inf)


@dataclass(frozen=True)
class Array:
    """How to make an array: `values` names the numbers, `memory` how they lie, `bad` counts what is not finite."""

    shape: tuple[int, ...]
    dtype: str = "f8"
    values: str = "noise"
    seed: int = 0
    memory: str = "plain"
    bad: int = 0

    def __repr__(self) -> str:
        given = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)[2:]
            if getattr(self, f.name) != f.default
        ]
        return f"Array({', '.join([repr(self.shape), repr(self.dtype), *given])})"

    def make(self) -> Any:
        """The array, or for the memory "list" nested lists."""
        rng = np.random.default_rng(self.seed)
        a = _numbers(rng, self.shape, np.dtype(self.dtype), self.values)
        if self.bad and a.size and a.dtype.kind in "fc":
            parts = (a.view(a.real.dtype) if a.dtype.kind == "c" else a).reshape(-1)
            parts[rng.integers(0, parts.size, self.bad)] = rng.choice(SPOILERS, self.bad)
        return _laid_out(a, self.memory)


def _numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, values: str) -> np.ndarray:
    if dtype.kind == "b":
        return rng.random(shape) < (0.1 if values == "sparse" else 0.5)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        most = {"small": 9, "near": 2**26, "sparse": 9}.get(values, info.max)
        a = rng.integers(max(info.min, -most), min(info.max, most), shape, dtype, endpoint=True)
        return a * (rng.random(shape) < 0.2).astype(dtype) if values == "sparse" else a
    if dtype.kind == "c":
        real = np.dtype(dtype.type(0).real)
        return (_numbers(rng, shape, real, values) + 1j * _numbers(rng, shape, real, values)).astype(dtype)
    a = rng.standard_normal(shape)
    if values == "small":
        a = rng.integers(-3, 4, shape)
    elif values == "positive":
        a = np.abs(a)
    elif values == "sparse":
        a = a * (rng.random(shape) < 0.2)
    elif values == "wide":
        a = a * 10.0 ** rng.integers(-3, 4, shape)
    elif values == "pedestal":
        a = a + 1000
    elif values == "product":
        a = prod(
            (
                rng.standard_normal(tuple(n if j == i else 1 for j in range(len(shape))))
                for i, n in enumerate(shape)
            ),
            start=np.ones(shape),
        )
    elif values == "constant":
        a = np.full(shape, a.flat[0] if a.size else 0.0)
    return np.asarray(a).astype(dtype)


def _laid_out(a: np.ndarray, memory: str) -> Any:
    """`a` in awkward memory."""
    if memory == "list":
        return a.tolist()
    if memory == "reversed":
        return np.flip(np.flip(a).copy())
    if memory == "fortran":
        return a.copy(order="F")
    if memory == "strided":
        wide = np.zeros(tuple(2 * n + 1 for n in a.shape), a.dtype)
        view = wide[tuple(slice(1, None, 2) for _ in a.shape)]
        view[...] = a
        return view
    if memory == "read-only":
        a.flags.writeable = False
    if memory == "unaligned":
        raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
        raw[...] = a
        return raw
    if memory == "swapped":
        return a.astype(a.dtype.newbyteorder("S"))
    if memory == "memmap" and a.size:
        with tempfile.TemporaryFile() as file:
            mapped = np.memmap(file, a.dtype, "w+", shape=a.shape)
        mapped[...] = a
        return mapped
    if memory == "repeated":
        return np.broadcast_to(a[:1], a.shape)
    return a


@dataclass(frozen=True)
class Case:
    """A call: `fftconv.` `door`, its arrays and its other keywords, by name.

    ``out`` is a word ("new", "strided", or the name of an operand that the result may overwrite) and not an array;
    ``masked`` makes the first operand a masked array.
    """

    door: str
    arrays: dict[str, Array]
    keywords: dict[str, Any] = field(default_factory=dict)
    engine: str = "auto"

    def __repr__(self) -> str:
        engine = f", {self.engine!r}" if self.engine != "auto" else ""
        return f"Case({self.door!r}, {self.arrays!r}, {self.keywords!r}{engine})"


class Draw:
    """Random choices."""

    def __init__(self, seed: int, index: int) -> None:
        self.rng = np.random.default_rng([seed, index])

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def one(self, values: Sequence) -> Any:
        return values[self.number(0, len(values) - 1)]

    def each(self, count: int, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.number(low, high) for _ in range(count))

    def dtype(self, kinds: Sequence[Sequence[str]] = (FLOATS, INTEGERS, COMPLEX, BOOLEANS)) -> str:
        kind = self.one([k for k in kinds for _ in range(5 - 4 * (k is BOOLEANS))])
        return self.one(kind[:2]) if self.chance(0.6) else self.one(kind)

    def array(self, shape: Sequence[int], dtype: str, bad: float = 0.12, lists: bool = False) -> Array:
        """An array of any values, in any memory; with chance `bad` some elements are not finite."""
        words = ["noise", "noise", "small", "positive", "sparse", "wide", "pedestal", "constant", "product"]
        kinds = ["plain"] * 6 + [
            "reversed",
            "fortran",
            "strided",
            "read-only",
            "unaligned",
            "swapped",
            "memmap",
        ]
        kinds += ["repeated"] * bool(shape) + ["list"] * (
            lists and 0 not in shape and dtype in ("f8", "i8", "c16", "?")
        )
        return Array(
            tuple(shape),
            dtype,
            self.one(("noise", "small", "near", "sparse") if np.dtype(dtype).kind in "iu" else words),
            self.number(0, 9999),
            self.one(kinds),
            self.number(1, 3) if self.chance(bad) and np.dtype(dtype).kind in "fc" else 0,
        )

    def sizes(self, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Lengths of an array and of a kernel; the sums have some hundred taps at most."""
        top, taps = {0: (1, 1), 1: (60, 20), 2: (12, 5), 3: (6, 3)}[ndim]
        if self.chance(0.1):
            top, taps = {0: (1, 1), 1: (900, 150), 2: (40, 12), 3: (12, 4)}[ndim]
        n, k = self.each(ndim, 1, top), self.each(ndim, 1, taps)
        return (k, n) if self.chance(0.15) and prod(n) < 100 else (n, k)

    def asked(self, methods: Sequence[str] = METHODS) -> dict[str, Any]:
        """How to compute: a method, a number of workers."""
        found: dict[str, Any] = {}
        if self.chance(0.5):
            found["method"] = self.one(methods)
        if self.chance(0.3):
            found["workers"] = self.number(1, 4)
        return found
