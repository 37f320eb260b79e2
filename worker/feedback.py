"""Error feedback: what a codec left out of one round's update is added to the next one's.

    p = x + e;  payload = encode(p);  e = p - decode(payload)

Sources: [1bit], [Memory], [EF]. A biased codec that contracts,
E|decode(encode(p)) - p|^2 <= (1 - δ) |p|^2 with δ > 0, then loses nothing: all decoded vectors and the memory e add up
to all updates, and E|e|^2 <= 4 (1 - δ) G^2 / δ^2 for updates of at most G ([EF] Lemma 3).
"""

from __future__ import annotations

import numpy as np

from gradwire.common.arrays.compat import Array, is_tensor, like, namespace, to_host
from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import LogError, SpecError
from gradwire.common.randomness import Coins

ARRAYS_KEPT = 2  # [dim] for each worker: the memory, and the one before the last round

# What an unbiased codec needs below an error of 1: stated variances leave out the rounding of headers and l1 sums.
HEADER_ROOM = 2.0**-13
FLOAT_ROOM = 1e-12


class ErrorFeedback:
    """The memory of one logical worker.

    It is an array of the updates' kind, NumPy or on a torch device; backends give the same bits. Each round makes a new
    array, so that one that was read stays as it is.
    """

    def __init__(self, codec: AnyCodec) -> None:
        """An empty memory.

        Args:
            codec: must contract, at every length of the update plus memory; ``codec.contraction`` is 1 - δ.

        Raises:
            SpecError: the codec does not contract, so the memory could grow without bound.
        """
        _check_contracts(codec)
        self._codec = codec
        self._memory: Array = np.zeros(codec.dim, np.float32)

    @property
    def memory(self) -> Array:
        """e: float32 [dim], not to be written to."""
        return self._memory

    def restore(self, memory: Array | None) -> None:
        """Continue with that memory.

        Raises:
            LogError: there is none, or it has another shape.
        """
        if memory is None or tuple(memory.shape) != (self._codec.dim,):
            raise LogError(
                f"the state has no error feedback of {self._codec.dim} numbers: another release wrote it"
            )
        self._memory = memory

    def encode(self, update: Array, coins: Coins, *, shared: int | None = None) -> bytes:
        """The payload of update plus memory; the memory then holds what it leaves out.

        Args:
            update: floating array [dim], NumPy or torch; not written to.
            coins: private coins of this worker and round.
            shared: public seed of this worker and round, for codecs that need one.

        Raises:
            DomainError: the update, or its sum with the memory, cannot be encoded; nothing has changed.
        """
        values = GradientVector.of(update, self._codec.dim).values
        with np.errstate(over="ignore"):  # a sum beyond the floats is refused by the codec
            total = values + _on_device_of(self._memory, values)
        payload = self._codec.encode(total, coins, shared=shared)
        self._memory = _narrow(total - like(self._codec.decode(payload, shared=shared), total))
        return payload

    def add_back(self, payload: bytes, *, shared: int | None = None) -> None:
        """Add what the payload of an earlier round carried back to the memory: the round was committed without it."""
        estimate = self._codec.decode(payload, shared=shared)
        self._memory = _narrow(self._memory + like(estimate, self._memory))


def _check_contracts(codec: AnyCodec) -> None:
    """Check that a codec contracts at every length.

    Raises:
        SpecError: it does not.
    """
    most = 1 - (HEADER_ROOM if codec.unbiased else FLOAT_ROOM)
    if not codec.variance(1.0) < most:
        raise SpecError(
            f"error feedback with {codec} at {codec.dim} coordinates: its squared error may be "
            f"{codec.variance(1.0):.3g} times the gradient's, expected below 1: use a finer codec, or no feedback"
        )
    if not codec.contraction < most:
        raise SpecError(
            f"error feedback with {codec}: its bound does not grow with the gradient, so the memory would grow without "
            f"limit: expected a codec without a bound, as with gain=exact, or no feedback"
        )


def _on_device_of(memory: Array, x: Array) -> Array:
    """The memory on the backend and device of ``x``: it is copied once, since updates stay on one device."""
    return memory.to(x.device) if is_tensor(memory) and is_tensor(x) else like(to_host(memory), x)


def _narrow(values: Array) -> Array:
    xp = namespace(values)
    return xp.astype(values, xp.float32)
