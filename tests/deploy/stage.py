"""``gradwire run`` with the fakes in place of server and workers; and what tests need to watch processes."""

import functools
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gradwire.deploy import cli
from gradwire.deploy.commands import run
from gradwire.deploy.run.launch import launch

FAKES = Path(__file__).with_name("fakes.py")
PATIENCE = 300.0  # seconds: only a process that hangs takes so long, on a loaded machine too


def program(fault: str) -> tuple[str, ...]:
    """The command that takes the arguments of ``gradwire server`` and ``gradwire worker``."""
    return (sys.executable, str(FAKES), fault)


class Stage:
    """A running ``gradwire run`` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.children: dict[str, list[int]] = {}
        self._gone: list[int] = []

    def read_until(self, pattern: str, times: int = 1) -> str:
        """Read lines until one matches, for the so-many-th time; notes every child that says its id."""
        for line in self._lines():
            times -= bool(re.search(pattern, line))
            if times == 0:
                return line
        raise AssertionError(f"nothing matched {pattern!r} in:\n{''.join(self.lines)}")

    def await_children(self, count: int = 3) -> None:
        """Read until so many children have said their id."""
        while sum(map(len, self.children.values())) < count:
            self.read_until("process [0-9]+")

    def end(self) -> int:
        """Read to the end; the exit code."""
        for _ in self._lines():
            pass
        return self.process.wait(PATIENCE)

    def assert_nobody_left(self) -> None:
        """Wait until every child is gone; a process that is gone makes its descriptor readable."""
        poll = select.poll()
        for fd in self._gone:
            poll.register(fd, select.POLLIN)
        waiting = set(self._gone)
        while waiting:
            ready = poll.poll(1000 * PATIENCE)
            assert ready, f"{len(waiting)} of {self.children} are still there"
            for fd, _ in ready:
                poll.unregister(fd)
                waiting.discard(fd)

    def close(self) -> None:
        """Leave nothing behind, whatever failed."""
        self.process.kill()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        for fd in self._gone:
            os.close(fd)

    def _lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.lines.append(line)
            said = re.match(r"(server|worker-\d+): process (\d+)$", line)
            if said:
                self.children.setdefault(said[1], []).append(int(said[2]))
                with suppress(ProcessLookupError):  # gone already
                    self._gone.append(os.pidfd_open(int(said[2])))
            yield line


def command(fault: str, *words: str) -> list[str]:
    """``gradwire run`` of four workers in two processes."""
    return [sys.executable, __file__, fault, "run", "--task", "mlp(digits)", "--processes", "2", *words]


@contextmanager
def stage(fault: str, *words: str) -> Iterator[Stage]:
    """Start it, with ``--verbose``; a run that hangs is killed, and its test fails."""
    spoken = command(fault, "--verbose", *words)
    process = subprocess.Popen(spoken, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    staged = Stage(process)
    before = signal.signal(signal.SIGALRM, lambda *_: process.kill())
    signal.alarm(int(PATIENCE))
    try:
        yield staged
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        staged.close()


if __name__ == "__main__":
    run.launch = functools.partial(launch, program=program(sys.argv[1]))
    sys.exit(cli.call(sys.argv[2:]))
