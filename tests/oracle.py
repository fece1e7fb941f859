"""What a convolution is, written twice without the package: one sum per output, and one tap at a time.

Both read a problem's plain fields only. Floats are summed in ``longdouble``, complex numbers in its complex
kin, integers as Python integers (then wrapped), booleans as an OR of ANDs.
"""

from __future__ import annotations

from itertools import product

import numpy as np


def _wide(dtype: np.dtype) -> np.dtype:
    """The dtype in which the oracle sums numbers that end in `dtype`."""
    if dtype.kind in "iub":
        return np.dtype(object)
    return np.dtype(np.clongdouble if dtype.kind == "c" else np.longdouble)


def _length(n: int, dilation: int) -> int:
    return n + max(n - 1, 0) * (dilation - 1)


def output_length(p, axis: int) -> int:
    """How often the dilated kernel fits when it walks over the padded, dilated axis in steps of the stride."""
    room = _length(p.input_size[axis], p.lhs_dilation[axis]) + sum(p.pads[axis])
    reach = _length(p.kernel_size[axis], p.rhs_dilation[axis])
    count = 0
    while count * p.stride[axis] + reach <= room:
        count += 1
    return count


def output_shape(p) -> tuple[int, ...]:
    return (p.batch, p.out_channels, *(output_length(p, a) for a in range(len(p.input_size))))


