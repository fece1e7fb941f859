"""Options: what is in force, where it comes from, and how to change it.

There is one process-wide default, read once from the environment, and a context variable over it:

* ``FFTCONV_ENGINE=auto|fftw|scipy`` and ``FFTCONV_WORKERS=N`` set the default. A value that cannot be understood
  raises `ValueError` when the options are first needed, not when the package is imported.
* `set_engine` changes the default for every thread.
* `config_context` and `set_workers` change the options of one context (a ``with`` block of one thread or
  task).

A worker thread does not inherit the context of the call that feeds it. What a call has decided travels to its workers
as objects (an engine, a number of workers); for problems within a problem, which are planned where they are
computed, it hands its options over with the work (`adopt`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Any

ENGINES = ("auto", "fftw", "scipy")
PLANNING = ("estimate", "measure", "patient")


@dataclass(frozen=True)
class Config:
    """The options of one context.

    Attributes
    ----------
    engine : {"auto", "fftw", "scipy"}
        The FFT library; ``auto`` is FFTW where it is installed and passes its self-test, else scipy.fft.
    workers : int
        Threads a call may use; 0 lets the library decide.
    planning : {"estimate", "measure", "patient"}
        Effort of FFTW's planner. Only ``estimate`` gives the same bits in every run.
    planning_limit : float
        Seconds that ``measure`` or ``patient`` may spend on one plan.
    cache_bytes : int
        Upper bound on the scratch of idle plans kept for reuse.

    Examples
    --------
    >>> Config(workers=2).workers
    2
    """

    engine: str = "auto"
    workers: int = 0
    planning: str = "estimate"
    planning_limit: float = 2.0
    cache_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        _check_word("engine", self.engine, ENGINES)
        _check_word("planning", self.planning, PLANNING)
        _check_count("workers", self.workers)
        _check_count("cache_bytes", self.cache_bytes)
        if not self.planning_limit > 0:
            raise ValueError(f"planning_limit must be a number of seconds > 0, got {self.planning_limit!r}")


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} must be an integer >= 0, got {value!r}")


def config_from_environment(environ: Mapping[str, str]) -> Config:
    """The default options as the variables in `environ` state them; empty and unset mean the same.

    Examples
    --------
    >>> config_from_environment({"FFTCONV_WORKERS": "3"}).workers
    3
    """
    engine = environ.get("FFTCONV_ENGINE", "").strip().lower() or "auto"
    if engine not in ENGINES:
        raise ValueError(f"FFTCONV_ENGINE must be one of {', '.join(ENGINES)}; got {engine!r}")
    workers = environ.get("FFTCONV_WORKERS", "").strip() or "0"
    if not (workers.isascii() and workers.isdigit()):
        raise ValueError(f"FFTCONV_WORKERS must be an integer >= 0 (0 = decide), got {workers!r}")
    return Config(engine=engine, workers=int(workers))


_default: Config | None = None
_context: ContextVar[Config | None] = ContextVar("fftconv_config", default=None)


def default_config() -> Config:
    """The process-wide options, read from the environment the first time."""
    global _default
    if _default is None:
        _default = config_from_environment(os.environ)
    return _default


def get_config() -> Config:
    """The options in force here.

    Examples
    --------
    >>> with config_context(workers=1):
    ...     get_config().workers
    1
    """
    return _context.get() or _default or default_config()


def adopt(config: Config, work: Callable[..., None], *args: Any) -> None:
    """``work(*args)`` under the options of the thread that it is done for."""
    token = _context.set(config)
    try:
        work(*args)
    finally:
        _context.reset(token)


def _changed(config: Config, changes: Mapping[str, Any]) -> Config:
    known = [f.name for f in fields(Config)]
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise TypeError(f"options must be among {', '.join(known)}; got {', '.join(unknown)}")
    return replace(config, **changes)


@contextmanager
def config_context(**changes: Any) -> Iterator[Config]:
    """Options changed within a ``with`` block, for this thread or task only.

    Parameters
    ----------
    **changes
        Fields of `Config`.

    Raises
    ------
    TypeError
        For an option that does not exist.
    ValueError
        For a value that an option cannot have.

    Examples
    --------
    >>> with config_context(engine="scipy", workers=1) as config:
    ...     config.engine
    'scipy'
    """
    token = _context.set(_changed(get_config(), changes))
    try:
        yield get_config()
    finally:
        _context.reset(token)


@contextmanager
def set_workers(workers: int) -> Iterator[Config]:
    """Limit the threads of the calls within a ``with`` block.

    Parameters
    ----------
    workers : int
        Number of threads; 0 lets the library decide.

    Raises
    ------
    ValueError
        For a number below 0, and what is no integer.

    Examples
    --------
    >>> with set_workers(2):
    ...     get_config().workers
    2
    """
    with config_context(workers=workers) as config:
        yield config


class EngineSetting:
    """What `set_engine` returns: forget it, or use it as a context manager that restores the former engine."""

    def __init__(self, former: str) -> None:
        self._former = former

    def __enter__(self) -> EngineSetting:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        set_engine(self._former)


def set_engine(engine: str) -> EngineSetting:
    """Choose the FFT library for the whole process; a surrounding `config_context` still has the last word.

    Parameters
    ----------
    engine : {"auto", "fftw", "scipy"}

    Returns
    -------
    EngineSetting
        A context manager that restores the former choice when its block ends.

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> with set_engine("scipy"):
    ...     get_config().engine
    'scipy'
    """
    global _default
    former = default_config()
    _default = replace(former, engine=engine)
    return EngineSetting(former.engine)
