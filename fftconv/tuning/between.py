"""The built-in coefficients: between the profiles of several machines, so that they suit none best and none badly.

    python -m fftconv.tuning.between ONE.json ANOTHER.json ...

writes ``fftconv/core/built_in.json``. It is a host profile as `fftconv tune` writes it, of no processor in particular.
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

    Examples
    --------
    >>> between([{"a": [1.0, 3.0]}, {"a": [4.0, 3.0]}])
    {'a': [2.0, 3.0]}
    """
    first = values[0]
    if isinstance(first, dict):
        return {name: between([v[name] for v in values]) for name in first}
    if isinstance(first, list):
        return [between(entries) for entries in zip(*values, strict=True)]
    if not all(values):
        return 0.0
    return float(f"{exp(fsum(map(log, values)) / len(values)):.3g}")


def main(paths: Sequence[str]) -> None:
    """Write the built-in coefficients from the profiles in `paths`."""
    documents = [json.loads(Path(path).read_text(encoding="ascii")) for path in paths]
    parts = {name: between([d[name] for d in documents]) for name in ("engines", "direct")}
    FILE.write_text(json.dumps(parts, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1:])
