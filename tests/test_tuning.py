"""The host profile: found, refused with one warning, written whole, and obeyed by plans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fftconv
from fftconv.core import cost, profile
from fftconv.core.engine import get_engine
from fftconv.core.profile import BUILT_IN, Profile, default_path, in_force, read, use, write


@pytest.fixture(autouse=True)
def _as_before():
    yield
    use(BUILT_IN)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile of this machine, where the next look will find it."""
    path = tmp_path / "cache" / "profile.json"
    write(path, doctored())
    monkeypatch.setenv("FFTCONV_PROFILE", str(path))
    use(None)
    return path


def doctored(**direct: float) -> Profile:
    """The built-in profile, in which the direct sum costs next to nothing unless told otherwise."""
    free = {"long_line": dict.fromkeys(BUILT_IN.direct.long_line, 1e-15), "line_call": 0.0}
    cheap = replace(BUILT_IN.direct, **{**free, "dot": dict.fromkeys(BUILT_IN.direct.dot, 0.0), **direct})
    return Profile(BUILT_IN.engines, cheap)


def change(path: Path, **changes: object) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **changes}))


def test_what_is_written_is_read(written):
    found = read(written)
    assert found.source == str(written)
    assert found.direct.long_line["d"] == 1e-15
    for name, host in found.engines.items():
        assert host.rows == BUILT_IN.engines[name].rows
        assert host.odd_columns == BUILT_IN.engines[name].odd_columns


def test_plans_are_made_from_the_profile_in_force(written):
    assert in_force().source == str(written)
    assert fftconv.explain((100_000,), (1001,)).method == "direct"
    use(BUILT_IN)
    assert fftconv.explain((100_000,), (1001,)).method == "overlap_save"


def test_a_call_seen_before_follows_the_profile_too(monkeypatch):
    from fftconv.core import run

    used = []
    lookup = run.executor
    monkeypatch.setattr(run, "executor", lambda plan: used.append(plan.method) or lookup(plan))
    x, w = np.ones(100_000), np.ones(1001)
    for p in (BUILT_IN, doctored(), BUILT_IN):
        use(p)
        np.testing.assert_allclose(fftconv.convolve(x, w)[[0, 50_000]], [1, 1001])
    assert used == ["overlap_save", "direct", "overlap_save"]


def test_each_engine_has_costs_of_its_own(monkeypatch):
    slow = replace(cost.BUILT_IN, call=1.0)
    use(Profile({"fftw": cost.BUILT_IN, "scipy": slow}, BUILT_IN.direct))
    with fftconv.config_context(engine="scipy"):
        plan = fftconv.explain((100_000,), (1001,), method="overlap_save")
    assert plan.engine == "scipy" and plan.chosen.seconds > 1
    assert in_force().spectral("another") is cost.BUILT_IN


WRONG = {
    "of another kind": ({"format": "fftconv-wisdom"}, "is not a profile"),
    "older": ({"version": 0}, "version 0"),
    "newer": ({"version": 99}, "version 99"),
    "of another processor": ({"processor": "abacus 7"}, "abacus 7"),
    "without engines": ({"engines": {}}, "damaged"),
    "with other coefficients": ({"direct": {"call": 1e-6}}, "other coefficients"),
    "with broken wisdom": ({"wisdom": {"double": 3}}, "damaged"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_profile_that_does_not_fit_is_left_alone_with_one_warning(written, what):
    changes, words = WRONG[what]
    change(written, **changes)
    before = written.read_bytes()
    with pytest.warns(RuntimeWarning, match=words) as seen:
        assert in_force() is BUILT_IN
        fftconv.convolve(np.ones(5), np.ones(3))
    assert len(seen) == 1
    assert written.read_bytes() == before


@pytest.mark.skipif(not profile.fftw_release(), reason="without pyfftw no release can differ")
def test_a_profile_of_another_fftw_is_left_alone(written):
    change(written, fftw="fftw-9.9.9")
    with pytest.warns(RuntimeWarning, match=r"fftw-9\.9\.9"):
        assert in_force() is BUILT_IN


@pytest.mark.skipif(get_engine().name != "fftw", reason="only FFTW has wisdom")
def test_wisdom_that_fftw_refuses_is_left_alone(written):
    change(written, wisdom={"double": "(fftw-3.3.5 nonsense", "single": "", "long double": ""})
    with pytest.warns(RuntimeWarning, match="wisdom that FFTW refuses"):
        assert in_force() is BUILT_IN


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "1", None, True, [1.0], {"f": 1.0}])
def test_a_coefficient_that_cannot_be_a_cost_is_refused(written, value):
    document = json.loads(written.read_text())
    document["direct"]["call"] = value
    written.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="damaged"):
        read(written)


def test_tables_keep_their_lengths(written):
    document = json.loads(written.read_text())
    document["engines"]["fftw"]["rows"]["d"].pop()
    written.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="damaged"):
        read(written)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff", '{"format": "fftconv-profile"'])
def test_any_bytes_may_stand_in_the_file(written, text):
    written.write_bytes(text.encode("latin-1"))
    with pytest.warns(RuntimeWarning, match="not used"):
        assert in_force() is BUILT_IN


def test_a_named_file_must_be_there_and_an_unnamed_one_need_not(tmp_path, monkeypatch):
    monkeypatch.setenv("FFTCONV_PROFILE", str(tmp_path / "none.json"))
    use(None)
    with pytest.warns(RuntimeWarning, match="cannot be read"):
        assert in_force() is BUILT_IN
    monkeypatch.delenv("FFTCONV_PROFILE")
    monkeypatch.setattr(profile, "default_path", lambda: tmp_path / "none.json")
    use(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert in_force() is BUILT_IN


def test_off_looks_for_nothing(monkeypatch):
    monkeypatch.setenv("FFTCONV_PROFILE", "off")
    monkeypatch.setattr(profile, "read", lambda path: pytest.fail("a file was read"))
    use(None)
    assert in_force() is BUILT_IN


def test_the_default_place_is_that_of_platformdirs(monkeypatch):
    dirs = pytest.importorskip("platformdirs")
    assert default_path() == Path(dirs.user_cache_dir("fftconv", appauthor=False), "profile.json")
    if sys.platform.startswith("linux"):
        monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
        assert default_path() == Path("/elsewhere/fftconv/profile.json")


def test_a_profile_that_cannot_be_written_leaves_the_old_one(written, monkeypatch):
    before = written.read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(written, doctored(call=1.0))
    assert written.read_bytes() == before
    assert [f.name for f in written.parent.iterdir()] == [written.name]


def test_another_process_finds_it(written):
    code = "import fftconv; print(fftconv.explain((100_000,), (1001,)).method)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "direct"
