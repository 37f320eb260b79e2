"""Shards are disjoint and complete, every draw is reproducible, and every batch is equally likely."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from gradwire.common.errors import TaskError
from gradwire.worker.site import Site
from gradwire.worker.tasks.partitions import Rows
from gradwire.worker.tasks.random_streams import random_stream
from gradwire.worker.tasks.shards import Shards, distinct

Draw = Callable[[np.random.RandomState, int, int], Rows]
FALSE_ALARM = 1e-9  # of each chi-square test


@given(st.data())
def test_shards_partition_the_samples(data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, 30))
    samples = data.draw(st.integers(workers, 200))
    shards = Shards.even(samples, workers, seed=data.draw(st.integers(0, 2**64)))
    dealt = [shards.shard(worker) for worker in range(workers)]
    assert sorted(np.concatenate(dealt).tolist()) == list(range(samples)) and shards.samples == samples
    sizes = [len(rows) for rows in dealt]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == [shards.size(worker) for worker in range(workers)]


@given(st.integers(1, 8), st.integers(0, 5), st.integers(0, 2**40))
def test_batch_is_a_part_of_the_shard(batch: int, worker: int, round: int) -> None:
    shards = Shards.even(50, 6, seed=1, batch=batch)
    rows = shards.draw(worker, round).tolist()
    assert len(set(rows)) == batch and set(rows) <= set(shards.shard(worker).tolist())
    assert rows == Shards.even(50, 6, seed=1, batch=batch).draw(worker, round).tolist()


def test_draws_differ_by_seed_round_and_worker() -> None:
    shards = Shards.even(10_000, 2, seed=1, batch=20)
    draws = [
        shards.draw(0, 0), shards.draw(0, 1), shards.draw(1, 0),
        Shards.even(10_000, 2, seed=2, batch=20).draw(0, 0),
    ]  # fmt: skip
    assert len({tuple(rows.tolist()) for rows in draws}) == 4
    assert not np.array_equal(Shards.even(100, 1, seed=1).shard(0), Shards.even(100, 1, seed=2).shard(0))


@pytest.mark.parametrize("batch", [0, 4, 5, 1000])
def test_batch_of_the_whole_shard(batch: int) -> None:
    """Sites differ in size: one with fewer samples than the batch uses what it has."""
    shards = Shards.even(12, 3, seed=0, batch=batch)
    np.testing.assert_array_equal(shards.draw(1, round=0), shards.shard(1))
    np.testing.assert_array_equal(shards.draw(1, round=9), shards.shard(1))


# ---- a site's own data -------------------------------------------------------------------------------------


def test_one_worker_has_all_rows_of_its_site_as_they_stand() -> None:
    shards = Shards.own(600, Site(workers=(7,), seed=3))
    assert shards.shard(7).tolist() == list(range(600)) and shards.size(7) == 600 and shards.order is None


def test_own_rows_are_dealt_among_the_workers_of_the_site_alone() -> None:
    shards = Shards.own(601, Site(workers=(4, 9, 30), seed=3), batch=5)
    dealt = [shards.shard(worker) for worker in (4, 9, 30)]
    assert sorted(np.concatenate(dealt).tolist()) == list(range(601))
    assert [len(rows) for rows in dealt] == [201, 200, 200]
    assert set(shards.draw(9, 0)) <= set(dealt[1].tolist()) and len(shards.draw(9, 0)) == 5
    with pytest.raises(TaskError, match="worker 5 is outside 4, 9, 30"):
        shards.shard(5)


def test_a_batch_of_many_rows_costs_as_much_as_of_few() -> None:
    """The shard of a site with a billion rows is never written out."""
    shards = Shards.own(10**9, Site(workers=(0,)), batch=64)
    rows = shards.draw(0, 0)
    assert len(set(rows.tolist())) == 64 and rows.min() >= 0 and rows.max() < 10**9


# ---- the law of a batch ------------------------------------------------------------------------------------


def surprise(draw: Draw, population: int, count: int) -> float:
    """The chi-square statistic of the ordered choices, over its limit for the false-alarm budget."""
    outcomes = dict.fromkeys(permutations(range(population), count), 0)
    for round in range(20 * len(outcomes)):
        outcomes[tuple(draw(random_stream(0, "law", round), population, count).tolist())] += 1
    statistic = sum((seen - 20) ** 2 / 20 for seen in outcomes.values())
    return float(statistic / chi2.isf(FALSE_ALARM, len(outcomes) - 1))


@pytest.mark.parametrize(("population", "count"), [(5, 2), (7, 2), (7, 3), (4, 3), (3, 2)])
def test_every_ordered_batch_is_equally_likely(population: int, count: int) -> None:
    """Both ways of drawing, below and above half of the population."""
    found = surprise(distinct, population, count)
    assert found < 1, f"{found:.2f} of the limit (false alarm {FALSE_ALARM})"


def cut_when_sorted(rng: np.random.RandomState, population: int, count: int) -> Rows:
    """The usual mistake: the smallest of the numbers drawn, not the first; in random order."""
    numbers = np.unique(rng.randint(population, size=4 * count))
    chosen: Rows = rng.permutation(numbers if len(numbers) < count else numbers[:count])
    return chosen if len(chosen) == count else distinct(rng, population, count)


def test_a_biased_draw_is_noticed() -> None:
    assert surprise(cut_when_sorted, 7, 3) > 1


def test_every_row_is_used_over_many_rounds() -> None:
    shards = Shards.even(1_000, 2, seed=0, batch=50)
    used = {row for round in range(300) for row in shards.draw(1, round).tolist()}
    assert used == set(shards.shard(1).tolist())


# ---- numbers that never change -----------------------------------------------------------------------------

PINNED_SHARD = [3, 8, 5, 6]
PINNED_BATCH = [3, 6]
PINNED_SMALL_BATCH = [20, 73, 35]
PINNED_UNIFORM = [0.5230510050528423, 0.3638303275049801]


def test_pinned_numbers() -> None:
    """Machines with different NumPy versions must deal alike: these numbers never change."""
    assert Shards.even(10, 3, seed=0).shard(0).tolist() == PINNED_SHARD
    assert Shards.even(10, 3, seed=0, batch=2).draw(0, round=7).tolist() == PINNED_BATCH
    assert Shards.even(100, 3, seed=0, batch=3).draw(0, round=7).tolist() == PINNED_SMALL_BATCH
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
    ("samples", "workers", "says"),
    [(3, 4, "3 samples cannot be dealt to 4 workers.*use at most 3 workers"), (3, 0, "for 0 workers")],
)
def test_invalid_shards(samples: int, workers: int, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        Shards.even(samples, workers, seed=0)
    with pytest.raises(TaskError, match=says):
        Shards.own(samples, Site(workers=tuple(range(workers))))


@pytest.mark.parametrize("worker", [-1, 3])
def test_worker_outside_the_run(worker: int) -> None:
    with pytest.raises(TaskError, match=rf"worker {worker} is outside 0 … 2"):
        Shards.even(10, 3, seed=0).shard(worker)


def test_negative_seed() -> None:
    with pytest.raises(TaskError, match="the seed is -1"):
        random_stream(-1, "shards")
