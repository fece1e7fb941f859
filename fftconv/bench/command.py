"""The work behind ``fftconv bench``: check what was asked for, measure group by group, show and write."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path

from fftconv.bench import report
from fftconv.bench.case import DTYPES, Case
from fftconv.bench.cases import GROUPS
from fftconv.bench.peers import PEERS, installed
from fftconv.bench.plot import check as check_plot
from fftconv.bench.plot import plot
from fftconv.bench.rows import Row
from fftconv.bench.runs import measure
from fftconv.bench.sides import Options
from fftconv.bench.timing import Budget
from fftconv.core.engine import wisdom


def run(
    groups: Sequence[str],
    *,
    dtype: str = "both",
    workers: int = 2,
    seconds: float = 3.0,
    peers: Sequence[str] = (),
    only: str = "",
    json_file: Path | None = None,
    plot_file: Path | None = None,
    page: Path | None = None,
) -> list[Row]:
    """Measure `groups`, all where none is named; the keywords are the options of the command.

    Raises
    ------
    ValueError
        For unknown groups, peers that are unknown or not installed, `only` that no case holds, a page without the
        markers of a group, a plot that cannot be drawn; before anything is measured.
    """
    groups = list(dict.fromkeys(groups)) or list(GROUPS)
    options = Options(
        workers,
        DTYPES if dtype == "both" else (dtype,),
        _peers(peers),
        replace(Budget(), seconds=seconds),
        only,
    )
    _check(groups, options)
    _check_places([json_file, plot_file])
    if page:
        _check_page(groups, options, page)
    if plot_file:
        drawn = (case for case in _cases(groups, options) if isinstance(case, Case) and case.curve)
        points = Counter(case.curve for case in drawn)
        check_plot(plot_file, points)
    facts = report.machine(options)
    print("\n".join(report.machine_lines(facts)), end="\n\n")
    rows = {name: shown for name in groups if (shown := _group(name, options))}
    everything = [row for group in rows.values() for row in group]
    if json_file:
        wisdom.replace(json_file, report.as_json(everything, facts))
    if page:
        sections = {name: report.markdown(group) for name, group in rows.items()}
        machine = "\n".join(f"* {line}" for line in report.machine_lines(facts))
        report.rewrite(page, {"machine": machine, **sections})
    if plot_file:
        plot(plot_file, everything, facts)
    return everything


def _group(name: str, options: Options) -> list[Row]:
    """Measure one group and print it."""
    rows = []
    for row in measure(name, options):
        rows.append(row)
        print(f"measured {name}: {row.case} {row.dtype}", file=sys.stderr, flush=True)
    if rows:
        report.show(rows, f"{name}: {GROUPS[name].title}")
    return rows


def _peers(asked: Sequence[str]) -> tuple[str, ...]:
    here = installed()
    for name in asked:
        if name not in here:
            reason = "is not installed" if name in PEERS else f"is not one of {', '.join(PEERS)}"
            raise ValueError(
                f"a peer must be installed, expected one of {', '.join(here)}; {name!r} {reason}"
            )
    return tuple(name for name in here if not asked or name in asked)


def _cases(groups: Sequence[str], options: Options) -> list[Case]:
    return [case for name in groups for case in GROUPS[name].cases if options.only in case.name]


def _check(groups: Sequence[str], options: Options) -> None:
    for name in groups:
        if name not in GROUPS:
            raise ValueError(f"a group must be one of {', '.join(GROUPS)}; got {name!r}")
    if not 0 < options.budget.seconds < inf:
        raise ValueError(f"seconds must be a number > 0, got {options.budget.seconds}")
    if not _cases(groups, options):
        raise ValueError(f"no case of {', '.join(groups)} has {options.only!r} in its name")


def _check_places(files: Sequence[Path | None]) -> None:
    for path in files:
        if path and (path.is_dir() or not os.access(path.parent, os.W_OK)):
            raise ValueError(f"no file can be written at {path}")


def _check_page(groups: Sequence[str], options: Options, page: Path) -> None:
    if options.only or len(options.dtypes) < len(DTYPES):
        raise ValueError("a page holds whole groups: expected neither --only nor a single --dtype beside it")
    try:
        text = page.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{page} is not a page of text") from None
    report.check_markers(text, ["machine", *groups])
