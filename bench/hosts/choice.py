"""The hosts and links that a command line asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gradwire.bench.hosts.base import Network
from gradwire.bench.hosts.images import Images, build, connect
from gradwire.bench.hosts.namespaces import Namespaces, require_programs
from gradwire.bench.hosts.rates import Rate, parse_rate
from gradwire.common.errors import ConfigError
from gradwire.deploy.processes.events import Inbox


class HostKind(StrEnum):
    """Kinds of hosts."""

    NETNS = "netns"
    DOCKER = "docker"


@dataclass(frozen=True)
class Choice:
    """Hosts of a kind, ready to be made.

    Attributes:
        images: of containers; None for namespaces.
    """

    kind: HostKind
    images: Images | None = None

    def network(self, inbox: Inbox, rate: Rate | None = None, server_rate: Rate | None = None) -> Network:
        """Hosts whose processes' events go to that inbox."""
        if self.images is None:
            return Namespaces(inbox, rate, server_rate)
        from gradwire.bench.hosts.containers import Containers

        data = os.environ.get("GRADWIRE_DATA")
        return Containers(inbox, self.images, Path(data).absolute() if data else None)


def choose(kind: HostKind, image: str | None = None) -> Choice:
    """Check that hosts of a kind can be made here, and build the images of containers unless one is named.

    Raises:
        ConfigError: they cannot.
    """
    if kind is HostKind.NETNS:
        require_programs()
        return Choice(kind)
    client = connect()
    try:
        return Choice(kind, build(client) if image is None else Images(image, image))
    finally:
        client.close()


def rate_for(kind: HostKind, text: str | None) -> Rate | None:
    """Read a link's rate, where one was given.

    Raises:
        ConfigError: not a rate, or hosts whose links are not shaped.
    """
    if text is not None and kind is not HostKind.NETNS:
        raise ConfigError(
            "only links of network namespaces are shaped: leave the rate out, or use --hosts netns"
        )
    return None if text is None else parse_rate(text)
