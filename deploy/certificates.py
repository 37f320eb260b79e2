"""The folder of ``gradwire certs``: an authority, a certificate for the server, and one for each worker."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from gradwire.common.errors import ConfigError
from gradwire.common.system import atomic
from gradwire.common.transport.address import is_host
from gradwire.common.transport.tls import SERVER_FILE, WORKER_FOLDER
from gradwire.deploy.authority import Authority, certificate_pem, key_pem

CA_DAYS = 3650
CA_CERTIFICATE, CA_KEY = Path("ca/ca.crt"), Path("ca/ca.key")
# The name of a file too; X.520 allows a common name 64 characters.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Existing(StrEnum):
    """What to do with certificates that exist."""

    REFUSE = "refuse"
    KEEP = "keep"
    REPLACE = "replace"


def make_certificates(
    out: Path, hosts: Sequence[str] | None, workers: Sequence[str], *, days: int, existing: Existing
) -> dict[str, Path]:
    """Make certificates in a folder; returns the files that were made, by whose they are.

    The server's is made when ``hosts`` are given, or when there is none yet. Every private key is in a file of mode
    0600 from its first byte on; a file is written whole or not at all.

    Args:
        out: the folder.
        hosts: names and addresses of the server; None for this machine's name.
        workers: names of worker processes.
        days: for which the certificates are valid.
        existing: what to do with certificates that exist.

    Raises:
        ConfigError: a name or host that cannot be used, a file that exists and is to be refused, or a folder that
            cannot be written to.
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
            f"{out} has a server's certificate already: name what to make one for, with --worker or --host"
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
    """The folder's authority, and its file if it is new."""
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
        raise ConfigError(f"{twice} is named twice: give each worker process its own name")


def _write(path: Path, content: bytes, *, replace: bool, mode: int = 0o600) -> None:
    """Write a file whole or not at all; no other user can read it, not even while it is written."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic.write(path, [content], mode=mode, overwrite=replace)
