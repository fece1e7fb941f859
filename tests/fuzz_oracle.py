"""What each door must answer, one tap at a time and without the package: values, and how far a result may be off.

Every door comes down to sums of `oracle.by_taps` over arrays that `numpy.pad` has extended, or to a few lines of its
own definition. Bounds are those of `docs/accuracy.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2, prod
from operator import ge
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import oracle
from fuzz_cases import Array, Case

SUMS = ("direct", "band", "jit")
PADDED = {
    "constant": "constant", "edge": "edge", "nearest": "edge", "reflect": "reflect", "mirror": "reflect",
    "symmetric": "symmetric", "symm": "symmetric", "wrap": "wrap", "circular": "wrap",
    "fill": "constant", "pad": "constant", "renormalize": "renormalize",
}  # fmt: skip


@dataclass
class Answer:
    """What a call must return.

    Attributes
    ----------
    dtype, value
        The result; `value` in higher precision, or exact.
    slack : ndarray or None
        How far each element may be off; None for integers.
    empty : ndarray or None
        Where the window holds nothing but zeros, so that the result is one.
    unsure : ndarray or None
        Elements that rounding decides.
    lost : ndarray or None
        Where a masked result is masked.
    raises : exception type or None
        What the call must raise instead.
    """

    dtype: np.dtype
    value: Any = None
    slack: Any = None
    empty: Any = None
    unsure: Any = None
    lost: Any = None
    raises: type[Exception] | None = None


class Sum(NamedTuple):
    """Exact sums, and what bounds their rounding: terms of each, points of a transform, norms of the operands."""

    value: np.ndarray
    magnitude: np.ndarray | None
    terms: int = 0
    points: int = 2
    norm: float = 0.0
    inputs: int = 1
    clears: bool = False

    @property
    def empty(self) -> np.ndarray | None:
        """Outputs that see nothing but zeros, where the kernel has none and is the shorter operand."""
        return self.magnitude == 0 if self.clears and self.magnitude is not None else None


def finite(a: np.ndarray) -> np.ndarray:
    """Magnitudes, 0 for what is not finite."""
    return np.abs(np.where(np.isfinite(a), a, 0).astype(complex if a.dtype.kind == "c" else float))


def norm(a: np.ndarray) -> float:
    return float(np.sqrt((finite(a) ** 2).sum()))


def problem(x: np.ndarray, w: np.ndarray, dtype: np.dtype, pads: Any, **more: Any) -> SimpleNamespace:
    """Canonical operands (N, C, *S) and (O, C/g, *K) as the oracle takes them."""
    ones = (1,) * (x.ndim - 2)
    plain = {"stride": ones, "lhs_dilation": ones, "rhs_dilation": ones, "groups": 1, "flip": False} | more
    return SimpleNamespace(
        batch=x.shape[0], in_channels=x.shape[1], out_channels=w.shape[0], input_size=x.shape[2:],
        kernel_size=w.shape[2:], pads=tuple(pads), dtype=dtype, **plain,
    )  # fmt: skip


def tap_sum(p: SimpleNamespace, x: np.ndarray, w: np.ndarray) -> Sum:
    """The sums of a canonical problem."""
    value = oracle.by_taps(p, x, w)
    if p.dtype.kind in "iub":
        return Sum(value, None)
    sizes = zip(x.shape[2:], p.pads, w.shape[2:], p.lhs_dilation, p.rhs_dilation, strict=True)
    points = prod(2 * (n * b + max(lo, 0) + max(hi, 0) + k * d) for n, (lo, hi), k, b, d in sizes)
    magnitude = oracle.by_taps(p, finite(x), finite(w), np.dtype(float))
    clears = bool((np.isfinite(w) & (w != 0)).all() and w.size) and all(map(ge, x.shape[2:], w.shape[2:]))
    return Sum(value, magnitude, w[:1].size, points, norm(x) * norm(w), w.shape[1], clears)


def rounding(found: Sum, dtype: np.dtype, method: str) -> np.ndarray:
    """The bound of docs/accuracy.md for `method`, or the larger one where it is the planner's choice."""
    eps = float(np.finfo(np.float32 if dtype == np.float16 else dtype).eps)
    slack = (found.terms + 2) * eps * found.magnitude
    if method not in SUMS:
        transform = eps / 2 * (24 * log2(max(found.points, 2)) + 2 * found.inputs) * found.norm
        # of a sum of up to three products of 1-d kernels: each may be larger than the kernel
        growth = 1 if method in ("fft", "overlap_save") else 7 * np.sqrt(found.terms + 1)
        slack = np.maximum(slack, growth * transform)
    return slack + np.finfo(np.float32 if dtype == np.float16 else dtype).tiny


