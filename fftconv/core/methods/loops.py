"""The loop behind `jit`, in LLVM's own language, compiled for the processor at hand.

One function serves every geometry, because all geometry is in tables of positions::

    out[places[r] + j] = sum_t weights[t] * x[starts[r] + offsets[t] + j]

for every row r of outputs and, from each of `spots` on, a few vectors of neighbours j. They stay in registers while
all taps are added to them, one after the other, so an output is written once and never read. (To the processor
these are independent sums, whose additions need not wait for each other.) Spots may overlap: what is computed twice is
the same.

A second function is for rows that reach past the ends of the input. Tap t of output j is sample ``columns[t] + j``
of its row; where that is not within `width` the function loads nothing and has a zero.

Rows are claimed, `block` of them at a time, from a counter that all threads share: they meet in memory and need not
hand over the interpreter's lock to share out work that takes less than a millisecond.

It is written in LLVM's language and not in Python for numba because numba takes a third of a second to load what it has
compiled before, and this takes a twentieth of that to compile. Two things depend on it that a compiler of
Python would not promise either: vectors as wide as the processor has them, and products that are rounded before
they are added (LLVM fuses the two only where a program allows it), which makes the bits those of NumPy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import prod

import numpy as np

# Vectors of outputs that are summed side by side. An addition takes four cycles, and one may begin in each.
ABREAST = 4

FIELDS = (
    *("next", "x", "starts", "offsets", "columns", "weights", "out", "places", "spots"),
    *("block", "rows", "taps", "count", "width"),
)
"""What a call consists of: a row of int64, addresses first. `next` is the first row that nobody has claimed."""

Loop = Callable[[int], None]
"""``loop(address of a call)``; it runs without the interpreter's lock."""

_FUNCTION = """
define void @{name}(ptr %call) {{
entry:
{fields}
  br label %claim
claim:
  %r.first = atomicrmw add ptr %call, i64 %block monotonic
  %r.beyond = add i64 %r.first, %block
  %r.cut = icmp slt i64 %r.beyond, %rows
  %r.end = select i1 %r.cut, i64 %r.beyond, i64 %rows
  %r.any = icmp slt i64 %r.first, %r.end
  br i1 %r.any, label %row, label %exit
row:
  %r = phi i64 [ %r.first, %claim ], [ %r.next, %row.end ]
  %start.at = getelementptr i64, ptr %starts, i64 %r
  %start = load i64, ptr %start.at
  %place.at = getelementptr i64, ptr %places, i64 %r
  %place = load i64, ptr %place.at
  br label %spot
spot:
  %c = phi i64 [ 0, %row ], [ %c.next, %spot.end ]
  %j.at = getelementptr i64, ptr %spots, i64 %c
  %j = load i64, ptr %j.at
  %first = add i64 %start, %j
  br label %tap
tap:
  %t = phi i64 [ 0, %spot ], [ %t.next, %tap ]
{sums}
  %offset.at = getelementptr i64, ptr %offsets, i64 %t
  %offset = load i64, ptr %offset.at
  %from = add i64 %first, %offset
  %source = getelementptr {number}, ptr %x, i64 %from
  %weight.at = getelementptr {number}, ptr %weights, i64 %t
  %weight = load {number}, ptr %weight.at, align 1
  %w.first = insertelement {vector} undef, {number} %weight, i32 0
  %w = shufflevector {vector} %w.first, {vector} undef, <{lanes} x i32> zeroinitializer
{mask}
{loads}
{terms}
  %t.next = add i64 %t, 1
  %more.taps = icmp slt i64 %t.next, %taps
  br i1 %more.taps, label %tap, label %spot.end
spot.end:
  %to = add i64 %place, %j
  %target = getelementptr {number}, ptr %out, i64 %to
{stores}
  %c.next = add i64 %c, 1
  %more.spots = icmp slt i64 %c.next, %count
  br i1 %more.spots, label %spot, label %row.end
row.end:
  %r.next = add i64 %r, 1
  %more.rows = icmp slt i64 %r.next, %r.end
  br i1 %more.rows, label %row, label %claim
exit:
  ret void
}}
"""
_FIELD = """\
  %{field}.at = getelementptr i64, ptr %call, i64 {i}
  %{field}{number} = load i64, ptr %{field}.at"""
_ADDRESS = "\n  %{field} = inttoptr i64 %{field}.number to ptr"
# The first product must come out as it is: only -0 leaves both zeros their sign.
_SUM = "  %sum{c} = phi {vector} [ {zero}, %spot ], [ %sum{c}.next, %tap ]"
_LOAD = """\
  %x{c}.at = getelementptr {vector}, ptr %source, i64 {c}
  %x{c} = load {vector}, ptr %x{c}.at, align 1"""
