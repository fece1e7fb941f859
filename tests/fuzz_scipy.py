"""What the doors of scipy and of numpy must answer, and a kernel that is kept, on arrays extended by `numpy.pad`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import oracle
from fuzz_sums import Answer, Sum, answered, finite, norm, problem, rounding, tap_sum, wider

PADDED = {
    "constant": "constant", "edge": "edge", "nearest": "edge", "reflect": "reflect", "mirror": "reflect",
    "symmetric": "symmetric", "symm": "symmetric", "wrap": "wrap", "circular": "wrap",
    "fill": "constant", "pad": "constant", "renormalize": "renormalize",
}  # fmt: skip


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


def scipy_answer(name: str, in1: np.ndarray, in2: np.ndarray, keywords: dict[str, Any]) -> Answer:
    dtype = _signal_dtype(name, in1, in2, keywords)
    mode = keywords.get("mode", "full")
    operands = aligned(name, in1, in2, mode, keywords.get("axes"))
    if any(operands.in1.shape[i] == 0 for i in operands.axes):
        return Answer(dtype, np.zeros((0,) * operands.in1.ndim))  # of any empty shape
    words = keywords.get("boundary", "constant")
    words = [words] * len(operands.axes) if isinstance(words, str) else words
    words = ["constant" if mode == "valid" else PADDED[w] for w in words]
    fill = 0 if mode == "valid" else keywords.get("fill_value", keywords.get("fillvalue", 0))
    if fill != fill and keywords.get("nan_policy", "").startswith("omit"):
        fill, words = 0, ["renormalize" if w == "constant" else w for w in words]
    policy = keywords.get("nan_policy", "propagate")
    missing = np.zeros(in1.shape, bool)
    for flags in (keywords.get("mask"), keywords.get("masked")):
        missing = missing if flags is None else missing | flags
    weights = (
        np.ones(in1.shape)
        if keywords.get("weights") is None
        else np.broadcast_to(keywords["weights"], in1.shape)
    )
    spoilt = ~np.isfinite(in1)
    if policy == "raise" and (spoilt & ~missing & (weights != 0)).any():
        return Answer(dtype, raises=ValueError)
    if policy.startswith("omit"):
        missing = missing | spoilt
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
                if a.dtype.kind == "O":  # numpy.pad makes an int64 of an integer, even among Python's
                    values = {
                        k: {"constant_values": np.array(*v.values(), object)} for k, v in values.items()
                    }
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
        if taps.size == 1:  # no axis has to be transformed, and tiles reach across entries
            num = num._replace(norm=max(num.norm, norm(operands.in1 * weights) * norm(operands.in2)))
        seen, unseen = (over(v, used, np.int64).value[0, 0] for v in (there, gone))
        divisor, size = left.value[0, 0], left.magnitude[0, 0]
        # what renormalize leaves out is no missing sample: zeros that count beside it are an answer
        empty = ((seen == 0) & (unseen > 0) & (not ordinary)) | (divisor == 0)
        value = np.where(empty, np.nan, scale * num.value[0, 0] / np.where(empty, 1, divisor))
        error = np.abs(scale) * rounding(num, inner, "auto")[0, 0]
        error = (
            error + finite(value) * (rounding(left, np.dtype(float), "auto")[0, 0] + 1e-15 * size)
        ) / np.abs(divisor)
        answer.value[place], answer.lost[place] = value, empty
        answer.slack[place] = error + 4 * float(np.finfo(dtype).eps) * finite(value)
        # nobody has said what is left of the weight of a kernel that is not finite
        answer.unsure[place] = (~empty & (np.abs(divisor) < 1e-9 * size)) | (not np.isfinite(taps).all())
    if dtype == np.float16:
        answer.slack += 2.0**-24
        answer.unsure |= finite(answer.value) > 60000
    return answer


def numpy_answer(name: str, a: np.ndarray, v: np.ndarray, keywords: dict[str, Any]) -> Answer:
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


def kept(x: tuple[int, ...], kernel: np.ndarray, keywords: dict[str, Any]) -> tuple[np.ndarray, Any]:
    """The kernel, or the bank, as the second operand of a convolution, and the axes of that."""
    axes = keywords.get("axes")
    if not keywords.get("bank"):
        return kernel, axes
    ndim = max(len(x), kernel.ndim - 1)
    sizes = kernel.shape[1:]
    return kernel.reshape(kernel.shape[0], *(1,) * (ndim - len(sizes)), *sizes), axes or tuple(
        range(-ndim, 0)
    )


def convolver_answer(arrays: dict[str, np.ndarray], keywords: dict[str, Any]) -> Answer:
    x, y = arrays["x"], arrays.get("y")
    if not arrays["kernel"].size:
        return Answer(np.result_type(x, arrays["kernel"]), raises=ValueError)
    kernel, axes = kept(x.shape, arrays["kernel"], keywords)
    mode = keywords.get("mode", "same")
    if keywords["call"] in ("__call__", "reduce"):
        answer = scipy_answer("convolve", x, kernel, keywords | {"mode": mode, "axes": axes})
        if keywords["call"] == "reduce" and answer.raises is None:
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
