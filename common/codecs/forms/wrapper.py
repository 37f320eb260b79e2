"""Codecs around a codec: the inner symbols are written to the same bit stream, without padding between them."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.update import Terms, Vector
from gradwire.common.codecs.codec import AnyCodec, Codec
from gradwire.common.codecs.hooks import S
from gradwire.common.codecs.registry import parse
from gradwire.common.randomness import derived_seed
from gradwire.common.spec import Spec, parse_spec

INHERITED_FLAGS = (
    "fixed_length",
    "unbiased",
    "unbiased_given_shared",
    "variance_given_shared",
    "shared_randomness",
    "index_domain",
)


class WrapperCodec(Codec[S]):
    """A codec whose payloads are those of another one, ``_inner``, with the same guarantees.

    Families are dataclasses. They override a guarantee that they do not keep; a class attribute, in ``_flags``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._make_canonical()
        self._settle(**self._flags())

    @abstractmethod
    def _make_canonical(self) -> None:
        """Replace parameters by their canonical values, so that equal codecs have equal parameters."""

    @property
    @abstractmethod
    def _inner(self) -> AnyCodec:
        """The codec inside, which follows from the canonical parameters."""

    def _flags(self) -> dict[str, bool]:
        """Class attributes of ``Codec`` that follow from the inner codec."""
        return {flag: getattr(self._inner, flag) for flag in INHERITED_FLAGS}

    @property
    def nbits(self) -> int:
        return self._inner.nbits

    @property
    def epsilon(self) -> float:
        return self._inner.epsilon

    @property
    def epsilon_is_bound(self) -> bool:
        return self._inner.epsilon_is_bound

    @property
    def secret_coins(self) -> bool:
        return self._inner.secret_coins

    @property
    def _has_external_part(self) -> bool:
        return self.external or self._inner._has_external_part

    @property
    def domain(self) -> str:
        return self._inner.domain

    def _pack(self, symbols: S, out: BitWriter) -> None:
        self._inner._pack(symbols, out)

    def _unpack(self, bits: BitReader) -> S:
        symbols: S = self._inner._unpack(bits)
        return symbols


class TransformCodec(WrapperCodec[S]):
    """A linear map of the gradient in front of a codec ``inner``, with its guarantees where the map keeps them.

    Families have a field ``inner: Spec``, and implement how the inner gradient is made (``_quantize``, ``_law``) and
    the map undone (``_reconstruct``).
    """

    inner: Spec  # no field here: this class is not a dataclass

    def _make_canonical(self) -> None:
        """Make the spelling of ``inner`` canonical; families first resolve the parameters that set its dimension."""
        self._settle(inner=parse_spec(self._inner.spec))

    @cached_property
    def _inner(self) -> AnyCodec:
        return parse(self.inner, self.inner_dim)

    @property
    @abstractmethod
    def inner_dim(self) -> int:
        """Coordinates of the inner codec."""

    @property
    def variance_is_bound(self) -> bool:
        return True

    def _inner_seed(self, shared: int) -> int:
        """The public seed of the inner codec, from which no random number of the outer one is derived."""
        return derived_seed(shared, "inner")

    def _inner_estimate(self, symbols: S, shared: int) -> Terms | NDArray[np.float64]:
        """The inner codec's estimate, synthesised; terms stay terms where ``synthesise`` is the identity."""
        total = self._inner._reconstruct(symbols, self._inner_seed(shared))
        if type(self._inner).synthesise is Codec.synthesise:
            return total
        return _as_terms(self._inner.synthesise(total.gather() if isinstance(total, Terms) else total))


def _as_terms(vector: Vector) -> Terms | NDArray[np.float64]:
    if isinstance(vector, np.ndarray):
        return vector.astype(np.float64, copy=False)
    return Terms(vector.size, vector.indices, vector.values.astype(np.float64, copy=False))
