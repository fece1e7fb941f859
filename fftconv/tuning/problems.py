"""Problems to time, and arrays for them."""

from __future__ import annotations

import numpy as np

from fftconv.core.problem import ConvProblem, Ints


def problem(x: Ints, w: Ints, dtype: np.dtype, channels: Ints = (1, 1)) -> ConvProblem:
    """A convolution as long as its input.

    Examples
    --------
    >>> problem((50, 40), (5, 4), np.dtype("f4")).output_size
    (50, 40)
    """
    ones = (1,) * len(x)
    return ConvProblem(
        batch=1,
        in_channels=channels[0],
        out_channels=channels[1],
        groups=1,
        input_size=x,
        kernel_size=w,
        pads=tuple((k // 2, (k - 1) // 2) for k in w),
        stride=ones,
        lhs_dilation=ones,
        rhs_dilation=ones,
        flip=True,
        x_dtype=dtype,
        w_dtype=dtype,
        dtype=dtype,
    )


def arrays(p: ConvProblem) -> tuple[np.ndarray, np.ndarray]:
    """Operands in the canonical layout; their values make no difference to the time."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(p.x_shape, np.float32).astype(p.dtype)
    w = rng.standard_normal(p.w_shape, np.float32).astype(p.dtype)
    return x, w
