"""The first-order Reed-Muller point set of [V], and the form of all point sets of ±1 code words."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from gradwire.common.arrays.blocks import block_sums
from gradwire.common.arrays.compat import F64, I64, Array, is_tensor, like
from gradwire.common.arrays.hadamard import hadamard_transform, next_power_of_two
from gradwire.common.arrays.update import Terms, Vector, as_dense
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.codecs.vqsgd.cross_polytope import AxisCodec


@dataclass(frozen=True, kw_only=True)
class HadamardRowsCodec(AxisCodec):
    """Vertices ±(H_ij for the columns j in ``columns``), rows i of the Sylvester-Hadamard matrix H of size n.

    Every such set is a cross-polytope (theory 1.1): with x at its columns of R^n, zeros elsewhere, and w = H x /
    sqrt(n), the vertices are ±sqrt(n) e_i in the basis of w. Columns that carry no coordinate cost no variance: their
    entries are dropped, which leaves dim numbers ±1. Vertex i < n is row i, vertex n + i its complement.

    A server adds weights of rows, and transforms once for all workers. Encoding transforms in float64, so the law is
    exact to 2^-50 and float32 gradients of any range pass; it takes 8 n bytes of memory, on the gradient's device.
    """

    @property
    @abstractmethod
    def axes(self) -> int:
        """The size n of H, a power of two."""

    @property
    @abstractmethod
    def columns(self) -> slice | I64:
        """The columns of H that carry the coordinates: int64 [dim], or a slice of as many."""

    @property
    def index_size(self) -> int:
        return self.axes

    @property
    def squared_radius(self) -> float:
        return float(self.dim)

    def synthesise(self, total: Vector) -> Vector:
        rows = as_dense(total)
        return hadamard_transform(rows.astype(np.float64), in_place=True)[self.columns]  # type: ignore[no-any-return]

    def _prepare(self, vector: GradientVector) -> GradientVector:
        # 2^shift >= sqrt(n), so that the transform's norm stays finite.
        shift = -(-(self.axes.bit_length() - 1) // 2)
        scattered = self._scattered(vector.values, 2.0**-shift)
        rows = hadamard_transform(scattered, in_place=not is_tensor(scattered))
        factor = vector.factor * (2.0**shift / math.sqrt(self.axes))
        return super()._prepare(GradientVector(rows, block_sums(rows), factor))

    def _scattered(self, values: Array, scale: float) -> Array:
        """A gradient [dim] times a power of two, at its columns of R^n: float64 [n], on its backend and device."""
        out: Array
        if is_tensor(values):
            import torch

            values = values.double()
            out = torch.zeros(self.axes, dtype=torch.float64, device=values.device)
        else:
            out = np.zeros(self.axes)
        columns = self.columns if isinstance(self.columns, slice) else like(self.columns, values)
        out[columns] = values
        out *= scale
        return out

    def _terms(self, vertices: I64, weights: F64) -> Terms:
        return Terms(self.axes, vertices % self.axes, np.where(vertices < self.axes, weights, -weights))


@register
@dataclass(frozen=True, kw_only=True)
class ReedMuller(HadamardRowsCodec):
    """The words of the first-order Reed-Muller code RM(1, p) as ±1: rows of [H; -H], cut off after d coordinates.

    n = 2^p is the least power of two that is not below d, and x is padded with zeros to R^n. With w = H x / (gain n)
    and g = 1 - |w|_1, row i with the sign of w_i has probability |w_i| + g / 2n, its complement g / 2n ([V] section
    5.2, Proposition 9, proves that weights exist and gives none, erratum V7; these are those of theory 1.1). |w|_1 <=
    sqrt(n) |w|_2 = |x| / gain, so g is never negative.

    Payload: gain, then ``repeats`` indices of 1 + p bits, which is ceil(log2 2d).
    Unbiased; variance (gain^2 d - |x|^2) / repeats for every x. Bits and variance are those of ``cross_polytope``, but
    no vertex is sparse, so the error is spread evenly over the coordinates. Encoding and decoding cost a transform,
    O(n log n).

    >>> from gradwire.common.codecs import parse
    >>> parse("reed_muller(repeats=100)", dim=795_010).nbits
    2132
    """

    name = "reed_muller"
    source = "[V] 5.2, Prop 9 (V7)"

    @property
    def axes(self) -> int:
        return next_power_of_two(self.dim)

    @property
    def columns(self) -> slice:
        return slice(self.dim)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("reed_muller", 3, enumerable=True),
            Example("reed_muller(repeats=2)", 4, enumerable=True),
            Example("reed_muller(repeats=2, gain=bound(2.0))", 2, enumerable=True),
            Example("reed_muller", 1, enumerable=True),
            Example("reed_muller", 5, enumerable=True),
            Example("reed_muller(repeats=100)", 70_001),
            Example("reed_muller(repeats=1000, gain=bound(1.5))", 129),
        )
