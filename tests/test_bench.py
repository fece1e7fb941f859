"""The benchmark's logic: whose calls are timed when, which of them counts, and what is said of it. No test here
depends on how fast this machine is."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fftconv
import fftconv._nn
from fftconv.bench import cases, command, memory, plot, report, runs, words
from fftconv.bench.bare import bare_executes
from fftconv.bench.case import DTYPES, Case, Frames, Group, Layer, Memory, Script, Signal, Target, faster
from fftconv.bench.cases import GROUPS
from fftconv.bench.grid import Complex
from fftconv.bench.ourselves import Gaussian, OneWorker, Positive
from fftconv.bench.peers import PEERS, Call, Peer, free_memory
from fftconv.bench.rows import MemoryRow, MethodTime, PeerTime, RegretRow, TimedRow
from fftconv.bench.runs import measure
from fftconv.bench.sides import Options, relative_difference
from fftconv.bench.timing import Budget, alternate
from fftconv.cli.main import cli
from fftconv.core.engine.base import FFTPlan

TINY = Options(
    workers=2, peers=("numpy", "scipy", "ndimage"), budget=Budget(seconds=0.002, least=1, round_seconds=0)
)


class Fake:
    """A clock that only calls move on: ``clock.call("a", 3, 1)`` takes 3 seconds, then 1 each time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, *seconds: float):
        left = list(seconds)

        def run() -> None:
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


# --- timing


def test_the_fastest_call_of_each_side_counts():
    clock = Fake()
    budget = Budget(seconds=100, bursts=1, round_seconds=0, burst_seconds=0, least=3)
    ours, theirs = alternate(
        clock.call("a", 9, 5, 4, 6), {"b": clock.call("b", 20, 10, 8, 12)}, budget, clock
    )
    assert ours.seconds == 4
    assert theirs["b"].seconds == 8


def test_the_sides_take_turns():
    clock = Fake()
    budget = Budget(seconds=12, bursts=2, round_seconds=10, burst_seconds=0, least=1)
    alternate(clock.call("a", 1), {"b": clock.call("b", 1), "c": clock.call("c", 1)}, budget, clock)
    assert "".join(clock.log) == "abc" + "aabb" + "aacc" + "aabb" + "aacc"


def test_short_calls_are_timed_many_at_once():
    clock = Fake()
    budget = Budget(seconds=1, bursts=1, round_seconds=0, burst_seconds=1.0, least=1)
    timing, _ = alternate(clock.call("a", 0.5, 0.125), {}, budget, clock)
    # two to find the length of a burst of 8, then one round
    assert timing.calls == len(clock.log) == 2 + 8
    assert timing.seconds == 0.125


@pytest.mark.parametrize(
    ("seconds", "round_seconds", "calls"), [(100, 7, 7), (10, 7, 5), (4, 7, 3), (4, 2, 2)]
)
def test_a_round_ends_when_its_time_is_up(seconds, round_seconds, calls):
    clock = Fake()
    budget = Budget(seconds=seconds, bursts=50, round_seconds=round_seconds, burst_seconds=0, least=1)
    timing, _ = alternate(clock.call("a", 1), {}, budget, clock)
    assert timing.calls == 1 + calls


def test_a_peer_slower_than_its_share_runs_once():
    clock = Fake()
    budget = Budget(seconds=10, bursts=1, round_seconds=0, burst_seconds=0, least=2)
    ours, theirs = alternate(
        clock.call("a", 1), {"slow": clock.call("s", 6), "b": clock.call("b", 1)}, budget, clock
    )
    assert theirs["slow"].calls == 1
    assert theirs["b"].calls > 2
    assert ours.calls >= theirs["b"].calls


def test_every_peer_gets_the_least_rounds():
    clock = Fake()
    budget = Budget(seconds=10, bursts=1, round_seconds=0, burst_seconds=0, least=4)
    _, theirs = alternate(clock.call("a", 9), {"b": clock.call("b", 9)}, budget, clock)
    assert theirs["b"].calls == 1 + 4


# --- rows

ROW = TimedRow(
    group="small",
    case="500 x 10",
    dtype="float32",
    seconds=2.0,
    calls=7,
    workers=2,
    plan="direct",
    peers=(
        PeerTime("numpy", "convolve", 3.0, 5, 1, 1e-7),
        PeerTime("scipy", "oaconvolve", 10.0, 5, 1, 2e-7),
        PeerTime("torch", "conv1d", note="over 10 s"),
    ),
)


