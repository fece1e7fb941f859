"""A short spectral call: kernel, samples and outputs in one entry of compiled code for each thread.

Where the transforms take some ten microseconds, to borrow scratch, to look scripts up and to write a call down takes
longer than they do. Here all of it is kept: a desk holds the transforms, the spectra and the call as compiled code
reads it. Only addresses of the caller's arrays are filled in.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from math import prod
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np

from fftconv.core.channels import channels_of
from fftconv.core.engine.base import Engine, FFTPlan, FFTSpec
from fftconv.core.methods import Executor
from fftconv.core.methods.addresses import address
from fftconv.core.methods.care import Facts, none_negative, on_pedestal
from fftconv.core.methods.script import Kernels, Script, Writer, warmth
from fftconv.core.methods.steps import BASES, CALL, NOTES, Steps
from fftconv.core.plan import ConvPlan
from fftconv.core.spare import aligned
from fftconv.core.tiling import TileLayout
from fftconv.core.workers import share

# Scripts of one plan that are kept: one for each way in which callers' arrays lie in memory.
MOST_SCRIPTS = 16

_PLACE = {name: i for i, name in enumerate((*CALL, *BASES))}
_JOBS, _MOST, _FIRSTS, _STEPS = (_PLACE[name] for name in ("jobs", "most", "firsts", "steps"))
_NEXT, _READY = _PLACE["next"], _PLACE["ready"]
_X, _OUT, _W, _KERNEL, _CONSTANTS = (_PLACE[name] for name in ("x", "out", "w", "kernel", "constants"))
# What helpers have in common with the call that they help; own transforms and notes are theirs.
_SHARED = (_NEXT, _READY, _JOBS, _MOST, _FIRSTS, _STEPS, _X, _OUT, _W, _KERNEL, _CONSTANTS)

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


class Plans(NamedTuple):
    """The transforms of a tile, of its products where they have scratch of their own, and of the kernels."""

    tile: FFTPlan
    inverse: FFTPlan | None
    kernel: FFTPlan | None

    def have_addresses(self) -> bool:
        return all(plan is None or plan.addresses() is not None for plan in self)


class Desk:
    """Transforms, spectra and a call, for one thread at a time.

    Attributes
    ----------
    nbytes : int
        Of scratch, by which idle desks are counted.
    call : ctypes array of int64
        What compiled code reads, addresses of the caller's arrays still to be filled in.
    """

    def __init__(self, plans: Plans, spectra: np.ndarray | None) -> None:
        self.plans, self.spectra = plans, spectra
        self.nbytes = sum(plan.nbytes for plan in plans if plan is not None)
        self.nbytes += 0 if spectra is None else spectra.nbytes
        there, back, kernel = (None if plan is None else plan.addresses() for plan in plans)
        assert there is not None
        back = back or there
        self.begun, self.ready = (ctypes.c_int64 * 1)(), (ctypes.c_int64 * 1)()
        self.own = ctypes.addressof(self.begun), ctypes.addressof(self.ready)
        known = {
            "signal": there.signal,
            "spectrum": there.spectrum,
            "inverse": back.signal,
            "product": back.spectrum,
            "kernel": 0 if spectra is None else address(spectra),
            "taps": 0 if kernel is None else kernel.signal,
            "bins": 0 if kernel is None else kernel.spectrum,
            "execute": there.execute,
        }
        self.executes = there.forward, back.backward, () if kernel is None else kernel.forward
        notes = 0, there.spectrum - back.spectrum, _bits(plans.tile.spec)
        numbers = [known.get(name, 0) for name in _PLACE]
        numbers += [*(n for each in self.executes for n in each), *notes]
        self.call = (ctypes.c_int64 * len(numbers))(*numbers)
        self.address = ctypes.addressof(self.call)
        self.call[_PLACE["seen"]] = self.address + (len(numbers) - NOTES) * ctypes.sizeof(ctypes.c_int64)
        self.first = (ctypes.c_int64 * 1)()

    def begin(self) -> None:
        """No job is begun, and nobody has to wait."""
        self.begun[0], self.ready[0] = 0, 1
        self.call[_NEXT], self.call[_READY] = self.own

    def prepare(self, steps: Steps) -> None:
        """Do the first job of a call, the kernels, whatever others have begun."""
        call, shared, most = self.call, self.call[_NEXT], self.call[_MOST]
        self.first[0] = 0
        call[_NEXT], call[_MOST] = ctypes.addressof(self.first), 1
        steps.drain(self.address)
        call[_NEXT], call[_MOST] = shared, most

    def common(self) -> list[int]:
        """What others need to know of this call to take part in it."""
        return [self.call[place] for place in _SHARED]

    def assist(self, common: list[int]) -> None:
        """Be ready to take part in another call, on scratch of one's own."""
        for place, value in zip(_SHARED, common, strict=True):
            self.call[place] = value


