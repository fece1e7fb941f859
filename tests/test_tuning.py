"""The host profile: found, refused with one warning, written whole, and obeyed by plans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fftconv
from fftconv.cli.main import cli
from fftconv.core import profile
from fftconv.core.config import config_context
from fftconv.core.cost_direct import seconds
from fftconv.core.engine import get_engine
from fftconv.core.profile import BUILT_IN, Profile, default_path, in_force, read, use, write
from fftconv.tuning import Tuning, common, host
from fftconv.tuning.between import built_in
from fftconv.tuning.fit import Sample, fit, get
from fftconv.tuning.problems import problem


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
    for name, costs in found.engines.items():
        assert costs.rows == BUILT_IN.engines[name].rows
        assert costs.odd_columns == BUILT_IN.engines[name].odd_columns


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
    fast = BUILT_IN.spectral("fftw")
    slow = replace(fast, call=1.0, brief=0.0, lone=1.0)
    use(Profile({"fftw": fast, "scipy": slow}, BUILT_IN.direct))
    with fftconv.config_context(engine="scipy"):
        plan = fftconv.explain((100_000,), (1001,), method="overlap_save")
    assert plan.engine == "scipy" and plan.chosen.seconds > 1
    assert in_force().spectral("another") is fast


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


# --- tuning itself: what it finds depends on the machine, so the tests look at what it does


def test_tuning_from_its_start_to_its_end(tmp_path):
    """Once for all that is asked of it: the least that a machine is measured takes seconds."""
    said: list[str] = []
    tuned = fftconv.tune(tmp_path / "new" / "profile.json", seconds=1e-3, say=said.append)
    assert said[-1] == "direct sums"
    is_read_again(tuned)
    is_not_what_was_built_in(tuned)
    says_what_was_measured_and_fitted(tuned)


def is_read_again(tuned: Tuning) -> None:
    again = read(tuned.path)
    assert again.engines.keys() == tuned.profile.engines.keys() == {get_engine().name, "scipy"}
    for name, costs in tuned.profile.engines.items():
        assert again.engines[name].rows == costs.rows and again.engines[name].job == costs.job
    assert again.direct.call == tuned.profile.direct.call


def is_not_what_was_built_in(tuned: Tuning) -> None:
    for name, costs in tuned.profile.engines.items():
        built_in = BUILT_IN.spectral(name)
        assert all(costs.rows[char][4] != built_in.rows[char][4] for char in "fdFD")
        assert costs.job != built_in.job
        # beyond its share of the time nothing is measured
        assert costs.rows["D"][-1] == built_in.rows["D"][-1]
    assert tuned.profile.direct.tap["d"] != BUILT_IN.direct.tap["d"]


def says_what_was_measured_and_fitted(tuned: Tuning) -> None:
    assert len(tuned.checks) > 50
    assert str(tuned).endswith(f"written to {tuned.path}")
    assert len(tuned.table.splitlines()) == len(tuned.checks) + 1
    assert all(c.measured > 0 and c.after > 0 for c in tuned.checks)


def test_the_profile_is_in_force_at_once_and_need_not_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "transforms", lambda engine, watch, old: old)
    monkeypatch.setattr(
        host, "tiles", lambda engine, watch, old: (replace(old, call=0.5, brief=0.5, lone=0.5), [])
    )
    monkeypatch.setattr(host, "sums", lambda watch, old: (old, [Sample("a", 2.0, lambda costs: 1.0)]))
    found = fftconv.tune(tmp_path / "p.json", write=False)
    assert found.path is None and "nothing was written" in str(found) and not any(tmp_path.iterdir())
    assert in_force() is found.profile
    assert fftconv.explain((1000,), (100,), method="fft").chosen.seconds > 0.5


@pytest.mark.skipif(get_engine().name != "fftw", reason="only FFTW has wisdom")
def test_wisdom_is_kept_in_the_profile_and_used(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "transforms", lambda engine, watch, old: old)
    monkeypatch.setattr(host, "tiles", lambda engine, watch, old: (old, []))
    monkeypatch.setattr(host, "sums", lambda watch, old: (old, [Sample("a", 1.0, lambda costs: 1.0)]))
    monkeypatch.setattr(common, "PROBLEMS", (((3000,), (101,)),))
    path = tmp_path / "p.json"
    with config_context(engine="fftw"):
        fftconv.tune(path, wisdom=True)
    assert "fftw" in read(path).wisdom["double"]
    code = (
        "import numpy as np, fftconv; x = np.random.default_rng(0).standard_normal(3000); "
        "y = fftconv.convolve(x, x[:101], 'same', method='overlap_save'); print(y.tobytes().hex())"
    )
    env = {**os.environ, "FFTCONV_PROFILE": str(path)}
    bits = {
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(bits) == 1


@pytest.mark.parametrize("asked", [0, -1.0, float("nan")])
def test_seconds_must_be_some(asked):
    with pytest.raises(ValueError, match="seconds must be a number > 0"):
        fftconv.tune(seconds=asked)


def test_wisdom_needs_fftw(monkeypatch):
    monkeypatch.setattr(profile, "fftw_release", lambda: "")
    with pytest.raises(ImportError, match="pyfftw is not installed"):
        fftconv.tune(wisdom=True)


def test_coefficients_are_found_again_from_times_that_they_predict():
    # a part of every time that shows
    old = replace(BUILT_IN.direct, call=1e-5)
    slow = {**old.tap, "d": 2 * old.tap["d"]}
    truth = replace(old, call=3 * old.call, tap_call=0.4 * old.tap_call, tap=slow)
    wanted = [("call", None), ("tap_call", None), ("tap", "d")]
    sizes = [(40, 3), (200, 5), (3000, 9), (100_000, 4), (500, 40)]
    samples = []
    for n, k in sizes:
        p = problem((n, 8), (k, 2), np.dtype("f8"))
        predict = partial(lambda p, costs: seconds("taps", p, 1, costs), p)
        samples.append(Sample(str(p), predict(truth), predict))
    found = fit(old, wanted, 100 * samples)
    for name in wanted:
        assert get(found, name) == pytest.approx(get(truth, name), rel=0.1)
    assert found.job == BUILT_IN.direct.job


def test_one_disturbed_time_does_not_carry_a_coefficient_away():
    samples = [Sample("", 2e-5, lambda costs: costs.call) for _ in range(9)]
    samples.append(Sample("", 1.0, lambda costs: costs.call))
    before = replace(BUILT_IN.direct, call=1e-5)
    assert fit(before, [("call", None)], samples).call == pytest.approx(2e-5, rel=0.2)


def test_built_in_coefficients_are_what_the_profiles_of_machines_make():
    machines = sorted((Path(__file__).parents[1] / "docs" / "profiles").glob("*.json"))
    assert len(machines) > 1
    assert profile.FILE.read_text(encoding="ascii") == built_in(machines)


def test_the_command_tunes(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "transforms", lambda engine, watch, old: old)
    monkeypatch.setattr(host, "tiles", lambda engine, watch, old: (old, []))
    monkeypatch.setattr(host, "sums", lambda watch, old: (old, [Sample("a sum", 2.0, lambda costs: 1.0)]))
    ran = CliRunner().invoke(cli, ["tune", "-o", str(tmp_path / "p.json"), "--show"])
    assert ran.exit_code == 0, ran.output
    assert "a sum" in ran.output and str(tmp_path) in ran.output.replace("\n", "")
    assert read(tmp_path / "p.json").engines
    ran = CliRunner().invoke(cli, ["tune", "--seconds", "0"])
    assert ran.exit_code == 2 and "seconds must be" in ran.output