def test_the_ratio_is_their_time_over_ours():
    assert ROW.ratio("numpy") == 1.5
    assert ROW.ratio("scipy") == 5
    assert ROW.ratio("torch") is None


def test_a_target_against_several_peers_means_the_fastest():
    verdicts = replace(ROW, targets=faster("scipy", "numpy", float32=2, float64=1)).verdicts
    assert [(v.ratio, v.met) for v in verdicts] == [(1.5, False)]


@pytest.mark.parametrize(("least", "met"), [(4.9, True), (5, True), (5.1, False)])
def test_a_target_is_met_from_its_ratio_on(least, met):
    row = replace(ROW, targets=faster("scipy", float32=least))
    assert row.met is met
    assert ("MISSED" in report.markdown([row])) is not met


def test_a_target_without_a_measured_peer_is_neither_met_nor_missed():
    row = replace(ROW, targets=faster("torch", float32=1))
    assert row.verdicts[0].met is None
    assert row.met
    assert "not measured" in report.markdown([row])


@pytest.mark.parametrize("difference", [1e-3, np.inf, np.nan])
def test_a_wrong_answer_prints_as_such(difference):
    peer = replace(ROW.peers[0], difference=difference)
    row = replace(ROW, peers=(peer,))
    assert row.is_wrong(peer)
    assert not row.is_wrong(ROW.peers[0])
    assert "WRONG" in report.plain(*report.table([row]))
    assert "WRONG" in "".join(report.summary([row]))


def test_what_rounding_explains_depends_on_the_dtype():
    assert replace(ROW, dtype="float64").is_wrong(ROW.peers[0])


def test_losses_are_named():
    faster_peer = PeerTime("numpy", "convolve", 1.0, 5, 1)
    assert "Slower than a peer: 500 x 10 float32 (0.5 x numpy)." in report.summary(
        [replace(ROW, peers=(faster_peer,))]
    )
    assert not any("Slower" in line for line in report.summary([ROW]))


def test_relative_difference():
    a = np.array([1.0, -4.0, 2.0])
    assert relative_difference(a, a + np.array([0, 0, 1.0])) == 0.25
    assert relative_difference(a, a[:2]) == np.inf
    assert np.isnan(relative_difference(a, a * np.array([1, np.nan, 1])))
    assert relative_difference(np.zeros(3), np.zeros(3)) == 0


@pytest.mark.parametrize(
    ("predicted", "measured", "met"),
    [(90, 100, True), (119, 100, True), (121, 100, False), (79, 100, False), (130, 300, False)],
)
def test_memory_wants_both_the_bound_and_the_prediction(predicted, measured, met):
    wanted = Memory(Signal("a", (5,), (2,)), limit=200, slack=0)
    row = MemoryRow("memory", "a", "float64", 2, "direct", predicted, measured, wanted)
    assert row.met is met
    assert row.as_json()["met"] is met


# --- cases

SMALL = (
    Signal("odd", (501,), (11,)),
    Signal("even", (500,), (10,)),
    Signal("picture", (50, 41), (5, 7)),
    Signal("even picture", (50, 40), (4, 6)),
    Signal("volume", (12, 13, 14), (3, 5, 2)),
    Signal("rows", (5, 40), (8,), axes=(1,)),
    Signal("pictures", (3, 40, 41), (8, 5), axes=(1, 2)),
    Layer("layer", (2, 4, 20, 21), (6, 2, 3, 4), (), "", "conv2d", {"groups": 2, "stride": 2, "padding": 1}),
    Layer("dilated", (2, 4, 30), (6, 4, 3), (), "", "conv1d", {"dilation": 3}),
    Layer(
        "transposed",
        (2, 4, 9, 8, 7),
        (4, 2, 3, 4, 2),
        (),
        "",
        "conv_transpose3d",
        {"stride": 2, "padding": 1, "groups": 2},
    ),
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SMALL, ids=lambda c: c.name)
@pytest.mark.parametrize("name", PEERS)
def test_every_peer_computes_what_we_do(name, case, dtype):
    peer = PEERS[name]
    if not peer.installed:
        pytest.skip(f"{name} is not installed")
    x, w = case.arrays(dtype)
    ours = case.ours(x, w)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        module = peer.load()
        assert peer.use_threads(module, 2) >= 1
        for call in peer.calls(module, case, x, w):
            row = replace(ROW, dtype=dtype)
            assert not row.is_wrong(PeerTime(name, difference=relative_difference(call.run(), ours))), (
                call.function
            )


