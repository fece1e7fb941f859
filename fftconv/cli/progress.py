"""A sign of life on stderr for whatever takes longer than two seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PATIENCE = 2.0


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show `text` with a running clock once the block has run for `PATIENCE` seconds.

    On a terminal the line is erased at the end; elsewhere it is printed once.
    """
    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    bar.add_task(text, total=None)

    def show() -> None:
        if console.is_terminal:
            bar.start()
        else:
            console.print(f"{text} ...", markup=False, highlight=False)

    timer = threading.Timer(PATIENCE, show)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if bar.live.is_started:
            bar.stop()
