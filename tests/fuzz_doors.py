"""Random calls of every door.

All of them keep to its rules: none may fail but for the reasons that the oracle foresees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from fuzz_cases import BOOLEANS, COMPLEX, FLOATS, INTEGERS, Array, Case, Draw


def draw(seed: int, index: int) -> Case:
    """Case number `index` of a run."""
    d = Draw(seed, index)
    family = d.one(
        [_signal] * 8 + [_missing] * 3 + [_float_door, _float_door, _planar, _numpy, _local, _patches]
    )
    family = (
        family
        if d.chance(0.6)
        else d.one([_lax, _lax, _lax_transpose, _nn, _nn, _nn_transpose, _nn_gradient])
    )
    family = family if d.chance(0.88) else _convolver
    case = family(d)
    return Case(*case, d.one(("auto", "auto", "scipy")))


Drawn = tuple[str, dict[str, Array], dict[str, Any]]


def _operands(
    d: Draw, kinds: Sequence[Sequence[str]], spoilt: float = 0.12
) -> tuple[Array, Array, dict[str, Any]]:
    """Two operands of a door of scipy's, the mode, and the axes where they are not all."""
    ndim = d.one((1, 1, 1, 2, 2, 3))
    n, k = d.sizes(ndim)
    mode = d.one(("full", "same", "valid"))
    keywords: dict[str, Any] = {"mode": mode} if mode != "full" or d.chance(0.5) else {}
    if mode == "valid" and not (
        all(a >= b for a, b in zip(n, k, strict=True)) or all(a <= b for a, b in zip(n, k, strict=True))
    ):
        n, k = zip(*((max(p), min(p)) for p in zip(n, k, strict=True)), strict=True)
    if d.chance(0.3):
        n, k, keywords["axes"] = _with_batch(d, n, k)
    first = d.dtype(kinds)
    second = first if d.chance(0.6) else d.dtype(kinds)
    return d.array(n, first, spoilt, True), d.array(k, second, spoilt / 3, True), keywords


