"""Measures the errors in ``accuracy.md`` and writes its table again: ``python docs/accuracy.py``.

Noise is convolved by every method in every dtype, and compared at up to 500 outputs with sums in long double.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import fftconv as fc

PAGE = Path(__file__).with_name("accuracy.md")
BEGIN, END = "<!-- measured errors -->", "<!-- end of measured errors -->"
DTYPES = ("float32", "float64", "complex64", "complex128")
SQUARES = [(32, 5), (100, 9), (316, 15), (1000, 15)]
# by dimensions: methods, and lengths of the sides of the signal with those of the kernel
CASES = {
    "1-d": (
        ("direct", "fft", "overlap_save"),
        [(10, 3), (100, 31), (1000, 101), (10_000, 1001), (100_000, 1001), (1_000_000, 1001)],
    ),
    "2-d": (("direct", "band", "jit", "fft", "overlap_save"), SQUARES),
    # two kernels in one dimension, of which the kernel is the product
    "2-d, products": (("separable", "direct", "fft", "overlap_save"), SQUARES),
}


def noise(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if dtype[0] == "c" else a).astype(dtype)


def at_some(x: np.ndarray, w: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Where, the sums there of the valid convolution, and the same sums with magnitudes, in long double."""
    shape = tuple(n - k + 1 for n, k in zip(x.shape, w.shape, strict=True))
    count = min(500, int(np.prod(shape)))
    places = np.unravel_index(np.linspace(0, np.prod(shape) - 1, count).astype(int), shape)
    wide = np.clongdouble if x.dtype.kind == "c" else np.longdouble
    taps = np.flip(w).astype(wide)
    windows = [
        x[tuple(slice(a, a + k) for a, k in zip(at, w.shape, strict=True))]
        for at in zip(*places, strict=True)
    ]
    sums = np.array([(v.astype(wide) * taps).sum() for v in windows])
    magnitudes = np.array([(np.abs(v) * np.abs(taps)).sum() for v in windows])
    return places, sums, magnitudes


def cell(x: np.ndarray, w: np.ndarray, method: str, truth: tuple) -> str:
    """Relative error in the 2-norm, and the largest error as a part of its bound."""
    places, sums, magnitudes = truth
    try:
        plan = fc.explain(x, w, "valid", method=method)
    except ValueError:
        return "-"
    error = np.abs(fc.convolve(x, w, "valid", method=method)[places] - sums)
    bound = plan.chosen.error * magnitudes if method in ("direct", "band", "jit") else plan.bound
    relative = np.sqrt((error**2).sum() / (np.abs(sums) ** 2).sum())
    return f"{float(relative):.1e} ({float((error / bound).max()):.0e})"


def table() -> str:
    lines = []
    for kind, (methods, sizes) in CASES.items():
        ndim = int(kind[0])
        lines += [
            f"| {kind} | dtype | {' | '.join(methods)} |",
            f"|---|---|{'---|' * len(methods)}",
        ]
        for n, k in sizes:
            for dtype in DTYPES:
                x, w = noise((n,) * ndim, dtype, 1), noise((k,) * ndim, dtype, 2)
                if "products" in kind:
                    w = np.outer(noise((k,), dtype, 2), noise((k,), dtype, 3))
                truth = at_some(x, w)
                cells = " | ".join(cell(x, w, method, truth) for method in methods)
                sides = " x ".join([str(n)] * ndim), " x ".join([str(k)] * ndim)
                lines.append(f"| {sides[0]} by {sides[1]} | {dtype} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
