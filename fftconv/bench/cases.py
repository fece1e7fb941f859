"""What is measured: named groups of cases, and what each has to reach. Data; nothing here measures or imports a peer.

To add a case, add a line to its group. A group of a new kind needs a function in `runs` too.
"""

from __future__ import annotations

from fftconv.bench.case import MIB, Frames, Group, Layer, Memory, Script, Signal, Target, faster
from fftconv.bench.grid import grid
from fftconv.bench.ourselves import Beside, Gaussian, OneWorker, Positive
from fftconv.core.problem import Ints

NUMPY_AND_SCIPY = ("numpy", "scipy", "ndimage")
NEVER_SLOWER = faster(*NUMPY_AND_SCIPY, float64=1, float32=1)
FIVE = faster("scipy", float64=5, float32=5)
AS_OPENCV = NEVER_SLOWER + faster("opencv", float64=1, float32=1)
NEAR_OPENCV = NEVER_SLOWER + faster("opencv", float64=0.8, float32=0.8)


def line(samples: int, text: str, taps: int, targets: tuple[Target, ...] = NEVER_SLOWER) -> Signal:
    """A point of a 1-d curve."""
    return Signal(f"{text} x {taps}", (samples,), (taps,), targets, f"{text} samples")


def square(n: int, k: int, targets: tuple[Target, ...] = NEVER_SLOWER) -> Signal:
    """A point of a 2-d curve."""
    return Signal(f"{n}^2 x {k}^2", (n, n), (k, k), targets, f"{n} x {n} pixels")


def cube(n: int, k: int, targets: tuple[Target, ...] = NEVER_SLOWER) -> Signal:
    """A point of a 3-d curve."""
    return Signal(f"{n}^3 x {k}^3", (n,) * 3, (k,) * 3, targets, f"{n} x {n} x {n} voxels")


def rows(taps: int, targets: tuple[Target, ...] = NEVER_SLOWER) -> Signal:
    """A point of the curve of 64 long rows."""
    return Signal(f"64 x 100000 by {taps}", (64, 100_000), (taps,), targets, "64 rows of 100000", (1,))


def channels(k: int) -> Layer:
    """A point of the curve of a layer with 16 channels."""
    name = f"conv2d 8x16->16, 128^2, {k}x{k}"
    return Layer(name, (8, 16, 128, 128), (16, 16, k, k), (), "16 channels, 128 x 128, batch 8", "conv2d")


def layer(text: str, shapes: tuple[Ints, Ints], targets: tuple[Target, ...], **keywords: int) -> Layer:
    """A case of the general family; its name starts with the function."""
    return Layer(text, *shapes, targets, "", text.split()[0], keywords)


THOUSAND = line(10**6, "10^6", 1001, faster("scipy", float64=4.5, float32=2.5))
TEN_THOUSAND = line(10**6, "10^6", 10_001, faster("scipy", float64=8, float32=5))
PICTURE = square(1024, 31, faster("scipy", float64=5, float32=3))
LARGE_PICTURE = square(4096, 101, FIVE)
VOLUME = cube(200, 31, FIVE)

