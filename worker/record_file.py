"""The durable record of one logical worker: a file that is replaced before a payload leaves.

Magic, the length of a header, the header (JSON), the last payload, the arrays as little-endian bytes in the header's
order, and a BLAKE2b digest of all that: the bytes of payload and arrays, and a few hundred.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import LogError
from gradwire.common.system import atomic

MAGIC = b"gwrec001"  # the format and its version
DTYPES = {"float32": "<f4", "float64": "<f8", "int64": "<i8", "int32": "<i4", "uint8": "|u1", "bool": "|b1"}
_PREFIX = Struct("<8sI")  # magic, bytes of the header
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Sent:
    """What a worker sent for a round, or may have sent.

    Attributes:
        round: the round.
        payload: the encoded update.
        loss: mean training loss; None where there is none.
        examples: samples that it is the mean over.
    """

    round: int
    payload: bytes
    loss: float | None
    examples: int


@dataclass(frozen=True, eq=False)
class Record:
    """All that a logical worker needs to continue.

    Attributes:
        owner: names what the record belongs to: run, worker, codec and so on, in words.
        round: the next round.
        last: of the round before; None when there is nothing to send again.
        arrays: the memories by name, of dtypes in ``DTYPES``.
    """

    owner: Mapping[str, str]
    round: int
    last: Sent | None
    arrays: Mapping[str, NDArray[Any]]


def write_record(path: Path, record: Record) -> int:
    """Replace the file, durably: after a crash it holds this record or the one before. Returns its bytes.

    Raises:
        LogError: the disk refused it; the file is as it was.
    """
    arrays = {name: _portable(name, array) for name, array in sorted(record.arrays.items())}
    header = json.dumps(_header(record, arrays), separators=(",", ":")).encode()
    payload = record.last.payload if record.last is not None else b""
    views = (array.reshape(-1).view(np.uint8).data for array in arrays.values())
    parts: list[bytes | memoryview] = [_PREFIX.pack(MAGIC, len(header)), header, payload, *views]
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    parts.append(digest.digest())
    try:
        atomic.write(path, parts, sole_writer=True)
    except OSError as error:
        raise LogError(
            f"the record in {path} cannot be written: {error.strerror}; nothing was changed: "
            "see that the disk has room and may be written, and start again"
        ) from error
    return sum(map(len, parts))


def read_record(path: Path) -> Record:
    """The record that was written last.

    Raises:
        LogError: no such file, or it is damaged or something else.
    """
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise LogError(f"the record in {path} cannot be read: {error.strerror}") from error
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if len(body) < _PREFIX.size or blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
        raise LogError(f"the record in {path} is damaged: remove it to start with empty memories")
    magic, length = _PREFIX.unpack_from(body)
    if magic != MAGIC:
        raise LogError(f"the record in {path} is of another version: use the release that wrote it")
    at = _PREFIX.size + length
    return _record(json.loads(bytes(body[_PREFIX.size : at])), body[at:])


def _portable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An array as the file holds it."""
    if array.dtype.name not in DTYPES:
        raise LogError(f"the memory {name} is {array.dtype}, expected one of {', '.join(DTYPES)}")
    return np.ascontiguousarray(array, DTYPES[array.dtype.name]).reshape(array.shape)


def _header(record: Record, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    last = record.last
    sent = [last.round, len(last.payload), last.loss, last.examples] if last is not None else None
    rows = [[name, array.dtype.name, list(array.shape)] for name, array in arrays.items()]
    return {"owner": dict(record.owner), "round": record.round, "last": sent, "arrays": rows}


def _record(header: dict[str, Any], body: memoryview) -> Record:
    last, at = None, 0
    if header["last"] is not None:
        round_, at, loss, examples = header["last"]
        last = Sent(round_, bytes(body[:at]), loss, examples)
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        stored = np.dtype(DTYPES[dtype])
        end = at + stored.itemsize * math.prod(shape)
        arrays[name] = np.frombuffer(body[at:end], stored).reshape(shape).astype(dtype)
        at = end
    return Record(header["owner"], header["round"], last, arrays)
