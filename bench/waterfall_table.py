"""The waterfall as a table: a row for each codec and direction, a column for each layer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gradwire.bench.waterfall import LAYERS, Waterfall
from gradwire.deploy.units import human

NOTE = (
    "Each worker and round. Payload bits, payload bytes and protobuf bytes are as predicted. TCP bytes hold TLS, "
    "HTTP/2 and gRPC framing; interface bytes also headers of Ethernet, IP and TCP, and the other direction's "
    "acknowledgements."
)


def print_waterfalls(console: Console, rows: Sequence[Waterfall]) -> None:
    """Print them, with what a run costs once below."""
    console.print(table_of(rows), markup=False, highlight=False)
    for line in (NOTE, *map(once, rows)):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def table_of(rows: Sequence[Waterfall]) -> Table:
    """Two lines a codec: uplink, and downlink with its mode."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("codec", no_wrap=True)
    table.add_column("", no_wrap=True)
    for title in (*LAYERS.values(), "packets", "/payload"):
        table.add_column(title, justify="right", no_wrap=True)
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
    """What joining and ending cost, and how well headers explain the frames."""
    up, down = row.once_uplink, row.once_downlink
    rest = row.uplink.rest_bytes + row.downlink.rest_bytes
    return (
        f"{row.codec}: once, for all {row.workers} workers: {human(up.interface_bytes, 'B')} up, "
        f"{human(down.interface_bytes, 'B')} down to join and to end; in {row.rounds} rounds TCP bytes and "
        f"66 B a packet leave {rest:,} interface bytes; {row.retransmitted:,} B were sent twice; "
        f"both ends' interfaces differ by {row.ends_differ_by:,} B"
    )
