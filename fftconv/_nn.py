"""The work behind the `nn` door: torch's rules checked, and forward, transposed and gradients as one
problem each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fftconv._general import DTypeError, Geometry, RuleError, array, compute, integer, integers, problem
from fftconv.core.boundary import Boundary, Outside
from fftconv.core.plan import Request
from fftconv.core.problem import Ints, Pads, dilated_size
from fftconv.core.room import new_result

PAD_MODES = {
    "zeros": Boundary.ZERO,
    "reflect": Boundary.REFLECT,
    "replicate": Boundary.EDGE,
    "circular": Boundary.WRAP,
}


class Settings(NamedTuple):
    """The keywords of a convolution, as the caller gave them."""

    stride: object = 1
    padding: object = 0
    dilation: object = 1
    groups: object = 1
    padding_mode: str = "zeros"
    output_padding: object = 0


class Rules(NamedTuple):
    """The same, checked: one entry per spatial axis."""

    stride: Ints
    pads: Pads
    dilation: Ints
    groups: int


def forward(
    ndim: int, operands: tuple[object, object, object], given: Settings, asked: Request
) -> np.ndarray:
    """The convolution of (input, weight, bias)."""
    x, w, bias = _operands(ndim, operands)
    rules = _rules(ndim, w.shape[2:], given)
    batched = _batched(x, ndim)
    _check_channels(batched.shape, w.shape, rules.groups)
    if given.padding_mode != "zeros":
        _check_reach(batched.shape[2:], rules.pads, given.padding_mode)
    _check_fit(batched.shape[2:], w.shape[2:], rules)
    outside = Outside.of((PAD_MODES[given.padding_mode],) * ndim)
    geometry = Geometry(rules.stride, rules.pads, (1,) * ndim, rules.dilation, rules.groups, outside=outside)
    out = _run(batched, w, geometry, (x.ndim == ndim + 1, x.dtype), asked)
    return _biased(out, bias, w.shape[0], ndim)


def transposed(
    ndim: int, operands: tuple[object, object, object], given: Settings, asked: Request
) -> np.ndarray:
    """The transposed convolution of (input, weight, bias); weight is (C, O/groups, \\*K)."""
    x, w, bias = _operands(ndim, operands)
    if isinstance(given.padding, str):
        raise TypeError(f"padding must be an integer or one per axis, got {given.padding!r}")
    rules = _rules(ndim, w.shape[2:], given)
    extra = per_axis("output_padding", given.output_padding, ndim, least=0)
    batched = _batched(x, ndim)
    if batched.shape[1] != w.shape[0] or w.shape[0] % rules.groups:
        raise RuleError(
            f"the input channels must be those of weight and a multiple of groups = {rules.groups}, "
            f"expected {w.shape[0]}, got {batched.shape[1]}"
        )
    if w.shape[1] == 0 or 0 in batched.shape[2:]:
        raise RuleError(
            f"output channels and spatial axes must not be empty, got weight {w.shape} and input {batched.shape}"
        )
    for axis, (o, s, d) in enumerate(zip(extra, rules.stride, rules.dilation, strict=True)):
        if o >= s and o >= d:
            raise RuleError(
                f"output_padding must be less than the stride or the dilation, got {o} with stride {s} and "
                f"dilation {d} on spatial axis {axis}"
            )
    pads = tuple(
        (d * (k - 1) - p, d * (k - 1) - p + o)
        for k, d, (p, _), o in zip(w.shape[2:], rules.dilation, rules.pads, extra, strict=True)
    )
    out = _run(
        batched,
        exchanged(w, rules.groups),
        Geometry((1,) * ndim, pads, rules.stride, rules.dilation, rules.groups, flip=True),
        (x.ndim == ndim + 1, x.dtype),
        asked,
    )
    return _biased(out, bias, w.shape[1] * rules.groups, ndim)


def input_gradient(
    ndim: int, input_size: object, operands: tuple[object, object], given: Settings, asked: Request
) -> np.ndarray:
    """The adjoint of the forward convolution, applied to the gradient of its output.

    Stride and input dilation change places, and the pads are what makes the sizes meet:
    ``lo' = k' - 1 - lo`` and ``hi' = n - 1 + k' - 1 - (m - 1)*s - lo'`` with ``k' = dil(k, d)``.
    """
    size = integers("input_size", input_size)
    w, grad, _ = _operands(ndim, (operands[0], operands[1], None), names=("weight", "grad_output"))
    rules = _rules(ndim, w.shape[2:], given)
    shape = size if len(size) == ndim + 2 else (1, *size)
    g = _output_gradient(grad, shape, w.shape, rules, ndim)
    pads = []
    for n, k, d, s, m, (lo, _) in zip(
        shape[2:], w.shape[2:], rules.dilation, rules.stride, g.shape[2:], rules.pads, strict=True
    ):
        low = d * (k - 1) - lo
        pads.append((low, n - 1 + d * (k - 1) - (m - 1) * s - low))
    geometry = Geometry((1,) * ndim, tuple(pads), rules.stride, rules.dilation, rules.groups, flip=True)
    return _run(g, exchanged(_conjugate(w), rules.groups), geometry, (len(size) == ndim + 1, w.dtype), asked)


def weight_gradient(
    ndim: int, weight_size: object, operands: tuple[object, object], given: Settings, asked: Request
) -> np.ndarray:
    """The gradient of the weight: the input correlated with the output's gradient, over the batch.

    ``dw[o, c, u] = sum_(i, y) g[i, o, y] * xpad[i, c, y*s + u*d]`` is a convolution whose channels are the
    batch, whose batch is the input channels, and in which stride and kernel dilation change places. Group
    by group, the channels are stacked as groups. The high pad crops what no kernel tap reads.
    """
    size = integers("weight_size", weight_size)
    if len(size) != ndim + 2:
        raise RuleError(f"weight_size must have {ndim + 2} entries, got {size}")
    x, grad, _ = _operands(ndim, (operands[0], operands[1], None), names=("input", "grad_output"))
    rules = _rules(ndim, size[2:], given)
    batched = _batched(x, ndim)
    g = _output_gradient(grad, batched.shape, size, rules, ndim)
    groups, batch, members = rules.groups, batched.shape[0], size[1]
    blocks = batched.reshape(batch, groups, members, *batched.shape[2:]).swapaxes(0, 2)
    stacked = blocks.reshape(members, groups * batch, *batched.shape[2:])
    pads = tuple(
        (lo, d * (k - 1) + dilated_size(m, s) - n - lo)
        for n, k, d, s, m, (lo, _) in zip(
            batched.shape[2:], size[2:], rules.dilation, rules.stride, g.shape[2:], rules.pads, strict=True
        )
    )
    p = problem(
        stacked,
        g.swapaxes(0, 1),
        Geometry(rules.dilation, pads, (1,) * ndim, rules.stride, groups),
        x.dtype,
    )
    out = new_result(size, x.dtype)
    compute(p, _conjugate(stacked), g.swapaxes(0, 1), out.swapaxes(0, 1), asked)
    return out


def exchanged(w: np.ndarray, groups: int) -> np.ndarray:
    """Weight (C, O/groups, \\*K) as (O, C/groups, \\*K): output g*M + r gets what input group g held at r."""
    size = w.shape[2:]
    blocks = w.reshape(groups, w.shape[0] // groups, w.shape[1], *size).swapaxes(1, 2)
    return blocks.reshape(groups * w.shape[1], w.shape[0] // groups, *size)


def per_axis(name: str, value: object, ndim: int, least: int | None = None) -> Ints:
    """An integer, or a sequence of 1 or `ndim` integers, as `ndim` of them."""
    try:
        values = integers(name, value) if isinstance(value, (tuple, list)) else (integer(name, value),)
    except TypeError:
        raise TypeError(f"{name} must be an integer or a sequence of integers, got {value!r}") from None
    if len(values) not in (1, ndim):
        raise RuleError(f"{name} needs 1 entry or one per spatial axis, expected {ndim}, got {values}")
    if least is not None and min(values) < least:
        raise RuleError(f"{name} must be at least {least} on every axis, got {value!r}")
    return values * ndim if len(values) == 1 else values


def _operands(
    ndim: int, operands: tuple[object, object, object], names: tuple[str, str] = ("input", "weight")
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The arrays, with one dtype and the ranks that the operation knows."""
    first, second = array(names[0], operands[0]), array(names[1], operands[1])
    bias = None if operands[2] is None else array("bias", operands[2])
    dtypes = [a.dtype for a in (first, second, bias) if a is not None]
    if len(set(dtypes)) > 1:
        raise DTypeError(f"all operands must have one dtype, got {', '.join(map(str, dtypes))}")
    if first.dtype.kind == "b":
        raise DTypeError("booleans have no convolution here, expected integers, real or complex numbers")
    for name, a in zip(names, (first, second), strict=True):
        ranks = (ndim + 2,) if name == "weight" else (ndim + 1, ndim + 2)
        if a.ndim not in ranks:
            raise RuleError(f"{name} must have {' or '.join(map(str, ranks))} axes, got {a.ndim}")
    return first, second, bias