def _with_batch(
    d: Draw, n: tuple[int, ...], k: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
    """One or two more axes, along which nothing is convolved and lengths of 1 broadcast."""
    axes = list(range(len(n)))
    for _ in range(d.number(1, 2)):
        at, length = d.number(0, len(n)), d.number(0 if d.chance(0.05) else 1, 3)
        pair = d.one(((length, length), (length, 1), (1, length)))
        n, k = (*n[:at], pair[0], *n[at:]), (*k[:at], pair[1], *k[at:])
        axes = [a + (a >= at) for a in axes]
    axes = [a - len(n) if d.chance(0.3) else a for a in axes]
    if k[0] == 1 and 0 not in {a % len(n) for a in axes}:
        axes = [a if a < 0 else a - len(n) for a in axes]
        k = k[1:] if d.chance(0.5) else k
    return n, k, axes[0] if len(axes) == 1 and d.chance(0.5) else tuple(axes)


def _boundary(d: Draw, keywords: dict[str, Any], convolved: int, fills: Sequence[Any]) -> None:
    """What lies outside, in one word or in one for each axis."""
    words = (
        "constant",
        "edge",
        "reflect",
        "symmetric",
        "wrap",
        "renormalize",
        "nearest",
        "mirror",
        "circular",
    )
    given = d.one(words) if d.chance(0.7) else tuple(d.one(words) for _ in range(convolved))
    keywords["boundary"] = given
    if given == "constant" or "constant" in given:
        keywords["fill_value"] = d.one(fills)


def _result_dtype(arrays: Sequence[Array]) -> np.dtype:
    return np.result_type(*(np.dtype(a.dtype) for a in arrays))


def _convolved(a: Array, b: Array, keywords: dict[str, Any]) -> int:
    return np.size(keywords["axes"]) if "axes" in keywords else len(a.shape)


def _signal(d: Draw) -> Drawn:
    a, b, keywords = _operands(d, (FLOATS, INTEGERS, COMPLEX, BOOLEANS))
    keywords |= d.asked()
    dtype = _result_dtype((a, b))
    if d.chance(0.25):
        wider = {"b": ("i8", "f8", "u1"), "i": ("i8", "f8", "i2", "i4"), "u": ("u8", "i8", "f8", "u1")}
        keywords["dtype"] = d.one(
            wider.get(dtype.kind, ("c16", "G") if dtype.kind == "c" else ("f8", "g", "c16"))
        )
        dtype = np.dtype(keywords["dtype"])
    if d.chance(0.35):
        fills = {"b": (0, 1), "u": (0, 3), "i": (0, 3, -2)}.get(dtype.kind, (0.0, 1.5, -2, np.nan, np.inf))
        _boundary(d, keywords, _convolved(a, b, keywords), fills)
    restored = "renormalize" in str(keywords.get("boundary"))
    if restored and dtype.kind in "iu":
        keywords.pop("dtype", None)
    if d.chance(0.2) and dtype.kind in "iu" and not restored and keywords.get("fill_value", 0) >= 0:
        keywords["overflow"] = "raise"
    if d.chance(0.1) and dtype != np.float16 and not restored:
        keywords |= d.one(({"rtol": 1e-3}, {"rtol": 1e-11}, {"atol": 1e-2}, {"rtol": 1e-5, "atol": 1e-7}))
    if d.chance(0.08):
        keywords["max_memory"] = d.one((20_000, 300_000, "2 MB"))
    if d.chance(0.2):
        keywords["out"] = d.one(("new", "strided", "in1", "in2"))
    return f"signal.{d.one(('convolve', 'correlate'))}", {"in1": a, "in2": b}, keywords


def _missing(d: Draw) -> Drawn:
    """Samples that are missing or weigh less."""
    a, b, keywords = _operands(d, (FLOATS, FLOATS, COMPLEX, INTEGERS), 0.0)
    keywords |= d.asked(("direct", "fft", "overlap_save"))
    a = Array(a.shape, a.dtype, a.values, a.seed, a.memory.replace("list", "plain"), d.number(0, 4))
    if d.chance(0.6):
        b = Array(b.shape, b.dtype, d.one(("positive", "constant")), b.seed, b.memory)
    policies = ("omit", "omit_keep", "raise") if keywords.get("mode") == "same" else ("omit", "raise", "omit")
    if d.chance(0.6):
        keywords["nan_policy"] = d.one(policies)
    if d.chance(0.4):
        keywords["mask"] = Array(
            _broadcastable(d, a.shape), "?", d.one(("noise", "sparse")), d.number(0, 999)
        )
    if d.chance(0.3):
        values = d.one(("positive", "constant", "sparse"))
        keywords["weights"] = Array(
            _broadcastable(d, a.shape), "?" if values == "sparse" else "f8", values, 5
        )
        if values == "constant":
            keywords["weights"] = Array(_broadcastable(d, a.shape), "u1", "small", d.number(0, 99))
    if d.chance(0.3):
        keywords["masked"] = Array(a.shape, "?", "sparse", d.number(0, 999))
    if d.chance(0.4):
        _boundary(d, keywords, _convolved(a, b, keywords), (0.0, 2, np.nan))
        if keywords.get("nan_policy") not in ("omit", "omit_keep") and np.isnan(
            keywords.get("fill_value", 0)
        ):
            keywords["fill_value"] = 1.0
        if _result_dtype((a, b)).kind in "iu":
            keywords.pop("fill_value", None)
    if d.chance(0.15):
        keywords["out"] = d.one(("new", "strided", "in1"))
    if d.chance(0.2):
        keywords["max_memory"] = d.one((20_000, 300_000, "2 MB"))
    return f"signal.{d.one(('convolve', 'correlate'))}", {"in1": a, "in2": b}, keywords


def _broadcastable(d: Draw, shape: tuple[int, ...]) -> tuple[int, ...]:
    found = tuple(1 if d.chance(0.15) else n for n in shape)
    return found[d.number(0, len(found)) :] if d.chance(0.15) else found


def _float_door(d: Draw) -> Drawn:
    a, b, keywords = _operands(d, (FLOATS, INTEGERS, COMPLEX, BOOLEANS))
    keywords |= d.asked()
    if d.chance(0.2):
        keywords["out"] = d.one(("new", "strided", "in1"))
    if d.chance(0.05):
        # a convolved axis without samples
        axis = np.atleast_1d(keywords.get("axes", 0))[0] % len(a.shape)
        a = Array((*a.shape[:axis], 0, *a.shape[axis + 1 :]), a.dtype)
        keywords["mode"] = "full"
        keywords.pop("out", None)
    return f"signal.{d.one(('fftconvolve', 'oaconvolve'))}", {"in1": a, "in2": b}, keywords


def _planar(d: Draw) -> Drawn:
    n, k = d.sizes(2)
    mode = d.one(("full", "same", "valid"))
    if mode == "valid":
        n, k = zip(*((max(p), min(p)) for p in zip(n, k, strict=True)), strict=True)
    kinds = (FLOATS[:3], INTEGERS, COMPLEX)
    first = d.dtype(kinds)
    arrays = {
        "in1": d.array(n, first, lists=True),
        "in2": d.array(k, first if d.chance(0.6) else d.dtype(kinds)),
    }
    boundary = d.one(("fill", "pad", "wrap", "circular", "symm", "symmetric"))
    keywords = {"mode": mode, "boundary": boundary}
    if boundary in ("fill", "pad") and d.chance(0.5):
        keywords["fillvalue"] = d.one((0, 3, 2))
    return f"signal.{d.one(('convolve2d', 'correlate2d'))}", arrays, keywords


def _numpy(d: Draw) -> Drawn:
    n, k = d.sizes(1)
    first = d.dtype()
    arrays = {
        "a": d.array(n, first, lists=True),
        "v": d.array(k, first if d.chance(0.6) else d.dtype(), 0.05, True),
    }
    keywords = {"mode": d.one(("full", "same", "valid", 0, 1, 2))} | d.asked()
    if d.chance(0.2):
        keywords["out"] = d.one(("new", "strided", "a", "v"))
    return f"numpy.{d.one(('convolve', 'correlate'))}", arrays, keywords


def _layout(d: Draw, ndim: int) -> tuple[str, str, str] | None:
    """Three words in which every axis may stand anywhere."""
    if d.chance(0.5):
        return None
    space = "HWD"[:ndim]
    return tuple("".join(d.rng.permutation(list(letters + space))) for letters in ("NC", "OI", "NC"))


def _placed(shape: tuple[int, ...], word: str | None, special: str, order: str) -> tuple[int, ...]:
    """A canonical shape in the order of a layout; space counts in the order of the kernel's word."""
    if word is None:
        return shape
    sizes = dict(zip(special + order, shape, strict=True))
    return tuple(sizes[c] for c in word)


def _window(d: Draw, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Sizes, and steps and pads in the words of jax."""
    n, k = d.sizes(ndim)
    n, k = tuple(map(max, n, k)), tuple(map(min, n, k))
    keywords: dict[str, Any] = {"window_strides": d.each(ndim, 1, 3) if d.chance(0.5) else (1,) * ndim}
    if d.chance(0.35):
        keywords["rhs_dilation"] = d.each(ndim, 1, 3)
    keywords["padding"] = d.one(("SAME", "VALID", "SAME_LOWER", "same"))
    if d.chance(0.5):
        keywords["padding"] = [(d.number(-min(2, m // 2), 5), d.number(-min(2, m // 2), 5)) for m in n]
        if d.chance(0.4):
            keywords["lhs_dilation"] = d.each(ndim, 1, 3)
    return n, k, keywords


def _lax(d: Draw) -> Drawn:
    ndim = d.one((0, 1, 1, 2, 2, 2, 3))
    n, k, keywords = _window(d, ndim)
    name = d.one(("conv", "conv_with_general_padding", *["conv_general_dilated"] * 4))
    batch, inputs, outputs, groups, blocks = (
        d.number(0 if d.chance(0.1) else 1, 3),
        d.number(1, 3),
        d.number(1, 3),
        1,
        1,
    )
    layout = None
    if name == "conv":
        keywords.pop("lhs_dilation", None)
        keywords.pop("rhs_dilation", None)
    elif name == "conv_with_general_padding":
        keywords = {"lhs_dilation": None, "rhs_dilation": None} | keywords
    else:
        layout = _layout(d, ndim)
        if d.chance(0.3):
            groups = keywords["feature_group_count"] = d.number(1, 3)
        elif d.chance(0.3):
            blocks = keywords["batch_group_count"] = d.number(1, 3)
    if layout:
        keywords["dimension_numbers"] = layout
    dtype = d.dtype()
    if d.chance(0.15):
        wider = {
            "b": ("i4", "f4"),
            "u": ("u8", "f8", "i8"),
            "i": ("i8", "f8"),
            "f": ("g", "f8"),
            "c": ("c16", "G"),
        }
        allowed = [t for t in wider[np.dtype(dtype).kind] if np.dtype(t).itemsize >= np.dtype(dtype).itemsize]
        keywords |= {"preferred_element_type": d.one(allowed)} if allowed else {}
    order = "".join(c for c in layout[1] if c not in "OI") if layout else ""
    x = _placed((batch * blocks, inputs * groups, *n), layout and layout[0], "NC", order)
    w = _placed((outputs * groups * blocks, inputs, *k), layout and layout[1], "OI", order)
    return f"lax.{name}", {"lhs": d.array(x, dtype), "rhs": d.array(w, dtype, 0.04)}, keywords | d.asked()


def _lax_transpose(d: Draw) -> Drawn:
    ndim = d.one((1, 1, 2, 2, 3))
    n, k = d.sizes(ndim)
    n, k = tuple(min(m, 30) for m in map(max, n, k)), tuple(map(min, n, k))
    keywords: dict[str, Any] = {"strides": d.each(ndim, 1, 3), "padding": d.one(("SAME", "VALID"))}
    if d.chance(0.3):
        keywords["rhs_dilation"] = d.each(ndim, 1, 3)
    if d.chance(0.4):
        keywords["padding"] = tuple((d.number(0, 3), d.number(0, 3)) for _ in range(ndim))
        if d.chance(0.4):
            keywords["use_consistent_padding"] = True
            keywords["padding"] = tuple((0, min(1, m - 1)) for m in n)
    channels = d.number(1, 3), d.number(1, 3)
    if d.chance(0.4):
        keywords["transpose_kernel"] = True
        channels = channels[::-1]
    layout = _layout(d, ndim)
    if layout:
        keywords["dimension_numbers"] = layout
    words = layout or (f"N{'HWD'[:ndim]}C", f"{'HWD'[:ndim]}IO", "")
    order = "".join(c for c in words[1] if c not in "OI")
    inputs = channels[0] if keywords.get("transpose_kernel") else channels[1]
    dtype = d.dtype()
    x, w = (
        _placed((d.number(1, 2), inputs, *n), words[0], "NC", order),
        _placed((*channels, *k), words[1], "OI", order),
    )
    return (
        "lax.conv_transpose",
        {"lhs": d.array(x, dtype), "rhs": d.array(w, dtype, 0.04)},
        keywords | d.asked(),
    )


def _patches(d: Draw) -> Drawn:
    ndim = d.one((1, 2, 2, 3))
    n, k, keywords = _window(d, ndim)
    k = tuple(min(m, 4) for m in k)
    layout = _layout(d, ndim)
    order = "".join(c for c in layout[1] if c not in "OI") if layout else ""
    if layout:
        keywords["dimension_numbers"] = layout
    shape = _placed((d.number(1, 2), d.number(1, 2), *n), layout and layout[0], "NC", order)
    return (
        "lax.conv_general_dilated_patches",
        {"lhs": d.array(shape, d.dtype())},
        {"filter_shape": k} | keywords,
    )


def _local(d: Draw) -> Drawn:
    """The kernels have the size of the output, which the oracle finds out; their Array has the shape (O,)."""
    _, arrays, keywords = _patches(d)
    dtype = arrays["lhs"].dtype
    return (
        "lax.conv_general_dilated_local",
        arrays | {"rhs": d.array((d.number(1, 2),), dtype, 0.0)},
        keywords,
    )


def _channels(d: Draw, ndim: int) -> tuple[int, ...]:
    """Batch (none for an unbatched call), inputs to an output, outputs of a group, groups."""
    return d.number(0 if d.chance(0.05) else 1, 3), d.number(1, 3), d.number(1, 3), d.one((1, 1, 1, 2, 3))


def _steps(d: Draw, ndim: int, low: int, high: int) -> Any:
    """One number for all axes, or one for each."""
    return d.number(low, high) if d.chance(0.4) else d.each(ndim, low, high)


def _nn(d: Draw) -> Drawn:
    ndim = d.one((1, 1, 2, 2, 3))
    batch, inputs, outputs, groups = _channels(d, ndim)
    n, k = d.sizes(ndim)
    n, k = tuple(map(max, n, k)), tuple(map(min, n, k))
    keywords: dict[str, Any] = {"groups": groups} if groups > 1 or d.chance(0.2) else {}
    if d.chance(0.5):
        keywords["stride"] = _steps(d, ndim, 1, 3)
    if d.chance(0.35):
        keywords["dilation"] = _steps(d, ndim, 1, 2)
        n = tuple(max(m, 2 * j) for m, j in zip(n, k, strict=True))
    if d.chance(0.6):
        keywords["padding"] = _steps(d, ndim, 0, 4)
    elif "stride" not in keywords and d.chance(0.6):
        keywords["padding"] = d.one(("same", "valid"))
    if d.chance(0.35):
        keywords["padding_mode"] = d.one(("reflect", "replicate", "circular"))
        n = tuple(max(m, 5) for m in n)
        if keywords.get("padding") == "same":
            n = tuple(max(m, 2 * j) for m, j in zip(n, k, strict=True))
    arrays = _layer(d, (batch, inputs * groups, *n), (outputs * groups, inputs, *k), outputs * groups)
    return f"nn.conv{ndim}d", arrays, keywords | d.asked()


def _layer(d: Draw, batched: tuple[int, ...], weight: tuple[int, ...], outputs: int) -> dict[str, Array]:
    """The arrays of a layer, some without the batch axis, some with a bias."""
    shape = batched[1:] if d.chance(0.2) else batched
    dtype = d.dtype((FLOATS, FLOATS, INTEGERS, COMPLEX))
    arrays = {"input": d.array(shape, dtype), "weight": d.array(weight, dtype, 0.04)}
    if d.chance(0.3):
        arrays["bias"] = d.array((outputs,), dtype, 0.0)
    return arrays


def _nn_transpose(d: Draw) -> Drawn:
    ndim = d.one((1, 1, 2, 2, 3))
    batch, inputs, outputs, groups = _channels(d, ndim)
    n, k = d.sizes(ndim)
    n, k = tuple(min(m, 30) for m in map(max, n, k)), tuple(map(min, n, k))
    keywords: dict[str, Any] = {"groups": groups}
    if d.chance(0.6):
        keywords["stride"] = d.each(ndim, 1, 3)
        if d.chance(0.4):
            keywords["output_padding"] = tuple(d.number(0, s - 1) for s in keywords["stride"])
    if d.chance(0.3):
        keywords["dilation"] = _steps(d, ndim, 1, 3)
    if d.chance(0.5):
        # no longer than leaves an output
        keywords["padding"] = tuple(min(d.number(0, 3), (m + j - 2) // 2) for m, j in zip(n, k, strict=True))
    arrays = _layer(d, (batch, inputs * groups, *n), (inputs * groups, outputs, *k), outputs * groups)
    return f"nn.conv_transpose{ndim}d", arrays, keywords | d.asked()


def _nn_gradient(d: Draw) -> Drawn:
    """Gradients of a convolution; the oracle finds the shape of grad_output, whose Array has none."""
    door, arrays, keywords = _nn(d)
    keywords.pop("padding_mode", None)
    x, w = arrays["input"], arrays["weight"]
    grad = d.array((), w.dtype)
    grad = Array((), w.dtype, grad.values, grad.seed, grad.memory.replace("repeated", "plain"), grad.bad)
    if d.chance(0.5):
        return f"{door}_input", {"weight": w, "grad_output": grad}, {"input_size": x.shape} | keywords
    return f"{door}_weight", {"input": x, "grad_output": grad}, {"weight_size": w.shape} | keywords


def _convolver(d: Draw) -> Drawn:
    """A kernel that is kept; ``call`` says what of it is called. A y has the shape that the oracle finds."""
    x, kernel, keywords = _operands(d, (FLOATS, INTEGERS, COMPLEX, BOOLEANS), 0.05)
    keywords |= d.asked()
    keywords["call"] = d.one(("__call__", "__call__", "adjoint", "kernel_grad"))
    if d.chance(0.3) and len(kernel.shape) == len(x.shape):
        keywords["bank"] = True
        kernel = d.array((d.number(1, 3), *kernel.shape), kernel.dtype, 0.02)
        if "axes" in keywords:
            keywords["axes"] = tuple(
                a % len(x.shape) - len(x.shape) for a in np.atleast_1d(keywords["axes"]).tolist()
            )
        if kernel.dtype in FLOATS[:3] and x.dtype in FLOATS[:3] and d.chance(0.3):
            keywords["call"] = "reduce"
    if keywords["call"] in ("__call__", "reduce") and d.chance(0.3):
        # with `shape` it is prepared for arrays of its own dtype
        whole = np.dtype(kernel.dtype).kind in "iub"
        _boundary(d, keywords, _convolved(x, kernel, keywords), (0, 1) if whole else (0.0, 1.5, np.inf))
    if d.chance(0.2):
        keywords["shape"] = x.shape
    if keywords["call"] in ("__call__", "adjoint") and d.chance(0.2):
        keywords["out"] = d.one(("new", "strided", "x" if keywords["call"] == "__call__" else "y"))
    arrays = {"kernel": kernel, "x": x}
    if keywords["call"] in ("adjoint", "kernel_grad"):
        y = d.array((), x.dtype)
        arrays["y"] = Array((), x.dtype, y.values, y.seed, y.memory.replace("repeated", "plain"), y.bad)
    return "Convolver", arrays, keywords
