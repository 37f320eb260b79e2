"""Shards partition the samples, and every draw is reproducible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.errors import TaskError
from gradwire.worker.tasks.random_streams import random_stream
from gradwire.worker.tasks.shards import Shards


@given(st.data())
def test_shards_partition_the_samples(data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, 30))
    samples = data.draw(st.integers(workers, 200))
    shards = Shards(samples, workers, seed=data.draw(st.integers(0, 2**64)))
    dealt = [shards.shard(worker) for worker in range(workers)]
    assert sorted(np.concatenate(dealt).tolist()) == list(range(samples))
    sizes = [len(rows) for rows in dealt]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == [shards.size(worker) for worker in range(workers)]


@given(st.integers(1, 8), st.integers(0, 5), st.integers(0, 2**40))
def test_batch_is_a_part_of_the_shard(batch: int, worker: int, round: int) -> None:
    shards = Shards(50, 6, seed=1, batch=batch)
    rows = shards.draw(worker, round).tolist()
    assert len(set(rows)) == batch and set(rows) <= set(shards.shard(worker).tolist())
    assert rows == Shards(50, 6, seed=1, batch=batch).draw(worker, round).tolist()


def test_draws_differ_by_seed_round_and_worker() -> None:
    shards = Shards(10_000, 2, seed=1, batch=20)
    draws = [
        shards.draw(0, 0), shards.draw(0, 1), shards.draw(1, 0), Shards(10_000, 2, seed=2, batch=20).draw(0, 0),
    ]  # fmt: skip
    assert len({tuple(rows.tolist()) for rows in draws}) == 4
    assert not np.array_equal(Shards(100, 1, seed=1).shard(0), Shards(100, 1, seed=2).shard(0))


def test_batch_of_the_whole_shard() -> None:
    shards = Shards(12, 3, seed=0)
    np.testing.assert_array_equal(shards.draw(1, round=0), shards.shard(1))
    np.testing.assert_array_equal(shards.draw(1, round=9), shards.shard(1))


PINNED_SHARD = [3, 8, 5, 6]
PINNED_BATCH = [3, 6]
PINNED_UNIFORM = [0.5230510050528423, 0.3638303275049801]


def test_pinned_numbers() -> None:
    """Machines with different NumPy versions must deal alike: these numbers never change."""
    assert Shards(10, 3, seed=0).shard(0).tolist() == PINNED_SHARD
    assert Shards(10, 3, seed=0, batch=2).draw(0, round=7).tolist() == PINNED_BATCH
    assert random_stream(0, "mlp weights").uniform(size=2).tolist() == pytest.approx(
        PINNED_UNIFORM, rel=1e-15
    )


def test_streams_differ_by_seed_purpose_and_key() -> None:
    keys = [
        (0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a", 1, 0), (0, "a", 0, 1), (0, "a", 1 << 32),
        (1 << 32, "a"),
    ]  # fmt: skip
    streams = [random_stream(*key) for key in keys]  # type: ignore[arg-type]
    assert len({int(numbers.randint(2**62)) for numbers in streams}) == len(streams)


@pytest.mark.parametrize(
    ("samples", "workers", "batch", "says"),
    [
        (3, 4, 0, "3 samples cannot be dealt to 4 workers.*use at most 3 workers"),
        (3, 0, 0, "for 0 workers"),
        (10, 3, 4, "batch=4 is more than the 3 samples of a shard"),
    ],
)
def test_invalid_shards(samples: int, workers: int, batch: int, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Shards(samples, workers, seed=0, batch=batch)


@pytest.mark.parametrize("worker", [-1, 3])
def test_worker_outside_the_run(worker: int) -> None:
    with pytest.raises(TaskError, match=rf"worker {worker} is outside 0 … 2"):
        Shards(10, 3, seed=0).shard(worker)


def test_negative_seed() -> None:
    with pytest.raises(TaskError, match="the seed is -1"):
        random_stream(-1, "shards")
