"""How the processes of a training connect: with certificates, as users' do, or in plaintext."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gradwire.bench.hosts.base import Host, Hosts
from gradwire.bench.hosts.scratch import scratch
from gradwire.common.transport.tls import SERVER_FILE, WORKER_FOLDER
from gradwire.deploy.certificates import Existing, make_certificates


class Links(Protocol):
    """Arguments of the commands that connect."""

    def server(self, host: Host) -> Sequence[str]:
        """For ``gradwire server`` on its host."""

    def worker(self, host: Host) -> Sequence[str]:
        """For ``gradwire worker`` on one of theirs."""


class Plaintext:
    """No TLS: nobody else is on the hosts' network."""

    def server(self, host: Host) -> Sequence[str]:
        return ("--insecure",)

    def worker(self, host: Host) -> Sequence[str]:
        return ("--insecure",)


@dataclass(frozen=True)
class Certified:
    """Mutual TLS; each host gets its own certificate and no other.

    Attributes:
        folder: of ``gradwire certs``.
    """

    folder: Path

    def server(self, host: Host) -> Sequence[str]:
        host.carry(self.folder / SERVER_FILE, f"certs/{SERVER_FILE}")
        return ("--certs", host.scratch("certs"))

    def worker(self, host: Host) -> Sequence[str]:
        return ("--cert", host.carry(self.folder / WORKER_FOLDER / f"{host.name}.pem", "own.pem"))


@contextmanager
def links_for(hosts: Hosts, *, plaintext: bool) -> Iterator[Links]:
    """Certificates for these hosts, removed at the end; or plaintext.

    Raises:
        ConfigError: certificates cannot be made.
    """
    if plaintext:
        yield Plaintext()
        return
    with scratch("certs") as folder:
        names = [host.name for host in hosts.workers]
        make_certificates(folder, [hosts.server.address], names, days=1, existing=Existing.REFUSE)
        yield Certified(folder)
