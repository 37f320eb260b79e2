"""The codec contract for callers: a gradient in, a payload of a fixed number of bits out, and back.

``parse(spec, dim)`` builds a codec. What a family implements behind these methods is in ``hooks.py``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitWriter
from gradwire.common.arrays.compat import Array
from gradwire.common.arrays.update import Terms, as_dense
from gradwire.common.codecs.accumulator import Accumulator
from gradwire.common.codecs.hooks import CodecHooks, S
from gradwire.common.codecs.payloads import unpack_all, unpack_checked
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import DomainError, SpecError
from gradwire.common.randomness import Coins, as_coins
from gradwire.common.spec import Spec, bind_arguments, fingerprint, parameter_fields, spec_of

# Of gradients for ``contraction``, from end to end of float32: errors that are no multiple of the length show there.
LENGTHS = [2.0**e for e in range(-120, 121, 30)]
MAX_DIM = 1 << 40  # coordinates; indices stay exact in all widths and in float64


@dataclass(frozen=True, kw_only=True)
class Codec(CodecHooks[S]):
    """A quantizer for gradients of ``dim`` coordinates: immutable, without state, compared by its parameters.

    Attributes:
        dim: coordinates of a gradient, 1 to 2**40.
        fixed_length: every payload has exactly ``nbits`` bits; where false, at most that many.
        unbiased: E[decode(encode(x))] = x for every x in the domain.
        unbiased_given_shared: unbiased for every public seed; where false, on average over the seeds.
        variance_given_shared: ``variance`` holds for every public seed; where false, on average over the seeds.
        shared_randomness: ``encode`` and ``decode`` need the public seed of the worker and round.
        index_domain: payloads are added as pairs of index and weight, without a dense vector for each.
        external: the family comes from outside this package; ``register`` sets it.
    """

    dim: int = field(metadata={"spec": False})

    fixed_length: ClassVar[bool] = True
    unbiased: ClassVar[bool] = True
    unbiased_given_shared: ClassVar[bool] = True
    variance_given_shared: ClassVar[bool] = True
    shared_randomness: ClassVar[bool] = False
    index_domain: ClassVar[bool] = False
    external: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the parameters' types; families extend this, and call ``super().__post_init__()`` first."""
        given = tuple((f.name, getattr(self, f.name)) for f in parameter_fields(type(self)))
        # Values are converted to the types of the fields, so that p=4 and p=4.0 are one codec with one spec.
        self._settle(**bind_arguments(Spec(self.name, (), given), type(self)))
        if not 1 <= self.dim <= MAX_DIM:
            raise SpecError(f"{self.name}: dim is {self.dim}, expected 1 to 2**40 coordinates")

    # ---- payloads ------------------------------------------------------------------------------------------

    @final
    def encode(self, x: Array, rng: Coins | np.random.Generator, *, shared: int | None = None) -> bytes:
        """Quantize a gradient to a payload of ``nbytes`` bytes whose padding bits are zero.

        Args:
            x: float array [dim]: NumPy, or a torch tensor on any device.
            rng: private coins; the payload is a function of the spec, x, the coins and ``shared`` alone.
            shared: the public seed of this worker and round, for codecs with ``shared_randomness``.

        Raises:
            DomainError: wrong shape or dtype, NaN or infinite, outside the codec's domain, coins that are not secret
                where ``secret_coins``, or no ``shared`` where it is needed.
        """
        vector = GradientVector.of(x, self.dim)
        symbols = self._quantize(vector, self._checked_coins(rng), self._shared_seed(shared))
        out = BitWriter()
        self._pack(symbols, out)
        if self.fixed_length and out.nbits != self.nbits:
            raise AssertionError(f"{self.name} wrote {out.nbits} bits, its spec says {self.nbits}")
        return out.tobytes()

    @final
    def decode(self, payload: bytes, *, shared: int | None = None) -> NDArray[np.float64]:
        """The estimate of one payload: float64 [dim].

        Raises:
            PayloadError: bytes that no encoder of this codec makes.
            DomainError: no ``shared`` where it is needed.
        """
        estimate = self.partial_decode(payload, shared=shared)
        total = estimate.gather() if isinstance(estimate, Terms) else estimate
        return as_dense(self.synthesise(total)).astype(np.float64, copy=False)

    @final
    def validate(self, payload: bytes) -> None:
        """Check that some encoder of this codec could have made the payload; raises as ``validate_all``."""
        self.validate_all([payload])

    @final
    def validate_all(self, payloads: Sequence[bytes]) -> None:
        """Check that some encoder of this codec could have made each payload.

        Raises:
            PayloadError: wrong length, an index out of range, non-zero padding, a number that is not finite.
        """
        for _ in self.unpack_all(payloads):
            pass

    @final
    def unpack_all(self, payloads: Sequence[bytes]) -> Iterator[S]:
        """The validated symbols of payloads, in order; read one payload at a time unless the codec ``batches``.

        An accumulator takes them later, with the same bits as the payloads.

        Raises:
            PayloadError: as ``validate_all``.
        """
        return unpack_all(self, payloads)

    @final
    def accumulator(self) -> Accumulator:
        """An empty weighted sum of payloads: cheaper than a sum of decoded vectors."""
        return Accumulator(self)

    @final
    def partial_decode(self, payload: bytes, *, shared: int | None = None) -> Terms | NDArray[np.float64]:
        """A validated payload in the index domain, without ``synthesise``: terms, or float64 [index_size].

        Raises:
            PayloadError: as ``decode``.
            DomainError: as ``decode``.
        """
        return self._reconstruct(unpack_checked(self, payload), self._shared_seed(shared))

    # ---- what is stated of them ----------------------------------------------------------------------------

    @property
    @abstractmethod
    def nbits(self) -> int:
        """Payload length in bits, a function of spec and dim: exact; a proven maximum without ``fixed_length``."""

    @final
    @property
    def nbytes(self) -> int:
        """Payload length in bytes: ceil(nbits / 8)."""
        return (self.nbits + 7) // 8

    @property
    def domain(self) -> str:
        """The gradients that can be encoded, in words."""
        return "every finite vector"

    @abstractmethod
    def variance(self, norm: float = 1.0) -> float:
        """The largest E|decode(encode(x)) - x|^2 over vectors x with that l2 norm, bias included.

        In real numbers, given that the header holds its number exactly. What is sent is a float32, rounded up or at
        random: that changes the error by at most 2^-22 (E|decode(encode(x))|^2 + |x|^2). From 131,072 coordinates on,
        sums of float32 gradients are float32 and rounded up too: then an l1 norm is up to 3.2e-5 above the real one,
        and the error by at most 2^-13 of that sum.
        """

    @property
    def variance_is_bound(self) -> bool:
        """Whether ``variance`` is an upper bound that no vector need attain."""
        return False

    @cached_property
    def contraction(self) -> float:
        """The largest E|decode(encode(x)) - x|^2 / |x|^2 that ``variance`` states for any length of x.

        Below 1, what a payload leaves out is on average shorter than the gradient, whatever that is: what error
        feedback needs. It is 1 or more under a public bound and for ``aguq``: longer gradients lose all that is beyond
        the bound or the reach, and the noise on short ones is that of the bound.
        """
        return max(self.variance(norm) / norm**2 for norm in LENGTHS)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        """E|decode(encode(x)) - x|^2 of one vector [dim]: exact in real numbers, given an exact header (``variance``).

        Raises:
            NotImplementedError: the family has no closed form.
        """
        raise NotImplementedError(f"{self.name} states no exact variance of a single vector")

    @property
    def epsilon(self) -> float:
        """Pure local differential privacy of one payload over the whole domain, natural log; infinite without any."""
        return math.inf

    @property
    def epsilon_is_bound(self) -> bool:
        """Whether ``epsilon`` is an upper bound that no pair of gradients need attain."""
        return False

    @final
    @property
    def private(self) -> bool:
        """Whether one payload counts as differentially private: whether ``epsilon`` is finite.

        A codec with a part from outside this package counts as not private, whatever it states: its law was not tested
        with the others, and a ledger must not account for a number that nobody verified.
        """
        return math.isfinite(self.epsilon) and not self._has_external_part

    @property
    def _has_external_part(self) -> bool:
        """Whether the family, or that of a codec inside, is ``external``."""
        return self.external

    @property
    def secret_coins(self) -> bool:
        """Whether ``encode`` refuses coins other than the operating system's; seeded ones would void the privacy."""
        return self.private

    @final
    def law(self, x: NDArray[np.floating], *, shared: int | None = None) -> dict[bytes, float]:
        """Every payload of x [dim] with its exact probability.

        Raises:
            NotImplementedError: the family does not enumerate its payloads.
        """
        law: dict[bytes, float] = {}
        for symbols, probability in self._law(GradientVector.of(x, self.dim), self._shared_seed(shared)):
            out = BitWriter()
            self._pack(symbols, out)
            payload = out.tobytes()
            law[payload] = law.get(payload, 0.0) + probability
        return law

    @cached_property
    def spec(self) -> str:
        """The canonical spelling, every parameter by name; ``parse(codec.spec, dim)`` is an equal codec."""
        return str(spec_of(self))

    @cached_property
    def fingerprint(self) -> bytes:
        """16 bytes that are equal when, and only when, two codecs read each other's payloads."""
        return fingerprint(f"{self.spec} dim={self.dim}")

    def __str__(self) -> str:
        return self.spec

    # ---- checks of arguments -------------------------------------------------------------------------------

    def _checked_coins(self, rng: Coins | np.random.Generator) -> Coins:
        coins = as_coins(rng)
        if self.secret_coins and not coins.secret:
            raise DomainError(f"{self.name} is for privacy: its coins must be secret, pass SystemCoins()")
        return coins

    def _shared_seed(self, shared: int | None) -> int:
        if shared is None and self.shared_randomness:
            raise DomainError(
                f"{self.name} uses public shared randomness: pass shared=shared_seed(run, round, worker)"
            )
        return shared or 0


AnyCodec = Codec[Any]
