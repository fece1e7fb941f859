"""Lengths that FFTW transforms fast.

FFTW has hand-made kernels for the factors 2, 3, 5, 7, 11 and 13 and fills its SIMD registers along a factor of 4.
Measured with ESTIMATE plans (batched, forward and backward, AVX, nanoseconds per point, medians over the lengths
from 129 to 256):

===================  ====  ========  ========  =======
largest power of 2      1         2         4  8 to 64
===================  ====  ========  ========  =======
real, single          6.0       3.1       2.6  2.0-2.6
real, double          6.1       2.7       2.7  2.0-2.7
complex, single       4.0       3.3       2.5  1.7-2.6
complex, double       4.1       3.9       3.3  3.2-4.1
===================  ====  ========  ========  =======

So a factor of 4 is worth the one or two per cent that it lengthens a transform, and more than 4 is not. But for long
ones: real, single, with a largest power of 4 takes 4.6 at 20,000 points, 5.5 at 100,000 and 6.2 at 280,000, with 8
to 64 it takes 4.0, 4.3 and 4.9 (AVX-512; others are alike).
"""

from __future__ import annotations

from functools import lru_cache

_ANY = 16  # up to here every length is one kernel
_LONG = 8192


@lru_cache(maxsize=8192)
def fftw_fast_length(n: int) -> int:
    """The smallest fast length that is at least `n`: any up to 16, above that a multiple of 4, of 8 beyond 8192.

    Examples
    --------
    >>> fftw_fast_length(13), fftw_fast_length(211), fftw_fast_length(1021)
    (13, 216, 1024)
    """
    if n < 1:
        raise ValueError(f"a transform's length must be >= 1, got {n}")
    least = 4 if n <= _LONG else 8
    return n if n <= _ANY else least * _smooth(-(-n // least))


def _smooth(n: int) -> int:
    """The smallest ``2^a 3^b 5^c 7^d`` times at most one of 11 or 13 that is at least `n`."""
    # odd * 2^a >= n holds from a = bit_length(ceil(n / odd) - 1) on.
    return min(odd << (-(-n // odd) - 1).bit_length() for odd in _odd_parts(n.bit_length()))


@lru_cache(maxsize=64)
def _odd_parts(bits: int) -> tuple[int, ...]:
    """The odd smooth numbers below ``2^bits``, and 1."""
    parts = [part for part in (1, 11, 13) if part < 1 << bits] or [1]
    for prime in (3, 5, 7):
        # The list grows under the loop, which is how it comes to hold every power of `prime`.
        for part in parts:
            if part * prime < 1 << bits:
                parts.append(part * prime)
    return tuple(parts)
