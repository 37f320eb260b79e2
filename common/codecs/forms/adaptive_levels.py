"""Adaptive levels: each group of coordinates takes the least of a few ranges, each coordinate a level of that range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F64, Array, like, namespace
from gradwire.common.arrays.rounding import slabs, uniforms_like
from gradwire.common.arrays.tetration import range_bits, ranges
from gradwire.common.codecs.forms.levels import UniformLevels
from gradwire.common.errors import PayloadError
from gradwire.common.randomness import Coins


class AdaptiveSymbols(NamedTuple):
    """The number of each group's range, [groups], and the level of each coordinate, [count]."""

    ranges: Array
    levels: Array


@dataclass(frozen=True)
class AdaptiveLevels:
    """A quantizer of ``count`` out of ``size`` coordinates of a rotated unit vector (step 3 of RATQ, theory 2.3).

    The last range is 1: no coordinate of a unit vector is beyond it, so nothing overflows and every result is unbiased.

    Attributes:
        size: D, coordinates of the rotated vector.
        count: coordinates that are quantized.
        group: coordinates that share a range; the last group may be short.
        uniform: the levels of a range.
    """

    size: int
    count: int
    group: int
    uniform: UniformLevels

    @cached_property
    def range_bits(self) -> int:
        """Bits of a range's number: log2 h."""
        return range_bits(self.size)

    @property
    def groups(self) -> int:
        """The number of groups."""
        return -(-self.count // self.group)

    @cached_property
    def nbits(self) -> int:
        """Exact length in bits."""
        return self.groups * self.range_bits + self.count * self.uniform.width

    @cached_property
    def ranges(self) -> F64:
        """The ranges, increasing to 1."""
        return ranges(self.size, self.group, self.range_bits)

    def draw(self, y: Array, factor: float, coins: Coins) -> AdaptiveSymbols:
        """Symbols of ``factor * y``, float array [count] on any backend, with one uniform per coordinate."""
        xp = namespace(y)
        chosen, drawn = [], []
        for part in slabs(self.count, multiple=self.group):
            z = xp.astype(y[part], xp.float64) * factor
            index = self._range_indices(z)
            chosen.append(index)
            inside = z * self._per_coordinate(1 / self.ranges, index, z)
            drawn.append(self.uniform.draw(inside, uniforms_like(coins, z.shape[0], z)))
        return AdaptiveSymbols(xp.concat(chosen), xp.concat(drawn))

    def law(self, z: F64) -> Iterator[tuple[AdaptiveSymbols, float]]:
        """Every result of ``draw`` with its probability, for z [count] on the host."""
        index = self._range_indices(z)
        for levels, probability in self.uniform.law(z * self._per_coordinate(1 / self.ranges, index, z)):
            yield AdaptiveSymbols(index, levels), probability

    def values(self, symbols: AdaptiveSymbols) -> F64:
        """The decoded coordinates: float64 [count], on the host."""
        values = self.uniform.values(symbols.levels)
        for part in slabs(self.count, multiple=self.group):
            groups = slice(part.start // self.group, -(-part.stop // self.group))
            values[part] *= self._per_coordinate(self.ranges, symbols.ranges[groups], values[part])
        return values

    def variances(self, z: F64) -> F64:
        """The variance of each coordinate of z [count]."""
        reach = self._per_coordinate(self.ranges, self._range_indices(z), z)
        variances: F64 = reach**2 * self.uniform.variances(z / reach)
        return variances

    def write(self, symbols: AdaptiveSymbols, out: BitWriter) -> None:
        """Append the ranges, then the levels."""
        out.write(symbols.ranges, self.range_bits)
        self.uniform.write(symbols.levels, out)

    def read(self, bits: BitReader) -> AdaptiveSymbols:
        """Read symbols back.

        Raises:
            PayloadError: the number of no range, or the symbol of no level.
        """
        chosen = bits.read(self.groups, self.range_bits)
        highest = int(chosen.max(initial=0))
        if highest >= self.ranges.size:
            raise PayloadError(
                f"a range is {highest}, expected below {self.ranges.size}: the payload is corrupt"
            )
        return AdaptiveSymbols(chosen, self.uniform.read(bits, self.count))

    def _range_indices(self, z: Array) -> Array:
        """The number of the least range that holds each group of z [n]: int64 [ceil(n / group)]."""
        xp = namespace(z)
        largest = xp.abs(z)
        if self.group > 1:
            missing = -z.shape[0] % self.group
            padded = xp.concat([largest, xp.zeros_like(largest[:missing])]) if missing else largest
            largest = padded[0 :: self.group]
            for k in range(1, self.group):
                largest = xp.maximum(largest, padded[k :: self.group])
        index = xp.zeros_like(largest, dtype=xp.int64)
        for reach in self.ranges[:-1].tolist():
            index += largest > reach
        return index

    def _per_coordinate(self, table: F64, index: Array, z: Array) -> Array:
        """The table's entry for the range of each coordinate of z [n]: [n], on the backend of z."""
        entries = like(table, z)[index]
        if self.group == 1:
            return entries
        xp = namespace(z)
        rows = xp.broadcast_to(entries[:, None], (entries.shape[0], self.group))
        return xp.reshape(rows, (-1,))[: z.shape[0]]
