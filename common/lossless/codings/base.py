"""Codings: how drawn vertices become bits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64
from gradwire.common.registry import Registry


@dataclass(frozen=True)
class Coding(ABC):
    """A fixed-length code for ``draws`` vertices out of ``vertices``.

    ``batches``: ``read`` takes a reader over many payloads and returns a leading axis.
    """

    vertices: int
    draws: int

    name: ClassVar[str]
    batches: ClassVar[bool] = False

    @property
    @abstractmethod
    def nbits(self) -> int:
        """Exact length in bits."""

    @abstractmethod
    def write(self, drawn: I64, out: BitWriter) -> None:
        """Append the vertices [draws], exactly ``nbits`` bits."""

    @abstractmethod
    def read(self, bits: BitReader) -> I64:
        """The vertices [..., draws], in the order written or, where the code forgets it, increasing.

        Raises:
            PayloadError: bits that ``write`` never gives.
        """


class SignedAxes(Coding):
    """For vertices 0 … d-1 = +B e_i, d … 2d-1 = -B e_i and 2d = 0, drawn such that no axis has both signs: SimQ's."""

    @property
    def axes(self) -> int:
        """d, the number of axes."""
        return self.vertices // 2


CODINGS: Registry[Coding] = Registry("coding")
register_coding = CODINGS.register
coding_class = CODINGS.find
