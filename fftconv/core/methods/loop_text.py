"""The loop behind `jit`, in LLVM's own language.

One function serves every geometry, because all geometry is in tables of positions::

    out[places[r] + j] = sum_{o, v, k} weights[o, v, k] * x[starts[r] + outers[o] + lines[firsts[r] + v] + steps[k] + j]

for every row r of outputs and, from each of `spots` on, a few vectors of neighbours j. Taps are the lines v of a kernel
along one axis (a line may lie outside the input: `OUTSIDE` in its place, and it is zeros), the `taps` places k of a
line, and all other axes and channels o. The sums stay in registers while all taps are added to them, one after the
other, so an output is written once and never read. (To the processor these are independent sums, whose additions need
not wait for each other.) Spots may overlap: what is computed twice is the same.

Two rows of outputs are summed side by side where one reads the lines of the other, one further on: line v of the first
is line v - 1 of the second. What is loaded serves both, and loads would else be what a loop waits for.

Another function is for rows that reach past the ends of the input. Place k of output j is sample ``columns[k] + j``
of its row; where that is not within `width` it loads nothing and has a zero. It takes two spots at a time, one at
either end.

Rows are claimed, `block` of them at a time, from a counter that all threads share: they meet in memory and need not
hand over the interpreter's lock to share out work that takes less than a millisecond. Their tables are those of
`each` rows of one input, to be repeated at distances of `x.step` and `out.step`.

It is written in LLVM's language and not in Python for numba because numba takes a third of a second to load what it has
compiled before, and this takes a tenth of that to compile. Two things depend on it that a compiler of
Python would not promise either: vectors as wide as the processor has them, and products that are rounded before
they are added (LLVM fuses the two only where a program allows it), which makes the bits those of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIELDS = (
    *("next", "x", "weights", "out"),
    *("starts", "firsts", "lines", "outers", "steps", "columns", "places", "spots"),
    *("block", "rows", "each", "x.step", "out.step", "apart", "count", "others", "long", "taps", "width"),
)
"""What a call consists of: a row of int64, addresses first. `next` is the first row that nobody has claimed."""

OUTSIDE = -(2**63)
"""Where a line lies that is outside the input."""

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
  %turn = udiv i64 %r, %each
  %turned = mul i64 %turn, %each
  %own = sub i64 %r, %turned
  %start.at = getelementptr i64, ptr %starts, i64 %own
  %start.own = load i64, ptr %start.at
  %start.turn = mul i64 %turn, %x.step
  %start = add i64 %start.own, %start.turn
  %place.at = getelementptr i64, ptr %places, i64 %own
  %place.own = load i64, ptr %place.at
  %place.turn = mul i64 %turn, %out.step
  %place = add i64 %place.own, %place.turn
  %line.first.at = getelementptr i64, ptr %firsts, i64 %own
  %line.first = load i64, ptr %line.first.at
  %line.list = getelementptr i64, ptr %lines, i64 %line.first
  br label %spot
spot:
  %c = phi i64 [ 0, %row ], [ %c.next, %spot.end ]
  %spot.at = getelementptr i64, ptr %spots, i64 %c
{spots}
  br label %outer
outer:
  %o = phi i64 [ 0, %spot ], [ %o.next, %outer.end ]
{sums}
  %outer.at = getelementptr i64, ptr %outers, i64 %o
  %outer.place = load i64, ptr %outer.at
  %base = add i64 %start, %outer.place
  %o.lines = mul i64 %o, %long
  br label %section0
{sections}
outer.end:
  %o.next = add i64 %o, 1
  %more.outer = icmp slt i64 %o.next, %others
  br i1 %more.outer, label %outer, label %spot.end
spot.end:
{stores}
  %c.next = add i64 %c, {together}
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

# Lines that are read by the same rows. What is read of a line outside are the same zeros over and over.
_SECTION = """
section{s}:
  br label %line{s}
line{s}:
  %v{s} = phi i64 [ {begin}, %section{s} ], [ %v{s}.next, %line{s}.end ]
{line_sums}
  %line{s}.at = getelementptr i64, ptr %line.list, i64 %v{s}
  %line{s}.place = load i64, ptr %line{s}.at
  %outside{s} = icmp eq i64 %line{s}.place, {outside}
  %moving{s} = select i1 %outside{s}, i64 0, i64 -1
  %from{s} = add i64 %base, %line{s}.place
{lines}
  br label %tap{s}
