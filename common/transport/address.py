"""Addresses as users write them (``HOST:PORT``), and where plaintext is allowed.

Nothing here resolves a name: its address may change between this check and the connection, so only literal loopback
addresses and ``localhost`` count as loopback.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from gradwire.common.errors import ConfigError

MAX_PORT = 65535
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_EXPECTED = "expected HOST:PORT, such as 127.0.0.1:50051, [::1]:50051 or server.example:50051"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens or is reached: a host (without brackets) and a TCP port."""

    host: str
    port: int

    @property
    def target(self) -> str:
        """The spelling that gRPC takes: an IPv6 host is in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.target


def parse_address(text: str, *, any_port: bool = False) -> Address:
    """Read ``HOST:PORT``; an IPv6 host is in brackets.

    Args:
        text: what the user wrote.
        any_port: allow port 0, "a free port", which is of use for listening alone.

    Raises:
        ConfigError: not an address; the message names the part and what was expected.

    >>> parse_address("[::1]:50051")
    Address(host='::1', port=50051)
    """
    bracketed = re.fullmatch(r"\[(?P<host>[^\[\]]*)\]:(?P<port>[^:]*)", text)
    plain = re.fullmatch(r"(?P<host>[^:\[\]]*):(?P<port>[^:]*)", text)
    match = bracketed or plain
    if match is None:
        raise ConfigError(f"address {_quoted(text)} is not an address: {_EXPECTED}{_hint(text)}")
    host, port = match["host"], _port(text, match["port"], any_port=any_port)
    if bracketed and not _is_ip(host, 6):
        raise ConfigError(f"host {_quoted(host)} in brackets is no IPv6 address: {_EXPECTED}")
    if plain and not (_is_ip(host, 4) or _is_name(host)):
        raise ConfigError(f"host {_quoted(host)} is neither an IPv4 address nor a host name: {_EXPECTED}")
    return Address(host, port)


def is_host(text: str) -> bool:
    """Whether ``text`` is a host name or a literal IP address (without brackets), and nothing else.

    >>> is_host("server.example"), is_host("::1"), is_host("127.0.0.1:50051")
    (True, True, False)
    """
    return _is_ip(text, 4) or _is_ip(text, 6) or _is_name(text)


def is_loopback(host: str) -> bool:
    """Whether connections to ``host`` cannot leave this machine, by its spelling alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::ffff:127.0.0.1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback  # IPv6Address.is_loopback is False for mapped ones
    return address.is_loopback


def require_protected(address: Address, *, tls: bool, insecure: bool) -> str | None:
    """Allow plaintext on loopback alone, unless the user passed ``--insecure``.

    Returns a warning to show when plaintext was asked for and leaves this machine, else None.

    Raises:
        ConfigError: plaintext on another address without ``--insecure``, or both TLS and ``--insecure``.
    """
    if tls and insecure:
        raise ConfigError("--insecure and certificates contradict each other: give one of them")
    if not (tls or insecure or is_loopback(address.host)):
        raise ConfigError(
            f"{address} is not loopback and TLS is off: give certificates (`gradwire certs` makes them), "
            "or --insecure to send everything in plaintext"
        )
    if tls or is_loopback(address.host):
        return None
    return f"{address} is plaintext: everyone on the way can read and change what is sent, and join under any name"


def _port(text: str, digits: str, *, any_port: bool) -> int:
    lowest = 0 if any_port else 1
    # isascii: int() would also read other scripts' digits
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and lowest <= int(digits) <= MAX_PORT:
        return int(digits)
    raise ConfigError(f"port {_quoted(digits)} in address {_quoted(text)}: expected {lowest} to {MAX_PORT}")


def _is_ip(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    # A name whose last label is a number would be read by some resolvers as a short IPv4 address (127.1).
    return len(host) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def _hint(text: str) -> str:
    if "://" in text:
        return " (without a scheme)"
    if text.count(":") > 1 and "[" not in text:
        return " (an IPv6 address stands in brackets)"
    return "" if ":" in text else " (the port is missing)"


def _quoted(text: str) -> str:
    """Short, printable and on one line."""
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:76]}...'"
