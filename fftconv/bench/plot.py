"""Time of each peer over ours, over the length of the kernel. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fftconv.bench.peers import PEERS
from fftconv.bench.rows import Row, TimedRow

Curve = tuple[str, str]
SUFFIXES = (".png", ".svg", ".pdf")


def curves(rows: Sequence[Row]) -> dict[Curve, list[TimedRow]]:
    """Rows by curve and dtype, ascending in kernel length; single points are no curve."""
    found: dict[Curve, list[TimedRow]] = {}
    for row in rows:
        if isinstance(row, TimedRow) and row.curve:
            found.setdefault((row.curve, row.dtype), []).append(row)
    return {
        key: sorted(points, key=lambda row: row.kernel) for key, points in found.items() if len(points) > 1
    }


def check(path: Path, curves_of: Mapping[str, int]) -> None:
    """Refuse what could not be drawn: `curves_of` counts the points that every curve is going to have.

    Raises
    ------
    ValueError
        If `path` is no kind of picture, no curve has two points, or matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"a plot must be one of {', '.join(SUFFIXES)}; got {str(path)!r}")
    if find_spec("matplotlib") is None:
        raise ValueError('the plot needs matplotlib: pip install "fftconv[plot]"')
    if max(curves_of.values(), default=0) < 2:
        raise ValueError(
            "there is no curve over kernel lengths in these groups; 1d, 2d, 3d, batch and general have one"
        )


def plot(path: Path, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
    """Draw one panel per curve and dtype of rows that passed `check`."""
    from matplotlib.figure import Figure

    panels = curves(rows)
    across = 2 if len(panels) > 1 else 1
    down = -(-len(panels) // across)
    figure = Figure(figsize=(6.5 * across, 0.9 + 3.4 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for panel, (key, points) in zip(axes, panels.items(), strict=False):
        _draw(panel, key, points)
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    figure.suptitle(
        "How many times as long as fftconv each library takes (above the line 1: fftconv is faster)\n"
        + _caption(facts),
        fontsize="medium",
    )
    figure.savefig(path, dpi=120)


def _draw(panel: Any, key: Curve, points: Sequence[TimedRow]) -> None:
    from matplotlib.ticker import LogLocator

    for i, name in enumerate(PEERS):
        measured = [(row.kernel, ratio) for row in points if (ratio := row.ratio(name)) is not None]
        if measured:
            panel.plot(*zip(*measured, strict=True), marker="o", markersize=4, color=f"C{i}", label=name)
    panel.axhline(1, color="0.2", linewidth=1)
    panel.set(
        xscale="log", yscale="log", xlabel="kernel length along an axis", ylabel="time / time of fftconv"
    )
    kernels = [row.kernel for row in points]
    panel.set_xticks(kernels, map(str, kernels), rotation=30 if kernels[-1] > 999 else 0, fontsize="small")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    panel.grid(True, color="0.9")
    panel.set_title(", ".join(key), loc="left", fontsize="medium")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(fontsize="small", frameon=False)


def _caption(facts: Mapping[str, Any]) -> str:
    threads = ", ".join(f"{name} {count}" for name, count in facts["threads"].items())
    return (
        f"{facts['processors']} processors, threads: fftconv {facts['workers']}, {threads}; "
        "minimum of alternating calls"
    )
