"""Hosts of a measured run, whatever they are made of."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

from gradwire.common.errors import ConfigError
from gradwire.deploy.processes.child import Child
from gradwire.server.interfaces import InterfaceCounters

BENCHMARKING = IPv4Network("198.18.0.0/15")  # RFC 2544: never routed, so it hides no other network
INTERFACE = "eth0"
MAX_HOSTS = 1000  # of workers: a bridge has 1,023 ports


class Host(Protocol):
    """One host, which runs one gradwire process at a time.

    Attributes:
        name: ``server`` or ``worker-0`` …
        address: its IPv4 address.
        child: its process; the events go to the inbox that the network was made with.
    """

    name: str
    address: str
    child: Child

    def carry(self, file: Path, name: str) -> str:
        """Copy a file of this machine to the host, readable by its process alone; returns ``scratch(name)``."""

    def scratch(self, name: str) -> str:
        """A path on the host, for a file or folder that is removed with it; nothing is made there."""

    def counters(self) -> InterfaceCounters:
        """The counters of the host's interface, since it was made."""


@dataclass(frozen=True)
class Hosts:
    """The hosts of a network; they and all that was made for them are removed when the context ends."""

    server: Host
    workers: tuple[Host, ...]

    @property
    def all(self) -> tuple[Host, ...]:
        """Every host, the server first."""
        return (self.server, *self.workers)


class Network(Protocol):
    """Makes hosts: in network namespaces, or in containers."""

    def hosts(self, workers: int) -> AbstractContextManager[Hosts]:
        """A host for the server and one per worker, on their own network."""


def addresses(workers: int) -> tuple[str, tuple[str, ...]]:
    """The server's address and the workers'.

    >>> addresses(2)
    ('198.18.0.1', ('198.18.0.2', '198.18.0.3'))

    Raises:
        ConfigError: more workers than a bridge has ports.
    """
    if not 1 <= workers <= MAX_HOSTS:
        raise ConfigError(
            f"{workers} hosts of workers were asked for, expected 1 to {MAX_HOSTS}: a bridge has 1,023 ports"
        )
    server, *others = (str(BENCHMARKING[1 + i]) for i in range(workers + 1))
    return server, tuple(others)
