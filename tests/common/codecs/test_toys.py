"""The suite must also fit codecs unlike those shipped: private, of variable length, biased, with shared randomness."""

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import DomainError
from gradwire.common.randomness import SystemCoins
from gradwire.common.spec import Spec
from tests.common.codecs import checks, law_checks, refusal_checks, sampling_checks
from tests.common.codecs.chance import Chance
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.toys import BiasedToy, PrivateToy, VariableToy
from tests.grids import rest_slow

TOYS = [
    PrivateToy(dim=2),
    PrivateToy(dim=3, gain=Spec("bound", (2.5,))),
    PrivateToy(dim=2, repeats=2),
    VariableToy(dim=3),
    BiasedToy(dim=2),
]
PARAMETERS = [pytest.param(t, id=f"{t.spec} d={t.dim}") for t in TOYS]
every_toy = pytest.mark.parametrize("toy", PARAMETERS)


def inside(toy: AnyCodec) -> np.ndarray:
    return np.array([0.5, -0.25, 0.875])[: toy.dim]


@every_toy
def test_law(toy: AnyCodec) -> None:
    law_checks.check_law(toy)


@every_toy
def test_payloads(toy: AnyCodec) -> None:
    payload = checks.encode(toy, inside(toy))
    checks.check_length(toy, inside(toy))
    checks.check_length(toy, 9 * inside(toy))
    checks.check_same_coins_same_bytes(toy, inside(toy))
    refusal_checks.check_refuses_other_lengths(toy, payload)
    refusal_checks.check_refuses_padding(toy, payload)
    refusal_checks.check_refuses_gradient(toy, np.full(toy.dim, np.nan))
    for seed in range(200):
        refusal_checks.check_reads_or_refuses(toy, np.random.default_rng(seed).bytes(toy.nbytes))
    checks.check_accumulator(toy, [payload, checks.encode(toy, -inside(toy), 99)] * 2, [1.0, 0.5, 2.0, 8.0])


@pytest.mark.parametrize("toy", rest_slow(PARAMETERS, 2))
def test_sampling(toy: AnyCodec, chance: Chance) -> None:
    sampling_checks.check_payloads(toy, inside(toy), chance.part(0, 2))
    sampling_checks.check_moments(toy, inside(toy), chance.part(1, 2), each=52)


def test_variable_lengths() -> None:
    toy = VariableToy(dim=3)
    lengths = {len(checks.encode(toy, x)) for x in (np.zeros(3), np.ones(3), -np.ones(3))}
    assert toy.nbits == 6 and lengths == {1}
    long = VariableToy(dim=30)
    assert {len(checks.encode(long, x)) for x in (np.zeros(30), np.ones(30))} == {4, 8}


def test_privacy_needs_secret_coins() -> None:
    toy = PrivateToy(dim=3)
    for coins in (np.random.default_rng(0), SystemCoins(), ReplayCoins()):
        if getattr(coins, "secret", False):
            toy.validate(toy.encode(inside(toy), coins))
        else:
            with pytest.raises(DomainError, match="privacy: its coins must be secret"):
                toy.encode(inside(toy), coins)


def test_shared_randomness_needs_a_seed() -> None:
    toy, x = BiasedToy(dim=2), np.array([0.5, -0.25])
    payload = toy.encode(x, ReplayCoins(), shared=3)
    assert not np.array_equal(toy.decode(payload, shared=3), toy.decode(payload, shared=4))
    for call in (
        lambda: toy.encode(x, ReplayCoins()),
        lambda: toy.decode(payload),
        lambda: toy.accumulator().add(payload),
    ):
        with pytest.raises(DomainError, match="pass shared=shared_seed"):
            call()
