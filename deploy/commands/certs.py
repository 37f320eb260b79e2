"""Make certificates: for the server and for each worker.

Examples:
    gradwire certs --host train.example --worker alice --worker bob
    gradwire certs --worker carol
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gradwire.common.errors import ConfigError
from gradwire.common.system import atomic
from gradwire.common.transport.address import is_host
from gradwire.common.transport.tls import SERVER_FILE, WORKER_FOLDER
from gradwire.deploy.authority import Authority, certificate_pem, key_pem
from gradwire.deploy.flags import AsJson

CA_DAYS = 3650
CA_CERTIFICATE, CA_KEY = Path("ca/ca.crt"), Path("ca/ca.key")
# A name is a file's name too. 64 characters: what X.520 allows a common name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Existing(StrEnum):
    """What to do with certificates that are there already."""

    REFUSE = "refuse"
    KEEP = "keep"
    REPLACE = "replace"


def certs(
    out: Annotated[Path, typer.Option(help="Folder to make, or to add to.")] = Path("certs"),
    host: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address that workers reach the server by; may be repeated. [this machine's name]"
        ),
    ] = None,
    worker: Annotated[
        list[str] | None, typer.Option(help="Name of a worker process; may be repeated.")
    ] = None,
    workers: Annotated[
        int, typer.Option(help="So many more, named worker-0, worker-1, …", min=0, max=10_000)
    ] = 0,
    days: Annotated[int, typer.Option(help="Days that certificates are valid.", min=1, max=CA_DAYS)] = 365,
    force: Annotated[bool, typer.Option("--force", help="Replace certificates that exist.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="Make only those that do not exist.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make certificates for TLS: an authority, one for the server, one for each worker.

    A worker needs its own file alone, such as workers/alice.pem, and its process is then called alice. The authority is
    made once and signs whoever is added later; its key, ca/ca.key, never has to leave this machine.
    """
    if force and missing:
        raise ConfigError("--force replaces what exists and --missing keeps it: give one of them")
    existing = Existing.REPLACE if force else Existing.KEEP if missing else Existing.REFUSE
    names = [*(worker or ()), *(f"worker-{i}" for i in range(workers))]
    made = make(out, host, names, days=days, existing=existing)
    if as_json:
        print(json.dumps({name: str(path) for name, path in made.items()}, indent=2))
    else:
        width = max((len(name) for name in made), default=0)
        for name, path in made.items():
            print(f"{name:{width}}  {path}")
        if not made:
            print(f"{out}: everything was there")


def make(
    out: Path, hosts: Sequence[str] | None, workers: Sequence[str], *, days: int, existing: Existing
) -> dict[str, Path]:
    """Make certificates in a folder; returns whose were made, and in which files.

    The server's is made when ``hosts`` are given, or when there is none yet. Every private key is in a file of mode
    0600 from its first byte on; a file is written whole or not at all.

    Raises:
        ConfigError: a name or host that cannot be used, a file that exists (unless ``existing`` says what to do), or a
            folder that cannot be written to.
    """
    _check(hosts or (), workers)
    targets: dict[str, Path] = {}
    if hosts or not (out / SERVER_FILE).exists():
        targets["server"] = out / SERVER_FILE
    targets |= {f"worker {name}": out / WORKER_FOLDER / f"{name}.pem" for name in workers}
    there = [path for path in targets.values() if path.exists()]
    if there and existing is Existing.REFUSE:
        raise ConfigError(f"{there[0]} exists: --force replaces it, --missing keeps it")
    if not targets:
        raise ConfigError(
            f"{out} has a server's certificate: say for whom to make one, with --worker or --host"
        )
    if existing is Existing.KEEP:
        targets = {name: path for name, path in targets.items() if path not in there}
    try:
        authority, made = _authority(out) if targets else (None, {})
        for path in targets.values():
            assert authority is not None
            content = (
                authority.server(hosts or (socket.gethostname(),), days)
                if path == out / SERVER_FILE
                else authority.worker(path.stem, days)
            )
            _write(path, content, replace=existing is Existing.REPLACE)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or out}: {error.strerror}") from error
    return {**made, **targets}


def _authority(out: Path) -> tuple[Authority, Mapping[str, Path]]:
    """The folder's authority: the one that is there, or a new one."""
    certificate, key = out / CA_CERTIFICATE, out / CA_KEY
    if certificate.exists() or key.exists():
        return Authority.read(certificate, key), {}
    authority = Authority.new(CA_DAYS)
    _write(key, key_pem(authority.key), replace=False)
    _write(certificate, certificate_pem(authority.certificate), replace=False, mode=0o644)
    return authority, {"authority": certificate}


def _check(hosts: Sequence[str], workers: Sequence[str]) -> None:
    for host in hosts:
        if not is_host(host):
            raise ConfigError(f"--host {host!a}: expected a host name or an IP address, without a port")
    for name in workers:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"--worker {name!a}: expected 1 to 64 letters, digits, dots, dashes and underscores, "
                "and a letter or digit first"
            )
    if len(set(workers)) != len(workers):
        twice = next(name for name in workers if workers.count(name) > 1)
        raise ConfigError(f"{twice} is named twice: each worker process has a name of its own")


def _write(path: Path, content: bytes, *, replace: bool, mode: int = 0o600) -> None:
    """Write a file whole or not at all; nobody else can read a private key, not even while it is written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write(path, [content], mode=mode, overwrite=replace)
