"""Recordings on disk: what cannot be read or written is refused in one sentence; writing is all or nothing."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
import numpy as np

from fftconv.cli.formats import FORMATS, Format, Recording


def read(path: Path) -> Recording:
    """Read any of the known formats."""
    known = _format_of(path)
    if not (path.is_file() or (path.is_dir() and known.write is None)):
        kind = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "no such file"
        raise click.UsageError(f"{path}: {kind}")
    try:
        with _quiet():
            recording = known.read(path)
    except click.UsageError:
        raise
    except Exception as error:
        raise click.UsageError(f"{path}: not a readable {path.suffix} file ({error})") from error
    if recording.data.dtype.kind not in "buifc":
        raise click.UsageError(f"{path}: expected numbers, got samples of type {recording.data.dtype}")
    if recording.data.size == 0 or recording.data.ndim == 0:
        raise click.UsageError(f"{path}: expected samples, got shape {recording.data.shape}")
    return recording


def check_output(path: Path, force: bool) -> None:
    """Refuse an output that could not be written, before any work is done."""
    if _format_of(path).write is None:
        raise click.UsageError(f"{path}: {path.suffix} is read and not written; write a .h5 or .npy file")
    check_place(path)
    if os.path.lexists(path) and not force:
        raise click.UsageError(f"{path}: exists already; --force replaces it")


def check_place(path: Path) -> None:
    """Refuse a path where no file can stand."""
    if not path.parent.is_dir():
        raise click.UsageError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise click.UsageError(f"{path}: is a folder")
    if path.exists() and not path.is_file():
        raise click.UsageError(f"{path}: is no regular file")
    if not os.access(path.parent, os.W_OK):
        raise click.UsageError(f"{path}: the folder {path.parent} is not open for writing")


def write(path: Path, values: np.ndarray, like: Recording, force: bool = False) -> None:
    """Write `values` as `path`, in the sample type of `like` where the format has one of its own."""
    check_output(path, force)
    encode = _format_of(path).write
    assert encode is not None
    try:
        with replacing(path, force) as file, _quiet():
            encode(file, values, like)
    except click.UsageError as error:
        raise click.UsageError(f"{path}: {error.format_message()}") from error


@contextmanager
def replacing(path: Path, force: bool = False) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place when the block ends well, and vanishes when it does not."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=".part")
    except OSError as error:
        raise click.UsageError(f"{path}: no file can be made there ({error.strerror})") from None
    os.close(descriptor)
    try:
        with open(name, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _permissions(path))
        check_output(path, force)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what libraries say on stderr about files that they can make do with; of others they raise."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _permissions(path: Path) -> int:
    """Those of the file that is replaced, or of any new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _format_of(path: Path) -> Format:
    """By the ending of the name; what lies inside a .zarr folder may have any name."""
    if any(parent.suffix.lower() == ".zarr" for parent in path.parents):
        return FORMATS[".zarr"]
    if path.suffix.lower() not in FORMATS:
        raise click.UsageError(f"{path}: expected a file ending in {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]
