"""README and docs: examples run and print what they say, links lead somewhere, no file is left out."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import fftconv

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {"README.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))} - {
    "docs/README.md"
}
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
EXAMPLES = EXAMPLE.findall(README)


def test_there_are_five_examples_and_two_commands() -> None:
    assert len(EXAMPLES) == 5
    assert len(re.findall(r"^\$ ", README, re.MULTILINE)) == 2


@pytest.mark.parametrize("page", sorted(PAGES))
def test_examples(page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's stand alone; those of another page may go on from those above them."""
    names: dict[str, object] = {}
    for code, printed in EXAMPLE.findall((ROOT / page).read_text(encoding="utf-8")):
        (tmp_path / "example.py").write_text(code)
        found = runpy.run_path(str(tmp_path / "example.py"), names)
        names = {} if page == "README.md" else {k: v for k, v in found.items() if not k.startswith("__")}
        out = capsys.readouterr().out
        if "predicted" in out:  # plans differ between machines
            assert "* " in out
        else:
            assert out == printed


@pytest.mark.parametrize("page", sorted(PAGES | {"docs/README.md"}))
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8"))
    lost = [link for link, _ in links if not (path.parent / link).exists()]
    assert lost == []
    targets = [((path.parent / link if link else path), anchor) for link, anchor in links if anchor]
    assert [anchor for target, anchor in targets if anchor not in _anchors(target)] == []


def _anchors(page: Path) -> list[str]:
    """What a heading is called in a link: small letters, hyphens for spaces, no other signs."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_page_is_in_the_lists_of_pages() -> None:
    readme, pages = README, (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    names = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert [
        name for name in sorted(names) if f"(docs/{name})" not in readme or f"({name})" not in pages
    ] == []


def test_internals_names_every_file_of_the_core_and_behind_the_doors() -> None:
    page = (ROOT / "docs" / "internals.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:\w+/)*(\w+\.py)`", page)) - {"name.py"}
    package = Path(fftconv.__file__).parent
    core = {path.name for path in package.glob("core/**/*.py")} - {"__init__.py"}
    doors = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert core | doors <= named
    assert named <= {path.name for path in package.rglob("*.py")} | {
        path.name for path in ROOT.glob("tests/*.py")
    }
