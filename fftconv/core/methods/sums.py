"""Sums over channels in LLVM's language: spectra stay as they lie, and what is summed stays in registers.

``y[t, o] = sum_i x[t, i] * w[o, i]``, each a row of complex numbers. A block of tiles by outputs is summed at a time,
so that a row that is loaded serves several sums. Products have the bits of NumPy's (see `steps.py`), and are rounded
before they are added, in the order of the channels.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fftconv.core.channels import LINE
from fftconv.core.methods import compiler
from fftconv.core.methods.warmth import Warmth

CALL = (
    *("x", "w", "y", "tiles", "inputs", "outputs", "lines"),
    *("x.tile", "x.input", "w.output", "w.input", "y.tile", "y.output"),
)
"""A call in int64: addresses, counts (`lines` of cache in a row), and the bytes from one row to the next."""

# Tiles and outputs of a block; its sums, and what they are made of, fill 16 registers.
TILES, OUTPUTS = 4, 2

_DRIVER = """
define void @sums(ptr %call) {{
entry:
{call}
  br label %tile
tile:
  %t = phi i64 [ 0, %entry ], [ %t.next, %tile.end ]
  %t.left = sub i64 %tiles, %t
  %t.many = icmp sge i64 %t.left, {tiles}
  %t.count = select i1 %t.many, i64 {tiles}, i64 1
  %x.skip = mul i64 %t, %x.tile
  %x.t = add i64 %x, %x.skip
  %y.skip = mul i64 %t, %y.tile
  %y.t = add i64 %y, %y.skip
  br label %output
output:
  %o = phi i64 [ 0, %tile ], [ %o.next, %output ]
  %o.left = sub i64 %outputs, %o
  %o.many = icmp sge i64 %o.left, {outputs}
  %o.count = select i1 %o.many, i64 {outputs}, i64 1
  %w.skip = mul i64 %o, %w.output
  %w.o = add i64 %w, %w.skip
  %y.down = mul i64 %o, %y.output
  %y.o = add i64 %y.t, %y.down
  %f.many = select i1 %o.many, ptr @block{tiles}x{outputs}, ptr @block{tiles}x1
  %f.one = select i1 %o.many, ptr @block1x{outputs}, ptr @block1x1
  %f = select i1 %t.many, ptr %f.many, ptr %f.one
  call void %f(i64 %x.t, i64 %w.o, i64 %y.o, ptr %call)
  %o.next = add i64 %o, %o.count
  %o.more = icmp slt i64 %o.next, %outputs
  br i1 %o.more, label %output, label %tile.end
tile.end:
  %t.next = add i64 %t, %t.count
  %t.more = icmp slt i64 %t.next, %tiles
  br i1 %t.more, label %tile, label %exit
exit:
  ret void
}}
declare {vector} @llvm.fma.v{lanes}{short}({vector}, {vector}, {vector})
"""

_BLOCK = """
define private void @block{tiles}x{outputs}(i64 %x, i64 %w, i64 %y, ptr %call) {{
entry:
{call}
  %bytes = mul i64 %lines, {line}
  br label %bins
bins:
  %at = phi i64 [ 0, %entry ], [ %at.next, %bins.end ]
  br label %input
input:
  %i = phi i64 [ 0, %bins ], [ %i.next, %input ]
{begin}
{load}
{products}
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %inputs
  br i1 %more, label %input, label %bins.end
bins.end:
{store}
  %at.next = add i64 %at, {width}
  %more.bins = icmp slt i64 %at.next, %bytes
  br i1 %more.bins, label %bins, label %exit
exit:
  ret void
}}
"""
# The parts of numbers a, and numbers b with their parts exchanged: a.re * b + (-a.im * b', a.im * b')
_X = """\
  %re.{t} = shufflevector {vector} %x.{t}, {vector} poison, <{lanes} x i32> <{real}>
  %im.{t} = shufflevector {vector} %x.{t}, {vector} poison, <{lanes} x i32> <{imag}>"""
_W = """\
  %turned.{o} = shufflevector {vector} %w.{o}, {vector} poison, <{lanes} x i32> <{swap}>"""
_PRODUCT = """\
  %p.{t}.{o} = fmul {vector} %im.{t}, %turned.{o}
{parts}
  %c.{t}.{o} = shufflevector {vector} %less.{t}.{o}, {vector} %more.{t}.{o}, <{lanes} x i32> <{blend}>
  %sum.{t}.{o}.next = fadd {vector} %sum.{t}.{o}, %c.{t}.{o}"""
_FUSED = """\
  %minus.{t}.{o} = fneg {vector} %p.{t}.{o}
  %less.{t}.{o} = call {vector} @llvm.fma.v{lanes}{short}({vector} %re.{t}, {vector} %w.{o}, {vector} %minus.{t}.{o})
  %more.{t}.{o} = call {vector} @llvm.fma.v{lanes}{short}({vector} %re.{t}, {vector} %w.{o}, {vector} %p.{t}.{o})"""
_APART = """\
  %d.{t}.{o} = fmul {vector} %re.{t}, %w.{o}
  %less.{t}.{o} = fsub {vector} %d.{t}.{o}, %p.{t}.{o}
  %more.{t}.{o} = fadd {vector} %d.{t}.{o}, %p.{t}.{o}"""


def source(char: str, width: int, fused: bool) -> str:
    """All functions for the spectra of real numbers `char` in vectors of `width` bytes, as text."""
    number, short = {"f": ("float", "f32"), "d": ("double", "f64")}[char]
    lanes = width // np.dtype(char).itemsize
    names = {"lanes": lanes, "vector": f"<{lanes} x {number}>", "short": short, "width": width}
    call = "\n".join(
        f"  %{name}.p = getelementptr i64, ptr %call, i64 {i}\n  %{name} = load i64, ptr %{name}.p"
        for i, name in enumerate(CALL)
    )
    driver = _DRIVER.format(call=call, tiles=TILES, outputs=OUTPUTS, **names)
    own = "\n".join(line for line in call.splitlines() if not line.startswith(("  %x ", "  %w ", "  %y ")))
    blocks = (_block(t, o, own, names, fused) for t in (TILES, 1) for o in (OUTPUTS, 1))
    return driver + "".join(blocks)


def _block(tiles: int, outputs: int, call: str, names: dict[str, object], fused: bool) -> str:
    lanes, vector = int(str(names["lanes"])), names["vector"]

    def each(lane: Callable[[int], int]) -> str:
        return ", ".join(f"i32 {lane(i)}" for i in range(lanes))

    def row(array: str, i: int, along: str) -> str:
        """The vector of a row: `i` rows on along one axis, input %i along the other."""
        name = f"{array}.{i}"
        return (
            f"  %{name}.in = mul i64 %i, %{array}.input\n"
            f"  %{name}.out = mul i64 {i}, %{along}\n"
            f"  %{name}.a = add i64 %{array}, %{name}.in\n"
            f"  %{name}.b = add i64 %{name}.a, %{name}.out\n"
            f"  %{name}.c = add i64 %{name}.b, %at\n"
            f"  %{name}.p = inttoptr i64 %{name}.c to ptr\n"
            f"  %{name} = load {vector}, ptr %{name}.p, align 8"
        )

    begin, load, products, store = [], [], [], []
    masks = {
        "real": each(lambda i: i & ~1),
        "imag": each(lambda i: i | 1),
        "swap": each(lambda i: i ^ 1),
        "blend": each(lambda i: i if i % 2 == 0 else lanes + i),
    }
    for o in range(outputs):
        load.append(row("w", o, "w.output"))
        load.append(_W.format(o=o, **names, **masks))
    for t in range(tiles):
        products.append(row("x", t, "x.tile"))
        products.append(_X.format(t=t, **names, **masks))
        for o in range(outputs):
            # adding to -0 leaves the sign of a zero as it is
            zeros = ", ".join([f"{str(vector)[1:-1].split()[-1]} -0.0"] * lanes)
            begin.append(f"  %sum.{t}.{o} = phi {vector} [ <{zeros}>, %bins ], [ %sum.{t}.{o}.next, %input ]")
            parts = (_FUSED if fused else _APART).format(t=t, o=o, **names)
            products.append(_PRODUCT.format(t=t, o=o, parts=parts, **names, **masks))
            at = f"y.{t}.{o}"
            store += [
                f"  %{at}.t = mul i64 {t}, %y.tile",
                f"  %{at}.o = mul i64 {o}, %y.output",
                f"  %{at}.a = add i64 %y, %{at}.t",
                f"  %{at}.b = add i64 %{at}.a, %{at}.o",
                f"  %{at}.c = add i64 %{at}.b, %at",
                f"  %{at}.p = inttoptr i64 %{at}.c to ptr",
                f"  store {vector} %sum.{t}.{o}.next, ptr %{at}.p, align 8",
            ]
    whole = {"begin": begin, "load": load, "products": products, "store": store}
    text = {name: "\n".join(lines) for name, lines in whole.items()}
    return _BLOCK.format(tiles=tiles, outputs=outputs, call=call, line=LINE, **names, **text)


@dataclass(frozen=True, eq=False)
class Sums:
    """The compiled function for one precision.

    Attributes
    ----------
    run : callable
        ``run(address of a call)`` fills all rows of y.
    engine : object
        What keeps the code alive.
    """

    run: Callable[[int], None]
    engine: object

    def __call__(self, x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
        """As `in_numpy`, for rows of whole cache lines."""
        lines = x.shape[-1] * x.itemsize // LINE
        counts = (len(x), x.shape[1], len(w), lines)
        places = (a.__array_interface__["data"][0] for a in (x, w, y))
        steps = (step for a in (x, w, y) for step in a.strides[:2])
        call = np.array([*places, *counts, *steps], np.int64)
        self.run(call.__array_interface__["data"][0])


def in_numpy(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
    """The sums of x (tiles, inputs, bins) with w (outputs, inputs, bins), into y (tiles, outputs, bins)."""
    term = np.empty(x.shape[-1], x.dtype)
    for rows, sums in zip(x, y, strict=True):
        for kernels, total in zip(w, sums, strict=True):
            np.multiply(rows[0], kernels[0], out=total)
            for row, kernel in zip(rows[1:], kernels[1:], strict=True):
                np.multiply(row, kernel, out=term)
                np.add(total, term, out=total)


def compiled(char: str) -> Sums:
    """The sums for real numbers `char`; RuntimeError where they would not have NumPy's bits."""
    width = compiler.vector_bytes()
    engine = compiler.compiled(source(char, width, compiler.fuses()))
    sums = Sums(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("sums")), engine)
    kind = np.result_type(char, np.complex64)
    rng = np.random.default_rng(0)
    x, w, found, expected = (
        rng.standard_normal((*shape, 16, 2)).astype(char).view(kind)[..., 0]
        for shape in ((TILES + 1, 3), (OUTPUTS + 1, 3), *((TILES + 1, OUTPUTS + 1),) * 2)
    )
    sums(x, w, found)
    in_numpy(x, w, expected)
    if found.tobytes() != expected.tobytes():
        raise RuntimeError("NumPy's products of complex numbers are rounded in another way")
    return sums


warmth: Warmth[Sums] = Warmth(compiled)
