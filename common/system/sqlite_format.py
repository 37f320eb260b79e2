"""What the SQLite files of one kind have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gradwire.common.errors import GradwireError

_NO_ROOM = "see that the disk has room and may be written, and start again"
_READ_ONLY = "let this user write there and start again"


@dataclass(frozen=True)
class SqliteFormat:
    """What the files of one kind have in common.

    Attributes:
        what: names the kind in errors: "run log".
        name: of the file in its directory; the lock is a file beside it, ``NAME.lock`` without the suffix.
        holder: names the processes that use such files, in errors: "server".
        application_id: 32 bits in SQLite's header that say whose file it is.
        version: of the schema, in SQLite's header.
        schema: SQL that makes the tables.
        restore: what to do about damage.
        error: the class of every error raised.
        upgrades: for each earlier version that may be opened, the statements that make the next version of it.
    """

    what: str
    name: str
    holder: str
    application_id: int
    version: int
    schema: str
    restore: str
    error: type[GradwireError]
    upgrades: Mapping[int, Sequence[str]] = field(default_factory=dict)

    def remedy(self, error: Exception) -> str:
        """What to do about an error of SQLite's, most of which are the operating system's."""
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_FULL"):
            return "make room on the disk and start again"
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
            return _READ_ONLY
        return self.restore if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) else _NO_ROOM

    @contextmanager
    def errors(self, where: object) -> Iterator[None]:
        """Turn the errors of SQLite and of the operating system into one line of this format's class."""
        try:
            yield
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
            raise self.error(f"{where}: {error}; nothing was changed: {self.remedy(error)}") from error
        except OSError as error:
            raise self.error(f"{where}: {error.strerror}; nothing was changed: {_NO_ROOM}") from error
