"""``gradwire health``: whether a server is up, for engines that ask again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError
from gradwire.deploy.exit_codes import FAILED, complain

_TABLES = (
    Path("/proc/net/tcp"),
    Path("/proc/net/tcp6"),
)  # of this network namespace, whoever owns the sockets
_LISTEN = "0A"  # TCP_LISTEN in <net/tcp_states.h>


def health(
    port: Annotated[int, typer.Option(help="Port of the server.", min=1, max=65535)] = 50051,
) -> int:
    """Exit with 0 when a server listens on this host's port, with 1 when none does.

    It asks the kernel and opens no connection: one would have to bear a certificate, and its bytes would count among
    those that the server measures. The server listens once its log is open and its certificates are read.
    """
    if port in listening_ports():
        return 0
    complain(f"nobody listens on port {port} of this host")
    return FAILED


def listening_ports() -> frozenset[int]:
    """The TCP ports that somebody listens on in this network namespace.

    Raises:
        ConfigError: this system does not tell (it is not Linux).
    """
    try:
        return frozenset(port for table in _TABLES if table.exists() for port in _ports(table.read_text()))
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error


def _ports(table: str) -> Iterator[int]:
    """The listening ports in the text of /proc/net/tcp: `` 0: 0100007F:C383 00000000:0000 0A …``."""
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == _LISTEN:
            yield int(local.rpartition(":")[2], 16)
