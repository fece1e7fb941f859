"""Measures the errors in ``accuracy.md`` and writes its table again: ``python docs/accuracy.py``.

Noise is convolved by every method in every dtype, and compared at up to 500 outputs with sums that Python's integers
hold exactly: a floating-point number is an integer times a power of two, and long double leaves no wider type to
compare with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fftconv as fc
from fftconv.core.plan import SUMS, ConvPlan

PAGE = Path(__file__).with_name("accuracy.md")
BEGIN, END = "<!-- measured errors -->", "<!-- end of measured errors -->"
FLOATS = ("float32", "float64", "longdouble", "complex64", "complex128", "clongdouble")
INTEGERS = ("uint8", "int32", "int64")
LINES = ((10, 3), (100, 31), (1000, 101), (10_000, 1001), (100_000, 1001), (1_000_000, 1001))
SQUARES = ((32, 5), (100, 9), (316, 15), (1000, 15))
# Operands times two to this power are integers, whatever noise of unit variance and products of two are.
SCALE = 200


@dataclass(frozen=True)
class Case:
    """One part of the table: lengths of the sides of the signal with those of the kernel, and who convolves them."""

    name: str
    ndim: int
    methods: tuple[str, ...]
    dtypes: tuple[str, ...] = FLOATS
    dilation: int = 1
    product: bool = False

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return LINES if self.ndim == 1 else SQUARES

    def operands(self, n: int, k: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        x, w = noise((n,) * self.ndim, dtype, 1), noise((k,) * self.ndim, dtype, 2)
        return x, np.outer(noise((k,), dtype, 2), noise((k,), dtype, 3)) if self.product else w

    def convolve(self, x: np.ndarray, w: np.ndarray, method: str) -> np.ndarray:
        if self.dilation == 1:
            return fc.convolve(x, w, "valid", method=method)
        ones = (1,) * self.ndim
        samples, taps = x[None, None], np.flip(w)[None, None]
        dilation = (self.dilation,) * self.ndim
        return fc.lax.conv_general_dilated(
            samples, taps, ones, [(0, 0)] * self.ndim, lhs_dilation=dilation, method=method
        )[0, 0]

    def plan(self, x: np.ndarray, w: np.ndarray, method: str) -> ConvPlan:
        if self.dilation == 1:
            return fc.explain(x, w, "valid", method=method)
        return fc.explain(lambda: self.convolve(x, w, method))


CASES = (
    Case("1-d", 1, ("direct", "fft", "overlap_save")),
    Case("2-d", 2, ("direct", "band", "jit", "fft", "overlap_save")),
    Case("2-d, products", 2, ("separable", "direct", "fft", "overlap_save"), product=True),
    Case("1-d, input dilated by 2", 1, ("direct", "band", "jit", "fft", "overlap_save"), dilation=2),
    Case("2-d, input dilated by 2", 2, ("direct", "band", "jit", "fft", "overlap_save"), dilation=2),
    Case("1-d, integers", 1, ("direct", "jit", "fft", "overlap_save"), INTEGERS),
    Case("2-d, integers", 2, ("direct", "jit", "fft", "overlap_save"), INTEGERS),
)


def noise(shape: tuple[int, ...], name: str, seed: int) -> np.ndarray:
    """Noise of unit variance that fills every mantissa, or integers of the whole range."""
    rng, dtype = np.random.default_rng(seed), np.dtype(name)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)

    def real() -> np.ndarray:
        return rng.standard_normal(shape) + rng.standard_normal(shape) * np.longdouble(2) ** -52

    return (real() + 1j * real() if dtype.kind == "c" else real()).astype(dtype)


def exact(a: np.ndarray) -> tuple[np.ndarray, ...]:
    """Real and, of complex numbers, imaginary part as Python's integers: of floats times ``2**SCALE``."""
    if a.dtype.kind in "iu":
        return (a.astype(object),)
    if a.dtype.kind == "c":
        return exact(a.real) + exact(a.imag)
    scaled = np.ldexp(a.astype(np.longdouble), SCALE)
    assert (scaled == np.rint(scaled)).all()
    return (np.array([int(v) for v in scaled.reshape(-1)], object).reshape(a.shape),)


@dataclass(frozen=True)
class Truth:
    """Some outputs: where they are, their exact sums (of floats times ``4**SCALE``), and those of magnitudes."""

    places: tuple[np.ndarray, ...]
    sums: tuple[np.ndarray, ...]
    magnitudes: np.ndarray


def truth(x: np.ndarray, w: np.ndarray, dilation: int) -> Truth:
    """The valid convolution of the dilated `x` at up to 500 outputs."""
    spread = np.zeros([dilation * (n - 1) + 1 for n in x.shape], x.dtype)
    spread[(slice(None, None, dilation),) * x.ndim] = x
    views = np.lib.stride_tricks.sliding_window_view(spread, w.shape)
    shape = views.shape[: x.ndim]
    count = min(500, int(np.prod(shape)))
    places = np.unravel_index(np.linspace(0, np.prod(shape) - 1, count).astype(int), shape)
    windows, taps = views[places].reshape(count, -1), np.flip(w).reshape(-1)
    (a, *ai), (b, *bi) = exact(windows), exact(taps)
    sums = (a @ b - ai[0] @ bi[0], a @ bi[0] + ai[0] @ b) if ai else (a @ b,)
    magnitudes = np.abs(windows.astype("D")) @ np.abs(taps.astype("D"))
    return Truth(places, sums, magnitudes)


def cell(case: Case, x: np.ndarray, w: np.ndarray, method: str, wanted: Truth) -> str:
    """Relative error in the 2-norm, and the largest error as a part of its bound; of integers the largest error."""
    try:
        plan = case.plan(x, w, method)
    except ValueError:
        return "-"
    found = exact(case.convolve(x, w, method)[wanted.places])
    if x.dtype.kind in "iu":
        wraps = 2 ** (8 * x.dtype.itemsize)
        largest = max((f - s) % wraps for f, s in zip(found[0], wanted.sums[0], strict=True))
        limbs = plan.chosen.limbs
        return f"{largest}" + ("" if limbs is None else f", {limbs.count[0]} x {limbs.count[1]} limbs")
    parts = zip(found, wanted.sums, strict=True)
    error = np.hypot.reduce([((f * 2**SCALE - s) / 4**SCALE).astype(float) for f, s in parts])
    scale = np.hypot.reduce([(s / 4**SCALE).astype(float) for s in wanted.sums])
    bound = plan.chosen.error * wanted.magnitudes if method in SUMS else plan.bound
    relative = np.linalg.norm(error) / np.linalg.norm(scale)
    return f"{relative:.1e} ({(error / bound).max():.0e})"


def column(case: Case, method: str) -> str:
    """The method, and whether it answers a dilated problem as several dense ones."""
    plan = case.plan(*case.operands(*case.sizes[0], case.dtypes[0]), method)
    return f"{method} by phases" if plan.chosen.by_phases else method


def table() -> str:
    lines = []
    for case in CASES:
        lines += [
            f"| {case.name} | dtype | {' | '.join(column(case, method) for method in case.methods)} |",
            f"|---|---|{'---|' * len(case.methods)}",
        ]
        for n, k in case.sizes:
            for dtype in case.dtypes:
                x, w = case.operands(n, k, dtype)
                wanted = truth(x, w, case.dilation)
                cells = " | ".join(cell(case, x, w, method, wanted) for method in case.methods)
                sides = " x ".join([str(n)] * case.ndim), " x ".join([str(k)] * case.ndim)
                lines.append(f"| {sides[0]} by {sides[1]} | {dtype} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
