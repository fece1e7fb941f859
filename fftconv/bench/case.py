"""The kinds of cases: calls of ours and of scripts with everything but their values. Nothing here imports a peer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np

import fftconv
from fftconv.core.plan import ConvPlan, Request
from fftconv.core.planner import plan_conv
from fftconv.core.problem import ConvProblem, Ints
from fftconv.core.trim import trim

DTYPES = ("float64", "float32")
MIB = 2**20


@dataclass(frozen=True)
class Target:
    """What a row has to reach: the fastest of `peers` takes at least so many times as long as we do."""

    peers: tuple[str, ...]
    at_least: float
    dtype: str


def faster(*peers: str, **ratios: float) -> tuple[Target, ...]:
    """Targets against `peers`, one ratio per dtype: ``faster("scipy", float64=5, float32=3)``."""
    return tuple(Target(peers, ratio, dtype) for dtype, ratio in ratios.items())


@dataclass(frozen=True)
class Case(ABC):
    """A call with everything but its values.

    Attributes
    ----------
    name : str
    x, w : tuple of int
        Shapes of the signal and of the kernel.
    targets : tuple of Target
    curve : str
        The line of the plot, over kernel lengths, that this case is a point of; empty for none.
    """

    name: str
    x: Ints
    w: Ints
    targets: tuple[Target, ...] = ()
    curve: str = ""

    def arrays(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """Normal deviates, the same in every run."""
        rng = np.random.default_rng(len(self.name))
        kind: Any = np.dtype(dtype)
        return rng.standard_normal(self.x, kind), rng.standard_normal(self.w, kind)

    @abstractmethod
    def ours(self, x: np.ndarray, w: np.ndarray) -> Callable[[], np.ndarray]:
        """The call of fftconv, ready to be timed; workers are those of the configuration."""

    @abstractmethod
    def problem(self, dtype: str) -> ConvProblem:
        """What the machine makes of that call."""

    def plan(self, dtype: str) -> ConvPlan:
        """The plan by which `ours` runs."""
        problem = self.problem(dtype)
        trimmed = trim(problem)
        return plan_conv(trimmed.problem if trimmed else problem, Request())


@dataclass(frozen=True)
class Signal(Case):
    """``convolve(x, w, "same", axes=axes)``."""

    axes: Ints | None = None

    @property
    def wide(self) -> Ints:
        """The kernel's shape with as many axes as the signal's."""
        axes = range(len(self.x)) if self.axes is None else self.axes
        lengths = dict(zip(axes, self.w, strict=True))
        return tuple(lengths.get(a, 1) for a in range(len(self.x)))

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct sum."""
        return prod(self.x) * prod(self.w)

    def ours(self, x: np.ndarray, w: np.ndarray) -> Callable[[], np.ndarray]:
        if self.axes is None:
            return partial(fftconv.convolve, x, w, "same")
        return partial(fftconv.convolve, x, w, "same", axes=self.axes)

    def problem(self, dtype: str) -> ConvProblem:
        return fftconv.explain(self.x, self.w, "same", axes=self.axes, dtype=dtype).problem


@dataclass(frozen=True)
class Frames(Signal):
    """A `Convolver` in ``same`` mode, prepared, on arrays of one shape."""

    def convolver(self, w: np.ndarray) -> fftconv.Convolver:
        return fftconv.Convolver(w, axes=self.axes)

    def ours(self, x: np.ndarray, w: np.ndarray) -> Callable[[], np.ndarray]:
        return partial(self.convolver(w), x)


@dataclass(frozen=True)
class Layer(Case):
    """A function of `fftconv.nn` and of ``torch.nn.functional`` by its name, with the keywords it gets."""

    function: str = ""
    keywords: Mapping[str, int] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct sum."""
        problem = self.problem("float64")
        # zeros between dilated samples are not multiplied
        return problem.macs // prod(problem.lhs_dilation)

    def ours(self, x: np.ndarray, w: np.ndarray) -> Callable[[], np.ndarray]:
        return partial(getattr(fftconv.nn, self.function), x, w, **self.keywords)

    def problem(self, dtype: str) -> ConvProblem:
        ndim, groups = len(self.x) - 2, self.keywords.get("groups", 1)
        ones, d = (1,) * ndim, self.keywords.get("dilation", 1)
        stride, padding = (self.keywords.get("stride", 1),) * ndim, self.keywords.get("padding", 0)
        transposed = self.function.startswith("conv_transpose")
        kind = np.dtype(dtype)
        return ConvProblem(
            batch=self.x[0],
            in_channels=self.x[1],
            out_channels=self.w[1] * groups if transposed else self.w[0],
            groups=groups,
            input_size=self.x[2:],
            kernel_size=self.w[2:],
            pads=tuple((d * (k - 1) - padding,) * 2 if transposed else (padding,) * 2 for k in self.w[2:]),
            stride=ones if transposed else stride,
            lhs_dilation=stride if transposed else ones,
            rhs_dilation=(d,) * ndim,
            flip=transposed,
            x_dtype=kind,
            w_dtype=kind,
            dtype=kind,
        )


@dataclass(frozen=True)
class Script:
    """Two lines of Python, each run by an interpreter of its own: imports and first-use costs are the subject."""

    name: str
    ours: str
    theirs: str
    peer: str
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Memory:
    """Scratch of a case: at most `limit` bytes, and predicted within `within` of what is measured.

    Of `slack` bytes either way nothing is asked: stacks and part-filled pages weigh as much.
    """

    case: Case
    limit: int
    within: float = 0.2
    slack: int = MIB // 4

    @property
    def name(self) -> str:
        return self.case.name


@dataclass(frozen=True)
class Group:
    """Cases that are measured alike: `kind` is how, `runs.KINDS` holds the functions."""

    title: str
    kind: str
    cases: tuple[Any, ...]
