"""What a measured run asks of the hosts that it is spread over, whatever they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

from gradwire.common.errors import ConfigError
from gradwire.deploy.run.processes import Child
from gradwire.server.interfaces import InterfaceCounters

BENCHMARKING = IPv4Network("198.18.0.0/15")  # RFC 2544: nobody's network, so it hides no route of anybody's
INTERFACE = "eth0"
MAX_WORKERS = 1000  # a bridge has 1,023 ports


class Host(Protocol):
    """One host, which runs one gradwire process at a time.

    Attributes:
        name: ``server`` or ``worker-0`` …
        address: its IPv4 address.
        child: the process; what it says and its end arrive in the inbox that the network was made with.
    """

    name: str
    address: str
    child: Child

    def start(self, words: Sequence[str]) -> None:
        """Start ``gradwire`` with these arguments."""

    def kill(self) -> None:
        """Kill the process, if it runs; its end is announced like any other."""

    def carry(self, file: Path, name: str) -> str:
        """Have a file of this machine on the host, readable to its process alone; returns ``scratch(name)``."""

    def scratch(self, name: str) -> str:
        """A path on the host, for a file or folder that is gone with it; nothing is made there."""

    def counters(self) -> InterfaceCounters:
        """Those of the host's interface, since it was made."""


@dataclass(frozen=True)
class Hosts:
    """The hosts of a network: gone, and all that was made for them, when the context ends."""

    server: Host
    workers: tuple[Host, ...]

    @property
    def all(self) -> tuple[Host, ...]:
        """Every host, the server first."""
        return (self.server, *self.workers)


class Network(Protocol):
    """Makes hosts: in network namespaces, or in containers."""

    def hosts(self, workers: int) -> AbstractContextManager[Hosts]:
        """A server's host and so many workers', on a network of their own."""


def addresses(workers: int) -> tuple[str, tuple[str, ...]]:
    """The server's address and the workers'.

    >>> addresses(2)
    ('198.18.0.1', ('198.18.0.2', '198.18.0.3'))

    Raises:
        ConfigError: more workers than a bridge has ports.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise ConfigError(
            f"{workers} hosts of workers were asked for, expected 1 to {MAX_WORKERS}: a bridge has 1,023 ports"
        )
    server, *others = (str(BENCHMARKING[1 + i]) for i in range(workers + 1))
    return server, tuple(others)
