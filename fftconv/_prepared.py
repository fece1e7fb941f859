"""One kernel and one shape of input: the convolution, its adjoints, and its reduction over a bank, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from fftconv._boundary import fill_of
from fftconv._broadcast import Array, Layout
from fftconv._recipe import DType, Recipe, native
from fftconv._renormalize import Settled, correct
from fftconv.core.adjoint import (
    adjoint_kernel,
    adjoint_problem,
    kernel_gradient,
    put_inside,
    reads_outside,
    spelled_out,
)
from fftconv.core.boundary import Outside
from fftconv.core.cells import boxes
from fftconv.core.excerpt import Box, crop
from fftconv.core.kernel import Kernel, Store
from fftconv.core.lazy import lazy
from fftconv.core.plan import Request
from fftconv.core.planner import plan_conv
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.run import Runner
from fftconv.core.tiling import TileLayout
from fftconv.core.workers import for_each, worker_limit

Reduction = Callable[..., Any]

# Bytes of the outputs of all kernels that each worker of a reduction holds at a time: at most, and where that leaves
# fewer blocks than can be shared well.
REDUCED_BYTES = 2**24
LEAST_BYTES = 2**21
BLOCKS = 8


@dataclass(frozen=True, eq=False)
class Shared:
    """What calls of all shapes share.

    Attributes
    ----------
    kernel : ndarray
        Native and contiguous; nobody writes to it.
    store : Store
    planning : str
        See `core.kernel.Kernel`.
    """

    kernel: Array
    store: Store
    planning: str


@dataclass(frozen=True, eq=False)
class Prepared:
    """The calls with inputs of one shape and dtype.

    Attributes
    ----------
    recipe : Recipe
        Of the convolution of `x` with `operand`, with nothing kept.
    x_shape : tuple of int
    operand : ndarray
        The kernel with as many axes as the recipe has it.
    shared : Shared
    """

    recipe: Recipe
    x_shape: Ints
    operand: Array
    shared: Shared

    @lazy
    def forward(self) -> Recipe:
        """The recipe, with what is made of the kernel kept."""
        restriction = self.recipe.restriction
        if restriction is not None:
            restriction = Settled(restriction.corrections(self.operand))
        return replace(self.recipe, run=self._runner, restriction=restriction)

    @lazy
    def _runner(self) -> Runner | None:
        layout, run = self.recipe.layout, self.recipe.run
        if layout is None or run is None:
            return None
        return Runner(layout.problem, run.request, self._kernel("", layout.w.of(self.operand)))

    @lazy
    def _adjoint(self) -> tuple[Runner, Array]:
        layout, run = self._sums
        p = spelled_out(layout.problem)
        if self.recipe.restriction is not None:
            p = p.with_(x_dtype=p.dtype)
        w, turned = adjoint_kernel(p, layout.w.of(self.operand)), adjoint_problem(p)
        # of several kernels the adjoint is a sum, which is made in no passes
        request = _freely(run.request) if turned.group_inputs > 1 else run.request
        return Runner(turned, request, self._kernel("adjoint", w)), w

    @property
    def _sums(self) -> tuple[Layout, Runner]:
        layout, run = self.recipe.layout, self.recipe.run
        assert layout is not None
        assert run is not None
        return layout, run

    def _kernel(self, name: str, w: Array) -> Kernel:
        # the view says which part of the kernel is seen, and in which order
        view = self._sums[0].w
        return Kernel(w, self.shared.store, (name, repr(view)), self.shared.planning)

    def adjoint(self, y: Array, out: Array | None) -> Array:
        """The adjoint applied to `y`, whose dtype is the one that this object is for."""
        if out is None:
            out = np.empty(self.x_shape, self.recipe.dtype)
        elif np.may_share_memory(out, y):
            out[...] = self.adjoint(y, None)
            return out
        if self.recipe.layout is None:
            out[...] = 0
            return out
        layout, _ = self._sums
        runner, w = self._adjoint
        target, y = layout.x.of(out), layout.out.of(self._weighed(native(y)))
        if reads_outside(layout.problem):
            z = np.empty(runner.problem.out_shape, runner.problem.dtype)
            runner(y, w, z)
            put_inside(layout.problem, z, target)
        else:
            runner(y, w, target)
        if not np.may_share_memory(target, out):
            layout.x.put(target, out)
        return out

    def _weighed(self, y: Array) -> Array:
        """The conjugate factors of the forward map applied to `y`, where there are any."""
        if not isinstance(self.forward.restriction, Settled):
            return y
        y = y.astype(self.recipe.dtype)
        correct(y, [(part, factors.conj()) for part, factors in self.forward.restriction.found])
        return y

    def kernel_gradient(self, x: Array, y: Array, dtype: DType) -> Array:
        """The gradient of ``<A x, y>`` with respect to the kernel, in its shape."""
        found = np.zeros(self.operand.shape, dtype)
        if self.recipe.layout is not None:
            layout, run = self._sums
            x, y = native(x), native(y)
            p = layout.problem
            outside = Outside.of(p.boundary, fill_of(p.outside.fill, dtype))
            p = p.with_(x_dtype=x.dtype, w_dtype=y.dtype, dtype=dtype, outside=outside)
            # products of 1-d kernels are no matter of the sums over y
            request = replace(_freely(run.request), prepared=False)
            g = kernel_gradient(p, layout.x.of(x), layout.out.of(y), request)
            layout.w.put(g, found)
        return found.reshape(self.shared.kernel.shape)

    def reduce(self, x: Array, op: Reduction, kernels: int) -> Array:
        """`op` over the first axis of the result, of which a part exists at a time."""
        shape = self.recipe.shape[1:]
        if self.recipe.layout is None:
            return np.asarray(op(np.zeros(self.recipe.shape, self.recipe.dtype), axis=0))
        if self.recipe.restriction is not None:
            return self._reduce_whole(x, op)
        layout, run = self._sums
        # the values of a kernel, which tell whether it is separable, are looked at part by part
        fold = _Fold(layout.problem, kernels, op, _freely(run.request))
        x, w = layout.operands(native(x), self.operand)
        idle: list[Array] = []

        whole = np.empty(fold.shape, fold.dtype)

        def work(box: Box) -> None:
            part = self._part(crop(layout.problem, box), fold.request)
            try:
                memory = idle.pop()
            except IndexError:
                memory = np.empty(fold.most, self.recipe.dtype)
            y = memory[: prod(part.problem.out_shape)].reshape(part.problem.out_shape)
            part(x[slice(*box[0])], w, y)
            # what `op` found may be a part of y, so the memory is in use until it is copied
            whole[_place(box)] = fold(y)
            idle.append(memory)

        for_each(fold.boxes, work, worker_limit(run.request.workers))
        # as the result, but for its first axis
        order = layout.out.order or tuple(range(len(shape) + 1))
        out = np.empty(shape, whole.dtype)
        there = out.transpose([a - 1 for a in order if a])
        there[...] = whole.reshape(there.shape)
        return out

    def _reduce_whole(self, x: Array, op: Reduction) -> Array:
        """`reduce` for results that are not sums alone."""
        found = np.asarray(op(self.forward(x, self.operand), axis=0))
        _check_reduced(self.recipe.shape, found.shape, 0)
        return found

    def _part(self, p: ConvProblem, request: Request) -> Runner:
        """The runner of a part of the outputs."""
        found = self._parts.get(p)
        if found is None:
            assert self._runner is not None
            found = self._parts[p] = Runner(p, request, self._runner.kernel)
        return found

    @lazy
    def _parts(self) -> dict[ConvProblem, Runner]:
        return {}


def _freely(request: Request) -> Request:
    """`request` without the method that depends on the values of the kernel."""
    return replace(request, method=None) if request.method == "separable" else request


def _place(box: Box) -> tuple[slice, ...]:
    """Where the outputs in `box` stand in a canonical result."""
    batch, *spans = (slice(*span) for span in box)
    return batch, slice(None), *spans


class _Fold:
    """A reduction over the kernels of a bank, block by block.

    Blocks (N, groups x kernels x rest, \\*M) become (N, groups x rest, \\*M).
    """

    def __init__(self, p: ConvProblem, kernels: int, op: Reduction, asked: Request) -> None:
        self.problem = p
        self.kernels = kernels
        self.op = op
        self.rest = p.out_channels // (p.groups * kernels)
        self.shape = (p.batch, p.groups * self.rest, *p.output_size)
        lengths, self.request = self._with_whole_tiles(self._lengths(), replace(asked, workers=1))
        self.most = prod(lengths) * p.out_channels
        self.boxes: list[Box] = list(boxes((p.batch, *p.output_size), lengths))

    def _lengths(self) -> Ints:
        """Of a block: where it is longest beside the kernel it is halved, as long as few samples are read twice."""
        p = self.problem
        lengths, taps = [p.batch, *p.output_size], (0.25, *p.kernel_size)
        each = p.out_channels * p.dtype.itemsize
        most = min(REDUCED_BYTES, max(LEAST_BYTES, prod(lengths) * each // BLOCKS))
        while prod(lengths) * each > most:
            a = max(range(len(lengths)), key=lambda i: lengths[i] / taps[i])
            if lengths[a] <= 4 * taps[a]:
                break
            lengths[a] = -(-lengths[a] // 2)
        return tuple(lengths)

    def _with_whole_tiles(self, lengths: Ints, asked: Request) -> tuple[Ints, Request]:
        """Lengths of a block that its tiles fill, and the request by which all blocks use the tile of an inner one."""
        p, (batch, *sizes) = self.problem, lengths
        axes = zip(sizes, p.output_size, p.input_size, p.kernel_size, p.pads, strict=True)
        inner = [(n, pads) if m == whole else (m + k - 1, (0, 0)) for m, whole, n, k, pads in axes]
        size, pads = zip(*inner, strict=True)
        inside = p.with_(batch=batch, input_size=size, pads=pads)
        tiling = plan_conv(inside, asked).chosen.tiling
        if tiling is None:
            return lengths, asked
        reach = TileLayout(inside, tiling).reach
        filled = (
            m if m == whole else max(r, m // r * r)
            for m, whole, r in zip(sizes, p.output_size, reach, strict=True)
        )
        return (batch, *filled), replace(asked, method="overlap_save", tiling=tiling)

    @property
    def dtype(self) -> DType:
        """What `op` makes of the outputs."""
        with np.errstate(all="ignore"):
            return self(
                np.zeros((1, self.problem.out_channels, *(1,) * self.problem.ndim), self.problem.dtype)
            ).dtype

    def __call__(self, y: Array) -> Array:
        n, _, *sizes = y.shape
        y = y.reshape(n, self.problem.groups, self.kernels, self.rest, *sizes)
        found = np.asarray(self.op(y, axis=2))
        _check_reduced(y.shape, found.shape, 2)
        return found.reshape(n, -1, *sizes)


def _check_reduced(given: Ints, found: Ints, axis: int) -> None:
    expected = given[:axis] + given[axis + 1 :]
    if found != expected:
        raise ValueError(
            f"op must reduce the axis that it is given and no other: of {given} along axis {axis}, expected "
            f"{expected}, got {found}"
        )
