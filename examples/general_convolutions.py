"""A tour of the general family: from smoothing a line to layouts, strides, dilations, transposed and 3-d convolutions.

The calls are those of jax.numpy, jax.scipy.signal and jax.lax; only the imports differ. Run it as
``python examples/general_convolutions.py [FOLDER]``; with matplotlib it leaves a figure in FOLDER.
"""

import sys
from pathlib import Path

import numpy as np

from fftconv import lax, signal
from fftconv import numpy as fnp
from fftconv.data import photograph


def show(what, result):
    print(f"{what:32}{result.shape}")
    return result


def smooth_line(rng):
    t = np.linspace(0, 10, 500)
    noisy = np.sin(t) + 0.2 * rng.standard_normal(t.size)
    return noisy, show("a line, smoothed", fnp.convolve(noisy, np.full(10, 0.1), mode="same"))


def denoise_photograph(rng):
    noisy = photograph() + 50 * rng.standard_normal((512, 512))
    bell = np.exp(-0.5 * np.linspace(-3, 3, 7) ** 2) / np.sqrt(2 * np.pi)
    return noisy, show("a photograph, denoised", signal.convolve(noisy, np.outer(bell, bell), mode="same"))


def squares():
    """An image in NHWC layout: one square per colour, down the diagonal."""
    image = np.zeros((1, 200, 198, 3), np.float32)
    for colour in range(3):
        corner = 60 * colour
        image[0, corner + 30 : corner + 40, corner + 20 : corner + 30, colour] = 1
    return image


def diagonal_edges():
    """A kernel in HWIO layout: the same diagonal edge detector from every colour to every other."""
    edges = np.array([[1, 1, 0], [1, 0, -1], [0, -1, -1]], np.float32)
    return np.tile(edges[:, :, None, None], (1, 1, 3, 3))


def channels_first(image, kernel):
    """`conv` and its sister with dilations want NCHW images and OIHW kernels."""
    x, w = image.transpose(0, 3, 1, 2), kernel.transpose(3, 2, 0, 1)
    show("conv, SAME", lax.conv(x, w, (1, 1), "SAME"))
    show(
        "general padding (2, 2)",
        lax.conv_with_general_padding(x, w, (1, 1), ((2, 2), (2, 2)), (1, 1), (1, 1)),
    )


def any_layout(image, kernel):
    """`conv_general_dilated` takes the layouts as three words: input, kernel, output."""
    layout = lax.conv_dimension_numbers(image.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
    print(layout)

    def general(what, w, strides, padding, dilations=((1, 1), (1, 1))):
        return show(what, lax.conv_general_dilated(image, w, strides, padding, *dilations, layout))

    turned = np.rot90(kernel, 2, axes=(0, 1))
    results = {
        "SAME": general("SAME", kernel, (1, 1), "SAME"),
        "VALID": general("VALID", kernel, (1, 1), "VALID"),
        "SAME, stride 2": general("SAME, stride 2", kernel, (2, 2), "SAME"),
        "kernel dilation 12": general(
            "VALID, kernel dilation 12", kernel, (1, 1), "VALID", ((1, 1), (12, 12))
        ),
        "input dilation 2": general("input dilation 2", kernel, (1, 1), ((0, 0), (0, 0)), ((2, 2), (1, 1))),
        "transposed": general("transposed", turned, (1, 1), ((2, 1), (2, 1)), ((2, 2), (1, 1))),
    }
    # conv_transpose finds the pads and the input dilation by itself
    same = np.array_equal(results["transposed"], lax.conv_transpose(image, turned, (2, 2), "SAME"))
    print(f"conv_transpose gives the same: {same}")
    return results


def one_axis():
    """Two channels of bumps under a kernel in WIO layout."""
    kernel = np.array([[[1, 0, -1], [-1, 0, 1]], [[1, 1, 1], [-1, -1, -1]]], np.float32).transpose(2, 1, 0)
    data = np.zeros((1, 200, 2), np.float32)
    for channel in range(2):
        for begin in (30, 65):
            data[0, begin + 60 * channel :, channel][:30] = 1
    layout = lax.conv_dimension_numbers(data.shape, kernel.shape, ("NWC", "WIO", "NWC"))
    print(layout)
    result = lax.conv_general_dilated(data, kernel, (1,), "SAME", (1,), (1,), layout)
    return data[0], show("one axis", result)[0]


def three_axes():
    """A wave in a volume, NHWDC, under a stencil of second differences, HWDIO."""
    kernel = np.zeros((3, 3, 3, 1, 1), np.float32)
    kernel[::2, 1, 1] = 1
    kernel[1, ::2, 1] = kernel[1, 1, ::2] = -1
    x, y, z = 2 * np.pi * np.mgrid[0:1:30j, 0:1:30j, 0:1:30j]
    wave = (np.sin(x) * np.cos(y) * np.cos(z)).astype(np.float32)[None, ..., None]
    layout = lax.conv_dimension_numbers(wave.shape, kernel.shape, ("NHWDC", "HWDIO", "NHWDC"))
    print(layout)
    result = lax.conv_general_dilated(wave, kernel, (1, 1, 1), "SAME", (1, 1, 1), (1, 1, 1), layout)
    return wave[0, ..., 0], show("three axes", result)[0, ..., 0]


def main(folder=Path("fftconv-examples")):
    rng = np.random.default_rng(1701)
    line, photo = smooth_line(rng), denoise_photograph(rng)
    image, kernel = squares(), diagonal_edges()
    channels_first(image, kernel)
    results = any_layout(image, kernel)
    bumps, volume = one_axis(), three_axes()
    save_figure(
        folder, {"line": line, "photo": photo, "bumps": bumps, "volume": volume}, {"input": image, **results}
    )


def save_figure(folder, pairs, images):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(14, 10), layout="constrained")
    axes = figure.subplots(3, 5)
    for row, (name, colours) in enumerate({"line": ("0.7", "C3"), "bumps": (None, None)}.items()):
        axes[row, 0].plot(pairs[name][0], color=colours[0], linewidth=0.8)
        axes[row, 0].set_title(f"{name}, input")
        axes[row, 1].plot(pairs[name][1], color=colours[1], linewidth=0.8)
        axes[row, 1].set_title(f"{name}, output")
    pictures = {"noisy": pairs["photo"][0][60:260, 150:350], "denoised": pairs["photo"][1][60:260, 150:350]}
    pictures |= {
        "volume, middle slice": pairs["volume"][0][:, :, 15],
        "under the stencil": pairs["volume"][1][:, :, 15],
    }
    pictures |= {name: a[0, :, :, 0] for name, a in images.items()}
    free = [*axes[0, 2:], *axes[1, 2:], *axes[2]]
    for panel, (name, picture) in zip(free, pictures.items(), strict=True):
        panel.imshow(picture, cmap="gray")
        panel.set_title(name)
        panel.set_axis_off()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "general_convolutions.png", dpi=80)
    print(f"wrote {folder / 'general_convolutions.png'}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
