"""Calls that are refused, and the page of them: ``python tests/bad_inputs.py`` writes docs/errors.md again.

A case is the call as a user would write it. `docs/errors.md` shows it with the exception and the message.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fftconv
import fftconv.core.config
import fftconv.lax
import fftconv.nn
import fftconv.numpy

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"

CALLS = {
    "fftconv.signal, and the top level": """
        fc.convolve(ones(5), ones(3), "middle")
        fc.convolve(ones(5), ones(3), 2)
        fc.convolve(ones(5), ones(3), method="quick")
        fc.convolve(ones(5), ones((3, 3)))
        fc.convolve(ones((4, 5)), 2.0)
        fc.convolve(ones((2, 3)), ones((3, 2)), "valid")
        fc.convolve([], [1, 2])
        fc.correlate(ones((3, 0)), ones((3, 2)), axes=1)
        fc.convolve(ones((5, 6)), ones((4, 3)), axes=1)
        fc.convolve(ones(5), ones(3), axes=1)
        fc.convolve(ones((5, 5)), ones((3, 3)), axes=[0, 0])
        fc.convolve(ones((5, 5)), ones((3, 3)), axes=[])
        fc.convolve(ones((5, 5)), ones((3, 3)), axes=1.0)
        fc.convolve(["a", "b"], [1.0])
        fc.convolve(np.array([1, 2], object), [1.0])
        fc.convolve([[1, 2], [3]], [1])
        fc.convolve(np.array(["2001"], "M8[Y]"), [1])
        fc.convolve(ones(5), ones(3), dtype="int32")
        fc.convolve(1j * ones(5), ones(3), dtype="float64")
        fc.convolve(ones(5), ones(3), dtype="flaot32")
        fc.convolve(ones(5), ones(3), workers=0)
        fc.convolve(ones(5), ones(3), workers="2")
        fc.convolve(ones(5), ones(3), workers=1.5)
        fc.convolve(ones(5), ones(3), out=np.empty(5))
        fc.convolve(ones(5), ones(3), out=np.empty(7, "float32"))
        fc.convolve(ones(5), ones(3), out=[0.0] * 7)
        fc.convolve(ones(5), ones(3), out=np.broadcast_to(0.0, (7,)))
        fc.convolve(ones(5), ones(3), boundary="periodic")
        fc.convolve(ones(5), ones(3), boundary=("wrap", "edge"))
        fc.convolve(ones(5), ones(3), boundary="edge", fill_value=2)
        fc.convolve(ones(5), ones(3), fill_value="zero")
        fc.convolve(ones(5, "uint8"), ones(3, "uint8"), fill_value=-1)
        fc.convolve(ones(5), [1.0, -2.0, 1.0], boundary="renormalize")
        fc.convolve(ones(5), ones(3), boundary="renormalize", rtol=1e-9)
        fc.convolve(ones(5), ones(3), rtol=-1e-9)
        fc.convolve(ones(5), ones(3), atol="small")
        fc.convolve(ones(50), ones(3), method="fft", rtol=1e-16)
        fc.convolve(ones(50), ones(3), rtol=0)
        fc.convolve(ones(5, "float16"), ones(3, "float16"), rtol=1e-2)
        fc.convolve(ones(5), ones(3), max_memory="3 apples")
        fc.convolve(ones(5), ones(3), max_memory=-1)
        fc.convolve(ones((500, 500)), ones((9, 9)), method="fft", max_memory=1000)
        fc.convolve(np.full(500, np.nan), ones(100), "same", nan_policy="omit", max_memory=1000)
        fc.convolve(np.broadcast_to(1.0, (2**40, 1)), np.broadcast_to(1.0, (1, 2**40)), axes=0)
        fc.convolve(ones(5, int), ones(3, int), method="band")
        fc.convolve(ones(5), ones(3), nan_policy="skip")
        fc.convolve([1.0, np.nan], ones(3), nan_policy="raise")
        fc.convolve(ones(5), ones(3), nan_policy="omit_keep")
        fc.convolve(ones(5), [1.0, -1.0], nan_policy="omit", mask=[1, 0, 0, 0, 0])
        fc.convolve(ones(5), ones(3), mask=[True, False])
        fc.convolve(ones(5), ones(3), weights=-ones(5))
        fc.convolve(ones(5), ones(3), weights=ones(5), rtol=1e-9)
        fc.convolve(ones(5, "int8"), ones(3, "int8"), overflow="saturate")
        fc.convolve(100 * ones(5, "int8"), ones(3, "int8"), overflow="raise")
        fc.fftconvolve(ones(5), ones(3), "Full")
        fc.oaconvolve(ones((2, 5)), ones(3))
        fc.signal.convolve2d(ones(5), ones((3, 3)))
        fc.signal.convolve2d(ones((5, 5)), ones((3, 3)), boundary="mirror")
        fc.signal.convolve2d(ones((5, 5), bool), ones((3, 3), bool))
        fc.signal.convolve2d(ones((5, 5), "uint8"), ones((3, 3), "uint8"), fillvalue=256)
        fc.signal.correlate2d(ones((5, 5)), ones((3, 3)), fillvalue=[1, 2])
        fc.signal.correlation_lags(5, 3, "middle")
        fc.signal.correlation_lags(5.5, 3)
        fc.signal.correlation_lags(5, 0)
        fc.signal.choose_conv_method(ones(5), ones(3), "middle")
    """,
    "fftconv.Convolver": """
        fc.Convolver(["a"])
        fc.Convolver(None)
        fc.Convolver(ones(0))
        fc.Convolver(ones(3), mode="middle")
        fc.Convolver(ones(3))(ones((4, 5)))
        fc.Convolver(ones(3), axes=2)(ones((4, 5)))
        fc.Convolver(ones(3), shape=(-1,))
        fc.Convolver(ones(3), boundary="magic")
        fc.Convolver(ones(3), boundary=("wrap", "edge"))
        fc.Convolver([1.0, -1.0], boundary="renormalize")
        fc.Convolver(ones(3))("noise")
        fc.Convolver(ones(3)).adjoint(ones((4, 5)))
        fc.Convolver(ones(3), fill_value=2.5).as_linear_operator(5)
        fc.Convolver([1, 2], dtype="int64").as_linear_operator(5)
        fc.Convolver(ones((2, 3)), bank=True).reduce(ones(5), "max")
        fc.Convolver(ones(3), boundary="renormalize").kernel_grad(ones(5), ones(5))
    """,
    "fftconv.explain": """
        fc.explain((5,), (3,), "middle")
        fc.explain((5,), (3, 3))
        fc.explain((5,), (3,), color="red")
        fc.explain((0, 5), (1, 3), axes=1)
        fc.explain(3.0, 4.0)
        fc.explain((5,), (3,), dtype="flaot32")
        fc.explain((5,), ones(3))
        fc.explain(dict)
    """,
    "fftconv.numpy": """
        fnp.convolve([], [1])
        fnp.convolve(ones((2, 2)), ones(2))
        fnp.convolve(ones(5), ones(3), "middle")
        fnp.convolve(ones(5), ones(3), 3)
        fnp.correlate(ones(5), ones(3), None)
        fnp.correlate(2.0, ones(3))
        fnp.convolve(["a"], [1])
    """,
    "fftconv.lax": """
        lax.conv([1, 2], [1], (1,), "VALID")
        lax.conv(ones((1, 1, 9)), ones((1, 1, 3), "float32"), (1,), "VALID")
        lax.conv(ones((1, 2, 9)), ones((1, 1, 3)), (1,), "VALID")
        lax.conv(ones((1, 1, 9)), ones((1, 1, 3)), (1, 1), "VALID")
        lax.conv(ones((1, 1, 9)), ones((1, 1, 3)), (0,), "VALID")
        lax.conv(ones((1, 1, 9)), ones((1, 1, 3)), 1, "VALID")
        lax.conv(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "FULL")
        lax.conv(ones((1, 1, 9)), ones((1, 1, 3)), (1,), [(1, 1), (1, 1)])
        lax.conv(ones((1, 1, 9)), ones((1, 1, 3)), (1,), [(-6, -6)])
        lax.conv(ones((1, 1, 9)), ones((1, 3)), (1,), "VALID")
        lax.conv(ones(9), ones(3), (1,), "VALID")
        lax.conv(ones((1, 1, 9)), ones((1, 1, 0)), (1,), "VALID")
        lax.conv_general_dilated(ones((1, 4, 9)), ones((3, 2, 3)), (1,), "VALID", feature_group_count=2)
        lax.conv_general_dilated(ones((3, 1, 9)), ones((2, 1, 3)), (1,), "VALID", batch_group_count=2)
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "VALID", feature_group_count=0)
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "SAME", lhs_dilation=(2,))
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "SAME", rhs_dilation=(0,))
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "SAME", None, None, ("NCW", "OIW"))
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "SAME", None, None, ("NCW", "OIW", "NWW"))
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "SAME", None, None, ("NCW", "OIX", "NCW"))
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "SAME", preferred_element_type="float16")
        lax.conv_general_dilated(ones((1, 1, 9)), ones((1, 1, 3)), (1,), "SAME", method="quick")
        lax.conv_transpose(ones((1, 9, 1)), ones((3, 1, 1)), (2,), "same")
        lax.conv_transpose(ones((1, 9, 1)), ones((3, 1, 1)), (2,), [[1, 1]], use_consistent_padding=True)
        lax.conv_general_dilated_patches(ones((1, 1, 9)), (3, 3), (1,), "VALID")
        lax.conv_general_dilated_local(ones((1, 1, 9)), ones((1, 3, 9)), (1,), "VALID", (3,))
    """,
    "fftconv.nn": """
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3), "float32"))
        nn.conv1d(ones((1, 2, 9)), ones((1, 1, 3)))
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 11)))
        nn.conv1d(ones((1, 1, 9)), ones((1, 3)))
        nn.conv2d(ones((1, 1, 9)), ones((1, 1, 3)))
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), ones(2))
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), stride=0)
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), stride=1.5)
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), stride=2, padding="same")
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), padding="full")
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), padding=-1)
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), padding=9, padding_mode="reflect")
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), padding_mode="mirror")
        nn.conv1d(ones((1, 4, 9)), ones((3, 2, 3)), groups=2)
        nn.conv1d(ones((1, 1, 9)), ones((1, 1, 3)), groups=0)
        nn.conv1d(ones((1, 1, 0)), ones((1, 1, 3)))
        nn.conv1d(ones((1, 1, 9), bool), ones((1, 1, 3), bool))
        nn.conv1d([[1.0, 2.0]], ones((1, 1, 3)))
        nn.conv_transpose1d(ones((1, 1, 9)), ones((1, 1, 3)), padding="same")
        nn.conv_transpose1d(ones((1, 1, 9)), ones((1, 1, 3)), output_padding=1)
        nn.conv_transpose1d(ones((1, 2, 9)), ones((1, 1, 3)))
        nn.conv1d_weight(ones((1, 1, 9)), (1, 1), ones((1, 1, 7)))
        nn.conv1d_input((1, 1, 9), ones((1, 1, 3)), ones((1, 1, 9)))
    """,
    "Configuration": """
        fc.set_workers(-1).__enter__()
        fc.set_engine("mkl")
        fc.config_context(engine="mkl").__enter__()
        fc.config_context(planning="slow").__enter__()
        fc.config_context(planning_limit=0).__enter__()
        fc.config_context(cache_bytes="64 MB").__enter__()
        fc.config_context(threads=2).__enter__()
        environment(FFTCONV_ENGINE="mkl")
        environment(FFTCONV_WORKERS="two")
    """,
}

COMMANDS = """
    fftconv convolve nowhere.npy box:3 -o out.npy
    fftconv convolve signal.npy box:3 -o signal.npy
    fftconv convolve signal.npy box:3 -o out.txt
    fftconv convolve signal.npy box:3 -o folder/out.npy
    fftconv convolve signal.npy box:3 -o out.npy --axes 0,1
    fftconv convolve signal.npy box:3 -o out.npy --axes one
    fftconv convolve signal.npy box:3 -o out.npy --mode middle
    fftconv convolve signal.npy box:3 -o out.npy --method quick
    fftconv convolve signal.npy image.npy -o out.npy
    fftconv smooth signal.npy -k disc:3 -o out.npy
    fftconv smooth signal.npy -k gauss:sigma=wide -o out.npy
    fftconv smooth signal.npy -k box:0 -o out.npy
    fftconv smooth notes.npy -o out.npy
    fftconv denoise signal.npy -o out.npy --sigma -1
    fftconv explain 4096x4096 101
    fftconv explain 4096x4096 101x101 --dtype flaot32
    fftconv blur signal.npy