LINES = (
    line(10**6, "10^6", 11),
    line(10**6, "10^6", 31),
    line(10**6, "10^6", 101, faster("scipy", float64=5, float32=3)),
    line(10**6, "10^6", 301),
    THOUSAND,
    line(10**6, "10^6", 3001),
    TEN_THOUSAND,
    line(10**6, "10^6", 30_001),
    line(10**6, "10^6", 100_001),
    line(10**7, "10^7", 48_000, FIVE),
)
PICTURES = (
    *(square(1024, k, AS_OPENCV) for k in (3, 5, 7)),
    *(square(1024, k, NEAR_OPENCV) for k in (9, 11, 13)),
    square(1024, 21),
    PICTURE,
    square(1024, 51),
    square(1024, 101),
    LARGE_PICTURE,
)
VOLUMES = (*(cube(128, k) for k in (3, 5, 9, 15, 31)), VOLUME)
ROWS = rows(512, faster("scipy", float64=5, float32=3))
BATCHES = (
    rows(8),
    rows(64),
    ROWS,
    rows(4096),
    Signal("6000 x 84^2 by 13^2", (6000, 84, 84), (13, 13), NEVER_SLOWER, axes=(1, 2)),
)
SHORT = Signal(
    "500 x 10",
    (500,),
    (10,),
    faster("scipy", float64=1, float32=1) + faster("numpy", float64=0.4, float32=0.4),
)
SMALL = (
    SHORT,
    Signal("1664 x 65", (1664,), (65,), NEVER_SLOWER),
    Signal("4096 x 64", (4096,), (64,), NEVER_SLOWER),
    Signal("10^5 x 10", (10**5,), (10,), NEVER_SLOWER),
    Signal("232523 x 5", (232_523,), (5,), NEVER_SLOWER),
    Signal("10007 x 1009", (10_007,), (1009,), NEVER_SLOWER),
    Signal("100003 x 10007", (100_003,), (10_007,), NEVER_SLOWER),
    Signal("64^2 x 5^2", (64, 64), (5, 5), NEVER_SLOWER),
    Signal("509^2 x 31^2", (509, 509), (31, 31), NEVER_SLOWER),
    Signal("101^3 x 7^3", (101,) * 3, (7,) * 3, NEVER_SLOWER),
)
LAYERS = (
    layer(
        "conv2d 4x8->8, 256^2, 31x31",
        ((4, 8, 256, 256), (8, 8, 31, 31)),
        faster("torch", float64=100, float32=20),
    ),
    layer(
        "conv2d depthwise 2x32, 256^2, 31x31",
        ((2, 32, 256, 256), (32, 1, 31, 31)),
        faster("torch", float64=100, float32=20),
        groups=32,
    ),
    layer("conv1d 1x64->64, 64000, 1024", ((1, 64, 64_000), (64, 64, 1024)), faster("torch", float32=20)),
    layer("conv1d 16x1->1, 48000, 4800", ((16, 1, 48_000), (1, 1, 4800)), faster("torch", float32=100)),
    layer(
        "conv3d 1x4->4, 64^3, 7^3",
        ((1, 4, 64, 64, 64), (4, 4, 7, 7, 7)),
        faster("torch", float64=20, float32=1.5),
    ),
    layer(
        "conv2d 1x1->1, 1024^2, 31x31, stride 4",
        ((1, 1, 1024, 1024), (1, 1, 31, 31)),
        faster("torch", float64=5, float32=1),
        stride=4,
    ),
    layer(
        "conv2d 1x3->3, 512^2, 9x9, dilation 12",
        ((1, 3, 512, 512), (3, 3, 9, 9)),
        faster("torch", float64=5, float32=1),
        dilation=12,
    ),
    layer(
        "conv2d 8x16->32, 128^2, 3x3",
        ((8, 16, 128, 128), (32, 16, 3, 3)),
        faster("torch", float64=1.5, float32=0.4),
    ),
    layer(
        "conv2d 8x16->32, 128^2, 3x3, stride 2",
        ((8, 16, 128, 128), (32, 16, 3, 3)),
        faster("torch", float64=1.5, float32=0.4),
        stride=2,
    ),
    layer(
        "conv2d 8x64->64, 56^2, 3x3",
        ((8, 64, 56, 56), (64, 64, 3, 3)),
        faster("torch", float64=1, float32=0.45),
    ),
    layer(
        "conv_transpose2d 4x32->16, 64^2, 4x4, stride 2",
        ((4, 32, 64, 64), (32, 16, 4, 4)),
        faster("torch", float64=1, float32=0.5),
        stride=2,
    ),
)
FIRST_CALLS = (
    Script(
        "10^6 x 1001",
        "import fftconv, numpy as np; fftconv.convolve(np.ones(10**6), np.ones(1001))",
        "import scipy.signal, numpy as np; scipy.signal.convolve(np.ones(10**6), np.ones(1001))",
        "scipy",
        faster("scipy", float64=1),
    ),
    Script(
        "1024^2 x 3^2",
        "import fftconv, numpy as np; fftconv.convolve(np.ones((1024, 1024)), np.ones((3, 3)), 'same')",
        "import scipy.ndimage, numpy as np; "
        "scipy.ndimage.convolve(np.ones((1024, 1024)), np.ones((3, 3)), mode='constant')",
        "ndimage",
        faster("ndimage", float64=1),
    ),
)
# the issue asks for at most 1.3 times the executes
NEAR_LIMIT = faster("as planned", "measured", float64=1 / 1.3, float32=1 / 1.3)


