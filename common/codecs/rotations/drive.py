"""DRIVE: the signs of a rotated gradient, EDEN at one bit per coordinate."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradwire.common.codecs import Example, register
from gradwire.common.codecs.rotations.eden import Eden


@register
@dataclass(frozen=True, kw_only=True)
class Drive(Eden):
    """The signs of the rotated gradient, scaled by |x|^2 / |R x|_1: ``eden(1)``.

    [DRIVE], with three Hadamard rounds in place of one; theory 5.

    Payload: the scale as a float32, rounded at random, then D bits.
    Unbiased over the rotation, with <x, estimate> = |x|^2 for every rotation, on average over the rounding; variance
    (pi / 2 - 1) |x|^2 for large D.

    >>> from gradwire.common.codecs import parse
    >>> parse("drive", dim=1000).nbits
    1056
    """

    bits: float = field(default=1.0, init=False, metadata={"spec": False})

    name = "drive"
    source = "[DRIVE]"

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("drive", 8, enumerable=True),
            Example("drive", 100, enumerable=True),
            Example("drive", 70_001),
        )
