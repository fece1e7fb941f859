"""What is particular to FFTW: planning, wisdom, the self-test, and doing without it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fftconv.core.config import config_context
from fftconv.core.engine import FFTSpec, get_engine, registry, report
from fftconv.core.engine.fftw import FFTWEngine, FFTWPlan
from fftconv.core.engine.fftw_planner import Planner, planner
from fftconv.core.engine.host import processor
from fftconv.core.engine.wisdom import load_wisdom, release, save_wisdom

pytest.importorskip("pyfftw", exc_type=ImportError)

F8 = np.dtype("f8")
TILE = FFTSpec((24, 36), (0, 1), F8)
ROWS = FFTSpec((5, 60), (1,), np.dtype("f4"))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No wisdom, no plans, and the choice of engine still to be made; no wisdom and no plans afterwards."""
    monkeypatch.setattr(registry, "_fault", None)
    monkeypatch.setattr(registry, "_engines", {})

    def forget() -> None:
        planner.forget_wisdom()
        FFTWEngine.cache.clear()

    forget()
    yield
    forget()


def measure(*specs: FFTSpec) -> None:
    """Plan `specs` with effort, both directions."""
    with config_context(engine="fftw", planning="measure"):
        engine = get_engine()
        for spec in specs:
            with engine.borrow(spec) as plan:
                plan.backward(plan.forward(np.ones(spec.shape)))


def spectrum_bits(spec: FFTSpec) -> bytes:
    x = np.random.default_rng(0).standard_normal(spec.shape)
    with config_context(engine="fftw"), get_engine().borrow(spec) as plan:
        return plan.forward(x).tobytes()


@pytest.mark.parametrize("effort", ["measure", "patient"])
def test_planning_with_effort_keeps_what_was_filled_in(effort: str) -> None:
    plan = FFTWPlan(TILE, effort, 0.5)
    x = np.random.default_rng(1).standard_normal(TILE.shape)
    plan.signal[...] = x
    X = plan.forward()
    np.testing.assert_allclose(X, np.fft.rfft2(x), atol=1e-12)
    np.testing.assert_allclose(plan.backward(), x * x.size, atol=1e-9)


def test_effort_is_part_of_the_key(fresh: None) -> None:
    measure(TILE)
    with config_context(engine="fftw"):
        before = get_engine().info().misses
        with get_engine().borrow(TILE):
            pass
        assert get_engine().info().misses == before + 1


