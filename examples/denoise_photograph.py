"""Denoise a photograph: how wide should the Gaussian be?

Run it as ``python examples/denoise_photograph.py [FOLDER]``; with matplotlib it leaves a figure in FOLDER.
"""

import sys
from pathlib import Path

import numpy as np

import fftconv
from fftconv.data import photograph

NOISE = 20.0


def gaussian(sigma):
    t = np.arange(-round(4 * sigma), round(4 * sigma) + 1)
    weights = np.exp(-0.5 * (t / sigma) ** 2)
    kernel = np.outer(weights, weights)
    return kernel / kernel.sum()


def psnr(picture, original):
    return 10 * np.log10(255**2 / np.mean((picture - original) ** 2))


def main(folder=Path("fftconv-examples")):
    original = photograph().astype(float)
    noisy = original + np.random.default_rng(seed=1).normal(0, NOISE, original.shape)
    inside = np.ones_like(noisy)

    print(f"noisy       {psnr(noisy, original):5.2f} dB")
    results = {}
    for sigma in (0.5, 0.75, 1.0, 1.5, 2.0, 3.0):
        kernel = gaussian(sigma)
        blurred = fftconv.convolve(noisy, kernel, mode="same")
        results[sigma] = blurred / fftconv.convolve(inside, kernel, mode="same")
        print(f"sigma {sigma:4.2f}  {psnr(results[sigma], original):5.2f} dB")

    best = max(results, key=lambda sigma: psnr(results[sigma], original))
    print(f"best: sigma {best}")
    save_figure(folder, noisy, results[best])


def save_figure(folder, noisy, denoised):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(9, 4.7), layout="constrained")
    for axes, picture, title in zip(
        figure.subplots(1, 2), (noisy, denoised), ("noisy", "denoised"), strict=True
    ):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        axes.set_axis_off()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "denoise_photograph.png", dpi=120)
    print(f"wrote {folder / 'denoise_photograph.png'}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
