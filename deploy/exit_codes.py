"""Where errors leave the program: one line on standard error and an exit code, never a traceback unless asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from gradwire.common.errors import (
    BudgetError,
    ByteMismatchError,
    DivergenceError,
    GradwireError,
    NotFiniteError,
    WireError,
)

DEBUG = "GRADWIRE_DEBUG"
# Exit codes; 0 means that the command did what it says.
FAILED, BAD_INPUT, BUDGET_SPENT, INTERRUPTED = 1, 2, 3, 130
_RUN_FAILURES = (ByteMismatchError, DivergenceError, NotFiniteError, WireError)


def complain(message: str) -> None:
    """Say what went wrong: one line that starts with the program's name."""
    print(f"gradwire: {' '.join(message.split())}", file=sys.stderr, flush=True)


def guarded(call: Callable[[], Any]) -> int:
    """Call a command and turn what comes of it into an exit code; a whole number that it returns is one.

    Raises:
        Exception: an error that nobody raised on purpose, and with GRADWIRE_DEBUG set every error.
    """
    try:
        result = call()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:
        told = _told(error)
        if told is None or os.environ.get(DEBUG):
            raise
        complain(told[0])
        return told[1]
    return result if isinstance(result, int) else 0


def _told(error: Exception) -> tuple[str, int] | None:
    """The line and the exit code of an error that is meant to be read by a user; None for any other."""
    if isinstance(error, BudgetError):
        return str(error), BUDGET_SPENT
    if isinstance(error, GradwireError):
        return str(error), FAILED if isinstance(error, _RUN_FAILURES) else BAD_INPUT
    if isinstance(error, MemoryError):
        return f"out of memory ({str(error) or 'no more words'}): choose a smaller task, dim or codec", FAILED
    if type(error).__name__ == "Abort":
        return "aborted", INTERRUPTED
    format_message = getattr(error, "format_message", None)  # a usage error, typer's own or click's
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    message = format_message().rstrip(".")
    return f"{message[:1].lower()}{message[1:]}{where}", BAD_INPUT


def _reader_left() -> int:
    """The reader of our output went away: stay silent, at exit as well, where Python flushes once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
