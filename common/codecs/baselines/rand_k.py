"""rand-k: random coordinates as float32; they follow from the public seed, so no index is sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.random_subset import random_subset
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.deterministic import DeterministicCodec
from gradwire.common.codecs.forms.selected import read_values, select
from gradwire.common.codecs.vector import GradientVector


@register
@dataclass(frozen=True, kw_only=True)
class RandK(DeterministicCodec[NDArray[np.float32]]):
    """k coordinates, chosen uniformly by the public seed of the worker and round, times d / k; the others decode to 0.

    [RandK] with equal probabilities and a fixed number of coordinates; [Memory] Definition 2.1, scaled to be unbiased;
    theory 11.

    Payload: the k values as float32, 32 k bits; float64 gradients are rounded to float32 before anything else.
    Unbiased over the public seed, which must differ by worker and round (erratum V14); for a fixed seed there is no
    randomness. Variance (d / k - 1) |x|^2 for every x.

    Args:
        k: coordinates that are sent, 1 to d.

    Raises:
        SpecError: k outside these bounds.

    >>> from gradwire.common.codecs import parse
    >>> parse("rand_k(100)", dim=1000).nbits, parse("rand_k(100)", dim=1000).variance(2.0)
    (3200, 36.0)
    """

    k: int

    name = "rand_k"
    source = "[RandK]; [Memory] Def 2.1"
    unbiased_given_shared = False
    variance_given_shared = False
    shared_randomness = True
    index_domain = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_range("k", 1, self.dim, "coordinates")

    @property
    def nbits(self) -> int:
        return 32 * self.k

    def variance(self, norm: float = 1.0) -> float:
        return norm**2 * (self.dim / self.k - 1)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        x = x.astype(np.float64)
        return (self.dim / self.k - 1) * float((x * x).sum())

    def _round(self, vector: GradientVector, shared: int) -> NDArray[np.float32]:
        return select(vector.values, self._coordinates(shared)).values

    def _coordinates(self, shared: int) -> NDArray[np.int64]:
        return random_subset(self.dim, self.k, shared)

    def _pack(self, symbols: NDArray[np.float32], out: BitWriter) -> None:
        out.write_floats32(symbols)

    def _unpack(self, bits: BitReader) -> NDArray[np.float32]:
        return read_values(bits, self.k)

    def _reconstruct(self, symbols: NDArray[np.float32], shared: int) -> Terms:
        weights = symbols.astype(np.float64) * (self.dim / self.k)
        return Terms(self.dim, self._coordinates(shared), weights)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("rand_k(1)", 3, enumerable=True),
            Example("rand_k(3)", 4, enumerable=True),
            Example("rand_k(1)", 1, enumerable=True),
            Example("rand_k(700)", 70_001),
        )
