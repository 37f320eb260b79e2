"""``python -m gradwire.bench.hosts.segments eth0``: make an interface send real packets, of one segment each.

A virtual interface is handed up to 64 KiB at once, with one header, for hardware that would cut it up; its counters
then leave out most of the headers that a real link carries. Needs CAP_NET_ADMIN in the interface's namespace.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
import sys

SIOCETHTOOL = 0x8946  # linux/sockios.h
SWITCHES = {"tcp segmentation": 0x1F, "segmentation": 0x24}  # ETHTOOL_STSO, ETHTOOL_SGSO of linux/ethtool.h


def send_single_segments(interface: str) -> None:
    """Turn segmentation offload off.

    Raises:
        OSError: no such interface, or no right to do so.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in SWITCHES.values():
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0))  # struct ethtool_value: off
            request = struct.pack("16sP", interface.encode(), ctypes.addressof(value))  # struct ifreq
            fcntl.ioctl(control, SIOCETHTOOL, request)


if __name__ == "__main__":
    send_single_segments(sys.argv[1])
