"""docs/errors.md shows what calls really raise, and every message says what was expected and what came."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from bad_inputs import CALLS, PAGE, Refusal, page, refusals

from fftconv.core.engine import get_engine

HINT = "python tests/bad_inputs.py writes the page again"


@cache
def rows() -> list[Refusal]:
    return [row for chapter in refusals().values() for row in chapter]


def comparable(text: str) -> list[str]:
    """Lines; where another engine than FFTW transforms, other lengths and so other numbers stand in some of them."""
    if get_engine(np.dtype("f8")).name != "fftw":
        text = re.sub(r"\d[\d.e+-]*", "N", text)
    return text.splitlines()


def test_the_page_shows_what_is_raised():
    for stands, should in zip(comparable(PAGE.read_text()), comparable(page()), strict=True):
        assert stands == should, HINT


def test_there_are_enough():
    assert len(rows()) >= 120 and len(CALLS) == 7
    assert len({row.message for row in rows()}) > 100


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.call[:60])
def test_every_message_is_one_of_ours(row):
    """No exception of an interior, no bare word; what the caller gave can be read in it or is what is named."""
    assert row.kind.split(",")[0] in (
        "ValueError",
        "TypeError",
        "MemoryError",
        "OverflowError",
        "exit code 2",
    )
    assert len(row.message) > 15 and "\n" not in row.message
    for foreign in ("object cannot be", "not understood", "NoneType", "broadcast together", "Traceback"):
        assert foreign not in row.message