def answered(found: Sum, dtype: np.dtype, keywords: dict[str, Any], bias: np.ndarray | None = None) -> Answer:
    """The sums (and `bias`) in the dtype of the result."""
    value, magnitude = found.value, found.magnitude
    if bias is not None:
        value = (value + bias.astype(value.dtype)).astype(value.dtype)
    if magnitude is None:
        return Answer(dtype, value)
    slack = rounding(found, dtype, keywords.get("method", "auto"))
    if keywords.get("rtol") is not None or keywords.get("atol") is not None:
        slack = np.minimum(slack, keywords.get("rtol", 0.0) * magnitude + keywords.get("atol", 0.0))
    unsure = None
    if bias is not None:
        magnitude = magnitude + finite(bias)
        slack = slack + float(np.finfo(dtype).eps) * magnitude
    if dtype == np.float16:
        slack = slack + 2.0**-11 * (finite(value) + slack) * (1 + (bias is not None)) + 2.0**-24
        unsure = finite(value) + 4 * slack > 65000
    return Answer(dtype, value, slack, found.empty if bias is None else None, unsure)


def expected(case: Case, arrays: dict[str, np.ndarray], extras: dict[str, Any]) -> Answer:
    """The answer to `case` with these arrays; `extras` are the mask, the weights and the like."""
    room, _, name = case.door.rpartition(".")
    keywords = case.keywords | extras
    with np.errstate(all="ignore"):
        if room == "numpy":
            return _numpy(name, arrays["a"], arrays["v"], keywords)
        if room == "lax":
            return _lax(name, arrays, keywords)
        if room == "nn":
            return _nn(name, arrays, keywords)
        return _signal(name, arrays["in1"], arrays["in2"], keywords) if room else _convolver(arrays, keywords)


# --- scipy's dialect


