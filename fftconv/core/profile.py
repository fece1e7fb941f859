"""The host profile: the coefficients that predictions are made from, the built-in ones or those of a file.

``fftconv tune`` measures a machine and writes the file; `in_force` reads it when the first plan is made. It is
looked for at ``FFTCONV_PROFILE`` (``off`` for none), else in the user's cache folder. A file that is damaged, or of
another processor, another FFTW or another release of fftconv, is left alone with one warning, and the built-in
coefficients serve. A profile may hold FFTW's wisdom: plans that come from it are as fast as measured ones and the same
in every run.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from fftconv.core.cost import HostProfile
from fftconv.core.cost_direct import DirectCosts
from fftconv.core.engine import wisdom
from fftconv.core.engine.host import processor

FORMAT = "fftconv-profile"
VERSION = 1
OFF = "off"
# The built-in coefficients: `python -m fftconv.tuning.between` makes them from profiles of several machines.
FILE = Path(__file__).with_name("built_in.json")

Costs = TypeVar("Costs", HostProfile, DirectCosts)


@dataclass(frozen=True, eq=False)
class Profile:
    """What predictions are made from. Compared by identity: it is part of the key of every plan.

    Attributes
    ----------
    engines : mapping
        Costs of spectral methods, by the name of the engine.
    direct : DirectCosts
    wisdom : mapping
        FFTW's wisdom, by precision; empty for none.
    source : str
        The file it was read from, or where else it comes from.
    """

    engines: Mapping[str, HostProfile]
    direct: DirectCosts
    wisdom: Mapping[str, str] = field(default_factory=dict)
    source: str = "built in"

    def spectral(self, engine: str) -> HostProfile:
        """The costs of one engine; those of the first one stand in for an engine that was not measured."""
        return self.engines.get(engine) or next(iter(self.engines.values()))


def _built_in() -> Profile:
    document = json.loads(FILE.read_text(encoding="ascii"))
    engines = {name: HostProfile(**_frozen(found)) for name, found in document["engines"].items()}
    return Profile(engines, DirectCosts(**_frozen(document["direct"])))


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _frozen(entry) for name, entry in value.items()}
    return tuple(value) if isinstance(value, list) else value


BUILT_IN = _built_in()

_lock = threading.Lock()
_current: Profile | None = None


def in_force() -> Profile:
    """The profile that plans are made from, looked for the first time."""
    return _current or _first()


def use(profile: Profile | None) -> None:
    """Plan by `profile` from now on, or look for the file again; not while another thread convolves."""
    global _current
    if profile is not None and profile.wisdom:
        wisdom.teach(profile.wisdom)
    _current = profile


def _first() -> Profile:
    global _current
    with _lock:
        if _current is None:
            found = _look()
            if found.wisdom and not wisdom.teach(found.wisdom):
                _warn(found.source, "holds wisdom that FFTW refuses")
                found = BUILT_IN
            _current = found
    return _current


def _after_fork() -> None:
    """A child's lock is its own."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _look() -> Profile:
    asked = os.environ.get("FFTCONV_PROFILE", "").strip()
    if asked.lower() == OFF:
        return BUILT_IN
    path = Path(asked) if asked else default_path()
    if not asked and not path.exists():
        return BUILT_IN
    try:
        return read(path)
    except ValueError as fault:
        _warn(path, str(fault))
        return BUILT_IN


def _warn(path: object, fault: str) -> None:
    warnings.warn(f"host profile not used: {path} {fault}", RuntimeWarning, stacklevel=2)


def path_in_force() -> Path:
    """Where a profile is written to and looked for."""
    asked = os.environ.get("FFTCONV_PROFILE", "").strip()
    return Path(asked) if asked and asked.lower() != OFF else default_path()


def default_path() -> Path:
    """The file in the user's cache folder, by the rules of each system (those of the package platformdirs)."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(base) / "fftconv" / "Cache" / "profile.json"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fftconv" / "profile.json"
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or str(Path.home() / ".cache")
    return Path(base) / "fftconv" / "profile.json"


# --- the file


def read(path: Path) -> Profile:
    """The profile in a file.

    Raises
    ------
    ValueError
        Where it does not serve here, with the reason.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="ascii"))
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError("is not a profile, or damaged") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError("is not a profile")
    if document.get("version") != VERSION:
        raise ValueError(f"is of version {document.get('version')}, this fftconv reads {VERSION}: tune again")
    if document.get("processor") != processor():
        raise ValueError(f"was measured on {document.get('processor')}, this is {processor()}: tune again")
    release = fftw_release()
    if release and document.get("fftw") != release:
        raise ValueError(
            f"was measured with {document.get('fftw') or 'no FFTW'}, this is {release}: tune again"
        )
    return _parsed(document, str(path))


def _parsed(document: dict[str, Any], source: str) -> Profile:
    engines, texts = document.get("engines"), document.get("wisdom", {})
    if not isinstance(engines, dict) or not engines or not isinstance(texts, dict):
        raise ValueError("is damaged")
    if not all(isinstance(text, str) and text.isascii() for text in texts.values()):
        raise ValueError("is damaged")
    spectral = {
        str(name): _costs(HostProfile, BUILT_IN.spectral(name), found) for name, found in engines.items()
    }
    direct = _costs(DirectCosts, BUILT_IN.direct, document.get("direct"))
    return Profile(spectral, direct, texts if fftw_release() else {}, source)


def _costs(kind: Callable[..., Costs], like: Costs, found: Any) -> Costs:
    """Coefficients from a document; they must be those of this release, each a number that can be a cost."""
    if not isinstance(found, dict) or set(found) != {f.name for f in fields(like)}:
        raise ValueError("has other coefficients than this fftconv: tune again")
    return kind(**{name: _shaped(value, getattr(like, name)) for name, value in found.items()})


def _shaped(value: Any, like: Any) -> Any:
    if isinstance(like, dict) and isinstance(value, dict) and set(value) == set(like):
        return {name: _shaped(value[name], like[name]) for name in like}
    if isinstance(like, tuple) and isinstance(value, list) and len(value) == len(like):
        return tuple(_shaped(*pair) for pair in zip(value, like, strict=True))
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0
    if not isinstance(like, dict | tuple) and number:
        return float(value)
    raise ValueError("is damaged")


def write(path: Path, profile: Profile) -> None:
    """Write a profile of this machine, in one step: a reader sees the old file or the new one."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "processor": processor(),
        "fftw": fftw_release(),
        "engines": {name: asdict(host) for name, host in profile.engines.items()},
        "direct": asdict(profile.direct),
        "wisdom": dict(profile.wisdom),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    wisdom.replace(path, json.dumps(document, indent=1))


def fftw_release() -> str:
    """The FFTW at hand, an empty string for none."""
    try:
        return wisdom.release()
    except ImportError:
        return ""