"""

BEGINNING = """# Errors

What is refused, with which exception and in which words: the rule, what was expected and what came. Nothing is
computed, written or changed before a call is refused. Where two classes stand, the exception is of both, so code
written for the library that a door speaks for catches it too. `ones` is `numpy.ones`, `fc` is `fftconv`, `fnp` is
`fftconv.numpy`, `lax` and `nn` are `fftconv.lax` and `fftconv.nn`.

`python tests/bad_inputs.py` writes this page; `tests/test_errors_page.py` makes every call and compares.
"""


class Refusal(NamedTuple):
    """One row: the call, the classes of the exception that Python has, and its message."""

    call: str
    kind: str
    message: str


def refusals() -> dict[str, list[Refusal]]:
    """Every call made, by chapter."""
    found = {title: [_call(line.strip()) for line in _lines(text)] for title, text in CALLS.items()}
    found["The command"] = commands()
    return found


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def environment(**variables: str) -> None:
    """What the first call of a process makes of its environment."""
    fftconv.core.config.config_from_environment(variables)


def _call(code: str) -> Refusal:
    names = {
        "np": np,
        "ones": np.ones,
        "fc": fftconv,
        "fnp": fftconv.numpy,
        "lax": fftconv.lax,
        "nn": fftconv.nn,
        "environment": environment,
    }
    try:
        result = eval(code, names)
    except Exception as error:
        # how much memory is left differs from call to call
        message = re.sub(r"[\d.]+ .iB of memory", "so many GiB of memory", str(error))
        return Refusal(code, kind(type(error)), message)
    raise AssertionError(f"{code} was not refused but gave {result!r}")


def kind(found: type[BaseException]) -> str:
    """The nearest classes of an exception that come with Python."""
    if found.__module__ == "builtins":
        return found.__name__
    return ", ".join(kind(base) for base in found.__bases__)


def commands() -> list[Refusal]:
    """The same of the command, run in a folder of three small files."""
    from click.testing import CliRunner

    from fftconv.cli.main import cli

    found = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        np.save("signal.npy", np.ones(100))
        np.save("image.npy", np.ones((9, 9)))
        np.save("notes.npy", np.array(["a", "b"]))
        before = sorted(os.listdir())
        for line in _lines(COMMANDS):
            result = CliRunner().invoke(cli, line.split()[1:])
            found.append(Refusal(line, f"exit code {result.exit_code}", result.stderr.strip()))
            assert sorted(os.listdir()) == before, line
    return found


def page() -> str:
    parts = [BEGINNING]
    for title, rows in refusals().items():
        parts += [f"## {title}\n", "| what was passed | exception | message |", "|---|---|---|"]
        parts += [f"| `{r.call}` | {r.kind} | {_cell(r.message)} |" for r in rows]
        parts.append("")
    return "\n".join(parts)


def _cell(text: str) -> str:
    """Text that Markdown shows as it is."""
    for mark in "\\|*_<>[]":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page())
