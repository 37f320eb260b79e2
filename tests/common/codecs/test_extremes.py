"""Gradients at the ends of float32 and float64: a payload that decodes to something finite, or one clear refusal."""

from __future__ import annotations

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import DomainError
from tests.common.codecs import checks
from tests.common.codecs.examples import EXAMPLES, parameters

LARGEST, LEAST, LEAST_NORMAL = (
    float(x)
    for x in (np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).tiny)
)
ROOM = 1e30  # magnitudes up to this are never too large, whatever a codec multiplies them with
every_small_codec = pytest.mark.parametrize("codec", parameters([e for e in EXAMPLES if e.dim <= 1025]))


def extremes(dim: int) -> dict[str, np.ndarray]:
    """Gradients by name, float32 where it can hold them."""
    first = np.arange(dim) == 0
    sign = np.where(np.arange(dim) % 2, -1.0, 1.0)
    found = {
        "zeros": np.zeros(dim),
        "negative zeros": -np.zeros(dim),
        "least": np.full(dim, LEAST),
        "one least": first * LEAST,
        "least normal": sign * LEAST_NORMAL,
        "one largest": first * LARGEST,
        "largest": sign * LARGEST,
        "largest and least": np.where(first, -LARGEST, LEAST),
        "ties": np.full(dim, 0.1),
    }
    wide = {
        "least float64": np.full(dim, 5e-324),
        "one least float64": first * -5e-324,
        "far apart": np.where(first, 1e30, 5e-324),
        "above float32": np.full(dim, 1e39),
        "largest float64": sign * np.finfo(np.float64).max,
    }
    return {name: x.astype(np.float32) for name, x in found.items()} | wide


@every_small_codec
def test_extremes_are_encoded_or_refused(codec: AnyCodec) -> None:
    for name, x in extremes(codec.dim).items():
        check_encodes_or_refuses(codec, x, name)


def check_encodes_or_refuses(codec: AnyCodec, x: np.ndarray, name: str) -> None:
    refusal = ""
    try:
        payload = checks.encode(codec, x)
    except DomainError as error:
        refusal = str(error)
    if refusal:
        too_large = float(np.abs(x).max()) > ROOM
        assert too_large or codec.domain != checks.EVERYTHING, f"{codec} refuses {name}: {refusal}"
        assert "\n" not in refusal and len(refusal) < 200
        return
    codec.validate(payload)
    estimate = checks.decode(codec, payload)
    assert np.isfinite(estimate).all(), f"{codec} decodes {name} to {estimate}"


@every_small_codec
def test_zero_decodes_to_zero(codec: AnyCodec) -> None:
    """Where a codec's variance at zero is zero, whatever the sign of the zeros."""
    if codec.variance(0.0) == 0:
        for zero in (np.zeros(codec.dim), -np.zeros(codec.dim)):
            assert not checks.decode(codec, checks.encode(codec, zero)).any(), f"{codec}"
