"""FFTW's wisdom in a file: what measuring has taught it, so that it need not be measured again.

Nothing is read or written unless asked. A file holds wisdom of any number of machines::

    {"format": "fftconv-wisdom", "entries": {processor: {fftw release: {precision: text}}}}

Only the entry of this processor and this FFTW is used; saving adds to it and leaves the others as they are. Plans
made from loaded wisdom are as fast as measured ones and, unlike those, the same in every run.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .fftw import FFTWEngine
from .fftw_planner import POOLS, planner, pyfftw
from .host import processor

FORMAT = "fftconv-wisdom"
PRECISIONS = ("double", "single", "long double")

Entries = dict[str, dict[str, dict[str, str]]]


def save_wisdom(path: str | os.PathLike[str]) -> None:
    """Add this process's measured plans to the wisdom file at `path`, which is replaced in one step.

    Parameters
    ----------
    path : path-like
        Its folder must exist. What the file knows already is kept.

    Raises
    ------
    ValueError
        If the file exists and is not a wisdom file: it is left as it is.
    ImportError
        If pyfftw is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from fftconv.core.engine import get_engine
    >>> if get_engine().name == "fftw":
    ...     with tempfile.TemporaryDirectory() as folder:
    ...         save_wisdom(Path(folder) / "wisdom.json")
    """
    path = Path(path)
    entries: Entries = {}
    if path.exists():
        entries, fault = _read(path)
        if fault:
            raise ValueError(f"wisdom is only saved over a wisdom file; {path} {fault}")
    with planner.lock:
        _teach(_own(entries), ("tuned",))
        texts = learnt()
    entries.setdefault(processor(), {})[release()] = texts
    replace(path, json.dumps({"format": FORMAT, "entries": entries}, indent=1))


def learnt() -> dict[str, str]:
    """What measuring has taught FFTW in this process, as text by precision."""
    return {
        name: text.decode("ascii") for name, text in zip(PRECISIONS, planner.export_wisdom(), strict=True)
    }


def load_wisdom(path: str | os.PathLike[str]) -> bool:
    """Plan from the wisdom file at `path` from now on.

    A file that is missing, damaged, of another kind, or without an entry for this processor and this FFTW changes
    nothing and gives one warning.

    Returns
    -------
    bool
        Whether anything was learnt.

    Raises
    ------
    ImportError
        If pyfftw is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from fftconv.core.engine import get_engine
    >>> if get_engine().name == "fftw":
    ...     with tempfile.TemporaryDirectory() as folder:
    ...         save_wisdom(Path(folder) / "wisdom.json")
    ...         assert load_wisdom(Path(folder) / "wisdom.json")
    """
    own_release = release()
    entries, fault = _read(Path(path))
    own = _own(entries)
    if not fault and not own:
        fault = f"has no entry for {processor()}, FFTW {own_release}"
    if not fault and not teach(own):
        fault = "was refused by FFTW: it is damaged, or from another build"
    if fault:
        warnings.warn(f"wisdom not loaded: {path} {fault}", RuntimeWarning, stacklevel=2)
        return False
    return True


def teach(texts: Mapping[str, str]) -> bool:
    """Plan from these texts, by precision, from now on; whether FFTW accepted every one of them."""
    if not _teach(texts):
        return False
    # Idle plans were made without it.
    FFTWEngine.cache.clear()
    return True


def release() -> str:
    """The release of the FFTW library, with the instruction sets it was built for."""
    return str(pyfftw()._fftw_version_dict.get("64", "unknown"))


def _own(entries: Entries) -> dict[str, str]:
    return entries.get(processor(), {}).get(release(), {})


def _teach(texts: Mapping[str, str], pools: tuple[str, ...] = POOLS) -> bool:
    """Give `texts` to FFTW; whether it accepted every one of them."""
    if not texts:
        return False
    present = [name in texts for name in PRECISIONS]
    accepted = planner.import_wisdom(tuple(texts.get(name, "").encode("ascii") for name in PRECISIONS), pools)
    return all(ok for ok, there in zip(accepted, present, strict=True) if there)


def _read(path: Path) -> tuple[Entries, str]:
    """The entries of a wisdom file, or what is wrong with it."""
    try:
        document: Any = json.loads(path.read_text(encoding="ascii"))
    except OSError as error:
        return {}, f"cannot be read ({error.strerror})"
    except ValueError:
        return {}, "is not a wisdom file, or damaged"
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return {}, "is not a wisdom file"
    entries: Any = document.get("entries")
    if not _well_formed(entries):
        return {}, "is damaged"
    return entries, ""


def _well_formed(entries: Any) -> bool:
    """Whether `entries` is three levels of names around texts of ASCII."""

    def mapping(value: Any, depth: int) -> bool:
        if depth == 0:
            return isinstance(value, str) and value.isascii()
        return isinstance(value, dict) and all(mapping(v, depth - 1) for v in value.values())

    return mapping(entries, 3)


def replace(path: Path, text: str) -> None:
    """Write `text` beside `path`, then move it there: a reader sees the old file or the new one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
