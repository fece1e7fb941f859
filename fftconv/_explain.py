"""How a call would be computed, and why, without computing it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fftconv._door import CONVOLVE, Call, dtype_of, mode_text, options_of, shape_of
from fftconv._general import plan_of_call
from fftconv._missing import care_of, explained, settled
from fftconv._recipe import recipe_for
from fftconv.core.plan import ConvPlan

__all__ = ["explain"]

# Keywords of `convolve` that shape a plan, and their defaults.
SHAPING = {
    "axes": None, "dtype": None, "method": "auto", "workers": None, "rtol": None, "atol": None, "max_memory": None,
}  # fmt: skip


def explain(in1: Any, in2: Any = None, mode: str = "full", **keywords: Any) -> ConvPlan:
    """The plan of ``convolve(in1, in2, mode, **keywords)``: every method with its predicted cost or why it is out.

    Parameters
    ----------
    in1, in2 : array_like or tuple of int
        Arrays, or their shapes. Alone, `in1` may be a function without arguments that calls one of `fftconv.lax` or
        `fftconv.nn`; it is followed up to its first convolution, which is planned and not computed.
    mode : {"full", "same", "valid"}
    **keywords
        Those of `fftconv.convolve`. Where both inputs are shapes, ``dtype`` is the dtype of the arrays, by
        default float64. With a mask, weights or a masked array, the plan is that of each of the sums that a mean
        is made of.

    Returns
    -------
    ConvPlan
        Prints as a table; its fields hold the same as numbers.

    Raises
    ------
    ValueError
        As `convolve` or the function would, and where nothing is summed.

    Examples
    --------
    >>> from fftconv import explain
    >>> plan = explain((1_000_000,), (1001,), mode="same")
    >>> plan.problem.output_size
    (1000000,)
    >>> "direct" in str(plan)
    True
    >>> import numpy as np
    >>> from fftconv import nn
    >>> explain(lambda: nn.conv2d(np.ones((8, 64, 64)), np.ones((16, 8, 5, 5)), stride=2)).problem.stride
    (2, 2)
    """
    if in2 is None and callable(in1):
        found = plan_of_call(in1)
        if found is None or keywords or mode != "full":
            raise ValueError(
                "a function to explain must call one of fftconv.lax or fftconv.nn, and stand alone; got "
                f"{in1!r}{' with other arguments' if found else ', which convolves nothing there'}"
            )
        return found
    shaping = {name: keywords.pop(name, default) for name, default in SHAPING.items()}
    outside = keywords.pop("boundary", "constant"), keywords.pop("fill_value", 0.0)
    keywords.pop("out", None)
    care = care_of(
        keywords.pop("nan_policy", "propagate"),
        keywords.pop("mask", None),
        keywords.pop("weights", None),
        outside[1],
        keywords.pop("overflow", "wrap"),
    )
    for name in keywords:
        raise TypeError(f"there is no keyword {name!r}")
    if _is_shape(in1) and _is_shape(in2):
        dtype = dtype_of(shaping["dtype"] or np.float64)
        options = options_of(**{**shaping, "dtype": None}, outside=outside)
        call, _ = settled(Call(CONVOLVE, mode, options), care)
        sizes = shape_of(in1), shape_of(in2)
        return recipe_for(CONVOLVE, *((size, dtype) for size in sizes), mode_text(mode), call.options).plan()
    if _is_shape(in1) != _is_shape(in2):
        raise ValueError(
            f"in1 and in2 must both be arrays or both be shapes, got {_shown(in1)} and {_shown(in2)}; "
            "numpy.asarray makes an array of a tuple"
        )
    call, care = settled(Call(CONVOLVE, mode, options_of(**shaping, outside=outside)), care)
    call, a, b = explained(call, (in1, in2), care)
    return recipe_for(CONVOLVE, (a.shape, a.dtype), (b.shape, b.dtype), mode_text(mode), call.options).plan(
        (a, b)
    )


def _shown(value: Any) -> str:
    if _is_shape(value):
        return f"the shape {value}"
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"an array of shape {shape}"


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        (type(n) is int or isinstance(n, np.integer)) and n >= 0 for n in value
    )
