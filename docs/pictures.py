"""Draw the pictures of conventions.md: ``python docs/pictures.py`` rewrites docs/pictures/*.svg."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

FOLDER = Path(__file__).with_name("pictures")
SAMPLE, OUTSIDE, WINDOW, RESULT = "#dbe7f3", "white", "#f2b56b", "#c9e4ca"


def cells(axes, row, first, labels, color, **style):
    """A row of unit squares whose left one stands at `first`."""
    for i, label in enumerate(labels):
        axes.add_patch(Rectangle((first + i, -row), 1, 0.8, facecolor=color, edgecolor="0.3", **style))
        axes.text(first + i + 0.5, -row + 0.4, label, ha="center", va="center", fontsize=9)


def canvas(left, right, rows):
    figure = Figure(figsize=((right - left) * 0.42, rows * 0.42), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(left, right), ylim=(-rows + 0.9, 1.0), aspect="equal")
    axes.set_axis_off()
    return figure, axes


def say(axes, row, text, x):
    axes.text(x, -row + 0.4, text, ha="left", va="center", fontsize=9)


def modes(n=6, k=3):
    """Which sums each mode keeps, and the window of the first of them."""
    figure, axes = canvas(-7.2, n + k, 7.2)
    say(axes, 0, "input", -7)
    cells(axes, 0, -(k - 1), "0" * (k - 1), OUTSIDE, linestyle="--")
    cells(axes, 0, 0, [f"x{i}" for i in range(n)], SAMPLE)
    cells(axes, 0, n, "0" * (k - 1), OUTSIDE, linestyle="--")
    say(axes, 1.2, "kernel, turned round", -7)
    cells(axes, 1.2, -(k - 1), [f"w{k - 1 - i}" for i in range(k)], WINDOW)
    say(axes, 1.2, "slides to the right", 1.4)
    kept = {"full": (0, n + k - 1), "same": ((k - 1) // 2, n), "valid": (k - 1, n - k + 1)}
    for row, (mode, (start, count)) in enumerate(kept.items()):
        say(axes, 2.8 + 1.2 * row, f"{mode}: {count} sums", -7)
        cells(axes, 2.8 + 1.2 * row, start - (k - 1) / 2, [f"y{start + i}" for i in range(count)], RESULT)
    return figure


def same_even(n=8, k=4, i=3):
    """The samples that output i of a same-size result reads, for an even kernel."""
    figure, axes = canvas(-0.2, n + 11, 5.4)
    say(axes, 0, "input", n + 0.6)
    cells(axes, 0, 0, [f"x{j}" for j in range(n)], SAMPLE)
    cells(axes, 1.2, i, [f"y{i}"], RESULT)
    say(axes, 1.2, f"one output; kernel of {k} taps reads", n + 0.6)
    for row, (lo, text) in enumerate(
        [
            (k // 2, "scipy and numpy same, jax SAME_LOWER"),
            ((k - 1) // 2, "scipy correlate2d, jax SAME, torch same"),
        ]
    ):
        cells(axes, 2.4 + 1.2 * row, i - lo, [f"x{i - lo + j}" for j in range(k)], WINDOW)
        say(axes, 2.4 + 1.2 * row, text, n + 0.6)
    return figure


def lags(n=6, k=3):
    """Which lag each place of a correlation holds."""
    figure, axes = canvas(-4.2, n + k + 0.2, 3.8)
    for row, (mode, (start, count)) in enumerate(
        {"full": (0, n + k - 1), "same": ((k - 1) // 2, n), "valid": (k - 1, n - k + 1)}.items()
    ):
        say(axes, 1.2 * row, f"lags of {mode}", -4)
        cells(axes, 1.2 * row, start, [f"{start + i - (k - 1)}" for i in range(count)], RESULT)
    return figure


def main():
    matplotlib.rcParams["svg.hashsalt"] = "fftconv"
    matplotlib.rcParams["svg.fonttype"] = "none"
    FOLDER.mkdir(exist_ok=True)
    for draw in (modes, same_even, lags):
        draw().savefig(FOLDER / f"{draw.__name__}.svg", metadata={"Date": None}, bbox_inches="tight")


if __name__ == "__main__":
    main()
