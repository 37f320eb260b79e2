"""From errors to exit codes: one line on standard error, never a traceback unless asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
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
FAILED, BAD_INPUT, BUDGET_SPENT, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
MEANINGS = {
    0: "success: of a run, it finished, every byte was predicted, and the replicas agree",
    FAILED: "the run failed: a check did not hold, a process was killed too often, or a peer refused",
    BAD_INPUT: "the input cannot be used: the command line, the configuration, data, or a state directory",
    BUDGET_SPENT: "the privacy budget does not pay for another push",
    INTERRUPTED: "stopped by SIGINT (Ctrl-C); a run can be resumed",
    TERMINATED: "stopped by SIGTERM; a run can be resumed",
}
_RUN_FAILURES = (ByteMismatchError, DivergenceError, NotFiniteError, WireError)


class CommandFailed(Exception):
    """A command failed with a message for the user and its own exit code.

    Attributes:
        code: the exit code.
        lines: output of the process that caused it, shown above the message.
    """

    def __init__(self, message: str, code: int = FAILED, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code, self.lines = code, tuple(lines)


def print_message(message: str) -> None:
    """Print one line on standard error, after the program's name; what a terminal would obey is escaped."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    print(f"gradwire: {line}", file=sys.stderr, flush=True)


def run_command(command: Callable[[], Any]) -> int:
    """Call a command and return its exit code: the whole number that it returns, else 0, or that of its error.

    Raises:
        Exception: an error that is not meant for the user; with GRADWIRE_DEBUG set, every error.
    """
    try:
        result = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _after_broken_pipe()
    except Exception as error:
        failure = _for_user(error)
        if failure is None or os.environ.get(DEBUG):
            raise
        for line in failure.lines:
            print(f"  {line}", file=sys.stderr)
        print_message(str(failure))
        return failure.code
    return result if isinstance(result, int) else 0


def _for_user(error: Exception) -> CommandFailed | None:
    """The message and exit code of an error that a user can act on; None for any other."""
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, BudgetError):
        return CommandFailed(str(error), BUDGET_SPENT)
    if isinstance(error, GradwireError):
        return CommandFailed(str(error), FAILED if isinstance(error, _RUN_FAILURES) else BAD_INPUT)
    if isinstance(error, MemoryError):
        what = str(error) or "no details"
        return CommandFailed(f"out of memory ({what}): choose a smaller task, dim or codec")
    if type(error).__name__ == "Abort":
        return CommandFailed("aborted", INTERRUPTED)
    return _usage_error(error)


def _usage_error(error: Exception) -> CommandFailed | None:
    """A command line that cannot be parsed, as typer or click reports it."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    message = format_message().rstrip(".")
    return CommandFailed(f"{message[:1].lower()}{message[1:]}{where}", BAD_INPUT)


def _after_broken_pipe() -> int:
    """The reader of our output has exited: print nothing more, and nothing when Python flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED
