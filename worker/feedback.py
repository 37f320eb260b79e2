"""Error feedback: what a codec left out of one round's gradient is added to the next one's.

    p = x + e;  payload = encode(p);  e = p - decode(payload)

Sources: [1bit], [Memory], [EF]. A biased codec that contracts,
E|decode(encode(p)) - p|^2 <= (1 - δ) |p|^2 with δ > 0, then loses nothing: all decoded vectors and the memory e add up
to all gradients, and E|e|^2 <= 4 (1 - δ) G^2 / δ^2 for gradients of at most G ([EF] Lemma 3).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array, is_tensor, like, namespace, to_host
from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import LogError, SpecError, TaskError
from gradwire.common.randomness import Coins
from gradwire.common.spec import fingerprint
from gradwire.worker.feedback_file import Checkpoint, read_checkpoint, write_checkpoint


class ErrorFeedback:
    """The memory of one logical worker, and its last payload, so that a retry sends the same bytes.

    The memory is an array of the gradients' kind, NumPy or on a torch device; backends give the same bits. Use ``save``
    before a payload leaves and ``restore`` after a restart: a worker that restarts within a round re-sends what it may
    have sent, and continues bit for bit.
    """

    def __init__(self, codec: AnyCodec, *, run: str = "", worker: int = 0) -> None:
        """An empty memory.

        Args:
            codec: must contract; ``codec.variance(1.0)``, the largest squared error at norm 1, is 1 - δ.
            run: identifies the run, so that no other run's memory is restored.
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
            round_: rounds may be skipped; the last one gives its payload again, whatever else is passed.
            coins: private coins of this worker and round.
            shared: public seed of this worker and round, for codecs that need one.

        Raises:
            TaskError: a round before the last one.
            DomainError: the gradient, or its sum with the memory, cannot be encoded; nothing has changed.
        """
        if self._last is not None and self._last[0] == round_:
            return self._last[1]
        if round_ < self.round:
            raise TaskError(f"round {round_} is over: the error feedback is at round {self.round}")
        values = GradientVector.of(gradient, self._codec.dim).values
        with np.errstate(over="ignore"):  # a sum beyond the floats is refused by the codec
            total = values + _on_device_of(self._memory, values)
        payload = self._codec.encode(total, coins, shared=shared)
        self._memory = _narrow(total - like(self._codec.decode(payload, shared=shared), total))
        self._last, self.round = (round_, payload), round_ + 1
        return payload

    def last_payload(self, round_: int) -> bytes | None:
        """The last payload, if it was for that round and was not added back."""
        return self._last[1] if self._last is not None and self._last[0] == round_ else None

    def add_back(self, payload: bytes, round_: int, *, shared: int | None = None) -> None:
        """Add what the payload of an earlier round carried back to the memory: the round was committed without it."""
        if self._last is not None and self._last[0] == round_:
            self._last = None  # once: a checkpoint that is restored must not add it back again
        estimate = self._codec.decode(payload, shared=shared)
        self._memory = _narrow(self._memory + like(estimate, self._memory))

    def save(self, path: Path) -> None:
        """Write the state to a file, atomically and durably.

        Raises:
            LogError: the disk refused it.
        """
        write_checkpoint(path, Checkpoint(self._fingerprint, self.round, self._last, to_host(self._memory)))

    def restore(self, path: Path) -> None:
        """Take over the state that ``save`` wrote.

        Raises:
            LogError: no such file, damaged, or of another codec, dimension, run or worker; nothing has changed.
        """
        state = read_checkpoint(path)
        if state.fingerprint != self._fingerprint or state.memory.size != self._codec.dim:
            raise LogError(
                f"the error feedback in {path} is of another run, worker or codec: give each its own file"
            )
        self._memory, self._last, self.round = state.memory, state.last, state.round


def _on_device_of(memory: Array, x: Array) -> Array:
    """The memory on the backend and device of ``x``: it is copied once, since gradients stay on one device."""
    return memory.to(x.device) if is_tensor(memory) and is_tensor(x) else like(to_host(memory), x)


def _narrow(values: Array) -> Array:
    xp = namespace(values)
    return xp.astype(values, xp.float32)
