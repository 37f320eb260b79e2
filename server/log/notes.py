"""What the log holds besides the rounds: which process hosts which workers, measurements, counters."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from gradwire.common.system.sqlite import SqliteFile
from gradwire.server.log.rows import checksum, is_whole, pack_ints, unpack_ints

TALLY = "tally"  # the key of the run's counters
ORIGIN = "init"  # the key of the digest of an initial model that was given
DONE_PREFIX = "done "  # of the keys under which the digests of processes stand


@dataclass(frozen=True)
class RoundNotes:
    """What is stored with a round besides its payloads; what is empty is not stored.

    Attributes:
        measured: mean training loss and metrics.
        losses: training loss of each worker of the cohort, in worker order; NaN for those that reported none.
        senders: the process that sent each payload, in worker order.
        counters: the run's counters so far, as JSON.
    """

    measured: Mapping[str, Any] | None = None
    losses: tuple[float, ...] = ()
    senders: tuple[str, ...] = ()
    counters: str = ""

    def write(self, db: sqlite3.Connection, round_: int, new_senders: Mapping[str, Sequence[int]]) -> None:
        """Store them within the transaction that appends the round; of the senders, only those that are new."""
        if self.measured is not None:
            insert(db, "metrics", round_, json.dumps(dict(self.measured)))
        if self.losses:
            insert(db, "losses", round_, np.array(self.losses, "<f4").tobytes())
        for process, workers in new_senders.items():
            insert(db, "senders", round_, process, pack_ints(workers))
        if self.counters:
            insert(db, "meta", TALLY, self.counters)


NO_NOTES = RoundNotes()


class LogNotes:
    """The part of a run's log that the model does not depend on: as durable as the rest.

    Damage never alters a note unnoticed, but it may lose one: unlike for rounds, no row states how many there are.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def assign(self, process: str, workers: tuple[int, ...]) -> None:
        """Store that a process hosts these workers, in place of those that it hosted before.

        Removes these ids from other processes; deletes processes left without any.
        """
        taken = frozenset(workers)
        with self._file.transaction() as db:
            for name, ids in self.assignments().items():
                left = tuple(worker for worker in ids if worker not in taken)
                if name != process and left != ids:
                    db.execute("DELETE FROM assignments WHERE process = ?", (name,))
                    if left:
                        insert(db, "assignments", name, pack_ints(left))
            insert(db, "assignments", process, pack_ints(workers))

    def assignments(self) -> dict[str, tuple[int, ...]]:
        """The workers that were last assigned to each process.

        Raises:
            LogError: one of them is damaged.
        """
        found = self._read("SELECT * FROM assignments ORDER BY process")
        return {process: unpack_ints(workers) for process, workers, _ in found}

    def record_metrics(self, round_: int, metrics: Mapping[str, Any]) -> None:
        """Store what was measured in a round, in place of what was stored for it before."""
        self._write("metrics", round_, json.dumps(dict(metrics)))

    def metrics(self) -> dict[int, dict[str, Any]]:
        """What was measured, by round; pruning keeps it.

        Raises:
            LogError: it is damaged.
        """
        found = self._read("SELECT * FROM metrics ORDER BY round")
        return {round_: json.loads(data) for round_, data, _ in found}

    def senders(self) -> list[tuple[int, str, tuple[int, ...]]]:
        """(round, process, workers): from that round on, payloads of these workers came from that process.

        A later row with one of the workers ends this. Pruning keeps all of them.

        Raises:
            LogError: one of them is damaged.
        """
        found = self._read_added("SELECT * FROM senders ORDER BY round, process")
        return [(round_, process, unpack_ints(workers)) for round_, process, workers, _ in found]

    def put(self, key: str, value: str) -> None:
        """Store a value under a key, in place of an earlier one."""
        self._write("meta", key, value)

    def get(self, key: str) -> str | None:
        """The value under a key, if there is one.

        Raises:
            LogError: it is damaged.
        """
        found = self._read("SELECT * FROM meta WHERE key = ?", key)
        return str(found[0][1]) if found else None

    def close(self) -> None:
        """Close the file and release the directory's lock."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, table: str, key: int | str, value: str | bytes) -> None:
        with self._file.transaction() as db:
            insert(db, table, key, value)

    def _read_added(self, sql: str, since: int = 2) -> list[Any]:
        """Rows of a table that versions of the format before ``since`` did not have."""
        return [] if self._file.version < since else self._read(sql)

    def _read(self, sql: str, *values: str) -> list[Any]:
        found = self._file.rows(sql, *values)
        if not all(map(is_whole, found)):
            raise self._file.damaged()
        return found


def insert(db: sqlite3.Connection, table: str, *values: int | str | bytes) -> None:
    """Write a row and its checksum within a transaction, in place of an earlier row with its primary key."""
    places = ", ".join("?" * (len(values) + 1))
    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", (*values, checksum(*values)))
