"""The last round in which each worker's payload was counted: the log knows it also of rounds that were pruned.

Table ``counted`` has the rounds up to its own; those since are read from the log. It is written with every snapshot,
before rounds are pruned, so together they always cover the run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gradwire.common.training.record import RoundRecord
from gradwire.server.log.notes import insert
from gradwire.server.log.rows import pack_ints, unpack_ints

NEVER = -1
LastCounted = NDArray[np.int64]  # [workers of the run], NEVER for those without a counted payload


def none_counted(workers: int) -> LastCounted:
    """Of a run that has no rounds."""
    return np.full(workers, NEVER, np.int64)


def assumed_counted(workers: int, pruned: int) -> LastCounted:
    """Of a log of an earlier version of the format whose first rounds were pruned: they counted, as far as is known."""
    return np.full(workers, pruned - 1, np.int64)


def count(last: LastCounted, records: Iterable[RoundRecord]) -> LastCounted:
    """Count rounds, in order; changes ``last`` and returns it."""
    for record in records:
        last[list(record.workers)] = record.round
    return last


def write(db: sqlite3.Connection, rounds: int, last: LastCounted) -> None:
    """Store within a transaction what holds after so many rounds, in place of an earlier row."""
    db.execute("DELETE FROM counted")
    insert(db, "counted", rounds, pack_ints((last + 1).tolist()))


def read(row: tuple[int, bytes, bytes]) -> tuple[int, LastCounted]:
    """The rounds that a row covers, and what holds after them."""
    return row[0], np.array(unpack_ints(row[1]), np.int64) - 1
