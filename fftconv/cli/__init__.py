"""The command `fftconv`. Needs the extra `cli`; without it the command says so."""

from __future__ import annotations

import sys

COMMAND_LINE_PACKAGES = ("click", "rich")


def main() -> int:
    """Run the command line on ``sys.argv``; the exit code is returned."""
    try:
        from fftconv.cli.main import cli
    except ModuleNotFoundError as missing:
        package = (missing.name or "").split(".")[0]
        if package not in COMMAND_LINE_PACKAGES:
            raise
        print(f'fftconv: the command needs {package}: pip install "fftconv[cli]"', file=sys.stderr)
        return 2
    return int(cli.main(prog_name="fftconv", standalone_mode=False) or 0)
