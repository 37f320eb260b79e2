"""The variance of drawn vertices from their second moment; point sets on a sphere, where that is one number."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs.forms.gain import NoiseAt
from gradwire.common.codecs.forms.vertex import VertexCodec


def noise_of_draws(l2_norm: float, draws: int, second_moment: NoiseAt) -> NoiseAt:
    """E|mean of the draws - scale * x|^2 for |x| = ``l2_norm``: (E|gain c|^2 - |scale * x|^2) / draws.

    Args:
        l2_norm: |x|.
        draws: independent vertices per payload.
        second_moment: E|gain c|^2 of one drawn vertex c, by gain and scale.
    """

    def noise(gain: float, scale: float) -> float:
        return max(0.0, second_moment(gain, scale) - (scale * l2_norm) ** 2) / draws

    return noise


@dataclass(frozen=True, kw_only=True)
class SphereCodec(VertexCodec):
    """Vertices of one length R: variance (gain^2 R^2 - |x|^2) / draws for every x (theory 1.1).

    The vertices of every family add up to zero.
    """

    @property
    @abstractmethod
    def squared_radius(self) -> float:
        """R^2, for gain 1."""

    @property
    def sum_of_squares(self) -> float:
        return self.vertices * self.squared_radius

    def second_moment(self, norm: float) -> float:
        return self.squared_radius

    def variance(self, norm: float = 1.0) -> float:
        return self._gain.largest_error(norm, norm, norm, self._noise(norm))

    def variance_at(self, x: NDArray[np.floating]) -> float:
        norm = float(np.linalg.norm(x.astype(np.float64)))
        return self._gain.error(norm, norm, self._noise(norm))

    def _noise(self, norm: float) -> NoiseAt:
        return noise_of_draws(norm, self.draws, lambda gain, scale: gain**2 * self.squared_radius)
