"""The papers' data sets and models at full size. Skipped without GRADWIRE_DATA."""

import os

import numpy as np
import pytest

from gradwire.worker.data import DatasetInfo, available, load
from gradwire.worker.tasks import build_task

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        not os.environ.get("GRADWIRE_DATA"), reason="set GRADWIRE_DATA to a folder with the real data sets"
    ),
]


def at_hand(name: str) -> DatasetInfo:
    """The catalogue's row of a data set, or a skip that says what is missing."""
    info = next(info for info in available() if info.name == name)
    if info.where in ("to download", "not available"):
        pytest.skip(f"GRADWIRE_DATA has no {name}")
    return info


@pytest.mark.parametrize(
    "name", ["mnist", "fashion_mnist", "cifar10", "a5a", "a9a", "splice", "gisette", "mnist49"]
)
def test_data_set_matches_the_catalogue(name: str) -> None:
    info = at_hand(name)
    data = load(name)
    assert data.x_train.shape == (info.samples, info.dim) and data.x_test.shape == (
        info.test_samples,
        info.dim,
    )
    assert (len(data.y_train), len(data.y_test)) == (info.samples, info.test_samples)
    assert set(np.unique(data.y_train)) == set(np.unique(data.y_test)) == set(range(info.classes))
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    low, high = data.x_train.min(), data.x_train.max()
    assert (low, high) == {"splice": (1, 4), "gisette": (-1, 1), "mnist49": (-1, 1)}.get(name, (0, 1))


@pytest.mark.parametrize(("name", "hidden", "dim"), [("mnist", 1000, 795_010), ("cifar10", 4000, 12_332_010)])
def test_networks_of_the_paper(name: str, hidden: int, dim: int) -> None:
    info = at_hand(name)
    task = build_task(f"mlp({name}, hidden={hidden})", workers=100, seed=0)
    params = task.initial()
    answer = task.gradient(params, round=0, worker=99)
    assert task.dim == dim == len(answer.value) and answer.examples == info.samples // 100
    norm, length = np.linalg.norm(answer.value), 1e-3
    after = task.gradient(params - np.float32(length / norm) * answer.value, round=0, worker=99)
    assert answer.loss is not None and after.loss is not None
    assert (answer.loss - after.loss) / length == pytest.approx(norm, rel=0.05)  # first order, at full size


@pytest.mark.parametrize(
    ("name", "dim", "rate", "rounds", "error"),
    [
        ("a5a", 122, 1, 200, 0.16),
        ("a9a", 123, 1, 200, 0.16),
        ("splice", 60, 0.05, 400, 0.2),
        ("mnist49", 5000, 5e-4, 60, 0.12),
    ],
)
def test_logistic_regressions_of_the_paper(
    name: str, dim: int, rate: float, rounds: int, error: float
) -> None:
    """[V] Table 4's setting without quantization: 20 workers, eq. 29."""
    at_hand(name)
    task = build_task(f"logistic({name})", workers=20, seed=0)
    params = task.initial()
    assert task.dim == dim
    for round in range(rounds):
        values = [task.gradient(params, round=round, worker=worker).value for worker in range(20)]
        params = params - np.float32(rate) * np.mean(values, axis=0)
    assert task.evaluate(params)["test_error"] < error
