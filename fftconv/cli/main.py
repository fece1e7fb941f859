"""The commands of `fftconv`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

import fftconv
from fftconv.cli import files, smoothing
from fftconv.cli.arguments import by, check_kernel_axes, parse_axes, read_kernel, scaled_to_one, shaped
from fftconv.cli.formats import Recording
from fftconv.cli.group import OneLineErrors
from fftconv.cli.progress import progress

MODES = click.Choice(["full", "same", "valid"])
FILE = click.Path(path_type=Path)

source_argument = click.argument("source", metavar="IN", type=FILE)
kernel_argument = click.argument("kernel", metavar="KERNEL")
axes_option = click.option(
    "--axes", metavar="0,1", help="Axes to work along; default: those of space or time."
)
workers_option = click.option("--workers", type=click.IntRange(min=1), help="Threads to use at most.")


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """``-o`` and ``--force``, which every command that writes a file has."""
    command = click.option("--force", is_flag=True, help="Replace OUT where it exists.")(command)
    return click.option("-o", "--output", metavar="OUT", type=FILE, required=True, help="File to write.")(
        command
    )


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fftconv.__version__, prog_name="fftconv")
def cli() -> None:
    """Convolve, smooth and denoise recordings, pictures and volumes.

    Files are .npy, .wav, .flac, .png, .jpg, .tif or .h5; .zarr is read. A picture's colours, a recording's channels and
    a stack's frames are each treated alone. The output keeps the input's sample type, rounded and clipped where it is
    an integer type; a .npy or .h5 file holds the result unrounded.

    KERNEL is a file or one of gauss:sigma=S, box:N, triangle:N, hann:N, hamming:N, which have a sum of 1 and spread
    along every axis of space or time.
    """


@cli.command()
@source_argument
@kernel_argument
@output_options
@click.option("--mode", type=MODES, default="same", show_default=True, help="Size of the result.")
@click.option(
    "--method", default="auto", show_default=True, help="Algorithm, as `fftconv explain` lists them."
)
@click.option("--normalize", is_flag=True, help="Scale the kernel to a sum of 1.")
@axes_option
@workers_option
def convolve(
    source: Path,
    kernel: str,
    output: Path,
    force: bool,
    mode: str,
    method: str,
    normalize: bool,
    axes: str | None,
    workers: int | None,
) -> None:
    """Convolve IN with KERNEL; zeros lie outside IN."""

    def work(recording: Recording, along: tuple[int, ...]) -> np.ndarray:
        weights = read_kernel(kernel, recording, along)
        if normalize:
            weights = scaled_to_one(weights)
        placed = smoothing.place(weights, recording.data.ndim, along)
        result: np.ndarray = fftconv.convolve(
            recording.data, placed, mode, method, axes=along, workers=workers
        )
        return result

    transform(source, output, force, axes, work)


@cli.command()
@source_argument
@output_options
@click.option("-k", "--kernel", default="gauss:sigma=2", show_default=True, help="Weights of the mean.")
@axes_option
@workers_option
def smooth(
    source: Path, output: Path, force: bool, kernel: str, axes: str | None, workers: int | None
) -> None:
    """Running weighted mean of IN; at the edges, of what lies inside."""

    def work(recording: Recording, along: tuple[int, ...]) -> np.ndarray:
        weights = read_kernel(kernel, recording, along)
        if not (np.isrealobj(weights) and weights.min() >= 0 and 0 < weights.max() < np.inf):
            raise click.UsageError(
                f"smoothing needs a kernel of finite weights, none negative and not all zero, got {kernel}"
            )
        return smoothing.smooth(recording.data, scaled_to_one(weights), along, workers)

    transform(source, output, force, axes, work)


@cli.command()
@source_argument
@output_options
@click.option(
    "--sigma", type=click.FloatRange(min=0, min_open=True), help="Width in samples; default: by the noise."
)
@axes_option
@workers_option
def denoise(
    source: Path, output: Path, force: bool, sigma: float | None, axes: str | None, workers: int | None
) -> None:
    """Gaussian denoising of IN, as strong as its noise asks for."""

    def work(recording: Recording, along: tuple[int, ...]) -> np.ndarray:
        if np.iscomplexobj(recording.data):
            raise click.UsageError("denoise needs real samples, got complex ones")
        data = recording.data if recording.data.dtype.kind == "f" else recording.data.astype(np.float64)
        if sigma is not None:
            kernel = smoothing.gaussian(sigma, len(along), data.dtype)
            return smoothing.smooth(data, kernel, along, workers)
        if not np.isfinite(data).all():
            raise click.UsageError(
                "noise is estimated from finite samples, got NaN or infinity; --sigma needs none"
            )
        if all(data.shape[axis] < smoothing.ESTIMABLE for axis in along):
            raise click.UsageError(
                f"noise is estimated from an axis of {smoothing.ESTIMABLE} samples or more, got "
                f"{by(data.shape)} along {list(along)}; --sigma needs none"
            )
        result = smoothing.denoise(data, along, workers)
        click.echo(
            f"noise about {result.noise:.3g}, Gaussian of sigma {result.sigma:g}, "
            f"expected error {result.expected_error:.3g}"
        )
        return result.values

    transform(source, output, force, axes, work)


@cli.command()
@click.argument("source", metavar="IN")
@kernel_argument
@click.option("--mode", type=MODES, default="same", show_default=True, help="Size of the result.")
@click.option("--dtype", default="float64", show_default=True, help="Sample type, where IN is a shape.")
@axes_option
@workers_option
def explain(source: str, kernel: str, mode: str, dtype: str, axes: str | None, workers: int | None) -> None:
    """Print how IN would be convolved with KERNEL, and why so.

    Either may also be a shape: fftconv explain 4096x4096 101x101
    """
    shape = shaped(source, dtype)
    if shape is None and not Path(source).suffix:
        raise click.UsageError(f"IN: expected a file or a shape like 640x480, got {source!r}")
    recording = shape or files.read(Path(source))
    along = parse_axes(axes, recording)
    given = shaped(kernel, recording.data.dtype.name)
    weights = given.data if given else read_kernel(kernel, recording, along)
    check_kernel_axes(weights, recording, along)
    placed = smoothing.place(weights, recording.data.ndim, along)
    if shape:
        plan = fftconv.explain(shape.data.shape, placed.shape, mode, axes=along, workers=workers, dtype=dtype)
    else:
        plan = fftconv.explain(recording.data, placed, mode, axes=along, workers=workers)
    click.echo(str(plan))


@cli.command()
def info() -> None:
    """Print versions, the FFT engine in use and the number of workers."""
    fftconv.show_config()


@cli.command()
@click.option(
    "-o",
    "--output",
    "folder",
    type=FILE,
    default=Path("fftconv-demo"),
    show_default=True,
    help="Folder for figures.",
)
def demo(folder: Path) -> None:
    """Smooth a real electrocardiogram and denoise a real photograph.

    Both come with the package. Figures of an earlier run in the same folder are replaced.
    """
    from fftconv.cli.demo import run

    run(folder)


@cli.command()
@click.argument("groups", metavar="[GROUP]...", nargs=-1)
@click.option("--dtype", type=click.Choice(["float64", "float32", "both"]), default="both", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Threads a side.")
@click.option("--seconds", type=float, default=3.0, show_default=True, help="Time for a row.")
@click.option("--peer", "peers", multiple=True, help="Measure against this library only; may be repeated.")
@click.option("--only", metavar="TEXT", default="", help="Measure only cases whose name holds TEXT.")
@click.option("--json", "json_file", metavar="FILE", type=FILE, help="Write all numbers to FILE.")
@click.option("--plot", "plot_file", metavar="FILE", type=FILE, help="Draw ratios over kernel lengths.")
@click.option("--markdown", "page", metavar="FILE", type=FILE, help="Rewrite the tables of this page.")
def bench(groups: tuple[str, ...], **options: Any) -> None:
    """Measure fftconv against the libraries that are installed here.

    GROUP is 1d, 2d, 3d, batch, general, small, first-call, limit, prepared, workers, signs, separable,
    regret or memory; default all of them.
    Both sides run in turns, and the fastest call of each counts. A ratio above 1 means that fftconv is faster.
    """
    from fftconv.bench.command import run

    run(groups, **options)


@cli.command()
@click.option(
    "--seconds", type=float, default=40.0, show_default=True, help="About how long to measure, wisdom aside."
)
@click.option(
    "--wisdom", is_flag=True, help="Let FFTW measure its plans for common tiles too: a minute more."
)
@click.option(
    "-o", "--output", metavar="FILE", type=FILE, help="Write here; default: where it is looked for."
)
@click.option("--dry-run", is_flag=True, help="Measure and print, but write nothing.")
@click.option("--show", is_flag=True, help="Print every time, as measured and as fitted.")
def tune(seconds: float, wisdom: bool, output: Path | None, dry_run: bool, show: bool) -> None:
    """Measure this machine, so that predictions and choices fit it.

    The profile is looked for where the variable FFTCONV_PROFILE says (off for nowhere), else in your cache folder. Let
    the machine do nothing else meanwhile. To go back, delete the file.
    """
    if output:
        files.check_place(output)
    found = fftconv.tune(output, seconds=seconds, wisdom=wisdom, write=not dry_run, say=click.echo)
    click.echo(f"{found.table}\n{found}" if show else str(found))


def transform(
    source: Path,
    output: Path,
    force: bool,
    axes: str | None,
    work: Callable[[Recording, tuple[int, ...]], np.ndarray],
) -> None:
    """Read `source`, apply `work` along its axes, write `output` and say so."""
    files.check_output(output, force)
    recording = files.read(source)
    along = parse_axes(axes, recording)
    start = time.perf_counter()
    with progress(f"working on {source.name} ({by(recording.data.shape)})"):
        values = work(recording, along)
    seconds = time.perf_counter() - start
    files.write(output, values, recording, force)
    click.echo(f"{click.format_filename(output)}: {by(values.shape)} in {seconds:.3g} s")
