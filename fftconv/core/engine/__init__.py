"""FFT engines: planned transforms, which library does them, and the cache of their plans.

`get_engine` names the engine in force: FFTW where it is installed, passes its self-test and has the
precision; scipy.fft otherwise. See `base` for the contract.
"""

from .base import Engine, FFTPlan, FFTSpec
from .cache import CacheInfo
from .registry import cache_info, clear_cache, get_engine
from .report import config_report, show_config

__all__ = [
    "CacheInfo",
    "Engine",
    "FFTPlan",
    "FFTSpec",
    "cache_info",
    "clear_cache",
    "config_report",
    "get_engine",
    "show_config",
]
