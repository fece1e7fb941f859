"""``<A x, y> == <x, A' y>`` to rounding, over random convolutions of every kind and their transposes and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from fftconv import lax, nn

CONV = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}
TRANSPOSED = {1: nn.conv_transpose1d, 2: nn.conv_transpose2d, 3: nn.conv_transpose3d}
INPUT = {1: nn.conv1d_input, 2: nn.conv2d_input, 3: nn.conv3d_input}
WEIGHT = {1: nn.conv1d_weight, 2: nn.conv2d_weight, 3: nn.conv3d_weight}
LAYOUT = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NHWDC", "HWDIO", "NHWDC")}
METHODS = ("auto", "direct", "fft", "overlap_save")


class Draw:
    """A random convolution: sizes, keywords, and arrays of its dtype."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.axes = int(self.rng.integers(1, 4))
        self.groups = int(self.rng.integers(1, 4))
        self.method = METHODS[seed % len(METHODS)]
        self.complex = bool(self.rng.integers(2))
        self.kernel = self.ints(1, 5)
        self.stride, self.dilation, self.padding = self.ints(1, 4), self.ints(1, 4), self.ints(0, 4)
        reach = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        self.size = tuple(r + int(self.rng.integers(0, 8)) for r in reach)
        inputs, outputs = (int(i) for i in self.rng.integers(1, 4, 2))
        self.x = self.array(2, self.groups * inputs, *self.size)
        self.w = self.array(self.groups * outputs, inputs, *self.kernel)

    def ints(self, low: int, high: int) -> tuple[int, ...]:
        return tuple(int(i) for i in self.rng.integers(low, high, self.axes))

    def array(self, *shape: int) -> np.ndarray:
        a = self.rng.standard_normal(shape)
        return a + 1j * self.rng.standard_normal(shape) if self.complex else a


def assert_equal_products(ax: np.ndarray, y: np.ndarray, x: np.ndarray, aty: np.ndarray) -> None:
    assert ax.shape == y.shape
    assert x.shape == aty.shape
    bound = 1e-12 * np.linalg.norm(ax) * np.linalg.norm(y)
    assert abs(np.vdot(ax, y) - np.vdot(x, aty)) <= bound


@pytest.mark.parametrize("seed", range(48))
def test_gradients_are_adjoints(seed: int) -> None:
    c = Draw(seed)
    keywords = {"stride": c.stride, "padding": c.padding, "dilation": c.dilation, "groups": c.groups}
    keywords["method"] = c.method
    ax = CONV[c.axes](c.x, c.w, **keywords)
    y = c.array(*ax.shape)
    assert_equal_products(ax, y, c.x, INPUT[c.axes](c.x.shape, c.w, y, **keywords))
    assert_equal_products(ax, y, c.w, WEIGHT[c.axes](c.x, c.w.shape, y, **keywords))


@pytest.mark.parametrize("seed", range(48))
def test_nn_transposed_is_the_adjoint(seed: int) -> None:
    c = Draw(seed)
    keywords = {"stride": c.stride, "padding": c.padding, "dilation": c.dilation, "groups": c.groups}
    ax = CONV[c.axes](c.x, c.w, method=c.method, **keywords)
    y = c.array(*ax.shape)
    extra = tuple(
        (n + 2 * p - d * (k - 1) - 1) % s
        for n, p, d, k, s in zip(c.size, c.padding, c.dilation, c.kernel, c.stride, strict=True)
    )
    aty = TRANSPOSED[c.axes](y, c.w.conj(), output_padding=extra, method=c.method, **keywords)
    assert_equal_products(ax, y, c.x, aty)


@pytest.mark.parametrize("seed", range(48))
def test_lax_transposed_is_the_adjoint(seed: int) -> None:
    c = Draw(seed)
    layout, w = LAYOUT[c.axes], c.array(*c.kernel, 2, 3)
    pads = tuple(zip(c.padding, c.ints(0, 4), strict=True))
    # lengthened until the strides leave no remainder, since lax has no output_padding
    size = tuple(
        n - (n + lo + hi - d * (k - 1) - 1) % -s
        for n, s, d, k, (lo, hi) in zip(c.size, c.stride, c.dilation, c.kernel, pads, strict=True)
    )
    x = c.array(2, *size, 2)
    ax = lax.conv_general_dilated(x, w, c.stride, pads, None, c.dilation, layout, method=c.method)
    y = c.array(*ax.shape)
    aty = lax.conv_transpose(
        y,
        w.conj(),
        c.stride,
        pads,
        c.dilation,
        transpose_kernel=True,
        use_consistent_padding=True,
        method=c.method,
    )
    assert_equal_products(ax, y, x, aty)


