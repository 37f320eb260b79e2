"""Codes for vectors of signed levels in -s, …, s: fixed length, or Elias codes as QSGD uses them, dense and sparse."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64, Array, namespace
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.elias import GAMMA, OMEGA, IntegerCode
from gradwire.common.lossless.fixed_width import read_levels
from gradwire.common.spec import did_you_mean

# An encoder's levels satisfy sum (|l_i| - 1)^2 <= s^2: |l_i| - 1 <= floor(s |x_i| / |x|). The norm is a float32 sum
# that may be 3.2e-5 too small, so this share is added.
NORM_SLACK = Fraction(1, 1 << 13)


@dataclass(frozen=True)
class LevelCode(ABC):
    """A code for levels [dim] of magnitude up to ``top``."""

    dim: int
    top: int

    fixed_length = False
    sparse = False  # whether few levels that are not zero make a short payload

    @property
    @abstractmethod
    def nbits(self) -> int:
        """Length in bits; of a variable code, a proven maximum over what QSGD sends."""

    @abstractmethod
    def write(self, levels: Array, out: BitWriter) -> None:
        """Append signed levels [dim], NumPy or torch; a tensor is packed on its device."""

    @abstractmethod
    def read(self, bits: BitReader) -> I64:
        """The levels again: int64 [dim].

        Raises:
            PayloadError: a stream that ``write`` never makes.
        """


@dataclass(frozen=True)
class FixedCode(LevelCode):
    """ceil(log2(2 s + 1)) bits per level."""

    fixed_length = True

    @property
    def nbits(self) -> int:
        return self.dim * (2 * self.top).bit_length()

    def write(self, levels: Array, out: BitWriter) -> None:
        out.write(levels + self.top, (2 * self.top).bit_length())

    def read(self, bits: BitReader) -> I64:
        levels = read_levels(bits, self.dim, 2 * self.top + 1)
        levels -= self.top
        return levels


@dataclass(frozen=True)
class DenseEliasCode(LevelCode):
    """QSGD's Code': Elias(|l| + 1) of every level, and a sign bit of each that is not zero."""

    code: IntegerCode

    @property
    def nbits(self) -> int:
        totals = (
            self.dim * _dearest(price, self.top, self._bits, 0) + price * _budget_of_all(self.top)
            for price in _prices(self.top, self._bits, 0)
        )
        return math.floor(min(totals))

    def _bits(self, level: int) -> int:
        return self.code.length(level + 1) + (level > 0)

    def write(self, levels: Array, out: BitWriter) -> None:
        xp = namespace(levels)
        self.code.write(xp.abs(levels) + 1, out)
        out.write(levels[levels != 0] < 0, 1)

    def read(self, bits: BitReader) -> I64:
        levels = self.code.read(bits, self.dim, self.top + 1)
        levels -= 1
        _check_top(levels, self.top)
        _read_signs(bits, levels, np.flatnonzero(levels))
        return levels


@dataclass(frozen=True)
class SparseEliasCode(LevelCode):
    """QSGD's Code: for every level that is not zero Elias(distance from the one before), its sign, and Elias(|l|).

    [QSGD] leaves open how a decoder finds the end; here the number of such levels stands first, in
    ceil(log2(d + 1)) bits.
    """

    code: IntegerCode

    sparse = True

    @property
    def nbits(self) -> int:
        # The distances add up to d at most, so they are a second budget; no total is above the sum of both prices paid.
        totals = []
        for price in _prices(self.top, self._bits, 1):
            dearest = _dearest(price, self.top, self._bits, 1)
            a_coordinate = max(
                (self.code.length(gap) + dearest) / gap for gap in _turning_points(self.dim, 1)
            )
            totals.append(self.dim * a_coordinate + price * _budget_of_all(self.top))
        return self._count_bits + math.floor(min(totals))

    @property
    def _count_bits(self) -> int:
        return self.dim.bit_length()

    def _bits(self, level: int) -> int:
        return self.code.length(level) + 1

    def write(self, levels: Array, out: BitWriter) -> None:
        xp = namespace(levels)
        (places,) = xp.nonzero(levels)
        values = levels[places]
        out.write_int(values.shape[0], self._count_bits)
        gaps = places + 1
        gaps[1:] -= places[:-1] + 1
        self.code.write(gaps, out)
        out.write(values < 0, 1)
        self.code.write(xp.abs(values), out)

    def read(self, bits: BitReader) -> I64:
        count = bits.read_int(self._count_bits)
        if count > self.dim:
            raise PayloadError(f"{count} levels of {self.dim} are not zero: the payload is corrupt")
        gaps = self.code.read(bits, count, self.dim)
        if gaps.sum(dtype=np.float64) > self.dim:
            raise PayloadError(f"a level stands beyond coordinate {self.dim}: the payload is corrupt")
        signs = bits.read(count, 1)
        values = self.code.read(bits, count, self.top)
        _check_top(values, self.top)
        levels = np.zeros(self.dim, np.int64)
        levels[np.cumsum(gaps) - 1] = np.where(signs == 1, -values, values)
        return levels


# name -> (class, its integer code)
_ELIAS: dict[str, tuple[type[DenseEliasCode | SparseEliasCode], IntegerCode]] = {
    "omega": (SparseEliasCode, OMEGA),
    "omega_dense": (DenseEliasCode, OMEGA),
    "gamma": (SparseEliasCode, GAMMA),
    "gamma_dense": (DenseEliasCode, GAMMA),
}


def level_code(name: str, dim: int, top: int) -> LevelCode:
    """A code by name: ``fixed``, ``omega`` or ``gamma`` (sparse), ``omega_dense`` or ``gamma_dense``.

    Raises:
        SpecError: unknown name.
    """
    if name == "fixed":
        return FixedCode(dim, top)
    if name not in _ELIAS:
        raise SpecError(f"unknown coding {name!r}{did_you_mean(name, ['fixed', *_ELIAS])}")
    kind, code = _ELIAS[name]
    return kind(dim, top, code)


# ---- the longest streams -----------------------------------------------------------------------------------
#
# Which levels of sum (|l| - 1)^2 <= S cost most bits? For every price p >= 0 of a unit of that budget,
# sum bits(l_i) = sum (bits(l_i) - p budget(l_i)) + p sum budget(l_i) <= d max_l (bits(l) - p budget(l)) + p S:
# linear duality, so each price proves a maximum, and the least of them is taken.


def _budget(level: int) -> int:
    return max(0, level - 1) ** 2


def _budget_of_all(top: int) -> Fraction:
    return top**2 * (1 + NORM_SLACK)


def _turning_points(top: int, least: int) -> list[int]:
    """The integers at which an Elias code of n or of n + 1 gets longer, from ``least`` to ``top``."""
    powers = [1 << k for k in range(top.bit_length() + 1)]
    return [n for n in sorted({least, *powers, *(p - 1 for p in powers)}) if least <= n <= top]


def _dearest(price: Fraction, top: int, bits: Callable[[int], int], least: int) -> Fraction:
    return max(bits(level) - price * _budget(level) for level in _turning_points(top, least))


def _prices(top: int, bits: Callable[[int], int], least: int) -> list[Fraction]:
    """The slopes between levels, where the maxima above change hands, and 0."""
    points = [(_budget(level), bits(level)) for level in _turning_points(top, least)]
    return [Fraction(0)] + [Fraction(b - a, y - x) for x, a in points for y, b in points if y > x and b > a]


def _read_signs(bits: BitReader, levels: I64, places: I64) -> None:
    levels[places[bits.read(places.size, 1) == 1]] *= -1


def _check_top(levels: I64, top: int) -> None:
    highest = int(levels.max(initial=0))
    if highest > top:
        raise PayloadError(f"a level is {highest}, expected at most {top}: the payload is corrupt")
