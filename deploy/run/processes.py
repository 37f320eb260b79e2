"""One child process: started, listened to, stopped. What it says and does arrives as events in one inbox."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, TypeAlias

# -P: the working folder is no place to import from, as for the `gradwire` script itself.
PROGRAM = (sys.executable, "-P", "-m", "gradwire.deploy.run.child")
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_LINES = 30  # kept of what a child writes to standard error
LAST_WORDS = 5.0  # seconds to read what a dead child has left, whose own children may hold its pipes open
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Said:
    """A line of a child's standard output or error."""

    child: Child
    line: str
    is_error: bool


@dataclass(frozen=True)
class Ended:
    """A child is gone, and everything that it said has arrived; the code is negative where a signal killed it."""

    child: Child
    code: int


@dataclass(frozen=True)
class Signalled:
    """This process was asked to stop."""

    number: int


Event: TypeAlias = Said | Ended | Signalled
Inbox: TypeAlias = "SimpleQueue[Event]"  # the one queue that a signal handler may put into


class Child:
    """A process under supervision; it can be started again after it ended."""

    def __init__(self, name: str, inbox: Inbox, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.restarts = 0
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._inbox = inbox
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def start(self, command: Sequence[str]) -> None:
        """Start it, in a process group of its own, so that Ctrl-C reaches the parent alone."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # never written to: see child.py
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=self._environment,
            process_group=0,
        )
        self._process = process
        readers = [self._reader(process.stdout, False), self._reader(process.stderr, True)]
        threading.Thread(target=self._wait, args=(process, readers), daemon=True).start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; none is sent once it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def _reader(self, stream: IO[str] | None, is_error: bool) -> threading.Thread:
        assert stream is not None
        thread = threading.Thread(target=self._read, args=(stream, is_error), daemon=True)
        thread.start()
        return thread

    def _read(self, stream: IO[str], is_error: bool) -> None:
        with stream:
            for line in stream:
                if is_error:
                    self.last_lines.append(line.rstrip())
                self._inbox.put(Said(self, line.rstrip("\n"), is_error))

    def _wait(self, process: subprocess.Popen[str], readers: list[threading.Thread]) -> None:
        code = process.wait()
        deadline = time.monotonic() + LAST_WORDS
        for reader in readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        assert process.stdin is not None
        process.stdin.close()
        self._inbox.put(Ended(self, code))


def killer(code: int) -> signal.Signals | None:
    """The signal that ended a process: directly, or by way of its handler, which exits with 128 + number."""
    number = -code if code < 0 else code - 128
    if code < 0 or number in STOPPING:
        return signal.Signals(number)
    return None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment_for(processes: int) -> dict[str, str]:
    """The environment of one of so many workers: they share the cores, unless the user has said otherwise."""
    threads = str(max(1, cores() // processes))
    return {**dict.fromkeys(THREADS, threads), **os.environ}


@contextmanager
def signals_into(inbox: Inbox) -> Iterator[None]:
    """While it lasts, the signals that ask this process to stop arrive as events."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]  # nohup; shells that ignore SIGINT for a background job mean the keyboard's
    for number in before:
        signal.signal(number, lambda received, _: inbox.put(Signalled(received)))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
