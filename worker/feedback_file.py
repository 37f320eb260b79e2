"""The checkpoint of one worker's error feedback: a file that is replaced before a payload leaves.

A header, the last payload, the memory as little-endian float32 and a BLAKE2b digest of all that: 4 dim bytes and a few
hundred.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import LogError
from gradwire.common.system import atomic

MAGIC = b"gwfeed01"  # the format and its version
# magic, fingerprint, dim, next round, round of the last payload (-1: none), bytes of it
_HEADER = Struct("<8s16sQQqQ")
_DIGEST_BYTES = 16


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of one error feedback.

    Attributes:
        fingerprint: 16 bytes that identify codec, dimension, run and worker.
        round: the next round.
        last: the last payload and its round; None when there is none to send again.
        memory: float32 [dim].
    """

    fingerprint: bytes
    round: int
    last: tuple[int, bytes] | None
    memory: NDArray[np.float32]


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Replace the file: after a crash it holds this state or the one before.

    Raises:
        LogError: the disk refused it; the file is as it was.
    """
    round_, payload = state.last or (-1, b"")
    header = _HEADER.pack(MAGIC, state.fingerprint, state.memory.size, state.round, round_, len(payload))
    memory = np.ascontiguousarray(state.memory, "<f4").view(np.uint8).data
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for part in (header, payload, memory):
        digest.update(part)
    try:
        atomic.write(path, [header, payload, memory, digest.digest()], sole_writer=True)
    except OSError as error:
        raise LogError(
            f"the error feedback in {path} cannot be written: {error.strerror}; nothing was changed: "
            "see that the disk has room and may be written, and start again"
        ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """The state that was written last.

    Raises:
        LogError: no such file, or it is damaged or something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LogError(f"the error feedback in {path} cannot be read: {error.strerror}") from error
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if len(body) < _HEADER.size or blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
        raise LogError(f"the error feedback in {path} is damaged: remove it to start with an empty memory")
    magic, fingerprint, dim, round_, last_round, length = _HEADER.unpack_from(body)
    if magic != MAGIC:
        raise LogError(f"the error feedback in {path} is of another version: use the release that wrote it")
    payload = body[_HEADER.size : _HEADER.size + length]
    memory = np.frombuffer(body[_HEADER.size + length :], "<f4").astype(np.float32)
    if memory.size != dim or not np.isfinite(memory).all():
        raise LogError(
            f"the error feedback in {path} holds {memory.size} numbers, expected {dim} finite ones"
        )
    return Checkpoint(fingerprint, round_, (last_round, payload) if last_round >= 0 else None, memory)
