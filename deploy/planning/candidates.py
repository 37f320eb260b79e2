"""The codecs that fit a budget of bits and epsilon: the best of each family, its cost, and a command that uses it."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradwire.common.codecs import AnyCodec, codecs
from gradwire.common.errors import GradwireError
from gradwire.common.privacy.accounting import epsilon_for, pure, tightest
from gradwire.common.randomness import SystemCoins
from gradwire.common.spec import Spec
from gradwire.deploy.planning.bounds import bounds_of, variance_lower_bound
from gradwire.deploy.planning.fitting import codecs_within
from gradwire.deploy.planning.spelling import shortest_spec

TIMED = 3  # calls, of which the fastest counts
LONG = 0.5  # seconds: a call that takes longer is not repeated


@dataclass(frozen=True)
class Wanted:
    """The budget that codecs are planned for.

    Attributes:
        task: for the command line; its coordinates are ``dim``.
        bits: of a payload at most.
        epsilon: what each worker may spend in the run; None where payloads need not be private.
        delta: at which the rounds are accounted for; 0 adds up pure epsilons.
        points: files of point sets, which a command that uses one must be given.
    """

    task: str
    dim: int
    bits: int
    rounds: int
    epsilon: float | None
    delta: float
    points: tuple[str, ...] = ()

    @property
    def epsilon_per_push(self) -> float | None:
        """The largest epsilon per push with which the rounds stay within the budget."""
        return None if self.epsilon is None else epsilon_for(self.epsilon, self.rounds, self.delta)


def candidates(wanted: Wanted) -> list[dict[str, Any]]:
    """A row for each family, and mechanism, that has a codec which fits: the one of least variance; best rows first."""
    return sorted(_rows(wanted), key=_rank)


def _rows(wanted: Wanted) -> Iterator[dict[str, Any]]:
    for family, cls in sorted(codecs().items()):
        best: dict[str, tuple[float, AnyCodec]] = {}
        for codec in codecs_within(cls, wanted.dim, wanted.bits, wanted.epsilon_per_push):
            variance, kind = _variance(codec), getattr(codec, "mechanism", Spec(family)).name
            if variance is not None and variance < best.get(kind, (math.inf,))[0]:
                best[kind] = variance, codec
        for variance, codec in best.values():
            cost = _cost(codec)
            if cost is not None:
                yield {"family": family, **_row(codec, variance, cost, wanted)}


def _variance(codec: AnyCodec) -> float | None:
    try:
        return float(codec.variance(1.0))
    except (GradwireError, NotImplementedError, OverflowError, MemoryError):
        return None


def _row(codec: AnyCodec, variance: float, cost: tuple[float, float], wanted: Wanted) -> dict[str, Any]:
    bound = variance_lower_bound(codec.dim, codec.nbits)
    private = codec.private
    spec = shortest_spec(codec)
    return {
        "codec": spec,
        "nbits": codec.nbits,
        "fixed_length": codec.fixed_length,
        "unbiased": codec.unbiased,
        "variance": variance,
        "variance_is_bound": codec.variance_is_bound,
        **bounds_of(codec),
        "lower_bound": bound,
        "lower_bound_ratio": variance / bound if codec.unbiased and bound > 0 else None,
        "epsilon_per_push": codec.epsilon if private else None,
        "epsilon_per_run_pure": pure(codec.epsilon, wanted.rounds) if private else None,
        "epsilon_per_run": tightest(codec.epsilon, wanted.rounds, wanted.delta) if private else None,
        "encode_ms": 1e3 * cost[0],
        "decode_ms": 1e3 * cost[1],
        "cost": "measured",
        "source": codec.source,
        "command": _command(spec, codec, wanted),
    }


def _command(spec: str, codec: AnyCodec, wanted: Wanted) -> str:
    words = ["gradwire", "run", "--task", wanted.task, "--codec", spec]
    if not codec.unbiased and codec.variance(1.0) < 1:
        words += ["--feedback", "error"]
    if wanted.epsilon is not None:
        words += ["--rounds", str(wanted.rounds), "--max-epsilon", _exact(wanted.epsilon)]
        words += ["--delta", _exact(wanted.delta)] if wanted.delta else []
    if "points(" in spec:
        words += [word for path in wanted.points for word in ("--points", path)]
    return shlex.join(words)


def _exact(number: float) -> str:
    """With all digits: a budget that is rounded down would not pay for the last push."""
    return repr(float(number)).removesuffix(".0")


def _cost(codec: AnyCodec) -> tuple[float, float] | None:
    """Seconds to encode a random gradient and to decode its payload; None where this machine cannot."""
    try:
        x = np.random.default_rng(0).standard_normal(codec.dim, dtype=np.float32)
        x /= max(1.0, float(np.linalg.norm(x)))
        shared = 1 if codec.shared_randomness else None
        encoding, payload = _fastest(lambda: codec.encode(x, SystemCoins(), shared=shared))
        decoding, _ = _fastest(lambda: codec.decode(payload, shared=shared))
    except (GradwireError, NotImplementedError, MemoryError):
        return None
    return encoding, decoding


def _fastest(call: Any) -> tuple[float, Any]:
    best, result = math.inf, None
    for _ in range(TIMED):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
        if best > LONG:
            break
    return best, result


def _rank(row: dict[str, Any]) -> tuple[bool, float, int]:
    """Unbiased codecs first, as the variance of biased ones is not all of their error; then by variance."""
    return not row["unbiased"], row["variance"], row["nbits"]
