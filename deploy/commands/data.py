"""``gradwire data``: what data sets there are, and having them at hand."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gradwire.common.errors import DataError
from gradwire.common.spec import did_you_mean
from gradwire.deploy.lazy import example, plain_typer
from gradwire.deploy.units import human

data = plain_typer(help="List the data sets and fetch them.")
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@data.command(
    "list", short_help="Say what data sets there are, and where.", epilog=example("gradwire data list")
)
def list_(as_json: AsJson = False) -> None:
    """List the data sets and where they are; reads no data and needs no network."""
    from gradwire.worker.data import available

    rows = [asdict(info) for info in available()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("data set", no_wrap=True)
    for title in ("samples", "test", "features", "classes", "size"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for row in rows:
        counts = [f"{row[name]:,}" for name in ("samples", "test_samples", "dim", "classes")]
        size = "—" if row["nbytes"] is None else human(row["nbytes"], "B")
        where = f"{row['where']} ({row['note']})" if row["note"] else row["where"]
        table.add_row(row["name"], *counts, size, where)
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table, markup=False, highlight=False)


@data.command(
    short_help="Have data sets at hand, checksums verified.", epilog=example("gradwire data fetch mnist a9a")
)
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Data sets of `gradwire data list`.")],
    as_json: AsJson = False,
) -> None:
    """Have data sets at hand with their checksums verified; downloads what is not."""
    from gradwire.worker.data import available
    from gradwire.worker.data import fetch as fetch_one

    known = [info.name for info in available()]
    for name in names:
        if name not in known:
            raise DataError(f"no data set is called {name!r}{did_you_mean(name, known)}")
    folders = {}
    for name in names:
        folders[name] = str(fetch_one(name, progress=True))
        if not as_json:
            print(f"{name}  {folders[name]}", flush=True)
    if as_json:
        print(json.dumps(folders, indent=2))
