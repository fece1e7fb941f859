"""Lengths that FFTW transforms fast."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=8192)
def fftw_fast_length(n: int, real: bool = True) -> int:
    """The smallest ``2^a 3^b 5^c 7^d`` times at most one of 11 or 13 that is at least `n`.

    Examples
    --------
    >>> fftw_fast_length(1021)
    1024
    """
    if n < 1:
        raise ValueError(f"a transform's length must be >= 1, got {n}")
    return min(_smallest_multiple(n, odd) for odd in _odd_parts(n))


def _smallest_multiple(n: int, odd: int) -> int:
    """The smallest ``odd * 2^a`` that is at least `n`."""
    return odd << max(0, (-(-n // odd) - 1).bit_length())


@lru_cache(maxsize=64)
def _odd_parts_below(power: int) -> tuple[int, ...]:
    limit = 1 << power
    parts = [part for part in (1, 11, 13) if part < limit]
    for prime in (3, 5, 7):
        for part in parts:
            if part * prime < limit:
                parts.append(part * prime)
    return tuple(parts)


def _odd_parts(n: int) -> tuple[int, ...]:
    return _odd_parts_below(n.bit_length() + 1)
