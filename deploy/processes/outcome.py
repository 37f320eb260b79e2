"""How a run of several processes ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from signal import Signals
from typing import Any

from gradwire.deploy.exit_codes import FAILED, CommandFailed
from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.events import Inbox, StopRequested


class RunEnded(CommandFailed):
    """A run ended before it was finished.

    Attributes:
        resumable: nothing is wrong with the run itself: started again, it goes on.
    """

    def __init__(
        self, message: str, code: int = FAILED, lines: Sequence[str] = (), *, resumable: bool = False
    ) -> None:
        super().__init__(message, code, lines)
        self.resumable = resumable


@dataclass
class Outcome:
    """What came of a run; after a failed check there are both a summary and a failure."""

    summary: dict[str, Any] | None = None
    failure: RunEnded | None = None
    restarts: dict[str, int] = field(default_factory=dict)


def stopped_by(request: StopRequested) -> RunEnded:
    """The end that a signal asks for."""
    return RunEnded(f"stopped by {Signals(request.number).name}", 128 + request.number, resumable=True)


def raise_if_stopped(inbox: Inbox) -> None:
    """Check for signals between slow steps, before any child runs.

    Raises:
        RunEnded: one has arrived.
    """
    while not inbox.empty():
        event = inbox.get()
        if isinstance(event, StopRequested):
            raise stopped_by(event)


def exited_with(child: Child, code: int) -> RunEnded:
    """The end that a child's error brings: its own message where it printed one, else its last lines."""
    last = child.last_lines[-1] if child.last_lines else ""
    if last.startswith("gradwire: "):
        source = "" if child.name == "server" else f"{child.name}: "
        return RunEnded(source + last.removeprefix("gradwire: "), code)
    return RunEnded(f"{child.name} exited with code {code}", FAILED, tuple(child.last_lines))
