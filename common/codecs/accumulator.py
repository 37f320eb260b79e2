"""Weighted sums of payloads in the index domain, deterministic to the last bit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import all_finite
from gradwire.common.arrays.update import Sparse, Terms, Vector, as_dense, concatenate
from gradwire.common.codecs.payloads import partial_decode_all, partial_decode_unpacked
from gradwire.common.errors import NotFiniteError

if TYPE_CHECKING:
    from gradwire.common.codecs import AnyCodec


class Accumulator:
    """A weighted sum of payloads.

    Payloads of codecs with an index domain stay lists of (index, weight) until the end, so N payloads of s draws cost
    O(N s) and one synthesis. The order of ``add`` fixes the order of every float addition: the same payloads in the
    same order give the same bits.
    """

    def __init__(self, codec: AnyCodec) -> None:
        self._codec = codec
        self._terms: list[Terms] = []
        self._dense: NDArray[np.float64] | None = None
        self._weight = 0.0

    def add(self, payload: bytes, weight: float = 1.0, *, shared: int | None = None) -> None:
        """Add one payload times a positive weight; ``shared`` as for ``decode``.

        Raises:
            PayloadError: the payload is malformed; the sum is unchanged.
            DomainError: no ``shared`` where it is needed; the sum is unchanged.
            ValueError: the weight is not a positive finite number; the sum is unchanged.
        """
        self.add_all([payload], [weight], shared=[shared])

    def add_all(
        self,
        payloads: Sequence[bytes],
        weights: Sequence[float] | None = None,
        *,
        shared: Sequence[int | None] | None = None,
    ) -> None:
        """Add many payloads in order: the same bits as one by one, and much faster where the codec ``batches``.

        Args:
            payloads: of the accumulator's codec.
            weights: positive, one per payload; by default 1.
            shared: one public seed per payload, for codecs with ``shared_randomness``.

        Raises:
            PayloadError: one is malformed; if others were added before it, the sum is unusable.
            DomainError: one has no ``shared`` where it is needed; likewise.
            ValueError: a weight is not a positive finite number; the sum is unchanged.
        """
        weights = [1.0] * len(payloads) if weights is None else _checked(weights)
        self._add(partial_decode_all(self._codec, payloads, weights, shared), weights)

    def add_unpacked(
        self, symbols: Iterable[Any], weights: Sequence[float], *, shared: Sequence[int | None]
    ) -> None:
        """Add payloads that the codec's ``unpack_all`` has read: the same bits as ``add_all`` of the payloads.

        Raises:
            ValueError: a weight is not a positive finite number; the sum is unchanged.
        """
        self._add(partial_decode_unpacked(self._codec, symbols, _checked(weights), shared), weights)

    def _add(self, vectors: Iterable[Terms | NDArray[np.float64]], weights: Sequence[float]) -> None:
        before = self._weight
        for vector in vectors:
            # An error after this point leaves a sum without a weight, which ``mean`` refuses.
            self._weight = math.nan
            self._add_estimate(vector)
        self._weight = before
        # One by one: the rounding of sum() depends on the release of Python.
        for weight in weights:
            self._weight += weight

    def _add_estimate(self, vector: Terms | NDArray[np.float64]) -> None:
        if isinstance(vector, Terms):
            self._terms.append(vector)
        elif self._dense is None:
            self._dense = vector.copy()
        else:
            self._dense += vector

    @property
    def weight(self) -> float:
        """The sum of the weights added so far."""
        return self._weight

    def mean(self) -> Vector:
        """The weighted mean of the decoded payloads: float32 [dim], sparse where all of them are terms and few.

        Raises:
            ValueError: nothing was added, or ``add_all`` failed half-way.
            NotFiniteError: the mean is beyond float32; then so is one of the decoded payloads.
        """
        if not self._weight > 0:
            raise ValueError("the mean of no payloads is not defined: add valid ones to a new accumulator")
        update = self._codec.synthesise(self._total())
        if isinstance(update, Sparse):
            return Sparse(update.size, update.indices, self._narrow(update.values))
        return self._narrow(update)

    def _narrow(self, total: NDArray[np.floating]) -> NDArray[np.float32]:
        # Overflow is reported below, by an error instead of a warning.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = (total / self._weight).astype(np.float32)
        if not all_finite(mean):
            raise NotFiniteError(
                f"{self._codec.name}: the mean of the payloads is beyond float32: scale the loss down"
            )
        return mean

    def _total(self) -> Vector:
        if not self._terms:
            assert self._dense is not None
            return self._dense
        total = concatenate(self._terms).gather()
        return total if self._dense is None else self._dense + as_dense(total)


def _checked(weights: Sequence[float]) -> Sequence[float]:
    for weight in weights:
        if not 0 < weight < np.inf:
            raise ValueError(f"the weight is {weight}, expected a positive finite number")
    return weights
