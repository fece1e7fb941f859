"""What is in force on this machine, in words: for bug reports and for the curious."""

from __future__ import annotations

import platform
import re
import sys
from typing import Any

import numpy as np

from ..config import get_config
from .fftw_planner import planner, pyfftw
from .host import processor
from .registry import choose_engine

LICENCE = (
    "pyFFTW itself is BSD-3-Clause; its binary wheels contain FFTW, which is GPL-2.0-or-later. "
    "Without pyfftw everything runs on scipy.fft."
)


def config_report() -> dict[str, str]:
    """The facts that `show_config` prints, by name.

    Examples
    --------
    >>> config_report()["numpy"] == np.__version__
    True
    """
    config = get_config()
    engine, why = choose_engine(config)
    report = {
        "fftconv": _version("fftconv"),
        "python": f"{platform.python_version()} ({sys.platform})",
        "numpy": np.__version__,
        "scipy": _version("scipy"),
        "pyfftw": _version("pyfftw"),
        "processor": processor(),
        "engine": f"{engine.name} ({why})",
        "workers": str(config.workers) if config.workers else "decided per call",
        "planning": config.planning,
        "plan cache": f"at most {config.cache_bytes / 2**20:.0f} MiB",
    }
    if engine.name == "fftw":
        report["fftw"] = _fftw_build()
        report["licence"] = LICENCE
    return report


def show_config() -> None:
    """Print versions, the FFT engine in force and why, workers, processor, and the licence that pyFFTW carries.

    Examples
    --------
    >>> show_config()  # doctest: +ELLIPSIS
    fftconv ...
    """
    report = config_report()
    width = max(map(len, report))
    for name, fact in report.items():
        print(f"{name:{width}}  {fact}")


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _fftw_build() -> str:
    library: Any = pyfftw()
    versions = library._fftw_version_dict
    precisions = ", ".join(library._all_types_human_readable[name] for name in library._supported_types)
    release = str(versions.get("64", "")).removeprefix("fftw-") or "unknown"
    return f"{release}; {precisions}; SIMD {_simd() or 'none seen'}"


def _simd() -> str:
    """Instruction sets of the codelets that FFTW has chosen so far, read from its wisdom."""
    with planner.lock:
        wisdom = b"".join(pyfftw().export_wisdom()).decode("ascii", "replace")
    return ", ".join(sorted(set(re.findall(r"codelet_\w+?_\d+_([a-z]\w*)", wisdom))))
