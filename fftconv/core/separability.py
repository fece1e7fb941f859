"""Which kernels are sums of few products of 1-d kernels: facts about the values, like those of `exactness`.

Cross approximation (M. Bebendorf, Approximation of boundary element matrices, Numerische Mathematik 86, 2000): take
the largest element, the lines through it along every axis, and subtract their product over that element, until nothing
is left. A kernel counts as their sum only if what is left has a 2-norm within ``TOLERANCE eps`` of the kernel's, eps
being that of the result's dtype. By Cauchy and Schwarz the result then errs by no more than

    TOLERANCE eps ||w|| ||x over the window||

beyond the rounding of the passes (`passes.separable_error` has the whole).

One product has the very infinities and NaNs of the direct sum, provided it is zero just where the kernel is (zero times
infinity is NaN): that is asked for as well. Several products may cancel, so their sum is looked at.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fftconv.core.passes import TOLERANCE, extents
from fftconv.core.problem import ConvProblem, Ints

# A kernel up to this size is known again by its bytes.
REMEMBERED_BYTES = 2**18

Term = tuple[np.ndarray, ...]
"""One product: per axis of the kernel's extent its 1-d kernels (O, k)."""


def terms_of(p: ConvProblem, w: np.ndarray, most: int) -> list[Term] | None:
    """At most so many products whose sum is the kernels `w` (O, 1, \\*K), or None.

    The 1-norm of every factor but the first is between one half and one, so that what lies between two passes, from
    the last axis to the first, is no larger than the input. Kernels seen a moment ago are remembered.
    """
    sizes = (w.shape[0], *(p.kernel_size[i] for i in extents(p)))
    if w.nbytes > REMEMBERED_BYTES or not w.dtype.isnative:
        return _taken_apart(w.reshape(sizes).astype(np.float64), most, p.dtype)
    return _remembered(w.tobytes(), w.dtype.char, sizes, (most, p.dtype))


@lru_cache(maxsize=32)
def _remembered(values: bytes, char: str, sizes: Ints, asked: tuple[int, np.dtype]) -> list[Term] | None:
    return _taken_apart(np.frombuffer(values, char).reshape(sizes).astype(np.float64), *asked)


@np.errstate(over="ignore", under="ignore")
def _taken_apart(kernels: np.ndarray, most: int, dtype: np.dtype) -> list[Term] | None:
    axes = kernels.ndim - 1
    peaks = np.abs(kernels).reshape(len(kernels), -1).max(1)
    if not (np.isfinite(peaks).all() and peaks.all()):
        return None
    # brought to a magnitude of one, so that no square overflows
    exponents = np.frexp(peaks)[1].reshape(-1, *(1,) * axes)
    if _is_full(kernels, most, dtype):
        return None
    rest: np.ndarray = np.ldexp(kernels, -exponents)
    found: list[Term] = []
    limit = TOLERANCE * float(np.finfo(dtype).eps) * _norms(rest)
    for _ in range(most if axes == 2 else min(most, 1)):
        term = _cross(rest)
        found.append(term)
        rest = rest - _product(term)
        if (_norms(rest) <= limit).all():
            scale = exponents.reshape(-1, 1)
            balanced = [_balanced((np.ldexp(first, scale), *others), dtype) for first, *others in found]
            return balanced if _agree(kernels, balanced) else None
    return None


def _is_full(kernels: np.ndarray, most: int, dtype: np.dtype) -> bool:
    """A cheap no: the singular values of a part of a matrix are bounds of those of the matrix."""
    few = tuple(slice(k % 4 // 2, None, -(-k // 4)) for k in kernels.shape[1:])
    part = kernels[(slice(None), *few)].reshape(
        len(kernels), len(range(*few[0].indices(kernels.shape[1]))), -1
    )
    if min(part.shape[1:]) <= most:
        return False
    values = np.linalg.svd(part, compute_uv=False)
    return bool((values[:, most] > TOLERANCE * np.finfo(dtype).eps * _norms(kernels)).any())


def _norms(kernels: np.ndarray) -> np.ndarray:
    """2-norms."""
    flat = kernels.reshape(len(kernels), -1)
    found: np.ndarray = np.sqrt(np.einsum("ij,ij->i", flat, flat))
    return found


def _cross(kernels: np.ndarray) -> Term:
    """The lines through the largest element of each kernel, all but the first over that element."""
    each = np.arange(len(kernels))
    where = np.unravel_index(np.abs(kernels).reshape(len(kernels), -1).argmax(1), kernels.shape[1:])
    peak = kernels[(each, *where)]
    peak = np.where(peak == 0, 1, peak)[:, None]
    lines = []
    for axis in range(len(where)):
        line = kernels[(each, *where[:axis], slice(None), *where[axis + 1 :])]
        lines.append(line if axis == 0 else line / peak)
    return tuple(lines)


def _product(term: Term) -> np.ndarray:
    found = term[0]
    for line in term[1:]:
        found = found[..., None] * line.reshape(len(line), *(1,) * (found.ndim - 1), -1)
    return found


def _balanced(term: Term, dtype: np.dtype) -> Term:
    """The same product with its magnitude, but for powers of two, in the first factor; rounded to `dtype`."""
    first, *others = term
    scaled = []
    for line in others:
        exponent = np.frexp(np.abs(line).sum(1, keepdims=True))[1]
        scaled.append(np.ldexp(line, -exponent).astype(dtype))
        first = np.ldexp(first, exponent)
    return (first.astype(dtype), *scaled)


def _agree(kernels: np.ndarray, terms: list[Term]) -> bool:
    """Whether the factors are finite, and a single product zero where the kernel is and nowhere else."""
    if not all(np.isfinite(line).all() for term in terms for line in term):
        return False
    if len(terms) > 1:
        return True
    return bool(((kernels != 0) == _product(tuple(line != 0 for line in terms[0]))).all())
