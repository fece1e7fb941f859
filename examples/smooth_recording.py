"""Smooth a recording: follow and remove the base line of an electrocardiogram, then count its beats.

Run it as ``python examples/smooth_recording.py [FOLDER]``; with matplotlib it leaves a figure in FOLDER.
"""

import sys
from pathlib import Path

import numpy as np

import fftconv
from fftconv.data import electrocardiogram


def gaussian(sigma):
    t = np.arange(-round(4 * sigma), round(4 * sigma) + 1)
    weights = np.exp(-0.5 * (t / sigma) ** 2)
    return weights / weights.sum()


def smooth(x, weights):
    """Running mean; near the ends, of the samples that exist."""
    inside = fftconv.convolve(np.ones_like(x), weights, mode="same")
    return fftconv.convolve(x, weights, mode="same") / inside


def main(folder=Path("fftconv-examples")):
    ecg, rate = electrocardiogram()
    base_line = smooth(ecg, gaussian(0.4 * rate))
    level = ecg - base_line

    # A beat is where the slope is steep: its square, smoothed, has one hump per beat.
    steepness = smooth(np.gradient(level) ** 2, gaussian(0.08 * rate))
    inner, least = steepness[1:-1], 0.15 * np.percentile(steepness, 98)
    humps = (inner > steepness[:-2]) & (inner >= steepness[2:]) & (inner > least)
    beats = np.flatnonzero(humps) + 1

    print(f"{ecg.size} samples, {ecg.size / rate:.0f} s")
    print(f"base line wanders between {base_line.min():.2f} and {base_line.max():.2f} mV")
    print(f"{beats.size} beats, {60 / np.median(np.diff(beats) / rate):.0f} a minute")
    save_figure(folder, ecg, base_line, rate)


def save_figure(folder, ecg, base_line, rate):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.subplots()
    seconds = np.arange(ecg.size) / rate
    axes.plot(seconds, ecg, color="0.6", linewidth=0.6, label="recorded")
    axes.plot(seconds, base_line, color="C3", label="base line")
    axes.set(xlabel="seconds", ylabel="millivolt", xlim=(55, 85))
    axes.legend(loc="upper right")
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "smooth_recording.png", dpi=120)
    print(f"wrote {folder / 'smooth_recording.png'}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
