"""From a measurement over hosts to an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from gradwire.bench.hosts.failure import TrainingFailed
from gradwire.deploy.exit_codes import print_message
from gradwire.deploy.run.processes import Inbox, signals_into


@contextmanager
def measuring() -> Iterator[Inbox]:
    """An inbox for a network's processes, and for the signals that ask this process to stop."""
    inbox: Inbox = SimpleQueue()
    with signals_into(inbox):
        yield inbox


def concluded(measure: Callable[[], None]) -> int:
    """Carry a measurement out; 0, or the exit code of what ended it, which is told in a line."""
    try:
        measure()
    except TrainingFailed as failure:
        for line in failure.lines:
            print(f"  {line}", file=sys.stderr)
        print_message(str(failure))
        return failure.code
    return 0
