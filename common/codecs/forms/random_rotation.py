"""Codecs that rotate at random and choose the nearest point: random are the basis, and the rounding of the scale."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64, Array
from gradwire.common.arrays.hadamard import next_power_of_two
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.codecs.codec import Codec
from gradwire.common.codecs.forms.scales import float32_law, random_float32
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.randomness import Coins

MAX_ROUNDS = 8  # of a rotation, where a spec sets them
LEAST_SIZE = 64  # coordinates: with fewer, signs and Hadamard transforms make too few different rotations
LARGE_SIZE = 1024  # coordinates from which three rounds are as good as six


class ScaledSymbols(Protocol):
    """Symbols whose estimate is proportional to ``scale``: a float32 from 0 on once it is rounded."""

    @property
    def scale(self) -> float: ...

    def _replace(self, *, scale: float) -> Self: ...


P = TypeVar("P", bound=ScaledSymbols)


@dataclass(frozen=True, kw_only=True)
class RandomRotationCodec(Codec[P]):
    """A rotation R by the public seed, a deterministic choice c(R x), and R^T of the decoded choice (theory 5).

    The one private coin rounds the choice's scale to a float32 next to it, without bias.

    Over a uniformly random R the mean of the estimate is a multiple of x, by symmetry: its component across x has mean
    zero whatever c is, and the right scale makes it unbiased. Here R is rounds of random signs and a Hadamard transform
    on D = 2^t >= 64 coordinates: three rounds, and six below 1,024 coordinates, leave a bias below what was measurable,
    0.01 |x| and less (theory 4; one round leaves up to 0.72 |x| on sparse vectors, two up to 0.17 |x|). The seed must
    differ by worker and round: under a shared rotation the workers' errors add up (erratum V14).

    So ``unbiased`` and ``variance`` are averages over seeds; for one seed only the scale's last bit is random.
    ``variance`` is that of a uniformly random rotation of R^D, and leaves that bit out: at most 2^-46 E|estimate|^2.
    """

    shared_randomness = True
    unbiased_given_shared = False
    variance_given_shared = False

    @cached_property
    def size(self) -> int:
        """D: coordinates after padding, a power of two."""
        return rotated_size(self.dim)

    @property
    def variance_is_bound(self) -> bool:
        return True

    def variance(self, norm: float = 1.0) -> float:
        """V |x|^2 where D = d; less where padding is cut off, with the errors there (theory 5, padding).

        The error is a multiple a - 1 of x and a part across, which is as long along all D - 1 axes. A decoded point of
        norm sqrt(V + 1) has Var a <= (V + 1) / (D - 1) (Poincare's inequality on the sphere).
        """
        kept, v = (self.dim - 1) / (self.size - 1), self._relative_variance
        return norm**2 * (kept * v + (1 - kept) * (v + 1) / (self.size - 1))

    # ---- hooks of families ---------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _relative_variance(self) -> float:
        """V: E|estimate - y|^2 / |y|^2 on D coordinates."""

    @abstractmethod
    def _round_rotated(self, y: Array, vector: GradientVector, shared: int) -> P:
        """The symbols, with the exact scale, for the rotated values y [D] of a gradient; its ``factor`` is not in y."""

    @abstractmethod
    def _rotated_estimate(self, symbols: P, shared: int) -> F64:
        """The decoded choice before the rotation is undone: float64 [D]."""

    def _rotation_seed(self, symbols: P, shared: int) -> int:
        """The seed of the rotation that the symbols belong to."""
        return shared

    # ---- hooks of Codec ------------------------------------------------------------------------------------

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> P:
        chosen = self._choose(vector, shared)
        return chosen._replace(scale=random_float32(chosen.scale, coins))

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[P, float]]:
        chosen = self._choose(vector, shared)
        for scale, probability in float32_law(chosen.scale):
            yield chosen._replace(scale=scale), probability

    def _choose(self, vector: GradientVector, shared: int) -> P:
        """The symbols of a gradient, the scale not rounded."""
        y = random_rotation(self.size, shared).apply(vector.working_values)
        return self._round_rotated(y, vector, shared)

    def _reconstruct(self, symbols: P, shared: int) -> NDArray[np.float64]:
        rotation = random_rotation(self.size, self._rotation_seed(symbols, shared))
        x: NDArray[np.float64] = rotation.invert(self._rotated_estimate(symbols, shared))
        return x[: self.dim]


def rotated_size(dim: int) -> int:
    """Coordinates after padding: a power of two, and enough for signs and transforms to make random rotations."""
    return max(LEAST_SIZE, next_power_of_two(dim))


def random_rotation(size: int, shared: int) -> Rotation:
    """A rotation of R^size from a public seed, in place of a uniformly random one."""
    return Rotation(size, 3 if size >= LARGE_SIZE else 6, shared)
