"""What the doors of jax and of torch must answer: windows, layouts, gradients from their definitions."""

from __future__ import annotations

from math import prod
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import oracle
from fuzz_sums import Answer, Sum, answered, dilated, finite, norm, problem, tap_sum, wider


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


def jax_answer(name: str, arrays: dict[str, np.ndarray], keywords: dict[str, Any]) -> Answer:
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
        p = window(x, keywords, more)
        found = patches(p, x)
        if name.endswith("patches"):
            return Answer(dtype, placed(found, order), np.zeros(1) if dtype.kind in "fc" else None)
        return _answer_in(order, local(found, w, dtype), dtype, keywords)
    if name == "conv_transpose":
        if keywords.get("transpose_kernel"):
            w = np.flip(w.swapaxes(0, 1), tuple(range(2, w.ndim)))
        reach = [dilated(k, d) for k, d in zip(w.shape[2:], more["rhs_dilation"], strict=True)]
        pairs = keywords["padding"] if not isinstance(keywords["padding"], str) else [None] * ndim
        pads = [
            _transposed_pads(k, s, keywords["padding"], pair, keywords.get("use_consistent_padding", False))
            for k, s, pair in zip(reach, keywords["strides"], pairs, strict=True)
        ]
        more["lhs_dilation"] = keywords["strides"]
    else:
        more |= {"stride": keywords["window_strides"], "groups": keywords.get("feature_group_count", 1)}
        reach = [dilated(k, d) for k, d in zip(w.shape[2:], more["rhs_dilation"], strict=True)]
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


def window(x: np.ndarray, keywords: dict[str, Any], more: dict[str, Any]) -> SimpleNamespace:
    """The problem of patches, whose kernel is nothing but its size."""
    window = np.zeros((1, x.shape[1], *keywords["filter_shape"]))
    reach = [dilated(k, d) for k, d in zip(window.shape[2:], more["rhs_dilation"], strict=True)]
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
        return tuple((n + lo + hi - dilated(k, d)) // s + 1 for n, k, s, d, (lo, hi) in each)


TORCH_PADS = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def torch_answer(name: str, arrays: dict[str, np.ndarray], keywords: dict[str, Any]) -> Answer:
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
        size = [(n - 1) * s - lo - hi + dilated(k, d) + o for n, k, s, d, (lo, hi), o in each]
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


def scatter(x: np.ndarray, w: np.ndarray, given: Torch, size: Any) -> Sum:
    """Every sample of `x` (N, C, *n) spreads its kernel `w` (C, O/g, *K) over outputs of `size`."""

    def spread(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        each = zip(x.shape[2:], w.shape[2:], given.stride, given.dilation, size, given.pads, strict=True)
        room = [max((n - 1) * s + dilated(k, d), m + lo) for n, k, s, d, m, (lo, _) in each]
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
