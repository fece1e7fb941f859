"""The kinds of file: how each is read into a `Recording` and how one is written back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import click
import numpy as np


@dataclass(frozen=True)
class Recording:
    """Samples, and what is needed to write their like again.

    Attributes
    ----------
    data : ndarray
        What to compute with: the samples as they are (arrays), in [-1, 1) (audio), or as floating point (pictures).
    axes : tuple of int
        The axes that carry space or time; channels, colours and frames are the others.
    stored : dtype
        The sample type in the file.
    about : dict
        What the format wants back: sample rate and encoding of audio, axis names of a TIFF.
    """

    data: np.ndarray
    axes: tuple[int, ...]
    stored: np.dtype
    about: dict[str, Any] = field(default_factory=dict)


def as_stored(values: np.ndarray, stored: np.dtype) -> np.ndarray:
    """`values` in the sample type `stored`: rounded and clipped to its range where it is an integer type or bool."""
    if values.dtype.kind == "c" and stored.kind != "c":
        raise click.UsageError(f"the result is complex, the samples are {stored}; write a .npy file")
    if stored.kind not in "uib":
        return values.astype(stored, copy=False)
    _check_finite(values, str(stored))
    low, high = (0, 1) if stored.kind == "b" else (np.iinfo(stored).min, np.iinfo(stored).max)
    if values.dtype.kind == "f":
        values = np.rint(values)
    # as a float, the largest of 64 bits is one too large for them: it cannot be converted, only put in place
    above, below = values >= high, values <= low
    found = np.where(above | below, 0, values).astype(stored)
    found[above], found[below] = high, low
    return found


def _check_finite(values: np.ndarray, stored: str) -> None:
    if not np.isfinite(values).all():
        raise click.UsageError(
            f"the result is NaN or infinite somewhere, the samples are {stored}; write a .npy file"
        )


def _package(name: str, what: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError:
        top = {"PIL": "pillow"}.get(name.split(".")[0], name)
        raise click.UsageError(f'{what} need {top}: pip install "fftconv[io]"') from None


# --- arrays -----------------------------------------------------------------------------------------------


def _read_npy(path: Path) -> Recording:
    with open(path, "rb") as file:  # numpy.load would also take archives and offer to unpickle
        data = np.lib.format.read_array(file, allow_pickle=False)
    return Recording(data, tuple(range(data.ndim)), data.dtype)


def _write_npy(file: BinaryIO, values: np.ndarray, like: Recording) -> None:
    np.save(file, values)


def _only(path: Path, found: list[str]) -> str:
    """The name of the one array in a file of many."""
    if len(found) != 1:
        names = f": {', '.join(sorted(found))}" if found else ""
        raise click.UsageError(f"{path}: expected one array of numbers, got {len(found)}{names}")
    return found[0]


def _holds_numbers(array: Any) -> bool:
    return array.ndim > 0 and np.dtype(array.dtype).kind in "buifc"


def _read_hdf5(path: Path) -> Recording:
    h5py = _package("h5py", f"{path.suffix} files")
    found: list[str] = []

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and _holds_numbers(item):
            found.append(name)

    with h5py.File(path) as file:
        file.visititems(look)
        name = _only(path, found)
        data = np.asarray(file[name])
    return Recording(data, tuple(range(data.ndim)), data.dtype, {"dataset": name})


def _write_hdf5(file: BinaryIO, values: np.ndarray, like: Recording) -> None:
    with _package("h5py", ".h5 files").File(file, "w") as out:
        out[like.about.get("dataset", "data")] = values


def _read_zarr(path: Path) -> Recording:
    """Read an array, or the one array of a group."""
    zarr = _package("zarr", ".zarr folders")
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group):
        arrays = {name: item for name, item in node.members(max_depth=None) if isinstance(item, zarr.Array)}
        node = arrays[_only(path, [name for name, item in arrays.items() if _holds_numbers(item)])]
    data = np.asarray(node[...])
    return Recording(data, tuple(range(data.ndim)), data.dtype)


# --- audio -----------------------------------------------------------------------------------------------

_PCM_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
# What writes into a pipe does not know how much will follow, and gives a size about as large as can be.
_UNKNOWN_SIZE = 2**31 - 2**16


def _check_whole(path: Path, file: BinaryIO) -> None:
    """Refuse a .wav file that ends before its samples do: the reader would take what is there for all."""
    if file.read(12)[::8] != b"RW":
        return
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        there = path.stat().st_size - file.tell()
        if head[:4] == b"data":
            if there < size < _UNKNOWN_SIZE:
                raise click.UsageError(f"{path}: cut short, expected {size} bytes of samples, got {there}")
            return
        file.seek(size + size % 2, 1)


def _read_audio(path: Path) -> Recording:
    soundfile = _package("soundfile", f"{path.suffix} files")
    with open(path, "rb") as file:  # the library opens no name that is no text
        _check_whole(path, file)
        file.seek(0)
        try:
            with soundfile.SoundFile(file) as sound:
                rate, subtype = sound.samplerate, sound.subtype
                bits = _PCM_BITS.get(subtype, 0)
                data = sound.read(dtype="int32" if bits else "float64" if subtype == "DOUBLE" else "float32")
        except soundfile.LibsndfileError as error:
            raise ValueError(error.error_string) from error
    if bits:
        data = data / 2.0**31
    return Recording(data, (0,), data.dtype, {"rate": rate, "subtype": subtype})


def _write_audio(kind: str, file: BinaryIO, values: np.ndarray, like: Recording) -> None:
    """Integer encodings are rounded and clipped here, at their own depth, and handed on as exact integers.

    What is compressed is clipped too: louder sounds would come out as others.
    """
    soundfile = _package("soundfile", f"{kind} files")
    if "rate" not in like.about:
        raise click.UsageError("audio needs a sample rate, which the input does not carry; write a .npy file")
    if values.dtype.kind == "c":
        raise click.UsageError("the result is complex; write a .npy file")
    if not soundfile.check_format(kind, like.about["subtype"]):
        raise click.UsageError(
            f"{kind} has no samples of type {like.about['subtype']}; write a .wav or .npy file"
        )
    subtype = like.about["subtype"]
    bits = _PCM_BITS.get(subtype, 0)
    if subtype not in ("FLOAT", "DOUBLE"):
        _check_finite(values, subtype)
        values = np.clip(values, -1, 1)
    if bits:
        top = 2.0 ** (bits - 1)
        steps = np.minimum(np.rint(values.astype(np.float64) * top), top - 1).astype(np.int32)
        values = steps << (32 - bits)
    soundfile.write(file, values, like.about["rate"], subtype=subtype, format=kind)


# --- pictures --------------------------------------------------------------------------------------------


def _floating(samples: np.ndarray) -> np.ndarray:
    """Integer samples as the smallest floating type that holds each of them exactly."""
    if samples.dtype.kind not in "bui":
        return samples
    return samples.astype(np.float32 if samples.dtype.itemsize <= 2 else np.float64)


_MODES = ("1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L", "F")


def _read_picture(path: Path) -> Recording:
    """Read grey or coloured samples: colours of palettes as they look, and a camera's picture upright."""
    image_module = _package("PIL.Image", f"{path.suffix} files")
    with image_module.open(path) as image:
        if ";16" in str(image.tile) and not image.mode.startswith("I"):
            raise click.UsageError(f"{path}: 16 bits a colour, of which pillow reads 8; save it as .tif")
        if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
            raise click.UsageError(f"{path}: expected one picture, got {image.n_frames} frames")
        about = {"icc_profile": image.info.get("icc_profile")}
        if "transparency" in image.info and image.mode in ("P", "L", "RGB"):
            image = image.convert("LA" if image.mode == "L" else "RGBA")
        elif image.mode in ("P", "1"):
            image = image.convert("RGB" if image.mode == "P" else "L")
        if image.mode not in _MODES:
            raise click.UsageError(f"{path}: expected greys or red, green and blue, got {image.mode}")
        samples = np.asarray(import_module("PIL.ImageOps").exif_transpose(image))
    if samples.dtype == np.int32:
        samples = samples.astype(np.uint16)
    return Recording(_floating(samples), (0, 1), samples.dtype, about)


