"""The example scripts run as a user runs them, on the shipped recordings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAYS = {
    "smooth_recording": "beats, 105 a minute",
    "denoise_photograph": "best: sigma 0.75",
    "large_kernel_background": "evened out  mean of the four quarters: 129 132 126 129",
    "general_convolutions": "conv_transpose gives the same: True",
}


def test_every_example_is_tested() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [path.name for path in EXAMPLES.glob("*.py") if path.stem not in tests] == []


@pytest.mark.parametrize("name", SAYS)
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
