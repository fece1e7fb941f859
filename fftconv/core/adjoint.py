"""The adjoints of a convolution as convolutions: with respect to the input, and to the kernel. Sizes and views only.

With ``y[o, m] = sum_(c, u) w[o, c, u] xpad[c, m*s + u*d]`` and a vector z of the shape of y,

* ``sum conj(w)[o, c, u] z[o, m]`` over the pairs that read sample q is a convolution of z with conj(w) turned
  round. Stride and input dilation change places, and pads are what makes the sizes meet:
  ``lo' = k' - 1 - lo`` and ``hi' = n' + k' - 1 - dil(m, s) - lo'`` with the dilated sizes n' and k'.
* What lies outside is a linear map of its own, read before the sums: the adjoint sums first (`spelled_out`), then adds
  every place outside to the sample that it shows (`core.boundary.put_back`). A constant is no map of the samples, and
  counts as zeros. Round a periodic axis of which a whole period is wanted, the transpose is periodic itself.
* ``sum conj(x)pad[c, m*s + u*d] z[o, m]`` over m is a correlation of conj(x) with z: the batch becomes the channels
  that are summed, and stride and kernel dilation change places.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from fftconv.core.boundary import Boundary, Outside, put_back
from fftconv.core.engine import get_engine
from fftconv.core.methods.care import on_pedestal
from fftconv.core.methods.cross import gradient
from fftconv.core.missing import suspicious
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.planner import plan_conv
from fftconv.core.problem import ConvProblem, at, dilated_size
from fftconv.core.run import run
from fftconv.core.support import signs_restorer
from fftconv.core.tiling import layout_of
from fftconv.core.trim import trim
from fftconv.core.zeros import clearer


def spelled_out(p: ConvProblem) -> ConvProblem:
    """`p` with all that it reads outside of extended axes in its input, but for whole periods."""
    axes = list(zip(p.input_size, p.pads, _spelled(p), strict=True))
    along = (Boundary.WRAP if _is_period(p, a) else Boundary.ZERO for a in range(p.ndim))
    return p.with_(
        input_size=tuple(n + lo + hi if spelled else n for n, (lo, hi), spelled in axes),
        pads=tuple((0, 0) if spelled else pads for _, pads, spelled in axes),
        outside=Outside.of(tuple(along)),
    )


def put_inside(p: ConvProblem, z: np.ndarray, out: np.ndarray) -> None:
    """The transpose of reading what lies outside: an input of `spelled_out`, put into `out`, a canonical one of `p`."""
    axes = zip(p.input_size, p.pads, _spelled(p), strict=True)
    window = [(-lo, n + lo + hi, 1) if spelled else (0, n, 1) for n, (lo, hi), spelled in axes]
    out[...] = put_back(z, window, p.input_size, p.boundary)


def reads_outside(p: ConvProblem) -> bool:
    """Whether `spelled_out` has other inputs than `p`."""
    return any(_spelled(p))


def _spelled(p: ConvProblem) -> list[bool]:
    return [b > Boundary.CONSTANT and not _is_period(p, a) for a, b in enumerate(p.boundary)]


def _is_period(p: ConvProblem, a: int) -> bool:
    return p.boundary[a] == Boundary.WRAP and p.output_size[a] == p.input_size[a] and p.stride[a] == 1


def adjoint_problem(p: ConvProblem) -> ConvProblem:
    """The problem whose kernel is `adjoint_kernel`, from outputs of `p` to inputs of `p`.

    Outside of `p` lie zeros, or whole periods.

    Examples
    --------
    >>> import numpy as np
    >>> f8 = np.dtype("f8")
    >>> p = ConvProblem(1, 1, 4, 1, (10,), (3,), ((2, 2),), (1,), (1,), (1,), True, f8, f8, f8)
    >>> print(adjoint_problem(p))
    correlate 1x4->1 12 by 3 -> 10 float64
    """
    pads = []
    for n, k, m, s, (lo, _) in zip(
        p.dilated_input, p.dilated_kernel, p.output_size, p.stride, p.pads, strict=True
    ):
        low = k - 1 - lo
        pads.append((low, n + k - 1 - dilated_size(m, s) - low))
    return p.with_(
        in_channels=p.out_channels,
        out_channels=p.in_channels,
        input_size=p.output_size,
        pads=tuple(pads),
        stride=p.lhs_dilation,
        lhs_dilation=p.stride,
        flip=not p.flip,
    )


def adjoint_kernel(p: ConvProblem, w: np.ndarray) -> np.ndarray:
    """Kernels (O, C/G, \\*K) of `p` as (C, O/G, \\*K), conjugated."""
    blocks = w.reshape(p.groups, p.group_outputs, p.group_inputs, *p.kernel_size).swapaxes(1, 2)
    turned = blocks.reshape(p.in_channels, p.group_outputs, *p.kernel_size)
    return turned.conj() if turned.dtype.kind == "c" else turned


def kernel_gradient(p: ConvProblem, x: np.ndarray, z: np.ndarray, request: Request) -> np.ndarray:
    """The kernel g with ``<A_v x, z> == <v, g>`` for every kernel v, A_v being `p` with v for its kernel.

    `x` and `z` have the dtypes of `p` for input and kernel; the result has that of its sums.
    """
    shape = p.w_shape
    x, z, p = _gathered(p, x, z)
    found = np.empty(p.w_shape, p.dtype)
    target = found[at(*(slice(None, None, -1),) * p.ndim)] if p.flip else found
    tiles = _tiles(p, request)
    if tiles is not None and not on_pedestal(p, x) and _by_tiles(tiles, x, z, target):
        return found.reshape(shape)
    if x.dtype.kind == "c":
        x, p = x.conj(), p.with_(outside=Outside.of(p.boundary, np.conj(p.outside.fill)))
    run(_gradient_problem(p), _stacked(p, x), z.swapaxes(0, 1), target.swapaxes(0, 1), request)
    return found.reshape(shape)


def _tiles(p: ConvProblem, request: Request) -> ConvPlan | None:
    """The plan of `p` whose tiles give the gradient sooner than one sum over all of y does, if there is one."""
    known = p.group_inputs == 1 and p.dtype.char in "fdFD" and request.tolerance is None
    if not known or request.method not in (None, "overlap_save") or trim(p) is not None:
        return None
    if not all((*p.x_shape, *p.w_shape, *p.out_shape)):
        return None
    plan = plan_conv(p, replace(request, method="overlap_save", prepared=True))
    if plan.chosen.tiling is None or plan.chosen.by_phases:
        return None
    other = plan_conv(_gradient_problem(p), replace(request, method=None)).chosen
    return plan if request.method or plan.chosen.rank < other.rank else None


def _by_tiles(plan: ConvPlan, x: np.ndarray, z: np.ndarray, target: np.ndarray) -> bool:
    """Fill `target` tile by tile; False where something is not finite, which a transform would spread."""
    p = plan.problem
    layout = layout_of(p, plan.tiling)
    with np.errstate(all="ignore"):
        target[...] = gradient(layout, get_engine(layout.dtype), (x, z), plan.workers)
        if not np.abs(target).max() <= suspicious(p.dtype.char):
            return False
        samples = x.conj() if x.dtype.kind == "c" else x
        sums = _gradient_problem(p)
        for restore in (signs_restorer(sums), clearer(sums)):
            restore(_stacked(p, samples), z.swapaxes(0, 1), target.swapaxes(0, 1))
    return True


def _stacked(p: ConvProblem, x: np.ndarray) -> np.ndarray:
    """Samples (N, G I, \\*S) as (I, G N, \\*S), beside outputs (O, N, \\*M) for kernels."""
    groups = x.reshape(p.batch, p.groups, p.group_inputs, *p.input_size)
    stacked = groups.transpose(2, 1, 0, *range(3, 3 + p.ndim))
    return stacked.reshape(p.group_inputs, p.groups * p.batch, *p.input_size)


def _gradient_problem(p: ConvProblem) -> ConvProblem:
    pads = tuple(
        (lo, k - 1 + dilated_size(m, s) - n - lo)
        for n, k, m, s, (lo, _) in zip(
            p.dilated_input, p.dilated_kernel, p.output_size, p.stride, p.pads, strict=True
        )
    )
    return p.with_(
        batch=p.group_inputs,
        in_channels=p.groups * p.batch,
        kernel_size=p.output_size,
        pads=pads,
        stride=p.rhs_dilation,
        rhs_dilation=p.stride,
        flip=False,
    )


def _gathered(p: ConvProblem, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, ConvProblem]:
    """Axes along which nothing is convolved, gathered into the batch: what is summed over is no kernel axis."""
    alone = [
        a
        for a in range(p.ndim)
        if p.kernel_size[a] == p.stride[a] == p.lhs_dilation[a] == 1 and p.pads[a] == (0, 0)
    ]
    if not alone:
        return x, z, p
    rest = [a for a in range(p.ndim) if a not in alone]

    def moved(a: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
        a = a.transpose(0, *(2 + i for i in alone), 1, *(2 + i for i in rest))
        return a.reshape(-1, a.shape[1 + len(alone)], *(sizes[i] for i in rest), *(1,) * (not rest))

    def kept(values: tuple, default: object) -> tuple:
        return tuple(values[i] for i in rest) or (default,)

    batch = p.batch * prod(p.input_size[a] for a in alone)
    q = p.with_(
        batch=batch,
        input_size=kept(p.input_size, 1),
        kernel_size=kept(p.kernel_size, 1),
        pads=kept(p.pads, (0, 0)),
        stride=kept(p.stride, 1),
        lhs_dilation=kept(p.lhs_dilation, 1),
        rhs_dilation=kept(p.rhs_dilation, 1),
        outside=Outside.of(kept(p.boundary, Boundary.ZERO), p.outside.fill),
    )
    return moved(x, p.input_size), moved(z, p.output_size), q
