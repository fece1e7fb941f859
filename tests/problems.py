"""Problems and arrays for the tests: named shapes, awkward memory, and hypothesis over every field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from hypothesis import strategies as st

from fftconv.core.problem import ConvProblem

FLOATS = ("f4", "f8", "g", "c8", "c16", "G")
INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
# kernel and input of unlike dtypes, and the dtype of their sum
MIXED = (("f4", "f8", "f8"), ("f8", "c16", "c16"), ("c8", "f4", "c8"), ("i4", "f8", "f8"), ("u1", "i2", "i2"))
MIXED += (("f2", "f2", "f4"), ("b1", "f4", "f4"), ("b1", "i4", "i4"), ("c16", "f4", "c16"))


def mode_pads(mode: str, k: int, d: int = 1) -> tuple[int, int]:
    """Pads of one axis for the modes of scipy."""
    reach = d * (k - 1)
    return {"full": (reach, reach), "same": ((reach + 1) // 2, reach // 2), "valid": (0, 0)}[mode]


@dataclass(frozen=True)
class Extras:
    """What a problem may have beyond its sizes."""

    batch: int = 1
    channels: tuple[int, int] = (1, 1)
    groups: int = 1
    stride: int = 1
    dilation: tuple[int, int] = (1, 1)


PLAIN = Extras()
EXTRAS = MappingProxyType(
    {
        "plain": PLAIN,
        "batch": Extras(batch=3),
        "channels": Extras(batch=2, channels=(2, 3)),
        "groups": Extras(batch=2, channels=(4, 6), groups=2),
        "depthwise": Extras(channels=(3, 3), groups=3),
        "stride": Extras(stride=2),
        "stride 3": Extras(batch=2, stride=3),
        "kernel dilation": Extras(dilation=(1, 2)),
        "input dilation": Extras(dilation=(2, 1)),
        "all at once": Extras(batch=2, channels=(4, 2), groups=2, stride=2, dilation=(3, 2)),
    }
)


def problem(
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    pads: str | tuple[tuple[int, int], ...] = "same",
    dtype: str | tuple[str, str, str] = "f8",
    extras: Extras = PLAIN,
) -> ConvProblem:
    """A convolution from sizes, a mode or pads, a dtype (or those of x, w and the sum), and the rest."""
    ones = (1,) * len(size)
    lhs, rhs = extras.dilation
    x_dtype, w_dtype, out_dtype = (dtype,) * 3 if isinstance(dtype, str) else dtype
    return ConvProblem(
        batch=extras.batch,
        in_channels=extras.channels[0],
        out_channels=extras.channels[1],
        groups=extras.groups,
        input_size=tuple(size),
        kernel_size=tuple(kernel),
        pads=tuple(mode_pads(pads, k, rhs) for k in kernel) if isinstance(pads, str) else pads,
        stride=tuple(extras.stride for _ in ones),
        lhs_dilation=tuple(lhs for _ in ones),
        rhs_dilation=tuple(rhs for _ in ones),
        flip=True,
        x_dtype=np.dtype(x_dtype),
        w_dtype=np.dtype(w_dtype),
        dtype=np.dtype(out_dtype),
    )


def random_array(shape: tuple[int, ...], dtype: np.dtype, seed: int, bound: int = 0) -> np.ndarray:
    """Numbers that use the whole mantissa of `dtype`; integers of its whole range, or up to `bound`."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.random(shape) < 0.3
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = (max(info.min, -bound), min(info.max, bound)) if bound else (info.min, info.max)
        return rng.integers(low, high, shape, dtype, endpoint=True)
    if dtype.kind == "c":
        real = np.dtype(dtype.type(0).real)
        return (random_array(shape, real, seed) + 1j * random_array(shape, real, seed + 1)).astype(dtype)
    fine = rng.standard_normal(shape) * 2.0**-50
    return (rng.standard_normal(shape).astype(np.longdouble) + fine).astype(dtype)


def arrays(p: ConvProblem, seed: int = 0, bound: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random input and kernel of `p`."""
    return random_array(p.x_shape, p.x_dtype, seed, bound), random_array(
        p.w_shape, p.w_dtype, seed + 7, bound
    )


def poison(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An output in which an unwritten cell shows."""
    return np.full(shape, *poison_value(np.dtype(dtype)))


def poison_value(dtype: np.dtype) -> tuple[object, np.dtype]:
    """NaN where there is one, else 777 in as many bits as there are; with the dtype, as np.full takes them."""
    if dtype.kind in "fc":
        return np.nan, dtype
    return (True if dtype.kind == "b" else 777 % 2 ** (8 * dtype.itemsize - 1)), dtype


def awkward(a: np.ndarray) -> dict[str, np.ndarray]:
    """Equal arrays in unlike memory: reversed, Fortran order, strided, read-only, unaligned."""
    backwards = np.flip(np.flip(a).copy())
    strided = np.repeat(a, 2, axis=-1)[..., ::2] if a.size else a
    frozen = a.copy()
    frozen.flags.writeable = False
    raw = np.empty(a.nbytes + 1, np.uint8)
    crooked = raw[1:].view(a.dtype).reshape(a.shape)
    crooked[...] = a
    turned = np.ascontiguousarray(a.T).T
    return {
        "reversed": backwards,
        "fortran": turned,
        "strided": strided,
        "read-only": frozen,
        "unaligned": crooked,
    }


_DTYPES = st.one_of(
    st.sampled_from(("f4", "f8", "c8", "c16", "i4", "u1", "i8", "b1")),
    st.sampled_from(MIXED),
    st.sampled_from(("g", "G")),
)


@st.composite
def problems(draw: st.DrawFn, rows: bool = False) -> ConvProblem:
    """Any problem, kept small enough for the naive sum: every field varies, empty axes and channels included.

    With `rows` the kernel extends along one axis at most, one channel to each output, stride 1 along that axis.
    """
    ndim = draw(st.integers(1, 3))
    top = {1: 60, 2: 12, 3: 6}[ndim]

    def per_axis(values: st.SearchStrategy) -> tuple:
        return tuple(draw(values) for _ in range(ndim))

    groups = draw(st.integers(1, 3))
    plain = problem(
        per_axis(st.integers(0, top)),
        per_axis(st.integers(0, max(top // 2, 3))),
        per_axis(st.tuples(st.integers(-4, 9), st.integers(-4, 9))),
        draw(_DTYPES),
        Extras(
            batch=draw(st.integers(0, 3)),
            channels=(groups * draw(st.integers(1, 2)), groups * draw(st.integers(0, 2))),
            groups=groups,
        ),
    )
    found = replace(
        plain,
        stride=per_axis(st.integers(1, 4)),
        lhs_dilation=per_axis(st.sampled_from((1, 1, 2, 3))),
        rhs_dilation=per_axis(st.sampled_from((1, 1, 2, 3, 4))),
        flip=draw(st.booleans()),
    )
    if not rows:
        return found
    along = draw(st.integers(0, ndim - 1))
    return replace(
        found,
        in_channels=groups,
        out_channels=groups,
        kernel_size=tuple(k if a == along else 1 for a, k in enumerate(found.kernel_size)),
        stride=tuple(1 if a == along else s for a, s in enumerate(found.stride)),
        rhs_dilation=(1,) * ndim,
    )
