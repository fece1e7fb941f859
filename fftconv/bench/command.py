"""The work behind ``fftconv bench``: check what was asked for, measure group by group, show and write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fftconv.bench import report
from fftconv.bench.case import DTYPES
from fftconv.bench.cases import GROUPS
from fftconv.bench.peers import PEERS, installed
from fftconv.bench.plot import plot
from fftconv.bench.rows import Row
from fftconv.bench.runs import measure
from fftconv.bench.sides import Options
from fftconv.bench.timing import Budget


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
        markers of a group; before anything is measured.
    """
    groups = list(dict.fromkeys(groups)) or list(GROUPS)
    options = Options(
        workers,
        DTYPES if dtype == "both" else (dtype,),
        _peers(peers),
        replace(Budget(), seconds=seconds),
        only,
    )
    _check(groups, options, page)
    facts = report.machine(options)
    print("\n".join(report.machine_lines(facts)), end="\n\n")
    rows = {name: shown for name in groups if (shown := _group(name, options))}
    everything = [row for group in rows.values() for row in group]
    if json_file:
        json_file.write_text(report.as_json(everything, facts), encoding="utf-8")
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


def _check(groups: Sequence[str], options: Options, page: Path | None) -> None:
    for name in groups:
        if name not in GROUPS:
            raise ValueError(f"a group must be one of {', '.join(GROUPS)}; got {name!r}")
    if not any(options.only in case.name for name in groups for case in GROUPS[name].cases):
        raise ValueError(f"no case of {', '.join(groups)} has {options.only!r} in its name")
    if page:
        if options.only or len(options.dtypes) < len(DTYPES):
            raise ValueError(
                "a page holds whole groups: expected neither --only nor a single --dtype beside it"
            )
        report.check_markers(page.read_text(encoding="utf-8"), ["machine", *groups])
