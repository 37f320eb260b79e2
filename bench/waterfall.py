"""A training's bytes at every layer, from the bits that a codec predicts to the frames that an interface carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gradwire.bench.hosts.training import Trained
from gradwire.common.codecs import parse
from gradwire.common.errors import ByteMismatchError, ConfigError
from gradwire.server.interfaces import InterfaceCounters

FRAME_HEADERS = 14 + 20 + 32  # Ethernet, IPv4, and TCP with timestamps, as Linux sends it
LAYERS = {
    "payload_bits": "payload bits",
    "payload_bytes": "payload bytes",
    "message_bytes": "protobuf bytes",
    "tcp_bytes": "TCP bytes",
    "interface_bytes": "interface bytes",
}
PREDICTED = ("payload_bits", "payload_bytes", "message_bytes")


@dataclass(frozen=True)
class Direction:
    """One direction's cost at the server's end, summed over workers and rounds.

    Attributes:
        payload_bits: as measured, and as predicted; the same is true of payload and message bytes.
        tcp_bytes: TLS, HTTP/2 and gRPC framing included, and what the server sent twice.
        interface_bytes: whole frames, those that acknowledge the other direction's data included.
        interface_packets: their number.
    """

    payload_bits: int
    payload_bytes: int
    message_bytes: int
    tcp_bytes: int
    interface_bytes: int
    interface_packets: int

    def __sub__(self, other: Direction) -> Direction:
        return Direction(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def __add__(self, other: Direction) -> Direction:
        return Direction(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def header_bytes(self) -> int:
        """Headers of the frames, if each were a TCP segment with timestamps and no other option."""
        return FRAME_HEADERS * self.interface_packets

    @property
    def rest_bytes(self) -> int:
        """What that leaves: SYNs carry 8 bytes more, ARP 24 less; selective acknowledgements, and lost segments."""
        return self.interface_bytes - self.tcp_bytes - self.header_bytes

    def to_json(self) -> dict[str, int]:
        """Every number."""
        return {**asdict(self), "header_bytes": self.header_bytes, "rest_bytes": self.rest_bytes}


@dataclass(frozen=True)
class Waterfall:
    """The cost of rounds, and apart from it what a run costs once: joining, the initial model, the end.

    Attributes:
        rounds: how many ``uplink`` and ``downlink`` are of.
        once_uplink: of all workers, in the short training; ``once_downlink`` likewise.
        retransmitted: TCP bytes that the server sent twice in the long training.
        ends_differ_by: interface bytes of the long training, server's end and workers' ends, both ways.
    """

    codec: str
    mode: str
    dim: int
    workers: int
    rounds: int
    uplink: Direction
    downlink: Direction
    once_uplink: Direction
    once_downlink: Direction
    retransmitted: int
    ends_differ_by: int

    def each(self, direction: Direction) -> dict[str, float]:
        """A direction's numbers for one worker and round."""
        share = self.workers * self.rounds
        return {name: value / share for name, value in direction.to_json().items()}

    def to_json(self) -> dict[str, Any]:
        """Totals and shares of both directions."""
        names = ("codec", "dim", "workers", "rounds", "retransmitted", "ends_differ_by")
        about = {name: getattr(self, name) for name in names} | {"downlink_mode": self.mode}
        for name in ("uplink", "downlink"):
            direction: Direction = getattr(self, name)
            about[name] = {
                "total": direction.to_json(),
                "per_worker_and_round": self.each(direction),
                "once": getattr(self, f"once_{name}").to_json(),
            }
        return about


def waterfall(long: Trained, short: Trained) -> Waterfall:
    """The cost of the rounds by which one of two otherwise equal trainings is longer.

    Both leave out joining, which the server counts apart; what the end costs is in both, and cancels out.

    Raises:
        ByteMismatchError: payload bits, payload bytes or protobuf bytes are not those predicted.
        ConfigError: this kernel does not count TCP bytes or frames.
    """
    extra = long.summary["rounds"] - short.summary["rounds"]
    parts = {}
    for name in ("uplink", "downlink"):
        rounds = _direction(long, name) - _direction(short, name)
        own = _scaled(rounds, short.summary["rounds"] / extra)
        parts[name] = rounds
        parts[f"once_{name}"] = _joining(short, name) + _direction(short, name) - own
    summary = long.summary
    return Waterfall(
        codec=summary["codec"],
        mode=summary["downlink_mode"],
        dim=summary["dim"],
        workers=summary["workers"],
        rounds=extra,
        **parts,
        retransmitted=summary["tcp"]["retransmitted"],
        ends_differ_by=_ends_differ_by(long.carried),
    )


def _direction(trained: Trained, name: str) -> Direction:
    """One direction of a training's rounds, and its end.

    Raises:
        ByteMismatchError, ConfigError: see :func:`waterfall`.
    """
    measured, predicted = trained.summary[name], trained.summary["predicted"][name]
    for layer in PREDICTED:
        if measured[layer] != predicted[layer]:
            raise ByteMismatchError(
                f"{trained.summary['codec']}: {measured[layer]:,} {LAYERS[layer]} in the {name}, predicted were "
                f"{predicted[layer]:,}: compression or counting failed, do not trust these numbers"
            )
    if name == "uplink":
        _check_bits(trained.summary)
    if measured["tcp_bytes"] is None or measured["interface_bytes"] is None:
        raise ConfigError("this kernel does not count TCP bytes and frames: measure on Linux 4.19 or newer")
    return Direction(**{f.name: measured[f.name] for f in fields(Direction)})


def _check_bits(summary: Mapping[str, Any]) -> None:
    """Check that every push has exactly its codec's bits, computed here and not by the server."""
    codec = parse(summary["codec"], summary["dim"])
    expected = codec.nbits * summary["workers"] * summary["rounds"]
    measured = summary["uplink"]["payload_bits"]
    if codec.fixed_length and measured != expected:
        raise ByteMismatchError(
            f"{codec.spec}: {measured:,} payload bits in the uplink, expected {codec.nbits:,} of each of "
            f"{summary['workers']} workers in {summary['rounds']} rounds: {expected:,}"
        )


def _joining(trained: Trained, name: str) -> Direction:
    measured = trained.summary[name]
    layers = (measured[f"{f.name}_joining"] for f in fields(Direction)[len(PREDICTED) :])
    return Direction(0, 0, 0, *layers)


def _scaled(direction: Direction, share: float) -> Direction:
    return Direction(*(round(share * getattr(direction, f.name)) for f in fields(Direction)))


def _ends_differ_by(carried: Mapping[str, InterfaceCounters]) -> int:
    """Bytes at the server's interface that were not at the workers', or the other way round."""
    workers = [counters for host, counters in carried.items() if host != "server"]
    up = carried["server"].received_bytes - sum(counters.sent_bytes for counters in workers)
    down = carried["server"].sent_bytes - sum(counters.received_bytes for counters in workers)
    return abs(up) + abs(down)
