"""A container as a host, and the gradwire process in it."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from signal import Signals
from typing import Any

from gradwire.bench.hosts.base import INTERFACE
from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.events import Exited, Inbox
from gradwire.server.interfaces import InterfaceCounters

SCRATCH = PurePosixPath("/tmp")


class ContainerChild(Child):
    """A process in a container.

    Args:
        client: of the Docker engine, for this process alone; closed when it exits.
        container: its id.
    """

    def __init__(
        self, name: str, inbox: Inbox, client: Any, container: str, environment: dict[str, str]
    ) -> None:
        super().__init__(name, inbox, ("gradwire",), environment)
        self._client, self._container = client, container

    def start(self, arguments: Sequence[str]) -> None:
        api, command = self._client.api, [*self._program, *arguments]
        made = api.exec_create(self._container, command, environment=self._environment)
        stream = api.exec_start(made["Id"], stream=True, demux=True)
        threading.Thread(target=self._follow, args=(made["Id"], stream), daemon=True).start()

    def send(self, number: Signals) -> None:
        """Kill the container with all its processes, whatever the signal: the engine cannot signal one of them."""
        import docker

        with suppress(docker.errors.NotFound):  # removed already, and its processes with it
            self._client.api.kill(self._container)

    def _follow(self, process: str, stream: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        """Announce lines as they come; then the exit code, or 1 where the engine fails."""
        try:
            self._read_chunks(stream)
            code = self._client.api.exec_inspect(process)["ExitCode"]
        except Exception as error:  # whatever the engine did: the supervisor waits for an exit
            self.announce(f"the Docker engine broke off: {type(error).__name__}", True)
            code = 1
        self._client.close()
        self._inbox.put(Exited(self, code))

    def _read_chunks(self, stream: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        pending = [b"", b""]
        for parts in stream:
            for is_error, part in enumerate(parts):
                *lines, pending[is_error] = (pending[is_error] + (part or b"")).split(b"\n")
                for line in lines:
                    self.announce(line.decode(errors="replace"), bool(is_error))
        for is_error, line in enumerate(pending):
            if line:
                self.announce(line.decode(errors="replace"), bool(is_error))


class ContainerHost:
    """A host that is a container."""

    def __init__(self, name: str, address: str, client: Any, container: str, child: Child) -> None:
        self.name, self.address, self.child = name, address, child
        self._client, self._container = client, container

    def carry(self, file: Path, name: str) -> str:
        archive, user = io.BytesIO(), self._user()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for folder in reversed(PurePosixPath(name).parents[:-1]):
                tar.addfile(_owned(tarfile.TarInfo(str(folder)), tarfile.DIRTYPE, user))
            entry = _owned(tarfile.TarInfo(name), tarfile.REGTYPE, user)
            content = file.read_bytes()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        self._client.api.put_archive(self._container, str(SCRATCH), archive.getvalue())
        return self.scratch(name)

    def _user(self) -> tuple[int, int]:
        """User and group of the container's processes."""
        user, _, group = self._client.api.inspect_container(self._container)["Config"]["User"].partition(":")
        return int(user or 0), int(group or user or 0)

    def scratch(self, name: str) -> str:
        return str(SCRATCH / name)

    def counters(self) -> InterfaceCounters:
        carried = self._client.api.stats(self._container, stream=False, one_shot=True)["networks"][INTERFACE]
        return InterfaceCounters(
            *(carried[name] for name in ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"))
        )


def _owned(entry: tarfile.TarInfo, kind: bytes, user: tuple[int, int]) -> tarfile.TarInfo:
    entry.type, (entry.uid, entry.gid) = kind, user
    entry.mode = 0o700 if kind == tarfile.DIRTYPE else 0o600
    return entry
