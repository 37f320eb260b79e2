"""Stopping children: asked first, killed if they do not exit in time."""

from __future__ import annotations

import signal
import time

from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.events import Exited, Inbox, StopRequested, next_event

TICK = 0.2  # seconds between looks at the clock


def stop_children(alive: set[Child], inbox: Inbox, grace: float) -> None:
    """Ask children to exit, kill those that have not after the grace period or at a second signal, and wait for all.

    Args:
        alive: those that run; empty when this returns.
        inbox: where their exits are announced.
        grace: seconds; 0 kills them without asking.
    """
    if grace:
        _send(alive, signal.SIGTERM)
    kill_at, killed = time.monotonic() + grace, False
    while alive:
        if not killed and time.monotonic() >= kill_at:
            _send(alive, signal.SIGKILL)
            killed = True
        event = next_event(inbox, TICK)
        if isinstance(event, Exited):
            alive.discard(event.child)
        elif isinstance(event, StopRequested):
            kill_at = 0.0


def _send(children: set[Child], number: signal.Signals) -> None:
    for child in children:
        child.send(number)
