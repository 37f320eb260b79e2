"""Table 4: the variants' gradients are those of their losses, and the document is complete."""

from typing import Any

import numpy as np
import pytest

from gradwire.bench.papers import logistic, logistic_tasks
from gradwire.bench.papers.experiment import Measured, find
from gradwire.bench.papers.logistic import (
    FLOAT32,
    MEANT,
    OWN_N,
    PRINTED,
    SCALED,
    VQSGD,
    larger_class_error,
    task_of,
)
from gradwire.bench.papers.logistic_tasks import InsideModel
from gradwire.bench.papers.table_4_report import PAPER
from gradwire.common.errors import ConfigError
from gradwire.deploy.report.document import Chart, Document, Table
from gradwire.worker.data import Dataset
from gradwire.worker.tasks.kinds.logistic import LogisticModel


def samples(seed: int = 0, rows: int = 40, dim: int = 5) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, dim)), rng.integers(0, 2, rows)


def test_the_gradient_inside_the_logarithm() -> None:
    x, y = samples()
    model, point = InsideModel(5, 3), np.linspace(-2, 2, 5)
    loss, value = model.gradient(point, x, y)
    signs = 2 * y - 1
    direct = np.mean(np.log(1 + np.exp(-signs * (x @ point)) + point @ point / 6))
    assert loss == pytest.approx(direct, rel=1e-12)
    h = 1e-6
    for i, axis in enumerate(np.eye(5)):
        slope = (model.gradient(point + h * axis, x, y)[0] - model.gradient(point - h * axis, x, y)[0]) / (
            2 * h
        )
        assert value[i] == pytest.approx(slope, abs=1e-8)


def test_inside_and_beside_agree_where_the_regulariser_vanishes() -> None:
    x, y = samples(1)
    point = np.linspace(-1, 1, 5)
    inside, beside = InsideModel(5, 10**9), LogisticModel(5, 1e-9)
    assert inside.gradient(point, x, y)[0] == pytest.approx(beside.gradient(point, x, y)[0], abs=1e-8)
    np.testing.assert_allclose(inside.gradient(point, x, y)[1], beside.gradient(point, x, y)[1], atol=1e-8)
    assert inside.score(point, x, y) == beside.score(point, x, y)


def test_the_tasks_of_the_variants() -> None:
    assert task_of("a9a", MEANT) == ("logistic(a9a, l2=auto)", [])
    assert task_of("splice", OWN_N) == ("logistic(splice, l2=0.02)", [])
    for data in logistic_tasks.INSIDE:
        task, allowed = task_of(data, PRINTED)
        assert task == f"custom({allowed[0]})" and hasattr(logistic_tasks, allowed[0].partition(":")[2])
    with pytest.raises(ConfigError, match="no variant 'columns scaled' of a9a"):
        task_of("a9a", SCALED)


@pytest.fixture
def splice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small data set of splice's kind: values 1 to 4, the class in the first column."""
    rng = np.random.default_rng(5)
    x = rng.integers(1, 5, (120, 6)).astype(np.float32)
    y = (x[:, 0] > 2).astype(np.int64)

    def load(name: str) -> Dataset:
        return Dataset(name, x[:80].copy(), y[:80].copy(), x[80:].copy(), y[80:].copy(), 2)

    monkeypatch.setattr(logistic_tasks, "load", load)
    monkeypatch.setattr(logistic, "load", load)


@pytest.mark.usefixtures("splice")
def test_a_small_measurement() -> None:
    found = logistic.measure("splice", VQSGD, SCALED, 0.3, 60, [0, 1])
    assert len(found["errors"]) == 2 and found["rounds"][0] == 0 and found["rounds"][-1] == 60
    assert found["values"][-1] == found["errors"][0] < found["larger"]
    assert found["bits"] == 32 + 4
    assert found == logistic.measure("splice", VQSGD, SCALED, 0.3, 60, [0, 1])


@pytest.mark.usefixtures("splice")
def test_too_large_a_step_on_raw_features_answers_one_class() -> None:
    exact = logistic.measure("splice", FLOAT32, PRINTED, 30.0, 6, [0])
    assert max(exact["values"]) >= 0.4


def test_the_larger_class() -> None:
    assert larger_class_error(np.array([1, 1, 0])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("full", [False, True])
def test_the_document_is_complete(full: bool) -> None:
    experiment = find("vqsgd-table-4")
    cases = experiment.cases(full=full)
    document = experiment.document([Measured(case, _result(case)) for case in cases], full=full)
    parts = [part for section in document.sections for part in section.parts]
    text = document.about + " ".join(part for part in parts if isinstance(part, str))
    assert "nan" not in text and "None" not in text and "inf" not in text
    tables = [part for part in parts if isinstance(part, Table)]
    assert len(tables[0].rows) == 4 * 5  # four data sets and splice scaled, three schemes and float32
    assert {row[4] for row in tables[0].rows if row[2] is not None and full} <= {20}
    printed = [row[2] for row in tables[0].rows if row[2] is not None]
    assert len(printed) == 12 and printed[0] == "0.238 ± 0.0003"
    assert sum(isinstance(part, Chart) for part in parts) == len(PAPER)
    penalties = next(table for table in tables if "regulariser" in table.title)
    assert all(cell is not None for row in penalties.rows for cell in row)
    assert Document.from_json(document.to_json()).title == experiment.title


def _result(case: Any) -> dict[str, Any]:
    error = 0.15 + 0.01 * case["step"]
    values = [0.5, 0.3, error]
    return {
        "errors": [error + 0.001 * seed for seed in case["seeds"]],
        "rounds": [0, case["rounds"] // 2, case["rounds"]],
        "values": values,
        "bits": 40.0,
        "larger": 0.4,
    }
