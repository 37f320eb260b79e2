"""One container as a host, and gradwire's process in it."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from gradwire.bench.hosts.base import INTERFACE
from gradwire.deploy.run.processes import Child, Ended, Inbox, Said
from gradwire.server.interfaces import InterfaceCounters

SCRATCH = PurePosixPath("/tmp")


class ContainerChild(Child):
    """A process in a container."""

    def __init__(
        self, name: str, inbox: Inbox, client: Any, container: str, environment: dict[str, str]
    ) -> None:
        super().__init__(name, inbox, environment)
        self._client, self._container = client, container

    def start(self, command: Sequence[str]) -> None:
        api = self._client.api
        made = api.exec_create(self._container, list(command), environment=self._environment)
        stream = api.exec_start(made["Id"], stream=True, demux=True)
        threading.Thread(target=self._follow, args=(made["Id"], stream), daemon=True).start()

    def _follow(self, process: str, stream: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        """Say lines as they come; then the exit code, or that nobody knows it."""
        try:
            self._read_lines(stream)
            code = self._client.api.exec_inspect(process)["ExitCode"]
        except Exception as error:  # whatever the engine did: somebody waits for the end
            self._say(f"the Docker engine broke off: {type(error).__name__}".encode(), True)
            code = 1
        self._client.close()
        self._inbox.put(Ended(self, code))

    def _read_lines(self, stream: Iterator[tuple[bytes | None, bytes | None]]) -> None:
        pending = [b"", b""]
        for parts in stream:
            for is_error, part in enumerate(parts):
                *lines, pending[is_error] = (pending[is_error] + (part or b"")).split(b"\n")
                for line in lines:
                    self._say(line, bool(is_error))
        for is_error, line in enumerate(pending):
            if line:
                self._say(line, bool(is_error))

    def _say(self, line: bytes, is_error: bool) -> None:
        text = line.decode(errors="replace")
        if is_error:
            self.last_lines.append(text.rstrip())
        self._inbox.put(Said(self, text, is_error))


class ContainerHost:
    """A host that is a container."""

    def __init__(self, name: str, address: str, client: Any, container: str, child: Child) -> None:
        self.name, self.address, self.child = name, address, child
        self._client, self._container = client, container

    def start(self, words: Sequence[str]) -> None:
        self.child.start(("gradwire", *words))

    def kill(self) -> None:
        import docker

        with suppress(docker.errors.NotFound):  # then it took its processes with it
            self._client.api.kill(self._container)  # the engine has no word for one process

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
        """Who gradwire runs as."""
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
