"""A codec for the first coordinates, float32 for the last: models whose running statistics travel unquantized."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import F32, F64, all_finite
from gradwire.common.arrays.update import Sparse, Terms, Vector, as_dense
from gradwire.common.codecs import AnyCodec, Example, parse, register
from gradwire.common.codecs.baselines.float32 import Float32
from gradwire.common.codecs.forms.wrapper import WrapperCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import PayloadError
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec, parse_spec


class Parts(NamedTuple):
    """The symbols of a payload: the tail, float32 [size], and those of the codec; a batch has a leading axis."""

    tail: F32
    head: Any


@register
@dataclass(frozen=True, kw_only=True)
class Float32Tail(WrapperCodec[Parts]):
    """``codec`` for the first dim - size coordinates, 32 bits each ([IEEE754]) for the last ``size``.

    Runs take it by themselves where a model has averaged arrays (running statistics of normalisation layers), whose
    differences would not survive quantization. Nothing about the tail is private.

    Payload: the tail as float32, then the codec's payload, without padding between them.
    Guarantees: those of the codec, at the norm of the first coordinates; the tail has no error.

    Args:
        codec: for the first coordinates.
        size: coordinates of the tail, at least 1, below dim.

    Raises:
        SpecError: a size out of range.

    >>> from gradwire.common.codecs import parse
    >>> parse("float32_tail(cross_polytope(repeats=1), size=2)", dim=10).nbits
    100
    """

    codec: Spec
    size: int

    name = "float32_tail"
    source = "[IEEE754] binary32; docs/protocol.md (averaged arrays)"
    plan_templates = ()

    def __post_init__(self) -> None:
        if self.dim > 1:
            self._check_range("size", 1, self.dim - 1, "coordinates")
        super().__post_init__()

    def _make_canonical(self) -> None:
        self._settle(codec=parse_spec(self._inner.spec))

    @cached_property
    def _inner(self) -> AnyCodec:
        return parse(self.codec, self._head)

    @property
    def _head(self) -> int:
        """Coordinates of the inner codec."""
        return self.dim - self.size

    @property
    def nbits(self) -> int:
        return 32 * self.size + self._inner.nbits

    @property
    def batches(self) -> bool:
        return self._inner.batches

    @property
    def index_size(self) -> int:
        return self._inner.index_size + self.size

    @property
    def epsilon(self) -> float:
        return float("inf")

    def variance(self, norm: float = 1.0) -> float:
        return self._inner.variance(norm)

    @property
    def variance_is_bound(self) -> bool:
        return self._inner.variance_is_bound

    def _split(self, vector: GradientVector) -> tuple[GradientVector, GradientVector]:
        head, tail = vector.values[: self._head], vector.values[self._head :]
        parts = (GradientVector.of(head, self._head), GradientVector.of(tail, self.size))
        return parts[0].scaled(vector.factor), parts[1].scaled(vector.factor)

    @cached_property
    def _float32(self) -> Float32:
        return Float32(dim=self.size)

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Parts:
        head, tail = self._split(vector)
        return Parts(self._float32._quantize(tail, coins, 0), self._inner._quantize(head, coins, shared))

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Parts, float]]:
        head, tail = self._split(vector)
        ((exact, _),) = self._float32._law(tail, 0)
        for symbols, probability in self._inner._law(head, shared):
            yield Parts(exact, symbols), probability

    def _pack(self, symbols: Parts, out: BitWriter) -> None:
        out.write_floats32(symbols.tail)
        self._inner._pack(symbols.head, out)

    def _unpack(self, bits: BitReader) -> Parts:
        tail = np.ascontiguousarray(bits.read_packed(32 * self.size)).view("<f4")
        if not all_finite(tail):
            raise PayloadError("the payload holds NaN or infinity, expected finite numbers")
        return Parts(tail, self._inner._unpack(bits))

    def _apply_weights(self, symbols: Parts, weights: F64) -> Parts:
        tail: Any = symbols.tail.astype(np.float64) * weights[:, np.newaxis]
        return Parts(tail, self._inner._apply_weights(symbols.head, weights))

    def _reconstruct(self, symbols: Parts, shared: int) -> Terms | NDArray[np.float64]:
        rows = symbols.tail.astype(np.float64).reshape(-1, self.size)
        tail = rows[0].copy()
        for row in rows[1:]:  # one by one: the order of NumPy's sums depends on the shape
            tail += row
        head = self._inner._reconstruct(symbols.head, shared)
        if isinstance(head, Terms):
            at = head.size + np.arange(self.size)
            return Terms(
                self.index_size, np.concatenate([head.indices, at]), np.concatenate([head.weights, tail])
            )
        return np.concatenate([head, tail])

    def synthesise(self, total: Vector) -> Vector:
        split = self._inner.index_size
        if not isinstance(total, Sparse):
            return np.concatenate([as_dense(self._inner.synthesise(total[:split])), total[split:]])
        cut = int(np.searchsorted(total.indices, split))
        head = self._inner.synthesise(Sparse(split, total.indices[:cut], total.values[:cut]))
        tail = Sparse(self.size, total.indices[cut:] - split, total.values[cut:])
        if not isinstance(head, Sparse):
            return np.concatenate([head, tail.dense()])
        indices = np.concatenate([head.indices, tail.indices + self._head])
        return Sparse(self.dim, indices, np.concatenate([head.values, tail.values]))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("float32_tail(cross_polytope(repeats=2), size=2)", 5, enumerable=True),
            Example("float32_tail(qsgd(coding=fixed), size=1)", 5),
            Example("float32_tail(rand_k(3), size=3)", 9),
            Example("float32_tail(cross_polytope(repeats=50), size=100)", 70_001),
        )
