"""Rows as a table on the terminal, as Markdown between the markers of a page, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fftconv
from fftconv.bench import regret_report
from fftconv.bench.cases import GROUPS
from fftconv.bench.peers import PEERS
from fftconv.bench.rows import MemoryRow, PeerTime, RegretRow, Row, TimedRow, Verdict
from fftconv.bench.sides import Options
from fftconv.bench.words import digits, duration, size
from fftconv.core.engine import wisdom

PACKAGES = (
    "numpy",
    "scipy",
    "pyfftw",
    "llvmlite",
    "torch",
    "opencv-python-headless",
    "opencv-python",
    "astropy",
)
# Kinds of groups in which the other side is no library that does the same.
BARE = ("limit", "prepared", "ourselves")
Table = tuple[list[str], list[list[str]]]


def table(rows: Sequence[Row]) -> Table:
    """Headings and cells for the rows of one group."""
    if isinstance(rows[0], MemoryRow):
        return _memory_table([row for row in rows if isinstance(row, MemoryRow)])
    if isinstance(rows[0], RegretRow):
        return regret_report.table([row for row in rows if isinstance(row, RegretRow)])
    timed = [row for row in rows if isinstance(row, TimedRow)]
    return _limit_table(timed) if _kind(timed[0]) == "limit" else _timed_table(timed)


def _timed_table(rows: Sequence[TimedRow]) -> Table:
    met = dict.fromkeys(p.peer for row in rows for p in row.peers)
    names = [name for name in PEERS if name in met] + [name for name in met if name not in PEERS]
    processes = _kind(rows[0]) == "first-call"
    extra = [] if processes else ["difference", "plan"]
    heads = ["case", "dtype", "fftconv", *names, "target", *extra]
    cells = []
    for row in rows:
        found = {p.peer: p for p in row.peers}
        peers = [_peer_cell(row, found.get(name)) for name in names]
        start = [row.case, row.dtype, duration(row.seconds), *peers, _targets(row)]
        cells.append(start if processes else [*start, f"{row.difference:.0e}", row.plan])
    return heads, cells


def _peer_cell(row: TimedRow, peer: PeerTime | None) -> str:
    if peer is None:
        return "-"
    if peer.seconds is None:
        return peer.note
    wrong = f" WRONG by {peer.difference:.0e}" if row.is_wrong(peer) else ""
    return f"{digits(peer.seconds / row.seconds)} x ({duration(peer.seconds)}){wrong}"


def _targets(row: TimedRow) -> str:
    return "; ".join(_verdict(v) for v in row.verdicts)


def _verdict(v: Verdict) -> str:
    state = {True: "met", False: "MISSED", None: "not measured"}[v.met]
    return f">= {v.at_least:g} x {_any_of(v.peers)}: {state}"


def _any_of(peers: Sequence[str]) -> str:
    return peers[0] if len(peers) == 1 else "any of these" if len(peers) == len(PEERS) else "/".join(peers)


def _limit_table(rows: Sequence[TimedRow]) -> Table:
    heads = [
        "case",
        "dtype",
        "fftconv",
        "bare, as planned",
        "bare, measured",
        "total / bare",
        "target",
        "plan",
    ]
    cells = []
    for row in rows:
        times = {p.peer: p.seconds for p in row.peers}
        bare = [duration(t) if (t := times.get(name)) else "-" for name in ("as planned", "measured")]
        verdicts = row.verdicts
        ratio = verdicts[0].ratio if verdicts else None
        wanted = "; ".join(
            f"<= {1 / v.at_least:.2g} x: {'not measured' if v.met is None else 'met' if v.met else 'MISSED'}"
            for v in verdicts
        )
        total = f"{1 / ratio:.2f}" if ratio else "-"
        cells.append([row.case, row.dtype, duration(row.seconds), *bare, total, wanted, row.plan])
    return heads, cells


def _memory_table(rows: Sequence[MemoryRow]) -> Table:
    heads = ["case", "dtype", "predicted", "measured", "prediction off by", "target", "plan"]
    cells = [
        [
            row.case,
            row.dtype,
            size(row.predicted),
            size(row.measured),
            f"{row.error:+.0%}",
            f"<= {size(row.wanted.limit)}, within {row.wanted.within:.0%}: {'met' if row.met else 'MISSED'}",
            row.plan,
        ]
        for row in rows
    ]
    return heads, cells


def summary(rows: Sequence[Row]) -> list[str]:
    """Sentences that say how many targets are met, and which rows lose."""
    choices = [row for row in rows if isinstance(row, RegretRow)]
    if choices:
        return regret_report.summary(choices)
    said = [f"{sum(row.met for row in rows)} of {len(rows)} rows meet their targets."]
    missed = [
        f"{row.case} {row.dtype} ({_missed_by(row)})"
        for row in rows
        if not isinstance(row, RegretRow) and not row.met
    ]
    if missed:
        said.append(f"Missed: {'; '.join(missed)}.")
    losses = [
        f"{row.case} {row.dtype} ({by})"
        for row in rows
        if isinstance(row, TimedRow) and _kind(row) not in BARE and (by := _lost_to(row))
    ]
    if losses:
        said.append(f"Slower than a peer: {'; '.join(losses)}.")
    wrong = [
        f"{row.case} {row.dtype} ({p.peer})"
        for row in rows
        if isinstance(row, TimedRow)
        for p in row.peers
        if row.is_wrong(p)
    ]
    if wrong:
        said.append(f"WRONG, results differ by more than rounding: {'; '.join(wrong)}.")
    return said


def _missed_by(row: TimedRow | MemoryRow) -> str:
    if isinstance(row, MemoryRow):
        return f"{size(row.measured)}, predicted {size(row.predicted)}"
    over = _kind(row) == "limit"
    return ", ".join(
        f"{1 / v.ratio:.2f} of {1 / v.at_least:.2g}" if over else f"{digits(v.ratio)} of {v.at_least:g}"
        for v in row.verdicts
        if v.met is False and v.ratio is not None
    )


def _lost_to(row: TimedRow) -> str:
    ratios = [(p.peer, row.ratio(p.peer)) for p in row.peers]
    return ", ".join(f"{digits(ratio)} x {peer}" for peer, ratio in ratios if ratio is not None and ratio < 1)


def _kind(row: TimedRow) -> str:
    return GROUPS[row.group].kind


def machine(options: Options) -> dict[str, Any]:
    """Versions and threads: what the numbers depend on beside the processor."""
    versions = {"python": platform.python_version(), "fftconv": fftconv.__version__}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "workers": options.workers,
        "threads": {name: _threads(name, options.workers) for name in options.peers},
        "seconds_per_row": options.budget.seconds,
        "versions": versions,
    }


def _threads(name: str, workers: int) -> int:
    peer = PEERS[name]
    return peer.use_threads(peer.load(), workers)


def machine_lines(facts: Mapping[str, Any]) -> list[str]:
    """The same in words."""
    threads = ", ".join(f"{name} {count}" for name, count in facts["threads"].items())
    return [
        f"{facts['processors']} processors ({facts['architecture']}, {facts['system']}).",
        f"Threads: fftconv {facts['workers']}, {threads}.",
        f"Time: {facts['seconds_per_row']:g} s a row.",
        f"Versions: {', '.join(f'{name} {number}' for name, number in facts['versions'].items())}.",
    ]


def show(rows: Sequence[Row], title: str) -> None:
    """Print a group, by rich where it is installed."""
    heads, cells = table(rows)
    try:
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text
    except ModuleNotFoundError:
        print(f"{title}\n{plain(heads, cells)}")
    else:
        # a pipe or a file takes lines as long as they are
        console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 1000)
        shown = RichTable(*heads, title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for line in cells:
            marked = any(word in cell for cell in line for word in ("MISSED", "WRONG"))
            shown.add_row(*map(Text, line), style="red" if marked else "")
        console.print(shown)
    print("\n".join(summary(rows)), end="\n\n")


def plain(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Columns of text."""
    lines = [heads, *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_json(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """Everything that was measured."""
    return json.dumps({"machine": facts, "rows": [row.as_json() for row in rows]}, indent=1)


def markdown(rows: Sequence[Row]) -> str:
    """A group as a table and its summary."""
    heads, cells = table(rows)
    lines = [heads, ["---"] * len(heads), *cells]
    grid = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join(grid) + "\n\n" + "\n\n".join(summary(rows))


def check_markers(text: str, names: Sequence[str]) -> None:
    """Refuse a page that lacks a marker."""
    for name in names:
        first, last = _markers(name)
        if text.count(first) != 1 or text.count(last) != 1 or text.index(last) < text.index(first):
            raise ValueError(f"the page must hold the markers {first} and {last} once each, in this order")


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- bench {name} -->", f"<!-- end {name} -->"


def rewrite(page: Path, sections: Mapping[str, str]) -> None:
    """Replace what stands between the markers of each section of `page`.

    Raises
    ------
    ValueError
        If the page lacks a marker; nothing is written then.
    """
    text = page.read_text(encoding="utf-8")
    check_markers(text, list(sections))
    for name, content in sections.items():
        first, last = _markers(name)
        before, rest = text.split(first)
        text = f"{before}{first}\n\n{content}\n\n{last}{rest.split(last)[1]}"
    wisdom.replace(page, text)
