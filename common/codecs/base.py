"""The codec contract: a spec in, a fixed number of bits out, and back.

A codec is a frozen dataclass: its fields are its parameters, and two codecs with equal fields are the same
    codec. It holds no state; every ``encode`` depends on its arguments alone. A family implements the hooks
    at the end of ``Codec``; what callers use is final and validates.

    x ──quantize──▶ symbols ──pack──▶ payload ──unpack──▶ symbols ──reconstruct──▶ index domain
    ──synthesise──▶ x̂

``synthesise`` is linear, so a server adds up many payloads in the index domain and synthesises once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, U8, Array
from gradwire.common.arrays.update import Terms, Vector, as_dense
from gradwire.common.codecs.accumulator import Accumulator
from gradwire.common.codecs.symbols import stack, unstack
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import DomainError, PayloadError, SpecError
from gradwire.common.randomness import Coins, as_coins
from gradwire.common.spec import Spec, bind_arguments, canonical, fingerprint, parameter_fields, spelled

MAX_DIM = 1 << 40  # coordinates; more cannot be meant, and indices stay exact in every width we use

S = TypeVar("S")  # a family's symbols: what the payload says, before it is bits


class Example(NamedTuple):
    """A codec for the conformance suite; with ``enumerable`` its whole payload law is listed and checked."""

    spec: str
    dim: int
    enumerable: bool = False


@dataclass(frozen=True, kw_only=True)
class Codec(ABC, Generic[S]):
    """A quantizer for gradients of ``dim`` coordinates.

    What a family promises, as class attributes or properties:

    - ``name`` in specs, ``source``: paper and place;
    - ``fixed_length``: every payload has exactly ``nbits`` bits;
    - ``unbiased``: E[decode(encode(x))] == x on the domain; over the public randomness too where
      ``unbiased_given_shared`` is false;
    - ``variance_is_bound``: ``variance`` may be above the largest error instead of being it;
    - ``variance_given_shared``: ``variance`` holds for each public seed; where false, averaged over them;
    - ``shared_randomness``: encode and decode need the public seed of the worker and round;
    - ``index_domain``: payloads add up as index and weight, without a dense vector each;
    - ``epsilon``: pure local differential privacy of one payload, natural log; infinite when there is none;
      ``private``: there is one; ``epsilon_is_bound``: no pair of gradients need attain it;
    - ``secret_coins``: encoding refuses coins that are not the operating system's.
    """

    dim: int = field(metadata={"spec": False})

    name: ClassVar[str]
    source: ClassVar[str]
    plans: ClassVar[
        tuple[str, ...]
    ] = ()  # specs to plan with, see fitting.py; none: they follow from the parameters
    fixed_length: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    unbiased_given_shared: ClassVar[bool] = True
    variance_given_shared: ClassVar[bool] = True
    shared_randomness: ClassVar[bool] = False
    index_domain: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the parameters; families extend this with ``super().__post_init__()`` first."""
        given = Spec(
            self.name, (), tuple((f.name, getattr(self, f.name)) for f in parameter_fields(type(self)))
        )
        for name, value in bind_arguments(given, type(self)).items():
            object.__setattr__(self, name, value)  # p=4 and p=4.0 are one codec, and have one spec
        if not 1 <= self.dim <= MAX_DIM:
            raise SpecError(f"{self.name}: dim is {self.dim}, expected 1 to 2**40 coordinates")

    # ---- what callers use ----------------------------------------------------------------------------------

    @final
    def encode(self, x: Array, rng: Coins | np.random.Generator, *, shared: int | None = None) -> bytes:
        """Quantize a gradient to a payload of ``nbytes`` bytes whose padding bits are zero.

        Args:
            x: float array [dim] (NumPy, or a torch tensor on any device).
            rng: private coins; the payload is a function of the spec, x, the coins and ``shared`` alone.
            shared: the public seed of this worker and round, for codecs with ``shared_randomness``.

        Raises:
            DomainError: wrong shape or dtype, NaN or infinite, or outside the codec's domain.
        """
        vector = GradientVector.of(x, self.dim)
        symbols = self._quantize(vector, self._coins(rng), self._shared(shared))
        out = BitWriter()
        self._pack(symbols, out)
        if self.fixed_length and out.nbits != self.nbits:
            raise AssertionError(f"{self.name} wrote {out.nbits} bits, its spec says {self.nbits}")
        return out.tobytes()

    @final
    def decode(self, payload: bytes, *, shared: int | None = None) -> NDArray[np.float64]:
        """The estimate that a payload stands for: float64 [dim].

        Raises:
            PayloadError: bytes that no encoder of this codec makes.
        """
        vector = self.read(payload, shared=shared)
        total = vector.gather() if isinstance(vector, Terms) else vector
        return as_dense(self.synthesise(total)).astype(np.float64, copy=False)

    @final
    def read(self, payload: bytes, *, shared: int | None = None) -> Terms | NDArray[np.float64]:
        """A validated payload in the index domain, ready to be added up: terms, or float64 [index_size]."""
        return self._reconstruct(self._symbols(payload), self._shared(shared))

    @final
    def read_all(
        self, payloads: Sequence[bytes], weights: Sequence[float], shared: Sequence[int | None]
    ) -> Iterator[Terms | NDArray[np.float64]]:
        """Validated payloads times their weights in the index domain, in order; all at once where it ``batches``.

        Raises:
            PayloadError: as ``read``.
        """
        if self.batches and payloads:
            yield self._read_batch(self._symbols(self._stacked(payloads)), weights)
        else:
            yield from self.read_unpacked(map(self._symbols, payloads), weights, shared)

    @final
    def unpack_all(self, payloads: Sequence[bytes]) -> Iterator[S]:
        """The validated symbols of payloads, in order; one payload at a time unless it ``batches``.

        Raises:
            PayloadError: as ``validate_all``.
        """
        if self.batches and payloads:
            yield from unstack(self._symbols(self._stacked(payloads)), len(payloads))
        else:
            yield from map(self._symbols, payloads)

    @final
    def read_unpacked(
        self, symbols: Iterable[S], weights: Sequence[float], shared: Sequence[int | None]
    ) -> Iterator[Terms | NDArray[np.float64]]:
        """What ``read_all`` gives for the payloads that ``unpack_all`` took these symbols from, bit for bit."""
        if self.batches and weights:
            yield self._read_batch(stack(list(symbols)), weights)
        else:
            for each, weight, seed in zip(symbols, weights, shared, strict=True):
                yield self._times(self._reconstruct(each, self._shared(seed)), weight)

    @final
    def validate(self, payload: bytes) -> None:
        """Check that some encoder of this codec could have made the payload; raises as ``validate_all``."""
        self.validate_all([payload])

    @final
    def validate_all(self, payloads: Sequence[bytes]) -> None:
        """Check that some encoder of this codec could have made each payload.

        Raises:
            PayloadError: wrong length, an index out of range, padding set, a number that is not finite.
        """
        for _ in self.unpack_all(payloads):
            pass

    @final
    def accumulator(self) -> Accumulator:
        """An empty sum of payloads: cheaper than adding up decoded vectors."""
        return Accumulator(self)

    def synthesise(self, total: Vector) -> Vector:
        """The linear map from the index domain to gradients [dim]; the identity unless a family says otherwise."""
        return total

    @property
    def index_size(self) -> int:
        """The length of vectors in the index domain."""
        return self.dim

    @property
    @abstractmethod
    def nbits(self) -> int:
        """Exact payload length in bits (the maximum, where ``fixed_length`` is false): a function of spec and dim."""

    @final
    @property
    def nbytes(self) -> int:
        """Payload length in bytes."""
        return (self.nbits + 7) // 8

    @property
    def epsilon(self) -> float:
        """Pure local differential privacy of one payload over the codec's whole domain, natural log."""
        return math.inf

    @final
    @property
    def private(self) -> bool:
        """Whether one payload is differentially private: whether ``epsilon`` is finite."""
        return math.isfinite(self.epsilon)

    @property
    def epsilon_is_bound(self) -> bool:
        """Whether ``epsilon`` may be larger than the law's: proved, but attained by no pair of gradients."""
        return False

    @property
    def secret_coins(self) -> bool:
        """Whether encoding takes the operating system's coins alone: seeded ones would undo a claim of privacy."""
        return self.private

    @property
    def variance_is_bound(self) -> bool:
        """Whether ``variance`` is an upper bound that no vector need attain."""
        return False

    @property
    def batches(self) -> bool:
        """Whether the hooks that read payloads take many at once, along a leading axis."""
        return False

    @property
    def domain(self) -> str:
        """The gradients that can be encoded, in words."""
        return "every finite vector"

    @abstractmethod
    def variance(self, norm: float = 1.0) -> float:
        """The largest E|decode(encode(x)) - x|^2 over the vectors x of that l2 norm."""

    def variance_at(self, x: NDArray[np.floating]) -> float:
        """The exact E|decode(encode(x)) - x|^2 of one vector [dim]; families without a closed form raise."""
        raise NotImplementedError(f"{self.name} states no exact variance of a single vector")

    @final
    def law(self, x: NDArray[np.floating], *, shared: int | None = None) -> dict[bytes, float]:
        """Every payload that x can become, with its exact probability; for codecs with few payloads."""
        law: dict[bytes, float] = {}
        for symbols, probability in self._law(GradientVector.of(x, self.dim), self._shared(shared)):
            out = BitWriter()
            self._pack(symbols, out)
            payload = out.tobytes()
            law[payload] = law.get(payload, 0.0) + probability
        return law

    @cached_property
    def spec(self) -> str:
        """The canonical spelling, every parameter by name; ``parse(codec.spec, dim)`` is an equal codec."""
        return canonical(self.name, spelled(self))

    @cached_property
    def fingerprint(self) -> bytes:
        """16 bytes that are equal when, and only when, two codecs read each other's payloads."""
        return fingerprint(f"{self.spec} dim={self.dim}")

    def __str__(self) -> str:
        return self.spec

    @classmethod
    @abstractmethod
    def examples(cls) -> tuple[Example, ...]:
        """Codecs of this family for the conformance suite, at least one of them small."""

    # ---- what a family implements --------------------------------------------------------------------------

    @abstractmethod
    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> S:
        """Draw the symbols of a valid gradient."""

    @abstractmethod
    def _pack(self, symbols: S, out: BitWriter) -> None:
        """Write the symbols, exactly ``nbits`` bits of them."""

    @abstractmethod
    def _unpack(self, bits: BitReader) -> S:
        """Read the symbols back and raise PayloadError for what ``_pack`` never writes."""

    @abstractmethod
    def _reconstruct(self, symbols: S, shared: int) -> Terms | NDArray[np.float64]:
        """The symbols in the index domain: terms, or float64 [index_size]."""

    def _weigh(self, symbols: S, weights: F64) -> S:
        """For a codec that ``batches``: the symbols of a batch, standing for the estimates times their weights."""
        raise NotImplementedError(f"{self.name} does not read batches")

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[S, float]]:
        raise NotImplementedError(f"{self.name} does not enumerate its payloads")

    # ---- shared checks -------------------------------------------------------------------------------------

    def _symbols(self, payload: bytes | U8) -> S:
        """The symbols of one payload, or of a batch uint8 [n, nbytes]."""
        size = len(payload) if isinstance(payload, bytes) else payload.shape[-1]
        if size > self.nbytes or (self.fixed_length and size != self.nbytes):
            raise PayloadError(f"{self.name}: the payload has {size} bytes, expected {self.nbytes}")
        bits = BitReader(payload)
        try:
            symbols = self._unpack(bits)
        except PayloadError as error:  # the parts that found it do not know whose payload it is
            raise PayloadError(f"{self.name}: {error}") from error
        padding = 8 * size - bits.position
        last = np.frombuffer(payload, np.uint8) if isinstance(payload, bytes) else payload
        if padding >= 8 or (padding and (last[..., -1] >> (8 - padding)).any()):
            raise PayloadError(f"{self.name}: bits are set after the payload's end, expected zero padding")
        return symbols

    def _read_batch(self, symbols: S, weights: Sequence[float]) -> Terms | NDArray[np.float64]:
        return self._reconstruct(self._weigh(symbols, np.asarray(weights, np.float64)), 0)

    def _stacked(self, payloads: Sequence[bytes]) -> U8:
        wrong = next((len(p) for p in payloads if len(p) != self.nbytes), None)
        if wrong is not None:
            raise PayloadError(f"{self.name}: the payload has {wrong} bytes, expected {self.nbytes}")
        return np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), self.nbytes)

    @staticmethod
    def _times(vector: Terms | NDArray[np.float64], weight: float) -> Terms | NDArray[np.float64]:
        if isinstance(vector, Terms):
            return Terms(vector.size, vector.indices, vector.weights * weight)
        return vector if weight == 1 else vector * weight

    def _coins(self, rng: Coins | np.random.Generator) -> Coins:
        coins = as_coins(rng)
        if self.secret_coins and not coins.secret:
            raise DomainError(f"{self.name} is for privacy: its coins must be secret, pass SystemCoins()")
        return coins

    def _shared(self, shared: int | None) -> int:
        if shared is None and self.shared_randomness:
            raise DomainError(
                f"{self.name} uses public shared randomness: pass shared=shared_seed(run, round, worker)"
            )
        return shared or 0


AnyCodec = Codec[Any]
