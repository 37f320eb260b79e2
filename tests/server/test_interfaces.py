"""Interface counters from procfs."""

import os
from pathlib import Path

from gradwire.server.interfaces import InterfaceCounters, parse_interfaces, read_interfaces

TABLE = """\
Inter-|   Receive                            |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:     700       7    0    0    0     0    0    0      700       7    0    0    0     0    0    0
  eth0:23538264   18924    1    2    3     4    5    6 20137778   15785    7    8    9    10   11   12
wlan-a: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
"""


def test_sum_over_interfaces_but_loopback() -> None:
    assert parse_interfaces(TABLE) == InterfaceCounters(23538265, 20137781, 18926, 15789)


def test_loopback_alone() -> None:
    assert parse_interfaces("\n".join(TABLE.splitlines()[:3])) == InterfaceCounters(0, 0, 0, 0)


def test_differences() -> None:
    assert InterfaceCounters(9, 8, 7, 6) - InterfaceCounters(1, 2, 3, 4) == InterfaceCounters(8, 6, 4, 2)


def test_own_namespace() -> None:
    before, ours, after = read_interfaces(), read_interfaces(os.getpid()), read_interfaces()
    if not Path("/proc/self/net/dev").exists():
        assert before is ours is after is None
        return
    assert before is not None and ours is not None and after is not None
    assert before.received_bytes <= ours.received_bytes <= after.received_bytes


def test_ended_process_has_no_counters() -> None:
    assert read_interfaces(2**22 + 1) is None
