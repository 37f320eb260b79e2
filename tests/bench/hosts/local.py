"""Hosts without a network of their own: processes of this machine on loopback, with counters that a test sets."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gradwire.bench.hosts.base import Hosts
from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.cores import worker_environment
from gradwire.deploy.processes.events import Inbox
from gradwire.server.interfaces import InterfaceCounters


class RecordedChild(Child):
    """Remembers what it was started with."""

    started: tuple[str, ...] = ()

    def start(self, arguments: Sequence[str]) -> None:
        self.started = tuple(arguments)
        super().start(arguments)


class LocalHost:
    """Its interface carries 1,000 bytes and 10 packets each way between two readings."""

    def __init__(self, name: str, folder: Path, inbox: Inbox, program: tuple[str, ...], workers: int) -> None:
        self.name, self.address = name, "127.0.0.1"
        self.child = RecordedChild(name, inbox, program, worker_environment(workers))
        self._folder, self._readings = folder, 0

    def carry(self, file: Path, name: str) -> str:
        return str(file)

    def scratch(self, name: str) -> str:
        (self._folder / self.name).mkdir(exist_ok=True)
        return str(self._folder / self.name / name)

    def counters(self) -> InterfaceCounters:
        self._readings += 1
        return InterfaceCounters(
            1000 * self._readings, 1000 * self._readings, 10 * self._readings, 10 * self._readings
        )


@dataclass
class LocalNetwork:
    """Remembers the hosts that it made."""

    inbox: Inbox
    folder: Path
    program: tuple[str, ...]
    made: Hosts | None = None
    torn_down: bool = False

    @contextmanager
    def hosts(self, workers: int) -> Iterator[Hosts]:
        names = ["server", *(f"worker-{i}" for i in range(workers))]
        server, *others = (LocalHost(name, self.folder, self.inbox, self.program, workers) for name in names)
        self.made = Hosts(server, tuple(others))
        try:
            yield self.made
        finally:
            self.torn_down = True
