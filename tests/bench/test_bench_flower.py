"""``gradwire bench flower``: the local training of both sides is the same, and Flower is asked for in one line."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gradwire.bench.commands import flower as bench
from gradwire.bench.flower import launch
from gradwire.bench.flower.clients import WorkerClient
from gradwire.bench.flower.training import LocalTraining, Training
from gradwire.bench.local_runs import trained
from gradwire.common.errors import ConfigError, TaskError

TRAINING = Training(
    task="mlp(digits, hidden=8, batch=16)",
    partition="dirichlet(0.5)",
    workers=6,
    cohort=6,
    rounds=2,
    local="local(steps=3, optimizer=sgd(lr=0.1))",
    seed=5,
    evaluate_every=1,
    same_draw=True,
)


def by_hand(rounds: int) -> list[dict[str, float]]:
    """Test metrics before the first round and after each, with models averaged here by the workers' sizes."""
    local, arrays = LocalTraining(TRAINING), LocalTraining(TRAINING).initial()
    sizes = [local.size(worker) for worker in range(6)]
    assert len(set(sizes)) > 1  # else weights would not be seen
    metrics = [local.evaluate(arrays)]
    for round_ in range(rounds):
        models = [local.fit(arrays, round=round_, worker=worker) for worker in range(6)]
        arrays = [
            np.average(each, axis=0, weights=sizes).astype(np.float32) for each in zip(*models, strict=True)
        ]
        metrics.append(local.evaluate(arrays))
    return metrics


def test_the_settings_reach_another_process_as_they_are() -> None:
    assert Training.from_json(TRAINING.to_json()) == TRAINING


def test_the_mean_of_the_local_models_by_size_is_what_gradwire_trains() -> None:
    expected = by_hand(2)
    summary = trained(
        {
            "task": TRAINING.task, "partition": TRAINING.partition, "workers": 6, "rounds": 2, "seed": 5,
            "local": TRAINING.local, "weighting": "size", "codec": "float32", "evaluate_every": 1,
        },
        1,
    )  # fmt: skip
    assert summary["metrics"]["test_loss"] == pytest.approx(expected[-1]["test_loss"], rel=1e-5)
    for row, metrics in zip(summary["history"], expected, strict=True):
        assert row["accuracy"] == pytest.approx(metrics["accuracy"])


def test_a_client_of_flower_trains_its_worker() -> None:
    local = LocalTraining(TRAINING)
    client = WorkerClient(local, 4, threading.Lock())
    arrays, examples, _ = client.fit(local.initial(), {"round": 1})
    assert client.get_properties({}) == {"worker": 4} and examples == local.size(4)
    for got, expected in zip(arrays, local.fit(local.initial(), round=1, worker=4), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_flower_is_asked_for_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TaskError, match="pip install flwr, or pass --without-flower"):
        bench.flower(task="softmax(digits)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 4, "cohort": 5}, "at most the 4 workers"),
        ({"codec": ["top_signs({n})"], "bits": 1e-6}, "no top_signs"),
    ],
)
def test_impossible_cases_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench.flower(task="softmax(digits)", without_flower=True, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_rows_are_means_over_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.flower(
        task="softmax(digits)", workers=4, cohort=4, rounds=4, steps=2, runs=2, processes=1,
        codec=["float32", "error:top_k(3, coding=set)"], without_flower=True, json=str(tmp_path / "report.json"),
    )  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    exact, few = report["rows"]
    assert report["flower"] is None and report["runs"] == 2
    assert exact["up"] >= 4 * 4 * 650 > few["up"]  # four workers' payloads of 650 numbers
    assert exact["end"] == pytest.approx(sum(exact["ends"]) / 2) and exact["accuracy"]["4"] > 0.3
    assert exact["seconds"] >= exact["least_seconds"] > 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[-2:]] == [
        "| float32",
        "| top_k(3, coding=set), error feedback",
    ]


@pytest.mark.slow
def test_flower_trains_what_gradwire_trains() -> None:
    pytest.importorskip("flwr")
    found = launch.flower_trained(replace(TRAINING, same_draw=False), 2)
    assert found["history"][-1]["round"] == 2
    assert found["history"][-1]["test_loss"] == pytest.approx(by_hand(2)[-1]["test_loss"], rel=1e-5)
    if found["uplink"]["tcp_bytes"] is not None:
        assert found["uplink"]["tcp_bytes"] > 2 * 6 * 4 * 618 and found["seconds"] > 0
