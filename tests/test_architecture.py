"""The one-way rules of the house, read from the imports of every file."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import fftconv

ROOT = Path(fftconv.__file__).parent
FILES = {
    ".".join(("fftconv", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
CORE = [name for name in FILES if name.startswith("fftconv.core.")]
HEAVY = (
    "scipy",
    "pyfftw",
    "llvmlite",
    "numba",
    "matplotlib",
    "concurrent.futures",
    "dask",
    "xarray",
    "zarr",
    "h5py",
    "PIL",
    "rich",
)


@cache
def imports(name: str, at_load: bool = False) -> frozenset[str]:
    """Modules that `name` imports anywhere, or only those it imports while it loads; type checking aside."""
    found: set[str] = set()
    for node in _statements(ast.parse(FILES[name].read_text()), at_load):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(name, node)
            # `from package import module` means the module, not what else the package gathers
            found.update(m if (m := f"{base}.{alias.name}") in FILES else base for alias in node.names)
    return frozenset(found - {name})


def _statements(tree: ast.AST, at_load: bool):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from _statements(node, at_load)


def _absolute(name: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = name.split(".") if FILES[name].name == "__init__.py" else name.split(".")[:-1]
    parts = package[: len(package) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def inside(module: str, *packages: str) -> bool:
    return any(module == p or module.startswith(p + ".") for p in packages)


def ours(name: str, at_load: bool = False) -> set[str]:
    """Imports from within the package; the package itself only where a file names it for its version."""
    return {m for m in imports(name, at_load) if inside(m, "fftconv")}


@pytest.mark.parametrize("name", CORE)
def test_core_imports_no_door(name):
    assert {m for m in ours(name) if not inside(m, "fftconv.core")} == set()


@pytest.mark.parametrize("name", [n for n in CORE if inside(n, "fftconv.core.engine")])
def test_the_engine_knows_nothing_of_convolution(name):
    stray = {m for m in ours(name) if not inside(m, "fftconv.core.engine", "fftconv.core.config")}
    assert stray <= {"fftconv.core"}


def test_plans_are_made_without_the_methods():
    for name in ("planner", "plan", "cost", "problem", "workers", "config"):
        stray = {
            m for m in _reach(f"fftconv.core.{name}") if inside(m, "fftconv.core.methods", "fftconv.core.run")
        }
        assert stray == set(), name


def test_the_description_knows_nothing_but_integers():
    assert ours("fftconv.core.problem") == {"fftconv.core.boundary", "fftconv.core.lazy"}
    assert ours("fftconv.core.limbs") == {"fftconv.core.problem", "fftconv.core.lazy"}
    assert ours("fftconv.core.plan") == {"fftconv.core.problem", "fftconv.core.limbs"}


def _reach(name: str) -> set[str]:
    """Everything that `name` imports, and what that imports, and so on."""
    seen, todo = set(), [name]
    while todo:
        for m in ours(todo.pop()) & set(FILES):
            if m not in seen:
                seen.add(m)
                todo.append(m)
    return seen


@pytest.mark.parametrize("name", FILES)
def test_no_circle_among_imports_at_load(name):
    """A package's own ``__init__`` may gather its children; children may not need it while they load."""
    seen, todo = set(), [name]
    while todo:
        for m in ours(todo.pop(), at_load=True) & set(FILES):
            if m not in seen:
                seen.add(m)
                todo.append(m)
    assert name not in seen


@pytest.mark.parametrize("name", FILES)
def test_heavy_libraries_load_when_first_needed(name):
    """Nothing that `import fftconv` reaches may import them on load; a file that wraps one may."""
    if name in _loaded_by_import():
        assert {m for m in imports(name, at_load=True) if inside(m, *HEAVY)} == set()


@cache
def _loaded_by_import() -> frozenset[str]:
    return frozenset(_run("import fftconv, sys; print(*sys.modules)").split())


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT.parent, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_numpy_and_nothing_heavier():
    loaded = _loaded_by_import()
    assert "fftconv" in loaded
    assert {m for m in loaded if inside(m, *HEAVY)} == set()


NUMPYS = ("np.convolve", "np.correlate")
DOOR_WORDS = {
    "full", "same", "valid", "SAME", "VALID", "SAME_LOWER", "edge", "reflect", "symmetric", "wrap", "replicate",
    "propagate", "omit", "NCHW", "OIHW",
}  # fmt: skip


@pytest.mark.parametrize("name", CORE)
def test_words_of_the_doors_stay_at_the_doors(name):
    """Below the doors there is no mode, no padding and no layout as a string."""
    nodes = list(ast.walk(ast.parse(FILES[name].read_text())))
    # NumPy has a door of its own, and its words are the way through it
    calls = [n for n in nodes if isinstance(n, ast.Call) and ast.unparse(n.func) in NUMPYS]
    numpys = {a for call in calls for a in call.args}
    words = {n.value for n in nodes if isinstance(n, ast.Constant) and n not in numpys}
    assert words & DOOR_WORDS == set()


@pytest.mark.parametrize("name", CORE)
def test_no_lock_hides_in_a_property(name):
    """functools.cached_property holds a lock in Python 3.11, which a forked child may find shut for ever."""
    nodes = ast.walk(ast.parse(FILES[name].read_text()))
    assert not any(
        isinstance(n, ast.Name | ast.Attribute) and "cached_property" in ast.unparse(n) for n in nodes
    )


@pytest.mark.parametrize("name", CORE)
def test_functions_below_the_doors_have_at_most_five_parameters(name):
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.FunctionDef):
            a = node.args
            given = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs) if p.arg not in ("self", "cls")]
            assert len(given) <= 5, f"{name}.{node.name}({', '.join(given)})"
