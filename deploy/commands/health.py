"""Check whether a server listens on this host: for containers.

Examples:
    gradwire health --port 50051
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError
from gradwire.deploy.exit_codes import FAILED, print_message
from gradwire.deploy.options import PORT

# The TCP sockets of this network namespace, of all users.
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"  # TCP_LISTEN in <net/tcp_states.h>


def health(
    port: Annotated[int, typer.Option(help="Port of the server.", min=1, max=65535)] = PORT,
) -> int:
    """Exit with 0 when a server listens on this host's port, with 1 when none does.

    Reads the kernel's table of sockets and opens no connection: a connection would need a certificate, and its bytes
    would count among those that the server measures. The server listens once its log is open and its certificates
    are read.
    """
    if port in listening_ports():
        return 0
    print_message(f"no process listens on port {port} of this host")
    return FAILED


def listening_ports() -> frozenset[int]:
    """The TCP ports in this network namespace on which a process listens.

    Raises:
        ConfigError: this system has no such table (it is not Linux).
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
