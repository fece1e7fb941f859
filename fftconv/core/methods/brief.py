"""A short spectral call on one thread: kernel, samples and outputs in one entry of compiled code.

Where the transforms take some ten microseconds, to borrow scratch, to look scripts up and to write a call down takes
longer than they do. Here all of it is kept: a desk holds the transforms, the spectra and the call as compiled code
reads it. Only addresses of the caller's arrays are filled in.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable
from math import prod
from typing import NamedTuple

import numpy as np

from fftconv.core.channels import channels_of
from fftconv.core.engine.base import Engine, FFTPlan, FFTSpec
from fftconv.core.methods.addresses import address
from fftconv.core.methods.care import Facts, none_negative, on_pedestal
from fftconv.core.methods.script import Kernels, Script, Writer, warmth
from fftconv.core.methods.steps import BASES, CALL, NOTES, Steps
from fftconv.core.plan import ConvPlan
from fftconv.core.spare import aligned
from fftconv.core.tiling import TileLayout

# Scripts of one plan that are kept: one for each way in which callers' arrays lie in memory.
MOST_SCRIPTS = 16

_PLACE = {name: i for i, name in enumerate((*CALL, *BASES))}
_JOBS, _MOST, _FIRSTS, _STEPS = (_PLACE[name] for name in ("jobs", "most", "firsts", "steps"))
_X, _OUT, _W, _KERNEL, _CONSTANTS = (_PLACE[name] for name in ("x", "out", "w", "kernel", "constants"))

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
Execute = Callable[[ConvPlan, np.ndarray, np.ndarray, np.ndarray], None]


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
        self.begun, self.ready = (ctypes.c_int64 * 1)(), (ctypes.c_int64 * 1)(1)
        known = {
            "next": ctypes.addressof(self.begun),
            "ready": ctypes.addressof(self.ready),
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


def _bits(spec: FFTSpec) -> int:
    """The factor 1/N in the memory of an int64."""
    number = spec.spectrum_dtype.type(0).real.dtype
    memory = np.zeros(1, np.int64)
    memory.view(number)[0] = number.type(1) / prod(spec.transform_shape)
    return int(memory[0])


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
        otherwise: Execute,
        facts: Facts | None = None,
        spectra: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.layout, self.engine = layout, engine
        self.otherwise, self.facts, self.spectra = otherwise, facts, spectra
        self.channels = channels_of(layout)
        self.char = self.channels.tile_spec.dtype.char.lower()
        self.several = layout.problem.group_outputs > 1
        specs = self.channels.tile_spec.key, self.channels.kernel_spec.key
        self.key = ("desk", specs, engine.effort, layout.problem.group_outputs, spectra is None)
        self.constants = np.array([0, layout.problem.outside.fill], layout.dtype)
        self.constants_at = address(self.constants)
        self.scripts: dict[Hashable, Script | None] = {}
        self.met: dict[Hashable, None] = {}

    def __call__(self, plan: ConvPlan, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> None:
        steps, p = warmth.loops.get(self.char), self.layout.problem
        plain = x.dtype == w.dtype == out.dtype == p.dtype and not on_pedestal(p, x)
        if steps is not None and plain and self.go(steps, x, w, out):
            return
        with np.errstate(all="ignore"):
            self.otherwise(plan, x, w, out)

    def go(self, steps: Steps, x: np.ndarray, w: np.ndarray, out: np.ndarray) -> bool:
        """Whether compiled steps could answer, and did."""
        positive = none_negative(x, self.facts or Facts(self.layout.problem, w))
        # the steps too: what is written down holds addresses of their functions
        form = steps, x.strides, w.strides, out.strides, positive
        desk = self.engine.cache.take(self.key) or self.new_desk()
        if desk is None:
            return False
        spectra = None if self.spectra is None else self.spectra()
        if form not in self.scripts and self.repays(form):
            self.scripts[form] = self.write(steps, desk, (x, w, out), positive)
        script = self.scripts.get(form)
        if script is not None:
            call = desk.call
            call[_JOBS] = call[_MOST] = script.jobs
            call[_FIRSTS], call[_STEPS] = script.addresses
            call[_X], call[_W], call[_OUT] = address(x), address(w), address(out)
            call[_CONSTANTS] = self.constants_at
            if spectra is not None:
                call[_KERNEL] = address(spectra)
            desk.begun[0] = 0
            steps.drain(desk.address)
        self.engine.cache.put(self.key, desk, self.engine.cache_bytes)
        return script is not None

    def repays(self, form: Hashable) -> bool:
        """Whether to write a script: it takes as long as some calls.

        Once there are as many as are kept, the oldest makes room, but not before a form is met again: arrays may lie
        in another way every time.
        """
        if len(self.scripts) < MOST_SCRIPTS:
            return True
        if form not in self.met:
            if len(self.met) >= MOST_SCRIPTS:
                self.met.clear()
            self.met[form] = None
            return False
        # other threads may be here too
        self.met.pop(form, None)
        for oldest in [*self.scripts][:1]:
            self.scripts.pop(oldest, None)
        return True

    def new_desk(self) -> Desk | None:
        """A desk, if compiled code can execute the engine's plans."""
        spec, engine = self.channels.tile_spec, self.engine
        fresh = self.spectra is None
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

    def write(self, steps: Steps, desk: Desk, arrays: Arrays, positive: bool) -> Script | None:
        """The script for callers' arrays (x, w, out) of these strides; None where products do not run along memory."""
        x, w, out = arrays
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
        return writer.script((forward, backward), self.layout.problem.group_outputs, kernels)
