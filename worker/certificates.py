"""One certificate per process: its name is the process's, and of two under one name each would end the other's stream.

The lock is on the certificate's own file, see locks.py: it reaches across containers that share a folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from gradwire.common.errors import ConfigError
from gradwire.common.system.locks import FileLock
from gradwire.common.transport.tls import WORKER_FOLDER

_held: list[FileLock] = []  # until this process ends


def hold(path: Path, seconds: float = 0.0) -> Path:
    """The same path, once no other process on this machine holds its certificate; waits so long for one that ends.

    Raises:
        ConfigError: another one does, or the file cannot be read.
    """
    if not _lock(path, needed=False, seconds=seconds):
        raise ConfigError(
            f"another process on this machine uses {path}: give each process a certificate of its own"
        )
    return path


def claim(certs: Path) -> Path:
    """The first certificate in ``certs/workers`` that no other process on this machine holds; held until this one ends.

    For identical processes, such as the replicas of a container service. A replacement of a process takes the
    certificate that it held, and with it the name and the workers.

    Raises:
        ConfigError: no such folder, none in it, or all are held.
    """
    folder = certs / WORKER_FOLDER
    paths = sorted(folder.glob("*.pem"), key=_natural)
    if not paths:
        raise ConfigError(
            f"{folder} holds no certificates: make some with `gradwire certs --out {certs} --worker NAME`"
        )
    for path in paths:
        if _lock(path):
            return path
    raise ConfigError(
        f"other processes hold all {len(paths)} certificates in {folder}: make more with "
        f"`gradwire certs --out {certs} --worker NAME`, or start fewer workers"
    )


def _lock(path: Path, *, needed: bool = True, seconds: float = 0.0) -> bool:
    try:
        lock = FileLock(path)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    try:
        acquired = lock.acquire_within(seconds)
    except OSError as error:
        lock.close()
        # A network's file system may have no locks; two processes of one name then take turns at the server.
        if not needed:
            return True
        raise ConfigError(
            f"cannot lock {path}: {error.strerror}; copy it to a disk of this machine"
        ) from error
    if acquired:
        _held.append(lock)
    else:
        lock.close()
    return acquired


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order in which worker-10 comes after worker-9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.stem)]
