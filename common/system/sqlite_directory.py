"""The directory of a SQLite file: whether the file is there, and which processes may use it."""

from __future__ import annotations

from pathlib import Path

from gradwire.common.system.locks import FileLock
from gradwire.common.system.sqlite_format import SqliteFormat


def existing(file_format: SqliteFormat, directory: Path) -> Path:
    """The file in a directory.

    Raises:
        GradwireError: of the format's class: there is none.
    """
    path = directory / file_format.name
    if not path.is_file():
        raise file_format.error(
            f"{directory} holds no {file_format.what}: expected {file_format.name} in it, check the path"
        )
    return path


def _lock_path(file_format: SqliteFormat, directory: Path) -> Path:
    return (directory / file_format.name).with_suffix(".lock")


def exclusive_lock(file_format: SqliteFormat, directory: Path) -> FileLock:
    """The lock of a process that writes the file.

    Raises:
        GradwireError: of the format's class: another process has it.
    """
    with file_format.errors(directory):
        lock = FileLock(_lock_path(file_format, directory), create_mode=0o600)
        if _acquired(lock, shared=False):
            return lock
    raise file_format.error(
        f"{directory} is in use by another {file_format.holder}: stop it, or give each process its own --state-dir"
    )


def shared_lock(file_format: SqliteFormat, directory: Path) -> FileLock | None:
    """The lock of a reader; None where there is no lock's file, so that nobody can hold it.

    Raises:
        GradwireError: of the format's class: a process that writes the file has it.
    """
    with file_format.errors(directory):
        try:
            lock = FileLock(_lock_path(file_format, directory))
        except FileNotFoundError:
            return None
        if _acquired(lock, shared=True):
            return lock
    raise file_format.error(
        f"{directory} is in use by a {file_format.holder}: wait for its end or stop it, and try again"
    )


def _acquired(lock: FileLock, *, shared: bool) -> bool:
    """Take a lock without waiting, or close it."""
    acquired = False
    try:
        acquired = lock.acquire(blocking=False, shared=shared)
    finally:
        if not acquired:
            lock.close()
    return acquired
