"""The figures of the demo, where matplotlib is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AVAILABLE = find_spec("matplotlib") is not None
SHOWN_SECONDS = (60.0, 68.0)


def heartbeat(path: Path, recorded: np.ndarray, smoothed: np.ndarray, rate: float) -> Path:
    """Eight seconds of the recording, before and after."""
    figure = _figure(9, 5)
    time = np.arange(recorded.size) / rate
    shown = slice(*(round(second * rate) for second in SHOWN_SECONDS))
    upper, lower = figure.subplots(2, 1, sharex=True, sharey=True)
    upper.plot(time[shown], recorded[shown], color="0.45", linewidth=0.8)
    upper.set_title("as recorded", loc="left", fontsize="medium")
    lower.plot(time[shown], smoothed[shown], color="C0", linewidth=1.0)
    lower.set_title("without hum and base line", loc="left", fontsize="medium")
    lower.set_xlabel("seconds")
    for axes in (upper, lower):
        axes.set_ylabel("millivolt")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    return path


def photograph(path: Path, clean: np.ndarray, noisy: np.ndarray, denoised: np.ndarray) -> Path:
    """The original, the noisy and the denoised picture side by side."""
    figure = _figure(12, 4.4)
    titles = ("original", "with noise added", "denoised")
    for axes, title, pixels in zip(figure.subplots(1, 3), titles, (clean, noisy, denoised), strict=True):
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize="medium")
        axes.set_axis_off()
    figure.savefig(path, dpi=150)
    return path


def _figure(width: float, height: float) -> Figure:
    """A figure that needs no display and leaves matplotlib's state alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
