"""Coins and public seeds: reproducible where they should be, different everywhere else, secret where it matters."""

import itertools

import numpy as np
import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.randomness import (
    SeededCoins,
    SystemCoins,
    as_coins,
    check_seed,
    derived_seed,
    shared_seed,
    worker_coins,
)
from tests.common.codecs.chance import Chance, check_counts
from tests.common.codecs.coins import ReplayCoins, word_list

PLACES = list(itertools.product((0, 1, 2**63 - 1), (0, 1, 12), (0, 1, 12)))


def test_streams_differ_per_run_round_and_worker() -> None:
    streams = {worker_coins(*place).words(4).tobytes() for place in PLACES}
    assert len(streams) == len(PLACES)
    assert len({shared_seed(*place) for place in PLACES}) == len(PLACES)


def test_streams_of_shifted_arguments_differ() -> None:
    """1, 12 and 11, 2 must not be the same text."""
    assert shared_seed(1, 12, 3) != shared_seed(11, 2, 3) != shared_seed(1, 1, 23)
    assert worker_coins(1, 12, 3).words(2).tolist() != worker_coins(11, 2, 3).words(2).tolist()


def test_uses_of_a_seed_differ() -> None:
    """By purpose and by number; a purpose that would be cut off, and be like another, is refused."""
    uses = [("inner",), ("report",), *((p, k) for p in ("report", "attempt") for k in range(12))]
    assert len({derived_seed(5, *use) for use in uses} | {5}) == len(uses) + 1
    with pytest.raises(ValueError, match="person"):
        derived_seed(5, "report 12")


def test_streams_are_reproducible() -> None:
    assert worker_coins(5, 6, 7).words(9).tolist() == worker_coins(5, 6, 7).words(9).tolist()
    parts = worker_coins(5, 6, 7)
    assert [*parts.words(4), *parts.words(5)] == worker_coins(5, 6, 7).words(9).tolist()


def test_seeds_are_pinned() -> None:
    """Every worker of a run derives these: a change of them splits a run between two releases."""
    assert shared_seed(1, 2, 3) == 0x65B66ACC3C5F58771837B3539A9C719
    assert worker_coins(1, 2, 3).words(2).tolist() == [0x57F4C2A21EB94342, 0xF95C0B6FF602C549]


def test_public_seed_is_independent_of_coins() -> None:
    shared = shared_seed(1, 2, 3)
    assert 0 <= shared < 1 << 128
    public = np.random.Generator(np.random.Philox(key=shared))
    assert SeededCoins(public).words(4).tolist() != worker_coins(1, 2, 3).words(4).tolist()


def test_only_system_coins_are_secret() -> None:
    assert SystemCoins().secret and not worker_coins(1, 2, 3).secret
    assert not as_coins(np.random.default_rng(0)).secret and as_coins(system := SystemCoins()) is system
    assert SystemCoins().words(4).tolist() != SystemCoins().words(4).tolist()
    assert not any(np.shares_memory(SystemCoins().words(4), SystemCoins().words(4)) for _ in range(3))


@pytest.mark.parametrize(
    "source", [SystemCoins(), worker_coins(1, 2, 3), ReplayCoins()], ids=["system", "worker", "replay"]
)
def test_uniforms(source: SeededCoins, chance: Chance) -> None:
    assert source.words(0).size == source.uniforms(0).size == 0
    words = source.words(1000)
    assert words.dtype == np.uint64 and words.shape == (1000,)
    uniforms = source.uniforms(100_000)
    assert uniforms.dtype == np.float64 and uniforms.min() >= 0 and uniforms.max() < 1
    assert (uniforms * 2.0**53 % 1 == 0).all()
    cells = np.bincount((uniforms * 50).astype(int), minlength=50)
    check_counts(cells, np.full(50, 0.02), chance.part(0, 2), "fiftieths")
    low = np.bincount((uniforms * 2.0**53).astype(np.uint64) % np.uint64(16), minlength=16)
    check_counts(low, np.full(16, 1 / 16), chance.part(1, 2), "the lowest four bits")


def test_largest_word_is_below_one() -> None:
    class Top(SeededCoins):
        def words(self, count: int) -> np.ndarray:
            return np.full(count, 2**64 - 1, np.uint64)

    assert Top(np.random.default_rng(0)).uniforms(1)[0] == 1 - 2.0**-53


def test_word_list() -> None:
    """SplitMix64 with seed 0, as published with its reference implementation."""
    assert [hex(w) for w in word_list(3)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]
    replay = ReplayCoins()
    assert [*replay.words(2), *replay.words(1)] == word_list(3).tolist()


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_seeds(seed: int) -> None:
    assert check_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_bad_seeds(seed: int) -> None:
    with pytest.raises(ConfigError, match="expected 0 to 2\\*\\*63 - 1"):
        check_seed(seed)
