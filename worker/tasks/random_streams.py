"""Independent streams of random numbers by (seed, purpose, key): the same on every machine and in every release."""

from __future__ import annotations

import hashlib

import numpy as np

from gradwire.common.errors import TaskError


def random_stream(seed: int, purpose: str, *key: int) -> np.random.RandomState:
    """An independent stream for each (seed, purpose, key).

    RandomState and not Generator, because NumPy promises that its numbers never change. Workers with different NumPy
    versions must still deal the samples into the same shards and agree on a task's hidden optimum.

    Args:
        seed: of the run.
        purpose: what the numbers are for.
        key: further numbers that select the stream, such as round and worker.

    Raises:
        TaskError: a negative seed.
    """
    # Hashed, because SeedSequence takes (1,) and (1, 0) for the same entropy.
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(stream_key(seed, purpose, *key))))


def stream_key(seed: int, purpose: str, *key: int) -> int:
    """128 bits that differ for each (seed, purpose, key).

    Raises:
        TaskError: a negative seed.
    """
    if seed < 0:
        raise TaskError(f"the seed is {seed}, expected a whole number of at least 0")
    text = ",".join((purpose, str(seed), *(str(int(part)) for part in key))).encode()
    digest = hashlib.blake2b(text, digest_size=16, person=b"gradwire-task").digest()
    return int.from_bytes(digest, "little")
