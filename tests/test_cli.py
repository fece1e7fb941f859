"""The command: what it writes, what it refuses and in what words, and that no file is ever left half written."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import tifffile
import zarr
from click.testing import CliRunner, Result
from PIL import Image

import fftconv
from fftconv.cli import figures, files, formats, kernels, smoothing
from fftconv.cli.main import cli
from fftconv.core import room
from fftconv.data import photograph

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("smooth", "a.npy", ...)`` in an empty folder; every failure must be one line and code 2."""
    monkeypatch.chdir(tmp_path)

    def invoke(*args: str) -> Result:
        result = CliRunner().invoke(cli, [str(arg) for arg in args])
        assert result.exit_code in (0, 2), result.output
        if result.exit_code == 2:
            assert result.stderr.startswith("fftconv: ") and result.stderr.count("\n") == 1
            assert "Traceback" not in result.output
        assert not list(tmp_path.rglob("*.part"))
        return result

    return invoke


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image)


on_posix = pytest.mark.skipif(os.name != "posix", reason="names that are bytes, pipes, links for anyone")
RNG = np.random.default_rng(7)
IDENTITY = "box:1"


# --- round trips: the identity kernel gives back every sample ---------------------------------------------


@pytest.mark.parametrize("shape", [(50,), (20, 30), (6, 7, 8)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_npy_round_trip(run: Run, shape: tuple[int, ...], dtype: str) -> None:
    x = RNG.normal(size=shape).astype(dtype)
    np.save("in.npy", x)
    done(run("convolve", "in.npy", IDENTITY, "-o", "out.npy"))
    out = np.load("out.npy")
    assert out.dtype == x.dtype
    np.testing.assert_allclose(out, x, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", "float64", ">f8", "complex64"])
def test_hdf5_and_zarr_hold_what_npy_holds(run: Run, dtype: str) -> None:
    x = RNG.normal(scale=50, size=(6, 7, 8)).astype(dtype)
    np.save("in.npy", x)
    with h5py.File("in.h5", "w") as file:
        file["scan/volume"] = x
        file["scan/label"], file["scan/level"] = "a title is no array of numbers", 3
    zarr.create_group("in.zarr").create_array("volume", data=x)
    for name in ("in.npy", "in.h5", "in.zarr", "in.zarr/volume"):
        done(run("smooth", name, "-o", f"{Path(name).name}.h5"))
    want = h5py.File("in.npy.h5")["data"][...]
    assert want.dtype == fftconv.convolve(x, np.ones((1, 1, 1), x.real.dtype)).dtype or x.dtype.kind in "ui"
    np.testing.assert_array_equal(h5py.File("in.h5.h5")["scan/volume"], want)
    for name in ("in.zarr.h5", "volume.h5"):
        np.testing.assert_array_equal(h5py.File(name)["data"], want)


def test_of_several_arrays_none_is_taken(run: Run) -> None:
    group = zarr.create_group("many.zarr")
    with h5py.File("many.h5", "w") as file:
        for name in ("b", "a"):
            file[name] = np.arange(3.0)
            group.create_array(name, data=np.arange(3.0))
    h5py.File("none.h5", "w").close()
    for name in ("many.h5", "many.zarr"):
        assert (
            f"{name}: expected one array of numbers, got 2: a, b" in run("smooth", name, "-o", "o.npy").stderr
        )
    assert "none.h5: expected one array of numbers, got 0" in run("smooth", "none.h5", "-o", "o.npy").stderr
    assert ".zarr is read and not written" in run("smooth", "many.zarr/a", "-o", "o.zarr").stderr
    done(run("smooth", "many.zarr/a", "-o", "o.npy"))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_round_trip(run: Run, subtype: str, channels: int) -> None:
    samples = RNG.uniform(-1, 1, (300, channels)).squeeze()
    samples.flat[:2] = -1.0, 1.0
    soundfile.write("in.wav", samples, 44_100, subtype=subtype)
    done(run("convolve", "in.wav", IDENTITY, "-o", "out.wav"))
    assert soundfile.info("out.wav").subtype == subtype
    assert soundfile.info("out.wav").samplerate == 44_100
    before, after = (soundfile.read(name, dtype="float64")[0] for name in ("in.wav", "out.wav"))
    np.testing.assert_allclose(after, before, atol=0 if subtype != "PCM_32" else 2**-31)


def test_flac_is_read_and_written(run: Run) -> None:
    soundfile.write("in.flac", RNG.uniform(-1, 1, 500), 8000, subtype="PCM_16")
    done(run("convolve", "in.flac", IDENTITY, "-o", "out.flac"))
    np.testing.assert_array_equal(soundfile.read("in.flac")[0], soundfile.read("out.flac")[0])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((20, 30), "uint8"), ((20, 30), "uint16"), ((20, 30, 3), "uint8"), ((20, 30, 4), "uint8")],
)
def test_picture_round_trip(run: Run, shape: tuple[int, ...], dtype: str, suffix: str) -> None:
    x = RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    if suffix == ".tif":
        tifffile.imwrite("in.tif", x, photometric="rgb" if x.ndim == 3 else "minisblack")
    else:
        Image.fromarray(x).save("in.png")
    done(run("convolve", f"in{suffix}", IDENTITY, "-o", f"out{suffix}"))
    out = tifffile.imread("out.tif") if suffix == ".tif" else pixels("out.png")
    np.testing.assert_array_equal(out, x)
    assert out.dtype == x.dtype


def test_tiff_stack_is_smoothed_in_space_and_not_along_time(run: Run) -> None:
    stack = RNG.normal(size=(4, 3, 20, 30)).astype(np.float32)
    tifffile.imwrite("in.tif", stack, metadata={"axes": "TZYX"}, photometric="minisblack")
    done(run("convolve", "in.tif", "box:3", "-o", "out.tif"))
    with tifffile.TiffFile("out.tif") as tiff:
        assert tiff.series[0].axes == "TZYX"
        out = tiff.asarray()
    assert out.dtype == np.float32
    expected = fftconv.convolve(stack[2], np.full((3, 3, 3), 1 / 27, np.float32), "same")
    np.testing.assert_allclose(out[2], expected, atol=1e-6)


def test_palette_and_bilevel_pictures_become_colours_and_greys(run: Run) -> None:
    Image.fromarray(photograph()).convert("P").save("palette.png")
    Image.fromarray(photograph() > 128).save("bilevel.png")
    done(run("smooth", "palette.png", "-o", "colours.png"))
    done(run("smooth", "bilevel.png", "-o", "greys.png"))
    assert pixels("colours.png").shape == (512, 512, 3)
    assert pixels("greys.png").shape == (512, 512)


def png_of_16_bit_colours(name: str) -> None:
    """By hand: pillow does not write them either."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 4, 5, 16, 2, 0, 0, 0)
    lines = zlib.compress(bytes(5 * (1 + 4 * 3 * 2)))
    content = chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    Path(name).write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_pictures_that_would_lose_something_are_refused(run: Run) -> None:
    png_of_16_bit_colours("deep.png")
    colours = Image.fromarray(np.stack([photograph()[:40, :40]] * 3, axis=-1))
    colours.convert("CMYK").save("ink.jpg")
    colours.convert("CMYK").save("ink.tif")
    colours.save("frames.png", save_all=True, append_images=[colours.rotate(90)])
    with tifffile.TiffWriter("sizes.tif") as several:
        for size in (40, 20):
            several.write(photograph()[:size, :size], photometric="minisblack")
    for name, says in {
        "deep.png": "deep.png: 16 bits a colour, of which pillow reads 8; save it as .tif",
        "ink.jpg": "ink.jpg: expected greys or red, green and blue, got CMYK",
        "ink.tif": "ink.tif: expected greys or red, green and blue, got SEPARATED",
        "frames.png": "frames.png: expected one picture, got 2 frames",
        "sizes.tif": "sizes.tif: expected one picture or stack, got several: (40, 40), (20, 20)",
    }.items():
        assert says in run("smooth", name, "-o", "out.npy").stderr


def test_a_picture_that_a_camera_held_sideways_is_read_upright(run: Run) -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    Image.fromarray(photograph()[:40, :20]).save("in.jpg", exif=turned, quality=95)
    done(run("convolve", "in.jpg", IDENTITY, "-o", "out.png"))
    np.testing.assert_array_equal(pixels("out.png"), np.rot90(pixels("in.jpg"), -1))


def test_tiffs_keep_what_their_numbers_mean(run: Run) -> None:
    grey, colours = (
        photograph()[:40, :40],
        np.stack([photograph()[:40, 40 * i : 40 * i + 40] for i in range(3)]),
    )
    tifffile.imwrite("negative.tif", grey, photometric="miniswhite")
    tifffile.imwrite("planes.tif", colours, photometric="rgb", planarconfig="separate")
    Image.fromarray(np.moveaxis(colours, 0, -1)).convert("P").save("palette.tif")
    for name, light, expected in (
        ("negative.tif", "MINISWHITE", grey),
        ("planes.tif", "RGB", colours),
        ("palette.tif", "RGB", np.asarray(Image.open("palette.tif").convert("RGB"), np.uint16) * 256),
    ):
        done(run("convolve", name, IDENTITY, "-o", "out.tif", "--force"))
        with tifffile.TiffFile("out.tif") as out:
            assert out.pages[0].photometric.name == light
            np.testing.assert_array_equal(out.asarray(), expected)


def test_transparent_colours_stay_transparent(run: Run) -> None:
    grey = Image.fromarray(photograph()[:40, :40])
    grey.save("grey.png", transparency=100)
    grey.convert("RGB").save("colour.png", transparency=(100, 100, 100))
    for name, mode in (("grey.png", "LA"), ("colour.png", "RGBA")):
        done(run("convolve", name, IDENTITY, "-o", "out.png", "--force"))
        with Image.open(name) as before, Image.open("out.png") as after:
            np.testing.assert_array_equal(np.asarray(after), np.asarray(before.convert(mode)))


# --- what is computed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolve_with_a_kernel_from_a_file(run: Run, mode: str) -> None:
    x, w = RNG.normal(size=(30, 40)), RNG.normal(size=(4, 5))
    np.save("in.npy", x)
    np.save("kernel.npy", w)
    done(run("convolve", "in.npy", "kernel.npy", "-o", "out.npy", "--mode", mode))
    np.testing.assert_allclose(np.load("out.npy"), fftconv.convolve(x, w, mode), atol=1e-12)


def test_integers_stay_exact(run: Run) -> None:
    x, w = RNG.integers(-(2**40), 2**40, 200), RNG.integers(-(2**15), 2**15, 11)
    np.save("in.npy", x)
    np.save("kernel.npy", w)
    done(run("convolve", "in.npy", "kernel.npy", "-o", "out.npy", "--mode", "full"))
    np.testing.assert_array_equal(np.load("out.npy"), np.convolve(x, w))


def test_axes_and_normalize(run: Run) -> None:
    x, w = RNG.normal(size=(5, 40)), np.array([1.0, 3.0])
    np.save("in.npy", x)
    np.save("kernel.npy", w)
    done(
        run(
            "convolve",
            "in.npy",
            "kernel.npy",
            "-o",
            "out.npy",
            "--axes",
            "-1",
            "--normalize",
            "--mode",
            "full",
        )
    )
    np.testing.assert_allclose(np.load("out.npy"), [np.convolve(row, w / 4) for row in x], atol=1e-12)


def test_eight_bit_results_are_rounded_and_clipped(run: Run) -> None:
    x = np.full((9, 9), 200, np.uint8)
    x[4, 4] = 101
    Image.fromarray(x).save("in.png")
    np.save("kernel.npy", np.array([[0.25, -2.0, 3.35]]))
    done(run("convolve", "in.png", "kernel.npy", "-o", "out.png", "--mode", "valid"))
    exact = fftconv.convolve(x.astype(float), np.array([[0.25, -2.0, 3.35]]), "valid")
    assert exact.min() < 0 and exact.max() > 255
    out = pixels("out.png")
    np.testing.assert_array_equal(out, np.clip(np.rint(exact), 0, 255))


@pytest.mark.parametrize("dtype", ["uint64", "int64", "uint32", "int32", "int8"])
def test_the_largest_integers_stay_the_largest(run: Run, dtype: str) -> None:
    limits = np.iinfo(dtype)
    tifffile.imwrite("in.tif", np.array([[limits.max, limits.min], [0, 1]], dtype))
    done(run("convolve", "in.tif", IDENTITY, "-o", "same.tif"))
    np.testing.assert_array_equal(tifffile.imread("same.tif"), tifffile.imread("in.tif"))
    np.save("thrice.npy", np.array([[3.0]]))
    done(run("convolve", "in.tif", "thrice.npy", "-o", "more.tif"))
    np.testing.assert_array_equal(tifffile.imread("more.tif"), [[limits.max, limits.min], [0, 3]])


def test_integers_of_64_bits_are_not_rounded_on_the_way_into_a_picture() -> None:
    exact = np.array([2**62 + 1, -(2**62) - 1])
    assert (formats.as_stored(exact, np.dtype(np.int64)) == exact).all()


def test_a_mask_is_true_where_more_than_half_of_it_is(run: Run) -> None:
    mask = np.zeros((6, 9), bool)
    mask[:, 4:] = True
    tifffile.imwrite("in.tif", mask)
    done(run("smooth", "in.tif", "-k", "box:5", "-o", "out.tif"))
    np.testing.assert_array_equal(tifffile.imread("out.tif"), mask)


def test_sound_louder_than_full_scale_is_clipped(run: Run) -> None:
    soundfile.write("in.wav", np.array([0.75, -0.75, 0.25]), 8000, subtype="PCM_16")
    np.save("kernel.npy", np.array([2.0]))
    done(run("convolve", "in.wav", "kernel.npy", "-o", "out.wav"))
    np.testing.assert_array_equal(soundfile.read("out.wav", dtype="int16")[0], [32767, -32768, 16384])


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"])
def test_compressed_sound_louder_than_full_scale_is_clipped(run: Run, subtype: str) -> None:
    """Encoders of these would let what is louder come out as something else, of either sign."""
    soundfile.write("in.wav", np.repeat([0.9, -0.9], 500), 8000, subtype=subtype)
    np.save("twice.npy", np.array([2.0]))
    done(run("convolve", "in.wav", "twice.npy", "-o", "out.wav"))
    out, _ = soundfile.read("out.wav")
    assert out[100:450].min() > 0.9 and out[600:950].max() < -0.9
    np.save("nan.npy", np.array([np.nan]))
    says = run("convolve", "in.wav", "nan.npy", "-o", "out.wav", "--force").stderr
    assert f"NaN or infinite somewhere, the samples are {subtype}" in says


def test_sound_from_a_pipe_has_no_size_and_is_read_to_its_end(run: Run) -> None:
    soundfile.write("in.wav", RNG.uniform(-1, 1, 100), 8000, subtype="PCM_16")
    whole = Path("in.wav").read_bytes()
    for size in (0xFFFFFFFF, 0x7FFFF000):
        Path("piped.wav").write_bytes(whole[:40] + struct.pack("<I", size) + whole[44:])
        done(run("convolve", "piped.wav", IDENTITY, "-o", "out.wav", "--force"))
        np.testing.assert_array_equal(soundfile.read("out.wav")[0], soundfile.read("in.wav")[0])


@on_posix
def test_names_that_are_no_text_are_read_and_written(run: Run) -> None:
    name = os.fsdecode(b"bad\xff")
    soundfile.write("in.wav", np.zeros(9), 8000)
    Path("in.wav").rename(f"{name}.wav")
    done(run("smooth", f"{name}.wav", "-o", f"{name}.out.wav"))


def test_what_a_reader_can_make_do_with_is_not_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A tag of a TIFF that is beside the point, and a picture that is merely large."""
    tifffile.imwrite("in.tif", np.ones((4, 5), np.uint8), software=None, description="x" * 9)
    whole = Path("in.tif").read_bytes()
    at = whole.index(struct.pack("<HH", 270, 2))
    Path("in.tif").write_bytes(whole[: at + 8] + struct.pack("<I", 2**31) + whole[at + 12 :])
    done(run("smooth", "in.tif", "-o", "out.tif"))
    assert not caplog.records
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
        Image.new("L", (4, 5)).save("in.png")
        done(run("smooth", "in.png", "-o", "out.png"))


def test_each_colour_is_convolved_alone(run: Run) -> None:
    x = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(x).save("in.png")
    done(run("convolve", "in.png", "gauss:sigma=1.5", "-o", "out.npy"))
    kernel = np.outer(kernels.taps("gauss:1.5"), kernels.taps("gauss:1.5"))
    expected = [fftconv.convolve(x[..., c].astype(float), kernel, "same") for c in range(3)]
    np.testing.assert_allclose(np.load("out.npy"), np.stack(expected, axis=-1), atol=1e-3)


@pytest.mark.parametrize("shape", [(200,), (40, 50)])
def test_smooth_keeps_the_level_at_the_edges(run: Run, shape: tuple[int, ...]) -> None:
    np.save("in.npy", np.full(shape, 5.0))
    done(run("smooth", "in.npy", "-o", "out.npy", "--kernel", "gauss:sigma=4"))
    np.testing.assert_allclose(np.load("out.npy"), 5.0, rtol=1e-12)


def test_smooth_has_no_mean_where_no_weight_lies_inside(run: Run) -> None:
    """And says so with NaN, not with a warning."""
    np.save("in.npy", np.arange(6.0))
    np.save("kernel.npy", np.array([1.0, 0.0, 0.0, 0.0, 0.0]))
    assert "Warning" not in done(run("smooth", "in.npy", "-o", "out.npy", "-k", "kernel.npy")).output
    np.testing.assert_array_equal(np.load("out.npy"), [2, 3, 4, 5, np.nan, np.nan])


def test_a_gaussian_far_narrower_than_a_sample_changes_nothing(run: Run) -> None:
    np.save("in.npy", np.arange(6.0))
    done(run("convolve", "in.npy", "gauss:1e-300", "-o", "out.npy"))
    np.testing.assert_array_equal(np.load("out.npy"), np.arange(6.0))


def test_denoise_finds_the_noise_and_reduces_it(run: Run) -> None:
    clean = photograph().astype(np.float64)
    noisy = clean + RNG.normal(0, 15, clean.shape)
    np.save("noisy.npy", noisy)
    printed = done(run("denoise", "noisy.npy", "-o", "clean.npy")).output
    noise, expected = (float(printed.split(word)[1].split()[0].strip(",")) for word in ("about ", "error "))
    assert abs(noise - 15) < 2
    error = np.sqrt(np.mean((np.load("clean.npy") - clean) ** 2))
    assert error < 0.7 * 15
    assert abs(error - expected) < 0.15 * error


def test_denoise_chooses_nearly_the_best_width() -> None:
    clean = photograph().astype(np.float64)
    noisy = clean + RNG.normal(0, 25, clean.shape)

    def error(sigma: float) -> float:
        kernel = smoothing.gaussian(sigma, 2, noisy.dtype)
        return float(np.sqrt(np.mean((smoothing.smooth(noisy, kernel, (0, 1)) - clean) ** 2)))

    chosen = smoothing.denoise(noisy, (0, 1)).sigma
    assert error(chosen) < 1.03 * min(map(error, smoothing.WIDTHS))


def test_denoise_leaves_a_clean_signal_alone(run: Run) -> None:
    x = np.linspace(0, 1, 100)
    np.save("in.npy", x)
    done(run("denoise", "in.npy", "-o", "out.npy"))
    np.testing.assert_allclose(np.load("out.npy"), x, atol=1e-9)


def test_denoise_with_a_given_width(run: Run) -> None:
    x = RNG.normal(size=60)
    np.save("in.npy", x)
    done(run("denoise", "in.npy", "-o", "a.npy", "--sigma", "2"))
    done(run("smooth", "in.npy", "-o", "b.npy", "-k", "gauss:sigma=2"))
    np.testing.assert_allclose(np.load("a.npy"), np.load("b.npy"))


# --- kernels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("box:4", [1, 1, 1, 1]),
        ("box:n=1", [1]),
        ("triangle:5", [1, 2, 3, 2, 1]),
        ("triangle:4", [1, 2, 2, 1]),
        ("hann:5", [0, 0.5, 1, 0.5, 0]),
        ("hamming:3", [0.08, 1, 0.08]),
        ("gauss:sigma=1,truncate=2", np.exp([-2, -0.5, 0, -0.5, -2])),
        ("gauss:1,2", np.exp([-2, -0.5, 0, -0.5, -2])),
    ],
)
def test_named_kernels(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(kernels.taps(text), np.array(expected) / np.sum(expected), atol=1e-15)


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """One file of each kind, good and bad."""
    np.save("line.npy", np.arange(20.0))
    np.save("plane.npy", np.ones((8, 9)))
    np.save("cube.npy", np.ones((3, 4, 5)))
    np.save("words.npy", np.array(["a", "b"]))
    np.save("empty.npy", np.ones((0, 3)))
    np.save("complex.npy", np.ones(9) * 1j)
    np.save("negative.npy", -np.ones(3))
    np.save("zero_sum.npy", np.array([1.0, -1.0]))
    np.save("gap.npy", np.array([1.0, np.nan, 2.0]))
    np.save("one_sided_plane.npy", np.outer([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]))
    with open("archive.npy", "wb") as archive:
        np.savez(archive, np.ones(3))
    Image.fromarray(photograph()[:40, :40]).save("photo.png")
    soundfile.write("tone.wav", np.zeros(100), 8000, subtype="PCM_16")
    soundfile.write("loud.wav", np.zeros(100), 8000, subtype="FLOAT")
    for broken in ("broken.npy", "broken.png", "broken.wav", "broken.tif", "broken.h5"):
        Path(broken).write_bytes(b"not what it says")
    Path("cut.wav").write_bytes(Path("tone.wav").read_bytes()[:100])
    np.save("pair.npy", np.array([[1.0, 9.0], [5.0, 2.0]]))
    Path("here.npy").write_bytes(b"precious")
    (tmp_path / "sub.npy").mkdir()
    (tmp_path / "folder.zarr").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("convolve line.npy box:3", "Missing option '-o'"),
        ("convolve nowhere.npy box:3 -o out.npy", "nowhere.npy: no such file"),
        ("convolve line.mp4 box:3 -o out.npy", "line.mp4: expected a file ending in .npy, .wav"),
        ("convolve line.npy box:3 -o out.mp4", "out.mp4: expected a file ending in .npy, .wav"),
        ("convolve line.npy box:3 -o no/out.npy", "there is no folder no"),
        ("convolve line.npy box:3 -o sub.npy", "sub.npy: is a folder"),
        ("convolve line.npy box:3 -o here.npy", "here.npy: exists already; --force replaces it"),
        ("convolve broken.npy box:3 -o out.npy", "broken.npy: not a readable .npy file"),
        ("convolve archive.npy box:3 -o out.npy", "archive.npy: not a readable .npy file (the magic string"),
        ("convolve sub.npy box:3 -o out.npy", "sub.npy: is a folder"),
        ("convolve broken.png box:3 -o out.png", "broken.png: not a readable .png file"),
        ("convolve broken.wav box:3 -o out.wav", "broken.wav: not a readable .wav file"),
        ("convolve broken.tif box:3 -o out.tif", "broken.tif: not a readable .tif file"),
        ("convolve broken.h5 box:3 -o out.npy", "broken.h5: not a readable .h5 file"),
        ("convolve folder.zarr box:3 -o out.npy", "folder.zarr: not a readable .zarr file"),
        ("convolve words.npy box:3 -o out.npy", "words.npy: expected numbers, got samples of type <U1"),
        ("convolve empty.npy box:3 -o out.npy", "empty.npy: expected samples, got shape (0, 3)"),
        (
            "convolve line.npy ball:3 -o out.npy",
            "no kernel 'ball:3': neither a file nor one of gauss:sigma=S",
        ),
        ("convolve line.npy box -o out.npy", "kernel 'box': box needs n"),
        ("convolve line.npy box:0 -o out.npy", "expected at least 1 tap, got 0"),
        ("convolve line.npy box:x -o out.npy", "expected a whole number, got 'x'"),
        ("convolve line.npy box:1,2 -o out.npy", "box takes n, got 2 values"),
        ("convolve line.npy gauss:width=3 -o out.npy", "gauss takes sigma and truncate, got 'width'"),
        (
            "convolve line.npy gauss:sigma=-1 -o out.npy",
            "positive, finite sigma and truncate, got -1 and 4",
        ),
        ("convolve line.npy gauss:1,sigma=2 -o out.npy", "got 'sigma' again"),
        ("convolve line.npy gauss:1e300 -o out.npy", "'gauss:1e300': it has more taps than memory holds"),
        ("convolve line.npy box:99999999999999999999 -o out.npy", "it has more taps than memory holds"),
        ("convolve line.npy gauss:nan -o out.npy", "gauss needs positive, finite sigma"),
        ("convolve line.npy hann:2 -o out.npy", "hann needs 1 tap, or at least 3"),
        ("convolve line.npy nowhere.npy -o out.npy", "nowhere.npy: no such file"),
        (
            "convolve line.npy plane.npy -o out.npy",
            "one axis for each of the input's axes [0] (input 20), got",
        ),
        ("convolve plane.npy line.npy -o out.npy", "got a kernel of 20"),
        (
            "convolve line.npy box:3 -o out.npy --axes 1",
            "--axes: expected different axes from -1 to 0 (input 20)",
        ),
        ("convolve plane.npy box:3 -o out.npy --axes 0,-2", "--axes: expected different axes from -2 to 1"),
        ("convolve plane.npy box:3 -o out.npy --axes x", "--axes: expected whole numbers like 0,1, got 'x'"),
        ("convolve line.npy box:3 -o out.npy --mode some", "Invalid value for '--mode'"),
        ("convolve line.npy box:3 -o out.npy --method magic", "magic"),
        ("convolve line.npy box:3 -o out.npy --workers 0", "Invalid value for '--workers'"),
        ("convolve line.npy zero_sum.npy -o out.npy --normalize", "cannot scale the kernel to a sum of 1"),
        (
            "convolve line.npy box:3 -o out.wav",
            "out.wav: audio needs a sample rate, which the input does not carry",
        ),
        (
            "convolve line.npy box:3 -o out.png",
            "out.png: a PNG picture takes uint8 with 1, 2, 3, 4 or uint16 with 1",
        ),
        ("convolve plane.npy box:3 -o out.jpg", "out.jpg: a JPEG picture takes uint8 with 1, 3 channels"),
        ("convolve line.npy box:3 -o out.tif", "a picture has at least two axes, the result has shape (20,)"),
        ("convolve tone.wav complex.npy -o out.wav", "the result is complex; write a .npy file"),
        ("convolve tone.wav gap.npy -o out.wav", "NaN or infinite somewhere, the samples are PCM_16"),
        (
            "smooth photo.png -k one_sided_plane.npy -o out.png",
            "NaN or infinite somewhere, the samples are uint8",
        ),
        ("convolve photo.png tone.wav -o out.png", "got a kernel of 100"),
        ("convolve loud.wav box:3 -o out.flac", "out.flac: FLAC has no samples of type FLOAT; write a .wav"),
        ("convolve line.npy box:3 -o /proc/out.npy", "/proc/out.npy: "),
        ("smooth line.npy -k gap.npy -o out.npy", "smoothing needs a kernel of finite weights"),
        ("demo -o here.npy", "here.npy: File exists"),
        ("tune --seconds 0.1 -o sub.npy", "sub.npy: is a folder"),
        (
            "smooth cube.npy -k gauss:sigma=1e6 -o out.npy",
            "a kernel of 8000001 x 8000001 x 8000001 taps is larger than memory",
        ),
        ("explain 1e6 3", "IN: expected a file or a shape like 640x480, got '1e6'"),
        ("explain ²x3 3", "IN: expected a file or a shape like 640x480, got '²x3'"),
        ("explain 100 10 --dtype U5", "--dtype: expected a type of numbers like float32, got 'U5'"),
        ("smooth line.npy -k negative.npy -o out.npy", "smoothing needs a kernel of finite weights"),
        ("denoise complex.npy -o out.npy", "denoise needs real samples, got complex ones"),
        ("denoise gap.npy -o out.npy", "noise is estimated from finite samples, got NaN or infinity"),
        ("denoise line.npy -o out.npy --sigma 0", "Invalid value for '--sigma'"),
        ("explain 100 10x10", "got a kernel of 10 x 10"),
        ("explain 99999999999x99999999999 3x3", "an array of that shape is larger than any memory"),
        ("explain 100 10 --dtype nonsense", "--dtype: expected a name like float32, got 'nonsense'"),
        ("explain 100 10 --dtype (3,)f8", "--dtype: expected a type of numbers like float32, got '(3,)f8'"),
        ("explain " + "x".join("1" * 65) + " 3", "dimension"),
        ("explain " + "9" * 5000 + " 3", "an array of that shape is larger than any memory"),
        ("convolve line.npy gauss:,2 -o out.npy", "kernel 'gauss:,2': expected a number, got ''"),
        ("convolve line.npy gauss:2, -o out.npy", "kernel 'gauss:2,': expected a number, got ''"),
        ("smooth cut.wav -o out.wav", "cut.wav: cut short, expected 200 bytes of samples, got 56"),
        (
            "denoise pair.npy -o out.npy",
            "noise is estimated from an axis of 3 samples or more, got 2 x 2 along [0, 1]; --sigma needs none",
        ),
        ("fly", "No such command 'fly'"),
        ("smooth --fly", "No such option"),
    ],
)
def test_refusals(folder: Path, run: Run, command: str, says: str) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    result = run(*command.split())
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@on_posix
def test_links_that_lead_nowhere_and_pipes_are_not_overwritten(folder: Path, run: Run) -> None:
    Path("dangling.npy").symlink_to("nowhere.npy")
    says = run("smooth", "line.npy", "-o", "dangling.npy").stderr
    assert "dangling.npy: exists already; --force replaces it" in says
    assert Path("dangling.npy").is_symlink() and not Path("nowhere.npy").exists()
    os.mkfifo("pipe.npy")
    for args in (("line.npy", "-o", "pipe.npy", "--force"), ("pipe.npy", "-o", "out.npy")):
        assert "pipe.npy: is no regular file" in run("smooth", *args).stderr
    assert Path("pipe.npy").is_fifo()


