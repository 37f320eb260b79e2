"""Codecs with one fault each, for the tests of the tests.

Every fault here was made by somebody: in another project, in a paper, or in an early version of this one.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from gradwire.common.arrays.decisions import WORDS, Threshold
from gradwire.common.arrays.sampling import draw_coordinates
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import Accumulator
from gradwire.common.codecs.baselines.float32 import Float32
from gradwire.common.codecs.baselines.sign import Sign
from gradwire.common.codecs.forms.gain import BoundGain, ExactGain, GainOutcome
from gradwire.common.codecs.forms.vertex import Draws
from gradwire.common.codecs.simq.simq import SimQ
from gradwire.common.codecs.vqsgd.cross_polytope import CrossPolytope
from gradwire.common.codecs.wrappers.private import Private
from gradwire.common.errors import PayloadError
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.toys import PrivateToy


class OffByOnePercent(CrossPolytope):
    def _terms(self, vertices: Any, weight: float) -> Terms:
        return super()._terms(vertices, 1.01 * weight)


class OtherSign(CrossPolytope):
    def _terms(self, vertices: Any, weight: float) -> Terms:
        return super()._terms(vertices, -weight)


class NextVertex(CrossPolytope):
    def _terms(self, vertices: Any, weight: float) -> Terms:
        return super()._terms((vertices + 1) % (2 * self.dim), weight)


class RestMissing(CrossPolytope):
    """The law of a table that forgets g = 1 - |v|_1 / sqrt d."""

    def _probabilities(self, v: Any) -> Any:
        share = np.abs(v) / np.sqrt(self.dim)
        return np.concatenate([np.where(v > 0, share, 0.0), np.where(v < 0, share, 0.0)])


class RestOnOneVertex(CrossPolytope):
    def _draw(self, vector: Any, count: int, coins: Any) -> Any:
        total = np.sqrt(self.dim) / vector.factor
        drawn = draw_coordinates(vector.values, vector.sums, total, count, coins)
        coins.uniforms(count)
        return np.where(drawn.coordinate < 0, 0, drawn.coordinate + self.dim * drawn.negative)


class SamplerOffByOnePercent(CrossPolytope):
    def _draw(self, vector: Any, count: int, coins: Any) -> Any:
        return super()._draw(vector.scaled(0.99), count, coins)


class SignIgnoredInSampler(SimQ):
    def _draw(self, vector: Any, count: int, coins: Any) -> Any:
        drawn = super()._draw(vector, count, coins)
        return np.where(drawn == 2 * self.dim, drawn, drawn % self.dim)


class FlipsOnceInAHundred(Sign):
    """Coins where the law has none: all but few encodings are right."""

    def _quantize(self, vector: Any, coins: Any, shared: int) -> Any:
        right = super()._quantize(vector, coins, shared)
        return right._replace(negative=~right.negative) if coins.uniforms(1)[0] < 0.01 else right


class OneDrawRepeated(CrossPolytope):
    def _draw(self, vector: Any, count: int, coins: Any) -> Any:
        return np.repeat(super()._draw(vector, 1, coins), count)


class EveryDrawTwice(CrossPolytope):
    def _draw(self, vector: Any, count: int, coins: Any) -> Any:
        return np.repeat(super()._draw(vector, -(-count // 2), coins), 2)[:count]


class NotDivided(CrossPolytope):
    """The sum of the repeats instead of their mean."""

    def _reconstruct(self, symbols: Draws, shared: int) -> Terms:
        return self._terms(symbols.vertices, symbols.gain)


class GainDown(ExactGain):
    def law(self, norm: Any) -> tuple[GainOutcome, ...]:
        near = np.float32(norm.value)
        down = near if float(near) <= norm.value else np.nextafter(near, np.float32(0))
        return (GainOutcome(float(down), 1.0, 1.0),)


class GainRoundedDown(CrossPolytope):
    _gain = GainDown()  # type: ignore[assignment]


class L1GainRoundedDown(SimQ):
    _gain = GainDown()  # type: ignore[assignment]


class NotClipped(BoundGain):
    def law(self, norm: Any) -> tuple[GainOutcome, ...]:
        return (GainOutcome(self.bound, 1.0, 1.0),)


class ForgetsToClip(CrossPolytope):
    _gain = NotClipped(2.0)  # type: ignore[assignment]


class ErrorInsteadOfVariance(CrossPolytope):
    """E|Q|^2 instead of E|Q - x|^2."""

    def variance_at(self, x: Any) -> float:
        return super().variance_at(x) + float(x @ x) / self.repeats


class VarianceOfOneDraw(CrossPolytope):
    def variance(self, norm: float = 1.0) -> float:
        return super().variance(norm) * self.repeats


class VarianceTooSmall(SimQ):
    def variance(self, norm: float = 1.0) -> float:
        return 0.99 * super().variance(norm)


class LooseEpsilon(PrivateToy):
    @property
    def epsilon(self) -> float:
        return 1.01 * super().epsilon


class FalseEpsilon(PrivateToy):
    @property
    def epsilon(self) -> float:
        return 0.99 * super().epsilon


class PrivacyOfOneDraw(PrivateToy):
    @property
    def epsilon(self) -> float:
        return super().epsilon / self.draws


class LooseEpsilonOfReports(Private):
    @property
    def epsilon(self) -> float:
        return 1.01 * super().epsilon


class FalseEpsilonOfReports(Private):
    """Odds 1 % beyond what is stated: epsilon rounded to two digits on the way to a table."""

    def _fitted(self, mechanism: Any) -> Any:
        freer = replace(mechanism, epsilon=1.01 * mechanism.epsilon)
        return replace(super()._fitted(freer), epsilon=mechanism.epsilon)


class NoReports(Private):
    """The vertex itself, where the mechanism was to report on it."""

    def _fitted(self, mechanism: Any) -> Any:
        return replace(super()._fitted(mechanism), informed=Threshold(WORDS))


class NotDebiased(Private):
    def _reconstruct(self, symbols: Any, shared: int) -> Terms:
        return self._inner._terms(
            self._response.named(symbols.reports), np.full(self.draws, self.bound / self.draws)
        )


class EpsilonOfOneReport(Private):
    @property
    def epsilon(self) -> float:
        return super().epsilon / self.draws


class HalfPrecision(Float32):
    def _quantize(self, vector: Any, coins: Any, shared: int) -> Any:
        return super()._quantize(vector, coins, shared).astype(np.float16).astype(np.float32)

    def _law(self, vector: Any, shared: int) -> Any:
        yield vector.on_host.astype(np.float16).astype(np.float32), 1.0


class AnyIndex(CrossPolytope):
    """``>`` where ``>=`` belongs."""

    def _unpack(self, bits: Any) -> Draws:
        drawn = bits.read_float32(), bits.read(self.draws, self.width)
        if drawn[1].max() > self.vertices:
            raise PayloadError("too large")
        return Draws(drawn[0], drawn[1] % self.vertices)


class AnyGain(CrossPolytope):
    def _unpack(self, bits: Any) -> Draws:
        gain = np.ascontiguousarray(bits.read_packed(32)).view("<f4")[..., 0]
        return Draws(gain[()], bits.read(self.draws, self.width))


class PaddingIgnored(CrossPolytope):
    def _unpack(self, bits: Any) -> Draws:
        symbols = super()._unpack(bits)
        bits.read(1, -self.nbits % 8)
        return symbols


class LengthIgnored(CrossPolytope):
    def unpack_all(self, payloads: Any) -> Any:
        return super().unpack_all([self._cut(p) for p in payloads])

    def partial_decode(self, payload: Any, **shared: Any) -> Any:
        return super().partial_decode(self._cut(payload), **shared)

    def _cut(self, payload: bytes) -> bytes:
        return payload[: self.nbytes].ljust(self.nbytes, b"\0")


class Remembers(CrossPolytope):
    """State between calls: error feedback that found its way into the codec."""

    calls: ClassVar[Any] = itertools.count()

    def _quantize(self, vector: Any, coins: Any, shared: int) -> Draws:
        return super()._quantize(vector.scaled(1 + next(self.calls)), coins, shared)


class Deterministic(CrossPolytope):
    def _quantize(self, vector: Any, coins: Any, shared: int) -> Draws:
        return super()._quantize(vector, ReplayCoins(), shared)


class WeightsIgnored(Accumulator):
    def add_all(self, payloads: Any, weights: Any = None, *, shared: Any = None) -> None:
        super().add_all(payloads, None, shared=shared)


class Unweighted(CrossPolytope):
    def accumulator(self) -> Accumulator:
        return WeightsIgnored(self)


class AddsBeforeReading(Accumulator):
    def add(self, payload: bytes, weight: float = 1.0, *, shared: int | None = None) -> None:
        self._weight += weight
        super().add(payload, weight, shared=shared)


class CountsWhatItRefuses(CrossPolytope):
    def accumulator(self) -> Accumulator:
        return AddsBeforeReading(self)


class SingleIndices(CrossPolytope):
    """Indices that passed through float32: exact up to 2^24 only."""

    def _reconstruct(self, symbols: Draws, shared: int) -> Terms:
        return super()._reconstruct(
            Draws(symbols.gain, symbols.vertices.astype(np.float32).astype(np.int64)), shared
        )