_TERM = """\
  %term{c} = {multiply} {vector} %w, %x{c}
  %sum{c}.next = {add} {vector} %sum{c}, %term{c}"""
_STORE = """\
  %out{c}.at = getelementptr {vector}, ptr %target, i64 {c}
  store {vector} %sum{c}.next, ptr %out{c}.at, align 1"""
# As numbers without a sign, what lies before the first sample lies far beyond the last.
_MASK = """\
  %column.at = getelementptr i64, ptr %columns, i64 %t
  %column = load i64, ptr %column.at
  %lane.wide = add i64 %column, %j
  %lane = trunc i64 %lane.wide to i32
  %lane.first = insertelement <{lanes} x i32> undef, i32 %lane, i32 0
  %lane.all = shufflevector <{lanes} x i32> %lane.first, <{lanes} x i32> undef, <{lanes} x i32> zeroinitializer
  %lane.each = add <{lanes} x i32> %lane.all, <{count}>
  %end = trunc i64 %width to i32
  %end.first = insertelement <{lanes} x i32> undef, i32 %end, i32 0
  %end.all = shufflevector <{lanes} x i32> %end.first, <{lanes} x i32> undef, <{lanes} x i32> zeroinitializer
  %inside = icmp ult <{lanes} x i32> %lane.each, %end.all"""
_MASKED_LOAD = """\
  %x0 = call {vector} @llvm.masked.load.v{lanes}{short}.p0(
      ptr %source, i32 1, <{lanes} x i1> %inside, {vector} zeroinitializer)"""
_DECLARED = "declare {vector} @llvm.masked.load.v{lanes}{short}.p0(ptr, i32, <{lanes} x i1>, {vector})\n"


def source(dtype: np.dtype, lanes: int, abreast: int) -> str:
    """The function that sums `abreast` vectors of `lanes` outputs at a time, as text; with 0, the one for edges."""
    floats, bits = dtype.kind == "f", 8 * dtype.itemsize
    number = {4: "float", 8: "double"}[dtype.itemsize] if floats else f"i{bits}"
    words = {
        "number": number,
        "lanes": lanes,
        "vector": f"<{lanes} x {number}>",
        "zero": f"<{', '.join([f'{number} -0.0'] * lanes)}>" if floats else "zeroinitializer",
        "multiply": "fmul" if floats else "mul",
        "add": "fadd" if floats else "add",
        "short": f"{'f' if floats else 'i'}{bits}",
        "count": ", ".join(f"i32 {lane}" for lane in range(lanes)),
    }

    def each(line: str) -> str:
        return "\n".join(line.format(c=c, **words) for c in range(abreast or 1))

    text = _FUNCTION.format(
        name=f"sum_{lanes * abreast}",
        fields="\n".join(map(_field, range(1, len(FIELDS)))),
        mask="" if abreast else _MASK.format(**words),
        loads=each(_LOAD if abreast else _MASKED_LOAD),
        sums=each(_SUM),
        terms=each(_TERM),
        stores=each(_STORE),
        **words,
    )
    return text if abreast else _DECLARED.format(**words) + text


def _field(i: int) -> str:
    field = FIELDS[i]
    address = i < FIELDS.index("block")
    return (_FIELD + _ADDRESS * address).format(field=field, i=i, number=".number" * address)


@dataclass(frozen=True, eq=False)
class Loops:
    """The loops of one dtype.

    Attributes
    ----------
    by_outputs : tuple of (int, Loop)
        For rows of at least so many outputs, the widest first.
    edge : (int, Loop)
        Outputs at a time, and the loop that looks where a row ends.
    engine : object
        What keeps the code alive.
    """

    by_outputs: tuple[tuple[int, Loop], ...]
    edge: tuple[int, Loop]
    engine: object

    def of(self, n: int) -> tuple[int, Loop]:
        """Outputs at a time, and the loop for rows of n outputs."""
        return next(found for found in self.by_outputs if found[0] <= n)


def compiled(char: str) -> Loops:
    """The loops of one dtype: some 20 ms, and as much once for the compiler itself."""
    import llvmlite.binding as llvm

    # older versions want it, newer ones refuse it
    with suppress(RuntimeError):
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    dtype = np.dtype(char)
    lanes = (64 if features.get("avx512f") else 32 if features.get("avx2") else 16) // dtype.itemsize
    shapes = sorted({(lanes, ABREAST), (lanes, 2), (lanes, 1), (max(1, lanes // 4), 1), (1, 1)}, key=prod)[
        ::-1
    ]
    module = llvm.parse_assembly("".join(source(dtype, *shape) for shape in [*shapes, (lanes, 0)]))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()

    def loop(outputs: int) -> Loop:
        return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address(f"sum_{outputs}"))

    return Loops(tuple((prod(s), loop(prod(s))) for s in shapes), (lanes, loop(0)), engine)
