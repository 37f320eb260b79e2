"""Gain and shape: a quantizer of a unit ball, extended to every vector by a gain."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property

from gradwire.common.codecs.codec import AnyCodec, Codec
from gradwire.common.codecs.forms.gain import Gain, GainOutcome, NormEstimate, build_gain
from gradwire.common.codecs.hooks import S
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.spec import Spec, spelled


class GainCodec(Codec[S]):
    """A quantizer Q of the unit ball of some norm, for every vector: gain * Q(x / gain).

    Families are dataclasses with a field ``gain: Spec`` at the place among their parameters that they choose.
    """

    gain: Spec  # no field here: this class is not a dataclass

    def __post_init__(self) -> None:
        super().__post_init__()
        # Canonical, so that equal codecs compare equal.
        self._settle(gain=self._gain.spec)

    @cached_property
    def _gain(self) -> Gain:
        return build_gain(self.gain)

    @abstractmethod
    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        """The norm in which the ball is the unit ball; x / value must lie in the hull of the decoded points."""

    def _gain_outcomes(self, vector: GradientVector) -> tuple[GainOutcome, ...]:
        """The exact law of what a gradient is sent with."""
        return self._gain.law(self._norm_estimate(vector))


def without_gain(codec: AnyCodec) -> Spec:
    """The canonical spec of a codec that has a gain, without it."""
    return Spec(
        codec.name, (), tuple((name, value) for name, value in spelled(codec).items() if name != "gain")
    )


def with_gain(spec: Spec, gain: Spec) -> Spec:
    """A spec from ``without_gain``, with a gain."""
    return Spec(spec.name, spec.args, (*spec.kwargs, ("gain", gain)))
