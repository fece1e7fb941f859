"""The copies that steps of spectral jobs make, in LLVM's language: from the caller's samples to scratch and back.

Three kinds: lines of memory, single numbers some way apart, and two lines of real numbers that become one of complex
numbers or come from one. Each is there as it is, once more for samples, and once more for outputs. Samples are looked
at on their way: one that is not known to be >= 0 is noted in the worker's ``seen``. Outputs below 0 become 0 while
nothing is noted there. So signs cost no pass over memory of their own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

ARGUMENTS = "i64 %to, i64 %from, i64 %n, i64 %tn, i64 %sn, i64 %seen"
"""Of every function of a step: two addresses, a count, two steps, the address of what the worker has noted."""

LOOK, CLAMP = ".look", ".clamp"

BYTES = {"float": 4, "double": 8}
WORDS = {number: f"i{8 * size}" for number, size in BYTES.items()}

# What follows an entry that has told %whole: whole vectors, then those that are left one by one.
BY_VECTORS = """\
  %some = icmp sgt i64 %whole, 0
  br i1 %some, label %many, label %rest
{many}
rest:
  %left = icmp slt i64 %whole, %n
  br i1 %left, label %one, label %exit
{one}
exit:
  ret void
}}
"""

_MOVE = """
define void @move({arguments}) {{
  %target = inttoptr i64 %to to ptr
  %source = inttoptr i64 %from to ptr
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %n, i1 false)
  ret void
}}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare {word} @llvm.vector.reduce.or.v{lanes}{word}(<{lanes} x {word}>)
declare {word} @llvm.vector.reduce.or.v1{word}(<1 x {word}>)
"""

_COPY = """
define void @copy{care}({arguments}) {{
entry:
{limit}\
  br label %one
one:
  %i = phi i64 [ 0, %entry ], [ %i.next, %one ]
  %to.i = phi i64 [ %to, %entry ], [ %to.next, %one ]
  %from.i = phi i64 [ %from, %entry ], [ %from.next, %one ]
{begin}\
  %target = inttoptr i64 %to.i to ptr
  %source = inttoptr i64 %from.i to ptr
  %v0.one = load <1 x {number}>, ptr %source, align {bytes}
{each}\
  store <1 x {number}> %{value}0.one, ptr %target, align {bytes}
  %i.next = add i64 %i, 1
  %to.next = add i64 %to.i, %tn
  %from.next = add i64 %from.i, %sn
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %one, label %{left}
{end}\
exit:
  ret void
}}
"""

_LINE = """
define void @move{care}({arguments}) {{
entry:
{limit}\
  %target = inttoptr i64 %to to ptr
  %source = inttoptr i64 %from to ptr
  %whole = and i64 %n, -{lanes}
"""
_LINE_LOOP = """\
{at}:
  %i.{at} = phi i64 [ {first}, %{come} ], [ %next.{at}, %{at} ]
{begin}\
  %t.{at} = getelementptr {number}, ptr %target, i64 %i.{at}
  %s.{at} = getelementptr {number}, ptr %source, i64 %i.{at}
  %v0.{at} = load {vector}, ptr %s.{at}, align 1
{each}\
  store {vector} %{value}0.{at}, ptr %t.{at}, align 1
  %next.{at} = add i64 %i.{at}, {lanes}
  %more.{at} = icmp slt i64 %next.{at}, {last}
  br i1 %more.{at}, label %{at}, label %{left}
{end}\
"""

# Of the two lines, the second lies %sn or %tn bytes from the first.
_WOVEN = """
define void @{name}{care}({arguments}) {{
entry:
{limit}\
  %woven = inttoptr i64 %{woven} to ptr
  %first = inttoptr i64 %{apart} to ptr
  %second = getelementptr i8, ptr %first, i64 %{distance}
  %whole = and i64 %n, -{lanes}
"""
_WOVEN_LOOP = """\
{at}:
  %i.{at} = phi i64 [ {first}, %{come} ], [ %next.{at}, %{at} ]
{begin}\
  %twice.{at} = mul i64 %i.{at}, 2
  %w.{at} = getelementptr {number}, ptr %woven, i64 %twice.{at}
  %w2.{at} = getelementptr {number}, ptr %w.{at}, i64 {lanes}
  %a.{at} = getelementptr {number}, ptr %first, i64 %i.{at}
  %b.{at} = getelementptr {number}, ptr %second, i64 %i.{at}
  %v0.{at} = load {vector}, ptr %{read[0]}.{at}, align 1
  %v1.{at} = load {vector}, ptr %{read[1]}.{at}, align 1
{each}\
  %s0.{at} = shufflevector {vector} %{value}0.{at}, {vector} %{value}1.{at}, <{lanes} x i32> <{low}>
  %s1.{at} = shufflevector {vector} %{value}0.{at}, {vector} %{value}1.{at}, <{lanes} x i32> <{high}>
  store {vector} %s0.{at}, ptr %{write[0]}.{at}, align 1
  store {vector} %s1.{at}, ptr %{write[1]}.{at}, align 1
  %next.{at} = add i64 %i.{at}, {lanes}
  %more.{at} = icmp slt i64 %next.{at}, {last}
  br i1 %more.{at}, label %{at}, label %{left}
{end}\
"""

# NaN is not known to be >= 0, and no NaN is below 0.
_NOTED = """\
  %bad.{at} = phi <{lanes} x {word}> [ zeroinitializer, %{come} ], [ %bad.{count}.{at}, %{at} ]
"""
_LOOKED = """\
  %neg{i}.{at} = fcmp ult {vector} %v{i}.{at}, zeroinitializer
  %all{i}.{at} = sext <{lanes} x i1> %neg{i}.{at} to <{lanes} x {word}>
  %bad.{after}.{at} = or <{lanes} x {word}> %bad{before}.{at}, %all{i}.{at}
"""
_NOTE = """\
{at}.note:
  %any.{at} = call {word} @llvm.vector.reduce.or.v{lanes}{word}(<{lanes} x {word}> %bad.{count}.{at})
  %note.{at} = inttoptr i64 %seen to ptr
  %old.{at} = load {word}, ptr %note.{at}
  %new.{at} = or {word} %old.{at}, %any.{at}
  store {word} %new.{at}, ptr %note.{at}
  br label %{then}
"""
_LIMIT = """\
  %seen.at = inttoptr i64 %seen to ptr
  %noted = load i64, ptr %seen.at
  %clean = icmp eq i64 %noted, 0
  %limit = select i1 %clean, {number} 0.0, {number} {lowest}
  %limit.v = insertelement <{lanes} x {number}> undef, {number} %limit, i32 0
  %limit.many = shufflevector <{lanes} x {number}> %limit.v, <{lanes} x {number}> undef, \
<{lanes} x i32> zeroinitializer
  %limit.one = insertelement <1 x {number}> undef, {number} %limit, i32 0
"""
# The limit is 0 or minus infinity, so this is a maximum, which processors have.
_CLAMPED = """\
  %below{i}.{at} = fcmp olt {vector} %v{i}.{at}, %limit.{at}
  %c{i}.{at} = select <{lanes} x i1> %below{i}.{at}, {vector} %limit.{at}, {vector} %v{i}.{at}
"""


class At(NamedTuple):
    """A loop: its label, where it comes from and goes to, and which numbers it copies."""

    at: str
    come: str
    then: str
    first: str
    last: str


MANY = At("many", "entry", "rest", "0", "%whole")
ONE = At("one", "rest", "exit", "%whole", "%n")


def names() -> list[str]:
    """The functions that `source` defines."""
    plain = ["move", "copy", "weave", "unweave"]
    return [*plain, *(kind + LOOK for kind in plain[:3]), *(kind + CLAMP for kind in (*plain[:2], plain[3]))]


def source(number: str, lanes: int) -> str:
    """All copies of real numbers of LLVM's type `number`, by vectors of so many, as text."""
    text = [_MOVE.format(arguments=ARGUMENTS, lanes=lanes, word=WORDS[number])]
    text += [_Copies(number, lanes, care).copy() for care in ("", LOOK, CLAMP)]
    text += [_Copies(number, lanes, care).line() for care in (LOOK, CLAMP)]
    text += [_Copies(number, lanes, care).woven("weave") for care in ("", LOOK)]
    text += [_Copies(number, lanes, care).woven("unweave") for care in ("", CLAMP)]
    return "".join(text)


class _Copies:
    """The functions that take one kind of care, as text."""

    def __init__(self, number: str, lanes: int, care: str) -> None:
        self.number, self.lanes, self.care = number, lanes, care
        # minus infinity, which nothing is below
        lowest = "0xFFF0000000000000"
        self.limit = _LIMIT.format(number=number, lanes=lanes, lowest=lowest) if care == CLAMP else ""

    def copy(self) -> str:
        size = BYTES[self.number]
        names = self._loop(At("one", "entry", "exit", "", ""), 1, 1)
        return _COPY.format(**names, bytes=size, care=self.care, arguments=ARGUMENTS, limit=self.limit)

    def line(self) -> str:
        loops = {
            at.at: _LINE_LOOP.format(**self._loop(at, lanes, 1))
            for at, lanes in ((MANY, self.lanes), (ONE, 1))
        }
        head = _LINE.format(care=self.care, arguments=ARGUMENTS, limit=self.limit, lanes=self.lanes)
        return head + BY_VECTORS.format(**loops)

    def woven(self, name: str) -> str:
        woven, apart, distance = ("to", "from", "sn") if name == "weave" else ("from", "to", "tn")
        head = _WOVEN.format(
            name=name,
            care=self.care,
            arguments=ARGUMENTS,
            limit=self.limit,
            woven=woven,
            apart=apart,
            distance=distance,
            lanes=self.lanes,
        )
        many, one = self._woven_loop(name, MANY, self.lanes), self._woven_loop(name, ONE, 1)
        return head + BY_VECTORS.format(many=many, one=one)

    def _woven_loop(self, name: str, at: At, lanes: int) -> str:
        if name == "weave":  # a0 b0 a1 b1 ...
            order = [i // 2 + lanes * (i % 2) for i in range(2 * lanes)]
        else:
            order = [*range(0, 2 * lanes, 2), *range(1, 2 * lanes, 2)]
        low, high = (", ".join(f"i32 {i}" for i in half) for half in (order[:lanes], order[lanes:]))
        sides = ("a", "b"), ("w", "w2")
        read, write = sides if name == "weave" else sides[::-1]
        return _WOVEN_LOOP.format(**self._loop(at, lanes, 2), read=read, write=write, low=low, high=high)

    def _loop(self, at: At, lanes: int, count: int) -> dict[str, Any]:
        """What a loop over vectors that come `count` at a time is filled in with."""
        own: dict[str, Any] = {
            **at._asdict(),
            "number": self.number,
            "word": WORDS[self.number],
            "lanes": lanes,
        }
        own["vector"] = f"<{lanes} x {self.number}>"
        begin = each = end = ""
        if self.care == LOOK:
            begin, end = _NOTED.format(count=count, **own), _NOTE.format(count=count, **own)
            before = ["", *(f".{i}" for i in range(1, count))]
            each = "".join(_LOOKED.format(i=i, after=i + 1, before=b, **own) for i, b in enumerate(before))
        elif self.care == CLAMP:
            each = "".join(_CLAMPED.format(i=i, **own) for i in range(count))
        left = f"{at.at}.note" if end else at.then
        value = "c" if self.care == CLAMP else "v"
        return {**own, "begin": begin, "each": each, "end": end, "left": left, "value": value}
