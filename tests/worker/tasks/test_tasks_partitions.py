"""Partitions by label: complete, the same at every process, skewed as their parameters say."""

import numpy as np
import pytest

from gradwire.common.errors import SpecError, TaskError
from gradwire.common.spec import parse_spec, spec_of
from gradwire.worker.tasks.partitions import MIN_SAMPLES, Dirichlet, Iid, LabelShards, parse_partition
from gradwire.worker.tasks.shards import Shards

LABELS = np.repeat(np.arange(10), 300)[np.random.RandomState(0).permutation(3_000)]


def deal(text: str, workers: int, seed: int = 0, labels: np.ndarray = LABELS) -> Shards:
    return Shards.partitioned(labels, len(labels), workers, seed, parse_spec(text))


def classes_of(shards: Shards, labels: np.ndarray = LABELS) -> np.ndarray:
    """Samples by worker and class."""
    return np.array([np.bincount(labels[shards.shard(w)], minlength=10) for w in shards.workers])


@pytest.mark.parametrize(
    ("text", "workers"),
    [("iid", 7), ("dirichlet(0.1)", 7), ("dirichlet(100)", 30), ("shards(2)", 7), ("shards(3)", 1)],
)
def test_every_sample_is_dealt_once_and_alike_everywhere(text: str, workers: int) -> None:
    shards, again = deal(text, workers, seed=5), deal(text, workers, seed=5)
    dealt = [shards.shard(worker) for worker in range(workers)]
    assert sorted(np.concatenate(dealt).tolist()) == list(range(3_000))
    assert [shards.size(w) for w in range(workers)] == [len(rows) for rows in dealt]
    for worker, rows in enumerate(dealt):
        np.testing.assert_array_equal(again.shard(worker), rows)
    assert any(not np.array_equal(deal(text, workers, seed=6).shard(w), dealt[w]) for w in range(workers))


def test_iid_is_the_deal_of_a_run_without_partition() -> None:
    for worker in range(4):
        np.testing.assert_array_equal(deal("iid", 4).shard(worker), Shards.even(3_000, 4, 0).shard(worker))


def test_small_alpha_skews_and_large_alpha_does_not() -> None:
    mixtures = {alpha: classes_of(deal(f"dirichlet({alpha})", 10)).T / 300 for alpha in (0.1, 1.0, 1_000.0)}
    largest = {alpha: shares.max(axis=1).mean() for alpha, shares in mixtures.items()}
    assert largest[0.1] > 0.5 > largest[1.0] > 0.2 > largest[1_000.0]
    np.testing.assert_allclose(mixtures[1_000.0], 0.1, atol=0.03)


def test_shares_have_the_moments_of_the_dirichlet_law() -> None:
    """Mean 1/N and variance (N - 1) / (N² (N alpha + 1)), each within six standard errors of 20,000 draws."""
    rng, alpha, workers, draws = np.random.RandomState(1), 0.3, 4, 20_000
    shares = np.array([Dirichlet(alpha)._shares(rng, workers) for _ in range(draws)])
    variance = (workers - 1) / (workers**2 * (workers * alpha + 1))
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares.mean(axis=0), 1 / workers, atol=6 * np.sqrt(variance / draws))
    squares = (shares - 1 / workers) ** 2
    np.testing.assert_allclose(squares.mean(axis=0), variance, atol=6 * squares.std() / np.sqrt(draws))


def test_each_worker_has_ten_samples_whatever_the_skew() -> None:
    # Without drawing again, some worker would be below: the first draw alone is not enough.
    shards = deal("dirichlet(0.1)", 25)
    assert min(shards.size(worker) for worker in range(25)) >= MIN_SAMPLES
    rng = np.random.RandomState(0)
    first = [sum(Dirichlet(0.1)._shares(rng, 25) * 300 for _ in range(10)).min() for _ in range(50)]
    assert min(first) < MIN_SAMPLES


def test_a_tiny_alpha_gives_each_class_to_one_worker() -> None:
    counts = classes_of(deal("dirichlet(1e-6)", 2))
    assert np.all((counts == 0) | (counts == 300))


@pytest.mark.parametrize("per_worker", [1, 2, 3])
def test_label_shards_hold_few_classes(per_worker: int) -> None:
    """300 samples of each class in 20 workers: shards of 150, 75 or 50 do not cross classes."""
    counts = classes_of(deal(f"shards({per_worker})", 20))
    assert np.count_nonzero(counts, axis=1).max() <= per_worker and np.all(counts.sum(axis=1) == 150)


def test_a_class_that_is_missing_and_labels_that_are_text() -> None:
    labels = np.array(["b", "a", "d"])[np.arange(300) % 3]
    shards = Shards.partitioned(labels, 300, 3, 0, LabelShards(1))
    assert [len(set(labels[shards.shard(w)])) for w in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dirichlet", "dirichlet needs alpha"),
        ("dirichlet(0)", "alpha is 0.0, expected a number above 0"),
        ("dirichlet(inf)", "alpha is inf"),
        ("shards(0)", "per_worker is 0, expected 1 to 1000"),
        ("drichlet(1)", "unknown partition 'drichlet': did you mean dirichlet"),
        ("iid(3)", "iid takes 0 arguments"),
    ],
)
def test_invalid_partitions(text: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        parse_partition(text)


@pytest.mark.parametrize(
    ("text", "workers", "says"),
    [
        (
            "dirichlet(1)",
            301,
            "3000 samples cannot give 301 workers at least 10 each: use at most 300 workers",
        ),
        ("dirichlet(1e-9)", 11, "fewer than 10 samples in each of 1,000 draws: use a larger alpha"),
        ("shards(1000)", 4, "3000 samples cannot be cut into 4000 shards, 1000 for each worker"),
        ("iid", 3001, "use at most 3000 workers"),
    ],
)
def test_impossible_partitions(text: str, workers: int, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        deal(text, workers)


def test_labels_are_needed() -> None:
    with pytest.raises(TaskError, match="dirichlet deals by label, and these data have none: use iid"):
        Shards.partitioned(None, 100, 2, 0, Dirichlet(1.0))
    assert Shards.partitioned(None, 100, 2, 0, Iid()).size(0) == 50


@pytest.mark.parametrize("text", ["iid", "dirichlet(alpha=0.5)", "shards(per_worker=2)"])
def test_canonical_spelling(text: str) -> None:
    assert str(spec_of(parse_partition(text))) == text