def test_every_signal_has_a_peer_and_every_layer_torch():
    for case in SMALL:
        names = {
            n
            for n in ("numpy", "scipy", "ndimage")
            for _ in PEERS[n].calls(None, case, *case.arrays("float64"))
        }
        assert {"scipy", "ndimage"} <= names if isinstance(case, Signal) else not names


@pytest.mark.parametrize("case", [c for c in SMALL if isinstance(c, Layer)], ids=lambda c: c.name)
def test_a_layer_names_the_problem_that_the_door_makes(case, monkeypatch):
    seen = []
    monkeypatch.setattr(fftconv._nn, "compute", lambda problem, *_: seen.append(problem))
    case.ours(*case.arrays("float32"))()
    assert seen == [case.problem("float32")]


def test_names_tell_cases_apart():
    for group in GROUPS.values():
        names = [case.name for case in group.cases]
        assert len(set(names)) == len(names)


def targets(group: str, name: str) -> dict[tuple[str, ...], tuple[float | None, float | None]]:
    """Ratios for float64 and float32, by peers."""
    case = next(c for c in GROUPS[group].cases if c.name == name)
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for t in case.targets:
        found.setdefault(t.peers, {})[t.dtype] = t.at_least
    return {peers: (of.get("float64"), of.get("float32")) for peers, of in found.items()}


@pytest.mark.parametrize(
    ("group", "name", "float64", "float32"),
    [
        ("small", "500 x 10", 1, 1),
        ("1d", "10^6 x 101", 5, 3),
        ("1d", "10^6 x 1001", 4.5, 2.5),
        ("1d", "10^6 x 10001", 8, 5),
        ("1d", "10^7 x 48000", 5, 5),
        ("batch", "64 x 100000 by 512", 5, 3),
        ("2d", "1024^2 x 31^2", 5, 3),
        ("2d", "4096^2 x 101^2", 5, 5),
        ("3d", "200^3 x 31^3", 5, 5),
    ],
)
def test_targets_against_scipy(group, name, float64, float32):
    assert targets(group, name)["scipy",] == (float64, float32)
    assert name in {c.name for c in GROUPS["memory"].cases}


@pytest.mark.parametrize(
    ("name", "float32", "float64"),
    [
        ("conv2d 4x8->8, 256^2, 31x31", 20, 100),
        ("conv2d depthwise 2x32, 256^2, 31x31", 20, 100),
        ("conv1d 1x64->64, 64000, 1024", 20, None),
        ("conv1d 16x1->1, 48000, 4800", 100, None),
        ("conv3d 1x4->4, 64^3, 7^3", 1.5, 20),
        ("conv2d 1x1->1, 1024^2, 31x31, stride 4", 1, 5),
        ("conv2d 1x3->3, 512^2, 9x9, dilation 12", 1, 5),
        ("conv2d 8x16->32, 128^2, 3x3", 0.4, 1.5),
        ("conv2d 8x16->32, 128^2, 3x3, stride 2", 0.4, 1.5),
        ("conv2d 8x64->64, 56^2, 3x3", 0.45, 1),
        ("conv_transpose2d 4x32->16, 64^2, 4x4, stride 2", 0.5, 1),
    ],
)
def test_targets_against_torch(name, float32, float64):
    assert targets("general", name) == {("torch",): (float64, float32)}
    assert name in {c.name for c in GROUPS["memory"].cases}


# --- runs

TINY_GROUPS = {
    "small": Group("Short", "timed", (SMALL[0], SMALL[2])),
    "general": Group("Layers", "timed", (SMALL[7],)),
    "limit": Group("Limit", "limit", (Signal("a", (100_000,), (1001,), faster("measured", float64=1)),)),
    "prepared": Group("Prepared", "prepared", (Frames("a", (50_000,), (101,)),)),
    "first-call": Group(
        "Processes",
        "first-call",
        (Script("a", "import sys", "import os", "scipy", faster("scipy", float64=1)),),
    ),
    "memory": Group("Scratch", "memory", (Memory(cases.SHORT, 2**20),)),
    "workers": Group(
        "Ours",
        "ourselves",
        tuple(kind("a", (40, 40), (5, 5)) for kind in (OneWorker, Positive, Gaussian)),
    ),
}


@pytest.fixture
def tiny_groups(monkeypatch):
    for name, group in TINY_GROUPS.items():
        monkeypatch.setitem(GROUPS, name, group)


