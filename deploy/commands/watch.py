"""Watch a run from another terminal.

Examples:
    gradwire watch 127.0.0.1:50051
    gradwire watch runs/one
    gradwire watch server.example:50051 --cert alice.pem --json
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError, Unavailable
from gradwire.common.system.results import to_json
from gradwire.common.training.settings import check_between
from gradwire.common.transport.address import Address, parse_address, require_protected
from gradwire.common.transport.tls import worker_tls
from gradwire.deploy.exit_codes import FAILED, CommandFailed, print_message
from gradwire.deploy.flags import AsJson
from gradwire.deploy.tables import wide_console
from gradwire.deploy.tls_options import Authority, Insecure, Key, RetryFor
from gradwire.deploy.watching.address_file import address_in
from gradwire.deploy.watching.client import Client
from gradwire.deploy.watching.show import new_display, show_all, show_stored
from gradwire.deploy.watching.stored import stored_state
from gradwire.server.log.run_log import RunLog


def watch(
    target: Annotated[
        str, typer.Argument(metavar="HOST:PORT|DIR", help="Address of the server, or folder of the run.")
    ],
    retry_for: RetryFor = 60.0,
    cert: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of a worker's certificate, key and authority, where the server asks for one.",
            envvar="GRADWIRE_CERT",
        ),
    ] = None,
    key: Key = None,
    ca: Authority = None,
    insecure: Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Watch a run: loss, metrics, bytes, who is waited for, and how long it will take.

    It changes nothing and slows nothing down. The exit code is 0 when the run has finished, or when no server uses the
    folder; 1 when the run fails or its server disappears. With --json, each line is one event.
    """
    check_between("retry_for", retry_for, 0.0)
    tls = worker_tls(ca, cert, key)
    folder = folder_of(target)

    def locate() -> Address | None:
        address = address_in(folder) if folder is not None else parse_address(target)
        if address is not None:
            require_protected(address, tls=tls is not None, insecure=insecure)
        return address

    address = locate()
    if address is not None and (
        warning := require_protected(address, tls=tls is not None, insecure=insecure)
    ):
        print_message(warning)
    console = wide_console()
    display = None if as_json else new_display(console)
    say = print_message if display is None else display.note
    client = Client(locate, tls, retry_for, retry_for if folder is None else 0.0, say)
    try:
        last = asyncio.run(show_all(client.events(), console, display))
    except Unavailable:
        if folder is None:
            raise
        state = stored_state(folder)
        if client.met and not state["finished"]:
            raise
        if as_json:
            print(to_json(state))
        else:
            show_stored(state, console)
        return
    if last["event"] == "failed":
        raise CommandFailed(f"the run has failed: {last['message']}", FAILED)


def folder_of(target: str) -> Path | None:
    """The folder that the target names; None where it is an address.

    Raises:
        ConfigError: neither a folder of a run nor an address.
        LogError: the folder holds no run.
    """
    folder = Path(target)
    if not folder.is_dir():
        if ":" in target:
            return None
        raise ConfigError(
            f"there is no folder {target}, and it is no address: expected HOST:PORT, or a run's folder"
        )
    if not RunLog.exists(folder):
        raise ConfigError(f"there is no run in {target}: expected run.db in it, check the path")
    return folder
