"""Which engine serves a call, and why."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import Any

import numpy as np

from ..config import Config, get_config
from .base import SPECTRUM_DTYPES, Engine
from .cache import CacheInfo
from .fftw import FFTWEngine
from .fftw_planner import planner, pyfftw
from .scipy import ScipyEngine
from .selftest import fftw_fault

ENGINES: tuple[type[Engine], ...] = (FFTWEngine, ScipyEngine)

_engines: dict[Hashable, Engine] = {}
_fault: str | None = None


def get_engine(dtype: Any = None) -> Engine:
    """The engine in force for signals of `dtype` (default float64).

    Raises
    ------
    ImportError
        If the options demand FFTW and pyfftw cannot be imported.
    TypeError
        If no engine transforms `dtype`.

    Examples
    --------
    >>> get_engine(np.dtype("f4")).name in ("fftw", "scipy")
    True
    """
    config = get_config()
    key = (config.engine, config.planning, config.planning_limit, config.cache_bytes, dtype)
    return _engines.get(key) or _remember(key, config, dtype)


def cache_info() -> CacheInfo:
    """State of the plan cache of the engine in force.

    Examples
    --------
    >>> info = cache_info()
    >>> info.bytes <= info.limit
    True
    """
    return get_engine().info()


def clear_cache() -> None:
    """Drop every idle plan of every engine, and the scratch that they hold.

    Examples
    --------
    >>> clear_cache()
    >>> cache_info().plans
    0
    """
    for engine in ENGINES:
        engine.cache.clear()


def choose_engine(config: Config, dtype: Any = None) -> tuple[Engine, str]:
    """The engine that `config` means for `dtype`, and the reason."""
    dtype = np.dtype(np.float64 if dtype is None else dtype)
    if dtype not in SPECTRUM_DTYPES:
        raise TypeError(f"transforms are of float or complex in single, double or long double; got {dtype!r}")
    why_not = _fftw_unfit(config, dtype)
    if why_not:
        return ScipyEngine(config.cache_bytes), why_not
    fftw = FFTWEngine(config.cache_bytes, config.planning, config.planning_limit)
    return fftw, "the options ask for it" if config.engine == "fftw" else "installed, self-test passed"


def _fftw_unfit(config: Config, dtype: np.dtype[Any]) -> str:
    """Why FFTW is not to be used, or an empty string."""
    if config.engine == "scipy":
        return "the options ask for it"
    fault = _fftw_fault(required=config.engine == "fftw")
    if not fault and not FFTWEngine(0).supports(dtype):
        return f"this FFTW has no {dtype}"
    return fault


def _remember(key: Hashable, config: Config, dtype: Any) -> Engine:
    with planner.lock:
        engine, _ = choose_engine(config, dtype)
        _engines[key] = engine
    return engine


def _fftw_fault(required: bool) -> str:
    """Why FFTW cannot be used, or an empty string; tested once per process, with one warning if it is broken."""
    global _fault
    try:
        pyfftw()
    except ImportError as error:
        if required:
            raise ImportError(
                f"engine 'fftw' needs the package pyfftw, which cannot be imported ({error}); "
                "install it, or choose engine 'auto' or 'scipy'"
            ) from error
        return "pyfftw is not installed"
    if _fault is None:
        _fault = fftw_fault()
        if _fault:
            warnings.warn(
                f"FFTW failed its self-test ({_fault}); using scipy.fft instead. Another library may have "
                "replaced FFTW's functions, as MKL does.",
                RuntimeWarning,
                stacklevel=5,
            )
    return f"FFTW failed its self-test: {_fault}" if _fault else ""
