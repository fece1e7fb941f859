"""What transforms cost on this host: one table entry after the other, each a transform of the size it stands for.

All in nanoseconds per point of a forward and a backward transform together, as `core.cost.HostProfile` has them. Short
transforms are measured several at once, as tiles hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, fsum, log, log2, prod
from typing import Any

import numpy as np

from fftconv.core.cost import ODD, HostProfile, fft_seconds, interpolate
from fftconv.core.engine.base import Engine, FFTSpec
from fftconv.core.problem import Ints
from fftconv.core.tile_choice import EXECUTE_BYTES
from fftconv.tuning.stopwatch import Stopwatch

CHARS = "fdFD"
# Rows beside which columns are measured.
ROW = 128
# Lengths by which factors on lengths other than powers of two are found.
ROUND = (640, 768)
OTHER = (720, 1008, 1200, 2160, 3000, 4620)
LONG_ODD = (10_000, 40_960, 50_400, 61_440, 135_000), (24_576, 73_728, 86_016, 98_304)
ODD_COLUMNS = (576, 640, 720, 768)


@dataclass(frozen=True)
class Bench:
    """One engine, one dtype, and the coefficients as far as they are known."""

    engine: Engine
    char: str
    watch: Stopwatch
    host: HostProfile

    def points(self, shape: Ints, axes: Ints | None = None) -> float | None:
        """Nanoseconds a point of transforms of `shape`; None where it would take too long to measure."""
        dtype = np.dtype(self.char)
        held = max(1, EXECUTE_BYTES // (prod(shape) * dtype.itemsize))
        spec = FFTSpec((held, *shape), tuple(a + 1 for a in axes or range(len(shape))), dtype)
        if not self.watch.affords(2 * fft_seconds(spec.shape, spec.axes, dtype, self.host)):
            return None
        plan = self.engine.new_plan(spec)
        plan.signal[...] = plan.spectrum[...] = 0

        def both() -> None:
            plan.forward()
            plan.backward()

        return self.watch.fastest(both) / prod(spec.shape) * 1e9

    def rows(self, n: int) -> float:
        return interpolate(self.host.rows[self.char], log2(n) - 5)

    def columns(self, n: int) -> float:
        return interpolate(self.host.columns[self.char], log2(n) - 5)

    def row_factor(self, n: int) -> float | None:
        """What a row of `n` points takes, over one of like length that is a power of two."""
        found = self.points((n,))
        return None if found is None else found / self.rows(n)

    def column_factor(self, n: int) -> float | None:
        found, usual = self.points((n, ROW)), self.columns(n)
        return None if found is None else _rest(found, self.rows(ROW), usual) / usual


def transforms(engine: Engine, watch: Stopwatch, before: HostProfile) -> HostProfile:
    """The coefficients of transforms by `engine`, measured; what takes too long stays as it was."""
    host = before
    for char in CHARS:
        for step in (_rows, _columns, _spill, _factors):
            host = step(Bench(engine, char, watch, host))
    strided = [Bench(engine, char, watch, host) for char in "fd"]
    ratios = [_ratio(b.points((256, 16), (0,)), b.rows(256)) for b in strided]
    return replace(host, strided_rows=_mean(ratios, host.strided_rows))


def _rows(b: Bench) -> HostProfile:
    table = list(b.host.rows[b.char])
    for i in range(len(table)):
        found = b.points((2 ** (5 + i),))
        if found is not None:
            table[i] = found
    return _with(b, "rows", tuple(table))


def _columns(b: Bench) -> HostProfile:
    table = list(b.host.columns[b.char])
    for i in range(len(table)):
        found = b.points((2 ** (5 + i), ROW))
        if found is not None:
            table[i] = _rest(found, b.rows(ROW), table[i])
    return _with(b, "columns", tuple(table))


def _spill(b: Bench) -> HostProfile:
    """Square tiles of 1, 2, 4, ... MiB; what they cost beyond rows and columns grows with their size."""
    table = list(b.host.spill[b.char])
    for i in range(len(table)):
        side = 2 ** ((20 + i - log2(np.dtype(b.char).itemsize)) / 2)
        n = 2 ** int(log2(side))
        m = round(side * side / n)
        found = b.points((n, m))
        if found is not None:
            rest = max(0.0, found - b.rows(m) - b.columns(n))
            table[i] = max(rest * 256 / n, table[i - 1] if i else 0.0)
    return _with(b, "spill", tuple(table))


def _factors(b: Bench) -> HostProfile:
    host = b.host
    host = _with(b, "round_rows", _mean(list(map(b.row_factor, ROUND)), host.round_rows[b.char]))
    known = zip(LONG_ODD, host.long_odd[b.char], strict=True)
    long = tuple(_mean(list(map(b.row_factor, lengths)), before) for lengths, before in known)
    host = _with(replace(b, host=host), "long_odd", long)
    host = _with(replace(b, host=host), "odd_rows", _odd(b.row_factor, OTHER, host.odd_rows[b.char]))
    odd = _odd(b.column_factor, ODD_COLUMNS, host.odd_columns[b.char])
    return _with(replace(b, host=host), "odd_columns", odd)


def _odd(factor: Callable[[int], float | None], longer: Ints, before: tuple[float, ...]) -> tuple[float, ...]:
    """Factors at the lengths of `ODD`, and the mean over those `longer`."""
    each = (_mean([factor(n)], known) for n, known in zip(ODD, before, strict=False))
    return (*each, _mean([factor(n) for n in longer], before[-1]))


def _with(b: Bench, name: str, value: object) -> HostProfile:
    """The host with a table's entry for this dtype changed."""
    changed: dict[str, Any] = {name: {**getattr(b.host, name), b.char: value}}
    return replace(b.host, **changed)


def _rest(whole: float, part: float, usual: float) -> float:
    """What is left of `whole`; a difference of like numbers is noise below a quarter of the usual."""
    return max(whole - part, 0.25 * usual)


def _ratio(found: float | None, usual: float) -> float | None:
    return None if found is None else found / usual


def _mean(ratios: list[float | None], before: float) -> float:
    """Geometric mean of what was measured."""
    known = [r for r in ratios if r is not None]
    return exp(fsum(map(log, known)) / len(known)) if known else before
