"""Programs: loops that are called one after the other by one call of each worker.

A step is a loop and some rows of one of its calls, a program a list of steps that belong together. Programs are
claimed from a counter, as rows are in a loop, and are followed without the interpreter.
"""

from __future__ import annotations

from fftconv.core.methods.loop_text import FIELDS, loaded

TASK = ("next", "begins", "steps", "calls", "own", "moves", "jobs", "programs")
"""What a thread is given to follow programs: a row of int64, addresses first. `next` points to a counter of jobs."""

STEP = ("function", "call", "first", "end", "move")
"""One step of a program: rows `first` to `end` of the call that lies so many bytes from the first one."""

MOVED = ("x", "weights", "out")
"""What of a call differs from one place of a program to the next."""

# Each thread has calls of its own, in which it writes what a step changes of those that all threads share. A job is a
# program at one of several places: there all addresses of a call lie `moves` bytes further on.
_PROGRAMS = """
define void @programs(ptr %task) {{
entry:
{fields}
  br label %claim
claim:
  %job = atomicrmw add ptr %next, i64 1 monotonic
  %any = icmp slt i64 %job, %jobs
  br i1 %any, label %begin, label %exit
begin:
  %place = udiv i64 %job, %programs
  %placed = mul i64 %place, %programs
  %program = sub i64 %job, %placed
  %first.at = getelementptr i64, ptr %begins, i64 %program
  %first = load i64, ptr %first.at
  %end.at = getelementptr i64, ptr %first.at, i64 1
  %end = load i64, ptr %end.at
  %place.move = mul i64 %place, {per_place}
  %moves.here = getelementptr i64, ptr %moves, i64 %place.move
  br label %step
step:
  %i = phi i64 [ %first, %begin ], [ %i.next, %step ]
  %step.number = mul i64 %i, {step}
  %step.at = getelementptr i64, ptr %steps, i64 %step.number
{loads}
  %function.to = inttoptr i64 %function to ptr
  %shared.call = getelementptr i8, ptr %calls, i64 %call
  %own.call = getelementptr i8, ptr %own, i64 %call
  %move.at = getelementptr i64, ptr %moves.here, i64 %move
{addresses}
  store i64 %first.row, ptr %own.call
  %rows.at = getelementptr i64, ptr %own.call, i64 {rows}
  store i64 %end.row, ptr %rows.at
  call void %function.to(ptr %own.call)
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %end
  br i1 %more, label %step, label %claim
exit:
  ret void
}}
"""
_STEP_FIELD = """\
  %{field}.in = getelementptr i64, ptr %step.at, i64 {i}
  %{name} = load i64, ptr %{field}.in"""
_MOVED = """\
  %{field}.move.at = getelementptr i64, ptr %move.at, i64 {q}
  %{field}.move = load i64, ptr %{field}.move.at
  %{field}.shared.at = getelementptr i64, ptr %shared.call, i64 {i}
  %{field}.shared = load i64, ptr %{field}.shared.at
  %{field}.moved = add i64 %{field}.shared, %{field}.move
  %{field}.own.at = getelementptr i64, ptr %own.call, i64 {i}
  store i64 %{field}.moved, ptr %{field}.own.at"""


def source() -> str:
    """The function that follows programs, as text."""
    names = {"first": "first.row", "end": "end.row"}
    return _PROGRAMS.format(
        fields="\n".join(loaded(f, i, "%task", i < TASK.index("jobs")) for i, f in enumerate(TASK)),
        loads="\n".join(_STEP_FIELD.format(field=f, name=names.get(f, f), i=i) for i, f in enumerate(STEP)),
        addresses="\n".join(_MOVED.format(field=f, q=q, i=FIELDS.index(f)) for q, f in enumerate(MOVED)),
        # of each of two passes
        per_place=2 * len(MOVED),
        step=len(STEP),
        rows=FIELDS.index("rows"),
    )
