"""What can happen to child processes, and to this one: events in one inbox, handled by one thread."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from gradwire.deploy.processes.child import Child

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class OutputLine:
    """A line of a child's standard output or error."""

    child: Child
    line: str
    is_error: bool


@dataclass(frozen=True)
class Exited:
    """A child has exited, and all of its output has arrived; the code is negative where a signal killed it."""

    child: Child
    code: int


@dataclass(frozen=True)
class StopRequested:
    """A signal asked this process to stop."""

    number: int


Event: TypeAlias = OutputLine | Exited | StopRequested
Inbox: TypeAlias = "SimpleQueue[Event]"  # the one queue that a signal handler may put into


@contextmanager
def inbox_with_signals() -> Iterator[Inbox]:
    """An inbox; as long as the context lasts, signals that ask this process to stop arrive in it."""
    inbox: Inbox = SimpleQueue()
    before = {number: signal.getsignal(number) for number in STOPPING}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        # nohup. SIGINT is taken even where it is ignored: shells do that to background jobs, because of the keyboard.
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, lambda received, _: inbox.put(StopRequested(received)))
    try:
        yield inbox
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def next_event(inbox: Inbox, seconds: float) -> Event | None:
    """The next event; None where none arrives in that time."""
    try:
        return inbox.get(timeout=seconds)
    except Empty:
        return None


def killing_signal(code: int) -> signal.Signals | None:
    """The signal that ended a process: directly, or through its handler, which exits with 128 + number."""
    number = -code if code < 0 else code - 128
    if code < 0 or number in STOPPING:
        return signal.Signals(number)
    return None
