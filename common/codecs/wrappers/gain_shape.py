"""Gain-shape quantizers: any codec that has a gain, with another gain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import F64
from gradwire.common.arrays.update import Terms, Vector
from gradwire.common.codecs import AnyCodec, Example, parse, register
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.common.codecs.forms.gain import build_gain
from gradwire.common.codecs.forms.gain_codec import with_gain, without_gain
from gradwire.common.codecs.forms.wrapper import WrapperCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec, parameter_fields


@register
@dataclass(frozen=True, kw_only=True)
class GainShape(WrapperCodec[Any]):
    """The codec ``shape`` with this ``gain``: Q_g(|x|) Q_s(x / |x|), drawn independently, |x| in the norm of its ball.

    For gradients of which only the mean square is bounded, E |x|^2 <= B^2, with the gain ``aguq(B, rounds)``: A-RATQ of
    [R] with ``ratq``, and the same for l_p balls with ``simq_plus`` ([S] section 7). An optimizer's error is then at
    most D (alpha / sqrt(T) + beta), beta the bias of norms beyond the gain's range (theory 2.3).

    Payload, guarantees and decoder are those of the shape's codec with its parameter ``gain`` set; only the spec
    differs.

    Args:
        gain: ``exact``, ``bound(B)`` or ``aguq(B, rounds)``.
        shape: a codec that has a gain, without it.

    Raises:
        SpecError: an unknown gain, or a codec without one.

    >>> from gradwire.common.codecs import parse
    >>> parse("gain_shape(aguq(1.0, 1000), ratq)", dim=1024).nbits - parse("ratq(gain=bound(1.0))", dim=1024).nbits
    7
    """

    gain: Spec
    shape: Spec

    name = "gain_shape"
    source = "[S] 7; [R] (A-RATQ)"
    plan_templates = (
        "gain_shape(aguq(1.0, 1000000), simq_plus(repeats={n}))",
        "gain_shape(aguq(1.0, 1000000), ratq)",
    )

    def _make_canonical(self) -> None:
        built = parse(self.shape, self.dim)
        if "gain" not in [field.name for field in parameter_fields(type(built))] or built.name == self.name:
            raise SpecError(
                f"{self.name}: {built.name} has no gain to set, expected a codec that has, as ratq or simq"
            )
        self._settle(shape=without_gain(built), gain=build_gain(self.gain).spec)

    @cached_property
    def _inner(self) -> AnyCodec:
        return parse(with_gain(self.shape, self.gain), self.dim)

    @property
    def variance_is_bound(self) -> bool:
        return self._inner.variance_is_bound or self.gain.name == AguqGain.name

    @property
    def batches(self) -> bool:
        return self._inner.batches

    @property
    def index_size(self) -> int:
        return self._inner.index_size

    def synthesise(self, total: Vector) -> Vector:
        return self._inner.synthesise(total)

    def variance(self, norm: float = 1.0) -> float:
        return self._inner.variance(norm)

    def variance_at(self, x: NDArray[np.floating]) -> float:
        return self._inner.variance_at(x)

    def _quantize(self, vector: GradientVector, coins: Coins, shared: int) -> Any:
        return self._inner._quantize(vector, coins, shared)

    def _reconstruct(self, symbols: Any, shared: int) -> Terms | NDArray[np.float64]:
        return self._inner._reconstruct(symbols, shared)

    def _apply_weights(self, symbols: Any, weights: F64) -> Any:
        return self._inner._apply_weights(symbols, weights)

    def _law(self, vector: GradientVector, shared: int) -> Iterator[tuple[Any, float]]:
        return self._inner._law(vector, shared)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("gain_shape(aguq(1.0, 16), simq_plus(repeats=1))", 3, enumerable=True),
            Example("gain_shape(aguq(0.5, 1000), simq_plus(repeats=2))", 2, enumerable=True),
            Example("gain_shape(bound(2.0), cuq(levels=3))", 3, enumerable=True),
            Example("gain_shape(aguq(20.0, 1000000), ratq)", 1000),
        )
