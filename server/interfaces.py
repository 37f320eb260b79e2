"""Bytes and packets of this host's network interfaces: the kernel's own counters, no privilege.

They count whole frames, with the Ethernet header but without preamble, checksum and gap, of all processes. On a host,
container or network namespace that runs this process alone they are the run's; elsewhere they are the machine's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "lo"


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """Frames and their bytes since the interfaces were created."""

    received_bytes: int
    sent_bytes: int
    received_packets: int
    sent_packets: int

    def __sub__(self, earlier: InterfaceCounters) -> InterfaceCounters:
        return InterfaceCounters(
            self.received_bytes - earlier.received_bytes,
            self.sent_bytes - earlier.sent_bytes,
            self.received_packets - earlier.received_packets,
            self.sent_packets - earlier.sent_packets,
        )


def read_interfaces(process: int | None = None) -> InterfaceCounters | None:
    """The sums over all interfaces but loopback; None where there is no procfs.

    ``process`` may be one in another network namespace; None is this process.
    """
    try:
        table = Path(f"/proc/{process or 'self'}/net/dev").read_text(encoding="ascii")
    except OSError:
        return None
    return parse_interfaces(table)


def parse_interfaces(table: str) -> InterfaceCounters:
    r"""Parse ``/proc/net/dev``: after two header lines, one line per interface with eight counters per direction.

    >>> lines = ["", "", "lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0", "eth0: 74 1 0 0 0 0 0 0 140 2 0 0 0 0 0 0"]
    >>> parse_interfaces("\n".join(lines))
    InterfaceCounters(received_bytes=74, sent_bytes=140, received_packets=1, sent_packets=2)
    """
    rows = [line.partition(":") for line in table.splitlines()[2:]]
    counts = [
        [int(word) for word in numbers.split()] for name, _, numbers in rows if name.strip() != LOOPBACK
    ]
    return InterfaceCounters(*(sum(row[column] for row in counts) for column in (0, 8, 1, 9)))
