"""Regret in words: means, the worst rows, and those where a rival is faster."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, log

from fftconv.bench.rows import MEAN, WORST, RegretRow
from fftconv.bench.words import digits, duration

# Rows that a table shows: the worst choices, and the rows where a rival does best.
SHOWN = 12


def geometric_mean(values: Sequence[float]) -> float:
    """
    Examples
    --------
    >>> geometric_mean([1.0, 4.0])
    2.0
    """
    return exp(fsum(map(log, values)) / len(values)) if values else 1.0


def table(rows: Sequence[RegretRow]) -> tuple[list[str], list[list[str]]]:
    """The worst choices, and after them the rows that are closest to a rival, or behind it."""
    heads = ["case", "dtype", "fftconv", "plan", "regret", "best method", "predicted", "fastest rival"]
    worst = sorted(rows, key=lambda row: -row.regret)[:SHOWN]
    rest = [row for row in rows if row not in worst and row.ratio is not None]
    close = sorted(rest, key=lambda row: row.ratio or 0.0)[:SHOWN]
    return heads, [_cells(row) for row in (*worst, *close)]


def _cells(row: RegretRow) -> list[str]:
    predicted = ", ".join(f"{m.method} {duration(m.predicted)}" for m in row.methods)
    rival = row.rival
    theirs = "-"
    if rival is not None and rival.seconds is not None and row.ratio is not None:
        theirs = f"{digits(row.ratio)} x {rival.peer} ({duration(rival.seconds)})"
    best = f"{row.best.method} {duration(row.best.seconds)}"
    return [
        row.case,
        row.dtype,
        duration(row.seconds),
        row.plan,
        f"{row.regret:.2f}",
        best,
        predicted,
        theirs,
    ]


def summary(rows: Sequence[RegretRow]) -> list[str]:
    """Sentences: the geometric mean and the worst, against what they have to be; rows that lose to a rival."""
    tuned = rows[0].tuned
    mean, worst = geometric_mean([row.regret for row in rows]), max(rows, key=lambda row: row.regret)
    whose = "a profile of this machine" if tuned else "the built-in coefficients"
    said = [
        f"Regret by {whose}, over {len(rows)} problems: geometric mean {mean:.3f} "
        f"({_verdict(mean, MEAN[tuned])}), worst {worst.regret:.2f} ({_verdict(worst.regret, WORST[tuned])})."
    ]
    off = [abs(log(m.predicted / m.seconds)) for row in rows for m in row.methods if m.predicted > 0]
    said.append(
        f"Predictions are off by a factor of {exp(sorted(off)[len(off) // 2]):.2f} in the median, of "
        f"{exp(sorted(off)[int(0.95 * (len(off) - 1))]):.2f} in 95 of 100."
    )
    ratios = [row.ratio for row in rows if row.ratio is not None]
    losses = [row for row in rows if row.ratio is not None and row.ratio < 1]
    if ratios:
        said.append(
            f"Against the fastest of NumPy and scipy: geometric mean {digits(geometric_mean(ratios))} x, slower in "
            f"{len(losses)} of {len(ratios)} rows."
        )
    if losses:
        named = (f"{row.case} {row.dtype} ({digits(row.ratio or 0.0)} x)" for row in losses)
        said.append(f"Slower: {'; '.join(named)}.")
    return said


def _verdict(value: float, most: float) -> str:
    return f"<= {most:g}: {'met' if value <= most else 'MISSED'}"