def test_the_time_limit_reaches_the_planner(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    plan = Planner.plan
    monkeypatch.setattr(Planner, "plan", lambda self, task: limits.append(task.limit) or plan(self, task))
    with (
        config_context(engine="fftw", planning="measure", planning_limit=0.25),
        get_engine().borrow(TILE) as lent,
    ):
        lent.forward()
    assert limits[-1] == 0.25


def test_measured_plans_do_not_change_the_bits_of_default_ones(fresh: None) -> None:
    before = spectrum_bits(TILE)
    measure(TILE)
    FFTWEngine.cache.clear()
    assert spectrum_bits(TILE) == before
    assert b"codelet" in planner.export_wisdom()[0]


def test_default_bits_do_not_depend_on_what_was_planned_before(fresh: None) -> None:
    """FFTW reuses what it knows of smaller transforms; under ESTIMATE that must not show."""
    specs = [FFTSpec((n,), (0,), F8) for n in (60, 96, 100, 144, 360, 777, 1000)]
    specs += [FFTSpec((n, n + 4), (0, 1), F8) for n in (16, 60, 96, 100, 144)]
    alone = {}
    for spec in specs:
        planner.forget_wisdom()
        alone[spec] = spectrum_bits(spec)
    for seed in range(3):
        planner.forget_wisdom()
        FFTWEngine.cache.clear()
        for i in np.random.default_rng(seed).permutation(len(specs)):
            assert spectrum_bits(specs[i]) == alone[specs[i]]


def test_each_direction_is_planned_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    directions = []
    plan = Planner.plan
    monkeypatch.setattr(
        Planner, "plan", lambda self, task: directions.append(task.direction) or plan(self, task)
    )
    lent = FFTWPlan(TILE, "estimate", 1.0)
    assert directions == []
    for _ in range(3):
        lent.forward(np.ones(TILE.shape))
    assert directions == ["FFTW_FORWARD"]
    for _ in range(3):
        lent.backward()
    assert directions == ["FFTW_FORWARD", "FFTW_BACKWARD"]


@pytest.mark.parametrize("spec", [TILE, ROWS, FFTSpec((30,), (0,), np.dtype("c16"))], ids=str)
def test_where_fftw_has_no_plan_scipy_serves(spec: FFTSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Planner, task: Any) -> None:
        raise RuntimeError("the planner returned NULL")

    monkeypatch.setattr(Planner, "plan", refuse)
    plan = FFTWPlan(spec, "estimate", 1.0)
    x = np.random.default_rng(2).standard_normal(spec.shape).astype(spec.dtype)
    transform = np.fft.rfftn if spec.real else np.fft.fftn
    X = plan.forward(x)
    assert X is plan.spectrum
    np.testing.assert_allclose(X, transform(x, axes=spec.axes), atol=1e-3 if spec is ROWS else 1e-12)
    n = np.prod(spec.transform_shape)
    np.testing.assert_allclose(plan.backward(X), n * x, atol=1e-2 if spec is ROWS else 1e-9)
    assert not plan.native


def test_retired_plans_die_under_the_lock() -> None:
    """A plan dropped while another thread plans waits for its turn."""
    import threading

    own = Planner()
    destroyed = threading.Event()

    class Owned:
        def __del__(self) -> None:
            destroyed.set()

    own.lock.acquire()
    thread = threading.Thread(target=lambda: own.retire(Owned().__str__))
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive(), "retiring waited for the planner"
    assert not destroyed.is_set()
    own.lock.release()
    own.retire()
    assert destroyed.is_set()


def test_wisdom_goes_through_a_file(fresh: None, tmp_path: Path) -> None:
    file = tmp_path / "wisdom.json"
    measure(TILE, ROWS)
    save_wisdom(file)
    assert list(tmp_path.iterdir()) == [file]
    texts = json.loads(file.read_text())["entries"][processor()][release()]
    assert set(texts) == {"double", "single", "long double"}
    assert "codelet" in texts["double"]
    assert "codelet" in texts["single"]
    planner.forget_wisdom()
    assert load_wisdom(file)
    assert b"codelet" in planner.export_wisdom()[0]


def test_loaded_wisdom_serves_default_planning(fresh: None, tmp_path: Path) -> None:
    """The same file, the same bits, in plans that were idle before it came as well."""
    file = tmp_path / "wisdom.json"
    measure(TILE)
    save_wisdom(file)
    planner.forget_wisdom()
    spectrum_bits(TILE)
    assert load_wisdom(file)
    assert FFTWEngine.cache.info("fftw", 0).plans == 0
    first = spectrum_bits(TILE)
    planner.forget_wisdom()
    assert load_wisdom(file)
    assert spectrum_bits(TILE) == first


def test_saving_adds_to_the_file(fresh: None, tmp_path: Path) -> None:
    file = tmp_path / "wisdom.json"
    other = {"elsewhere": {"fftw-9": {"double": "(text of another machine)"}}}
    file.write_text(json.dumps({"format": "fftconv-wisdom", "entries": other}))
    measure(TILE)
    save_wisdom(file)
    first = json.loads(file.read_text())["entries"]
    assert first["elsewhere"] == other["elsewhere"]
    planner.forget_wisdom()
    measure(ROWS)
    save_wisdom(file)
    second = json.loads(file.read_text())["entries"][processor()][release()]
    lines = set(first[processor()][release()]["double"].splitlines())
    assert len(lines) > 2
    assert lines == set(second["double"].splitlines())
    assert "codelet" in second["single"]


def test_saving_does_not_change_default_plans(fresh: None, tmp_path: Path) -> None:
    file = tmp_path / "wisdom.json"
    measure(TILE)
    save_wisdom(file)
    planner.forget_wisdom()
    before = spectrum_bits(TILE)
    save_wisdom(file)
    FFTWEngine.cache.clear()
    assert spectrum_bits(TILE) == before


def entry_of_this_machine(**texts: Any) -> str:
    return json.dumps({"format": "fftconv-wisdom", "entries": {processor(): {release(): texts}}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("", "not a wisdom file"),
        ("{", "not a wisdom file"),
        ("\xff\x00", "not a wisdom file"),
        ("[1, 2]", "not a wisdom file"),
        ('{"format": "other"}', "not a wisdom file"),
        ('{"format": "fftconv-wisdom", "entries": 3}', "damaged"),
        ('{"format": "fftconv-wisdom", "entries": {"a": {"b": ["c"]}}}', "damaged"),
        ('{"format": "fftconv-wisdom", "entries": {"a": {"b": {"double": "c"}}}}', "has no entry for"),
        (entry_of_this_machine(double="(fftw-3.3.5 fftw_wisdom #x1"), "refused by FFTW"),
        (entry_of_this_machine(double="no wisdom"), "refused by FFTW"),
        (entry_of_this_machine(double=7), "damaged"),
    ],
)
def test_a_bad_file_gives_one_warning(fresh: None, tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "wisdom.json"
    if content is not None:
        file.write_text(content, encoding="latin-1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert load_wisdom(file) is False
    assert len(caught) == 1
    assert message in str(caught[0].message)
    assert b"codelet" not in planner.export_wisdom()[0]


def test_saving_spares_a_file_of_another_kind(fresh: None, tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("three years of work")
    with pytest.raises(ValueError, match=r"only saved over a wisdom file; .*thesis.txt is not a wisdom file"):
        save_wisdom(file)
    assert file.read_text() == "three years of work"


def test_a_failed_save_leaves_the_old_file(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "wisdom.json"
    save_wisdom(file)
    before = file.read_text()

    def full(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    measure(TILE)
    with pytest.raises(OSError, match="disk full"):
        save_wisdom(file)
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file]


class WrongPlanner:
    """Stands for a library that answers FFTW's calls with something else."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def __getattr__(self, name: str) -> Any:
        return getattr(self.library, name)

    def FFTW(self, source: Any, target: Any, **options: Any) -> Any:
        def execute() -> None:
            target[...] = 1

        return type("Plan", (), {"execute": staticmethod(execute)})


def faults(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    from fftconv.core.engine import fftw_planner, selftest

    if kind == "wrong numbers":
        wrong = WrongPlanner(fftw_planner.pyfftw())
        monkeypatch.setattr(fftw_planner, "pyfftw", lambda: wrong)
    elif kind == "no plans":

        def refuse(self: Planner, task: Any) -> None:
            raise RuntimeError("the planner returned NULL")

        monkeypatch.setattr(Planner, "plan", refuse)
    else:
        mute = type("Mute", (), {"export_wisdom": staticmethod(lambda: (b"", b"", b""))})
        monkeypatch.setattr(selftest, "pyfftw", lambda: mute)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("wrong numbers", "is wrong by"), ("no plans", "cannot plan"), ("mute", "wisdom stays empty")],
)
@pytest.mark.parametrize("asked", ["auto", "fftw"])
def test_a_failed_self_test_means_scipy_and_one_warning(
    fresh: None, monkeypatch: pytest.MonkeyPatch, asked: str, kind: str, message: str
) -> None:
    faults(monkeypatch, kind)
    with config_context(engine=asked):
        with pytest.warns(RuntimeWarning, match="self-test") as caught:
            assert get_engine().name == "scipy"
            assert get_engine(np.dtype("f4")).name == "scipy"
        assert len(caught) == 1
        assert message in str(caught[0].message)
        assert message in report.config_report()["engine"]


def test_the_real_library_passes(fresh: None) -> None:
    with warnings.catch_warnings(), config_context(engine="auto"):
        warnings.simplefilter("error")
        assert get_engine().name == "fftw"


def test_a_precision_that_fftw_lacks_goes_to_scipy(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FFTWEngine, "supports", lambda self, dtype: np.dtype(dtype) == F8)
    with config_context(engine="fftw"):
        assert get_engine(F8).name == "fftw"
        assert get_engine(np.dtype(np.longdouble)).name == "scipy"


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_pyfftw_auto_is_scipy_and_fftw_is_refused() -> None:
    out = run_python(
        """
        import sys, warnings
        warnings.simplefilter("error")
        sys.modules["pyfftw"] = None
        from fftconv.core.config import config_context
        from fftconv.core.engine import get_engine
        from fftconv.core.engine.report import config_report
        with config_context(engine="auto"):
            print(get_engine().name, config_report()["engine"])
        with config_context(engine="fftw"):
            try:
                get_engine()
            except ImportError as error:
                print(error)
        """
    )
    first, second = out.splitlines()
    assert first == "scipy scipy (pyfftw is not installed)"
    assert second.startswith("engine 'fftw' needs the package pyfftw")


def test_pyfftw_itself_works_afterwards() -> None:
    out = run_python(
        """
        import sys, numpy as np
        from fftconv.core.config import config_context
        from fftconv.core.engine import FFTSpec, get_engine
        from fftconv.core.engine.fftw_planner import pyfftw as ours
        with config_context(engine="fftw"), get_engine().borrow(FFTSpec((8,), (0,), np.dtype("f8"))) as plan:
            plan.forward(np.ones(8))
        alone = "pyfftw" not in sys.modules and "scipy.fft" not in sys.modules
        import pyfftw
        print(alone, pyfftw.pyfftw.FFTW is ours().FFTW, pyfftw.interfaces.numpy_fft.fft(np.ones(4))[0].real)
        """
    )
    assert out.split() == ["True", "True", "4.0"]


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    with config_context(engine="fftw", workers=3):
        report.show_config()
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    facts = {name: fact.strip() for name, fact in lines.items()}
    assert facts["engine"].startswith("fftw (")
    assert facts["workers"] == "3"
    assert facts["numpy"] == np.__version__
    assert "GPL" in facts["licence"]
    assert "SIMD" in facts["fftw"]
