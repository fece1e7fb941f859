"""Reader of the recorded calls in tests/data: arguments, what the library returned or raised, and how close is right.

A file holds a JSON list of cases and, per dtype, one pool with the outputs of all cases. Outputs above 400 elements
are kept as 160 samples and two random projections, which see every element.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"
SAMPLES = 160
SPECIAL = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}

# Errors allowed, in units of eps * (largest input * largest sum of kernel magnitudes)
UNITS = {"float16": 8, "float32": 64, "float64": 64, "complex64": 96, "complex128": 96}


@dataclass(frozen=True)
class Case:
    """One recorded call: ``function(*args, **keywords)`` and its outcome."""

    number: int
    function: str
    tags: frozenset[str]
    args: list[Any]
    keywords: dict[str, Any]
    outcome: dict[str, Any]
    scale: float
    crc: int

    @property
    def fails(self) -> bool:
        return self.outcome["k"] == "err"


@cache
def read(library: str) -> tuple[tuple[Case, ...], dict[str, np.ndarray]]:
    """All cases of a library, and the pools of their outputs."""
    with np.load(DATA / f"{library}_cases.npz") as file:
        raw = json.loads(file["cases"].tobytes())
        pools = {name.removeprefix("pool_"): file[name] for name in file.files if name != "cases"}
    fields = ("id", "fn", "tags", "args", "kw", "exp")
    cases = [
        Case(number, function, frozenset(tags), args, kw, outcome, c.get("scale", 0.0), c["crc"])
        for c in raw
        for number, function, tags, args, kw, outcome in [[c[f] for f in fields]]
    ]
    return tuple(cases), pools


def arguments(case: Case, dimension_numbers: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """The positional and keyword arguments, their arrays rebuilt and checked against the recorded checksum."""
    args = [_decode(a, dimension_numbers) for a in case.args]
    keywords = {k: _decode(case.keywords[k], dimension_numbers) for k in sorted(case.keywords)}
    crc = 0
    for a in _arrays([*args, *keywords.values()]):
        crc = zlib.crc32(a.tobytes(), crc)
    assert crc == case.crc, f"case {case.number}: the rebuilt inputs are not those of the recording"
    return args, keywords


def _decode(value: Any, dimension_numbers: Callable[..., Any]) -> Any:
    if isinstance(value, list):
        return [_decode(v, dimension_numbers) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "$a":
        shape, *rest = content
        return rebuilt(tuple(shape), *rest)
    if kind == "$dt":
        return np.dtype(content)
    if kind == "$cdn":
        return dimension_numbers(*map(tuple, content))
    return tuple(_decode(v, dimension_numbers) for v in content)


def _arrays(values: list[Any]) -> Iterator[np.ndarray]:
    for v in values:
        if isinstance(v, np.ndarray):
            yield v
        elif isinstance(v, (list, tuple)):
            yield from _arrays(list(v))


@cache
def rebuilt(shape: tuple[int, ...], dtype: str, seed: int, special: str | None = None) -> np.ndarray:
    """The recorded input, read-only: RandomState's integer stream, which NumPy keeps, divided by a power of two."""
    random, kind = np.random.RandomState(seed), np.dtype(dtype).kind
    size = int(np.prod(shape, dtype=np.int64))
    if kind in "bui":
        low, high = {"b": (0, 2), "u": (0, 12), "i": (-9, 10)}[kind]
        flat = random.randint(low, high, size)
    elif dtype == "float16":
        flat = random.randint(-16, 17, size) / 8.0
    else:
        flat = random.randint(-65536, 65537, size) / 32768.0
        if kind == "c":
            flat = flat + 1j * (random.randint(-65536, 65537, size) / 32768.0)
    a = np.asarray(flat).astype(dtype)
    if special is not None and size:
        a[random.randint(0, size)] = SPECIAL[special]
    a.flags.writeable = False
    return a.reshape(shape)


def difference(case: Case, pools: dict[str, np.ndarray], got: Any) -> str:
    """What is wrong with `got`; an empty string if nothing is."""
    outcome = case.outcome
    if outcome["k"] == "val":
        return "" if [list(part) for part in got] == outcome["v"] else f"returned {got}, not {outcome['v']}"
    if got.shape != tuple(outcome["sh"]) or str(got.dtype) != outcome["dt"]:
        return f"{got.shape} {got.dtype} instead of {tuple(outcome['sh'])} {outcome['dt']}"
    want = (
        pools[outcome["dt"]][outcome["off"] : outcome["off"] + outcome["n"]] if outcome["n"] else got.ravel()
    )
    flat, whole = got.ravel(), "sd" not in outcome
    kept = flat if whole else flat[_sampled(flat.size, outcome["sd"])]
    if want.dtype.kind in "biu":
        wrong, tolerance = kept != want, 0.0
    else:
        tolerance = UNITS[outcome["dt"]] * float(np.finfo(want.dtype).eps) * max(case.scale, 1e-30)
        wrong = ~_close(kept, want, tolerance)
    if wrong.any():
        at = int(np.argmax(wrong))
        return f"{wrong.sum()} of {kept.size} elements are off, the first is {kept[at]} instead of {want[at]}"
    if whole or want.dtype.kind == "b":
        return ""
    missed = np.abs(_projections(flat, outcome["sd"]) - [complex(*pair) for pair in outcome["pr"]]).max()
    return (
        ""
        if missed <= 8 * np.sqrt(flat.size) * tolerance
        else f"a projection of the output is off by {missed}"
    )


def _close(got: np.ndarray, want: np.ndarray, tolerance: float) -> np.ndarray:
    """Within the tolerance where finite; NaN and infinity where the recording has them."""
    finite = np.isfinite(want)
    wide = np.result_type(want, np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(got.astype(wide) - want.astype(wide)) <= tolerance
    return np.where(finite, near, ~np.isfinite(got) & (np.isnan(got) == np.isnan(want)))


def _sampled(size: int, seed: int) -> np.ndarray:
    step = size / SAMPLES
    offsets = np.random.RandomState(seed).randint(0, max(int(step), 1), SAMPLES)
    return np.minimum((np.arange(SAMPLES) * step).astype(np.int64) + offsets, size - 1)


def _projections(flat: np.ndarray, seed: int) -> np.ndarray:
    wide = flat.astype(np.result_type(flat, np.float64))
    signs = [np.random.RandomState(seed + i).randint(0, 2, flat.size) * 2.0 - 1.0 for i in (1, 2)]
    return np.array([wide @ s for s in signs])
