"""The tests are tested: each faulty codec must fail the check named beside it, which its honest base passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from gradwire.common.arrays import sampling
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.vqsgd import cross_polytope
from gradwire.common.randomness import Coins
from gradwire.common.spec import Spec, parse_spec
from tests.common.codecs import checks, law_checks, mutants, refusal_checks, sampling_checks
from tests.common.codecs import mutants as m
from tests.common.codecs.chance import Chance
from tests.common.codecs.examples import LARGE_DIM
from tests.common.codecs.vectors import flat, heavy, ramp

Check = Callable[[Any], None]
# A mutant is to be caught by a suite of a thousand statistical tests, so with a thousandth of the budget.
CHANCE = Chance(1e-9, 1, "mutants")
BOUND = Spec("bound", (2.0,))
RR, TWICE = parse_spec("rr(1)"), parse_spec("cross_polytope(repeats=2)")
X = ramp(3)


def payload(codec: AnyCodec) -> bytes:
    return checks.encode(codec, ramp(codec.dim))


# Statistical checks, with the vectors and sizes of test_sampling.
def draws(codec: Any) -> None:
    sampling_checks.check_draws(codec, heavy(codec.dim), CHANCE)


def flat_draws(codec: Any) -> None:
    sampling_checks.check_draws(codec, flat(codec.dim), CHANCE)


def payloads(codec: AnyCodec) -> None:
    sampling_checks.check_payloads(codec, ramp(codec.dim), CHANCE)


def moments(codec: AnyCodec) -> None:
    sampling_checks.check_moments(codec, ramp(codec.dim), CHANCE)


def mean(codec: AnyCodec) -> None:
    law_checks.check_mean(codec, X)


def probabilities(codec: AnyCodec) -> None:
    law_checks.check_probabilities(codec, flat(codec.dim))


def large_indices(codec: Any) -> None:
    refusal_checks.check_indices_survive(codec)


FAULTS: list[tuple[AnyCodec, Check]] = [
    (m.OffByOnePercent(dim=3), mean),
    (m.OffByOnePercent(dim=3), law_checks.check_law),
    (m.OtherSign(dim=3), mean),
    (m.OtherSign(dim=2000, repeats=2000), moments),
    (m.NextVertex(dim=3), mean),
    (m.RestMissing(dim=3), lambda c: law_checks.check_probabilities(c, X)),
    (m.RestOnOneVertex(dim=3), draws),
    (m.RestOnOneVertex(dim=3), payloads),
    (m.RestOnOneVertex(dim=LARGE_DIM), draws),
    (m.SamplerOffByOnePercent(dim=3), draws),
    (m.SamplerOffByOnePercent(dim=LARGE_DIM), flat_draws),
    (m.SignIgnoredInSampler(dim=LARGE_DIM), draws),
    (m.SignIgnoredInSampler(dim=3), payloads),
    (m.FlipsOnceInAHundred(dim=3), payloads),
    (m.OneDrawRepeated(dim=3), draws),
    (m.OneDrawRepeated(dim=3, repeats=2), payloads),
    (m.EveryDrawTwice(dim=3), draws),
    (m.EveryDrawTwice(dim=LARGE_DIM), draws),
    (m.NotDivided(dim=3, repeats=2), mean),
    (m.GainRoundedDown(dim=3), probabilities),
    (m.L1GainRoundedDown(dim=7), probabilities),
    (m.ForgetsToClip(dim=3, gain=BOUND), lambda c: law_checks.check_probabilities(c, 64 * X)),
    (m.ForgetsToClip(dim=3, gain=BOUND), law_checks.check_law),
    (m.ErrorInsteadOfVariance(dim=3), lambda c: law_checks.check_variance(c, X)),
    (m.VarianceOfOneDraw(dim=3, repeats=2), law_checks.check_variance_is_largest),
    (m.VarianceTooSmall(dim=3), law_checks.check_variance_is_largest),
    (m.LooseEpsilon(dim=3), law_checks.check_epsilon),
    (m.FalseEpsilon(dim=3), law_checks.check_epsilon),
    (m.PrivacyOfOneDraw(dim=2, repeats=2), law_checks.check_epsilon),
    *(
        (m.FalseEpsilonOfReports(dim=2, mechanism=parse_spec(how)), law_checks.check_epsilon)
        for how in ("rr(1)", "rr(1, nominal=true)", "rappor(1)", "oue(1)", "subset_selection(1, 2)")
    ),
    (m.LooseEpsilonOfReports(dim=3, mechanism=RR), law_checks.check_epsilon),
    (m.NoReports(dim=3, mechanism=RR), law_checks.check_epsilon),
    (m.EpsilonOfOneReport(dim=2, mechanism=RR, codec=TWICE), law_checks.check_epsilon),
    (m.NotDebiased(dim=3, mechanism=RR), mean),
    (m.HalfPrecision(dim=3), lambda c: law_checks.check_mean(c, flat(3))),
    (m.HalfPrecision(dim=20_000), lambda c: sampling_checks.check_moments(c, flat(20_000), CHANCE)),
    (m.AnyIndex(dim=3), lambda c: refusal_checks.check_refuses_indices(c, payload(c))),
    (m.AnyGain(dim=3), lambda c: refusal_checks.check_refuses_gains(c, payload(c))),
    (m.AnyGain(dim=3), lambda c: refusal_checks.check_reads_or_refuses(c, b"\0\0\xc0\x7f\0")),
    (m.PaddingIgnored(dim=3), lambda c: refusal_checks.check_refuses_padding(c, payload(c))),
    (m.LengthIgnored(dim=3), lambda c: refusal_checks.check_refuses_other_lengths(c, payload(c))),
    (m.Remembers(dim=3), lambda c: checks.check_same_coins_same_bytes(c, X)),
    (m.Deterministic(dim=3), lambda c: checks.check_other_coins_other_bytes(c, X)),
    (
        m.Unweighted(dim=3),
        lambda c: checks.check_accumulator(c, [payload(c), checks.encode(c, -X)], [1.0, 3.0]),
    ),
    (m.CountsWhatItRefuses(dim=3), lambda c: refusal_checks.check_refuses_payload(c, b"")),
    (m.SingleIndices(dim=2**26), large_indices),
]


def honest(mutant: AnyCodec) -> AnyCodec:
    """The same codec without the fault."""
    base = next(cls for cls in type(mutant).__mro__ if cls.__module__ != mutants.__name__)
    return base(**{f.name: getattr(mutant, f.name) for f in fields(mutant)})


def parameters() -> Iterator[Any]:
    """Each mutant's first check is in the quick suite."""
    seen: set[type[AnyCodec]] = set()
    for mutant, check in FAULTS:
        marks = pytest.mark.slow if type(mutant) in seen else ()
        seen.add(type(mutant))
        yield pytest.param(mutant, check, id=f"{type(mutant).__name__}-{check.__name__}", marks=marks)