class Aligned(NamedTuple):
    """Two operands with one number of axes, the convolved ones among them, and the windows of these."""

    in1: np.ndarray
    in2: np.ndarray
    axes: tuple[int, ...]
    windows: dict[int, tuple[int, int]]

    @property
    def shape(self) -> tuple[int, ...]:
        pairs = zip(self.in1.shape, self.in2.shape, strict=True)
        return tuple(self.windows[i][1] if i in self.axes else _both(*p) for i, p in enumerate(pairs))

    def entries(self):
        """Per entry of the batch: where it stands in the result, in1 and in2."""
        for at in np.ndindex(*(1 if i in self.axes else m for i, m in enumerate(self.shape))):
            yield tuple(self._part(at, shape) for shape in (self.shape, self.in1.shape, self.in2.shape))

    def _part(self, at: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
        return tuple(slice(None) if i in self.axes else min(at[i], shape[i] - 1) for i in range(len(shape)))

    def pads(self, i: int) -> tuple[int, int]:
        """How far the windows along an axis read before and after in1."""
        (start, length), n, k = self.windows[i], self.in1.shape[i], self.in2.shape[i]
        return k - 1 - start, start + length - n


def _both(n: int, k: int) -> int:
    return k if n == 1 else n


def aligned(name: str, in1: np.ndarray, in2: np.ndarray, mode: str, axes: Any) -> Aligned:
    """Operands of a convolution; a correlation is one with the kernel reversed and conjugated."""
    ndim = max(in1.ndim, in2.ndim)
    in1, in2 = (v.reshape((1,) * (ndim - v.ndim) + v.shape) for v in (in1, in2))
    axes = (
        tuple(range(ndim)) if axes is None else tuple(sorted(a % ndim for a in np.atleast_1d(axes).tolist()))
    )
    if name.startswith("correlate"):
        in2 = np.flip(in2, axes).conj()
    windows = {}
    for i in axes:
        n, k = in1.shape[i], in2.shape[i]
        same = (k // 2 if name == "correlate2d" else (k - 1) // 2, n)
        windows[i] = {"full": (0, n + k - 1), "same": same, "valid": (min(n, k) - 1, abs(n - k) + 1)}[mode]
    return Aligned(in1, in2, axes, windows)


def _signal_dtype(name: str, in1: np.ndarray, in2: np.ndarray, keywords: dict[str, Any]) -> np.dtype:
    dtypes = [in1.dtype, in2.dtype]
    if name in ("fftconvolve", "oaconvolve"):
        dtypes = [np.result_type(d, np.float32) if d.kind in "fc" else np.dtype(float) for d in dtypes]
    dtype = np.dtype(keywords.get("dtype") or np.result_type(*dtypes))
    if any(keywords.get(word) is not None for word in ("mask", "weights", "masked")) and dtype.kind in "iub":
        return np.dtype(float)
    return (
        np.dtype(float) if "renormalize" in str(keywords.get("boundary")) and dtype.kind in "iub" else dtype
    )


def _signal(name: str, in1: np.ndarray, in2: np.ndarray, keywords: dict[str, Any]) -> Answer:
    dtype = _signal_dtype(name, in1, in2, keywords)
    mode = keywords.get("mode", "full")
    if 0 in in1.shape and name in ("fftconvolve", "oaconvolve"):
        return Answer(dtype, np.zeros((0,) * max(in1.ndim, in2.ndim)))
    operands = aligned(name, in1, in2, mode, keywords.get("axes"))
    words = keywords.get("boundary", "constant")
    words = [words] * len(operands.axes) if isinstance(words, str) else words
    inside = mode == "valid" and all(operands.in1.shape[i] >= operands.in2.shape[i] for i in operands.axes)
    words = ["constant" if mode == "valid" else PADDED[w] for w in words]
    fill = 0 if inside else keywords.get("fill_value", keywords.get("fillvalue", 0))
    if fill != fill and keywords.get("nan_policy", "").startswith("omit"):
        fill, words = 0, ["renormalize" if w == "constant" else w for w in words]
    fill = 0 if mode == "valid" else fill
    policy = keywords.get("nan_policy", "propagate")
    missing = np.zeros(in1.shape, bool)
    for flags in (keywords.get("mask"), keywords.get("masked")):
        missing = missing if flags is None else missing | flags
    weights = (
        np.ones(in1.shape)
        if keywords.get("weights") is None
        else np.broadcast_to(keywords["weights"], in1.shape)
    )
    gaps = ~np.isfinite(in1) & ~missing & (weights != 0)
    if policy == "raise" and gaps.any():
        return Answer(dtype, raises=ValueError)
    if policy.startswith("omit"):
        missing = missing | gaps
    lost = np.zeros(operands.shape, bool) if keywords.get("masked") is not None else None
    if not missing.any() and keywords.get("weights") is None and "renormalize" not in words:
        found = _plain(operands, dtype, words, fill)
        answer = answered(found, dtype, keywords)
        if (
            keywords.get("overflow") == "raise"
            and dtype.kind in "iu"
            and _overflows(operands, dtype, words, fill)
        ):
            answer.raises = OverflowError
    elif 0 not in operands.shape and _weightless(operands):
        return Answer(dtype, raises=ValueError)
    else:
        answer = _means(operands, dtype, (words, fill), (missing, weights))
        if policy == "omit_keep":
            kept = np.broadcast_to(missing, operands.shape)
            answer.value, answer.lost = np.where(kept, np.nan, answer.value), answer.lost | kept
            answer.unsure = answer.unsure & ~kept
        lost = answer.lost if lost is not None else None
    answer.lost = lost
    return answer


def extended(
    a: np.ndarray, pads: list[tuple[int, int]], words: list[str], fill: Any, outside: Any = 0
) -> np.ndarray:
    """`a` by numpy.pad: mirrored axes first, then constant ones, then those with nothing (`outside`) around."""
    for kinds in (("edge", "reflect", "symmetric", "wrap"), ("constant",), ("renormalize",)):
        for i, (word, pair) in enumerate(zip(words, pads, strict=True)):
            if word in kinds:
                widths = [pair if j == i else (0, 0) for j in range(a.ndim)]
                values = {"constant": {"constant_values": fill}, "renormalize": {"constant_values": outside}}
                a = np.pad(a, widths, word.replace("renormalize", "constant"), **values.get(word, {}))
    return a


def _canonical(operands: Aligned, words: list[str], fill: Any, dtype: np.dtype):
    """Per entry: its place, and its problem with everything but zeros spelled out."""
    pads = [operands.pads(i) for i in operands.axes]
    spelled = [(0, 0) if w == "constant" and fill == 0 else pair for w, pair in zip(words, pads, strict=True)]
    rest = [(a - c, b - d) for (a, b), (c, d) in zip(pads, spelled, strict=True)]
    for place, first, second in operands.entries():
        x, w = operands.in1[first], operands.in2[second]
        if any(map(any, spelled)):
            x = x.astype(dtype if dtype.kind in "iub" else np.result_type(dtype, np.longdouble))
            x = extended(x, spelled, words, fill)
        x, w = x[None, None], w[None, None]
        yield place, problem(x, w, dtype, rest, flip=True), x, w


def _plain(operands: Aligned, dtype: np.dtype, words: list[str], fill: Any) -> Sum:
    total: Sum | None = None
    floats = dtype.kind in "fc"
    for place, p, x, w in _canonical(operands, words, fill, dtype):
        part = tap_sum(p, x, w)
        if total is None:
            shape = operands.shape
            total = part._replace(
                value=np.zeros(shape, part.value.dtype), magnitude=np.zeros(shape) if floats else None
            )
        total.value[place] = part.value[0, 0]
        if total.magnitude is not None:
            total.magnitude[place] = part.magnitude[0, 0]
            total = total._replace(norm=max(total.norm, part.norm), clears=total.clears and part.clears)
    return total or Sum(np.zeros(operands.shape), np.zeros(operands.shape) if floats else None)


def _overflows(operands: Aligned, dtype: np.dtype, words: list[str], fill: Any) -> bool:
    """Whether a sum in Python's integers leaves the dtype."""
    limits = np.iinfo(dtype)
    for _, p, x, w in _canonical(operands, words, fill, np.dtype(object)):
        found = oracle.by_taps(p, x, w, np.dtype(object))
        if found.size and not (limits.min <= found.min() and found.max() <= limits.max):
            return True
    return False


def _weightless(operands: Aligned) -> bool:
    """Whether a kernel sums to zero, or nearly."""
    w = operands.in2.astype(np.clongdouble)
    return bool((np.abs(w.sum(operands.axes)) <= 2.0**-20 * np.abs(w).sum(operands.axes)).any())


def _means(
    operands: Aligned, dtype: np.dtype, outside: tuple[list[str], Any], samples: tuple[np.ndarray, np.ndarray]
) -> Answer:
    """Normalised convolution, ``s * sum(k W x) / sum(k W)``.

    NaN where no sample is seen that is there although some are missing, or where the weights cancel.
    """
    (words, fill), shape = outside, operands.shape
    wide = np.clongdouble if dtype.kind == "c" else np.longdouble
    answer = Answer(
        dtype, np.zeros(shape, wide), np.zeros(shape), None, np.zeros(shape, bool), np.zeros(shape, bool)
    )
    pads = [operands.pads(i) for i in operands.axes]
    missing, weights = (v.reshape(operands.in1.shape) for v in samples)
    missing = missing | (weights == 0)
    ordinary = not missing.any() and (weights == 1).all()
    inner = dtype if ordinary else np.result_type(dtype, np.float64)
    for place, first, second in operands.entries():
        x, taps, gone = operands.in1[first], operands.in2[second], missing[first]
        weight = np.where(gone, 0, weights[first]).astype(np.longdouble)
        values = extended(np.where(gone, 0, x.astype(wide) * weight), pads, words, fill)
        weight = extended(weight, pads, words, 1)
        there, gone = extended(~gone, pads, words, False), extended(gone, pads, words, False, True)
        used = taps != 0

        def over(a: np.ndarray, k: np.ndarray, kind: Any = inner) -> Sum:
            a, k = a[None, None], k[None, None]
            return tap_sum(problem(a, k, np.dtype(kind), [(0, 0)] * len(pads), flip=True), a, k)

        num, left, scale = (
            over(values, taps),
            over(weight, taps, np.float64 if dtype.kind == "f" else np.complex128),
            taps.astype(wide).sum(),
        )
        seen, unseen = (over(v, used, np.int64).value[0, 0] for v in (there, gone))
        divisor, size = left.value[0, 0], left.magnitude[0, 0]
        empty = ((seen == 0) & (unseen > 0)) | (divisor == 0)
        value = np.where(empty, np.nan, scale * num.value[0, 0] / np.where(empty, 1, divisor))
        error = np.abs(scale) * rounding(num, inner, "auto")[0, 0]
        error = (
            error + finite(value) * (rounding(left, np.dtype(float), "auto")[0, 0] + 1e-15 * size)
        ) / np.abs(divisor)
        answer.value[place], answer.lost[place] = value, empty
        answer.slack[place] = error + 4 * float(np.finfo(dtype).eps) * finite(value)
        answer.unsure[place] = ~empty & (np.abs(divisor) < 1e-9 * size)
    if dtype == np.float16:
        answer.slack += 2.0**-24
        answer.unsure |= finite(answer.value) > 60000
    return answer


# --- numpy's dialect


def _numpy(name: str, a: np.ndarray, v: np.ndarray, keywords: dict[str, Any]) -> Answer:
    """numpy itself, in a wider dtype."""
    dtype, call, mode = np.result_type(a, v), getattr(np, name), keywords["mode"]
    mode = mode if isinstance(mode, str) else ("valid", "same", "full")[mode]
    if dtype.kind in "iub":
        return Answer(dtype, call(a.astype(dtype), v.astype(dtype), mode))
    wide = np.clongdouble if dtype.kind == "c" else np.longdouble
    points, terms = 2 * (a.size + v.size), min(a.size, v.size)
    value = call(a.astype(wide), v.astype(wide), mode)
    found = Sum(value, call(finite(a), finite(v), mode), terms, points, norm(a) * norm(v))
    return answered(found, dtype, keywords)


# --- jax's dialect


def views(words: Any, x: np.ndarray, w: np.ndarray | None) -> tuple[Any, Any, Any]:
    """Canonical views of input and kernel, and the axes of the output; space counts as in the kernel's word."""
    if words is None:
        return x, w, None
    space = [c for c in words[1] if c not in "OI"]
    lhs, rhs, out = (
        [word.index(c) for c in (*two, *space)] for word, two in zip(words, ("NC", "OI", "NC"), strict=True)
    )
    return x.transpose(lhs), None if w is None else w.transpose(rhs), np.argsort(out)


def placed(value: np.ndarray | None, order: Any) -> Any:
    return value if value is None or order is None else value.transpose(order)


def _dilated(n: int, d: int) -> int:
    return (n - 1) * d + 1 if n else 0


def _jax_pads(word: Any, sizes: Any, reach: list[int], steps: Any) -> list[tuple[int, int]]:
    if not isinstance(word, str):
        return list(word)
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, reach, steps, strict=True)]
    if word.upper() == "VALID":
        return [(0, 0) for _ in totals]
    return [(t // 2, t - t // 2) if word.upper() == "SAME" else (t - t // 2, t // 2) for t in totals]


def _transposed_pads(k: int, s: int, word: Any, pair: Any, consistent: bool) -> tuple[int, int]:
    """The pads by which jax makes ``n s`` outputs (SAME), or all (VALID)."""
    if word == "SAME":
        total = k + s - 2
        lo = k - 1 if s > k - 1 else -(-total // 2)
        return lo, total - lo
    if word == "VALID":
        return k - 1, s - 1 + max(k - s, 0)
    return (k - 1 - pair[0], k - 1 - pair[1]) if consistent else pair


def _lax(name: str, arrays: dict[str, np.ndarray], keywords: dict[str, Any]) -> Answer:
    x, w = arrays["lhs"], arrays.get("rhs")
    ndim, words = x.ndim - 2, keywords.get("dimension_numbers")
    if words is None and name == "conv_transpose":
        words = (f"N{'HWD'[:ndim]}C", f"{'HWD'[:ndim]}IO", f"N{'HWD'[:ndim]}C")
    x, w, order = views(words, x, w)
    dtype, ones = np.dtype(keywords.get("preferred_element_type") or x.dtype), (1,) * ndim
    more = {
        "lhs_dilation": keywords.get("lhs_dilation") or ones,
        "rhs_dilation": keywords.get("rhs_dilation") or ones,
    }
    if name.endswith("patches") or name.endswith("local"):
        p = _window(x, keywords, more)
        found = patches(p, x)
        if name.endswith("patches"):
            return Answer(dtype, placed(found, order), np.zeros(1) if dtype.kind in "fc" else None)
        return _answer_in(order, local(found, w, dtype), dtype, keywords)
    if name == "conv_transpose":
        if keywords.get("transpose_kernel"):
            w = np.flip(w.swapaxes(0, 1), tuple(range(2, w.ndim)))
        reach = [_dilated(k, d) for k, d in zip(w.shape[2:], more["rhs_dilation"], strict=True)]
        pairs = keywords["padding"] if not isinstance(keywords["padding"], str) else [None] * ndim
        pads = [
            _transposed_pads(k, s, keywords["padding"], pair, keywords.get("use_consistent_padding", False))
            for k, s, pair in zip(reach, keywords["strides"], pairs, strict=True)
        ]
        more["lhs_dilation"] = keywords["strides"]
    else:
        more |= {"stride": keywords["window_strides"], "groups": keywords.get("feature_group_count", 1)}
        reach = [_dilated(k, d) for k, d in zip(w.shape[2:], more["rhs_dilation"], strict=True)]
        pads = _jax_pads(keywords["padding"], x.shape[2:], reach, more["stride"])
    blocks = keywords.get("batch_group_count", 1)
    parts = [
        tap_sum(problem(a, b, dtype, pads, **more), a, b)
        for a, b in zip(np.split(x, blocks), np.split(w, blocks), strict=True)
    ]
    value = np.concatenate([part.value for part in parts], 1)
    magnitude = None
    if dtype.kind in "fc":
        magnitude = np.concatenate([part.magnitude for part in parts], 1)
    whole = parts[0]._replace(
        value=value,
        magnitude=magnitude,
        norm=max(part.norm for part in parts),
        clears=all(part.clears for part in parts),
    )
    return _answer_in(order, whole, dtype, keywords)


def _answer_in(order: Any, found: Sum, dtype: np.dtype, keywords: dict[str, Any]) -> Answer:
    found = found._replace(value=placed(found.value, order), magnitude=placed(found.magnitude, order))
    return answered(found, dtype, keywords)


def _window(x: np.ndarray, keywords: dict[str, Any], more: dict[str, Any]) -> SimpleNamespace:
    """The problem of patches, whose kernel is nothing but its size."""
    window = np.zeros((1, x.shape[1], *keywords["filter_shape"]))
    reach = [_dilated(k, d) for k, d in zip(window.shape[2:], more["rhs_dilation"], strict=True)]
    pads = _jax_pads(keywords["padding"], x.shape[2:], reach, keywords["window_strides"])
    return problem(x, window, x.dtype, pads, stride=keywords["window_strides"], **more)


def patches(p: SimpleNamespace, x: np.ndarray) -> np.ndarray:
    """Copies of samples, (N, C * taps, *M)."""
    batch, _, *size = oracle.output_shape(p)
    found = np.zeros((batch, x.shape[1], *p.kernel_size, *size), x.dtype)
    if found.size:
        padded = oracle._spread(p, x)
        for u in np.ndindex(p.kernel_size):
            at = (
                slice(i * d, i * d + (m - 1) * s + 1, s)
                for i, d, m, s in zip(u, p.rhs_dilation, size, p.stride, strict=True)
            )
            found[(slice(None), slice(None), *u)] = padded[(slice(None), slice(None), *at)]
    return found.reshape(batch, x.shape[1] * prod(p.kernel_size), *size)


def local(found: np.ndarray, w: np.ndarray, dtype: np.dtype) -> Sum:
    """Patches times kernels that differ at every output."""
    wide = {"b": bool, "i": np.uint64, "u": np.uint64, "c": np.clongdouble}.get(dtype.kind, np.longdouble)
    value = sum_of_products(found.astype(wide), w.astype(wide))
    if dtype.kind in "iub":
        return Sum(value.astype(dtype), None)
    return Sum(value, sum_of_products(finite(found), finite(w)), found.shape[1], 2, norm(found) * norm(w))


def sum_of_products(found: np.ndarray, w: np.ndarray) -> np.ndarray:
    out = np.zeros((found.shape[0], w.shape[0], *found.shape[2:]), found.dtype)
    for o, r in np.ndindex(w.shape[:2]):
        out[:, o] += found[:, r] * w[o, r]
    return out


# --- torch's dialect


class Torch(NamedTuple):
    """The keywords of torch, one number for each axis."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: list[tuple[int, int]]
    groups: int

    @classmethod
    def of(cls, keywords: dict[str, Any], kernel: tuple[int, ...]) -> Torch:
        def each(name: str, default: int) -> tuple[int, ...]:
            value = keywords.get(name, default)
            return (value,) * len(kernel) if isinstance(value, int) else tuple(value)

        dilation = each("dilation", 1)
        if isinstance(keywords.get("padding"), str):
            totals = [
                d * (k - 1) * (keywords["padding"] == "same") for k, d in zip(kernel, dilation, strict=True)
            ]
            pads = [(t // 2, t - t // 2) for t in totals]
        else:
            pads = [(p, p) for p in each("padding", 0)]
        return cls(each("stride", 1), dilation, pads, keywords.get("groups", 1))

    def output_size(self, size: Any, kernel: Any) -> tuple[int, ...]:
        each = zip(size, kernel, self.stride, self.dilation, self.pads, strict=True)
        return tuple((n + lo + hi - _dilated(k, d)) // s + 1 for n, k, s, d, (lo, hi) in each)


TORCH_PADS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def _nn(name: str, arrays: dict[str, np.ndarray], keywords: dict[str, Any]) -> Answer:
    operands = dict(arrays)
    kernel = keywords.get("weight_size") or operands["weight"].shape
    ndim = len(kernel) - 2
    given = Torch.of(keywords, tuple(kernel[2:]))
    bias = operands.pop("bias", None)
    sample = keywords.get("input_size") or operands["input"].shape
    batched = len(sample) == ndim + 2
    operands = {k: v if k == "weight" or batched else v[None] for k, v in operands.items()}
    dtype = next(iter(operands.values())).dtype
    if name.endswith("_input"):
        found = scatter(operands["grad_output"], operands["weight"].conj(), given, sample[-ndim:])
    elif name.endswith("_weight"):
        found = weight_gradient(operands["input"], operands["grad_output"], given, kernel)
    elif "transpose" in name:
        extra = keywords.get("output_padding", (0,) * ndim)
        each = zip(
            operands["input"].shape[2:],
            kernel[2:],
            given.stride,
            given.dilation,
            given.pads,
            extra,
            strict=True,
        )
        size = [(n - 1) * s - lo - hi + _dilated(k, d) + o for n, k, s, d, (lo, hi), o in each]
        found = scatter(operands["input"], operands["weight"], given, size)
    else:
        x, pads = operands["input"], given.pads
        if keywords.get("padding_mode"):
            x = np.pad(x, [(0, 0), (0, 0), *pads], TORCH_PADS[keywords["padding_mode"]])
            pads = [(0, 0)] * ndim
        more = {"stride": given.stride, "rhs_dilation": given.dilation, "groups": given.groups}
        found = tap_sum(problem(x, operands["weight"], dtype, pads, **more), x, operands["weight"])
    if not batched and not name.endswith("_weight"):
        found = found._replace(
            value=found.value[0], magnitude=None if found.magnitude is None else found.magnitude[0]
        )
    if bias is not None:
        bias = bias.reshape(-1, *(1,) * ndim)
    return answered(found, dtype, keywords, bias)


def wider(dtype: np.dtype) -> np.dtype:
    kinds = {"b": bool, "i": np.uint64, "u": np.uint64, "c": np.clongdouble, "f": np.longdouble}
    return np.dtype(kinds[dtype.kind])


def scatter(x: np.ndarray, w: np.ndarray, given: Torch, size: Any) -> Sum:
    """Every sample of `x` (N, C, *n) spreads its kernel `w` (C, O/g, *K) over outputs of `size`."""

    def spread(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        each = zip(x.shape[2:], w.shape[2:], given.stride, given.dilation, size, given.pads, strict=True)
        room = [max((n - 1) * s + _dilated(k, d), m + lo) for n, k, s, d, m, (lo, _) in each]
        out = np.zeros((x.shape[0], w.shape[1] * given.groups, *room), x.dtype)
        inputs = x.shape[1] // given.groups
        for c, o, *u in np.ndindex(w.shape):
            steps = zip(u, given.dilation, given.stride, x.shape[2:], strict=True)
            at = tuple(slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, s, n in steps)
            out[(slice(None), c // inputs * w.shape[1] + o, *at)] += x[:, c] * w[(c, o, *u)]
        crop = tuple(slice(lo, lo + m) for m, (lo, _) in zip(size, given.pads, strict=True))
        return out[(..., *crop)]

    value = spread(x.astype(wider(x.dtype)), w.astype(wider(x.dtype)))
    if x.dtype.kind in "iub":
        return Sum(value.astype(x.dtype), None)
    points = prod(2 * (n * s + k * d + m) for n, s, k, d, m in zip(
        x.shape[2:], given.stride, w.shape[2:], given.dilation, size, strict=True))  # fmt: skip
    inputs = x.shape[1] // given.groups
    terms = inputs * prod(w.shape[2:])
    return Sum(value, spread(finite(x), finite(w)), terms, points, norm(x) * norm(w), inputs)


def weight_gradient(x: np.ndarray, g: np.ndarray, given: Torch, kernel: Any) -> Sum:
    """``sum over entries and outputs of g conj(x)``, for every tap; padding is no sample."""
    x = x.conj()
    widths = [(0, 0), (0, 0), *((lo, max(hi, 0)) for lo, hi in given.pads)]
    seen = np.pad(np.ones(x.shape, bool), widths)
    inputs, outputs = kernel[1], kernel[0] // given.groups

    def gradient(x: np.ndarray, g: np.ndarray) -> np.ndarray:
        out, padded = np.zeros(kernel, x.dtype), np.pad(x, widths)
        for o, c, *u in np.ndindex(*kernel):
            steps = zip(u, given.dilation, given.stride, g.shape[2:], strict=True)
            at = (slice(None), o // outputs * inputs + c)
            at += tuple(slice(i * d, i * d + (m - 1) * s + 1, s) for i, d, s, m in steps)
            out[(o, c, *u)] = np.where(seen[at], padded[at] * g[:, o], x.dtype.type(0)).sum(dtype=x.dtype)
        return out

    value = gradient(x.astype(wider(x.dtype)), g.astype(wider(x.dtype)))
    if x.dtype.kind in "iub":
        return Sum(value.astype(x.dtype), None)
    points = prod(2 * (n + k * d + m * s + 8) for n, k, d, m, s in zip(
        x.shape[2:], kernel[2:], given.dilation, g.shape[2:], given.stride, strict=True))  # fmt: skip
    return Sum(value, gradient(finite(x), finite(g)), g[:, :1].size, points, norm(x) * norm(g), x.shape[0])


# --- a kernel that is kept


def _kept(x: tuple[int, ...], kernel: np.ndarray, keywords: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """The kernel, or the bank, as the second operand of a convolution, and the axes of that."""
    axes = keywords.get("axes")
    if not keywords.get("bank"):
        return kernel, axes
    ndim = max(len(x), kernel.ndim - 1)
    sizes = kernel.shape[1:]
    return kernel.reshape(kernel.shape[0], *(1,) * (ndim - len(sizes)), *sizes), axes or tuple(
        range(-ndim, 0)
    )


def _convolver(arrays: dict[str, np.ndarray], keywords: dict[str, Any]) -> Answer:
    x, y = arrays["x"], arrays.get("y")
    kernel, axes = _kept(x.shape, arrays["kernel"], keywords)
    mode = keywords.get("mode", "same")
    if keywords["call"] in ("__call__", "reduce"):
        answer = _signal("convolve", x, kernel, keywords | {"mode": mode, "axes": axes})
        if keywords["call"] == "reduce":
            # over the kernels of the bank, with the roundings of that sum
            more = kernel.shape[0] * float(np.finfo(answer.dtype).eps) * finite(answer.value)
            value, slack = answer.value.sum(0), (answer.slack + more).sum(0)
            answer = Answer(answer.dtype, value, slack)
        return answer
    operands = aligned("convolve", x, kernel, mode, axes)
    if keywords["call"] == "adjoint":
        dtype = np.result_type(y, kernel)
        found = _summed(operands, operands.in1, y, dtype, _adjoint)
        return answered(_reshaped(found, x.shape), dtype, keywords)
    dtype = np.result_type(x, y)
    found = _summed(operands, operands.in2, y, dtype, _kernel_gradient)
    return answered(_reshaped(found, arrays["kernel"].shape), dtype, keywords)


def _reshaped(found: Sum, shape: tuple[int, ...]) -> Sum:
    magnitude = None if found.magnitude is None else found.magnitude.reshape(shape)
    return found._replace(value=found.value.reshape(shape), magnitude=magnitude)


def _summed(operands: Aligned, target: np.ndarray, y: np.ndarray, dtype: np.dtype, part: Any) -> Sum:
    """Sums for each entry of the batch, added up where the target was broadcast."""
    integers = dtype.kind in "iub"
    value = np.zeros(target.shape, dtype if integers else wider(dtype))
    magnitude, terms, points, inputs = None if integers else np.zeros(target.shape), 0, 2, 0
    for place, first, second in operands.entries():
        into = first if target is operands.in1 else second
        found = part(operands, operands.in1[first], operands.in2[second], y[place], dtype)
        value[into] += found.value
        if magnitude is not None:
            magnitude[into] += found.magnitude
            terms, points, inputs = terms + found.terms, max(points, found.points), inputs + 1
    total = norm(y) * max(norm(operands.in1), norm(operands.in2))
    if magnitude is not None:
        total = norm(y) * norm(operands.in2 if target is operands.in1 else operands.in1)
    return Sum(value, magnitude, terms, points, total, inputs)


def _adjoint(operands: Aligned, x: np.ndarray, w: np.ndarray, y: np.ndarray, dtype: np.dtype) -> Sum:
    """``sum_u conj(w[u]) y[m + u - start]`` for every sample m."""
    each = [
        (operands.windows[i][0], n, k, m)
        for i, n, k, m in zip(operands.axes, x.shape, w.shape, y.shape, strict=True)
    ]
    pads = [(start, n + k - 1 - start - m) for start, n, k, m in each]
    a, b = y[None, None], w.conj()[None, None]
    return _only(tap_sum(problem(a, b, dtype, pads), a, b))


def _kernel_gradient(operands: Aligned, x: np.ndarray, w: np.ndarray, y: np.ndarray, dtype: np.dtype) -> Sum:
    """``sum_j y[j] conj(x[start + j - u])`` for every tap u, found in reverse order."""
    each = [
        (operands.windows[i][0], n, k, m)
        for i, n, k, m in zip(operands.axes, x.shape, w.shape, y.shape, strict=True)
    ]
    pads = [(k - 1 - start, start + m - n) for start, n, k, m in each]
    a, b = x.conj()[None, None], y[None, None]
    found = _only(tap_sum(problem(a, b, dtype, pads), a, b))
    magnitude = None if found.magnitude is None else np.flip(found.magnitude)
    return found._replace(value=np.flip(found.value), magnitude=magnitude)


def _only(found: Sum) -> Sum:
    return found._replace(
        value=found.value[0, 0], magnitude=None if found.magnitude is None else found.magnitude[0, 0]
    )


# --- shapes that follow from the others


def resolved(case: Case) -> dict[str, Array]:
    """The arrays of `case`, those whose shape follows from the others with it."""
    arrays, keywords = dict(case.arrays), case.keywords
    if case.door == "Convolver" and "y" in arrays:
        x = np.broadcast_to(np.zeros(()), arrays["x"].shape)
        kernel, axes = _kept(x.shape, np.broadcast_to(np.zeros(()), arrays["kernel"].shape), keywords)
        shape = aligned("convolve", x, kernel, keywords.get("mode", "same"), axes).shape
        arrays["y"] = replace(arrays["y"], shape=shape)
    elif case.door.endswith("local"):
        x, _, _ = views(keywords.get("dimension_numbers"), np.zeros(arrays["lhs"].shape), None)
        ones = (1,) * (x.ndim - 2)
        more = {name: keywords.get(name) or ones for name in ("lhs_dilation", "rhs_dilation")}
        shape = (arrays["rhs"].shape[0], *patches(_window(x, keywords, more), x).shape[1:])
        words = keywords.get("dimension_numbers")
        if words:
            space = [c for c in words[1] if c not in "OI"]
            sizes = dict(zip(("O", "I", *space), shape, strict=True))
            shape = tuple(sizes[c] for c in words[1])
        arrays["rhs"] = replace(arrays["rhs"], shape=shape)
    elif "grad_output" in arrays:
        sample = keywords.get("input_size") or arrays["input"].shape
        kernel = keywords.get("weight_size") or arrays["weight"].shape
        ndim = len(kernel) - 2
        size = Torch.of(keywords, tuple(kernel[2:])).output_size(sample[-ndim:], kernel[2:])
        arrays["grad_output"] = replace(
            arrays["grad_output"], shape=(*sample[: len(sample) - ndim - 1], kernel[0], *size)
        )
    return arrays
