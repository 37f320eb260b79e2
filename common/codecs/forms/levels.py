"""Uniform levels of an interval, as symbols of a payload; shared by coordinate-wise quantizers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, I64, Array, namespace
from gradwire.common.arrays.rounding import levels_law, slabs, stochastic_levels, uniforms_like
from gradwire.common.errors import PayloadError
from gradwire.common.randomness import Coins

MAX_LEVELS = 1 << 24
ODD = "(odd makes zero a level: 3, 7, 15, …)"


@dataclass(frozen=True)
class UniformLevels:
    """The ``count`` points -1 + 2 l / (count - 1) of [-1, 1]: symbol l, in ceil(log2 count) bits.

    With count = 2^b - 1, as in [S], zero is a level, so exact zeros add no variance. The symbol left over marks an
    overflow in [R] (theory 2.2), which cannot happen here: no encoder writes it, and decoders refuse it.

    >>> UniformLevels(7).width, UniformLevels(7).values(np.array([0, 3, 6]))
    (3, array([-1.,  0.,  1.]))
    """

    count: int

    @property
    def width(self) -> int:
        """Bits per symbol."""
        return (self.count - 1).bit_length()

    @property
    def step(self) -> float:
        """The distance of neighbouring levels."""
        return 2 / (self.count - 1)

    def draw(self, z: Array, uniforms: Array) -> Array:
        """Symbols int32 [n] of coordinates z, float64 [n]: unbiased in [-1, 1]; beyond it, its nearest end.

        Args:
            z: on any backend.
            uniforms: float64 [n] on the same backend.
        """
        symbols = stochastic_levels(self._scaled(z), uniforms)
        symbols += self._lowest
        return namespace(z).clip(symbols, 0, self.count - 1)

    def draw_scaled(self, values: Array, factor: float, coins: Coins) -> Array:
        """Symbols int32 [n] of ``factor * values``, float array [n] on any backend, with one uniform per coordinate."""
        xp = namespace(values)
        drawn = []
        for part in slabs(values.shape[0]):
            z = xp.astype(values[part], xp.float64) * factor
            drawn.append(self.draw(z, uniforms_like(coins, z.shape[0], z)))
        return xp.concat(drawn)

    def law(self, z: F64) -> Iterator[tuple[I64, float]]:
        """Every result of ``draw`` with its probability."""
        for levels, probability in levels_law(self._scaled(z)):
            yield np.clip(levels + self._lowest, 0, self.count - 1), probability

    def values(self, symbols: Array) -> F64:
        """The levels of symbols [n]: float64 [n], on the host."""
        values = np.empty(symbols.shape[0])
        for part in slabs(values.size):
            here = values[part]
            np.multiply(symbols[part], 2.0, out=here)
            here -= self.count - 1
            here /= self.count - 1
        return values

    def variances(self, z: F64) -> F64:
        """The variance of each coordinate: step^2 f (1 - f), f the fraction of a step above the level below."""
        scaled = self._scaled(np.clip(z, -1, 1))
        f = scaled - np.floor(scaled)
        variances: F64 = self.step**2 * f * (1 - f)
        return variances

    def write(self, symbols: Array, out: BitWriter) -> None:
        """Append symbols [n], ``width`` bits each."""
        out.write(symbols, self.width)

    def read(self, bits: BitReader, count: int) -> Array:
        """The next symbols: int32 [count].

        Raises:
            PayloadError: the symbol of no level.
        """
        symbols = np.empty(count, np.int32)
        for part in slabs(count, multiple=8):
            symbols[part] = bits.read(part.stop - part.start, self.width)
        highest = int(symbols.max(initial=0))
        if highest >= self.count:
            raise PayloadError(f"a level is {highest}, expected below {self.count}: the payload is corrupt")
        return symbols

    def _scaled(self, z: Array) -> Array:
        """Levels at integers, zero among them; for an even count the middle lies half-way between two."""
        scaled = z * ((self.count - 1) / 2)
        return scaled if self.count % 2 else scaled + 0.5

    @property
    def _lowest(self) -> int:
        return (self.count - 1) // 2