tap{s}:
  %k{s} = phi i64 [ 0, %line{s} ], [ %k{s}.next, %tap{s} ]
{tap_sums}
  %step{s}.at = getelementptr i64, ptr %steps, i64 %k{s}
  %step{s}.place = load i64, ptr %step{s}.at
  %step{s} = and i64 %step{s}.place, %moving{s}
{taps}
  %k{s}.next = add i64 %k{s}, 1
  %more.taps{s} = icmp slt i64 %k{s}.next, %taps
  br i1 %more.taps{s}, label %tap{s}, label %line{s}.end
line{s}.end:
  %v{s}.next = add i64 %v{s}, 1
  %more.lines{s} = icmp slt i64 %v{s}.next, {end}
  br i1 %more.lines{s}, label %line{s}, label %{after}
"""
# The same without a loop over the places of a line, which are neighbours.
_UNROLLED = """
section{s}:
  br label %line{s}
line{s}:
  %v{s} = phi i64 [ {begin}, %section{s} ], [ %v{s}.next, %line{s} ]
{line_sums}
  %line{s}.at = getelementptr i64, ptr %line.list, i64 %v{s}
  %line{s}.place = load i64, ptr %line{s}.at
  %outside{s} = icmp eq i64 %line{s}.place, {outside}
  %from{s}.line = add i64 %base, %line{s}.place
  %from{s} = add i64 %from{s}.line, %step
{lines}
{taps}
  %v{s}.next = add i64 %v{s}, 1
  %more.lines{s} = icmp slt i64 %v{s}.next, {end}
  br i1 %more.lines{s}, label %line{s}, label %{after}
