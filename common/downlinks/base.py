"""The downlink contract: what a committed round looks like on its way to the replicas.

A downlink is a frozen dataclass: its fields are the parameters that a spec may set, and what both ends know of the run.
A family implements the hooks below in one file; registering the class is all that the server, the worker, ``auto`` and
the byte predictions need.

    server   mean of the payloads ──encode──▶ sent ──step──▶ update ──▶ model          (live)
             payloads and ``sent`` in the log ──step──▶ update ──▶ model               (restart)
             committed round ──build──▶ Entry, of the size that ``predict`` states
    replica  Entry ──read──▶ content ──apply──▶ model, equal to the server's bit for bit

``encode`` is the one hook that may draw coins or depend on the machine, so its result is stored and never computed
again. ``step`` is deterministic: a restarted server calls it with the stored rounds and ends with the same model and
the same state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NamedTuple, TypeVar, final

import numpy as np

from gradwire.common.arrays.compat import F32
from gradwire.common.arrays.update import Vector
from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import LogError
from gradwire.common.spec import spec_of
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers.base import State
from gradwire.common.training.record import RoundRecord
from gradwire.common.transport.traffic import entry_bytes
from gradwire.proto import wire_pb2

T = TypeVar("T")  # what a downlink reads from an entry


class PayloadSize(NamedTuple):
    """What an entry carries besides its framing."""

    bits: int
    bytes: int


@dataclass(frozen=True)
class CommittedRound:
    """A round that is in the log and folded into the server's model.

    Attributes:
        record: what the log keeps of it.
        update: what the model stepped by, float32 [dim]; None for an earlier round that is sent again.
        params: the parameters after it, float32 [dim]; None likewise.
        cohort: of the next round, increasing, where its entry names them.
    """

    record: RoundRecord
    update: Vector | None = None
    params: F32 | None = None
    cohort: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Downlink(ABC, Generic[T]):
    """One form in which committed rounds are sent to the replicas.

    What a family promises, as class attributes:

    - ``name`` in specs;
    - ``body``: the field of ``Entry.body`` that it fills;
    - ``announced``: Welcome names the downlink, because the entry's body alone does not say how to read it. ``auto``
      never takes such a one: it chooses once the dimension is known, and the first Welcome is sent before that;
    - ``replays_optimizer``: replicas take the optimizer's step themselves, so it must be portable;
    - ``relays``: entries of earlier rounds can be built from the log alone (``CommittedRound(record)``), so a replica
      that missed some of them need not take the whole model;
    - ``lossless``: the model steps by the exact mean of the payloads. ``auto`` chooses among these alone;
    - ``tie_rank``: between downlinks of equal size, ``auto`` takes the lowest.

    Attributes:
        codec: the run's codec, which also has the dimension.
        seed: the run's seed, from which public randomness is derived.
        workers: logical workers in the run.
        cohort: workers that are drawn for a round; 0: all that are connected.
    """

    codec: AnyCodec = field(metadata={"spec": False})
    seed: int = field(metadata={"spec": False})
    workers: int = field(metadata={"spec": False})
    cohort: int = field(default=0, metadata={"spec": False})

    name: ClassVar[str]
    body: ClassVar[str]
    announced: ClassVar[bool] = True
    replays_optimizer: ClassVar[bool] = True
    relays: ClassVar[bool] = False
    lossless: ClassVar[bool] = True
    tie_rank: ClassVar[int] = 0

    @final
    @property
    def spec(self) -> str:
        """The canonical spelling."""
        return str(spec_of(self))

    @final
    @property
    def most(self) -> int:
        """The most payloads that a round has."""
        return self.cohort or self.workers

    # ---- the server's part: from a round's mean to what the model steps by ----------------------------------

    def initial_state(self) -> State:
        """The server's state before round 0: named float32 arrays [dim]. It never leaves the server."""
        return {}

    def encode(self, record: RoundRecord, mean: Vector, state: State) -> bytes:
        """What the log must keep besides the payloads, because computing it again might give other bytes.

        Args:
            record: the round, without its ``sent``.
            mean: the weighted mean of its payloads, float32 [dim].
            state: the server's state before the round; ``encode`` does not change it.
        """
        return b""

    def step(self, record: RoundRecord, mean: Vector, state: State) -> Vector:
        """What the model steps by: float32 [dim]. The same bits live and after a restart.

        Args:
            record: the round, with its ``sent``.
            mean: the weighted mean of its payloads, float32 [dim].
            state: the server's state, which becomes that after the round.
        """
        return mean

    def snapshot(self, state: State) -> bytes:
        """A state as float32 little-endian bytes, its arrays in the order of their names."""
        return b"".join(np.ascontiguousarray(state[name], "<f4").tobytes() for name in sorted(state))

    def restore(self, data: bytes) -> State:
        """The state that ``snapshot`` was given.

        Raises:
            LogError: the bytes are not a snapshot of this downlink's state.
        """
        state = self.initial_state()
        expected = sum(4 * array.size for array in state.values())
        if len(data) != expected:
            raise LogError(
                f"{self.name}: the stored state has {len(data)} bytes, expected {expected}: it belongs to another run"
            )
        values, at = np.frombuffer(data, "<f4"), 0
        for name in sorted(state):
            np.copyto(state[name], values[at : at + state[name].size])
            at += state[name].size
        return state

    # ---- entries --------------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, committed: CommittedRound) -> wire_pb2.Entry:
        """The entry that carries a round."""

    @abstractmethod
    def predict(self, committed: CommittedRound) -> PayloadSize:
        """What the entry must carry, from the round and the run alone: never from the entry."""

    @abstractmethod
    def predict_body(self, committed: CommittedRound) -> int:
        """Bytes that the field ``body`` takes in the entry, its tag and length included; not asked of the entry."""

    @final
    def predict_message(self, committed: CommittedRound) -> int:
        """Bytes of the FromServer message or messages that carry the entry."""
        return entry_bytes(committed.record.round, self.predict_body(committed), committed.cohort)

    @abstractmethod
    def measure(self, entry: wire_pb2.Entry) -> PayloadSize:
        """What an entry does carry. Zero bits that fill up a last byte are not counted."""

    # ---- the replica's part ---------------------------------------------------------------------------------

    @property
    @abstractmethod
    def longest_entry(self) -> int:
        """Bytes that no entry's message exceeds: what a replica may be made to buffer for one."""

    @abstractmethod
    def read(self, entry: wire_pb2.Entry) -> T:
        """What an entry carries, validated.

        Raises:
            InvalidArgument: its parts do not fit together, or the run.
        """

    @abstractmethod
    def apply(self, content: T, model: Model) -> None:
        """Take a replica's model one round further.

        Raises:
            PayloadError: a payload is malformed.
            NotFiniteError: a parameter is no longer a finite number; the model is of no more use.
        """

    # ---- what ``auto`` and catching up go by ----------------------------------------------------------------

    @property
    @abstractmethod
    def bytes_per_round(self) -> int:
        """Payload bytes of one entry with ``most`` payloads: the most, where they vary."""

    @property
    def cheap_replay(self) -> bool:
        """Whether a replica applies an entry in about the time of one dense step."""
        return True
