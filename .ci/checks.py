#!/usr/bin/env python3
"""Everything that must pass before a change is taken: run `bash .ci/run` in a clone.

The tree is cloned into a temporary folder, the README's two commands are run there as they are written, then the
tests without pyfftw, those that tell engines apart where pyfftw is turned away, the doctests and the linters. Nothing
outside temporary folders is written.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NO_PYFFTW = 'raise ImportError("pyfftw is made unimportable for this run")\n'

# Without pyfftw and with FFTCONV_ENGINE=scipy the same engine computes. These see whether FFTW is there beside it.
TELL_ENGINES_APART = (
    "bench", "concurrency", "config", "convolver", "engine", "engine_cache", "engine_fftw", "package", "planner",
    "script", "spectral", "tuning",
)  # fmt: skip


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="fftconv-ci-") as folder:
        tree = copy_of_the_tree(Path(folder) / "fftconv")
        shim = Path(folder) / "shim"
        shim.mkdir()
        (shim / "pyfftw.py").write_text(NO_PYFFTW)
        return run_all(steps(tree, shim), tree)


def copy_of_the_tree(target: Path) -> Path:
    """The committed tree where git will clone it, else a plain copy."""
    clone = [
        "git",
        "-c",
        f"safe.directory={ROOT}",
        "-c",
        f"safe.directory={ROOT}/.git",
        "clone",
        "-q",
        str(ROOT),
        str(target),
    ]
    if (ROOT / ".git").exists() and shutil.which("git") and subprocess.run(clone).returncode == 0:
        return target
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache"))
    return target


def steps(tree: Path, shim: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Name, shell command and extra environment of each step."""
    demo, tests = readme_commands(tree / "README.md")
    # the same tests under other circumstances; the first run draws random problems by the hundred
    pytest = ".venv/bin/pytest -q -n 2 --hypothesis-profile=brief"
    turned_away = " ".join(f"tests/test_{name}.py" for name in TELL_ENGINES_APART)
    return [
        ("README: install and demo", demo, {}),
        ("README: install and test", tests, {}),
        ("tests without pyfftw", pytest, {"PYTHONPATH": str(shim)}),
        ("tests with pyfftw turned away", f"{pytest} {turned_away}", {"FFTCONV_ENGINE": "scipy"}),
        ("doctests", ".venv/bin/pytest -q --doctest-modules fftconv", {}),
        ("ruff check", ".venv/bin/ruff check .", {}),
        ("ruff format", ".venv/bin/ruff format --check .", {}),
        ("mypy", ".venv/bin/mypy", {}),
    ]


def readme_commands(readme: Path) -> list[str]:
    """The README's shell commands: each ``console`` block line that starts with a dollar sign, exactly two."""
    blocks = re.findall(
        r"^```console\n(.*?)^```", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    commands = [
        line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")
    ]
    if len(commands) != 2:
        raise SystemExit(
            f"expected two commands in console blocks of {readme.name}, got {len(commands)}: {commands}"
        )
    return commands


def run_all(todo: list[tuple[str, str, dict[str, str]]], tree: Path) -> int:
    """Run every step, even after one has failed, and sum up at the end."""
    report, failed = [], False
    for name, command, environment in todo:
        print(f"\n=== {name}\n$ {' '.join(f'{k}={v}' for k, v in environment.items())} {command}", flush=True)
        start = time.monotonic()
        code, last = run(command, tree, environment)
        failed |= code != 0
        report.append(
            f"{'ok    ' if code == 0 else 'FAILED'} {time.monotonic() - start:6.1f} s  {name}: {last}"
        )
    print("\n" + "\n".join(report))
    print("FAILED" if failed else "all passed")
    return int(failed)


def run(command: str, tree: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a shell command, echo what it prints, return its exit code and its last line."""
    clean = {
        k: v
        for k, v in os.environ.items()
        if k not in ("PYTHONPATH", "VIRTUAL_ENV") and not k.startswith("FFTCONV_")
    }
    process = subprocess.Popen(
        command,
        shell=True,
        cwd=tree,
        env=clean | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    last = ""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip() or last
    return process.wait(), last


if __name__ == "__main__":
    sys.exit(main())
