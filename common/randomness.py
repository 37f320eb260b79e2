"""Sources of randomness: private coins, seeded or from the operating system, and public shared seeds."""

from __future__ import annotations

import hashlib
import secrets
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import ConfigError

F64 = NDArray[np.float64]
U64 = NDArray[np.uint64]


class Coins(Protocol):
    """A source of private random words; ``secret`` is true only for the operating system's CSPRNG."""

    secret: bool

    def words(self, count: int) -> U64:
        """Independent uniform 64-bit words: uint64 [count]."""

    def uniforms(self, count: int) -> F64:
        """Independent uniforms in [0, 1), multiples of 2**-53: float64 [count]."""


class _FromWords:
    def words(self, count: int) -> U64:
        raise NotImplementedError

    def uniforms(self, count: int) -> F64:
        uniforms: F64 = (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return uniforms


class SeededCoins(_FromWords):
    """Reproducible coins from a NumPy generator: the same seed gives the same payload."""

    secret = False

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def words(self, count: int) -> U64:
        return self._rng.integers(0, 2**64 - 1, count, np.uint64, endpoint=True)


class SystemCoins(_FromWords):
    """Coins from the operating system's CSPRNG: what privacy needs."""

    secret = True

    def words(self, count: int) -> U64:
        return np.frombuffer(secrets.token_bytes(8 * count), np.uint64)


def as_coins(rng: Coins | np.random.Generator) -> Coins:
    """Coins as they are, or coins that draw from a NumPy generator."""
    return SeededCoins(rng) if isinstance(rng, np.random.Generator) else rng


def _derive(purpose: str, *parts: int) -> int:
    """A 128-bit seed that differs for every purpose and every tuple of parts."""
    text = ",".join(str(int(p)) for p in parts).encode()
    # BLAKE2b refuses a purpose longer than 16 bytes; truncating it could give two purposes one seed.
    return int.from_bytes(hashlib.blake2b(text, digest_size=16, person=purpose.encode()).digest(), "little")


def worker_coins(run_seed: int, round_: int, worker: int) -> SeededCoins:
    """The reproducible private coins of one worker in one round: one stream per (run, round, worker)."""
    return SeededCoins(
        np.random.Generator(np.random.Philox(key=_derive("gradwire-coins", run_seed, round_, worker)))
    )


def shared_seed(run_seed: int, round_: int, worker: int) -> int:
    """The public 128-bit seed of one worker in one round, which every process can derive.

    Distinct for every worker: with a common seed the workers' errors add up instead of averaging out (erratum V14).
    """
    return _derive("gradwire-shared", run_seed, round_, worker)


def cohort_place(run_seed: int, round_: int, worker: int) -> int:
    """A worker's public place in the draw of a round's cohort, 128 bits: the lowest places are drawn.

    The places of all workers of a run, in increasing order, are a uniformly random permutation of their ids, another
    one in every round. A place does not depend on who else takes part, so only those of live workers are computed.
    """
    return _derive("gradwire-cohort", run_seed, round_, worker)


def derived_seed(seed: int, purpose: str, *numbers: int) -> int:
    """A public 128-bit seed derived from another: parts of a codec and nested codecs draw from separate streams.

    Args:
        seed: the seed it is derived from.
        purpose: a word of at most seven letters.
        numbers: which of several of that purpose.
    """
    return _derive(f"gradwire-{purpose}", seed, *numbers)


def check_seed(seed: int) -> int:
    """A run seed, 0 to 2**63 - 1."""
    if not 0 <= seed < 1 << 63:
        raise ConfigError(f"the seed is {seed}, expected 0 to 2**63 - 1")
    return seed
