"""What is installed: metadata, data with its sources, types, and the real recordings as documented."""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fftconv
from fftconv.data import electrocardiogram, photograph

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_required_packages_and_extras() -> None:
    project = PROJECT["project"]
    required = {name.split(">=")[0] for name in project["dependencies"]}
    assert required == {"numpy", "scipy", "pyfftw"}
    assert {"jit", "io", "plot", "cli", "dask", "xarray", "test", "docs", "all"} <= set(
        project["optional-dependencies"]
    )


def test_tools_have_one_version_everywhere() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    for pinned in PROJECT["project"]["optional-dependencies"]["lint"]:
        assert f'"{pinned}"' in hooks


def test_files_beside_the_code_are_installed() -> None:
    package = files(fftconv)
    assert package.joinpath("py.typed").is_file()
    assert package.joinpath("core", "built_in.json").is_file()
    sources = package.joinpath("data", "SOURCES.md").read_text(encoding="utf-8")
    shipped = [f for f in package.joinpath("data").iterdir() if f.name.endswith(".npz")]
    assert {f.name for f in shipped} == {"ecg_208.npz", "camera.npz"}
    assert all(f"`{f.name}`" in sources for f in shipped)
    assert sum(len(f.read_bytes()) for f in shipped) < 10**6


NEVER_RAISES = {"cache_info", "clear_cache", "show_config", "ConvDimensionNumbers"}


def public() -> dict[str, object]:
    """Every name that a caller may use, and the methods of what they make."""
    doors = (fftconv, fftconv.signal, fftconv.numpy, fftconv.lax, fftconv.nn)
    names = {f"{door.__name__}.{name}": getattr(door, name) for door in doors for name in door.__all__}
    own = {f"Convolver.{name}": value for name, value in vars(fftconv.Convolver).items() if name[0] != "_"}
    return {name: value for name, value in (names | own).items() if not isinstance(value, ModuleType)}


@pytest.mark.parametrize("name", public())
def test_what_is_public_is_described_with_an_example_and_its_errors(name: str) -> None:
    """A sister function may stand for parameters, result and errors; the doctests run the examples."""
    value, own = public()[name], name.rsplit(".")[-1]
    told = inspect.getdoc(value) or ""
    assert told.splitlines()[0].endswith(".")
    if isinstance(value, property):
        return
    assert ">>> " in told
    sisters = {other.rsplit(".")[-1] for other in public()} - {own}
    if not sisters & set(re.findall(r"`(\w+)`", told)):
        assert (
            "Parameters\n---" in told or "Attributes\n---" in told or not inspect.signature(value).parameters
        )
        assert "Raises\n---" in told or own in NEVER_RAISES


def test_electrocardiogram_is_what_it_says() -> None:
    ecg, rate = electrocardiogram()
    assert ecg.dtype == np.float64 and ecg.shape == (108_000,) and rate == 360
    np.testing.assert_allclose(ecg[:3], [-0.245, -0.215, -0.185])
    np.testing.assert_allclose([ecg.mean(), ecg.std()], [-0.16510875, 0.5992473991177294])


def test_photograph_is_what_it_says() -> None:
    pixels = photograph()
    assert pixels.dtype == np.uint8 and pixels.shape == (512, 512)
    np.testing.assert_allclose(pixels.mean(), 129.06, atol=0.01)
