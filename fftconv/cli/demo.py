"""``fftconv demo``: the main job on real input, told in a page of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

import fftconv
from fftconv.cli import figures, kernels, smoothing
from fftconv.cli.progress import progress
from fftconv.data import electrocardiogram, photograph

MAINS = 60.0
"""Frequency in hertz of the hum in the recording."""
ADDED_NOISE = 20.0
"""Standard deviation, in grey levels, of the noise that the photograph is given."""
RUNS = 7


def run(folder: Path) -> None:
    """Do both jobs, print what was done and leave figures (or arrays) in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    click.echo(f"fftconv {fftconv.__version__} on real data\n")
    written = [*heartbeat(folder), *picture(folder)]
    if not figures.AVAILABLE:
        click.echo('For figures instead of arrays: pip install "fftconv[plot]"')
    for path in written:
        click.echo(f"wrote {click.format_filename(path)}")
    click.echo("\nYour own: fftconv smooth RECORDING.wav -o SMOOTH.wav, or fftconv --help")


def heartbeat(folder: Path) -> list[Path]:
    """Take mains hum and the wandering base line out of an electrocardiogram, in one convolution."""
    ecg, rate = electrocardiogram()
    kernel = heartbeat_kernel(rate)
    clean = fftconv.convolve(ecg, kernel, mode="same")
    click.echo("1. A heartbeat, without mains hum and wandering base line")
    click.echo(
        f"   {ecg.size / rate / 60:.0f} minutes of electrocardiogram, {ecg.size} samples at {rate:.0f} Hz; one kernel "
        f"of {kernel.size} taps: a short mean less a long one"
    )
    click.echo(
        f"   {MAINS:.0f} Hz hum   {hum(ecg, rate) * 1e3:8.2f} -> {hum(clean, rate) * 1e3:.2f} microvolt"
    )
    click.echo(f"   base line   {drift(ecg, rate) * 1e3:8.0f} -> {drift(clean, rate) * 1e3:.0f} microvolt")
    compare(ecg, kernel, "mV")
    if not figures.AVAILABLE:
        return [_save(folder / "ecg_recorded.npy", ecg), _save(folder / "ecg_smoothed.npy", clean)]
    return [figures.heartbeat(folder / "ecg.png", ecg, clean, rate)]


def heartbeat_kernel(rate: float) -> np.ndarray:
    """A short mean that has its zero at the mains frequency, minus a long one that follows the base line.

    A triangle is a box of one mains period convolved with itself, so that its zeros lie at the mains and all
    its harmonics.
    """
    period = round(rate / MAINS)
    short = kernels.taps(f"triangle:{2 * period - 1}")
    kernel = -kernels.taps(f"gauss:sigma={0.4 * rate}")
    middle = slice((kernel.size - short.size) // 2, (kernel.size + short.size) // 2)
    kernel[middle] += short
    return kernel


def picture(folder: Path) -> list[Path]:
    """Add known noise to a photograph and take out what a Gaussian can."""
    clean = photograph().astype(np.float64)
    noisy = clean + np.random.default_rng(seed=1).normal(0.0, ADDED_NOISE, clean.shape)
    result = smoothing.denoise(noisy, (0, 1))
    kernel = smoothing.gaussian(result.sigma, 2, noisy.dtype)
    click.echo("2. A photograph, denoised")
    click.echo(
        f"   {clean.shape[0]} x {clean.shape[1]} pixels with noise of {ADDED_NOISE:.0f} grey levels added; "
        f"estimated from the picture alone: {result.noise:.1f}"
    )
    click.echo(
        f"   Gaussian of sigma {result.sigma:g} ({kernel.shape[0]} x {kernel.shape[1]} taps), "
        f"chosen without the original"
    )
    click.echo(f"   PSNR        {psnr(noisy, clean):8.2f} -> {psnr(result.values, clean):.2f} dB")
    compare(noisy, kernel, "grey levels")
    if not figures.AVAILABLE:
        return [_save(folder / "photo_noisy.npy", noisy), _save(folder / "photo_denoised.npy", result.values)]
    return [figures.photograph(folder / "photo.png", clean, noisy, result.values)]


def compare(x: np.ndarray, kernel: np.ndarray, unit: str) -> None:
    """Print the plan, the time beside scipy.signal's best and how far the results are apart."""
    from scipy import signal

    rivals = {f.__name__: f for f in (signal.convolve, signal.fftconvolve, signal.oaconvolve)}
    calls = [lambda f=f: f(x, kernel, mode="same") for f in (fftconv.convolve, *rivals.values())]
    with progress("timing"):
        ours, *theirs = alternate(calls)
    name, best = min(zip(rivals, theirs, strict=True), key=lambda named: named[1].seconds)
    for line in str(fftconv.explain(x, kernel, mode="same")).splitlines():
        click.echo(f"   | {line}")
    click.echo(f"   time        {ours.seconds * 1e3:8.2f} ms")
    click.echo(
        f"   scipy's     {best.seconds * 1e3:8.2f} ms, best of convolve, fftconvolve and oaconvolve ({name}): "
        f"{verdict(best.seconds / ours.seconds)}"
    )
    difference, largest = np.abs(ours.result - best.result).max(), np.abs(best.result).max()
    click.echo(f"   difference  {difference:8.1e} {unit} at most, where the largest value is {largest:.3g}\n")


def verdict(ratio: float) -> str:
    return (
        f"fftconv is {ratio:.1f} times faster" if ratio >= 1 else f"fftconv is {1 / ratio:.1f} times slower"
    )


@dataclass
class Timed:
    """The least time of several runs, and what was computed."""

    result: np.ndarray
    seconds: float = float("inf")


def alternate(calls: Sequence[Callable[[], np.ndarray]]) -> list[Timed]:
    """Run each in turn, several times over, so that no one has the quiet moments to itself."""
    timed = [Timed(call()) for call in calls]
    for _ in range(RUNS):
        for call, best in zip(calls, timed, strict=True):
            start = time.perf_counter()
            call()
            best.seconds = min(best.seconds, time.perf_counter() - start)
    return timed


def hum(x: np.ndarray, rate: float) -> float:
    """Root mean square of what `x` holds within 1 Hz of the mains frequency."""
    spectrum, frequency = np.fft.rfft(x), np.fft.rfftfreq(x.size, 1 / rate)
    near = np.abs(frequency - MAINS) < 1
    return float(np.sqrt(2 * np.sum(np.abs(spectrum[near]) ** 2)) / x.size)


def drift(x: np.ndarray, rate: float) -> float:
    """Standard deviation of the means over two seconds."""
    span = round(2 * rate)
    return float(x[: x.size // span * span].reshape(-1, span).mean(axis=1).std())


def psnr(x: np.ndarray, clean: np.ndarray) -> float:
    """Peak signal to noise ratio in decibel, for a peak of 255."""
    return float(10 * np.log10(255.0**2 / np.mean((x - clean) ** 2)))


def _save(path: Path, values: np.ndarray) -> Path:
    np.save(path, values)
    return path
