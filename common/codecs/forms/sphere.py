"""The variance of drawn vertices from their second moment; point sets on a sphere, where that is one number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs.forms.vertex import VertexCodec

OfChoice = Callable[[float, float], float]  # of what a length is sent with: its gain and its scale


def error_of(norm: float, draws: int, second_moment: OfChoice) -> OfChoice:
    """E|decode(encode(x)) - x|^2 of gradients with this l2 norm, given E|gain c|^2 of one drawn vertex c.

    The mean of the draws is scale * x; what clipping takes away is added.
    """

    def error(gain: float, scale: float) -> float:
        noise = max(0.0, second_moment(gain, scale) - (scale * norm) ** 2) / draws
        return noise + ((1 - scale) * norm) ** 2

    return error


@dataclass(frozen=True, kw_only=True)
class SphereCodec(VertexCodec):
    """Vertices that are all equally long: variance (gain^2 R^2 - |x|^2) / draws for every x (theory 1.1).

    Their sum is zero in all families here.
    """

    @property
    @abstractmethod
    def square(self) -> float:
        """R^2, the square of a vertex' length for gain 1."""

    @property
    def squares(self) -> float:
        return self.vertices * self.square

    def second_moment(self, norm: float) -> float:
        return self.square

    def variance(self, norm: float = 1.0) -> float:
        return self._gain.largest(norm, norm, self._error(norm))

    def variance_at(self, x: NDArray[np.floating]) -> float:
        norm = float(np.linalg.norm(x.astype(np.float64)))
        return self._gain.average(norm, self._error(norm))

    def _error(self, norm: float) -> OfChoice:
        return error_of(norm, self.draws, lambda gain, scale: gain**2 * self.square)
