"""Files that are replaced whole: written beside the target, synced, renamed onto it, and the folder synced.

A process killed at any point leaves the earlier file or the new one under the target's name, never a part of either.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable.

    Raises:
        OSError: it cannot be opened or written back.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and the missing ones above it, durably; one that exists is left alone.

    Raises:
        OSError: one of them cannot be made.
    """
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


@contextmanager
def replacing(
    target: Path, *, mode: int | None = None, overwrite: bool = True, sole_writer: bool = False
) -> Iterator[Path]:
    """A path to write the new file at; once the block has ended, the file is durable under the target's name.

    If anything in the block or after it raises, the target is as it was and nothing is left beside it.

    Args:
        target: what to replace. Links to it are not followed: the link itself is replaced.
        mode: permissions of the file; None keeps those that the block made it with.
        overwrite: whether an existing target is replaced, or else refused.
        sole_writer: no other process writes this target (its folder is locked). The file beside it then has one name
            always, so that what a killed process left is removed by the next write.

    Raises:
        FileExistsError: the target exists and must not be replaced.
        OSError: the disk refused something.
    """
    partial = _beside(target, sole_writer=sole_writer)
    partial.unlink(missing_ok=True)
    try:
        yield partial
        sync(partial)
        if mode is not None:
            partial.chmod(mode)
        if overwrite:
            partial.replace(target)
        else:
            os.link(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    sync(target.parent)


def write(
    target: Path,
    parts: Iterable[bytes | memoryview],
    *,
    mode: int | None = None,
    overwrite: bool = True,
    sole_writer: bool = False,
) -> None:
    """Replace a file by these bytes, or leave it as it was; returns when they are on the disk.

    Args:
        target: as in ``replacing``.
        parts: the content, in pieces.
        mode: permissions of the file; until it is written only this user may read it. None: as the umask sets.
        overwrite: as in ``replacing``.
        sole_writer: as in ``replacing``.

    Raises:
        OSError: as in ``replacing``.
    """
    with replacing(target, mode=mode, overwrite=overwrite, sole_writer=sole_writer) as partial:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)


def require_replaceable(target: Path) -> None:
    """Check that ``write`` can succeed at this place; changes nothing.

    Raises:
        OSError: no file can be made beside the target.
    """
    partial = _beside(target, sole_writer=False)
    partial.touch()
    partial.unlink()
    sync(target.parent)


def _beside(target: Path, *, sole_writer: bool) -> Path:
    """In the target's folder, since renaming is atomic within a file system only; a target's name may be 255 bytes."""
    if sole_writer:
        return target.with_name(f"{target.name}.new")
    return target.with_name(f".{target.name[:64]}.{os.getpid()}")