def _write_picture(
    kind: str, channels: dict[str, tuple[int, ...]], file: BinaryIO, values: np.ndarray, like: Recording
) -> None:
    """Write one picture; `channels` says which numbers of channels `kind` takes per sample type."""
    image_module = _package("PIL.Image", f"{kind} files")
    found = 1 if values.ndim == 2 else values.shape[-1] if values.ndim == 3 else 0
    if found not in channels.get(like.stored.name, ()):
        takes = " or ".join(f"{name} with {', '.join(map(str, n))}" for name, n in channels.items())
        raise click.UsageError(
            f"a {kind} picture takes {takes} channels, the result is {like.stored} of shape {values.shape}; "
            f"write a .tif or .npy file"
        )
    picture = image_module.fromarray(as_stored(values, like.stored))
    picture.save(file, format=kind, quality=95, icc_profile=like.about.get("icc_profile"))


def _read_tiff(path: Path) -> Recording:
    """Read a picture or a stack; colours of palettes as they look."""
    tifffile = _package("tifffile", ".tif files")
    with tifffile.TiffFile(path) as tiff:
        if len(tiff.series) > 1:
            shapes = ", ".join(str(series.shape) for series in tiff.series)
            raise click.UsageError(f"{path}: expected one picture or stack, got several: {shapes}")
        series, page = tiff.series[0], tiff.pages[0]
        samples, names, light = series.asarray(), series.axes, page.photometric.name
        if light not in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR", "PALETTE"):
            raise click.UsageError(f"{path}: expected greys or red, green and blue, got {light}")
        if light == "PALETTE":
            samples, names = np.moveaxis(page.colormap[:, samples], 0, -1), f"{names}S"
    space = tuple(i for i, name in enumerate(names) if name in "ZYX")
    about = {"names": names, "light": light.lower() if light.startswith("MINIS") else "rgb"}
    return Recording(_floating(samples), space or tuple(range(samples.ndim)), samples.dtype, about)


