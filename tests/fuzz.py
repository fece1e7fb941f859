"""A differential fuzzer: random calls of every door, checked against sums that share no code with the package.

    python tests/fuzz.py --cases 100000 --seed 1

draws so many calls (`fuzz_doors`), checks each (below) against its oracle (`fuzz_oracle`), and prints every failure as
a line of Python that makes it again, in this directory. Case `i` of a seed is the same on every machine.
`tests/test_fuzz.py` runs some hundred cases, with ``--long`` many more.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from fuzz_cases import Array, Case
from fuzz_doors import draw
from fuzz_oracle import expected, resolved
from fuzz_sums import Answer

import fftconv
from fftconv.core.methods.warmth import warmth

REFUSALS = (
    "cannot answer this problem",
    "can promise",
    "cannot promise",
    "of scratch are too few",
    "are too few for means",
)


class Failed(AssertionError):
    """A call that did not answer as it must."""


def require(holds: bool, text: str) -> None:
    if not holds:
        raise Failed(text)


def check(case: Case) -> str:
    """Make the call; "answered", "refused" or "raised" where that is right, `Failed` where it is not."""
    specs = resolved(case)
    given = {name: spec.make() for name, spec in specs.items()}
    extras = {k: v.make() for k, v in case.keywords.items() if isinstance(v, Array)}
    plain = {name: native(np.asarray(a)) for name, a in given.items()}
    want = expected(case, plain, extras)
    everything = {**given, **extras}
    before = {name: np.array(a) for name, a in everything.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = call(case, given, extras, want)
    except Failed:
        raise
    except Exception as error:
        require_refusal(case, want, error)
        unchanged(before, everything)
        return "raised" if want.raises and isinstance(error, want.raises) else "refused"
    require(want.raises is None, f"{want.raises} is due")
    kept = {name: a for name, a in everything.items() if not (written(case) and overlap(a, got))}
    unchanged(before, kept)
    compare(case, got, want)
    if case.door not in ("signal.convolve2d", "signal.correlate2d"):
        keywords = {k: v for k, v in case.keywords.items() if k != "out"}
        keywords["workers"] = 5 - keywords.get("workers", 2)
        again = call(replace(case, keywords=keywords), {n: s.make() for n, s in specs.items()}, extras, want)
        require(alike(got, again), "the bits depend on the number of workers")
    return "answered"


def written(case: Case) -> bool:
    """Whether the result may stand where an operand stood."""
    return case.keywords.get("out") in case.arrays


def overlap(a: Any, got: Any) -> bool:
    return isinstance(a, np.ndarray) and np.may_share_memory(a, np.ma.getdata(got))


def alike(got: Any, again: Any) -> bool:
    got, again = np.ma.getdata(got), np.ma.getdata(again)
    return np.array_equal(got, again, equal_nan=got.dtype.kind in "fc")


def native(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder("="))


def call(case: Case, given: dict[str, Any], extras: dict[str, Any], want: Answer) -> Any:
    """The result of the call."""
    keywords = case.keywords | extras
    operands = dict(given)
    masked = keywords.pop("masked", None)
    if masked is not None:
        operands["in1"] = np.ma.array(operands["in1"], mask=masked.copy())
    out = place(keywords.pop("out", None), operands, want)
    if out is not None:
        keywords["out"] = out
    with fftconv.config_context(engine=case.engine):
        if case.door == "Convolver":
            return _kept(operands, keywords)
        room, name = case.door.split(".")
        got = getattr(getattr(fftconv, room), name)(**operands, **keywords)
    require(out is None or got is out, "the result is not in out")
    return got


def _kept(operands: dict[str, Any], keywords: dict[str, Any]) -> Any:
    """Prepare a kernel and use it as `call` says."""
    name, out = keywords.pop("call"), keywords.pop("out", None)
    c = fftconv.Convolver(operands["kernel"], **keywords)
    if name == "kernel_grad":
        return c.kernel_grad(operands["x"], operands["y"])
    if name == "adjoint":
        return c.adjoint(operands["y"], out, shape=np.shape(operands["x"]))
    if name == "reduce":
        with np.errstate(invalid="ignore"):  # of opposite infinities, as of any ufunc
            return c.reduce(operands["x"], np.add)
    got = np.array(c(operands["x"]))
    again = c(operands["x"], out)
    require(alike(got, again), "the second call has other bits")
    return again


def place(word: str | None, operands: dict[str, Any], want: Answer) -> Any:
    """Where the result is to go: a new array, every other element of one, or an operand if it fits."""
    if word is None or want.raises or want.value is None:
        return None
    shape = want.value.shape
    fits = word in operands and isinstance(operands[word], np.ndarray)
    if fits and operands[word].shape == shape and operands[word].dtype == want.dtype:
        return operands[word] if operands[word].flags.writeable else None
    poison = 77 if want.dtype.kind != "b" else True
    if word == "strided" and shape:
        return np.full((*shape[:-1], 2 * shape[-1]), poison, want.dtype)[..., ::2]
    return np.full(shape, poison, want.dtype) if word == "new" else None


def require_refusal(case: Case, want: Answer, error: Exception) -> None:
    """An error is right where it is due, or where a method was forced, a tolerance asked for or memory bounded."""
    if want.raises is not None and isinstance(error, want.raises):
        return
    text, method = str(error), case.keywords.get("method", "auto")
    integers = want.dtype.kind in "iub"
    optional = method in ("band", "jit", "separable") or (integers and method not in ("auto", "direct"))
    optional = optional or not np.ndim(want.value) or np.ndim(want.value) == 2
    bounded = any(name in case.keywords for name in ("rtol", "atol", "max_memory"))
    known = isinstance(error, ValueError) and any(words in text for words in REFUSALS)
    local = "needs one kernel for all outputs" in text
    require(
        local or (known and (bounded or (optional and method != "auto"))),
        f"raised {error!r}, due {want.raises}",
    )


def unchanged(before: dict[str, np.ndarray], given: dict[str, Any]) -> None:
    for name, a in given.items():
        require(alike(a, before[name]) and np.asarray(a).dtype == before[name].dtype, f"{name} was changed")


def compare(case: Case, got: Any, want: Answer) -> None:
    """Dtype, shape, what is not finite, and every value within its bound."""
    require(got.dtype == want.dtype, f"dtype {got.dtype} instead of {want.dtype}")
    if case.keywords.get("masked") is not None and case.keywords.get("out") is None:
        require(isinstance(got, np.ma.MaskedArray), "masked data give a plain array")
        lost = np.ma.getmaskarray(got)
        require(bool((lost == want.lost)[~_flags(want, got.shape)].all()), "the mask is another one")
    got = np.ma.getdata(got)
    if not want.value.size and want.value.ndim == got.ndim and not got.size:
        return
    require(got.shape == want.value.shape, f"shape {got.shape} instead of {want.value.shape}")
    if want.slack is None:
        none(got != want.value, "integers differ", got, want)
        return
    sure = ~_flags(want, got.shape)
    with np.errstate(all="ignore"):
        there, due = np.isfinite(got), np.isfinite(want.value)
        wrong = there != due
        if got.dtype.kind == "f":
            wrong |= ~due & ~((got == want.value) | (np.isnan(got) & np.isnan(want.value)))
        none(wrong & sure, "are not finite as due", got, want)
        error = np.where(due & there, np.abs(got - np.where(due, want.value, 0)), 0)
        excess = float((error / np.where(want.slack == 0, 1, want.slack)).max(initial=0))
        none((error > want.slack) & sure, f"are off, by {excess:.3g} bounds", got, want)
        if want.empty is not None:
            none(want.empty & due & (got != 0), "see nothing but zeros and are not 0", got, want)


def _flags(want: Answer, shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, bool) if want.unsure is None else want.unsure


def none(wrong: np.ndarray, what: str, got: np.ndarray, want: Answer) -> None:
    """No element is `wrong`; else how many, and the first of them."""
    if wrong.any():
        at = tuple(map(int, np.argwhere(wrong)[0]))
        due = np.broadcast_to(want.value, got.shape)[at]
        raise Failed(f"{wrong.sum()} of {wrong.size} {what}; at {at} {got[at]} instead of {due}")


def line(case: Case) -> str:
    """Python that makes the call again, in the directory of the tests."""
    return f"from fuzz import *; from numpy import inf, nan; check({case!r})"


def run(seed: int, indices: range) -> tuple[dict[str, int], list[str]]:
    """How many calls were answered, refused, raised; and the failures."""
    counts, failures = {"answered": 0, "refused": 0, "raised": 0}, []
    for char in "fdbBhHiIlL":
        warmth.try_to_prepare(
            char
        )  # else sums by `jit` are compiled only when many calls have asked for them
    for index in indices:
        case = draw(seed, index)
        try:
            counts[check(case)] += 1
        except Exception as error:
            kind = "" if isinstance(error, Failed) else f"{type(error).__name__}: "
            failures.append(f"# {seed}, {index}: {kind}{error}\n{line(case)}")
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Random calls of fftconv against naive sums.")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--most", type=int, default=20, help="failures after which to stop")
    given = parser.parse_args()
    os.environ["FFTCONV_PROFILE"] = "off"
    start, counts, failures = time.perf_counter(), {"answered": 0, "refused": 0, "raised": 0}, 0
    done = 0
    for index in range(given.first, given.first + given.cases):
        found, failed = run(given.seed, range(index, index + 1))
        counts = {name: counts[name] + found[name] for name in counts}
        done += 1
        failures += len(failed)
        print(*failed, sep="\n", end="\n" if failed else "", flush=bool(failed))
        if failures >= given.most:
            break
    spent = time.perf_counter() - start
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(
        f"seed {given.seed}, cases {given.first} to {given.first + done - 1}: {told}, {failures} failed, {spent:.0f} s"
    )
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
