"""Encoders draw from the law they state; the false-alarm rate is in every failure message."""

from collections.abc import Iterable

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.forms.vertex import VertexCodec
from tests.common.codecs import sampling_checks
from tests.common.codecs.chance import MULTIPLE, Chance, Vote, check_counts, groups_for, tail
from tests.common.codecs.checks import into_domain, typical
from tests.common.codecs.examples import (
    ENUMERABLE,
    EXAMPLES,
    LARGE,
    build,
    every_enumerable_codec,
    every_other_codec,
    is_quick_once,
    parameters,
)
from tests.common.codecs.vectors import SHAPES, heavy
from tests.grids import rest_slow

# Where the public seed is averaged over too, the mean or the variance is sampled, with more encodings.
AVERAGED = [e for e in ENUMERABLE if not build(e).unbiased_given_shared or not build(e).variance_given_shared]
VERTEX_CODECS = [
    p for p in parameters(EXAMPLES + LARGE, quick=is_quick_once) if isinstance(p.values[0], VertexCodec)
]
every_vertex_codec = pytest.mark.parametrize(
    "codec", [p for p in VERTEX_CODECS if p.values[0].independent_draws]
)


@every_enumerable_codec
def test_payloads_follow_the_law(codec: AnyCodec, chance: Chance) -> None:
    sampling_checks.check_payloads(codec, typical(codec), chance)


@every_vertex_codec
@pytest.mark.parametrize("shape", rest_slow(["heavy", "flat"]))
def test_draws_follow_the_law(codec: VertexCodec, shape: str, chance: Chance) -> None:
    sampling_checks.check_draws(codec, SHAPES[shape](codec.dim), chance)


@every_vertex_codec
def test_draws_of_zero(codec: VertexCodec, chance: Chance) -> None:
    sampling_checks.check_draws(codec, np.zeros(codec.dim), chance, 50_000)


@every_other_codec
def test_moments(codec: AnyCodec, chance: Chance) -> None:
    x = typical(codec)
    sampling_checks.check_moments(codec, x.astype(np.float32), chance)


@pytest.mark.parametrize("codec", parameters(AVERAGED))
def test_moments_over_public_seeds(codec: AnyCodec, chance: Chance) -> None:
    for part, shape in enumerate(("ramp", "one_hot", "flat")):
        x = into_domain(codec, SHAPES[shape](codec.dim))
        sampling_checks.check_moments(codec, x, chance.part(part, 3), each=208)


# ---- the tests of randomness are tested themselves ---------------------------------------------------------


@pytest.mark.parametrize(("n", "p"), [(40, 0.5), (200, 0.02), (1000, 0.9)])
def test_tail_bounds_the_binomial(n: int, p: float) -> None:
    masses = np.exp([_log_choose(n, k) + k * np.log(p) + (n - k) * np.log1p(-p) for k in range(n + 1)])
    for k in range(n + 1):
        exact = masses[k:].sum() if k >= n * p else masses[: k + 1].sum()
        assert tail(k, n, p) >= exact * (1 - 1e-9)


def _log_choose(n: int, k: int) -> float:
    return float(np.log(np.arange(n - k + 1, n + 1)).sum() - np.log(np.arange(1, k + 1)).sum())


def test_votes_are_large_enough() -> None:
    for rate in (1e-2, 1e-6, 1e-9):
        assert MULTIPLE ** -groups_for(rate) <= rate < MULTIPLE ** (1 - groups_for(rate))


def hold(votes: Iterable[float], mean: float) -> int:
    """Hold a vote to its end; how many were heard."""
    vote = Vote(mean, Chance(1e-9, 5, "there"), "values")
    for heard, value in enumerate(votes):
        if vote.is_over:
            return heard
        vote.hear(value)
    raise AssertionError("the vote did not end")


def test_vote_detects_large_means_and_ends_early() -> None:
    n = groups_for(1e-9)
    values = 1 + Chance(1e-9, 5, "there").rng.exponential(1.0, n)
    assert hold(values, 1.5) < n
    with pytest.raises(AssertionError, match=f"{MULTIPLE} times the stated mean; .* check 1.0e-09"):
        hold(values, 0.5)
    # The last voter that matters acquits, and a value that is not above the bound is below it.
    assert hold([9.0] * (n - 1) + [float(MULTIPLE)] + [9.0] * n, 1.0) == n
    with pytest.raises(AssertionError, match=f"all of {n} groups"):
        hold([9.0] * n, 1.0)
    assert hold([0.0, 9.0], 0.0) == 1  # a codec without an error states none


def test_small_deviations_of_counts_are_detected() -> None:
    chance = Chance(1e-9, 5, "here")
    law = np.array([0.5, 0.3, 0.2])
    right = chance.rng.multinomial(400_000, law)
    check_counts(right, law, chance, "fair")
    with pytest.raises(AssertionError, match=r"false-alarm rate of this check 1.0e-09, --seed=5"):
        check_counts(right, np.array([0.495, 0.305, 0.2]), chance, "a cell off by one part in a hundred")
    with pytest.raises(AssertionError, match=r"expected 0\.00"):
        check_counts(np.array([5, 5, 1]), np.array([0.5, 0.5, 0.0]), chance, "the impossible")


def test_shares_of_the_budget_add_up(chance: Chance, request: pytest.FixtureRequest) -> None:
    count = sum("chance" in getattr(item, "fixturenames", ()) for item in request.session.items)
    assert 0 < chance.rate <= 1e-6 / count
    assert chance.part(0, 4).rate == chance.rate / 4
    assert chance.part(0, 2).rng.integers(2**60) != chance.part(1, 2).rng.integers(2**60)


def test_heavy_has_likely_vertices() -> None:
    """The vector that draws are tested on reaches every block of every chunk, and some coordinates often."""
    x = np.abs(heavy(1 << 12))
    assert x.min() > 0 and x.max() / x.sum() > 0.1
