"""`gradwire model save --out m.onnx`: the module of a torch task computes there what it computes in torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig
from gradwire.deploy.cli import call
from gradwire.deploy.evaluation import task_of
from gradwire.deploy.models import read_run
from gradwire.worker.site import Site
from tests.system.harness import run_hosts
from tests.system.test_saved_torch_models import train
from tests.system.torch_problems import PLACE, torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
reference = pytest.importorskip("onnx.reference")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_norm", "tied"])
def test_onnx_model_computes_what_the_module_computes(name: str, tmp_path: Path) -> None:
    train(name, tmp_path / "run")
    out, target = tmp_path / "m.onnx", f"{PLACE}:{name}"
    words = ["model", "save", "--state-dir", str(tmp_path / "run"), "--out", str(out)]
    assert call([*words, "--allow-task", target]) == 0
    task: Any = task_of(read_run(tmp_path / "run"), Site(), [target])
    problem = task.task._problem
    task.evaluate(read_run(tmp_path / "run").params)  # the module has the run's arrays now
    x = problem.test[0]
    with torch.no_grad():
        expected = problem.module(x).numpy()
    session = reference.ReferenceEvaluator(str(out))
    (found,) = session.run(None, {session.input_names[0]: x.numpy()})
    assert len(x) > 2 and np.allclose(found, expected, atol=1e-4)


def test_code_must_be_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train("frozen_backbone", tmp_path / "run", rounds=1)
    words = ["model", "save", "--state-dir", str(tmp_path / "run"), "--out", str(tmp_path / "m.onnx")]
    assert call(words) == 2
    assert f"pass --allow-task {PLACE}:frozen_backbone" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


def test_only_torch_tasks_have_a_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_hosts(RunConfig(task="softmax(digits)", workers=1, rounds=1), tmp_path / "run", [(0,)])
    words = ["model", "save", "--state-dir", str(tmp_path / "run"), "--out", str(tmp_path / "m.onnx")]
    assert call(words) == 2
    assert "softmax(digits) is no torch task, and only those have a module" in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradwire.worker.tasks.torch import onnx_export

    monkeypatch.setattr(
        onnx_export, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name)
    )
    with pytest.raises(ConfigError, match=r"^\.onnx needs onnxscript: install them with pip install"):
        onnx_export.require_packages()
