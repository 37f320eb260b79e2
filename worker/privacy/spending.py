"""What a process has spent of its data's privacy, read from its ledger while nobody needs to hold it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gradwire.common.privacy.budget import Totals
from gradwire.common.system.sqlite import SqliteFile
from gradwire.worker.privacy.ledger_file import LEDGER, NAME


@dataclass(frozen=True)
class Spending:
    """One process's account.

    Attributes:
        workers: logical workers that have pushed in the run.
        pushes: in the run, of the worker with the most.
        epsilon: of each of these pushes, natural log.
        lifetime: over all runs of the ledger.
    """

    workers: int
    pushes: int
    epsilon: float
    lifetime: Totals


def spending_of(directory: Path, run_id: bytes) -> Spending | None:
    """What the ledger in a state directory says of a run; None where it has none, or not of this run.

    Nothing in the directory is changed or locked.

    Raises:
        LogError: the ledger is damaged, something else, or being written.
    """
    if not (directory / NAME).exists():
        return None
    file = SqliteFile.peek(LEDGER, directory)
    try:
        counted = file.rows("SELECT run, worker, COUNT(*) FROM pushes GROUP BY run, worker")
        epsilons = dict(file.rows("SELECT run, epsilon FROM runs ORDER BY rowid"))
    finally:
        file.close()
    lifetime = Totals(0.0, 0, 0.0, within_unit=True)
    for run, epsilon in epsilons.items():
        lifetime = lifetime.plus(epsilon, max((n for of, _, n in counted if of == run), default=0))
    pushes = [count for run, _, count in counted if run == run_id]
    if run_id not in epsilons or not pushes:
        return None
    return Spending(len(pushes), max(pushes), epsilons[run_id], lifetime)
