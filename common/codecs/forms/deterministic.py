"""Codecs without private coins: the payload is a function of the gradient, and of a public seed if there is one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.update import Terms, as_dense
from gradwire.common.codecs.codec import Codec
from gradwire.common.codecs.hooks import S
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins


@dataclass(frozen=True, kw_only=True)
class DeterministicCodec(Codec[S]):
    """``_round`` takes the place of drawing; without a public seed the variance is the error of the one payload."""

    @abstractmethod
    def _round(self, vector: GradientVector, shared: int) -> S:
        """The symbols of a valid gradient."""

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> S:
        return self._round(vector, shared)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[S, float]]:
        yield self._round(vector, shared), 1.0

    def variance_at(self, x: NDArray[np.floating]) -> float:
        """|decode(encode(x)) - x|^2, bias included."""
        if self.shared_randomness:
            return super().variance_at(x)
        sent = self._reconstruct(self._round(GradientVector.of(x, self.dim), 0), 0)
        error = as_dense(sent.gather() if isinstance(sent, Terms) else sent) - x
        return float((error * error).sum())
