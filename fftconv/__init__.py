"""FFT-based convolution and correlation for signals, images and volumes.

The names of `fftconv.signal` stand here too. Each is loaded when first used, so that importing the package
costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "signal": (
        "choose_conv_method",
        "convolve",
        "convolve2d",
        "correlate",
        "correlate2d",
        "correlation_lags",
        "fftconvolve",
        "oaconvolve",
    ),
    "convolver": ("Convolver",),
    "_explain": ("explain",),
    "tuning": ("tune",),
    "core.config": ("config_context", "set_engine", "set_workers"),
    "core.engine": ("cache_info", "clear_cache", "show_config"),
}
_HOME = {name: home for home, names in _NAMES.items() for name in names}
_ROOMS = ("lax", "nn", "numpy", "signal")

__all__ = [*_HOME, *_ROOMS]

if TYPE_CHECKING:
    from fftconv import lax as lax
    from fftconv import nn as nn
    from fftconv import numpy as numpy
    from fftconv import signal as signal
    from fftconv._explain import explain as explain
    from fftconv.convolver import Convolver as Convolver
    from fftconv.core.config import config_context as config_context
    from fftconv.core.config import set_engine as set_engine
    from fftconv.core.config import set_workers as set_workers
    from fftconv.core.engine import cache_info as cache_info
    from fftconv.core.engine import clear_cache as clear_cache
    from fftconv.core.engine import show_config as show_config
    from fftconv.signal import choose_conv_method as choose_conv_method
    from fftconv.signal import convolve as convolve
    from fftconv.signal import convolve2d as convolve2d
    from fftconv.signal import correlate as correlate
    from fftconv.signal import correlate2d as correlate2d
    from fftconv.signal import correlation_lags as correlation_lags
    from fftconv.signal import fftconvolve as fftconvolve
    from fftconv.signal import oaconvolve as oaconvolve
    from fftconv.tuning import tune as tune


def __getattr__(name: str) -> Any:
    if name in _HOME:
        found = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _ROOMS:
        found = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
