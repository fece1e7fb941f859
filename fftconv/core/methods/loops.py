"""The loops of one dtype, compiled for the processor at hand, and which of them serves a row.

Their text is in `loop_text`; what calls them one after the other is in `programs`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fftconv.core.methods import compiler, programs
from fftconv.core.methods.loop_text import DECLARED, FIELDS, OUTSIDE, Shape, source, words

__all__ = ["FIELDS", "OUTSIDE", "WRITTEN_OUT", "Loop", "Loops", "Shape", "compiled", "written_out"]

# Vectors of outputs that are summed side by side. An addition takes four cycles, and one may begin in each.
ABREAST = 4
# The same of long rows that are summed alone, by the bytes of a vector: where those are few, what else is loaded for a
# tap weighs more.
LONE_ABREAST = {32: 8}
# So many spots make a row long: what the last one repeats is little beside them.
LONG_ROW = 4
# Neighbours of a line that pairs of rows have loops of their own for, which are compiled when they are needed.
WRITTEN_OUT = (3, 5, 7)

Loop = Callable[[int], None]
"""``loop(address of a call)``; it runs without the interpreter's lock."""


@dataclass(frozen=True, eq=False)
class Loops:
    """The loops of one dtype.

    Attributes
    ----------
    by_outputs : tuple of (Shape, Loop)
        The widest first.
    edge : (Shape, Loop)
        The one that looks where a row ends.
    programs : Loop
        What calls them one after the other, as a program says.
    engine : object
        What keeps the code alive.
    """

    by_outputs: tuple[tuple[Shape, Loop], ...]
    edge: tuple[Shape, Loop]
    programs: Loop
    engine: object

    def of(self, n: int, paired: bool, taps: int = 0) -> tuple[Shape, Loop]:
        """The loop for rows of n outputs, two rows at a time if it may be and there is one.

        One that is written out for so many neighbours to a line is taken before one for any number.
        """

        def fits(shape: Shape) -> bool:
            long = shape.abreast <= ABREAST or n >= LONG_ROW * shape.outputs
            return long and shape.outputs <= n and shape.taps in (0, taps)

        def rank(found: tuple[Shape, Loop]) -> tuple[int, int, int]:
            shape = found[0]
            return shape.rows if paired else -shape.rows, shape.outputs, shape.taps

        return max((found for found in self.by_outputs if fits(found[0])), key=rank)


def compiled(char: str) -> Loops:
    """The loops of one dtype: some 55 ms, and 20 once for the compiler itself."""
    dtype = np.dtype(char)
    vector = compiler.vector_bytes()
    lanes, lone = vector // dtype.itemsize, LONE_ABREAST.get(vector, ABREAST)
    # every function takes time to compile: short rows are not summed in pairs
    pairs = [Shape(lanes, ABREAST, 2, taps=taps) for taps in (0, 1)]
    wide = [*pairs, *(Shape(lanes, abreast) for abreast in sorted({lone, ABREAST, 2, 1}, reverse=True))]
    narrow = [Shape(n, 1) for n in {max(1, lanes // 4), 1} - {lanes}]
    edge = Shape(lanes, 2, edge=True)
    text = DECLARED.format(**words(dtype, lanes)) + "".join(source(dtype, s) for s in [*wide, *narrow, edge])
    engine = compiler.compiled(text + programs.source())

    def loop(shape: Shape) -> tuple[Shape, Loop]:
        return shape, _function(engine, shape.name)

    return Loops(tuple(map(loop, wide + narrow)), loop(edge), _function(engine, "programs"), engine)


def written_out(char: str, taps: int, loops: Loops) -> Loops:
    """`loops` of a dtype, and one for pairs of rows whose lines have so many neighbours: some 20 ms."""
    dtype = np.dtype(char)
    shape = Shape(compiler.vector_bytes() // dtype.itemsize, ABREAST, 2, taps=taps)
    engine = compiler.compiled(DECLARED.format(**words(dtype, shape.lanes)) + source(dtype, shape))
    found = (shape, _function(engine, shape.name)), *loops.by_outputs
    return replace(loops, by_outputs=found, engine=(engine, loops.engine))


def _function(engine: Any, name: str) -> Loop:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.get_function_address(name))
