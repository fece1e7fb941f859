"""The steps of spectral jobs in LLVM's language, and the loop over jobs that takes them without the interpreter.

Between two steps in Python a thread takes the interpreter's lock, and where another holds it, sleeps: some 50 us until
it runs again, as much as the step itself. Here a worker does whole jobs without it.

A job is a list of steps, a step a row of int64 (`STEP`): a function and two nested loops that call it at places of a
target and a source. Places count from addresses that a call brings (`BASES`), each thread its own for its scratch, so
the same rows serve every thread and every call. Jobs are claimed from a counter that all threads share, and a product
waits until the kernel's spectra are ready.

Products are NumPy's, bit for bit: it rounds ``a.imag * b.imag`` and ``a.imag * b.real``, and fuses the other products
with the sums where the processor can. Whether it does is looked at before the compiled product may be used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fftconv.core.methods import compiler, copies, kernel_steps

BASES = (
    *("x", "out", "signal", "spectrum", "inverse", "product", "kernel", "constants", "ready"),
    *("w", "taps", "bins", "execute"),
)
"""What a step's source or target is counted from; after these come the addresses of transforms. Products are
transformed back to the inverse, which have scratch of their own where a spectrum has several products. The kernel is
what they read; where its transform is a step too, w becomes taps and these bins."""

CALL = ("next", "jobs", "most", "firsts", "steps", "seen")
"""What stands before the addresses in a call: the counter, how many jobs there are, how many to do at most, the steps,
and what a worker notes: about a job (see `copies.py`), how far the spectrum lies from its products, and the factor
1/N of kernels."""

NOTES = 3

STEP = (
    *("function", "target", "target.at", "source", "source.at"),
    *("n0", "target.0", "source.0", "n1", "target.1", "source.1", "n", "target.n", "source.n"),
)
"""A row: steps of loops in bytes. `n` is counted in what the function is for: bytes, numbers, complex numbers."""

FUNCTIONS = (*copies.names(), *kernel_steps.NAMES, "multiply", "wait", "execute")

_DRAIN = """
define void @drain(ptr %call) {{
entry:
{call}
  %counter = inttoptr i64 %call.next to ptr
  %firsts = inttoptr i64 %call.firsts to ptr
  %steps = inttoptr i64 %call.steps to ptr
  %seen = inttoptr i64 %call.seen to ptr
  %bases = getelementptr i64, ptr %call, i64 {before}
  br label %claim
claim:
  %done = phi i64 [ 0, %entry ], [ %done.next, %step.all ]
  %enough = icmp sge i64 %done, %call.most
  br i1 %enough, label %exit, label %next
next:
  %job = atomicrmw add ptr %counter, i64 1 monotonic
  %any = icmp slt i64 %job, %call.jobs
  br i1 %any, label %begin, label %exit
begin:
  %first.at = getelementptr i64, ptr %firsts, i64 %job
  %first = load i64, ptr %first.at
  %end.at = getelementptr i64, ptr %first.at, i64 1
  %end = load i64, ptr %end.at
  store i64 0, ptr %seen
  br label %step
step:
  %i = phi i64 [ %first, %begin ], [ %i.next, %step.end ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %take, label %step.all
take:
  %row.first = mul i64 %i, {width}
  %row = getelementptr i64, ptr %steps, i64 %row.first
{step}
  %f = inttoptr i64 %function to ptr
  %target.base.at = getelementptr i64, ptr %bases, i64 %target
  %target.base = load i64, ptr %target.base.at
  %target.first = add i64 %target.base, %target.at
  %source.base.at = getelementptr i64, ptr %bases, i64 %source
  %source.base = load i64, ptr %source.base.at
  %source.first = add i64 %source.base, %source.at
  br label %outer
outer:
  %o = phi i64 [ 0, %take ], [ %o.next, %outer.end ]
  %to.o = phi i64 [ %target.first, %take ], [ %to.o.next, %outer.end ]
  %from.o = phi i64 [ %source.first, %take ], [ %from.o.next, %outer.end ]
  br label %inner
inner:
  %j = phi i64 [ 0, %outer ], [ %j.next, %inner ]
  %to.j = phi i64 [ %to.o, %outer ], [ %to.j.next, %inner ]
  %from.j = phi i64 [ %from.o, %outer ], [ %from.j.next, %inner ]
  call void %f(i64 %to.j, i64 %from.j, i64 %n, i64 %target.n, i64 %source.n, i64 %call.seen)
  %j.next = add i64 %j, 1
  %to.j.next = add i64 %to.j, %target.1
  %from.j.next = add i64 %from.j, %source.1
  %more.inner = icmp slt i64 %j.next, %n1
  br i1 %more.inner, label %inner, label %outer.end
outer.end:
  %o.next = add i64 %o, 1
  %to.o.next = add i64 %to.o, %target.0
  %from.o.next = add i64 %from.o, %source.0
  %more.outer = icmp slt i64 %o.next, %n0
  br i1 %more.outer, label %outer, label %step.end
step.end:
  %i.next = add i64 %i, 1
  br label %step
step.all:
  %done.next = add i64 %done, 1
  br label %claim
exit:
  ret void
}}

define void @execute({arguments}) {{
  %f.at = inttoptr i64 %to to ptr
  %plan = inttoptr i64 %from to ptr
  call void %f.at(ptr %plan)
  ret void
}}

define void @wait({arguments}) {{
  %flag.at = inttoptr i64 %to to ptr
  br label %look
look:
  %flag = load atomic i64, ptr %flag.at acquire, align 8
  %not.yet = icmp eq i64 %flag, 0
  br i1 %not.yet, label %look, label %exit
exit:
  ret void
}}

"""

_MULTIPLY = """
define void @multiply({arguments}) {{
entry:
  %target = inttoptr i64 %to to ptr
  %source = inttoptr i64 %from to ptr
  %notes = inttoptr i64 %seen to ptr
  %apart.at = getelementptr i64, ptr %notes, i64 1
  %apart = load i64, ptr %apart.at
  %factor = getelementptr i8, ptr %target, i64 %apart
  %whole = and i64 %n, -{complex}
"""
_DECLARATIONS = """
declare {vector} @llvm.fma.v{lanes}{short}({vector}, {vector}, {vector})
declare {pair} @llvm.fma.v2{short}({pair}, {pair}, {pair})
"""
# Of (re, im) pairs a and b: a.re * b + (-a.im * b.im, a.im * b.re)
_PRODUCTS = """\
{at}:
  %i.{at} = phi i64 [ {begin}, %{come} ], [ %next.{at}, %{at} ]
  %a.at.{at} = getelementptr {pair}, ptr %factor, i64 %i.{at}
  %b.at.{at} = getelementptr {pair}, ptr %source, i64 %i.{at}
  %a.{at} = load {vector}, ptr %a.at.{at}, align 4
  %b.{at} = load {vector}, ptr %b.at.{at}, align 4
  %re.{at} = shufflevector {vector} %a.{at}, {vector} undef, <{lanes} x i32> <{real}>
  %im.{at} = shufflevector {vector} %a.{at}, {vector} undef, <{lanes} x i32> <{imag}>
  %turned.{at} = shufflevector {vector} %b.{at}, {vector} undef, <{lanes} x i32> <{swap}>
  %plus.{at} = fmul {vector} %im.{at}, %turned.{at}
  %minus.{at} = fneg {vector} %plus.{at}
  %cross.{at} = shufflevector {vector} %minus.{at}, {vector} %plus.{at}, <{lanes} x i32> <{blend}>
{product}
  %c.at.{at} = getelementptr {pair}, ptr %target, i64 %i.{at}
  store {vector} %c.{at}, ptr %c.at.{at}, align 4
  %next.{at} = add i64 %i.{at}, {complex}
  %more.{at} = icmp slt i64 %next.{at}, {end}
  br i1 %more.{at}, label %{at}, label %{then}
"""
_FUSED = """\
  %c.{at} = call {vector} @llvm.fma.v{lanes}{short}(
      {vector} %re.{at}, {vector} %b.{at}, {vector} %cross.{at})"""
_APART = """\
  %d.{at} = fmul {vector} %re.{at}, %b.{at}
  %c.{at} = fadd {vector} %d.{at}, %cross.{at}"""


def source(char: str, lanes: int, fused: bool) -> str:
    """All functions for the spectra of real numbers `char`, as text."""
    number, short = {"f": ("float", "f32"), "d": ("double", "f64")}[char]
    own = {"number": number, "short": short, "pair": f"<2 x {number}>"}
    parts = [
        _products(own, lanes, fused, ("many", "entry", "rest", "0", "%whole")),
        _products(own, 2, fused, ("one", "rest", "exit", "%whole", "%n")),
    ]
    names = {**own, "lanes": lanes, "vector": f"<{lanes} x {number}>", "complex": lanes // 2}
    names["arguments"] = copies.ARGUMENTS
    drain = _DRAIN.format(
        call="\n".join(_load(f"call.{name}", "call", i) for i, name in enumerate(CALL)),
        step="\n".join(_load(name, "row", i) for i, name in enumerate(STEP)),
        before=len(CALL),
        width=len(STEP),
        arguments=copies.ARGUMENTS,
    )
    products = (_MULTIPLY + copies.BY_VECTORS + _DECLARATIONS).format(many=parts[0], one=parts[1], **names)
    return drain + copies.source(number, lanes) + kernel_steps.source(number, lanes) + products


def _load(name: str, base: str, i: int) -> str:
    return f"  %{name}.p = getelementptr i64, ptr %{base}, i64 {i}\n  %{name} = load i64, ptr %{name}.p"


def _products(own: dict[str, str], lanes: int, fused: bool, at: tuple[str, str, str, str, str]) -> str:
    """The loop of products over vectors of so many lanes."""
    label, come, then, begin, end = at

    def each(lane: Callable[[int], int]) -> str:
        return ", ".join(f"i32 {lane(i)}" for i in range(lanes))

    names = {**own, "at": label, "lanes": lanes, "vector": f"<{lanes} x {own['number']}>"}
    return _PRODUCTS.format(
        come=come,
        then=then,
        begin=begin,
        end=end,
        real=each(lambda i: i & ~1),
        imag=each(lambda i: i | 1),
        swap=each(lambda i: i ^ 1),
        blend=each(lambda i: i if i % 2 == 0 else lanes + i),
        complex=lanes // 2,
        product=(_FUSED if fused else _APART).format(**names),
        **names,
    )


@dataclass(frozen=True, eq=False)
class Steps:
    """The compiled functions for one precision.

    Attributes
    ----------
    drain : callable
        ``drain(address of a call)`` does jobs until none is left or enough are done.
    functions : dict of str to int
        Addresses for steps.
    engine : object
        What keeps the code alive.
    """

    drain: Callable[[int], None]
    functions: dict[str, int]
    engine: object


def compiled(char: str) -> Steps:
    """The functions for real numbers `char`; RuntimeError where a product would not have NumPy's bits."""
    lanes = compiler.vector_bytes() // np.dtype(char).itemsize
    engine = compiler.compiled(source(char, lanes, compiler.fuses()))
    functions = {name: engine.get_function_address(name) for name in FUNCTIONS}
    drain = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address("drain"))
    if not _multiplies_alike(functions["multiply"], np.dtype(char)):
        raise RuntimeError("NumPy's products of complex numbers are rounded in another way")
    return Steps(drain, functions, engine)


def _multiplies_alike(address: int, dtype: np.dtype) -> bool:
    """Whether products have the bits of NumPy's, those of a last odd few included."""
    multiply = ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 6)(address)
    a, b = np.random.default_rng(0).standard_normal((2, 2, 515)).astype(dtype)
    a, b = (c[0] + dtype.type(1) * 1j * c[1] for c in (a, b))
    a, b = (c.astype(np.result_type(dtype, np.complex64)) for c in (a, b))
    expected, notes = np.multiply(a, b), np.zeros(NOTES, np.int64)
    multiply(a.ctypes.data, b.ctypes.data, a.size, 0, 0, notes.ctypes.data)
    return bool(a.tobytes() == expected.tobytes())