def _limit(case: Signal) -> Signal:
    return Signal(case.name, case.x, case.w, NEAR_LIMIT, axes=case.axes)


# the issue asks for at most 1.1 times the executes with one pass over the data, and 1.5 times those of a short signal
NEAR_EXECUTES = faster("executes + copy", float64=1 / 1.1, float32=1 / 1.1)
NEAR_ONE_EXECUTE = faster("executes", float64=1 / 1.5, float32=1 / 1.5)


# two workers: 0.8 of twice as fast
TWO_WORKERS = faster("1 worker", float64=1.6, float32=1.6)
# at most 3 % where the data need it
NO_DEARER = faster("either sign", float64=1 / 1.03, float32=1 / 1.03)
TWICE = faster("as a dense kernel", float64=2, float32=2)


def _beside(kind: type[Beside], targets: tuple[Target, ...], *cases: Signal) -> tuple[Beside, ...]:
    return tuple(kind(case.name, case.x, case.w, targets, axes=case.axes) for case in cases)


GROUPS: dict[str, Group] = {
    "1d": Group("One long signal", "timed", LINES),
    "2d": Group("Pictures", "timed", PICTURES),
    "3d": Group("Volumes", "timed", VOLUMES),
    "batch": Group("Many at once", "timed", BATCHES),
    "general": Group("The general family", "timed", (*LAYERS, *map(channels, (3, 5, 7, 11, 15, 21, 31)))),
    "small": Group("Short signals and prime lengths", "timed", SMALL),
    "first-call": Group("The first call of a process", "first-call", FIRST_CALLS),
    "limit": Group(
        "Against the bare transforms",
        "limit",
        tuple(map(_limit, (THOUSAND, TEN_THOUSAND, PICTURE, LARGE_PICTURE, VOLUME))),
    ),
    "prepared": Group(
        "A kernel prepared once",
        "prepared",
        (
            Frames("4096 x 64", (4096,), (64,), NEAR_ONE_EXECUTE),
            Frames("64^2 x 9^2", (64, 64), (9, 9)),
            Frames("10^6 x 1001", (10**6,), (1001,)),
            Frames("1024^2 x 31^2", (1024, 1024), (31, 31), NEAR_EXECUTES),
            Frames("512^2 x 257^2", (512, 512), (257, 257)),
        ),
    ),
    "workers": Group(
        "Several workers against one",
        "ourselves",
        _beside(OneWorker, TWO_WORKERS, LINES[-1], ROWS, LARGE_PICTURE, VOLUME),
    ),
    "signs": Group(
        "Data that are not negative, beside others",
        "ourselves",
        _beside(Positive, NO_DEARER, THOUSAND, ROWS, PICTURE, VOLUME),
    ),
    "separable": Group(
        "Kernels that are products of 1-d kernels",
        "ourselves",
        _beside(Gaussian, TWICE, square(1024, 15), PICTURE, square(1024, 51), cube(128, 15)),
    ),
    "regret": Group("The choice of method", "regret", grid()),
    "memory": Group(
        "Scratch memory",
        "memory",
        (
            *(Memory(c, 64 * MIB) for c in (SHORT, LINES[2], THOUSAND, TEN_THOUSAND, LINES[-1], ROWS)),
            *(Memory(c, 64 * MIB) for c in (PICTURE, LARGE_PICTURE, VOLUME)),
            *(Memory(c, 256 * MIB) for c in LAYERS),
        ),
    ),
}
