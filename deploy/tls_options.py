"""Options of commands that connect to a server: certificates, and plaintext."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Key = Annotated[Path | None, typer.Option(help="PEM file of the key, unless in the same file.")]
Authority = Annotated[
    Path | None, typer.Option(help="PEM file of the server's authority, unless in the same file.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Allow plaintext beyond this machine.")]
RetryFor = Annotated[
    float, typer.Option(help="Seconds without a server after which the process gives up.", min=0.0)
]
