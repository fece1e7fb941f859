"""Coefficients from times: non-negative least squares on relative errors.

A prediction is linear in the coefficients as long as the blocks stay what they are, so its row of the matrix is
read off by setting one coefficient at a time and all others to zero. With ``c = p u`` for the coefficients `p` from
before, the sum over all times t of ``((a c + k - t) / t)^2`` plus a little of ``(u - 1)^2`` is least: what no time
depends on stays as it was, and what few depend on moves no further than they ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

import numpy as np

Costs = TypeVar("Costs")
Name = tuple[str, str | None]
"""A field, and the entry of it where it is a table by dtype."""

# How much a coefficient is held where it was, against one time that is wrong by its whole length.
HOLD = 0.01
# No coefficient moves further than by this factor: a single disturbed time cannot carry one away.
FURTHEST = 8.0


@dataclass(frozen=True)
class Sample(Generic[Costs]):
    """A time, and how it is predicted from coefficients.

    Attributes
    ----------
    what : str
        What was timed, for a reader.
    seconds : float
    predict : callable
        Seconds by given coefficients.
    """

    what: str
    seconds: float
    predict: Callable[[Costs], float]


def names(costs: Any, skip: Sequence[str] = ()) -> list[Name]:
    """Every coefficient that is a number or an entry of a table by dtype."""
    found: list[Name] = []
    for f in fields(costs):
        value = getattr(costs, f.name)
        if f.name in skip or isinstance(value, tuple):
            continue
        if isinstance(value, dict):
            found += [(f.name, key) for key, entry in value.items() if isinstance(entry, float)]
        else:
            found.append((f.name, None))
    return found


def get(costs: Any, name: Name) -> float:
    value = getattr(costs, name[0])
    return float(value if name[1] is None else value[name[1]])


def put(costs: Costs, name: Name, value: float) -> Costs:
    """The coefficients with one of them changed."""
    field, key = name
    new: Any = value if key is None else {**getattr(costs, field), key: value}
    changed: Any = replace(costs, **{field: new})  # type: ignore[type-var]
    return changed  # type: ignore[no-any-return]


def fit(before: Costs, which: Sequence[Name], samples: Sequence[Sample[Costs]]) -> Costs:
    """The coefficients with those named in `which` fitted to the samples.

    Examples
    --------
    >>> from fftconv.core.profile import BUILT_IN
    >>> slow = [Sample("", 2e-3 * n, lambda c, n=n: n * c.call) for n in (1, 2, 3)]
    >>> round(fit(replace(BUILT_IN.direct, call=1e-3), [("call", None)], slow).call, 4)
    0.002
    """
    if not samples:
        return before
    priors = np.array([get(before, name) for name in which])
    zero = before
    for name in which:
        zero = put(zero, name, 0.0)
    times = np.array([s.seconds for s in samples])
    offsets = np.array([s.predict(zero) for s in samples])
    columns = []
    for name, prior in zip(which, priors, strict=True):
        alone = put(zero, name, prior)
        columns.append([s.predict(alone) for s in samples])
    matrix = (np.array(columns) - offsets).T / times[:, None]
    scale = _solve(matrix, 1 - offsets / times)
    fitted = before
    for name, prior, u in zip(which, priors, scale, strict=True):
        fitted = put(fitted, name, float(prior * u))
    return fitted


def _solve(matrix: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The factors u; rows that are far off have less say the second time, as one slow time should not bend the rest."""
    from scipy.optimize import nnls

    count = matrix.shape[1]
    weight, scale = np.ones(len(target)), np.ones(count)
    for _ in range(3):
        held = np.sqrt(HOLD) * np.eye(count)
        system = np.vstack([weight[:, None] * matrix, held])
        scale, _ = nnls(system, np.concatenate([weight * target, np.sqrt(HOLD) * np.ones(count)]))
        off = np.abs(matrix @ scale - target)
        weight = 1 / np.sqrt(1 + (off / 0.3) ** 2)
    return np.clip(scale, 1 / FURTHEST, FURTHEST)
