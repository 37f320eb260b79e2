"""What experiments measure of a codec: its error by sampling, and its epsilon by enumerating payloads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.hadamard import hadamard_transform, next_power_of_two
from gradwire.common.codecs import AnyCodec
from gradwire.common.randomness import SeededCoins

Vector = NDArray[np.float32]

INFINITE = "infinite"  # in results, because JSON has no infinity
BELOW_ONE = 1 - 1e-6  # float32 sums of shorter vectors are below 1, so no codec with the bound 1 clips them
IMPOSSIBLE = 2.0**-28  # of a payload's share in the uniform law: codecs leave that much room around the ball


class MeasurementCoins(SeededCoins):
    """Reproducible coins that private codecs accept: what is encoded here is nobody's."""

    secret = True


def coins(*seed: int) -> MeasurementCoins:
    """Coins that are a function of the seed."""
    return MeasurementCoins(np.random.default_rng(seed))


def unit_vector(dim: int, seed: int = 0) -> Vector:
    """A random direction, float32 [dim], of a length that is 1 to 1e-6 and below it."""
    return shortened(np.random.default_rng([seed, dim]).standard_normal(dim))


def flat_vector(dim: int) -> Vector:
    """The vector of that length with equal coordinates, float32 [dim]: the worst for codecs that round levels."""
    return shortened(np.ones(dim))


def shortened(direction: NDArray[np.floating]) -> Vector:
    """The vector of length 1 - 1e-6 in that direction, float32 [dim]."""
    return (direction * (BELOW_ONE / np.linalg.norm(direction))).astype(np.float32)


@dataclass(frozen=True)
class Errors:
    """Squared errors of independent encodings of one vector.

    Attributes:
        mean: of |decode(encode(x)) - x|^2.
        deviation: the standard error of ``mean``.
        payload_bits: the mean length of a payload in bits, whole bytes.
    """

    mean: float
    deviation: float
    payload_bits: float

    def result(self) -> dict[str, float]:
        """As JSON."""
        return {"measured": self.mean, "deviation": self.deviation, "payload_bits": self.payload_bits}


def sampled_errors(codec: AnyCodec, x: Vector, samples: int) -> Errors:
    """Encode and decode ``samples`` times, each with its own coins and public seed."""
    squares, bits = np.empty(samples), 0
    source = coins(codec.dim, samples)
    target = x.astype(np.float64)
    for k in range(samples):
        payload = codec.encode(x, source, shared=k)
        bits += 8 * len(payload)
        difference = codec.decode(payload, shared=k) - target
        squares[k] = difference @ difference
    deviation = float(squares.std(ddof=1)) / math.sqrt(samples)
    return Errors(float(squares.mean()), deviation, bits / samples)


def stated(codec: AnyCodec, x: Vector) -> dict[str, Any]:
    """What a codec states of itself: bits, the largest error at length 1, the exact error of x, and epsilon."""
    try:
        exact = codec.variance_at(x)
    except NotImplementedError:
        exact = None
    epsilon = codec.epsilon if math.isfinite(codec.epsilon) else INFINITE
    return {
        "codec": codec.spec,
        "bits": codec.nbits,
        "fixed": codec.fixed_length,
        "worst": codec.variance(),
        "exact": exact,
        "epsilon": epsilon,
    }


def adversaries(dim: int) -> list[NDArray[np.float64]]:
    """Unit vectors, float64 [dim] each, among which the pairs are that point sets of [V] tell apart best.

    Both ends of an axis; flat vectors and rows of a Hadamard matrix, which lie on faces of a cross-polytope; and the
    gradient of the simplex's weights (theory 1.1).
    """
    axis, flat = np.eye(dim)[0], np.ones(dim) / math.sqrt(dim)
    rows = hadamard_transform(np.eye(next_power_of_two(dim + 1))[-1], in_place=False)[1 : dim + 1]
    simplex = -np.ones(dim) / (3 * dim**2)
    simplex[0] += 1 / (2 * dim)
    directions = [axis, flat, rows, simplex]
    return [sign * v / np.linalg.norm(v) for v in directions for sign in (1.0, -1.0)]


def enumerated_epsilon(codec: AnyCodec, vectors: Sequence[NDArray[np.float64]]) -> float:
    """The largest log-ratio of one payload's exact probabilities over all pairs of the vectors.

    A lower bound on epsilon that equals it when the worst pair is among the vectors; infinite where a payload is
    impossible for one of them.

    Raises:
        NotImplementedError: the codec does not enumerate its payloads.
    """
    laws = [codec.law(v) for v in vectors]
    payloads = set(itertools.chain.from_iterable(laws))
    table = np.array([[law.get(payload, 0.0) for payload in payloads] for law in laws])
    most, least = table.max(axis=0), table.min(axis=0)
    zero = IMPOSSIBLE / len(payloads)
    possible = most > zero
    if (least[possible] < zero).any():
        return math.inf
    return float(np.log(most[possible] / least[possible]).max())
