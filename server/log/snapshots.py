"""The models in a run's log: the initial one, the newest snapshot and the best one; and what computes them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from gradwire.common.errors import LayoutError, LogError
from gradwire.common.training.layout import Layout
from gradwire.server.log import rows
from gradwire.server.log.notes import ORIGIN, LogNotes, insert
from gradwire.server.log.provenance import Release, Resolved, this_release


class LogSnapshots(LogNotes):
    """The part of a run's log that holds models; each is stored in parts, with their checksums."""

    @property
    def has_initial(self) -> bool:
        """Whether the run has its initial model: without one, no round has been appended."""
        return self._snapshot_round() is not None

    def set_initial(
        self,
        snapshot: bytes,
        resolved: Resolved,
        layout: Layout | None = None,
        constants: Sequence[bytes] = (),
        origin: str = "",
    ) -> None:
        """Store the model at round 0, which is kept as long as the log, and what it is computed with.

        Args:
            snapshot: the model.
            resolved: what the configuration amounts to.
            layout: of its arrays; None where no worker stated one.
            constants: the values of its constant arrays, in order; none where they are too large to be kept.
            origin: identifies the arrays that were given for it; empty where the first worker made them.

        Raises:
            LogError: it is set already.
        """
        with self._file.mutex:
            if self._snapshot_round() is not None:
                raise LogError(f"{self._file.where} has its initial model already: it never changes")
            with self._file.transaction() as db:
                self._file.upgrade(db)
                store(db, 0, snapshot)
                insert(db, "resolved", *resolved)
                insert(db, "releases", 0, *this_release())
                if layout is not None:
                    insert(db, "layout", layout.to_json())
                for position, data in enumerate(constants):
                    insert(db, "constants", position, data)
                if origin:
                    insert(db, "meta", ORIGIN, origin)

    def initial(self) -> bytes:
        """The model at round 0: the fold over a log that was never pruned begins here.

        Raises:
            LogError: it is not set, or is damaged.
        """
        if self._snapshot_round() is None:
            raise LogError(f"{self._file.where} has no initial model yet")
        return self._load(0)

    def initial_bytes(self) -> int:
        """Length of the model at round 0, without reading it; 0 where it is not set."""
        (length,) = self._file.rows("SELECT sum(length(data)) FROM snapshots WHERE round = 0")[0]
        return int(length or 0)

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """The newest snapshot and the rounds it covers; the initial model is the first one.

        Raises:
            LogError: it is damaged.
        """
        with self._file.mutex:
            newest = self._snapshot_round()
            return None if newest is None else (newest, self._load(newest))

    def keep_best(self, round_: int, params: bytes, notes: Mapping[str, Any]) -> None:
        """Store the parameters of the best evaluation in place of earlier ones, with what was measured there.

        Args:
            round_: rounds folded into them.
            params: what was evaluated, float32 little-endian [dim].
            notes: see ``record_metrics``.
        """
        with self._file.transaction() as db:
            insert(db, "metrics", round_, json.dumps(dict(notes)))
            db.execute("DELETE FROM best")
            db.executemany("INSERT INTO best VALUES (?, ?, ?, ?, ?)", rows.snapshot_rows(round_, params))

    def best_round(self) -> int | None:
        """The round of the best evaluation; None where none is kept."""
        found = self._read_added("SELECT * FROM best LIMIT 1", since=3)
        return int(found[0][0]) if found else None

    def best(self) -> tuple[int, bytes] | None:
        """Round and parameters, float32 little-endian [dim], of the best evaluation; None where none is kept.

        Raises:
            LogError: they are damaged.
        """
        found = self._read_added("SELECT * FROM best ORDER BY part", since=3)
        if not found:
            return None
        return found[0][0], rows.snapshot_of(found[0][0], [rows.SnapshotRow(*row) for row in found])

    def resolved(self) -> Resolved | None:
        """What the model is computed with; None before the initial model, and in a log of version 1 of the format.

        Raises:
            LogError: it is damaged.
        """
        found = self._read_added("SELECT * FROM resolved")
        if len(found) > 1 or bool(found) != bool(self.releases()):
            raise self._file.damaged()
        return Resolved(*found[0][:-1]) if found else None

    def releases(self) -> list[tuple[int, Release]]:
        """The releases that wrote the log, each with its first round.

        Raises:
            LogError: one of them is damaged.
        """
        found = self._read_added("SELECT * FROM releases ORDER BY round")
        return [(round_, Release(version, protocol)) for round_, version, protocol, _ in found]

    def layout(self) -> Layout | None:
        """The layout of the model; None before the initial model, and where no worker stated one.

        Raises:
            LogError: it is damaged.
        """
        found = self._read_added("SELECT * FROM layout", since=3)
        if not found:
            return None
        try:
            return Layout.from_json(found[0][0])
        except LayoutError as error:
            raise self._file.damaged() from error

    def constants(self) -> tuple[bytes, ...]:
        """The values of the constant arrays, in the order of the layout; none where they were not kept.

        Raises:
            LogError: one of them is damaged.
        """
        return tuple(
            data for _, data, _ in self._read_added("SELECT * FROM constants ORDER BY array", since=3)
        )

    def _snapshot_round(self) -> int | None:
        (newest,) = self._file.rows("SELECT max(round) FROM snapshots")[0]
        if not isinstance(newest, int | None):
            raise self._file.damaged()
        return newest

    def _load(self, round_: int) -> bytes:
        found = self._file.rows("SELECT * FROM snapshots WHERE round = ? ORDER BY part", round_)
        return rows.snapshot_of(round_, [rows.SnapshotRow(*row) for row in found])


def store(db: sqlite3.Connection, round_: int, data: bytes) -> None:
    """Write a snapshot within a transaction, in place of the newest one."""
    db.execute("DELETE FROM snapshots WHERE round > 0")
    db.executemany("INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", rows.snapshot_rows(round_, data))