def _bits(spec: FFTSpec) -> int:
    """The factor 1/N in the memory of an int64."""
    number = spec.spectrum_dtype.type(0).real.dtype
    memory = np.zeros(1, np.int64)
    memory.view(number)[0] = number.type(1) / prod(spec.transform_shape)
    return int(memory[0])


class Scripts:
    """What was written down for a layout, by how callers' arrays lie in memory."""

    def __init__(self) -> None:
        self.held: dict[Hashable, Script | None] = {}
        self.met: dict[Hashable, None] = {}

    def of(self, form: Hashable, write: Callable[[], Script | None]) -> Script | None:
        """The script of a form, written where that repays itself; None where there is none."""
        if form not in self.held and self.repays(form):
            found = self.held[form] = write()
            return found
        return self.held.get(form)

    def repays(self, form: Hashable) -> bool:
        """Whether to write a script: it takes as long as some calls.

        Once there are as many as are kept, the oldest makes room, but not before a form is met again: arrays may lie
        in another way every time.
        """
        if len(self.held) < MOST_SCRIPTS:
            return True
        if form not in self.met:
            if len(self.met) >= MOST_SCRIPTS:
                self.met.clear()
            self.met[form] = None
            return False
        # other threads may be here too
        self.met.pop(form, None)
        for oldest in [*self.held][:1]:
            self.held.pop(oldest, None)
        return True


@lru_cache(maxsize=64)
def _scripts(layout: TileLayout, fresh: bool) -> Scripts:
    """Those of a layout, with kernels to transform or without: the calls of some doors keep no executor."""
    return Scripts()


