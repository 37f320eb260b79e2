"""Counters of this host's network interfaces, as the kernel keeps them; reading them needs no privilege.

They count whole frames, Ethernet header included (preamble, checksum and gap not), of all programs: in a container or a
network namespace of its own they are the run's; elsewhere they are the machine's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "lo"


@dataclass(frozen=True, slots=True)
class InterfaceCounters:
    """Frames and their bytes since the interfaces were made."""

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
    """The sums over all interfaces but loopback, as a process sees them: this one, or one in another namespace.

    None where there is no procfs.
    """
    try:
        table = Path(f"/proc/{process or 'self'}/net/dev").read_text(encoding="ascii")
    except OSError:
        return None
    return parse_interfaces(table)


def parse_interfaces(table: str) -> InterfaceCounters:
    r"""Read the text of ``/proc/net/dev``: after two lines of titles a line an interface, eight counters each way.

    >>> lines = ["", "", "lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0", "eth0: 74 1 0 0 0 0 0 0 140 2 0 0 0 0 0 0"]
    >>> parse_interfaces("\n".join(lines))
    InterfaceCounters(received_bytes=74, sent_bytes=140, received_packets=1, sent_packets=2)
    """
    rows = [line.partition(":") for line in table.splitlines()[2:]]
    counts = [
        [int(word) for word in numbers.split()] for name, _, numbers in rows if name.strip() != LOOPBACK
    ]
    return InterfaceCounters(*(sum(row[column] for row in counts) for column in (0, 8, 1, 9)))
