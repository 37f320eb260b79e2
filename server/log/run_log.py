"""The durable log of a run: an initial model and every committed round, in one SQLite file.

The model is a fold over this log (`gradwire.common.training.model`). Each method that changes something is one
transaction: it is on the disk when the method returns, and has changed nothing when it raises or the process is killed
within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from gradwire.common.errors import ConfigError, LogError
from gradwire.common.system.sqlite import SqliteFile
from gradwire.common.training.config import RunConfig
from gradwire.common.training.record import RoundRecord
from gradwire.server.log import counted, rows
from gradwire.server.log.notes import DONE_PREFIX, NO_NOTES, RoundNotes, insert
from gradwire.server.log.provenance import Resolved, require_same, this_release
from gradwire.server.log.schema import NAME, RUN_LOG
from gradwire.server.log.snapshots import LogSnapshots, store


class RunLog(LogSnapshots):
    """The log of one run, held by one process; its methods may be called from any thread.

    Attributes:
        config: the resolved configuration that the run was started with.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with RunLog.create(Path(folder), RunConfig(task="logistic(a9a)"), b"one run") as log:
    ...         log.append(RoundRecord(0, (0, 2), (b"ab", b"cd")), digest=7)
    ...     with RunLog.open(Path(folder)) as log:
    ...         log.next_round, list(log.read(0, 1)), log.digest_at(0)
    (1, [RoundRecord(round=0, workers=(0, 2), payloads=(b'ab', b'cd'), examples=(), sent=b'')], 7)
    """

    def __init__(self, file: SqliteFile) -> None:
        super().__init__(file)
        try:
            self._run = self._run_row()
            self.config = self._config()
            self._check_rounds()
            self._unfolded = self._payload_bytes()
            self._senders = {worker: process for _, process, ids in self.senders() for worker in ids}
            self._counted: counted.LastCounted | None = None  # read when it is asked for first
        except BaseException:
            file.close()
            raise

    @classmethod
    def create(cls, directory: Path, config: RunConfig, run_id: bytes) -> RunLog:
        """Start the log of a new run; the directory is made where it is missing.

        Raises:
            LogError: the directory holds a run already, is in use or cannot be written.
        """
        run = rows.run_row(config.to_json(), run_id, 0)
        return cls(
            SqliteFile.create(
                RUN_LOG, directory, lambda db: db.execute("INSERT INTO run VALUES (?, ?, ?, ?)", run)
            )
        )

    @classmethod
    def in_memory(cls, config: RunConfig, run_id: bytes) -> RunLog:
        """Start the log of a new run that lasts as long as this object."""
        file = SqliteFile.in_memory(RUN_LOG)
        with file.transaction() as db:
            db.execute("INSERT INTO run VALUES (?, ?, ?, ?)", rows.run_row(config.to_json(), run_id, 0))
        return cls(file)

    @classmethod
    def open(cls, directory: Path) -> RunLog:
        """Open the log of a run that was started earlier.

        Raises:
            LogError: no run here, in use by another process, damaged, or written by another version.
        """
        return cls(SqliteFile.open(RUN_LOG, directory))

    @classmethod
    def open_read_only(cls, directory: Path) -> RunLog:
        """Open the log of a run to read it; nothing in the directory is changed.

        Raises:
            LogError: as ``open``; a server that is running holds the directory.
        """
        return cls(SqliteFile.open_read_only(RUN_LOG, directory))

    @classmethod
    def peek(cls, directory: Path) -> RunLog:
        """Read the log of a run that no server uses, without its lock: a server may start at any time.

        Raises:
            LogError: as ``open``; or a server writes it.
        """
        return cls(SqliteFile.peek(RUN_LOG, directory))

    @classmethod
    def exists(cls, directory: Path) -> bool:
        """Whether a run was started here."""
        return (directory / NAME).is_file()

    @property
    def where(self) -> str:
        """Names the log in errors."""
        return self._file.where

    @property
    def run_id(self) -> bytes:
        """Identifies the run."""
        return self._run.run_id

    @property
    def next_round(self) -> int:
        """Rounds appended so far, which is the number of the next one."""
        return self._run.rounds

    @property
    def finished(self) -> bool:
        """Whether the run's last round is in the log."""
        return self.next_round >= self.config.rounds

    def begin_anew(self, config: RunConfig, run_id: bytes) -> None:
        """Replace a run that has no model yet by another one.

        Raises:
            LogError: it has one, or the disk refused it.
        """
        with self._file.mutex:
            if self.has_initial:
                raise LogError(f"{self._file.where} holds a run that has begun: choose another directory")
            run = rows.run_row(config.to_json(), run_id, 0)
            with self._file.transaction() as db:
                for table in ("assignments", "metrics", "meta"):
                    db.execute(f"DELETE FROM {table}")
                db.execute("UPDATE run SET config = ?, run_id = ?, rounds = ?, checksum = ?", run)
            self._run, self.config = run, config

    def extend(self, rounds: int) -> None:
        """Let the run have more rounds; replicas that were checked at its end have to be checked again.

        Raises:
            LogError: they are not more, or the disk refused it.
        """
        with self._file.mutex:
            if rounds <= self.config.rounds:
                raise LogError(f"the run has {self.config.rounds} rounds, given were {rounds}: expected more")
            config = replace(self.config, rounds=rounds)
            run = rows.run_row(config.to_json(), self.run_id, self.next_round)
            with self._file.transaction() as db:
                db.execute("DELETE FROM meta WHERE substr(key, 1, ?) = ?", (len(DONE_PREFIX), DONE_PREFIX))
                db.execute("UPDATE run SET config = ?, checksum = ?", (run.config, run.checksum))
            self._run, self.config = run, config

    def check_resolved(self, resolved: Resolved) -> None:
        """Check that the run's configuration amounts to what it did when the log was begun.

        Raises:
            LogError: it does not, or the log is damaged.
        """
        stored = self.resolved()
        if stored is not None:
            require_same(stored, resolved, [release for _, release in self.releases()])

    def record_release(self, resolved: Resolved) -> None:
        """Store which release writes the next rounds.

        Upgrades a log of an earlier version of the format; one of version 1 gets what version 2 stores with the initial
        model.

        Raises:
            LogError: the log is damaged, or the disk refused it.
        """
        with self._file.mutex:
            known, releases = self.resolved() is not None, self.releases()
            changed = not releases or releases[-1][1] != this_release()
            outdated = self._file.outdated
            if not changed and not outdated:
                return
            last = self.last_counted()
            with self._file.transaction() as db:
                self._file.upgrade(db)
                if outdated:
                    counted.write(db, self.next_round, last)
                if not known:
                    insert(db, "resolved", *resolved)
                if changed:
                    insert(db, "releases", self.next_round, *this_release())

    # ---- rounds --------------------------------------------------------------------------------------------

    def append(self, record: RoundRecord, digest: int | None, notes: RoundNotes = NO_NOTES) -> None:
        """Append the next round, with its notes in the same transaction.

        Args:
            record: the round.
            digest: of the model after it, uint64; None where it was not taken.
            notes: what is stored with it.

        Raises:
            LogError: it is not the next round, it is malformed, or the disk refused it.
        """
        row = rows.round_row(record, digest)
        with self._file.mutex:
            if record.round != self.next_round:
                raise LogError(f"round {record.round} cannot be appended, expected round {self.next_round}")
            run = rows.run_row(self._run.config, self.run_id, self.next_round + 1)
            new = self._new_senders(record.workers, notes.senders)
            with self._file.transaction() as db:
                db.execute("INSERT INTO rounds VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                db.execute("UPDATE run SET rounds = ?, checksum = ?", (run.rounds, run.checksum))
                notes.write(db, record.round, new)
            self._run = run
            if self._counted is not None:
                counted.count(self._counted, [record])
            self._unfolded += len(row.payloads)
            self._senders.update((worker, process) for process, ids in new.items() for worker in ids)

    def _new_senders(self, workers: Iterable[int], senders: Iterable[str]) -> dict[str, list[int]]:
        """By process, the workers whose payloads did not come from it before."""
        new: dict[str, list[int]] = {}
        for worker, process in zip(workers, senders, strict=False):
            if self._senders.get(worker) != process:
                new.setdefault(process, []).append(worker)
        return new

    def read(self, start: int, stop: int) -> Iterator[RoundRecord]:
        """Rounds ``start`` to ``stop - 1``, each read when the iterator reaches it.

        Raises:
            LogError: a round that was pruned, is not there yet or is damaged.
        """
        first = self.first_kept()
        if start < min(first, stop):
            raise LogError(
                f"round {start} is no longer in the log, the first is {first}: begin with the snapshot"
            )
        if stop > self.next_round:
            raise LogError(f"round {stop - 1} is not in the log: it has {self.next_round} rounds")
        return (rows.record_of(self._row(round_)) for round_ in range(start, stop))

    def digest_at(self, round_: int) -> int | None:
        """The digest that was appended with a round, uint64; None where none was, or where the round was pruned.

        Raises:
            LogError: the round is not there yet, or is damaged.
        """
        if round_ < self.first_kept():
            return None
        row = self._row(round_)
        rows.record_of(row)
        return int.from_bytes(row.digest, "little") if row.digest else None

    def last_counted(self) -> counted.LastCounted:
        """The last round in which each worker's payload was counted, whatever was pruned.

        It is int64 [workers], not to be written to, with ``counted.NEVER`` for a worker without one.

        Raises:
            LogError: it is damaged, or a round since the newest snapshot is.
        """
        with self._file.mutex:
            if self._counted is None:
                since, last = self._stored_counted()
                self._counted = counted.count(last, self.read(since, self.next_round))
            return self._counted

    def _stored_counted(self) -> tuple[int, counted.LastCounted]:
        """What the log holds besides its rounds, and the first round that is not in it."""
        found, first = self._read_added("SELECT * FROM counted", since=4), self.first_kept()
        if found:
            since, last = counted.read(found[0])
            if first <= since <= self.next_round and last.size == self.config.workers:
                return since, last
        elif first == 0 or self.next_round == 0:
            return 0, counted.none_counted(self.config.workers)
        elif self._file.version < 4:
            return first, counted.assumed_counted(self.config.workers, first)
        raise self._file.damaged()

    def senders_of(self) -> dict[int, str]:
        """The process that a worker's payloads come from, of every worker with a counted payload."""
        return dict(self._senders)

    def first_kept(self) -> int:
        """The first round that has not been pruned; ``next_round`` when all have."""
        (first,) = self._file.rows("SELECT min(round) FROM rounds")[0]
        return self.next_round if first is None else int(first)

    def prune(self, before: int) -> None:
        """Delete the rounds below ``before`` and their losses; the file reuses their space.

        Raises:
            LogError: the latest snapshot does not cover them.
        """
        with self._file.mutex:
            covered = self._snapshot_round() or 0
            if before > covered:
                raise LogError(
                    f"rounds below {before} cannot be pruned: the latest snapshot is after round {covered}"
                )
            with self._file.transaction() as db:
                for table in ("rounds", "losses"):
                    db.execute(f"DELETE FROM {table} WHERE round < ?", (before,))

    # ---- snapshots -----------------------------------------------------------------------------------------

    def snapshot(self, round_: int, data: bytes) -> None:
        """Store the model after ``round_`` rounds in place of the newest snapshot.

        Raises:
            LogError: no initial model, a snapshot older than the newest, or of rounds that the log does not have.
        """
        with self._file.mutex:
            newest = self._snapshot_round()
            if newest is None or round_ == 0:
                raise LogError("the model at round 0 is stored first, by set_initial")
            if not newest <= round_ <= self.next_round:
                raise LogError(
                    f"the snapshot is after round {round_}, expected {newest} to {self.next_round}"
                )
            last = self.last_counted()
            with self._file.transaction() as db:
                store(db, round_, data)
                counted.write(db, self.next_round, last)
            self._unfolded = self._payload_bytes()

    def bytes_since_snapshot(self) -> int:
        """Payload bytes of the rounds that the newest snapshot does not cover."""
        return self._unfolded

    # ---- rows ----------------------------------------------------------------------------------------------

    def _run_row(self) -> rows.RunRow:
        (row,) = self._read("SELECT * FROM run") or [None]
        if row is None:
            raise self._file.damaged()
        return rows.RunRow(*row)

    def _config(self) -> RunConfig:
        try:
            return RunConfig.from_json(self._run.config)
        except (ConfigError, ValueError, TypeError) as error:
            raise LogError(f"{self._file.where} has a configuration that this release cannot read") from error

    def _check_rounds(self) -> None:
        """The last round is in the log, or in the snapshot that let it be pruned."""
        (last,) = self._file.rows("SELECT max(round) FROM rounds")[0]
        there = (self._snapshot_round() or 0) if last is None else last + 1
        if there != self.next_round:
            raise LogError(
                f"the log ends after {there} rounds, expected {self.next_round}: restore it from a copy"
            )

    def _payload_bytes(self) -> int:
        since = self._snapshot_round() or 0
        (total,) = self._file.rows("SELECT sum(length(payloads)) FROM rounds WHERE round >= ?", since)[0]
        return int(total or 0)

    def _row(self, round_: int) -> rows.RoundRow:
        try:
            found = self._file.rows("SELECT * FROM rounds WHERE round = ?", round_)
        except LogError as error:
            raise LogError(f"round {round_} is damaged in the log: {error}") from error
        if not found:
            raise LogError(f"round {round_} is missing from the log")
        return rows.RoundRow(*found[0])