@pytest.mark.parametrize(("mutant", "check"), list(parameters()))
def test_mutant_is_caught(mutant: AnyCodec, check: Check) -> None:
    check(honest(mutant))
    with pytest.raises(AssertionError):
        check(mutant)


def test_every_mutant_is_tested() -> None:
    used = {type(codec).__name__ for codec, _ in FAULTS}
    unused = {
        name
        for name, cls in vars(mutants).items()
        if isinstance(cls, type) and cls.__module__ == mutants.__name__
    }
    # Parts of others
    assert unused - used == {
        "GainDown",
        "NotClipped",
        "WeightsIgnored",
        "AddsBeforeReading",
    }


class OneUniformTwice:
    """Coins whose second half of every answer repeats the first."""

    secret = False

    def __init__(self, coins: Coins) -> None:
        self._coins = coins

    def uniforms(self, count: int) -> np.ndarray:
        half = self._coins.uniforms(-(-count // 2))
        return np.concatenate([half, half])[:count]


def test_one_uniform_for_both_levels_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Block and coordinate drawn with one uniform: invisible below 1,024 coordinates, where blocks hold one each."""

    def draw_coordinates(x: Any, sums: Any, total: float, count: int, coins: Coins) -> sampling.Drawn:
        return sampling.draw_coordinates(x, sums, total, count, OneUniformTwice(coins))

    monkeypatch.setattr(cross_polytope, "draw_coordinates", draw_coordinates)
    with pytest.raises(AssertionError, match="false-alarm rate"):
        draws(parse("cross_polytope", LARGE_DIM))


def test_gains_rounded_to_nearest_are_caught() -> None:
    """NumPy compares a float32 with a Python float in float32: this was shipped for an afternoon."""
    value = 0.7
    near = np.float32(value)
    assert near >= value and float(near) < value
    law_checks.check_gain_rounds_up(value)
