"""What the words of the command line mean: axes, kernels and shapes, checked against the recording."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from fftconv.cli import files, kernels
from fftconv.cli.formats import FORMATS, Recording


def parse_axes(text: str | None, recording: Recording) -> tuple[int, ...]:
    """``0,1`` as the axes of `recording`, or its own where nothing was asked."""
    if text is None:
        return recording.axes
    ndim = recording.data.ndim
    try:
        axes = [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--axes: expected whole numbers like 0,1, got {text!r}") from None
    along = sorted({axis % ndim for axis in axes if -ndim <= axis < ndim})
    if len(along) != len(axes):
        raise click.UsageError(
            f"--axes: expected different axes from {-ndim} to {ndim - 1} "
            f"(input {by(recording.data.shape)}), got {text}"
        )
    return tuple(along)


def read_kernel(text: str, recording: Recording, along: tuple[int, ...]) -> np.ndarray:
    """The kernel named or stored as `text`, with one axis per entry of `along`."""
    path = Path(text or "-")
    if path.suffix.lower() in FORMATS or path.exists():
        weights = files.read(path).data
        check_kernel_axes(weights, recording, along)
        return weights
    single = recording.data.dtype in (np.float32, np.complex64)
    product = kernels.outer([kernels.taps(text)] * len(along))
    return product.astype(np.float32 if single else np.float64, copy=False)


def check_kernel_axes(weights: np.ndarray, recording: Recording, along: tuple[int, ...]) -> None:
    if weights.ndim != len(along):
        raise click.UsageError(
            f"the kernel needs one axis for each of the input's axes {list(along)} (input {by(recording.data.shape)}), "
            f"got a kernel of {by(weights.shape)}"
        )


def scaled_to_one(weights: np.ndarray) -> np.ndarray:
    """`weights` divided by their sum."""
    total = weights.sum()
    if not np.isfinite(total) or abs(total) <= 1e-9 * np.abs(weights).sum():
        raise click.UsageError(f"cannot scale the kernel to a sum of 1: its sum is {total:g}")
    return np.asarray(weights / total, np.result_type(weights.dtype, np.float32))


def shaped(text: str, dtype: str) -> Recording | None:
    """An array of that shape that takes no memory, where `text` is a shape like 640x480."""
    parts = text.lower().split("x")
    if not all(part.isascii() and part.isdigit() and part.strip("0") for part in parts):
        return None
    try:
        zero = np.zeros((), dtype)
    except TypeError:
        raise click.UsageError(f"--dtype: expected a name like float32, got {dtype!r}") from None
    if zero.dtype.kind not in "buifc" or zero.ndim:
        raise click.UsageError(f"--dtype: expected a type of numbers like float32, got {dtype!r}")
    try:
        np.broadcast_to(zero, (1,) * len(parts))
    except ValueError as error:
        raise click.UsageError(f"{text}: {error}") from None
    try:
        data = np.broadcast_to(zero, tuple(map(int, parts)))
    except ValueError:
        raise click.UsageError(f"{text}: an array of that shape is larger than any memory") from None
    return Recording(data, tuple(range(data.ndim)), data.dtype)


def by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
