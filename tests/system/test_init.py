"""Runs that begin from given weights: a file, or another run's end."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError, LayoutError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.weights.arrays import Array
from gradwire.common.weights.forms import weight_file
from gradwire.common.weights.start import Start
from gradwire.deploy.models import read_start
from gradwire.server.export import ExportedModel, export_model
from gradwire.server.log.run_log import RunLog
from gradwire.server.serving import open_log
from tests.system.harness import Run, run_script
from tests.system.laid_out import ALLOWED, TASK, LinearModel

CONFIG = RunConfig(
    task=TASK, codec="cross_polytope(repeats=40)", optimizer="averaged(sgd(lr=0.2))", workers=3, rounds=8,
    digest_every=1, evaluate_every=4,
)  # fmt: skip
HOSTS = [(0,), (1, 2)]


def train(config: RunConfig, folder: Path, start: Start | None = None) -> dict[str, Any]:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for i, ids in enumerate(HOSTS):
            group.create_task(run.work(f"process-{i}", ids, allow_import=ALLOWED))

    return run_script(config, folder, script, start=start)[0]


def export(folder: Path, round_: int | None = None) -> ExportedModel:
    with RunLog.open_read_only(folder) as log:
        return export_model(log, round_)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    summary = train(CONFIG, folder)
    assert summary["replicas_agree"] and summary["metrics"]["error"] < summary["history"][0]["error"]
    return folder


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_run_begins_from_a_file(ending: str, trained: Path, tmp_path: Path) -> None:
    """Another seed makes another initial model, which every worker gives up for the file's."""
    file = weight_file(tmp_path / f"m{ending}")
    file.write(export(trained, 5).arrays(), {})
    config = replace(CONFIG, seed=9)
    summary = train(config, tmp_path / "run", read_start(file.path))
    assert summary["replicas_agree"] and summary["predicted_equals_measured"] and summary["resyncs"] == 0
    begun = export(tmp_path / "run", 0)
    expected = export(trained, 5).params.copy()
    expected[6:8] = expected[6:8].astype(np.float16)  # the module's bias is half precision
    assert begun.params.tobytes() == expected.tobytes()
    task = LinearModel(3, seed=9)
    assert summary["history"][0]["error"] == task.evaluate(begun.params)["error"]
    assert summary["metrics"] == task.evaluate(export(tmp_path / "run").params)


def test_run_begins_from_another_runs_end(trained: Path, tmp_path: Path) -> None:
    """From its float32 values, although the file of it would have a half-precision bias."""
    train(replace(CONFIG, seed=9), tmp_path / "run", read_start(trained))
    assert export(tmp_path / "run", 0).params.tobytes() == export(trained).params.tobytes()


def test_same_start_is_the_same_run(trained: Path, tmp_path: Path) -> None:
    """From what its own first worker made: not a bit changes."""
    start = export(trained, 0).start("here")
    summary = train(CONFIG, tmp_path / "run", start)
    with RunLog.open(trained) as log, RunLog.open(tmp_path / "run") as other:
        assert list(log.read(0, 8)) == list(other.read(0, 8))
        assert other.get("init") == start.digest and log.get("init") is None
        assert summary["digest"] == f"{log.digest_at(7):016x}"


def test_start_that_does_not_fit_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    """The run ends with one line that names the array; a corrected start in the same folder works."""
    arrays = export(trained).arrays()
    wrong = {**arrays, "linear.weight": Array("float32", np.zeros((2, 4), np.float32))}
    del wrong["tied.weight"]
    message = r"^--init wrong: linear.weight has the shape \[2, 4\], the run's model has \[2, 3\] there$"
    with pytest.raises(ExceptionGroup) as caught:
        train(CONFIG, tmp_path / "run", Start("wrong", wrong))
    assert caught.group_contains(LayoutError, match=message)
    with RunLog.open(tmp_path / "run") as log:
        assert not log.has_initial and log.layout() is None and log.get("init") is None
    summary = train(CONFIG, tmp_path / "run", Start("right", arrays))
    assert summary["replicas_agree"]
    with RunLog.open(tmp_path / "run") as log:
        assert digest_of(np.frombuffer(log.initial(), "<f4")[:11]) != digest_of(LinearModel(3, 0).initial())


def test_run_that_has_begun_takes_no_other_start(trained: Path, tmp_path: Path) -> None:
    start = read_start(trained)
    train(CONFIG, tmp_path, start)
    opened = partial(open_log, tmp_path, CONFIG)
    opened(start).close()  # a server that is restarted with the same words
    other = Start("other", {**start.weights, "linear.bias": Array("float16", np.zeros(2, np.float16))})
    with pytest.raises(
        ConfigError, match=r"has begun: leave --init out to go on, or pass another --state-dir$"
    ):
        opened(other)
    with pytest.raises(ConfigError, match="has begun"):
        open_log(trained, None, start)
    opened(None).close()


def test_process_that_joins_late_takes_the_start_too(trained: Path, tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("process-0", (0, 1), allow_import=ALLOWED))
        await run.committed(2)
        group.create_task(run.work("process-1", (2,), allow_import=ALLOWED))

    config = replace(CONFIG, quorum=2, deadline=0.05, rounds=200)
    summary, _ = run_script(config, tmp_path, script, start=read_start(trained))
    assert summary["replicas_agree"] and summary["replicas_checked"] == 2 and summary["resyncs"] == 0
