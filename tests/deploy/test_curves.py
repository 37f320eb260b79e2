"""Curves of `gradwire run`, whose server is killed on the way and whose run is continued later."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradwire.deploy.cli import call
from tests.deploy.test_local_run import child, finish, gradwire


@pytest.mark.slow
def test_curves_of_a_run_whose_server_is_killed(tmp_path: Path) -> None:
    log, folder = tmp_path / "metrics.jsonl", tmp_path / "curves"
    words = ["--state-dir", str(tmp_path / "run"), "--tensorboard", str(folder), "--metrics-log", str(log)]
    with gradwire(tmp_path, *words) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("round "):
                break
        os.kill(child(run, "server"), signal.SIGKILL)
        summary = finish(run, tmp_path)
    assert summary["restarts"] == {"server": 1}
    assert call(["run", "--rounds", "1200", *words, "--json", str(tmp_path / "out.json")]) == 0
    history = json.loads((tmp_path / "out.json").read_text())["history"]
    losses = [(row["round"], row["loss"]) for row in history if row["loss"] is not None]

    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["step"], row["value"]) for row in rows if row["key"] == "loss"] == losses
    assert max(Counter((row["key"], row["step"]) for row in rows).values()) == 1
    accuracies = [(row["round"], row["accuracy"]) for row in history if "accuracy" in row]
    assert [(row["step"], row["value"]) for row in rows if row["key"] == "accuracy"] == accuracies

    (only,) = folder.iterdir()
    reader = EventAccumulator(str(only), size_guidance={"scalars": 0})
    reader.Reload()
    assert [scalar.step for scalar in reader.Scalars("loss")] == [round_ for round_, _ in losses]
    assert [scalar.value for scalar in reader.Scalars("loss")] == pytest.approx([v for _, v in losses])
    total = [scalar.value for scalar in reader.Scalars("bytes/up")]
    assert total == sorted(total) and len(total) > 1100