def _batched(x: np.ndarray, ndim: int) -> np.ndarray:
    return x if x.ndim == ndim + 2 else x[None]


def _rules(ndim: int, kernel: Ints, given: Settings) -> Rules:
    """The checked keywords. Only the modes other than zeros may crop by a negative padding."""
    if not isinstance(given.padding_mode, str) or given.padding_mode not in PAD_MODES:
        raise ValueError(f"padding_mode must be one of {', '.join(PAD_MODES)}, got {given.padding_mode!r}")
    stride = per_axis("stride", given.stride, ndim, least=1)
    dilation = per_axis("dilation", given.dilation, ndim, least=1)
    groups = integer("groups", given.groups)
    if groups < 1:
        raise RuleError(f"groups must be at least 1, got {groups}")
    if 0 in kernel:
        raise RuleError(f"the kernel must not be empty along a spatial axis, got {kernel}")
    if isinstance(given.padding, str):
        return Rules(stride, _word_pads(given.padding, stride, dilation, kernel), dilation, groups)
    least = 0 if given.padding_mode == "zeros" else None
    padding = per_axis("padding", given.padding, ndim, least)
    return Rules(stride, tuple((p, p) for p in padding), dilation, groups)


def _word_pads(word: str, stride: Ints, dilation: Ints, kernel: Ints) -> Pads:
    if word == "valid":
        return ((0, 0),) * len(kernel)
    if word != "same":
        raise RuleError(f"padding must be 'same', 'valid', an integer or one per axis, got {word!r}")
    if any(s != 1 for s in stride):
        raise RuleError(f"padding='same' needs stride 1, got {stride}")
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((t // 2, t - t // 2) for t in totals)


def _check_channels(x: Ints, w: Ints, groups: int) -> None:
    """`x` and `w` are the shapes of input and weight."""
    if x[1] != w[1] * groups:
        raise RuleError(
            f"the input channels must be weight.shape[1] * groups, expected {w[1]} * {groups}, got {x[1]}"
        )
    if w[0] == 0 or w[0] % groups:
        raise RuleError(f"weight.shape[0] must be a positive multiple of groups = {groups}, got {w[0]}")


def _check_fit(size: Ints, kernel: Ints, rules: Rules) -> None:
    for axis, (n, k, d, (lo, hi)) in enumerate(zip(size, kernel, rules.dilation, rules.pads, strict=True)):
        if n == 0:
            raise RuleError(f"the input must not be empty along a spatial axis, got {size}")
        if n + lo + hi < dilated_size(k, d):
            raise RuleError(
                f"the dilated kernel must fit the padded input: spatial axis {axis} has {n} + {lo} + {hi} samples, "
                f"the kernel needs {dilated_size(k, d)}"
            )


def _check_reach(size: Ints, pads: Pads, mode: str) -> None:
    """How far torch lets each mode pad; negative pads crop."""
    for axis, (n, pair) in enumerate(zip(size, pads, strict=True)):
        most = {"reflect": n - 1, "circular": n, "replicate": max(pair) if n else 0}[mode]
        if max(pair) > most:
            raise RuleError(
                f"padding_mode {mode!r} can pad spatial axis {axis} of {n} samples by at most {most}, got {max(pair)}"
            )
        if n + sum(pair) < 1:
            raise RuleError(
                f"negative padding must leave samples: spatial axis {axis} has {n}, padding is {pair}"
            )


def _output_gradient(grad: np.ndarray, x: Ints, w: Ints, rules: Rules, ndim: int) -> np.ndarray:
    """`grad` with its batch axis, if it has the shape that shapes `x` and `w` of input and weight lead to."""
    if len(x) != ndim + 2 or min(x) < 0:
        raise RuleError(f"the input size must have {ndim + 1} or {ndim + 2} entries >= 0, got {x}")
    _check_channels(x, w, rules.groups)
    _check_fit(x[2:], w[2:], rules)
    size = tuple(
        (n + lo + hi - dilated_size(k, d)) // s + 1
        for n, k, d, s, (lo, hi) in zip(x[2:], w[2:], rules.dilation, rules.stride, rules.pads, strict=True)
    )
    g = _batched(grad, ndim)
    if g.shape != (x[0], w[0], *size):
        raise RuleError(
            f"grad_output must have the shape of the output, expected {(x[0], w[0], *size)}, got {g.shape}"
        )
    return g


def _run(
    x: np.ndarray, w: np.ndarray, geometry: Geometry, form: tuple[bool, np.dtype], asked: Request
) -> np.ndarray:
    """Run the canonical problem; `form` says whether to drop the batch axis, and the dtype."""
    unbatched, dtype = form
    p = problem(x, w, geometry, dtype)
    if 0 in p.output_size:
        raise RuleError(f"the output must not be empty along a spatial axis, got size {p.output_size}")
    out = new_result(p.out_shape[1:] if unbatched else p.out_shape, dtype)
    compute(p, x, w, out[None] if unbatched else out, asked)
    return out


def _biased(out: np.ndarray, bias: np.ndarray | None, channels: int, ndim: int) -> np.ndarray:
    if bias is not None:
        if bias.shape != (channels,):
            raise RuleError(
                f"bias must have one entry per output channel, expected ({channels},), got {bias.shape}"
            )
        out += bias.reshape(-1, *(1,) * ndim)
    return out


def _conjugate(a: np.ndarray) -> np.ndarray:
    return a.conj() if a.dtype.kind == "c" else a
