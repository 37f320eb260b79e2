"""Codecs that nobody should use: they have what the shipped families may lack, so that every branch of a check runs.

One is private, one variable in length, one biased, one needs shared randomness. None is registered.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Codec, Example
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.vqsgd.cross_polytope import CrossPolytope
from gradwire.common.errors import DomainError, PayloadError
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec


@dataclass(frozen=True, kw_only=True)
class PrivateToy(CrossPolytope):
    """Cross polytope with vertices twice as long: epsilon is finite (theory 1.1, row lam * C_cp with lam = 2)."""

    gain: Spec = Spec("bound", (1.0,))
    name = "private_toy"
    STRETCH: ClassVar[float] = 2.0

    @property
    def epsilon(self) -> float:
        d = self.dim
        return self.draws * math.log(2 * math.sqrt(d) + 2 - 1 / math.sqrt(d)) * (1 + 1e-12)

    @property
    def squared_radius(self) -> float:
        return self.STRETCH**2 * super().squared_radius

    def _draw(self, vector: GradientVector, count: int, coins: Coins) -> NDArray[np.int64]:
        return super()._draw(vector.scaled(1 / self.STRETCH), count, coins)

    def _probabilities(self, v: F64) -> F64:
        return super()._probabilities(v / self.STRETCH)

    def _terms(self, vertices: NDArray[np.int64], weight: float) -> Terms:
        return super()._terms(vertices, self.STRETCH * weight)

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        return super()._norm_estimate(vector)


@dataclass(frozen=True, kw_only=True)
class _Coordinatewise(Codec[Any]):
    """Independent choices, coordinate by coordinate, for vectors in the unit cube."""

    name = "toy"
    source = "tests"

    @property
    def domain(self) -> str:
        return "coordinates from -1 to 1"

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls.name, 3, enumerable=True),)

    def _levels(self, x: float, shared: int) -> dict[int, float]:
        """Symbol -> probability, for one coordinate."""
        raise NotImplementedError

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[NDArray[np.int64], float]]:
        choices = [self._levels(float(x), shared) for x in self._inside(vector)]
        for symbols in itertools.product(*choices):
            yield np.array(symbols), math.prod(c[s] for c, s in zip(choices, symbols, strict=True))

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> NDArray[np.int64]:
        drawn = []
        for x, uniform in zip(self._inside(vector), coins.uniforms(self.dim), strict=True):
            levels = self._levels(float(x), shared)
            at = int(np.searchsorted(np.cumsum(list(levels.values()))[:-1], uniform, side="right"))
            drawn.append(list(levels)[at])
        return np.array(drawn)

    def _inside(self, vector: GradientVector) -> F64:
        if np.abs(vector.on_host).max() > 1:
            raise DomainError(f"{self.name}: a coordinate is beyond 1, expected -1 to 1")
        return vector.on_host


@dataclass(frozen=True, kw_only=True)
class VariableToy(_Coordinatewise):
    """Ternary in a prefix code: 0 for zero, 10 for +1, 11 for -1."""

    name = "variable_toy"
    fixed_length = False

    @property
    def nbits(self) -> int:
        return 2 * self.dim

    def variance(self, norm: float = 1.0) -> float:
        return norm * math.sqrt(self.dim) - norm**2

    def variance_at(self, x: NDArray[np.floating]) -> float:
        return float(np.abs(x).sum() - x @ x)

    def _levels(self, x: float, shared: int) -> dict[int, float]:
        return {0: 1 - abs(x), (1 if x > 0 else -1): abs(x)} if x else {0: 1.0}

    def _pack(self, symbols: NDArray[np.int64], out: BitWriter) -> None:
        for s in symbols:
            out.write_int({0: 0, 1: 1, -1: 3}[int(s)], 1 if s == 0 else 2)

    def _unpack(self, bits: BitReader) -> NDArray[np.int64]:
        return np.array([0 if bits.read_int(1) == 0 else 1 - 2 * bits.read_int(1) for _ in range(self.dim)])

    def _reconstruct(self, symbols: NDArray[np.int64], shared: int) -> F64:
        return symbols.astype(float)


@dataclass(frozen=True, kw_only=True)
class BiasedToy(_Coordinatewise):
    """The nearest multiple of 1/4, offset by a public half step: deterministic, hence biased; 4 bits per coordinate."""

    name = "biased_toy"
    unbiased = False
    shared_randomness = True
    variance_is_bound: ClassVar[bool] = True

    @property
    def nbits(self) -> int:
        return 4 * self.dim

    def variance(self, norm: float = 1.0) -> float:
        return self.dim / 64

    def _levels(self, x: float, shared: int) -> dict[int, float]:
        return {round(4 * x - 0.5 * (shared % 2)) + 5: 1.0}

    def _pack(self, symbols: NDArray[np.int64], out: BitWriter) -> None:
        out.write(symbols, 4)

    def _unpack(self, bits: BitReader) -> NDArray[np.int64]:
        symbols = bits.read(self.dim, 4)
        if symbols.max() > 9:
            raise PayloadError(f"{self.name}: a level is {symbols.max()}, expected 0 to 9")
        return symbols

    def _reconstruct(self, symbols: NDArray[np.int64], shared: int) -> F64:
        return (symbols - 5 + 0.5 * (shared % 2)) / 4
