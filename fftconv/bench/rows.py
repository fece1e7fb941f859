"""What a measurement yields: plain numbers, with the ratios and verdicts that follow from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fftconv.bench.case import Memory, Target

# Largest difference between two results, relative to the largest value, that rounding explains.
ROUNDING = {"float32": 1e-4, "float64": 1e-10}


@dataclass(frozen=True)
class PeerTime:
    """One peer on one case: its fastest function, or why there is no time.

    Attributes
    ----------
    seconds : float or None
        The fastest call.
    difference : float
        Between its result and ours, relative to the largest value.
    note : str
        Why it was not measured; empty where it was.
    """

    peer: str
    function: str = ""
    seconds: float | None = None
    calls: int = 0
    threads: int = 0
    difference: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """A target, and what was reached: None where none of its peers was measured."""

    peers: tuple[str, ...]
    at_least: float
    ratio: float | None

    @property
    def met(self) -> bool | None:
        return None if self.ratio is None else self.ratio >= self.at_least


@dataclass(frozen=True)
class TimedRow:
    """Times of one case in one dtype."""

    group: str
    case: str
    dtype: str
    seconds: float
    calls: int
    workers: int
    plan: str
    peers: tuple[PeerTime, ...]
    targets: tuple[Target, ...] = ()
    curve: str = ""
    kernel: int = 0

    def ratio(self, peer: str) -> float | None:
        """Time of the peer over ours: above 1 we are faster."""
        seconds = next((p.seconds for p in self.peers if p.peer == peer), None)
        return None if seconds is None else seconds / self.seconds

    @property
    def difference(self) -> float:
        """The largest to any peer."""
        return max((p.difference for p in self.peers), default=0.0)

    def is_wrong(self, peer: PeerTime) -> bool:
        """Whether that peer's result and ours differ by more than rounding, or in a NaN."""
        return not peer.difference <= ROUNDING.get(self.dtype, 1e-4)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One per target that is stated for this dtype."""
        found = []
        for target in self.targets:
            if target.dtype == self.dtype:
                ratios = [r for r in map(self.ratio, target.peers) if r is not None]
                found.append(Verdict(target.peers, target.at_least, min(ratios, default=None)))
        return tuple(found)

    @property
    def met(self) -> bool:
        """False where a target is missed."""
        return all(v.met is not False for v in self.verdicts)

    def as_json(self) -> dict[str, Any]:
        fields = asdict(self)
        fields["peers"] = [
            {**asdict(p), "ratio": self.ratio(p.peer), "agrees": not self.is_wrong(p)} for p in self.peers
        ]
        fields["targets"] = [{**asdict(v), "met": v.met} for v in self.verdicts]
        return fields


@dataclass(frozen=True)
class MemoryRow:
    """Scratch of one case in one dtype, in bytes: as predicted by the plan, and as measured."""

    group: str
    case: str
    dtype: str
    workers: int
    plan: str
    predicted: int
    measured: int
    wanted: Memory

    @property
    def error(self) -> float:
        """Prediction over measurement, less 1."""
        return self.predicted / self.measured - 1 if self.measured else float(self.predicted > 0)

    @property
    def met(self) -> bool:
        off = abs(self.predicted - self.measured)
        near = off <= max(self.wanted.within * self.measured, self.wanted.slack)
        return near and self.measured <= self.wanted.limit

    def as_json(self) -> dict[str, Any]:
        fields = asdict(self)
        del fields["wanted"]
        return {
            **fields,
            "error": self.error,
            "limit": self.wanted.limit,
            "within": self.wanted.within,
            "slack": self.wanted.slack,
            "met": self.met,
        }


@dataclass(frozen=True)
class MethodTime:
    """One method on one case: as measured, and as the planner ranked it (on its nominal number of workers)."""

    method: str
    seconds: float
    predicted: float


@dataclass(frozen=True)
class RegretRow:
    """The call as it is, every method that was worth running, and the rivals.

    Attributes
    ----------
    seconds : float
        Of the call as it is.
    plan : str
    tuned : bool
        Whether predictions were made from a profile of the machine.
    methods : tuple of MethodTime
        The chosen one among them.
    peers : tuple of PeerTime
    """

    group: str
    case: str
    dtype: str
    seconds: float
    workers: int
    plan: str
    tuned: bool
    methods: tuple[MethodTime, ...]
    peers: tuple[PeerTime, ...]

    @property
    def best(self) -> MethodTime:
        return min(self.methods, key=lambda m: m.seconds)

    @property
    def regret(self) -> float:
        """Time of the chosen method over that of the best one."""
        return max(1.0, self.seconds / self.best.seconds)

    @property
    def rival(self) -> PeerTime | None:
        """The fastest peer."""
        timed = [p for p in self.peers if p.seconds is not None]
        return min(timed, key=lambda p: p.seconds or 0.0, default=None)

    @property
    def ratio(self) -> float | None:
        """Time of the fastest peer over ours: above 1 we are faster."""
        rival = self.rival
        return None if rival is None or rival.seconds is None else rival.seconds / self.seconds

    @property
    def met(self) -> bool:
        """Whether the choice is not far from the best, and no rival is faster."""
        return self.regret <= WORST[self.tuned] and not (self.ratio is not None and self.ratio < 1)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "regret": self.regret, "ratio": self.ratio, "met": self.met}


# What regret has to reach over a grid, built in and tuned: at worst, and in geometric mean.
WORST = {False: 2.0, True: 1.5}
MEAN = {False: 1.15, True: 1.08}

Row = TimedRow | MemoryRow | RegretRow
