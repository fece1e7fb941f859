"""Numbers as a table shows them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Three digits and a unit.

    Examples
    --------
    >>> duration(0.00241)
    '2.41 ms'
    """
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{digits(seconds / scale)} {unit}"
    return f"{digits(seconds * 1e9)} ns"


def size(count: int) -> str:
    """Bytes in MiB, small ones in KiB.

    Examples
    --------
    >>> size(3 * 2**19)
    '1.5 MiB'
    """
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


def digits(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"