def wrap(sums: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Python integers reduced modulo 2^bits into `dtype`; longdoubles and their complex kin as they are."""
    if dtype.kind == "b":
        return np.array([bool(v) for v in sums.ravel()], bool).reshape(sums.shape)
    if dtype.kind in "iu":
        bits = 8 * dtype.itemsize
        residues = np.array([int(v) % 2**bits for v in sums.ravel()], f"u{dtype.itemsize}")
        return residues.view(dtype).reshape(sums.shape)
    return sums


def naive(p, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """One sum per output, straight from the definition."""
    wide = _wide(p.dtype)
    x, w = x.astype(wide), w.astype(wide)
    out = np.zeros(output_shape(p), wide)
    inputs, outputs = p.in_channels // p.groups, max(p.out_channels // p.groups, 1)
    for n, o, *y in np.ndindex(out.shape):
        first = (o // outputs) * inputs
        total = 0 if wide.kind == "O" else wide.type(0)
        for c, u in product(range(inputs), np.ndindex(tuple(p.kernel_size))):
            sample = _sample(p, y, u)
            if sample is not None:
                tap = [k - 1 - i for k, i in zip(p.kernel_size, u, strict=True)] if p.flip else u
                total = total + x[(n, first + c, *sample)] * w[(o, c, *tap)]
        out[(n, o, *y)] = total
    return wrap(out, p.dtype)


def _sample(p, y, u) -> tuple[int, ...] | None:
    """Which input sample output `y` and tap `u` join; None in the padding or on a dilation zero."""
    found = []
    for a, (yi, ui) in enumerate(zip(y, u, strict=True)):
        q, zero = divmod(yi * p.stride[a] + ui * p.rhs_dilation[a] - p.pads[a][0], p.lhs_dilation[a])
        if zero or not 0 <= q < p.input_size[a]:
            return None
        found.append(q)
    return tuple(found)


def by_taps(p, x: np.ndarray, w: np.ndarray, wide: np.dtype | None = None) -> np.ndarray:
    """One tap at a time over the whole output, on an input padded and dilated in full.

    Summed in `wide` where given, and returned so. Where a tap is not finite it meets samples only, no zeros.
    """
    shape, given = output_shape(p), wide is not None
    if wide is None and p.dtype.kind == "b":
        wide = np.dtype(bool)
    elif wide is None and p.dtype.kind in "iu":
        wide = np.dtype(np.uint64)  # arithmetic modulo 2^64 contains arithmetic modulo any smaller power
    elif wide is None:
        wide = _wide(p.dtype)
    narrows = wide.kind in "ub" and not given
    out = np.zeros(shape, wide)
    if out.size == 0 or x.size == 0 or w.size == 0:
        return out.astype(p.dtype) if narrows else out
    with np.errstate(over="ignore"):
        padded, seen, w = _spread(p, x.astype(wide)), None, w.astype(wide)
        if wide.kind in "fc" and not np.isfinite(w).all():
            seen = _spread(p, np.ones((1, 1, *x.shape[2:]), bool))[0, 0]
        outputs = p.out_channels // p.groups
        for u in np.ndindex(w.shape[2:]):
            tap = tuple(k - 1 - i for k, i in zip(w.shape[2:], u, strict=True)) if p.flip else u
            window = tuple(
                slice(i * d, i * d + (m - 1) * s + 1, s)
                for i, d, m, s in zip(u, p.rhs_dilation, shape[2:], p.stride, strict=True)
            )
            for o, c in np.ndindex(w.shape[:2]):
                source = padded[(slice(None), (o // outputs) * w.shape[1] + c, *window)]
                terms = source * w[(o, c, *tap)]
                if seen is not None and not np.isfinite(w[(o, c, *tap)]):
                    terms = np.where(seen[window], terms, 0)
                out[:, o] += terms
        return out.astype(p.dtype) if narrows else out


def _spread(p, x: np.ndarray) -> np.ndarray:
    """`x` with its dilation zeros in place, then padded or cropped."""
    for axis, (b, (lo, hi)) in enumerate(zip(p.lhs_dilation, p.pads, strict=True), 2):
        n = x.shape[axis]
        shape = list(x.shape)
        shape[axis] = room = _length(n, b) + lo + hi
        spread = np.zeros(shape, x.dtype)
        kept = [q for q in range(n) if 0 <= q * b + lo < room]
        if kept:
            target = slice(kept[0] * b + lo, kept[-1] * b + lo + 1, b)
            at = (slice(None),) * axis
            spread[(*at, target)] = x[(*at, slice(kept[0], kept[-1] + 1))]
        x = spread
    return x


def reference(p, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The naive sum where that is a matter of milliseconds, else one tap at a time."""
    products = np.prod(output_shape(p), dtype=float) * w[:1].size
    return naive(p, x, w) if products < 2000 else by_taps(p, x, w)


def assert_close(p, got: np.ndarray, x: np.ndarray, w: np.ndarray, want: np.ndarray | None = None) -> None:
    """`got` is the result of `p`: exactly for integers and booleans, else within rounding of the dtype.

    Rounding: every error below ``C * eps * log2(transform) * |x| * |w|`` (2-norms over what one output may see),
    and the 2-norm of all errors small beside that of the result once there are enough outputs to speak of one.
    """
    want = reference(p, x, w) if want is None else want
    assert got.dtype == p.dtype, f"{got.dtype} instead of {p.dtype} for {p}"
    assert got.shape == want.shape, f"{got.shape} instead of {want.shape} for {p}"
    if p.dtype.kind in "iub":
        bad = np.argwhere(got != want)
        assert not len(bad), (
            f"{p}: {len(bad)} of {got.size} differ, first {bad[0]}: {got[*bad[0]]} != {want[*bad[0]]}"
        )
        return
    if not got.size:
        return
    eps = float(np.finfo(p.dtype).eps)
    sizes = zip(p.input_size, p.lhs_dilation, p.kernel_size, p.rhs_dilation, strict=True)
    span = [n * b + k * d for n, b, k, d in sizes]
    logs = 1 + np.log2(np.prod(span, dtype=float) + 1)
    per_batch = np.sqrt((np.abs(x.astype(want.dtype)) ** 2).reshape(p.batch, -1).sum(1)).max(initial=0)
    per_kernel = np.sqrt((np.abs(w.astype(want.dtype)) ** 2).reshape(p.out_channels, -1).sum(1)).max(
        initial=0
    )
    error = np.abs(got - want)
    worst = error.max()
    bound = 4 * eps * logs * per_batch * per_kernel
    where = np.unravel_index(error.argmax(), error.shape)
    assert worst <= bound, (
        f"{p}: {worst / bound:.3g} times the bound at {where}: {got[where]} != {want[where]}"
    )
    if got.size >= 64:
        norm, missed = np.sqrt((np.abs(want) ** 2).sum()), np.sqrt((error**2).sum())
        assert missed <= 8 * eps * logs * norm + bound, f"{p}: relative 2-norm error {missed / norm:.3g}"
