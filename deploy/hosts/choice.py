"""Which kind of hosts, as a command line says it."""

from __future__ import annotations

from enum import StrEnum

from gradwire.common.errors import ConfigError
from gradwire.deploy.hosts.base import Network
from gradwire.deploy.hosts.rates import Rate, parse_rate
from gradwire.deploy.processes import Inbox


class HostKind(StrEnum):
    """What hosts are made of."""

    NETNS = "netns"
    DOCKER = "docker"


def network(
    kind: HostKind, inbox: Inbox, rate: Rate | None = None, server_rate: Rate | None = None
) -> Network:
    """Hosts of that kind, whose processes speak into that inbox.

    Raises:
        ConfigError: they cannot be had here, or not at that rate.
    """
    if kind is HostKind.NETNS:
        from gradwire.deploy.hosts.namespaces import Namespaces

        return Namespaces(inbox, rate, server_rate)
    raise ConfigError("containers are not built yet: use --hosts netns")


def rate_or_none(text: str | None) -> Rate | None:
    """Read a rate where one was given."""
    return None if text is None else parse_rate(text)
