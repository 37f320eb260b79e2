"""The rows of a privacy ledger: one per run and one per push, in one SQLite file or in memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from gradwire.common.errors import LogError
from gradwire.common.privacy.budget import Run
from gradwire.common.system.sqlite import SqliteFile
from gradwire.common.system.sqlite_format import SqliteFormat

NAME = "privacy.db"
KEPT_ROUNDS = 1024  # of a run, whose payloads are kept to be sent again

SCHEMA = """
CREATE TABLE runs (
    run BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, epsilon REAL NOT NULL, workers TEXT NOT NULL,
    pushes INTEGER NOT NULL
);
CREATE TABLE pushes (run BLOB, worker INTEGER, round INTEGER, payload BLOB, PRIMARY KEY (run, worker, round));
CREATE INDEX by_round ON pushes (run, round);
"""

LEDGER = SqliteFormat(
    what="privacy ledger",
    name=NAME,
    holder="worker",
    application_id=0x67727076,  # "grpv"
    version=1,
    schema=SCHEMA,
    restore="restore a copy made after its last push; otherwise what was spent is not known",
    error=LogError,
)


class LedgerFile:
    """The stored rows, held by one process.

    Attributes:
        where: names the file in errors.
    """

    def __init__(self, directory: Path | None) -> None:
        """Open the directory's file, or make one; None keeps the rows in memory.

        Raises:
            LogError: the file is damaged, something else, in use by another process, or cannot be written.
        """
        self._file = (
            SqliteFile.in_memory(LEDGER)
            if directory is None
            else SqliteFile.create(LEDGER, directory, reopen=True)
        )
        self.where = self._file.where

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._file.close()

    def pushes(self) -> defaultdict[bytes, Counter[int]]:
        """The number of pushes by run and worker, checked against each run's own count.

        Raises:
            LogError: rows are missing, or SQLite finds damage.
        """
        pushes: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
        counted = self._file.rows("SELECT run, worker, COUNT(*) FROM pushes GROUP BY run, worker")
        for run, worker, count in counted:
            pushes[run][worker] = count
        stated = dict(self._file.rows("SELECT run, pushes FROM runs"))
        whole = self._file.rows("PRAGMA quick_check") == [("ok",)]
        if not whole or stated != {run: counts.total() for run, counts in pushes.items()}:
            raise self._file.damaged()
        return pushes

    def fingerprint(self, run_id: bytes) -> bytes | None:
        """The fingerprint under which a run was spent for; None where it was not."""
        rows = self._file.rows("SELECT fingerprint FROM runs WHERE run = ?", run_id)
        return bytes(rows[0][0]) if rows else None

    def workers(self, run_id: bytes) -> frozenset[int]:
        """The workers of a run that was spent for; none where it was not."""
        rows = self._file.rows("SELECT workers FROM runs WHERE run = ?", run_id)
        return _unpacked(rows[0][0]) if rows else frozenset()

    def epsilons(self) -> dict[bytes, float]:
        """Epsilon of each push by run, in the order in which the runs were first spent for."""
        return dict(self._file.rows("SELECT run, epsilon FROM runs ORDER BY rowid"))

    def payloads(self, run_id: bytes, round_: int) -> dict[int, bytes | None]:
        """By worker, the payloads of a round that was spent for; None for one that is no longer kept."""
        sql = "SELECT worker, payload FROM pushes WHERE run = ? AND round = ?"
        return dict(self._file.rows(sql, run_id, round_))

    def add(self, run: Run, round_: int, payloads: Mapping[int, bytes]) -> None:
        """Store payloads of a round and drop those of rounds long ago, in one durable transaction.

        Raises:
            LogError: the disk refused it; nothing has changed.
        """
        ((newest,),) = self._file.rows("SELECT max(round) FROM pushes WHERE run = ?", run.run_id)
        with self._file.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, 0)",
                (run.run_id, run.fingerprint, run.epsilon, _packed(run.workers)),
            )
            db.executemany(
                "INSERT INTO pushes VALUES (?, ?, ?, ?)",
                [(run.run_id, worker, round_, payload) for worker, payload in sorted(payloads.items())],
            )
            db.execute(
                "UPDATE pushes SET payload = NULL WHERE run = ? AND round > ? AND round <= ?",
                (run.run_id, (newest or 0) - KEPT_ROUNDS - 1, round_ - KEPT_ROUNDS),
            )
            db.execute("UPDATE runs SET pushes = pushes + ? WHERE run = ?", (len(payloads), run.run_id))


def _packed(workers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(workers)))


def _unpacked(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(","))
