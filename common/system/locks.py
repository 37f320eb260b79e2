"""Locks between processes: flock(2) on a file.

They reach across containers that share a folder, need no permission to write, and end with the process that holds
them, however it ends: none ever has to be cleared by hand.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

POLL_SECONDS = 0.02


class FileLock:
    """A lock on a file; not held until it is acquired."""

    def __init__(self, path: Path, *, create_mode: int | None = None, follow_links: bool = True) -> None:
        """Open the file.

        Args:
            path: of the file; its content does not matter and is not changed.
            create_mode: permissions to make the file with where it is missing; None: it has to exist.
            follow_links: whether a symbolic link at ``path`` is followed, or else refused.

        Raises:
            OSError: the file cannot be opened or made.
        """
        flags = os.O_RDONLY if create_mode is None else os.O_RDWR | os.O_CREAT
        if not follow_links:
            flags |= os.O_NOFOLLOW
        self._handle = os.open(path, flags, create_mode or 0)

    def acquire_within(self, seconds: float) -> bool:
        """Take the lock, or wait so long for its holder to end; False when it still holds it then.

        Raises:
            OSError: the file system has no locks.
        """
        deadline = time.monotonic() + seconds
        while not self.acquire(blocking=False):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)  # flock(2) has no time limit, and says nothing when a lock is free
        return True

    def acquire(self, *, blocking: bool = True, shared: bool = False) -> bool:
        """Take the lock; False when another process holds it and this one is not to wait.

        Args:
            blocking: wait for it.
            shared: other processes may hold it shared at the same time, and none alone.

        Raises:
            OSError: the file system has no locks.
        """
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(self._handle, kind | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Release the lock and close the file; closing twice is harmless."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1
