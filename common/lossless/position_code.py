"""Codes for a few positions out of many, of one length for every choice of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.codings.elias_fano import EliasFanoCoding
from gradwire.common.lossless.subset_code import decode_subset, encode_subset, subset_bits
from gradwire.common.spec import did_you_mean


@dataclass(frozen=True)
class PositionCode(ABC):
    """A code for ``most`` increasing positions below ``cells``; for fewer too, where it is not ``exactly`` so many."""

    cells: int
    most: int

    name: ClassVar[str]
    exactly: ClassVar[bool] = True

    @property
    @abstractmethod
    def nbits(self) -> int:
        """Exact length in bits."""

    @abstractmethod
    def write(self, positions: I64, out: BitWriter) -> None:
        """Append the positions, exactly ``nbits`` bits."""

    @abstractmethod
    def read(self, bits: BitReader) -> I64:
        """The positions, increasing.

        Raises:
            PayloadError: bits that ``write`` never gives.
        """


@dataclass(frozen=True)
class Mask(PositionCode):
    """A bit for every cell."""

    name = "mask"
    exactly = False

    @property
    def nbits(self) -> int:
        return self.cells

    def write(self, positions: I64, out: BitWriter) -> None:
        mask = np.zeros(self.cells, np.uint8)
        mask[positions] = 1
        out.write(mask, 1)

    def read(self, bits: BitReader) -> I64:
        packed = bits.read_packed(self.cells)
        positions = np.flatnonzero(np.unpackbits(packed, count=self.cells, bitorder="little"))
        if positions.size > self.most:
            raise PayloadError(
                f"{positions.size} positions are marked, expected at most {self.most}: it is corrupt"
            )
        return positions


@dataclass(frozen=True)
class Subset(PositionCode):
    """The ceiling of log2 of the number of subsets, or a few bits more: the shortest, and slow beyond 10^6 cells."""

    name = "set"

    @cached_property
    def nbits(self) -> int:
        return subset_bits(self.cells, self.most)

    def write(self, positions: I64, out: BitWriter) -> None:
        out.write_int(encode_subset(positions, self.cells), self.nbits)

    def read(self, bits: BitReader) -> I64:
        return decode_subset(bits.read_int(self.nbits), self.cells, self.most)


@dataclass(frozen=True)
class EliasFano(PositionCode):
    """Low bits as they are and a bit map of the high ones: a tenth longer than ``set``, and fast."""

    name = "elias_fano"

    @cached_property
    def _coding(self) -> EliasFanoCoding:
        return EliasFanoCoding(self.cells, self.most)

    @property
    def nbits(self) -> int:
        return self._coding.nbits

    def write(self, positions: I64, out: BitWriter) -> None:
        self._coding.write(positions, out)

    def read(self, bits: BitReader) -> I64:
        positions = self._coding.read(bits)
        if (np.diff(positions) == 0).any():
            raise PayloadError("a position is marked twice, expected different ones: the payload is corrupt")
        return positions


POSITION_CODES: dict[str, type[PositionCode]] = {code.name: code for code in (Mask, Subset, EliasFano)}


def position_code(name: str) -> type[PositionCode]:
    """A code by name.

    Raises:
        SpecError: unknown name.
    """
    if name not in POSITION_CODES:
        raise SpecError(f"unknown code of positions {name!r}{did_you_mean(name, POSITION_CODES)}")
    return POSITION_CODES[name]
