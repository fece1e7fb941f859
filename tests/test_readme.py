"""The README's examples run, each alone as a reader would paste it, and print what it says they print."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONVOLVER = (ROOT / "docs" / "convolver.md").read_text(encoding="utf-8")
CONVENTIONS = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(README)


def test_there_are_five_examples_and_two_commands() -> None:
    assert len(EXAMPLES) == 5
    assert len(re.findall(r"^\$ ", README, re.MULTILINE)) == 2


@pytest.mark.parametrize(("code", "printed"), EXAMPLES + EXAMPLE.findall(CONVOLVER))
def test_example(code: str, printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "example.py").write_text(code)
    runpy.run_path(str(tmp_path / "example.py"))
    out = capsys.readouterr().out
    assert out == printed if printed else "chosen: " in out


@pytest.mark.parametrize("page", ["conventions.md", "missing.md"])
def test_examples_of_the_pages(page: str, tmp_path: Path) -> None:
    examples = [code for code, _ in EXAMPLE.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))]
    assert examples
    for code in examples:
        (tmp_path / "example.py").write_text(code)
        runpy.run_path(str(tmp_path / "example.py"))


@pytest.mark.parametrize("page", ["README.md", "docs/README.md", "docs/conventions.md", "docs/convolver.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []
