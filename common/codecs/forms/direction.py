"""Codecs that rotate at random and then round to the nearest point: the randomness is the basis, not the choice."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, Array
from gradwire.common.arrays.hadamard import next_power_of_two
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.codecs.codec import Codec
from gradwire.common.codecs.forms.dithered import below_float32
from gradwire.common.codecs.hooks import S
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.wrappers.rotated import working_precision
from gradwire.common.randomness import Coins

# Coordinates: with fewer, signs and Hadamard transforms make too few rotations, however many rounds there are.
LEAST_SIZE = 64
LARGE_SIZE = 1024  # coordinates from which three rounds are as good as six


@dataclass(frozen=True, kw_only=True)
class DirectionCodec(Codec[S]):
    """A rotation R by the public seed, a deterministic choice c(R x), and R^T of what that stands for.

    Over a uniformly random R the mean of the estimate is a multiple of x, by symmetry: its component across x has mean
    zero whatever c is, and the right scale makes it unbiased (theory, section 5). Here R is rounds of random signs and
    a Hadamard transform on D = 2^t >= 64 coordinates: three rounds, and six below 1,024 coordinates, leave less bias
    than 0.003 |x|, which is what could be measured (one round leaves up to 0.7 |x| where one coordinate is large, two
    leave 0.05 |x| where two are). The seed must differ by worker and round: under a shared rotation the workers'
    errors add up (erratum V14).

    So ``unbiased`` and ``variance`` are statements about averages over seeds; for one seed there is no randomness at
    all. ``variance`` is that of a uniformly random rotation of R^D.
    """

    shared_randomness = True
    unbiased_given_shared = False
    variance_given_shared = False

    @property
    def size(self) -> int:
        """D: coordinates after padding, a power of two."""
        return rotated_size(self.dim)

    @property
    def variance_is_bound(self) -> bool:
        return True

    def variance(self, norm: float = 1.0) -> float:
        """V |x|^2 where D = d; less where padding is cut off again, and with it the errors there.

        The error is a multiple a - 1 of x and a part across, which is as long along all D - 1 axes. A decoded point of
        norm sqrt(V + 1) has Var a <= (V + 1) / (D - 1) (Poincare's inequality on the sphere).
        """
        kept, v = (self.dim - 1) / (self.size - 1), self._relative_variance
        return norm**2 * (kept * v + (1 - kept) * (v + 1) / (self.size - 1))

    @property
    @abstractmethod
    def _relative_variance(self) -> float:
        """V: E|estimate - y|^2 / |y|^2 on D coordinates."""

    @abstractmethod
    def _choose(self, y: Array, vector: GradientVector, shared: int) -> S:
        """The symbols for the rotated values y [D] of a gradient, whose ``factor`` is not in y."""

    @abstractmethod
    def _rotated_estimate(self, symbols: S, shared: int) -> F64:
        """What the symbols stand for before the rotation is undone: float64 [D]."""

    def _chosen(self, vector: GradientVector, shared: int) -> S:
        """The symbols for a gradient."""
        return self._choose(
            random_rotation(self.size, shared).apply(working_precision(vector)), vector, shared
        )

    def _seed(self, symbols: S, shared: int) -> int:
        """The seed of the rotation that the symbols are in."""
        return shared

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> S:
        return self._chosen(vector, shared)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[S, float]]:
        yield self._chosen(vector, shared), 1.0

    def _reconstruct(self, symbols: S, shared: int) -> NDArray[np.float64]:
        rotation = random_rotation(self.size, self._seed(symbols, shared))
        x: NDArray[np.float64] = rotation.invert(self._rotated_estimate(symbols, shared))
        return x[: self.dim]


def rotated_size(dim: int) -> int:
    """Coordinates after padding: a power of two from which signs and transforms make random rotations."""
    return max(LEAST_SIZE, next_power_of_two(dim))


def random_rotation(size: int, shared: int) -> Rotation:
    """A rotation of R^size that passes for a uniformly random one, from a public seed."""
    return Rotation(size, 3 if size >= LARGE_SIZE else 6, shared)


def nearest_float32(value: float) -> float:
    """A length as the float32 that is sent.

    Raises:
        DomainError: it is beyond float32.
    """
    return float(np.float32(below_float32(value)))
