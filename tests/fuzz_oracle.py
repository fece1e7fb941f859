"""What a call must answer, one tap at a time and without the package, and the shapes that follow from its other arrays.

Every door comes down to sums of `oracle.by_taps` over arrays that `numpy.pad` has extended, or to a few lines of its
own definition.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from fuzz_cases import Array, Case
from fuzz_channels import Torch, jax_answer, patches, torch_answer, views, window
from fuzz_scipy import aligned, convolver_answer, kept, numpy_answer, scipy_answer
from fuzz_sums import Answer


def expected(case: Case, arrays: dict[str, np.ndarray], extras: dict[str, Any]) -> Answer:
    """The answer to `case` with these arrays; `extras` are the mask, the weights and the like."""
    room, _, name = case.door.rpartition(".")
    keywords = case.keywords | extras
    with np.errstate(all="ignore"):
        if room == "numpy":
            return numpy_answer(name, arrays["a"], arrays["v"], keywords)
        if room == "lax":
            return jax_answer(name, arrays, keywords)
        if room == "nn":
            return torch_answer(name, arrays, keywords)
        return (
            scipy_answer(name, arrays["in1"], arrays["in2"], keywords)
            if room
            else convolver_answer(arrays, keywords)
        )


def resolved(case: Case) -> dict[str, Array]:
    """The arrays of `case`, those whose shape follows from the others with it."""
    arrays, keywords = dict(case.arrays), case.keywords
    if case.door == "Convolver" and "y" in arrays:
        x = np.broadcast_to(np.zeros(()), arrays["x"].shape)
        kernel, axes = kept(x.shape, np.broadcast_to(np.zeros(()), arrays["kernel"].shape), keywords)
        shape = aligned("convolve", x, kernel, keywords.get("mode", "same"), axes).shape
        arrays["y"] = replace(arrays["y"], shape=shape)
    elif case.door.endswith("local"):
        x, _, _ = views(keywords.get("dimension_numbers"), np.zeros(arrays["lhs"].shape), None)
        ones = (1,) * (x.ndim - 2)
        more = {name: keywords.get(name) or ones for name in ("lhs_dilation", "rhs_dilation")}
        shape = (arrays["rhs"].shape[0], *patches(window(x, keywords, more), x).shape[1:])
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
