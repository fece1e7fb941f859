"""Arrays with what lies outside spelled out, for calls that weigh, count or check single samples.

Ordinary calls never come here: they read what lies outside where they need it (`fftconv.core.boundary`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fftconv._broadcast import Array
from fftconv._door import Call
from fftconv.core.boundary import Boundary, Outside, read
from fftconv.core.excerpt import Box
from fftconv.core.problem import Ints


class Around(NamedTuple):
    """What the windows of a call see outside of in1.

    Attributes
    ----------
    reach : tuple of (int, int)
        Per axis, how far they read before and after it; negative where they do not read all of it.
    along : tuple of Boundary
    weightless : tuple of bool
    fill : number
    """

    reach: tuple[tuple[int, int], ...]
    along: tuple[Boundary, ...]
    weightless: tuple[bool, ...]
    fill: Any

    @classmethod
    def of(cls, call: Call, shapes: tuple[Ints, Ints]) -> Around | None:
        """For operands of `shapes` with as many axes; None where zeros lie outside, or nothing outside is read."""
        extension = call.options.extension
        if extension is None or call.mode == "valid":
            return None
        given = call.options.surroundings(len(shapes[0]))
        window = call.door.windows[call.mode]
        reach, bounds = [], []
        for i, (n, k) in enumerate(zip(*shapes, strict=True)):
            start, length = window(n, k) if i in given else (k - 1, n - k + 1)
            reach.append((k - 1 - start, start + length - n))
            bounds.append(given.get(i, (Boundary.ZERO, False)))
        along, weightless = zip(*bounds, strict=True)
        return cls(tuple(reach), along, weightless, extension.fill)

    @classmethod
    def of_part(cls, call: Call, shapes: tuple[Ints, Ints], box: Box, outside: bool) -> Around:
        """For some outputs alone, with begin and end per axis; `outside` says whether zeros there have a weight."""
        given = {} if call.mode == "valid" else call.options.surroundings(len(shapes[0]))
        window, convolved = call.door.windows[call.mode], call.axes(len(shapes[0]))
        reach, bounds = [], []
        for i, (n, k, (begin, end)) in enumerate(zip(*shapes, box, strict=True)):
            first = begin + window(n, k)[0] - (k - 1) if i in convolved else begin
            last = first + end - begin + k - 1 if i in convolved else end
            alone = n == 1 and i not in convolved
            reach.append((0, 0) if alone else (-first, last - n))
            bounds.append(given.get(i, (Boundary.ZERO, not outside)))
        along, weightless = zip(*bounds, strict=True)
        extension = call.options.extension
        return cls(tuple(reach), along, weightless, extension.fill if given and extension else 0)

    @property
    def is_empty(self) -> bool:
        """Whether nothing that is read outside has any weight."""
        return all(none or max(reach) <= 0 for none, reach in zip(self.weightless, self.reach, strict=True))

    @property
    def is_filled(self) -> bool:
        """Whether something is read outside that is no sample and yet has a weight."""
        return any(
            b <= Boundary.CONSTANT and not none and max(reach) > 0
            for b, none, reach in zip(self.along, self.weightless, self.reach, strict=True)
        )

    def samples(self, a: Array) -> Array:
        """`a`, whose dtype can hold the fill value, with what lies outside."""
        return self._spelled_out(a, Outside.of(self.along, self.fill))

    def weights(self, a: Array) -> Array:
        """Weights, or flags of what is there, in which a fill value has a weight of 1."""
        along = [
            Boundary.CONSTANT if b == Boundary.ZERO and not none else b
            for b, none in zip(self.along, self.weightless, strict=True)
        ]
        return self._spelled_out(a, Outside.of(along, 1))

    def data(self, flags: Array) -> Array:
        """Flags of samples, of which a fill value is none."""
        along = [Boundary.ZERO if b == Boundary.CONSTANT else b for b in self.along]
        return self._spelled_out(flags, Outside.of(along))

    def _spelled_out(self, a: Array, outside: Outside) -> Array:
        window = [(-lo, lo + n + hi, 1) for n, (lo, hi) in zip(a.shape, self.reach, strict=True)]
        found = np.empty([count for _, count, _ in window], a.dtype)
        read(a, window, outside, found)
        return found