def test_a_named_kernel_that_memory_cannot_hold_is_refused_before_it_is_made(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux would hand out the memory, and end the process that comes to use it."""
    monkeypatch.setattr(room, "available", lambda: 2**29)
    result = run("convolve", "plane.npy", "gauss:sigma=1500", "-o", "out.npy")
    assert result.exit_code == 2
    assert "a kernel of 12001 x 12001 taps is larger than memory" in result.stderr


@pytest.mark.parametrize(
    ("package", "source", "says"),
    [
        ("PIL.Image", "photo.png", '.png files need pillow: pip install "fftconv[io]"'),
        ("soundfile", "tone.wav", '.wav files need soundfile: pip install "fftconv[io]"'),
        ("h5py", "broken.h5", '.h5 files need h5py: pip install "fftconv[io]"'),
        ("zarr", "folder.zarr", '.zarr folders need zarr: pip install "fftconv[io]"'),
        ("tifffile", "broken.tif", '.tif files need tifffile: pip install "fftconv[io]"'),
    ],
)
def test_a_missing_reader_is_named(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, package: str, source: str, says: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = run("smooth", source, "-o", "out.npy")
    assert result.exit_code == 2 and says in result.stderr


def test_unforeseen_errors_are_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("a bug\nof two lines")

    monkeypatch.setattr(files, "read", broken)
    result = run("smooth", "in.npy", "-o", "out.npy")
    assert result.exit_code == 2 and "ZeroDivisionError: a bug of two lines" in result.stderr


# --- atomic output ----------------------------------------------------------------------------------------


def test_force_replaces_and_keeps_the_permissions(folder: Path, run: Run) -> None:
    Path("here.npy").chmod(0o600)
    done(run("smooth", "line.npy", "-o", "here.npy", "--force"))
    assert np.load("here.npy").shape == (20,)
    assert Path("here.npy").stat().st_mode & 0o777 == 0o600


def test_the_input_may_be_the_output(folder: Path, run: Run) -> None:
    expected = smoothing.smooth(np.load("line.npy"), kernels.taps("gauss:2"), (0,))
    done(run("smooth", "line.npy", "-o", "line.npy", "--force"))
    np.testing.assert_allclose(np.load("line.npy"), expected)


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def half(file: io.BufferedIOBase, values: np.ndarray, like: formats.Recording) -> None:
        file.write(b"half of it")
        raise error

    monkeypatch.setitem(formats.FORMATS, ".npy", formats.Format(formats.FORMATS[".npy"].read, half))
    result = CliRunner().invoke(cli, ["smooth", "line.npy", "-o", "here.npy", "--force"])
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert Path("here.npy").read_bytes() == b"precious"
    assert not list(folder.glob(".*"))


def test_a_file_that_appears_meanwhile_is_not_replaced(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = formats.FORMATS[".npy"].write

    def late(file: io.BufferedIOBase, values: np.ndarray, like: formats.Recording) -> None:
        write(file, values, like)  # type: ignore[arg-type]
        Path("out.npy").write_bytes(b"someone else's")

    monkeypatch.setitem(formats.FORMATS, ".npy", formats.Format(formats.FORMATS[".npy"].read, late))
    assert run("smooth", "line.npy", "-o", "out.npy").exit_code == 2
    assert Path("out.npy").read_bytes() == b"someone else's"


# --- explain, info, demo, progress ------------------------------------------------------------------------


def test_explain_takes_shapes_and_files(folder: Path, run: Run) -> None:
    assert "overlap_save" in done(run("explain", "100000", "1001")).output
    assert "40x40" in done(run("explain", "photo.png", "gauss:sigma=2")).output
    assert (
        "float32" in done(run("explain", "300x200", "box:5", "--dtype", "float32", "--mode", "valid")).output
    )


def test_info_names_the_engine(run: Run) -> None:
    printed = done(run("info")).output
    assert "engine" in printed and "numpy" in printed


def test_demo_prints_both_jobs_and_leaves_figures(run: Run) -> None:
    printed = done(run("demo", "--output", "figures")).output
    assert "1. A heartbeat" in printed and "2. A photograph" in printed
    assert printed.count("scipy's") == 2 and printed.count("times") == 2
    for line in printed.splitlines():
        if line.strip().startswith("difference"):
            assert float(line.split()[1]) < 1e-11
    for name in ("ecg.png", "photo.png"):
        assert Path("figures", name).stat().st_size > 50_000
        assert str(Path("figures", name)) in printed


def test_demo_without_matplotlib_writes_arrays_and_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "AVAILABLE", False)
    printed = done(run("demo")).output
    assert 'pip install "fftconv[plot]"' in printed
    written = {path.name: np.load(path) for path in Path("fftconv-demo").iterdir()}
    assert written.keys() == {"ecg_recorded.npy", "ecg_smoothed.npy", "photo_noisy.npy", "photo_denoised.npy"}
    error = {name: np.std(written[name] - photograph()) for name in ("photo_noisy.npy", "photo_denoised.npy")}
    assert error["photo_denoised.npy"] < 0.6 * error["photo_noisy.npy"]


def test_demo_into_a_file_is_refused(folder: Path, run: Run) -> None:
    assert "here.npy" in run("demo", "-o", "here.npy").stderr


@pytest.mark.parametrize(("patience", "shown"), [(0.0, True), (60.0, False)])
def test_progress_shows_after_a_while(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, patience: float, shown: bool
) -> None:
    import time

    from fftconv.cli import progress

    smooth = smoothing.smooth
    monkeypatch.setattr(progress, "PATIENCE", patience)
    monkeypatch.setattr(smoothing, "smooth", lambda *args: time.sleep(0.2) or smooth(*args))
    result = done(run("smooth", "line.npy", "-o", "out.npy"))
    assert ("working on line.npy (20) ..." in result.stderr) is shown


# --- as a user runs it ------------------------------------------------------------------------------------


def as_a_command(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=cwd)


def test_the_command_in_a_process(folder: Path) -> None:
    good = as_a_command("-m", "fftconv", "smooth", "photo.png", "-o", "soft.png", cwd=folder)
    assert good.returncode == 0 and good.stderr == "" and "soft.png: 40 x 40" in good.stdout
    bad = as_a_command("-m", "fftconv", "smooth", "photo.png", "-o", "soft.png", cwd=folder)
    assert bad.returncode == 2 and bad.stderr == "fftconv: soft.png: exists already; --force replaces it\n"


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_cli_extra_it_says_what_to_install(tmp_path: Path, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from fftconv.cli import main; sys.exit(main())"
    bare = as_a_command("-c", code, cwd=tmp_path)
    assert bare.returncode == 2
    assert bare.stderr == f'fftconv: the command needs {package}: pip install "fftconv[cli]"\n'


def test_help_is_printed_for_nothing_and_for_the_asking(run: Run) -> None:
    for args in ([], ["--help"], ["convolve", "--help"]):
        assert "Usage: " in done(run(*args)).output