"""
_FIRST_STEP = "\n  %step = load i64, ptr %steps"
_SOURCE = """\
  %there{s}.{q} = add i64 %from{s}, %j{q}
  %inside{s}.{q} = getelementptr {number}, ptr %x, i64 %there{s}.{q}
  %source{s}.{q} = select i1 %outside{s}, ptr @zeros, ptr %inside{s}.{q}"""
# Line v of one row is line v - 1 of the next.
_WEIGHTS = """\
  %line{s}.{r} = sub i64 %v{s}, {r}
  %line{s}.{r}.all = add i64 %o.lines, %line{s}.{r}
  %line{s}.{r}.first = mul i64 %line{s}.{r}.all, %taps
  %weights{s}.{r} = getelementptr {number}, ptr %weights, i64 %line{s}.{r}.first"""
_WEIGHT = """\
  %weight{t}.{r}.at = getelementptr {number}, ptr %weights{s}.{r}, i64 {k}
  %weight{t}.{r} = load {number}, ptr %weight{t}.{r}.at, align 1
  %w{t}.{r}.first = insertelement {vector} undef, {number} %weight{t}.{r}, i32 0
  %w{t}.{r} = shufflevector {vector} %w{t}.{r}.first, {vector} undef, <{lanes} x i32> zeroinitializer"""
_AT = "  %at{t}.{q} = getelementptr {number}, ptr %source{s}.{q}, i64 {step}"
_LOAD = """\
  %x{t}.{c}.at = getelementptr {vector}, ptr %at{t}.0, i64 {c}
  %x{t}.{c} = load {vector}, ptr %x{t}.{c}.at, align 1"""
# As numbers without a sign, what lies before the first sample lies far beyond the last.
_COLUMN = """\
  %column{s}.at = getelementptr i64, ptr %columns, i64 %k{s}
  %column{s} = load i64, ptr %column{s}.at"""
_MASKED_LOAD = """\
  %lane{s}.{c}.wide = add i64 %column{s}, %j{c}
  %lane{s}.{c} = trunc i64 %lane{s}.{c}.wide to i32
  %lane{s}.{c}.first = insertelement {indices} undef, i32 %lane{s}.{c}, i32 0
  %lane{s}.{c}.all = shufflevector {indices} %lane{s}.{c}.first, {indices} undef, {indices} zeroinitializer
  %lane{s}.{c}.each = add {indices} %lane{s}.{c}.all, <{counted}>
  %within{s}.{c} = icmp ult {indices} %lane{s}.{c}.each, %end.all
  %x{s}.{c} = call {vector} @llvm.masked.load.v{lanes}{short}.p0(
      ptr %at{s}.{c}, i32 1, <{lanes} x i1> %within{s}.{c}, {vector} zeroinitializer)"""
_END = """
  %end = trunc i64 %width to i32
  %end.first = insertelement {indices} undef, i32 %end, i32 0
  %end.all = shufflevector {indices} %end.first, {indices} undef, {indices} zeroinitializer"""
_TERM = """\
  %term{t}.{r}.{c} = {multiply} {vector} %w{t}.{r}, %x{t}.{c}
  %sum{t}.{r}.{c} = {add} {vector} {before}.{r}.{c}, %term{t}.{r}.{c}"""
_SPOT = """\
  %j{q}.at = getelementptr i64, ptr %spot.at, i64 {q}
  %j{q} = load i64, ptr %j{q}.at"""
_TARGET = """\
  %row{r}.{q} = mul i64 %apart, {r}
  %place{r}.{q}.row = add i64 %place, %row{r}.{q}
  %place{r}.{q} = add i64 %place{r}.{q}.row, %j{q}
  %target{r}.{q} = getelementptr {number}, ptr %out, i64 %place{r}.{q}"""
_STORE = """\
  %to{r}.{c} = getelementptr {vector}, ptr %target{r}.{q}, i64 {i}
  store {vector} {sum}, ptr %to{r}.{c}, align 1"""
_FIELD = """\
  %{field}.at = getelementptr i64, ptr {row}, i64 {i}
  %{field}{number} = load i64, ptr %{field}.at"""
_ADDRESS = "\n  %{field} = inttoptr i64 %{field}.number to ptr"
DECLARED = """
@zeros = private constant [1024 x i8] zeroinitializer, align 64
declare {vector} @llvm.masked.load.v{lanes}{short}.p0(ptr, i32, <{lanes} x i1>, {vector})
"""


@dataclass(frozen=True)
class Shape:
    """What is summed side by side: `rows` of outputs, in each so many vectors of so many `lanes`.

    With `edge` it is two vectors anywhere in a row, which may reach past its ends. Lines of so many `taps`, which are
    neighbours, are written out; of none, lines are of any length.
    """

    lanes: int
    abreast: int
    rows: int = 1
    edge: bool = False
    taps: int = 0

    @property
    def outputs(self) -> int:
        """Outputs of a row from one spot on."""
        return self.lanes * (1 if self.edge else self.abreast)

    @property
    def name(self) -> str:
        return f"sum_{self.lanes}_{self.abreast}_{self.rows}_{self.taps}{'_edge' * self.edge}"


def words(dtype: np.dtype, lanes: int) -> dict[str, object]:
    """How LLVM calls a number, a vector of them, and what is done with them."""
    floats, bits = dtype.kind == "f", 8 * dtype.itemsize
    number = {4: "float", 8: "double"}[dtype.itemsize] if floats else f"i{bits}"
    return {
        "number": number,
        "lanes": lanes,
        "vector": f"<{lanes} x {number}>",
        "indices": f"<{lanes} x i32>",
        "counted": ", ".join(f"i32 {lane}" for lane in range(lanes)),
        # the first product must come out as it is: only -0 leaves both zeros their sign
        "zero": f"<{', '.join([f'{number} -0.0'] * lanes)}>" if floats else "zeroinitializer",
        "multiply": "fmul" if floats else "mul",
        "add": "fadd" if floats else "add",
        "short": f"{'f' if floats else 'i'}{bits}",
        "outside": OUTSIDE,
    }


def source(dtype: np.dtype, shape: Shape) -> str:
    """One function as text."""
    own = words(dtype, shape.lanes)
    spots = range(shape.abreast if shape.edge else 1)
    vectors = [(r, c) for r in range(shape.rows) for c in range(shape.abreast)]
    sums = {v: "%sum.{}.{}".format(*v) for v in vectors}
    sections, outer_sums = [], sums
    for s, (rows, begin, end, after) in enumerate(_sections(shape.rows)):
        text, sums = _section(shape, own, (s, rows), sums)
        sections.append(text.format(s=s, begin=begin, end=end, after=after, **own))
    fields = [_field(i) for i in range(1, len(FIELDS))]
    return _FUNCTION.format(
        name=shape.name,
        fields="\n".join(fields)
        + (_END.format(**own) if shape.edge else "")
        + _FIRST_STEP * (shape.taps > 0)
        + "\n  %beyond = add i64 %long, 1",
        spots="\n".join(_SPOT.format(q=q) for q in spots),
        sums="\n".join(
            f"  {outer_sums[v]} = phi {own['vector']} [ {own['zero']}, %spot ], [ {sums[v]}, %outer.end ]"
            for v in vectors
        ),
        sections="".join(sections),
        stores="\n".join(
            [_TARGET.format(r=r, q=q, **own) for r in range(shape.rows) for q in spots]
            + [
                _STORE.format(r=r, c=c, q=c * shape.edge, i=c * (not shape.edge), sum=sums[r, c], **own)
                for r, c in vectors
            ]
        ),
        together=len(spots),
    )


def _sections(rows: int) -> list[tuple[range, str, str, str]]:
    """Which rows read which lines, first and beyond the last, and where to go then."""
    if rows == 1:
        return [(range(1), "0", "%long", "outer.end")]
    return [
        (range(1), "0", "1", "section1"),
        (range(2), "1", "%long", "section2"),
        (range(1, 2), "%long", "%beyond", "outer.end"),
    ]


Sums = dict[tuple[int, int], str]


def _section(shape: Shape, own: dict[str, object], at: tuple[int, range], sums: Sums) -> tuple[str, Sums]:
    """The text of a section but for its bounds, and the names of the sums after it."""
    (s, rows), vectors = at, range(shape.abreast)
    spots = vectors if shape.edge else range(1)

    def each(line: str, names: dict[str, object], **over: range) -> str:
        (name, values), *others = over.items()
        (second, inner) = others[0] if others else ("unused", range(1))
        return "\n".join(
            line.format(s=s, **{name: a, second: b}, **own, **names) for a in values for b in inner
        )

    after = {**sums, **{(r, c): f"%sum{s}.{r}.{c}" for r in rows for c in vectors}}
    phi = "  %{to} = phi {vector} [ {before}, %{come} ], [ %sum{s}.{r}.{c}, %{back} ]"
    line_sums, tap_sums = [], []
    for r in rows:
        for c in vectors:
            names, line, tap = {"s": s, "r": r, "c": c, **own}, f"line{s}.{r}.{c}.before", f"tap{s}.{r}.{c}"
            line_sums.append(
                phi.format(
                    to=tap if shape.taps else line,
                    before=sums[r, c],
                    come=f"section{s}",
                    back=f"line{s}" if shape.taps else f"line{s}.end",
                    **names,
                )
            )
            tap_sums.append(phi.format(to=tap, before=f"%{line}", come=f"line{s}", back=f"tap{s}", **names))
    masks = [_COLUMN.format(s=s)] if shape.edge else []
    taps = []
    for names in _places(s, shape.taps):
        loads = each(_MASKED_LOAD if shape.edge else _LOAD, names, c=vectors)
        at_places = [each(_WEIGHT, names, r=rows), each(_AT, names, q=spots)]
        taps += [*at_places, *masks, loads, each(_TERM, names, r=rows, c=vectors)]
    parts = {
        "line_sums": "\n".join(line_sums),
        "tap_sums": "\n".join(tap_sums),
        "lines": "\n".join([each(_SOURCE, {}, q=spots), each(_WEIGHTS, {}, r=rows)]),
        "taps": "\n".join(taps),
    }
    text = _UNROLLED if shape.taps else _SECTION
    for part, lines in parts.items():
        text = text.replace("{" + part + "}", lines)
    return text, after


def _places(s: int, taps: int) -> list[dict[str, object]]:
    """What differs between the places of a line that is written out; the last of them has the names of a loop's."""
    if not taps:
        return [{"t": s, "k": f"%k{s}", "step": f"%step{s}", "before": f"%tap{s}"}]
    names = [*(f"{s}t{k}" for k in range(taps - 1)), s]
    before = [f"%tap{s}", *(f"%sum{name}" for name in names)]
    return [{"t": names[k], "k": k, "step": k, "before": before[k]} for k in range(taps)]


def _field(i: int) -> str:
    return loaded(FIELDS[i], i, "%call", i < FIELDS.index("block"))


def loaded(field: str, i: int, row: str, address: bool) -> str:
    """The lines that load number i of a row; an address becomes a pointer."""
    return (_FIELD + _ADDRESS * address).format(field=field, i=i, row=row, number=".number" * address)