@pytest.mark.parametrize("group", TINY_GROUPS)
def test_groups_of_every_kind_run(group, tiny_groups):
    rows = list(measure(group, TINY))
    expected = 1 if group == "first-call" else 2
    assert len(rows) == expected * len(TINY_GROUPS[group].cases)
    facts = report.machine(TINY)
    read = json.loads(report.as_json(rows, facts))
    assert read["machine"]["threads"] == {"numpy": 1, "scipy": 1, "ndimage": 1}
    assert "numpy" in read["machine"]["versions"]
    for row in read["rows"]:
        assert {"group", "case", "dtype", "workers", "plan"} <= set(row)
        if group == "memory":
            assert row["predicted"] >= 0 <= row["measured"]
            continue
        assert row["seconds"] > 0 < row["calls"]
        for peer in row["peers"]:
            assert peer["ratio"] == peer["seconds"] / row["seconds"]
            assert peer["agrees"] and peer["calls"] and peer["function"]
    assert report.markdown(rows).count("\n|") == 1 + len(rows)


def test_ours_beside_ours():
    """Arrays and other calls are what the groups say."""
    x, w = Positive("a", (40, 40), (5, 5)).arrays("float32")
    assert x.min() >= 0 <= w.min() and x.dtype == w.dtype == np.float32
    case = Gaussian("a", (300, 300), (15, 15))
    x, w = case.arrays("float64")
    assert np.linalg.matrix_rank(w) == 1 and w.sum() == pytest.approx(1)
    np.testing.assert_allclose(case.beside(x, w)(), case.ours(x, w)(), atol=1e-12)
    one = OneWorker("a", (1000, 1000), (31, 31))
    assert (one.beside(*(a := one.arrays("float64")))() == one.ours(*a)()).all()


def test_kinds_of_groups_have_a_function():
    assert {group.kind for group in GROUPS.values()} == set(runs.KINDS)


def test_a_peer_known_to_be_too_slow_is_not_started(monkeypatch, tiny_groups):
    def calls(module, case, x, w):
        yield Call("slow", lambda: pytest.fail("was called"), seconds=11)
        yield Call("large", lambda: pytest.fail("was called"), scratch=free_memory())

    monkeypatch.setitem(PEERS, "numpy", Peer("numpy", "numpy", calls, lambda module, n: 1))
    row = next(iter(measure("small", replace(TINY, peers=("numpy",)))))
    assert [(p.seconds, p.note) for p in row.peers] == [(None, "over 0.012 s")]
    assert "over 0.012 s" in report.markdown([row])


def test_of_a_peers_functions_the_fastest_counts_and_the_worst_difference():
    given = (
        PeerTime("scipy", "convolve", 3.0, difference=0),
        PeerTime("numpy", "convolve", 1.0),
        PeerTime("scipy", "oaconvolve", 2.0),
    )
    assert [(p.peer, p.function) for p in runs.best_of_each(given)] == [
        ("scipy", "oaconvolve"),
        ("numpy", "convolve"),
    ]


def test_a_wrong_function_of_a_peer_shows_even_where_another_is_faster(monkeypatch, tiny_groups):
    def offered(module, case, x, w):
        good = fftconv.convolve(x, w, "same")
        yield Call("good", lambda: good)
        yield Call("bad", lambda: good + np.ones_like(good) * sum(range(20_000)))

    monkeypatch.setitem(PEERS, "numpy", Peer("numpy", "numpy", offered, lambda module, n: 1))
    row = next(iter(measure("small", replace(TINY, peers=("numpy",)))))
    assert row.is_wrong(row.peers[0])


