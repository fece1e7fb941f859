"""Even out the lighting of a photograph with a kernel half as large as the picture.

Run it as ``python examples/large_kernel_background.py [FOLDER]``; with matplotlib it leaves a figure in FOLDER.
"""

import sys
from pathlib import Path

import numpy as np

import fftconv
from fftconv.data import photograph


def disc(radius):
    """Equal weights within a circle: a kernel that is no product of two one-dimensional ones."""
    t = np.arange(-radius, radius + 1)
    kernel = (t[:, None] ** 2 + t**2 <= radius**2).astype(float)
    return kernel / kernel.sum()


def main(folder=Path("fftconv-examples")):
    picture = photograph().astype(float)
    kernel = disc(120)

    print(fftconv.explain(picture, kernel, mode="same"))
    inside = fftconv.convolve(np.ones_like(picture), kernel, mode="same")
    background = fftconv.convolve(picture, kernel, mode="same") / inside
    even = picture - background + background.mean()

    print(f"background from {background.min():.0f} to {background.max():.0f} grey levels")
    for name, values in (("as taken", picture), ("evened out", even)):
        quarters = [q.mean() for half in np.split(values, 2) for q in np.split(half, 2, axis=1)]
        print(f"{name:10}  mean of the four quarters: {' '.join(f'{q:.0f}' for q in quarters)}")
    save_figure(folder, picture, background, even)


def save_figure(folder, *pictures):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(12, 4.4), layout="constrained")
    titles = ("as taken", "background", "evened out")
    for axes, picture, title in zip(figure.subplots(1, 3), pictures, titles, strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title)
        axes.set_axis_off()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "large_kernel_background.png", dpi=120)
    print(f"wrote {folder / 'large_kernel_background.png'}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
