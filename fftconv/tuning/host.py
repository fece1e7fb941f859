"""All measurements of a host in order, and what came of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fftconv.core import profile
from fftconv.core.config import config_context, get_config
from fftconv.core.cost import HostProfile
from fftconv.core.cost_direct import DirectCosts
from fftconv.core.engine.base import Engine
from fftconv.core.engine.registry import choose_engine
from fftconv.core.profile import Profile
from fftconv.tuning.fit import Sample
from fftconv.tuning.stopwatch import Stopwatch
from fftconv.tuning.sums import sums
from fftconv.tuning.tiles import tiles
from fftconv.tuning.transforms import transforms

# Measurements of one engine, and of direct sums: together they take the time there is.
EACH_ENGINE, DIRECT = 830, 200
WISDOM_SECONDS = 60.0

Say = Callable[[str], Any]


@dataclass(frozen=True)
class Check:
    """One measured time beside its prediction, before and after."""

    what: str
    measured: float
    before: float
    after: float


@dataclass(frozen=True)
class Tuning:
    """What tuning found. Prints as a summary; `table` is the whole.

    Attributes
    ----------
    profile : Profile
        In force in this process from now on.
    path : Path or None
        Where it was written.
    checks : tuple of Check
        Every time that coefficients were fitted to, in seconds.
    seconds : float
        What tuning took.
    """

    profile: Profile
    path: Path | None
    checks: tuple[Check, ...]
    seconds: float

    @property
    def table(self) -> str:
        """Fitted against measured, one line per time."""
        lines = ["measured   before     fitted     of"]
        lines += [f"{_ms(c.measured)} {_ms(c.before)} {_ms(c.after)} {c.what}" for c in self.checks]
        return "\n".join(lines)

    def __str__(self) -> str:
        off = [
            np.median([abs(np.log(getattr(c, name) / c.measured)) for c in self.checks])
            for name in ("before", "after")
        ]
        told = "nothing was written" if self.path is None else f"written to {self.path}"
        learnt = ", with FFTW's wisdom" if self.profile.wisdom else ""
        return (
            f"{len(self.checks)} times in {self.seconds:.0f} s; predictions off by {np.expm1(off[1]):.0%} in the "
            f"median ({np.expm1(off[0]):.0%} before); {told}{learnt}"
        )


def tune(
    path: str | os.PathLike[str] | None = None,
    *,
    seconds: float = 40.0,
    wisdom: bool = False,
    write: bool = True,
    say: Say | None = None,
) -> Tuning:
    """Measure this host, and predict from what was measured: now, and in later processes.

    Times transforms of each engine by dtype, rank and size, direct sums of every form, copies and threads, fits the
    coefficients of the cost models, and writes them as the host profile, in one step. Let the machine do nothing else
    meanwhile, and no other thread of this process convolve.

    Parameters
    ----------
    path : path-like, optional
        Where to write the profile; by default where it is looked for: ``FFTCONV_PROFILE``, else the user's cache
        folder.
    seconds : float
        About how long to measure, wisdom aside. Large transforms that the time does not allow keep their costs.
    wisdom : bool
        Whether to let FFTW measure its plans for common tiles too (a minute more), and keep what it learns in the
        profile. Plans of those tiles are then the measured ones, the same in every run.
    write : bool
        False leaves the file alone; the profile is in force in this process only.
    say : callable, optional
        Called with a line of text as each part begins.

    Returns
    -------
    Tuning
        The profile, where it is, and measured beside fitted times.

    Raises
    ------
    ValueError
        If `seconds` is not positive.
    ImportError
        If `wisdom` is asked for and pyfftw is not installed.
    OSError
        If the file cannot be written. The old one is whole then.

    Examples
    --------
    >>> import fftconv
    >>> found = fftconv.tune(seconds=0.01, write=False)
    >>> found.path is None and len(found.checks) > 20
    True
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be a number > 0, got {seconds!r}")
    if wisdom and not profile.fftw_release():
        raise ImportError("wisdom is FFTW's, and the package pyfftw is not installed")
    begin, say = time.perf_counter(), say or _silent
    target = Path(path) if path is not None else profile.path_in_force()
    before = profile.in_force()
    engines = _engines()
    watch = Stopwatch(seconds / (EACH_ENGINE * len(engines) + DIRECT))
    found: dict[str, HostProfile] = {}
    checks: list[Check] = []
    for name, engine in engines.items():
        say(f"transforms by {name}")
        old = before.spectral(name)
        with config_context(engine=name):
            host, samples = tiles(engine, watch, transforms(engine, watch, old))
        found[name] = host
        checks += _checks(f"{name} ", samples, old, host)
    say("direct sums")
    direct, timed = sums(watch, before.direct)
    checks += _checks("", timed, before.direct, direct)
    tuned = Profile(found, direct, source="tuned in this process")
    profile.use(tuned)
    if wisdom:
        from fftconv.tuning.common import learn

        say("plans of common tiles")
        tuned = replace(tuned, wisdom=learn(WISDOM_SECONDS))
        profile.use(tuned)
    if write:
        profile.write(target, tuned)
    return Tuning(tuned, target if write else None, tuple(checks), time.perf_counter() - begin)


def _engines() -> dict[str, Engine]:
    """Every engine that works here, by name; each plans as it does by default."""
    config = replace(get_config(), planning="estimate")
    wanted = ("auto", "scipy") if config.engine == "auto" else (config.engine,)
    engines = (choose_engine(replace(config, engine=word))[0] for word in wanted)
    return {engine.name: engine for engine in engines}


def _checks(
    prefix: str, samples: list[Sample[Any]], old: HostProfile | DirectCosts, new: HostProfile | DirectCosts
) -> list[Check]:
    return [Check(prefix + s.what, s.seconds, s.predict(old), s.predict(new)) for s in samples]


def _silent(text: str) -> None:
    pass


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:8.3f}ms"
