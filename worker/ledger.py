"""A worker's own account of what it has told about its data: spent before a payload leaves, and never forgotten.

One SQLite file, ``privacy.db``, in the state directory of one worker process, for the data that this process holds.
Every payload of a private codec is a row, keyed by run, worker and round, and committed before it is handed out: a
process that is killed at any point has counted whatever may have left it, and hands out the same bytes again for the
same round.

What counts as spent, and until when a push is paid for, stands in budget.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from gradwire.common.errors import BudgetError, LogError, PrivacyError
from gradwire.common.privacy.accounting import MAX_PUSHES, affordable
from gradwire.common.privacy.budget import Budget, Run, Totals
from gradwire.common.system.sqlite import SqliteFile
from gradwire.worker.ledger_file import LEDGER, NAME

KEPT_ROUNDS = 1024  # of a run, whose payloads are kept to be sent again


class Ledger:
    """The open account of one worker process; in memory where there is no directory."""

    def __init__(self, directory: Path | None, budget: Budget | None = None) -> None:
        """Open the directory's ledger, or make one.

        Args:
            directory: the worker's state directory; None counts for as long as this process lives.
            budget: what may be spent; None counts without a limit.

        Raises:
            LogError: the ledger is damaged, not a ledger, in use by another process, or cannot be written.
        """
        self.budget = budget
        self._file = (
            SqliteFile.in_memory(LEDGER)
            if directory is None
            else SqliteFile.create(LEDGER, directory, reopen=True)
        )
        try:
            self._sent = self._counted()
        except BaseException:
            self._file.close()
            raise
        self._run: Run | None = None

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._file.close()

    # ---- what a worker asks --------------------------------------------------------------------------------

    def admit(self, run: Run) -> int:
        """Take part in a run; returns how many more pushes of it the budget pays for (a bound where there is none).

        Raises:
            PrivacyError: the run was here before, with another codec or task, or for other workers.
            BudgetError: its first push would exceed the budget.
        """
        stored = self._file.rows("SELECT fingerprint FROM runs WHERE run = ?", run.run_id)
        if stored and stored[0][0] != run.fingerprint:
            raise PrivacyError(
                "the run changed its codec, task or seed after this worker took part: its server is not to be trusted"
            )
        before = self.workers(run.run_id)
        if before and before != run.workers:
            raise PrivacyError(
                f"this worker took part in the run as {sorted(before)}, not {sorted(run.workers)}, and "
                "the same data must not count twice: start it with the --name or --workers that it had"
            )
        self._run = run
        left = self._left(run)
        if left == 0 and not self._behind(run):
            raise self._spent(run)
        return left

    def kept(self, round_: int) -> Mapping[int, bytes] | None:
        """The payloads of a round that is paid for, by worker; None where it is not.

        Raises:
            PrivacyError: it is so long ago that its payloads are no longer kept.
        """
        run = self._admitted()
        rows = self._file.rows(
            "SELECT worker, payload FROM pushes WHERE run = ? AND round = ?", run.run_id, round_
        )
        if any(payload is None for _, payload in rows):
            raise PrivacyError(
                f"round {round_} was paid for more than {KEPT_ROUNDS} rounds ago and its payloads are no longer kept: "
                "the server must not go back that far"
            )
        return dict(rows) if rows else None

    def spend(self, round_: int, payloads: Mapping[int, bytes]) -> None:
        """Pay for a round: its payloads, one for each of the run's workers, may leave once this has returned.

        Raises:
            BudgetError: the budget does not pay for it; nothing was spent.
            PrivacyError: payloads of other workers, or a round that is paid for with other bytes.
            LogError: the disk did not take it; nothing was spent.
        """
        run = self._admitted()
        kept = self.kept(round_)
        if kept is not None:
            if kept != payloads:
                raise PrivacyError(f"round {round_} is paid for with other payloads: a retry re-sends those")
            return
        if payloads.keys() != run.workers:
            raise PrivacyError(f"round {round_} has payloads of other workers than the run's")
        if self._left(run) == 0:
            raise self._spent(run)
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
                "UPDATE pushes SET payload = NULL WHERE run = ? AND round = ?",
                (run.run_id, round_ - KEPT_ROUNDS),
            )
            db.execute("UPDATE runs SET pushes = pushes + ? WHERE run = ?", (len(payloads), run.run_id))
        self._sent[run.run_id].update(payloads.keys())

    def workers(self, run_id: bytes) -> frozenset[int]:
        """The workers of a run that was spent for; none where it was not."""
        rows = self._file.rows("SELECT workers FROM runs WHERE run = ?", run_id)
        return _unpacked(rows[0][0]) if rows else frozenset()

    @property
    def left(self) -> int:
        """How many more pushes of the admitted run the budget pays for; a huge number where there is none."""
        return self._left(self._admitted())

    @property
    def totals(self) -> Totals:
        """What is spent so far, over all runs."""
        total = Totals(0.0, 0, 0.0, within_unit=True)
        for run_id, epsilon in self._file.rows("SELECT run, epsilon FROM runs ORDER BY rowid"):
            total = total.plus(epsilon, self._busiest(run_id))
        return total

    # ---- inside --------------------------------------------------------------------------------------------

    def _admitted(self) -> Run:
        if self._run is None:
            raise PrivacyError("no run was admitted: ask `admit` before payloads are made")
        return self._run

    def _busiest(self, run_id: bytes) -> int:
        return max(self._sent[run_id].values(), default=0)

    def _behind(self, run: Run) -> bool:
        """Whether pushes of the run are paid for, and may have to be sent again."""
        return self._busiest(run.run_id) > 0

    def _left(self, run: Run) -> int:
        """How many more pushes of a run the budget pays for."""
        if self.budget is None:
            return MAX_PUSHES
        now, limit, delta = self.totals, self.budget.epsilon, self.budget.delta
        by_sum = affordable(max(limit - now.pure, 0.0), run.epsilon)
        unit = now.unit or run.epsilon
        if delta == 0 or not now.within_unit or run.epsilon > unit:
            return by_sum
        return max(by_sum, affordable(limit, unit, delta) - now.pushes)

    def _spent(self, run: Run) -> BudgetError:
        assert self.budget is not None
        now, delta = self.totals, self.budget.delta
        return BudgetError(
            f"the privacy budget of {self.budget} does not pay for another push of epsilon {run.epsilon:.4g}: "
            f"{now.epsilon(delta):.4g} is spent in {now.pushes} pushes ({self._file.where}); nothing more is sent"
        )

    def _counted(self) -> defaultdict[bytes, Counter[int]]:
        """Pushes by run and worker, checked against each run's own count.

        Raises:
            LogError: rows are missing, or SQLite finds damage.
        """
        sent: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
        for run, worker, count in self._file.rows(
            "SELECT run, worker, COUNT(*) FROM pushes GROUP BY run, worker"
        ):
            sent[run][worker] = count
        stated = dict(self._file.rows("SELECT run, pushes FROM runs"))
        whole = self._file.rows("PRAGMA quick_check") == [("ok",)]
        if not whole or stated != {run: counts.total() for run, counts in sent.items()}:
            raise LogError(f"{self._file.where} is damaged: {LEDGER.restore}")
        return sent


def workers_of(directory: Path, run_id: bytes) -> frozenset[int]:
    """The workers that a directory's ledger has spent for in a run; none where it took no part.

    Raises:
        LogError: the ledger is damaged, or in use.
    """
    if not (directory / NAME).exists():
        return frozenset()
    ledger = Ledger(directory)
    try:
        return ledger.workers(run_id)
    finally:
        ledger.close()


def _packed(workers: frozenset[int]) -> str:
    return ",".join(map(str, sorted(workers)))


def _unpacked(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(","))
