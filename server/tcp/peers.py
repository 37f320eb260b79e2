"""The far end of a connection, as gRPC names it and as the kernel does."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import TypeAlias
from urllib.parse import unquote

Peer: TypeAlias = tuple[str, int]


def peer_of_call(text: str) -> Peer | None:
    """The address and port in the name that gRPC gives a call's peer; None where it is no TCP connection.

    >>> peer_of_call("ipv4:10.0.0.7:40312"), peer_of_call("ipv6:%5B::1%5D:40312"), peer_of_call("unix:/run/x")
    (('10.0.0.7', 40312), ('::1', 40312), None)
    """
    kind, _, rest = unquote(text).partition(":")
    host, _, port = rest.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return _plain(host.strip("[]")), int(port)


def parse_peer(raw: bytes) -> Peer | None:
    """The address and port in a sockaddr_in or sockaddr_in6; None for other families.

    >>> parse_peer(struct.pack("=H", socket.AF_INET) + bytes.fromhex("9d780a000007") + bytes(8))
    ('10.0.0.7', 40312)
    """
    if len(raw) < 8:
        return None
    (family,) = struct.unpack_from("=H", raw)
    (port,) = struct.unpack_from("!H", raw, 2)
    if family == socket.AF_INET:
        return _plain(socket.inet_ntop(socket.AF_INET, raw[4:8])), port
    if family == socket.AF_INET6 and len(raw) >= 24:
        return _plain(socket.inet_ntop(socket.AF_INET6, raw[8:24])), port
    return None


def _plain(host: str) -> str:
    """One spelling for each address: an IPv4 address that a listener for IPv6 has mapped is IPv4 again."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
