"""What lies outside an array, as index maps: an array is never extended, a window is read through the map.

Along an axis of n samples position q of the endless extension shows ::

    ZERO, CONSTANT  0 or the fill value, where q is outside
    EDGE            the nearest sample
    WRAP            sample q mod n
    SYMMETRIC       with t = q mod 2n        sample min(t, 2n - 1 - t):   cba|abc|cba
    REFLECT         with t = q mod (2n - 2)  sample min(t, 2n - 2 - t):    cb|abc|ba    (one sample is all there is)

so each map goes up or down by ones, or stands still, over long stretches: a window is a few slices, some read
backwards. Where a window holds many periods of a short array, it is an array of indices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

# Stretches up to which a window is read slice by slice.
FEW = 32
# Places of a window of which it is remembered how to fill them; larger ones take longer to fill than to work out.
KNOWN = 2**15


class Boundary(IntEnum):
    """What lies outside along one axis; where two axes disagree, the lesser of `ZERO` and `CONSTANT` holds."""

    ZERO = 0
    CONSTANT = 1
    EDGE = 2
    REFLECT = 3
    SYMMETRIC = 4
    WRAP = 5


class Outside(NamedTuple):
    """What lies outside an array.

    Attributes
    ----------
    along : tuple of Boundary
        Per spatial axis; empty where zeros lie all around.
    fill : number
        The value along axes that are `CONSTANT`, of the dtype of the result; else 0.
    """

    along: tuple[Boundary, ...] = ()
    fill: Any = 0

    @classmethod
    def of(cls, along: Sequence[Boundary], fill: Any = 0) -> Outside:
        """In canonical form, so that equal extensions compare equal."""
        if not any(along):
            return ZEROS
        return cls(tuple(along), fill if Boundary.CONSTANT in along else 0)

    def __str__(self) -> str:
        words = ",".join(b.name.lower() for b in self.along)
        return f"outside {words}" + (f" {self.fill}" if Boundary.CONSTANT in self.along else "")


ZEROS = Outside()

Stretch = tuple[int, int, int]
"""First position, count and step along one axis."""
Window = Sequence[Stretch]


class Piece(NamedTuple):
    """A part of a window along one axis, and the samples it shows; None where it shows none."""

    target: slice
    source: slice | np.ndarray | None


def fold(positions: np.ndarray, n: int, boundary: Boundary) -> np.ndarray:
    """The samples that stand at `positions` of an extension by samples.

    Examples
    --------
    >>> fold(np.arange(-4, 7), 3, Boundary.REFLECT)
    array([0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2])
    """
    if boundary == Boundary.EDGE or n == 1:
        return np.clip(positions, 0, n - 1)  # type: ignore[no-any-return]
    t: np.ndarray = positions % _period(n, boundary)
    return t if boundary == Boundary.WRAP else np.minimum(t, _mirror(n, boundary) - t)


def _period(n: int, boundary: Boundary) -> int:
    return {Boundary.WRAP: n, Boundary.SYMMETRIC: 2 * n, Boundary.REFLECT: 2 * n - 2}[boundary]


def _mirror(n: int, boundary: Boundary) -> int:
    """What a position on the way back and its sample add up to, modulo the period."""
    return 2 * n - 1 if boundary == Boundary.SYMMETRIC else 2 * n - 2


def by_indices(reach: int, n: int, boundary: Boundary) -> bool:
    """Whether so long a stretch shows n samples so often that it is read through an array of indices."""
    return boundary >= Boundary.REFLECT and n > 1 and reach > FEW * n


def pieces(stretch: Stretch, n: int, boundary: Boundary) -> tuple[Piece, ...]:
    """What a stretch shows of an axis of n samples."""
    first, count, step = stretch
    if first >= 0 and first + (count - 1) * step < n:
        return (Piece(slice(0, count), slice(first, first + (count - 1) * step + 1, step)),)
    if by_indices(count * step, n, boundary):
        return (Piece(slice(0, count), fold(first + step * np.arange(count), n, boundary)),)
    return _pieces(stretch, n, boundary)


@lru_cache(maxsize=4096)
def _pieces(stretch: Stretch, n: int, boundary: Boundary) -> tuple[Piece, ...]:
    runs = _periodic if boundary >= Boundary.REFLECT and n > 1 else _beside
    found, begin = [], 0
    for length, source in runs(stretch, n, boundary):
        found.append(Piece(slice(begin, begin + length), source))
        begin += length
    return tuple(found)


Runs = Iterator[tuple[int, slice | None]]


def _beside(stretch: Stretch, n: int, boundary: Boundary) -> Runs:
    """Before, inside, after: outside is one value."""
    first, count, step = stretch
    shown = boundary >= Boundary.EDGE
    before = min(count, max(0, -(first // step)))
    inside = max(0, min(count, (n - 1 - first) // step + 1) - before)
    if before:
        yield before, slice(0, 1) if shown else None
    if inside:
        begin = first + before * step
        yield inside, slice(begin, begin + (inside - 1) * step + 1, step)
    if before + inside < count:
        yield count - before - inside, slice(n - 1, n) if shown else None


def _periodic(stretch: Stretch, n: int, boundary: Boundary) -> Runs:
    """Up the samples, and down again where the extension is mirrored."""
    at, count, step = stretch
    period = _period(n, boundary)
    while count > 0:
        t = at % period
        end = n if t < n else period
        length = min(count, (end - 1 - t) // step + 1)
        if t < n:
            yield length, slice(t, t + (length - 1) * step + 1, step)
        else:
            high = _mirror(n, boundary) - t
            low = high - (length - 1) * step
            yield length, slice(high, low - 1 if low else None, -step)
        at += length * step
        count -= length


class View(NamedTuple):
    """How a window over several axes is filled: in some places zeros, in some the fill value, in the others samples.

    `shown` is the box of all places but those with zeros, if there are any.
    """

    zeros: tuple[tuple[slice, ...], ...]
    fills: tuple[tuple[slice, ...], ...]
    copies: tuple[tuple[tuple[slice, ...], tuple[Any, ...]], ...]
    shown: tuple[slice, ...]


def view_of(window: Window, sizes: Sequence[int], along: Sequence[Boundary]) -> View:
    """The view of an array of `sizes` through a window; every place of the window stands in it once.

    Axes with zeros come first, so zeros lie where two axes disagree about a corner.
    """
    zeros, fills = [], []
    shown = [slice(0, count) for _, count, _ in window]
    places: list[tuple[list[slice], list[Any]]] = [([_ALL] * len(window), [_ALL] * len(window))]
    for a in sorted(range(len(window)), key=along.__getitem__):
        found = pieces(window[a], sizes[a], along[a])
        if not along[a]:
            shown[a] = next((there for there, source in found if source is not None), slice(0, 0))
        grown = []
        for to, of in places:
            for there, source in found:
                here = [*to[:a], there, *to[a + 1 :]]
                if source is not None:
                    grown.append((here, [*of[:a], source, *of[a + 1 :]]))
                elif along[a]:
                    fills.append(tuple(here))
                else:
                    zeros.append(tuple(here))
        places = grown
    copies = tuple((tuple(to), _together(of, sizes)) for to, of in places)
    return View(tuple(zeros), tuple(fills), copies, tuple(shown))


_ALL = slice(None)


def _together(source: list[Any], sizes: Sequence[int]) -> tuple[Any, ...]:
    """Slices, and arrays of indices that meet as slices do."""
    if sum(isinstance(s, np.ndarray) for s in source) < 2:
        return tuple(source)
    spread = (s if isinstance(s, np.ndarray) else np.arange(n)[s] for s, n in zip(source, sizes, strict=True))
    return np.ix_(*spread)


def read(x: np.ndarray, window: Window, outside: Outside, target: np.ndarray) -> None:
    """Copy what a window over the last axes of `x` shows into `target`, which has its shape."""
    sizes = x.shape[x.ndim - len(window) :]
    inside: list[Any] = [
        slice(first, first + (count - 1) * step + 1, step)
        for (first, count, step), n in zip(window, sizes, strict=True)
        if first >= 0 and first + (count - 1) * step < n
    ]
    if len(inside) == len(window):
        target[...] = x[_at(inside)]
        return
    known = reads if target.size <= KNOWN else reads.__wrapped__
    for place, source in known(tuple(window), sizes, outside.along):
        target[place] = 0 if source is None else outside.fill if source is Boundary.CONSTANT else x[source]


def put_back(z: np.ndarray, window: Window, sizes: Sequence[int], along: Sequence[Boundary]) -> np.ndarray:
    """The transpose of `read`: what stands at every place of a window, added to the sample that the place shows.

    Places that show no sample fall away. Sums are in the dtype of `z`, and in an order that follows from sizes alone.

    Examples
    --------
    >>> put_back(np.array([1, 10, 100, 1000]), [(-1, 4, 1)], [2], [Boundary.WRAP])
    array([1010,  101])
    """
    for a, (stretch, n) in enumerate(zip(window, sizes, strict=True), z.ndim - len(window)):
        if stretch != (0, n, 1):
            z = _put_back(z, a, stretch, (n, along[a - z.ndim + len(window)]))
    return z


def _put_back(z: np.ndarray, axis: int, stretch: Stretch, samples: tuple[int, Boundary]) -> np.ndarray:
    """`put_back` along one axis; `samples` are how many there are, and what lies outside of them."""
    found = np.zeros((*z.shape[:axis], samples[0], *z.shape[axis + 1 :]), z.dtype)
    to, of = np.moveaxis(found, axis, 0), np.moveaxis(z, axis, 0)
    for places, shown in pieces(stretch, *samples):
        if isinstance(shown, np.ndarray):
            np.add.at(to, shown, of[places])
        elif shown is not None:
            part = to[shown]
            part += of[places].sum(0, keepdims=True, dtype=z.dtype) if len(part) == 1 else of[places]
    return found


@lru_cache(maxsize=1024)
def reads(
    window: tuple[Stretch, ...], sizes: tuple[int, ...], along: tuple[Boundary, ...]
) -> tuple[tuple[Any, Any], ...]:
    """Places of a window and the samples of each: None where they are zeros, CONSTANT where they are the fill.

    The fill itself is no part of what is kept: values that are equal, as 3.0 and 3+0j are, may be of different types.
    """
    zeros, fills, copies, _ = view_of(window, sizes, along or (Boundary.ZERO,) * len(window))
    return (
        *((_at(place), None) for place in zeros),
        *((_at(place), Boundary.CONSTANT) for place in fills),
        *((_at(to), _at(of)) for to, of in copies),
    )


def _at(spatial: Sequence[Any]) -> Any:
    return (..., *spatial)
