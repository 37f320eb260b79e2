"""The waterfall as a table: a row for each codec and direction, a column for each layer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gradwire.bench.waterfall import LAYERS, Waterfall
from gradwire.deploy.tables import plain_table, print_plain
from gradwire.deploy.units import human

NOTE = (
    "Per worker and round. Payload bits, payload bytes and protobuf bytes are as predicted. TCP bytes hold TLS, "
    "HTTP/2 and gRPC framing; interface bytes also headers of Ethernet, IP and TCP, and the other direction's "
    "acknowledgements."
)


def print_waterfalls(console: Console, rows: Sequence[Waterfall]) -> None:
    """Print them, with what a run costs once below."""
    print_plain(console, table_of(rows), NOTE, *map(once, rows))


def table_of(rows: Sequence[Waterfall]) -> Table:
    """Two lines per codec: uplink, and downlink with its mode."""
    table = plain_table("codec", "", *LAYERS.values(), "packets", "/payload")
    for row in rows:
        for name, direction, label in (
            ("up", row.uplink, row.codec),
            ("down", row.downlink, f"  {row.mode}"),
        ):
            each = row.each(direction)
            cells = [human(each["payload_bits"], "bit")]
            cells += [human(each[layer], "B") for layer in list(LAYERS)[1:]]
            ratio = each["interface_bytes"] / each["payload_bytes"]
            table.add_row(label, name, *cells, f"{each['interface_packets']:,.1f}", f"{ratio:.3g}")
    return table


def once(row: Waterfall) -> str:
    """What joining and finishing cost, and how well headers account for the frames."""
    up, down = row.once_uplink, row.once_downlink
    rest = row.uplink.rest_bytes + row.downlink.rest_bytes
    return (
        f"{row.codec}: once, for all {row.workers} workers: {human(up.interface_bytes, 'B')} up, "
        f"{human(down.interface_bytes, 'B')} down to join and to finish; in {row.rounds} rounds TCP bytes and "
        f"66 B per packet leave {rest:,} interface bytes; {row.retransmitted:,} B were sent twice; "
        f"both ends' interfaces differ by {row.ends_differ_by:,} B"
    )
