"""A command group whose every failure is one line on stderr and exit code 2."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import click

FAILURE = 2
INTERRUPTED = 130


class OneLineErrors(click.Group):
    """A group that turns whatever its commands raise into one line.

    ``main`` returns the exit code when `standalone_mode` is false and exits with it otherwise, so that the
    installed command and click's test runner see the same line and the same code.
    """

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        code = self._exit_code(*args, **{**extra, "standalone_mode": False})
        if standalone_mode:
            sys.exit(code)
        return code

    def _exit_code(self, *args: Any, **extra: Any) -> int:
        try:
            returned = super().main(*args, **extra)
            return returned if isinstance(returned, int) else 0
        except click.exceptions.NoArgsIsHelpError as help_text:
            click.echo(help_text.format_message())
            return 0
        except (click.Abort, KeyboardInterrupt):
            click.echo("fftconv: interrupted, nothing was written", err=True)
            return INTERRUPTED
        except Exception as error:
            click.echo(f"fftconv: {one_line(error)}", err=True)
            return FAILURE


def one_line(error: Exception) -> str:
    """What went wrong, without line breaks; the kind of error too where the message alone may not tell."""
    if isinstance(error, click.ClickException):
        text = error.format_message()
    elif isinstance(error, MemoryError):
        text = f"not enough memory: {error}" if str(error) else "not enough memory"
    elif isinstance(error, OSError) and error.filename and error.strerror:
        text = f"{error.filename}: {error.strerror}"
    elif isinstance(error, (ValueError, TypeError, OSError)) and str(error):
        text = str(error)
    else:
        text = "".join(traceback.format_exception_only(error))
    return " ".join(text.split())
