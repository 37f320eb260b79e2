"""A worker's own account of what it has sent of its data: paid for before a payload leaves, and never forgotten.

One SQLite file, ``privacy.db``, in the state directory of one worker process, for the data that this process holds.
Every payload of a private codec is a row, keyed by run, worker and round, and committed before it is handed out: a
process that is killed at any point has counted every payload that may have left it, and hands out the same bytes again
for the same round.

What counts as spent, and until when a push is paid for, is defined in common/privacy/budget.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gradwire.common.errors import BudgetError, PrivacyError
from gradwire.common.privacy.accounting import MAX_PUSHES, affordable
from gradwire.common.privacy.budget import Budget, Run, Totals
from gradwire.worker.privacy.ledger_file import KEPT_ROUNDS, NAME, LedgerFile


class Ledger:
    """The open account of one worker process; in memory where there is no directory."""

    def __init__(self, directory: Path | None, budget: Budget | None = None) -> None:
        """Open the directory's ledger, or make one.

        Args:
            directory: the worker's state directory; None counts for as long as this process lives.
            budget: what may be spent; None counts without a limit.

        Raises:
            LogError: the ledger is damaged, something else, in use by another process, or cannot be written.
        """
        self.budget = budget
        self._file = LedgerFile(directory)
        try:
            self._pushes = self._file.pushes()
        except BaseException:
            self._file.close()
            raise
        self._run: Run | None = None

    def close(self) -> None:
        """Close the file and let another process have it."""
        self._file.close()

    def admit(self, run: Run) -> int:
        """Take part in a run; returns how many more pushes of it the budget pays for (a bound where there is none).

        What is promised is the first push of each worker. How many rounds will draw a worker is not known, so a run is
        not refused for having more rounds than the budget pays for.

        Raises:
            PrivacyError: the run was joined before with another codec, task or local steps, or as other workers.
            BudgetError: its first push would exceed the budget.
        """
        if self._file.fingerprint(run.run_id) not in (None, run.fingerprint):
            raise PrivacyError(
                "the run changed its codec, task, local steps or seed after this worker took part: "
                "its server is not to be trusted"
            )
        before = self.workers(run.run_id)
        if before and before != run.workers:
            raise PrivacyError(
                f"this worker took part in the run as {sorted(before)}, not {sorted(run.workers)}, and "
                "the same data must not count twice: start it with the --name or --workers that it had"
            )
        self._run = run
        left = self._left(run)
        # A run that took its last push may still need it sent again.
        if left == 0 and self._busiest(run.run_id) == 0:
            raise self._exceeded(run)
        return left

    def payloads(self, round_: int) -> Mapping[int, bytes] | None:
        """The payloads of a round that is paid for, by worker; None where it is not.

        Raises:
            PrivacyError: it was paid for, and its payloads are no longer kept.
        """
        kept: dict[int, bytes] = {}
        for worker, payload in self._file.payloads(self._admitted().run_id, round_).items():
            if payload is None:
                raise PrivacyError(
                    f"round {round_} was paid for more than {KEPT_ROUNDS} rounds ago and its payloads are no longer "
                    "kept: the server must not go back that far"
                )
            kept[worker] = payload
        return kept or None

    def spend(self, round_: int, payloads: Mapping[int, bytes]) -> None:
        """Pay for payloads of a round, one for each of the workers that push: they may leave once this has returned.

        A worker pays for the rounds alone in which it pushes. The run costs what its busiest worker has paid for, so a
        payload of another costs nothing more.

        Raises:
            BudgetError: the budget does not pay for it; nothing was spent.
            PrivacyError: payloads of other workers than the run's, or one that is paid for with other bytes.
            LogError: the disk refused it; nothing was spent.
        """
        run = self._admitted()
        paid = self.payloads(round_) or {}
        if any(paid.get(worker, payload) != payload for worker, payload in payloads.items()):
            raise PrivacyError(f"round {round_} is paid for with other payloads: a retry re-sends those")
        new = {worker: payload for worker, payload in payloads.items() if worker not in paid}
        if not new.keys() <= run.workers:
            raise PrivacyError(f"round {round_} has payloads of other workers than the run's")
        counts = self._pushes[run.run_id]
        busier = max((counts[worker] for worker in new), default=-1) >= self._busiest(run.run_id)
        if busier and self._left(run) == 0:
            raise self._exceeded(run)
        if new:
            self._file.add(run, round_, new)
            counts.update(new.keys())

    def workers(self, run_id: bytes) -> frozenset[int]:
        """The workers of a run that was spent for; none where it was not."""
        return self._file.workers(run_id)

    @property
    def pushes_left(self) -> int:
        """How many more pushes of the admitted run the budget pays for; a huge number where there is none."""
        return self._left(self._admitted())

    @property
    def totals(self) -> Totals:
        """What is spent so far, over all runs."""
        total = Totals(0.0, 0, 0.0, within_unit=True)
        for run_id, epsilon in self._file.epsilons().items():
            total = total.plus(epsilon, self._busiest(run_id))
        return total

    def _admitted(self) -> Run:
        if self._run is None:
            raise PrivacyError("no run was admitted: call `admit` before payloads are made")
        return self._run

    def _busiest(self, run_id: bytes) -> int:
        """Pushes of the worker that sent most: a run's workers hold disjoint data."""
        return max(self._pushes[run_id].values(), default=0)

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

    def _exceeded(self, run: Run) -> BudgetError:
        assert self.budget is not None
        now, delta = self.totals, self.budget.delta
        return BudgetError(
            f"the privacy budget of {self.budget} does not pay for another push of epsilon {run.epsilon:.4g}: "
            f"{now.epsilon(delta):.4g} is spent in {now.pushes} pushes ({self._file.where}); nothing more is sent"
        )


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
