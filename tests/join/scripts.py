"""Programs of users as real processes, which a test steps through and kills."""

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.system.harness import TIMEOUT

ROOT = Path(__file__).parents[2]

# What every script has at hand: `note` tells the test something, `await_go` waits until it says so.
PRELUDE = """
import json, os, signal, sys
import numpy as np
import gradwire
ADDRESS = sys.argv[1]

def note(what, **fields):
    os.write(1, (json.dumps({"note": what, **fields}) + "\\n").encode())

def await_go():
    line = sys.stdin.readline()
    assert line, "the test has ended"

def joined(run):
    note("joined", wire=run._link.pid, name=run.name, round=run.round, rounds=run.rounds)
    return run

"""


class Script:
    """A running program; leaving the ``with`` block kills what is left of it."""

    def __init__(self, text: str, address: str, *flags: str, own_group: bool = False, **env: str) -> None:
        """Start it.

        Args:
            text: follows ``PRELUDE``.
            address: of the server.
            flags: of Python, such as ``-W error``.
            own_group: whether it has a process group of its own, to which a terminal's Ctrl-C would go.
            env: more of its environment.
        """
        self.process = subprocess.Popen(
            [sys.executable, *flags, "-c", PRELUDE + text, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            # The command line's silence of gRPC is not a program's.
            env={k: v for k, v in os.environ.items() if k != "GRPC_VERBOSITY"} | env,
            process_group=0 if own_group else None,
        )
        self.pid = self.process.pid
        self.notes: list[dict[str, Any]] = []
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._other: list[str] = []
        self._errors: list[str] = []
        self.wires: list[int] = []  # descriptors by which the end of its wire processes is noticed
        self._readers = [threading.Thread(target=read) for read in (self._read_notes, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read_notes(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith('{"note"'):
                self._queue.put(json.loads(line))
            else:
                self._other.append(line)
        self._queue.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    def __enter__(self) -> "Script":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for wire in self.wires:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(wire, signal.SIGKILL)
            os.close(wire)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is self.process.stdin and stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        for reader in self._readers:
            reader.join(TIMEOUT)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    # ---- what it does --------------------------------------------------------------------------------------

    def wait(self, what: str) -> dict[str, Any]:
        """Wait for its next note of that name; earlier ones are passed over."""
        while True:
            note = self._queue.get(timeout=TIMEOUT)
            assert note is not None, f"ended without the note {what!r}: {self.errors()}"
            self.notes.append(note)
            if note["note"] == "joined":
                with contextlib.suppress(ProcessLookupError):
                    self.wires.append(os.pidfd_open(note["wire"]))
            if note["note"] == what:
                return note

    def go(self) -> None:
        """Let its next ``await_go`` return."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Wait until it has ended, and its wire processes with it; the exit code."""
        code = self.process.wait(TIMEOUT)
        while (note := self._queue.get(timeout=TIMEOUT)) is not None:
            self.notes.append(note)
        for wire in self.wires:
            ended, _, _ = select.select([wire], [], [], TIMEOUT)
            assert ended, "the wire process outlives its program"
        return code

    def errors(self) -> str:
        """All that it wrote to standard error, once it has ended."""
        self._readers[1].join(TIMEOUT)
        return "".join(self._errors)

    def printed(self) -> str:
        """All that it wrote to standard output besides notes, once it has ended."""
        self._readers[0].join(TIMEOUT)
        return "".join(self._other)

    def noted(self, what: str) -> list[dict[str, Any]]:
        """Its notes of that name, once it has ended."""
        return [note for note in self.notes if note["note"] == what]