@pytest.mark.parametrize("seed", range(48))
def test_the_general_convolution_and_its_adjoint(seed: int) -> None:
    """Strides, both dilations, groups and pads of any sign at once: stride and input dilation change places."""
    c = Draw(seed)
    spread, lows, highs = c.ints(1, 4), c.ints(-2, 5), c.ints(-2, 5)
    # pads that crop leave as much as the kernel reaches
    reaches = [d * (k - 1) + 1 for d, k in zip(c.dilation, c.kernel, strict=True)]
    lengths = [(n - 1) * b + 1 for n, b in zip(c.size, spread, strict=True)]
    pads = tuple(
        (lo, max(hi, reach - n - lo)) for lo, hi, reach, n in zip(lows, highs, reaches, lengths, strict=True)
    )
    geometry = {"feature_group_count": c.groups, "method": c.method}
    ax = lax.conv_general_dilated(c.x, c.w, c.stride, pads, spread, c.dilation, **geometry)
    y = c.array(*ax.shape)
    back = []
    for n, m, k, s, b, d, (lo, _) in zip(
        c.size, ax.shape[2:], c.kernel, c.stride, spread, c.dilation, pads, strict=True
    ):
        low = d * (k - 1) - lo
        back.append((low, (n - 1) * b + d * (k - 1) - (m - 1) * s - low))
    inputs = c.w.shape[1]
    turned = np.flip(c.w.conj(), tuple(range(2, c.w.ndim))).reshape(c.groups, -1, *c.w.shape[1:])
    turned = turned.swapaxes(1, 2).reshape(c.groups * inputs, -1, *c.kernel)
    aty = lax.conv_general_dilated(y, turned, spread, back, c.stride, c.dilation, **geometry)
    assert_equal_products(ax, y, c.x, aty)


@pytest.mark.parametrize("seed", range(24))
def test_batch_groups(seed: int) -> None:
    """Output channels of a block see one block of the batch, and give back to it alone."""
    c, blocks = Draw(seed), 1 + seed % 3
    members, pads = c.w.shape[1], tuple((p, p) for p in c.padding)
    x, w = c.array(2 * blocks, members, *c.size), c.array(3 * blocks, members, *c.kernel)
    ones = (1,) * c.axes
    ax = lax.conv_general_dilated(
        x, w, c.stride, pads, ones, c.dilation, batch_group_count=blocks, method=c.method
    )
    y = c.array(*ax.shape)
    keywords = {"stride": c.stride, "padding": c.padding, "dilation": c.dilation, "method": c.method}
    parts = [
        INPUT[c.axes]((2, members, *c.size), kernels, np.ascontiguousarray(results), **keywords)
        for kernels, results in zip(np.split(w, blocks), np.split(y, blocks, 1), strict=True)
    ]
    assert_equal_products(ax, y, x, np.concatenate(parts))


@pytest.mark.parametrize("seed", range(24))
def test_local_and_patches(seed: int) -> None:
    """The local operator is linear in its kernels and in its input; patches go back by kernels of a single one."""
    c = Draw(seed)
    channels, taps = c.x.shape[1], int(np.prod(c.kernel))
    pads = tuple((p, p) for p in c.padding)
    patches = lax.conv_general_dilated_patches(c.x, c.kernel, c.stride, pads, None, c.dilation)
    kernels = c.array(2, *patches.shape[1:])
    ax = lax.conv_general_dilated_local(c.x, kernels, c.stride, pads, c.kernel, None, c.dilation)
    y = c.array(*ax.shape)
    assert_equal_products(ax, y, kernels, np.einsum("nr...,no...->or...", patches.conj(), y))
    spread = np.einsum("or...,no...->nr...", kernels.conj(), y)
    single = np.tile(
        np.eye(taps, dtype=y.dtype).reshape(taps, 1, *c.kernel), (channels, *(1,) * (c.axes + 1))
    )
    keywords = {"stride": c.stride, "padding": c.padding, "dilation": c.dilation, "groups": channels}
    back = INPUT[c.axes](c.x.shape, single, spread, method=c.method, **keywords)
    assert_equal_products(ax, y, c.x, back)