class Brief:
    """An executor of the plans of one layout; `otherwise` answers what is not plain, or not compiled yet.

    `facts` are those of a prepared kernel, and `spectra` gives its spectra; without, kernels are transformed in every
    call.
    """

    keeps_signs = quiet = True

    def __init__(
        self,
        layout: TileLayout,
        engine: Engine,
        otherwise: Executor,
        facts: Facts | None = None,
        spectra: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.layout, self.engine = layout, engine
        self.otherwise, self.facts, self.spectra = otherwise, facts, spectra
        self.channels = channels_of(layout)
        self.char = self.channels.tile_spec.dtype.char.lower()
        self.several = layout.problem.group_outputs > 1
        tile, kernel = self.channels.tile_spec.key, self.channels.kernel_spec.key
        self.helpers_key = ("desk", tile, self.several, engine.effort)
        # spectra lie in one order of kernels
        with_kernels = (*self.helpers_key, kernel, layout.problem.group_outputs)
        self.key = with_kernels if spectra is None else self.helpers_key
        self.constants = np.array([0, layout.problem.outside.fill], layout.dtype)
        self.constants_at = address(self.constants)
        self.scripts = _scripts(layout, spectra is None)

    def __call__(self, plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        steps, p = warmth.loops.get(self.char), self.layout.problem
        plain = x.dtype == w.dtype == out.dtype == p.dtype and not on_pedestal(p, x)
        if steps is not None and plain and self.go(steps, plan.workers, (x, w, out)):
            return
        with np.errstate(all="ignore"):
            self.otherwise(plan, x, w, out)

    def go(self, steps: Steps, workers: int, arrays: Arrays) -> bool:
        """Whether compiled steps could answer (x, w, out), and did."""
        x, w, out = arrays
        positive = none_negative(x, self.facts or Facts(self.layout.problem, w))
        desk = self.engine.cache.take(self.key) or self.new_desk(self.spectra is None)
        if desk is None:
            return False
        # the steps too: what is written down holds addresses of their functions
        form = steps, workers > 1, x.strides, w.strides, out.strides, positive
        script = self.scripts.of(form, lambda: self.write(desk, arrays, form))
        if script is not None:
            call = desk.call
            call[_JOBS] = call[_MOST] = script.jobs
            call[_FIRSTS], call[_STEPS] = script.addresses
            call[_X], call[_W], call[_OUT] = address(x), address(w), address(out)
            call[_CONSTANTS] = self.constants_at
            spectra = None if self.spectra is None else self.spectra()
            if spectra is not None:
                call[_KERNEL] = address(spectra)
            desk.begin()
            if workers > 1:
                self.share(steps, desk, workers)
            else:
                steps.drain(desk.address)
        self.engine.cache.put(self.key, desk, self.engine.cache_bytes)
        return script is not None

    def share(self, steps: Steps, desk: Desk, workers: int) -> None:
        """A call on several threads: the caller's does the kernels first, for which the others may have to wait."""
        caller, fresh, cache = get_ident(), self.spectra is None, self.engine.cache
        jobs, common = desk.call[_JOBS], desk.common()
        if fresh:
            # the kernels are the first job, which is nobody else's
            desk.ready[0], desk.begun[0] = 0, 1

        def end() -> None:
            desk.begun[0], desk.ready[0] = jobs, 1

        def turns() -> Iterator[None]:
            """One for each helper. What breaks off here ends all work."""
            try:
                yield from [None] * (workers - 1)
            except BaseException:
                end()
                raise

        def drain(taken: Iterator[None]) -> None:
            try:
                if get_ident() == caller:
                    # whatever turns are left: nobody else does this
                    if fresh:
                        desk.prepare(steps)
                    steps.drain(desk.address)
                    return
                for _ in taken:
                    other = cache.take(self.helpers_key) or self.new_desk(False)
                    assert other is not None
                    other.assist(common)
                    steps.drain(other.address)
                    cache.put(self.helpers_key, other, self.engine.cache_bytes)
            except BaseException:
                end()
                raise

        share(turns(), drain, workers)

    def new_desk(self, fresh: bool) -> Desk | None:
        """A desk, if compiled code can execute the engine's plans; with what kernels need too, if they are `fresh`."""
        spec, engine = self.channels.tile_spec, self.engine
        plans = Plans(
            engine.checkout(spec),
            engine.checkout(spec) if self.several else None,
            engine.checkout(self.channels.kernel_spec) if fresh else None,
        )
        if not plans.have_addresses():
            for plan in plans:
                if plan is not None:
                    engine.checkin(plan)
            return None
        if not fresh:
            return Desk(plans, None)
        p = self.layout.problem
        spectra = aligned(
            (p.in_channels, p.group_outputs, 1, *engine.spectrum_pitch(spec)[3:]), spec.spectrum_dtype
        )
        spectra[...] = 0
        return Desk(plans, spectra)

    def enters(self) -> bool:
        """Whether compiled code can execute the engine's plans."""
        desk = self.engine.cache.take(self.helpers_key) or self.new_desk(False)
        if desk is not None:
            self.engine.cache.put(self.helpers_key, desk, self.engine.cache_bytes)
        return desk is not None

    def write(self, desk: Desk, arrays: Arrays, form: tuple[Any, ...]) -> Script | None:
        """The script for callers' arrays (x, w, out) like these; None where products do not run along memory."""
        x, w, out = arrays
        steps, shared, *_, positive = form
        tile, _, kernel = desk.plans
        spectra = desk.spectra if self.spectra is None else self.spectra()
        assert spectra is not None
        forms = [(a.shape, a.strides) for a in (x, out, tile.signal, tile.spectrum_whole, spectra)]
        forward, backward, prepared = map(len, desk.executes)
        kernels = None
        if kernel is not None:
            held = [(a.shape, a.strides) for a in (w, kernel.signal, kernel.spectrum)]
            kernels = Kernels(held, kernel.spec, prepared)
        writer = Writer(self.layout, steps, forms, positive)
        outputs = self.channels.outputs_of_one if shared else self.layout.problem.group_outputs
        return writer.script((forward, backward), outputs, kernels)
