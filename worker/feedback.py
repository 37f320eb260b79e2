"""Error feedback: what a codec left out of one round's gradient is added to the next one's.

    p = x + e;  payload = encode(p);  e = p - decode(payload)

Seide et al. 2014; Stich, Cordonnier, Jaggi 2018; Karimireddy et al. 2019. A biased codec that contracts,
E|decode(encode(p)) - p|^2 <= (1 - δ) |p|^2 with δ > 0, then loses nothing for good: all that was decoded and the memory
e add up to all gradients, and E|e|^2 <= 4 (1 - δ) G^2 / δ^2 for gradients of at most G (Karimireddy, Lemma 3).
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, is_tensor, like, namespace, to_host
from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import LogError, SpecError, TaskError
from gradwire.common.randomness import Coins
from gradwire.common.spec import fingerprint
from gradwire.common.system import atomic

MAGIC = b"gwfeed01"  # the format and its version
_HEADER = Struct(
    "<8s16sQQqQ"
)  # magic, fingerprint, dim, next round, round of the kept payload (-1: none), its bytes
_DIGEST_BYTES = 16


class ErrorFeedback:
    """The memory of one logical worker, and its last payload, so that a retry sends the same bytes.

    The memory lives where the gradients do, NumPy or a torch device; backends give the same bits. Use ``save`` before a
    payload leaves and ``restore`` after a restart: a worker that comes back in the round it died in re-sends what it
    may have sent, and goes on from there bit for bit.
    """

    def __init__(self, codec: AnyCodec, *, run: str = "", worker: int = 0) -> None:
        """An empty memory.

        Args:
            codec: must contract; ``codec.variance(1.0)``, the largest squared error at norm 1, is 1 - δ.
            run: names the run, so that no other run's memory is restored.
            worker: the logical worker's id.

        Raises:
            SpecError: the codec does not contract, so the memory could grow without bound.
        """
        if not codec.variance(1.0) < 1:
            raise SpecError(
                f"error feedback with {codec} at {codec.dim} coordinates: its squared error may be "
                f"{codec.variance(1.0):.3g} times the gradient's, expected below 1: use a finer codec, or no feedback"
            )
        self._codec = codec
        self._fingerprint = fingerprint(f"{codec.spec} dim={codec.dim} run={run} worker={worker}")
        self._memory: Array = np.zeros(codec.dim, np.float32)
        self._last: tuple[int, bytes] | None = None
        self.round = 0

    @property
    def memory(self) -> NDArray[np.float32]:
        """A copy of e on the host: float32 [dim]."""
        return to_host(self._memory).copy()

    def encode(self, gradient: Array, round_: int, coins: Coins, *, shared: int | None = None) -> bytes:
        """The payload of gradient plus memory; the memory then holds what it leaves out.

        Args:
            gradient: floating array [dim], NumPy or torch; not written to.
            round_: rounds may be skipped; the one encoded last gives its payload again, whatever else is passed.
            coins: private coins of this worker and round.
            shared: public seed of this worker and round, for codecs that need one.

        Raises:
            TaskError: a round before the last one.
            DomainError: the gradient, or its sum with the memory, cannot be encoded; nothing has changed.
        """
        if self._last is not None and self._last[0] == round_:
            return self._last[1]
        if round_ < self.round:
            raise TaskError(
                f"round {round_} was asked of a memory that stands at round {self.round}: it is over"
            )
        values = GradientVector.of(gradient, self._codec.dim).values
        with np.errstate(over="ignore"):  # a sum beyond the floats is refused by the codec
            total = values + _beside(self._memory, values)
        payload = self._codec.encode(total, coins, shared=shared)
        self._memory = _narrow(total - like(self._codec.decode(payload, shared=shared), total))
        self._last, self.round = (round_, payload), round_ + 1
        return payload

    def kept(self, round_: int) -> bytes | None:
        """The last payload, where it was of that round and has not been given back."""
        return self._last[1] if self._last is not None and self._last[0] == round_ else None

    def give_back(self, payload: bytes, round_: int, *, shared: int | None = None) -> None:
        """Return what the payload of an earlier round carried: it was committed without it, as was learnt only now."""
        if self._last is not None and self._last[0] == round_:
            self._last = None  # once: a checkpoint that is restored must not give it back again
        estimate = self._codec.decode(payload, shared=shared)
        self._memory = _narrow(self._memory + like(estimate, self._memory))

    # ---- the worker's checkpoint ---------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the state to a file, atomically: after a crash it holds this state or the one before.

        Header (next round, fingerprint of codec, dim, run and worker), last payload, memory as little-endian float32,
        and a digest of all that: 4 dim bytes and a few hundred.

        Raises:
            LogError: the disk refused it.
        """
        round_, payload = self._last or (-1, b"")
        header = _HEADER.pack(MAGIC, self._fingerprint, self._codec.dim, self.round, round_, len(payload))
        memory = np.ascontiguousarray(to_host(self._memory), "<f4").view(np.uint8).data
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

    def restore(self, path: Path) -> None:
        """Take up the state that ``save`` wrote.

        Raises:
            LogError: no such file, damaged, or of another codec, dimension, run or worker; nothing has changed.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise LogError(f"the error feedback in {path} cannot be read: {error.strerror}") from error
        memory, last, round_ = self._parsed(data, path)
        self._memory, self._last, self.round = memory, last, round_

    def _parsed(self, data: bytes, path: Path) -> tuple[Any, tuple[int, bytes] | None, int]:
        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if len(body) < _HEADER.size or blake2b(body, digest_size=_DIGEST_BYTES).digest() != digest:
            raise LogError(
                f"the error feedback in {path} is damaged: remove it to start with an empty memory"
            )
        magic, mark, dim, round_, sent, length = _HEADER.unpack_from(body)
        if magic != MAGIC or mark != self._fingerprint:
            raise LogError(
                f"the error feedback in {path} is of another run, worker or codec: give each its own file"
            )
        payload = body[_HEADER.size : _HEADER.size + length]
        memory = np.frombuffer(body[_HEADER.size + length :], "<f4").astype(np.float32)
        if memory.size != dim or dim != self._codec.dim or not np.isfinite(memory).all():
            raise LogError(
                f"the error feedback in {path} holds {memory.size} numbers, expected {dim} finite ones"
            )
        return memory, (sent, payload) if sent >= 0 else None, round_


def _beside(memory: Array, x: Array) -> Array:
    """The memory on the backend and device of ``x``; gradients stay on one, so nothing crosses but once."""
    return memory.to(x.device) if is_tensor(memory) and is_tensor(x) else like(to_host(memory), x)


def _narrow(values: Array) -> Array:
    xp = namespace(values)
    return xp.astype(values, xp.float32)