def _write_tiff(file: BinaryIO, values: np.ndarray, like: Recording) -> None:
    tifffile = _package("tifffile", ".tif files")
    if values.ndim < 2:
        raise click.UsageError(f"a picture has at least two axes, the result has shape {values.shape}")
    pixels = as_stored(values, like.stored)
    names = like.about.get("names", "")
    light = "rgb" if len(like.axes) == 2 and pixels.ndim == 3 and pixels.shape[-1] in (3, 4) else "minisblack"
    tifffile.imwrite(
        file,
        pixels,
        photometric=like.about.get("light", light),
        planarconfig="separate" if names[-3:-2] == "S" else None,
        metadata={"axes": names} if len(names) == pixels.ndim else None,
    )


# --- the table -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """How one kind of file is read and, unless it is a folder, written."""

    read: Callable[[Path], Recording]
    write: Callable[[BinaryIO, np.ndarray, Recording], None] | None


_JPEG = Format(_read_picture, partial(_write_picture, "JPEG", {"uint8": (1, 3)}))
_TIFF = Format(_read_tiff, _write_tiff)
_HDF5 = Format(_read_hdf5, _write_hdf5)
FORMATS: dict[str, Format] = {
    ".npy": Format(_read_npy, _write_npy),
    ".wav": Format(_read_audio, partial(_write_audio, "WAV")),
    ".flac": Format(_read_audio, partial(_write_audio, "FLAC")),
    ".png": Format(_read_picture, partial(_write_picture, "PNG", {"uint8": (1, 2, 3, 4), "uint16": (1,)})),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".zarr": Format(_read_zarr, None),
}
