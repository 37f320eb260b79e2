"""Why a measurement ended before its time."""

from __future__ import annotations

from collections.abc import Sequence
from signal import Signals

from gradwire.deploy.exit_codes import FAILED
from gradwire.deploy.run.processes import Inbox, Signalled


class TrainingFailed(Exception):
    """A process ended before its time, or somebody asked for the end; the message is for the user.

    Attributes:
        lines: the last lines of the process to blame.
    """

    def __init__(self, message: str, code: int = FAILED, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code, self.lines = code, tuple(lines)


def stopped_by(signalled: Signalled) -> TrainingFailed:
    """The end that a signal asks for."""
    return TrainingFailed(f"stopped by {Signals(signalled.number).name}", 128 + signalled.number)


def heed_signals(inbox: Inbox) -> None:
    """Between steps that take their time, before any process speaks: raise if a signal has come.

    Raises:
        TrainingFailed: it has.
    """
    while not inbox.empty():
        event = inbox.get()
        if isinstance(event, Signalled):
            raise stopped_by(event)
