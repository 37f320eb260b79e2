"""Which TCP connections a meter counts: those to a port of ours, or those to a peer."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gradwire.common.transport.address import is_loopback
from gradwire.server.tcp.info import Endpoint


@dataclass(frozen=True, slots=True)
class TcpRule:
    """Either ``local_port``, where this process listens, or a peer's host and port."""

    local_port: int = 0
    peer_host: str = ""
    peer_port: int = 0

    @property
    def port(self) -> int:
        """The port that marks the connections, at whichever end."""
        return self.local_port or self.peer_port

    def counts(self, local: Endpoint, peer: Endpoint) -> bool:
        """Whether a connection with these ends is meant."""
        if self.local_port:
            return local.port == self.local_port
        return peer.port == self.peer_port and _may_be_at(self.peer_host, peer.host)


def tcp_rule(local_port: int | None, peer: tuple[str, int] | None) -> TcpRule:
    """The rule for one of the two, as :meth:`TcpMeter.observe` takes them."""
    if local_port and peer is None:
        return TcpRule(local_port=local_port)
    if local_port is None and peer is not None and peer[1]:
        return TcpRule(peer_host=peer[0], peer_port=peer[1])
    raise ValueError("observe either local_port=PORT or peer=(HOST, PORT), with a port that is not 0")


def _may_be_at(host: str, address: str) -> bool:
    """Whether a connection to ``host`` may have ``address`` as its peer; a name may, as it is not resolved here."""
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return not is_loopback(host) or is_loopback(address)
    if literal.is_unspecified:  # Linux connects 0.0.0.0 to itself
        return is_loopback(address)
    mapped = literal.ipv4_mapped if isinstance(literal, ipaddress.IPv6Address) else None
    return str(mapped or literal) == address