@pytest.mark.parametrize("workers", (1, 2))
def test_bare_executes_are_as_many_as_the_plan_has_tiles(workers, monkeypatch):
    plan = fftconv.explain((100_000,), (1001,), "same", method="overlap_save", workers=workers)
    run = bare_executes(plan)
    done = []
    forward, backward = FFTPlan.forward, FFTPlan.backward
    monkeypatch.setattr(FFTPlan, "forward", lambda p, x=None: done.append("f") or forward(p, x))
    monkeypatch.setattr(FFTPlan, "backward", lambda p, x=None: done.append("b") or backward(p, x))
    run()
    held = plan.tiling.blocks * (2 if plan.tiling.packed else 1) * plan.tiling.step[0]
    assert done.count("f") == done.count("b") == -(-100_000 // held)


class Hungry(Case):
    """Sixteen MiB of scratch for one of output."""

    def ours(self, x, w):
        def call():
            scratch = np.ones(2 * 2**20)
            return np.full(2**17, scratch.sum())

        return call

    def problem(self, dtype):
        return Signal("a", self.x, self.w).problem(dtype)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc")
def test_peak_memory_is_beyond_input_and_output():
    measured = memory.peak_beyond_output(Hungry("hungry", (2**17,), (3,)), "float64")
    assert abs(measured - 16 * 2**20) < 2**20


def test_a_process_that_fails_says_why():
    with pytest.raises(
        RuntimeError, match="nothing like it float64: the process that measures memory failed"
    ):
        memory.in_a_process("memory", "nothing like it", "float64", 1)


# --- what is shown and written


def invoke(*args: object):
    return CliRunner().invoke(cli, ["bench", *map(str, args)])


def test_the_command(tmp_path, tiny_groups):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- bench machine --><!-- end machine -->\nb\n<!-- bench small -->old<!-- end small -->\nc"
    )
    file = tmp_path / "all.json"
    done = invoke("small", "--seconds", 0.001, "--peer", "numpy", "--json", file, "--markdown", page)
    assert done.exit_code == 0, done.output
    assert "small: Short" in done.output and "rows meet their targets" in done.output
    assert [row["case"] for row in json.loads(file.read_text())["rows"]] == [
        "odd",
        "odd",
        "picture",
        "picture",
    ]
    text = page.read_text()
    assert text.startswith("a\n<!-- bench machine -->\n\n* ") and text.endswith("<!-- end small -->\nc")
    assert "| odd | float64 |" in text and "old" not in text
    assert "* Threads: fftconv 2, numpy 1." in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nothing"], "a group must be one of 1d, 2d"),
        (["1d", "--peer", "abacus"], "'abacus' is not one of numpy"),
        (["1d", "--only", "abacus"], "no case of 1d has 'abacus' in its name"),
        (["1d", "--markdown", "page.md"], "must hold the markers <!-- bench machine -->"),
        (["1d", "--dtype", "float32", "--markdown", "page.md"], "a page holds whole groups"),
        (["1d", "--markdown", "bytes.md"], "bytes.md is not a page of text"),
        (["1d", "--markdown", "none.md"], "none.md: No such file"),
        (["1d", "--json", "no/file.json"], "no file can be written at no/file.json"),
        (["1d", "--plot", "."], "no file can be written at ."),
        (["1d", "--plot", "page.md"], "a plot must be one of .png, .svg, .pdf; got 'page.md'"),
        (["limit", "--plot", "a.png"], "there is no curve over kernel lengths in these groups"),
        (["1d", "--seconds", "nan"], "seconds must be a number > 0, got nan"),
        (["1d", "--seconds", "0"], "seconds must be a number > 0, got 0"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_measured(args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured"))
    Path("page.md").write_text("no markers")
    Path("bytes.md").write_bytes(b"\x93")
    done = invoke(*args)
    assert done.exit_code == 2
    assert words in done.output and done.output.count("\n") == 1
    assert Path("page.md").read_text() == "no markers"


def test_a_page_without_a_marker_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    text = "<!-- bench 1d -->x<!-- end 1d -->"
    page.write_text(text)
    with pytest.raises(ValueError, match="<!-- bench 2d -->"):
        report.rewrite(page, {"1d": "new", "2d": "new"})
    assert page.read_text() == text


def test_the_page_of_the_documentation_has_every_group():
    page = Path(__file__).parents[1] / "docs" / "benchmarks.md"
    report.check_markers(page.read_text(encoding="utf-8"), ["machine", *GROUPS])


@pytest.mark.parametrize("rich", (True, False))
def test_the_table_on_the_terminal(rich, monkeypatch, capsys):
    if not rich:
        monkeypatch.setitem(__import__("sys").modules, "rich.box", None)
    report.show([ROW], "a title")
    shown = capsys.readouterr().out
    for text in ("a title", "500 x 10", "2 s", "1.5 x (3 s)", "5 x (10 s)", "over 10 s", "direct"):
        assert text in shown


def test_the_plot_has_a_panel_for_each_curve(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [replace(ROW, curve="c", kernel=k, dtype=d) for k in (31, 3) for d in DTYPES]
    rows.append(replace(ROW, curve="lonely", kernel=5))
    found = plot.curves(rows)
    assert {key: [r.kernel for r in points] for key, points in found.items()} == {
        ("c", "float64"): [3, 31],
        ("c", "float32"): [3, 31],
    }
    plot.plot(tmp_path / "a.png", rows, report.machine(TINY))
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_plot_of_all_groups_may_be_asked_for(monkeypatch, tmp_path):
    """Groups without a curve among them: nothing of theirs is drawn."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(pytest.fail.Exception, match="measured"):
        command.run([], plot_file=tmp_path / "a.png")


def test_a_plot_without_matplotlib_is_refused_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    monkeypatch.setattr(command, "measure", lambda *_: pytest.fail("measured"))
    assert 'the plot needs matplotlib: pip install "fftconv[plot]"' in invoke("1d", "--plot", "a.png").output


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0000000024, "2.4 ns"),
        (0.00012345, "123 us"),
        (0.00241, "2.41 ms"),
        (12.0, "12 s"),
        (1234.5, "1234 s"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


def test_a_target_names_its_dtype():
    assert faster("torch", float32=2) == (Target(("torch",), 2, "float32"),)


# --- regret


def test_the_grid_has_problems_of_every_kind():
    grid = GROUPS["regret"].cases
    assert len(grid) * len(DTYPES) >= 300
    assert len({case.name for case in grid}) == len(grid)
    signals = [c for c in grid if isinstance(c, Signal)]
    assert {len(c.x) for c in signals} >= {1, 2, 3}
    assert any(isinstance(c, Complex) for c in signals)
    sizes = {c.x[0] for c in signals if len(c.x) == 1}
    assert min(sizes) == 10 and max(sizes) == 10**7
    assert any(c.w == c.x for c in signals) and any(set(c.w) == {1} for c in signals)
    layers = [c for c in grid if isinstance(c, Layer)]
    for word in ("stride", "dilation", "groups", "conv_transpose"):
        assert any(word in c.name for c in layers), word
    named = {"1-d 1664 by 65", "1-d 232523 by 5", "1-d 10007 by 1009"}
    assert named <= {c.name for c in grid}


@pytest.mark.parametrize("dtype", DTYPES)
def test_regret_runs_every_method_that_is_worth_it(dtype, monkeypatch):
    picked = (
        "1-d 100 by 10",
        "1-d complex 500 by 50",
        "2-d 16^2 by 3^2",
        "layer conv2d 4x8, 64^2 by 8x8, 3^2",
    )
    grid = tuple(c for c in GROUPS["regret"].cases if c.name in picked)
    assert len(grid) == len(picked)
    monkeypatch.setitem(GROUPS, "regret", Group("Choice", "regret", grid))
    for row in measure("regret", replace(TINY, dtypes=(dtype,))):
        assert row.plan.split()[0] in {m.method for m in row.methods}
        assert len(row.methods) >= 2
        assert row.regret >= 1 and all(m.seconds > 0 and m.predicted > 0 for m in row.methods)
        assert (row.ratio is None) == row.case.startswith("layer")


CHOICE = RegretRow(
    group="regret",
    case="1-d 9 by 3",
    dtype="float64",
    seconds=1.2,
    workers=2,
    plan="direct",
    tuned=False,
    methods=(MethodTime("direct", 1.2, 1.0), MethodTime("fft", 0.8, 1.5)),
    peers=(PeerTime("numpy", "convolve", 1.1), PeerTime("scipy", "fftconvolve", 3.0)),
)


def test_regret_is_the_time_of_the_choice_over_that_of_the_best():
    assert CHOICE.regret == pytest.approx(1.5)
    assert CHOICE.ratio == pytest.approx(1.1 / 1.2)
    best = replace(CHOICE, seconds=0.7)
    assert best.regret == 1.0 and best.ratio > 1 and best.met
    assert not replace(CHOICE, peers=(), seconds=1.3, tuned=True).met
    assert replace(CHOICE, peers=(), seconds=1.3, tuned=False).met


def test_regret_in_words():
    rows = [CHOICE, replace(CHOICE, case="other", seconds=0.8), replace(CHOICE, case="third", peers=())]
    said = " ".join(report.summary(rows))
    assert "over 3 problems: geometric mean 1.310 (<= 1.15: MISSED), worst 1.50 (<= 2: met)" in said
    assert "slower in 1 of 2 rows" in said and "Slower: 1-d 9 by 3 float64 (0.917 x)." in said
    text = report.markdown(rows)
    assert text.index("1-d 9 by 3") < text.index("other")
    assert json.loads(report.as_json(rows, {}))["rows"][0]["regret"] == pytest.approx(1.5)
