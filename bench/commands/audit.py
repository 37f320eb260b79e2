"""Evidence against a codec's epsilon.

An event E of payloads bounds epsilon from below: P(E | x) <= e^epsilon P(E | x'). Payloads of two gradients are drawn,
one half of them chooses the event, the other half counts it; Clopper and Pearson's intervals (1934) hold for any number
of samples, so the bound is wrong with the stated probability at most, whatever the codec does.

Examples:
    gradwire bench audit --codec 'private_top(4)' --dim 1024
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import ConfigError, SpecError
from gradwire.common.randomness import Coins, SystemCoins
from gradwire.deploy.flags import AsJson

F64 = NDArray[np.float64]
SHARED = 1  # public seed: privacy must hold for every value


@dataclass(frozen=True)
class Found:
    """A lower bound on epsilon from one pair of gradients.

    Attributes:
        pair: what the two gradients are.
        bound: ln(least P(E | x) / most P(E | x')), 0 at least; with the confidence asked for, over all pairs.
        hits: how often the event happened in ``samples`` payloads of x; ``misses`` likewise of x'.
    """

    pair: str
    bound: float
    hits: int
    misses: int
    samples: int


def epsilon_bounds(codec: AnyCodec, samples: int, confidence: float, coins: Coins) -> list[Found]:
    """Lower bounds on the codec's epsilon from pairs of extreme gradients; all hold at once with that confidence.

    Args:
        codec: with a public bound on the gradient's length, as private ones have.
        samples: payloads of each gradient, half of them to choose the event.
        confidence: below 1; the bounds of all pairs share what is missing to it.
        coins: private coins; of the operating system, unless a codec is audited that takes others.
    """
    pairs = list(_pairs(codec))
    rate = (1 - confidence) / len(pairs)
    return [_audit_pair(codec, name, x, y, samples // 2, rate, coins) for name, x, y in pairs]


def _pairs(codec: AnyCodec) -> Iterator[tuple[str, F64, F64]]:
    """Gradients far beyond the bound, so that they are clipped to it: opposite ones, and one that misses a vertex."""
    length = 1e6
    axis = np.zeros(codec.dim)
    axis[0] = length
    flat = np.full(codec.dim, length)
    gaussian = np.random.default_rng(0).standard_normal(codec.dim) * length
    yield "an axis and its opposite", axis, -axis
    yield "an axis and flat against it", axis, -flat
    yield "flat and its opposite", flat, -flat
    yield "a random direction and its opposite", gaussian, -gaussian


def _audit_pair(codec: AnyCodec, name: str, x: F64, y: F64, samples: int, rate: float, coins: Coins) -> Found:
    """A payload's score is how far it decodes along x - y; E is a score of at least the best threshold."""
    along = (x - y) / np.linalg.norm(x - y)
    scores = _Scores(codec, along)
    mine, other = (np.array([scores.draw(v, coins) for _ in range(2 * samples)]) for v in (x, y))
    threshold = _best_threshold(mine[:samples], other[:samples])
    hits = int((mine[samples:] >= threshold).sum())
    misses = int((other[samples:] >= threshold).sum())
    return Found(name, lower_bound(hits, misses, samples, rate), hits, misses, samples)


class _Scores:
    """Scores of payloads, computed once per distinct payload."""

    def __init__(self, codec: AnyCodec, along: F64) -> None:
        self._codec, self._along = codec, along
        self._known: dict[bytes, float] = {}

    def draw(self, x: F64, coins: Coins) -> float:
        payload = self._codec.encode(x, coins, shared=SHARED)
        if payload not in self._known:
            # Rounded: scores that differ by the order of additions only are one event.
            self._known[payload] = float(f"{self._along @ self._codec.decode(payload, shared=SHARED):.9e}")
        return self._known[payload]


def _best_threshold(mine: F64, other: F64) -> float:
    """The threshold whose event would prove most, of all scores seen; any choice gives a valid bound."""
    values = np.unique(np.concatenate([mine, other]))
    hits = mine.size - np.searchsorted(np.sort(mine), values)
    misses = other.size - np.searchsorted(np.sort(other), values)
    spread = 2.0  # standard deviations: so that events that happened by chance are not chosen
    least = np.maximum(hits - spread * np.sqrt(hits), 1e-9)
    return float(values[np.argmax(np.log(least) - np.log(misses + spread * np.sqrt(misses + 1) + 1))])


def lower_bound(hits: int, misses: int, samples: int, rate: float) -> float:
    """The bound on epsilon that counts of an event prove, wrong with probability at most ``rate``.

    Args:
        hits: payloads of x, of ``samples``, in which the event happened.
        misses: payloads of x' in which it happened.
        samples: payloads of each.
        rate: the allowed probability of error.

    >>> round(lower_bound(1000, 100, 2000, 0.01), 2)
    2.0
    """
    from scipy.special import betaincinv

    if hits == 0:
        return 0.0
    least = float(betaincinv(hits, samples - hits + 1, rate / 2))
    most = float(betaincinv(misses + 1, samples - misses, 1 - rate / 2)) if misses < samples else 1.0
    return max(0.0, math.log(least / most))


def audit(
    codec: Annotated[str, typer.Option(help="The codec's spec.")] = "private(rr(epsilon=4))",
    dim: Annotated[int, typer.Option(help="Coordinates.", min=1)] = 1024,
    samples: Annotated[int, typer.Option(help="Payloads of each gradient.", min=100)] = 20_000,
    confidence: Annotated[
        float, typer.Option(help="Probability that no bound is above the true epsilon.")
    ] = 0.999,
    as_json: AsJson = False,
) -> None:
    """Prove a lower bound on a codec's epsilon from samples of its payloads, and compare it with what it states.

    Payloads of pairs of extreme gradients are distinguished as well as their decoded values allow. A bound above the
    stated epsilon means that the codec is less private than it states: the command fails. One far below proves nothing.
    """
    built = parse(codec, dim)
    if not 0 < confidence < 1:
        raise ConfigError(f"the confidence is {confidence}, expected above 0 and below 1")
    if not built.secret_coins:
        raise SpecError(
            f"{built.name} claims no privacy that could be audited: see the column epsilon of gradwire codecs"
        )
    found = epsilon_bounds(built, samples, confidence, SystemCoins())
    best = max(found, key=lambda f: f.bound)
    stated = built.epsilon if built.private else None
    holds = stated is None or best.bound <= stated
    if as_json:
        about = {
            "codec": built.spec,
            "dim": dim,
            "nbytes": built.nbytes,
            "stated": stated,
            "confidence": confidence,
        }
        print(
            json.dumps(
                about | {"bound": best.bound, "holds": holds, "pairs": [asdict(f) for f in found]}, indent=2
            )
        )
    else:
        _print(built, found, best, confidence, stated)
    if not holds:
        raise typer.Exit(1)


def _print(codec: AnyCodec, found: list[Found], best: Found, confidence: float, stated: float | None) -> None:
    print(f"{codec.spec}, {codec.dim:,} coordinates, {codec.nbytes} bytes per payload")
    print(f"{'gradients':40}{'event of':>10}{'and of':>10}{'payloads':>10}   epsilon is at least")
    for f in found:
        print(f"{f.pair:40}{f.hits:>10,}{f.misses:>10,}{f.samples:>10,}   {f.bound:.4f}")
    claim = "none for one payload" if stated is None else f"{stated:.6g}"
    print(f"stated {claim}; at least {best.bound:.4f} with confidence {confidence:g}")
    if stated is not None and best.bound > stated:
        print("the codec is NOT as private as it states")
