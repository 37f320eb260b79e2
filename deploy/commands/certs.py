"""Make certificates: for the server and for each worker.

Examples:
    gradwire certs --host train.example --worker alice --worker bob
    gradwire certs --worker carol
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError
from gradwire.deploy.certificates import CA_DAYS, Existing, make_certificates
from gradwire.deploy.flags import AsJson


def certs(
    out: Annotated[Path, typer.Option(help="Folder to make, or to add to.")] = Path("certs"),
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address of the server; may be repeated [this machine's name]"),
    ] = None,
    worker: Annotated[
        list[str] | None, typer.Option(help="Name of a worker process; may be repeated.")
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Number of further workers, named worker-0, worker-1, …", min=0, max=10_000)
    ] = 0,
    days: Annotated[int, typer.Option(help="Days that certificates are valid.", min=1, max=CA_DAYS)] = 365,
    force: Annotated[bool, typer.Option("--force", help="Replace certificates that exist.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="Make only those that do not exist.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make certificates for TLS: an authority, one for the server, one for each worker.

    A worker needs its own file only, such as workers/alice.pem; the process is then named alice. The authority is
    made once and also signs certificates that are added later; keep its key, ca/ca.key, on this machine.
    """
    if force and missing:
        raise ConfigError("--force replaces what exists and --missing keeps it: give one of them")
    existing = Existing.REPLACE if force else Existing.KEEP if missing else Existing.REFUSE
    names = [*(worker or ()), *(f"worker-{i}" for i in range(workers))]
    made = make_certificates(out, host, names, days=days, existing=existing)
    if as_json:
        print(json.dumps({name: str(path) for name, path in made.items()}, indent=2))
    else:
        width = max((len(name) for name in made), default=0)
        for name, path in made.items():
            print(f"{name:{width}}  {path}")
        if not made:
            print(f"{out}: all certificates exist already")
