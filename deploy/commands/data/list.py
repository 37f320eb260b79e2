"""List the data sets and where they are.

Examples:
    gradwire data list
"""

from __future__ import annotations

import json
from dataclasses import asdict

from gradwire.deploy.flags import AsJson
from gradwire.deploy.tables import plain_table, print_plain, wide_console
from gradwire.deploy.units import human
from gradwire.worker.data import available


def list(as_json: AsJson = False) -> None:
    """List the data sets and where they are; reads no data and needs no network."""
    rows = [asdict(info) for info in available()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = plain_table("data set", "samples", "test", "features", "classes", "size")
    table.add_column("where", overflow="fold")
    for row in rows:
        counts = [f"{row[name]:,}" for name in ("samples", "test_samples", "dim", "classes")]
        size = "—" if row["nbytes"] is None else human(row["nbytes"], "B")
        where = f"{row['where']} ({row['note']})" if row["note"] else row["where"]
        table.add_row(row["name"], *counts, size, where)
    print_plain(wide_console(), table)
