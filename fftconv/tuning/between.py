"""The built-in coefficients: between the profiles of several machines, so that they suit none best and none badly.

    python -m fftconv.tuning.between docs/profiles/*.json

writes ``fftconv/core/built_in.json`` from profiles as `fftconv tune` writes them. A coefficient that is younger than
some of them comes from the others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from math import exp, fsum, log
from pathlib import Path
from typing import Any

from fftconv.core.profile import FILE


def between(values: Sequence[Any]) -> Any:
    """The geometric mean of numbers, or of those that stand at the same place of tables; 0 where any of them is.

    Parameters
    ----------
    values : sequence
        Numbers, or tables of them. A table may lack entries that another has.

    Returns
    -------
    float, list or dict

    Examples
    --------
    >>> between([{"a": [1.0, 3.0]}, {"a": [4.0, 3.0]}])
    {'a': [2.0, 3.0]}
    >>> between([{"a": 1.0}, {"a": 4.0, "b": 5.0}])
    {'a': 2.0, 'b': 5.0}
    """
    first = values[0]
    if isinstance(first, dict):
        every = dict.fromkeys(name for v in values for name in v)
        return {name: between([v[name] for v in values if name in v]) for name in every}
    if isinstance(first, list):
        return [between(entries) for entries in zip(*values, strict=True)]
    if not all(values):
        return 0.0
    return float(f"{exp(fsum(map(log, values)) / len(values)):.3g}")


def built_in(paths: Sequence[Path]) -> str:
    """The document that the profiles in `paths` make."""
    documents = [json.loads(path.read_text(encoding="ascii")) for path in paths]
    parts = {name: between([d[name] for d in documents]) for name in ("engines", "direct")}
    return json.dumps(parts, indent=1, sort_keys=True) + "\n"


def main(paths: Sequence[str]) -> None:
    """Write the built-in coefficients from the profiles in `paths`."""
    FILE.write_text(built_in([Path(path) for path in paths]), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
