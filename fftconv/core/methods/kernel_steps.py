"""What steps of spectral jobs do to a kernel before and after its transform, in LLVM's language.

Taps are brought to their place times 1/N, conjugated; their spectrum is conjugated again on its way to where products
read it; what lies between is zero (see `spectral`). The factor stands in what a worker notes.
"""

from __future__ import annotations

from fftconv.core.methods import copies

SCALE, TURN = "scale", "scale.turned"
"""Numbers times the factor, and times minus the factor."""

NAMES = (SCALE, TURN, "conjugate", "clear")

_SCALE = """
define void @{name}({arguments}) {{
entry:
  %notes = inttoptr i64 %seen to ptr
  %factor.at = getelementptr i64, ptr %notes, i64 2
  %factor.up = load {number}, ptr %factor.at
  %factor.down = fneg {number} %factor.up
  br label %one
one:
  %i = phi i64 [ 0, %entry ], [ %i.next, %one ]
  %to.i = phi i64 [ %to, %entry ], [ %to.next, %one ]
  %from.i = phi i64 [ %from, %entry ], [ %from.next, %one ]
  %target = inttoptr i64 %to.i to ptr
  %source = inttoptr i64 %from.i to ptr
  %v = load {number}, ptr %source, align 1
  %scaled = fmul {number} %v, %factor.{way}
  store {number} %scaled, ptr %target, align 1
  %i.next = add i64 %i, 1
  %to.next = add i64 %to.i, %tn
  %from.next = add i64 %from.i, %sn
  %more = icmp slt i64 %i.next, %n
  br i1 %more, label %one, label %exit
exit:
  ret void
}}
"""

_CONJUGATE = """
define void @conjugate({arguments}) {{
entry:
  %target = inttoptr i64 %to to ptr
  %source = inttoptr i64 %from to ptr
  %whole = and i64 %n, -{complex}
"""
_CONJUGATE_LOOP = """\
{at}:
  %i.{at} = phi i64 [ {first}, %{come} ], [ %next.{at}, %{at} ]
  %s.{at} = getelementptr <2 x {number}>, ptr %source, i64 %i.{at}
  %t.{at} = getelementptr <2 x {number}>, ptr %target, i64 %i.{at}
  %v.{at} = load <{lanes} x {number}>, ptr %s.{at}, align 1
  %minus.{at} = fneg <{lanes} x {number}> %v.{at}
  %c.{at} = shufflevector <{lanes} x {number}> %v.{at}, <{lanes} x {number}> %minus.{at}, <{lanes} x i32> <{blend}>
  store <{lanes} x {number}> %c.{at}, ptr %t.{at}, align 1
  %next.{at} = add i64 %i.{at}, {complex}
  %more.{at} = icmp slt i64 %next.{at}, {last}
  br i1 %more.{at}, label %{at}, label %{then}
"""

_CLEAR = """
define void @clear({arguments}) {{
  %target = inttoptr i64 %to to ptr
  call void @llvm.memset.p0.i64(ptr %target, i8 0, i64 %n, i1 false)
  ret void
}}
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


def source(number: str, lanes: int) -> str:
    """All functions for real numbers of LLVM's type `number`, by vectors of so many, as text."""
    own = {"number": number, "arguments": copies.ARGUMENTS}
    scales = [_SCALE.format(name=name, way=way, **own) for name, way in ((SCALE, "up"), (TURN, "down"))]
    many, one = _loop(number, copies.MANY, lanes), _loop(number, copies.ONE, 2)
    conjugate = _CONJUGATE.format(complex=lanes // 2, **own) + copies.BY_VECTORS.format(many=many, one=one)
    return "".join([*scales, conjugate, _CLEAR.format(**own)])


def _loop(number: str, at: copies.At, lanes: int) -> str:
    blend = ", ".join(f"i32 {i if i % 2 == 0 else lanes + i}" for i in range(lanes))
    return _CONJUGATE_LOOP.format(**at._asdict(), number=number, lanes=lanes, complex=lanes // 2, blend=blend)
