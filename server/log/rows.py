"""Rounds and snapshots as rows: packed integers, one payload BLOB, and a checksum over all of it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from gradwire.common.errors import LogError
from gradwire.common.training.record import RoundRecord

PART_BYTES = 1 << 26  # of a snapshot in one row: SQLite holds no BLOB above 1e9 bytes
_HEAD = struct.Struct("<BQ")


def pack_ints(values: Sequence[int]) -> bytes:
    """Integers in [0, 2**64) in few bytes: equal ones once, others in 1, 2, 4 or 8 bytes each, as the largest needs.

    >>> len(pack_ints([22] * 1000)), len(pack_ints(range(200)))
    (17, 209)
    >>> unpack_ints(pack_ints([3, 1, 70_000]))
    (3, 1, 70000)
    """
    array = np.array(values, "<u8")
    if array.size and (array == array[0]).all():
        return _HEAD.pack(0, array.size) + array[:1].tobytes()
    width = np.min_scalar_type(int(array.max(initial=0))).itemsize
    return _HEAD.pack(width, array.size) + array.astype(f"<u{width}").tobytes()


def unpack_ints(data: bytes) -> tuple[int, ...]:
    """What ``pack_ints`` was given."""
    width: int
    count: int
    width, count = _HEAD.unpack_from(data)
    if width == 0:
        return (int.from_bytes(data[_HEAD.size :], "little"),) * count
    return tuple(int(v) for v in np.frombuffer(data, f"<u{width}", count, _HEAD.size))


def checksum(*fields: int | str | bytes) -> bytes:
    """Eight bytes that change with any field, its type, and where one ends and the next begins: BLAKE2b."""
    total = hashlib.blake2b(digest_size=8)
    for field in fields:
        data = field.to_bytes(8, "little", signed=True) if isinstance(field, int) else field
        data = data.encode() if isinstance(data, str) else data
        total.update(b"%s %d " % (type(field).__name__.encode(), len(data)))
        total.update(data)
    return total.digest()


class RunRow(NamedTuple):
    """The one row of table ``run``: its configuration, its id, and how many rounds it has.

    The number could be counted in table ``rounds``, but damage that hides the last round would then go unnoticed.
    """

    config: str
    run_id: bytes
    rounds: int
    checksum: bytes


def run_row(config: str, run_id: bytes, rounds: int) -> RunRow:
    """The row of a run with so many rounds."""
    return RunRow(config, run_id, rounds, checksum(config, run_id, rounds))


class RoundRow(NamedTuple):
    """A committed round as table ``rounds`` holds it.

    Attributes:
        workers: packed differences of the increasing ids, the first from -1: a complete cohort takes 17 bytes.
        lengths: packed lengths of the payloads, in bytes; one more where the downlink sent something of its own.
        examples: packed example counts; none where workers weigh equally.
        digest: of the model after the round, uint64; empty where it was not taken.
        payloads: all payloads, in worker order, then what the downlink sent.
        checksum: of everything before it.
    """

    round: int
    workers: bytes
    lengths: bytes
    examples: bytes
    digest: bytes
    payloads: bytes
    checksum: bytes


def round_row(record: RoundRecord, digest: int | None) -> RoundRow:
    """The row of a round.

    Raises:
        LogError: ids that do not increase, or not one payload (and example count) per worker.
    """
    steps = [b - a for a, b in pairwise((-1, *record.workers))]
    if min(steps, default=1) < 1:
        raise LogError(f"round {record.round}: the workers are not in increasing order")
    if len(record.payloads) != len(steps) or len(record.examples or steps) != len(steps):
        raise LogError(f"round {record.round}: expected one payload per worker, {len(steps)} of them")
    parts = [*record.payloads, record.sent] if record.sent else record.payloads
    fields = (
        record.round,
        pack_ints(steps),
        pack_ints([len(part) for part in parts]),
        pack_ints(record.examples),
        b"" if digest is None else digest.to_bytes(8, "little"),
        b"".join(parts),
    )
    return RoundRow(*fields, checksum(*fields))


def record_of(row: RoundRow) -> RoundRecord:
    """The round that a row holds.

    Raises:
        LogError: the row is damaged.
    """
    if not is_whole(row):
        raise LogError(f"round {row.round} is damaged in the log: restore the directory from a copy")
    workers = tuple(accumulate(unpack_ints(row.workers), initial=-1))[1:]
    ends = accumulate(unpack_ints(row.lengths), initial=0)
    parts = tuple(row.payloads[a:b] for a, b in pairwise(ends))
    payloads, sent = parts[: len(workers)], b"".join(parts[len(workers) :])
    return RoundRecord(row.round, workers, payloads, unpack_ints(row.examples), sent)


class SnapshotRow(NamedTuple):
    """One part of a snapshot as table ``snapshots`` holds it."""

    round: int
    part: int
    parts: int
    data: bytes
    checksum: bytes


def snapshot_rows(round_: int, data: bytes) -> list[SnapshotRow]:
    """The rows of the snapshot after ``round_`` rounds."""
    pieces = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)] or [b""]
    keys = [(round_, part, len(pieces), piece) for part, piece in enumerate(pieces)]
    return [SnapshotRow(*key, checksum(*key)) for key in keys]


def snapshot_of(round_: int, rows: Sequence[SnapshotRow]) -> bytes:
    """The snapshot after ``round_`` rounds, from its rows in order.

    Raises:
        LogError: a row is damaged or missing.
    """
    places = [(row.part, row.parts) for row in rows]
    if not rows or not all(map(is_whole, rows)) or places != [(part, len(rows)) for part in range(len(rows))]:
        raise LogError(f"the snapshot after round {round_} is damaged: restore the directory from a copy")
    return b"".join(row.data for row in rows)


def is_whole(row: tuple[int | str | bytes, ...]) -> bool:
    """Whether a row's last field is the checksum of the others; damage may have changed their types too."""
    try:
        return checksum(*row[:-1]) == row[-1]
    except TypeError:
        return False
