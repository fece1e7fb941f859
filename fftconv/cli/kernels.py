"""Kernels named in a few letters: ``gauss:sigma=3``, ``box:9``, ``hann:101``.

A name means a product of the same taps along every axis, scaled to a sum of 1, so that it smooths and keeps
the level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter, signature

import click
import numpy as np

from fftconv.core.room import new_result

Taps = Callable[..., np.ndarray]


def gauss(sigma: float, truncate: float = 4.0) -> np.ndarray:
    """Samples of a Gaussian out to `truncate` times its width `sigma`."""
    if not (0 < sigma < math.inf and 0 < truncate < math.inf):
        raise click.UsageError(
            f"gauss needs positive, finite sigma and truncate, got {sigma:g} and {truncate:g}"
        )
    radius = max(1, round(truncate * sigma))
    with np.errstate(over="ignore"):  # of a width far below one sample
        return np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)


def box(n: int) -> np.ndarray:
    """`n` equal taps: the running mean."""
    return np.ones(n)


def triangle(n: int) -> np.ndarray:
    """`n` taps that rise and fall in equal steps."""
    return 1.0 + np.minimum(np.arange(n), np.arange(n)[::-1])


def hann(n: int) -> np.ndarray:
    """A Hann window of `n` taps, the outermost two of them zero."""
    if n == 2:
        raise click.UsageError("hann needs 1 tap, or at least 3: both taps of hann:2 are zero")
    return np.hanning(n)


def hamming(n: int) -> np.ndarray:
    """A Hamming window of `n` taps."""
    return np.hamming(n)


SHAPES: dict[str, Taps] = {f.__name__: f for f in (gauss, box, triangle, hann, hamming)}
USAGE = "gauss:sigma=S, box:N, triangle:N, hann:N, hamming:N"


def taps(text: str) -> np.ndarray:
    """The taps of one axis, scaled to a sum of 1."""
    name, _, rest = text.partition(":")
    if name not in SHAPES:
        raise click.UsageError(f"no kernel {text!r}: neither a file nor one of {USAGE}")
    shape = SHAPES[name]
    given = _arguments(text, shape, rest.split(",") if rest else [])
    try:
        weights = shape(**given)
    except (MemoryError, ValueError, OverflowError):
        raise click.UsageError(f"kernel {text!r}: it has more taps than memory holds") from None
    return np.asarray(weights / weights.sum())


def outer(axes_taps: Sequence[np.ndarray]) -> np.ndarray:
    """The product kernel with one axis per entry."""
    sizes = tuple(len(taps) for taps in axes_taps)
    try:
        product = new_result(sizes, np.dtype(np.float64))
    except MemoryError:
        raise click.UsageError(
            f"a kernel of {' x '.join(map(str, sizes))} taps is larger than memory"
        ) from None
    product[...] = 1
    for taps in np.ix_(*axes_taps):
        product *= taps
    return product


def _arguments(text: str, shape: Taps, parts: list[str]) -> dict[str, float]:
    """``sigma=3,truncate=5`` or ``3,5`` as keywords of `shape`."""
    wanted = signature(shape).parameters
    if len(parts) > len(wanted):
        raise click.UsageError(
            f"kernel {text!r}: {shape.__name__} takes {_listed(wanted)}, got {len(parts)} values"
        )
    given: dict[str, float] = {}
    for position, part in enumerate(parts):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = list(wanted)[position], part
        if key not in wanted or key in given:
            more = "again" if key in given else ""
            raise click.UsageError(
                f"kernel {text!r}: {shape.__name__} takes {_listed(wanted)}, got {key!r} {more}".rstrip()
            )
        given[key] = _number(text, value, whole=key == "n")
    missing = [k for k, p in wanted.items() if p.default is Parameter.empty and k not in given]
    if missing:
        raise click.UsageError(f"kernel {text!r}: {shape.__name__} needs {', '.join(missing)}, as in {USAGE}")
    return given


def _number(text: str, value: str, whole: bool) -> float:
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise click.UsageError(f"kernel {text!r}: expected {kind}, got {value!r}") from None
    if whole and number < 1:
        raise click.UsageError(f"kernel {text!r}: expected at least 1 tap, got {number}")
    return number


def _listed(wanted: Iterable[str]) -> str:
    return " and ".join(wanted)
