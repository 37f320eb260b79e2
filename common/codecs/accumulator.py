"""Adding up payloads in the index domain, deterministically."""

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
    from gradwire.common.codecs import Codec


class Accumulator:
    """A weighted sum of payloads.

    Payloads of index codecs stay lists of (index, weight) until the end, so N payloads of s draws cost O(N s)
    and one synthesis. The order of ``add`` fixes the order of every float addition: same payloads, same
    order, same bits.
    """

    def __init__(self, codec: Codec[Any]) -> None:
        self._codec = codec
        self._terms: list[Terms] = []
        self._dense: NDArray[np.float64] | None = None
        self._weight = 0.0

    def add(self, payload: bytes, weight: float = 1.0, *, shared: int | None = None) -> None:
        """Add one payload times a positive weight.

        Raises:
            PayloadError: the payload is malformed; the sum is unchanged.
            ValueError: the weight is not a positive finite number.
        """
        self.add_all([payload], [weight], shared=[shared])

    def add_all(
        self,
        payloads: Sequence[bytes],
        weights: Sequence[float] | None = None,
        *,
        shared: Sequence[int | None] | None = None,
    ) -> None:
        """Add many payloads, in order: the same bits as one by one, and much faster where the codec reads batches.

        Raises:
            PayloadError: one of them is malformed; where others were added before it, the sum is void.
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
            self._weight = math.nan  # until the last one is in, the sum is of no use
            self._include(vector)
        self._weight = before
        for weight in weights:  # in this order too: sum() of a list rounds otherwise, by release of Python
            self._weight += weight

    def _include(self, vector: Terms | NDArray[np.float64]) -> None:
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
        """The weighted mean of the decoded payloads: float32, sparse where the codec is.

        Raises:
            ValueError: nothing was added.
            NotFiniteError: it is beyond float32; so is one of the payloads then, decoded by itself.
        """
        if not self._weight > 0:
            raise ValueError("the mean of no payloads is not defined: add good ones to a new accumulator")
        update = self._codec.synthesise(self._total())
        if isinstance(update, Sparse):
            return Sparse(update.size, update.indices, self._narrow(update.values))
        return self._narrow(update)

    def _narrow(self, total: NDArray[np.floating]) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):  # said better below
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
