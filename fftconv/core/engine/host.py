"""The name of the processor: what measured plans and costs are tied to."""

from __future__ import annotations

import platform
from functools import cache


@cache
def processor() -> str:
    """Architecture and model, as far as the system tells.

    Examples
    --------
    >>> processor().startswith(platform.machine())
    True
    """
    return f"{platform.machine()} {_linux_model() or platform.processor()}".strip()


def _linux_model() -> str:
    """Model name with family, model and stepping: a virtual machine's name alone says little."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return ""
    facts: dict[str, str] = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        facts[name.strip()] = value.strip()
    numbers = [facts[name] for name in ("cpu family", "model", "stepping") if facts.get(name)]
    return " ".join([facts.get("model name", ""), "-".join(numbers)]).strip()
