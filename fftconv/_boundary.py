"""The words for what lies outside an array, in the machine's integers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.boundary import Boundary

WORDS = {
    "constant": Boundary.CONSTANT,
    "edge": Boundary.EDGE,
    "reflect": Boundary.REFLECT,
    "symmetric": Boundary.SYMMETRIC,
    "wrap": Boundary.WRAP,
    "renormalize": Boundary.ZERO,
}
ALIASES = {
    "zeros": "constant",
    "fill": "constant",
    "nearest": "edge",
    "replicate": "edge",
    "mirror": "reflect",
    "symm": "symmetric",
    "circular": "wrap",
    "grid-wrap": "wrap",
}


class Extension(NamedTuple):
    """What a caller puts outside.

    Attributes
    ----------
    along : tuple of Boundary
        One for all convolved axes, or one for each.
    weightless : tuple of bool
        As many; True where what lies outside has no weight (``renormalize``).
    fill : number
        As the caller gave it.
    """

    along: tuple[Boundary, ...]
    weightless: tuple[bool, ...]
    fill: Any

    def on(self, axes: int) -> tuple[tuple[Boundary, bool], ...]:
        """One entry for each of so many convolved axes."""
        if len(self.along) not in (1, axes):
            raise ValueError(
                f"boundary must be one word or one per convolved axis, expected {axes}, got {len(self.along)}"
            )
        pairs = tuple(zip(self.along, self.weightless, strict=True))
        return pairs * axes if len(pairs) == 1 else pairs


def extension(boundary: Any, fill_value: Any) -> Extension | None:
    """Words in canonical form; None for zeros all around."""
    if boundary.__class__ is str and fill_value.__class__ in (float, int):
        return _remembered(boundary, fill_value)
    return _parse(boundary, fill_value)


def _parse(boundary: Any, fill_value: Any) -> Extension | None:
    given = (boundary,) if isinstance(boundary, str) else boundary
    words = [_word(word) for word in given] if isinstance(given, Iterable) else []
    if not words or None in words:
        raise ValueError(_expected(boundary))
    fill = _number(fill_value)
    if fill != 0 and ("constant" not in words or "zeros" in given):
        raise ValueError(
            f"fill_value is what boundary='constant' puts outside; got {fill!r} with boundary={boundary!r}"
        )
    along = tuple(Boundary.ZERO if word == "constant" and fill == 0 else WORDS[word] for word in words)
    weightless = tuple(word == "renormalize" for word in words)
    # words for zeros still have to be as many as there are axes
    if not any(along) and not any(weightless) and len(words) == 1:
        return None
    return Extension(along, weightless, fill)


_remembered = lru_cache(maxsize=256)(_parse)


def _word(given: Any) -> Any:
    """One of `WORDS`, or None."""
    word = ALIASES.get(given, given) if isinstance(given, str) else None
    return word if word in WORDS else None


def _expected(boundary: Any) -> str:
    other = ", ".join(f"{alias!r} for {word!r}" for alias, word in ALIASES.items())
    return (
        f"boundary must be one of {', '.join(map(repr, WORDS))}, or one of them per convolved axis ({other} will do); "
        f"got {boundary!r}"
    )


def _number(fill_value: Any) -> Any:
    """`fill_value` as a number of Python, or as a long double."""
    value = np.asarray(fill_value)
    if value.ndim or value.dtype.kind not in "biufc":
        shown = f"an array of shape {value.shape}" if value.ndim else repr(fill_value)
        raise ValueError(f"fill_value must be a number, got {shown}")
    return value.item()


def fill_of(value: Any, dtype: np.dtype) -> Any:
    """A fill value as a scalar of the result's dtype, which must be able to hold it.

    Raises
    ------
    ValueError
        Where it cannot: a fraction among integers, a complex number among real ones, a magnitude beyond the range.
    """
    refusal = ValueError(
        f"fill_value must be a value of the result's dtype {dtype}, got {value!r} (dtype= widens the result)"
    )
    if dtype.kind != "c" and isinstance(value, (complex, np.complexfloating)):
        raise refusal
    if dtype.kind in "iub":
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not low <= value <= high or value != int(value):
            raise refusal
        return dtype.type(int(value))
    with np.errstate(over="ignore"):
        filled = dtype.type(value)
    if np.isfinite(value) and not np.isfinite(filled):
        raise refusal
    return filled
