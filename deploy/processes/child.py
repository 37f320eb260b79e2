"""One child process: started, read, sent signals. Its output and its exit arrive as events in an inbox."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO

from gradwire.deploy.processes.events import Exited, Inbox, OutputLine

# -P: modules are not imported from the working folder, as with the `gradwire` script itself.
PROGRAM = (sys.executable, "-P", "-m", "gradwire.deploy.processes.die_with_parent")
LAST_LINES = 30  # kept of a child's standard error
DRAIN_SECONDS = 5.0  # to read what an exited child has written: its own children may hold the pipes open


class Child:
    """A ``gradwire`` process; it can be started again after it exited.

    Args:
        name: ``server`` or ``worker-0`` …
        inbox: where its events go.
        program: the command that takes the arguments of ``gradwire``.
        environment: None for this process's own.
    """

    def __init__(
        self,
        name: str,
        inbox: Inbox,
        program: Sequence[str] = PROGRAM,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._inbox = inbox
        self._program, self._environment = tuple(program), environment
        self._process: subprocess.Popen[str] | None = None

    def start(self, arguments: Sequence[str]) -> None:
        """Start it, in its own process group, so that Ctrl-C reaches only the parent."""
        process = subprocess.Popen(
            (*self._program, *arguments),
            stdin=subprocess.PIPE,  # never written to: see die_with_parent.py
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

    @property
    def pid(self) -> int | None:
        """Its process id; None before it was started."""
        return None if self._process is None else self._process.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal; none is sent once it has exited."""
        if self._process is not None:
            self._process.send_signal(number)

    def announce(self, line: str, is_error: bool) -> None:
        """Put a line of output into the inbox."""
        if is_error:
            self.last_lines.append(line.rstrip())
        self._inbox.put(OutputLine(self, line, is_error))

    def _reader(self, stream: IO[str] | None, is_error: bool) -> threading.Thread:
        assert stream is not None
        thread = threading.Thread(target=self._read, args=(stream, is_error), daemon=True)
        thread.start()
        return thread

    def _read(self, stream: IO[str], is_error: bool) -> None:
        with stream:
            for line in stream:
                self.announce(line.rstrip("\n"), is_error)

    def _wait(self, process: subprocess.Popen[str], readers: list[threading.Thread]) -> None:
        code = process.wait()
        deadline = time.monotonic() + DRAIN_SECONDS
        for reader in readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        assert process.stdin is not None
        process.stdin.close()
        self._inbox.put(Exited(self, code))
