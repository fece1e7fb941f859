"""Options: environment, process-wide default, contexts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from fftconv.core.config import (
    Config,
    config_context,
    config_from_environment,
    get_config,
    set_engine,
    set_workers,
)
from fftconv.core.workers import for_each


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_defaults_without_environment() -> None:
    assert config_from_environment({}) == Config()
    assert config_from_environment({"FFTCONV_ENGINE": "", "FFTCONV_WORKERS": " "}) == Config()


@pytest.mark.parametrize("engine", ["auto", "fftw", "scipy"])
def test_environment_sets_the_default(engine: str) -> None:
    config = config_from_environment({"FFTCONV_ENGINE": f" {engine.upper()}", "FFTCONV_WORKERS": "7"})
    assert (config.engine, config.workers) == (engine, 7)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FFTCONV_ENGINE", "mkl", "FFTCONV_ENGINE must be one of auto, fftw, scipy; got 'mkl'"),
        ("FFTCONV_WORKERS", "many", "FFTCONV_WORKERS must be an integer >= 0 .*got 'many'"),
        ("FFTCONV_WORKERS", "-1", "FFTCONV_WORKERS must be an integer >= 0 .*got '-1'"),
        ("FFTCONV_WORKERS", "1.5", "FFTCONV_WORKERS must be an integer >= 0 .*got '1.5'"),
        ("FFTCONV_WORKERS", "²", "FFTCONV_WORKERS must be an integer >= 0"),
    ],
)
def test_bad_environment_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_environment({name: value})


def test_environment_is_read_by_the_process() -> None:
    code = (
        "from fftconv.core.config import get_config; from fftconv.core.engine import get_engine;"
        "print(get_config().workers, get_engine().name)"
    )
    done = run_python(code, FFTCONV_ENGINE="scipy", FFTCONV_WORKERS="3")
    assert done.stdout.split() == ["3", "scipy"]


def test_bad_environment_is_raised_at_first_use_not_at_import() -> None:
    code = "import fftconv.core.config as c; print('imported'); c.get_config()"
    done = run_python(code, FFTCONV_WORKERS="two")
    assert done.stdout.strip() == "imported"
    assert done.returncode != 0
    assert "FFTCONV_WORKERS" in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "cuda"}, "engine must be one of"),
        ({"planning": "exhaustive"}, "planning must be one of"),
        ({"workers": -1}, "workers must be an integer >= 0, got -1"),
        ({"workers": True}, "workers must be"),
        ({"workers": 1.0}, "workers must be"),
        ({"cache_bytes": -5}, "cache_bytes must be"),
        ({"planning_limit": 0.0}, "planning_limit must be"),
        ({"planning_limit": float("nan")}, "planning_limit must be"),
    ],
)
def test_values_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message), config_context(**changes):
        pass


def test_unknown_option_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"among engine, workers.*got threads"), config_context(threads=2):
        pass


def test_contexts_nest_and_end() -> None:
    before = get_config()
    with config_context(workers=5, planning="measure"):
        with set_workers(2) as inner:
            assert (inner.workers, inner.planning) == (2, "measure")
            assert get_config() is inner
        assert get_config().workers == 5
    assert get_config() == before


def test_context_ends_after_an_error() -> None:
    before = get_config()
    with pytest.raises(KeyError), config_context(workers=5):
        raise KeyError
    assert get_config() == before


def test_a_context_belongs_to_its_thread() -> None:
    before = get_config().workers
    seen: list[int] = []
    with config_context(workers=before + 9):
        thread = threading.Thread(target=lambda: seen.append(get_config().workers))
        thread.start()
        thread.join()
    assert seen == [before]


def test_set_engine_is_process_wide_until_its_block_ends() -> None:
    before = get_config().engine
    seen: list[str] = []
    with set_engine("scipy"):
        thread = threading.Thread(target=lambda: seen.append(get_config().engine))
        thread.start()
        thread.join()
        with config_context(engine="auto"):
            assert get_config().engine == "auto"
    assert seen == ["scipy"]
    assert get_config().engine == before


def test_set_engine_checks_its_word() -> None:
    with pytest.raises(ValueError, match="engine must be one of"):
        set_engine("mkl")


def test_helpers_work_under_the_options_of_the_call_that_feeds_them() -> None:
    """Phases and passes plan within a job; on a helper they were planned with the engine of the process."""
    seen, both = {}, threading.Barrier(2)

    def work(job: int) -> None:
        both.wait(10)  # no thread can do both jobs
        seen[threading.get_ident()] = get_config().planning_limit

    with config_context(planning_limit=0.125):
        for_each(range(2), work, 2)
    assert list(seen.values()) == [0.125, 0.125]
    assert get_config().planning_limit != 0.125
