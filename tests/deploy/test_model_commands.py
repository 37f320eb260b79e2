"""`gradwire model`: what a run ended with, in files and evaluated again; one clear line for what cannot be had."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.training.config import RunConfig
from gradwire.deploy.cli import call
from gradwire.deploy.commands.model.evaluate import NOTHING
from gradwire.server.log.run_log import RunLog
from tests.system.harness import run_hosts
from tests.system.laid_out import ALLOWED, TASK, LinearModel

CONFIG = RunConfig(
    task="softmax(digits)", codec="cross_polytope(repeats=50)", optimizer="averaged(sgd(lr=1.0))", workers=2,
    rounds=6, evaluate_every=2, seed=3, keep_best="test_loss:min",
)  # fmt: skip
Lines = Callable[..., list[str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, run_hosts(CONFIG, folder, [(0,), (1,)])[0]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Runs a command that must succeed; what it printed."""

    def run(*words: object) -> list[str]:
        assert call(list(map(str, words))) == 0, capsys.readouterr().err
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must refuse its input; its one line."""

    def run(*words: object) -> str:
        assert call(list(map(str, words))) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("gradwire: ")

    return run


# ---- save and evaluate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("round_", [0, 2, 4, 6, "last", "best"])
def test_evaluation_is_what_the_run_reported(
    round_: Any, trained: tuple[Path, dict[str, Any]], lines: Lines, tmp_path: Path
) -> None:
    folder, summary = trained
    at = {"last": 6, "best": summary["best"]["round"]}.get(round_, round_)
    row = next(row for row in summary["history"] if row["round"] == at)
    reported = {name: value for name, value in row.items() if name not in ("loss", "round")}
    own = json.loads("".join(lines("model", "evaluate", "--state-dir", folder, "--round", round_, "--json")))
    assert own == {"task": CONFIG.task, "round": at, "metrics": reported}
    out = tmp_path / "m.safetensors"
    (said,) = lines("model", "save", "--state-dir", folder, "--round", round_, "--out", out)
    assert said == f"saved {out}: 2 arrays, 650 values, after round {at}"
    words = [
        "model",
        "evaluate",
        "--model",
        out,
        "--task",
        CONFIG.task,
        "--seed",
        3,
        "--workers",
        2,
        "--json",
    ]
    assert json.loads("".join(lines(*words)))["metrics"] == reported


def test_evaluation_for_people(trained: tuple[Path, dict[str, Any]], lines: Lines) -> None:
    folder, summary = trained
    assert f"accuracy {summary['metrics']['accuracy']:.4g}" in lines(
        "model", "evaluate", "--state-dir", folder
    )


def test_a_model_without_test_data_has_no_measures(lines: Lines, tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", weight=np.zeros((2, 1), np.float32), bias=np.zeros(2, np.float32))
    (tmp_path / "t.csv").write_text("x,y\n1,0\n2,1\n")
    words = ["model", "evaluate", "--model", tmp_path / "m.npz", "--task", "softmax(file, features=1, classes=2)",
             "--data", tmp_path / "t.csv"]  # fmt: skip
    assert lines(*words) == [NOTHING]
    assert lines(*words, "--option", f"test={tmp_path / 't.csv'}")[0] == "test_loss 0.6931"


def test_last_iterate_is_another(trained: tuple[Path, dict[str, Any]], lines: Lines, tmp_path: Path) -> None:
    folder, summary = trained
    out = tmp_path / "m.npz"
    lines("model", "save", "--state-dir", folder, "--iterate", "last", "--out", out)
    with np.load(out) as last:
        flat = np.concatenate([last["weight"].reshape(-1), last["bias"]])
    with RunLog.open(folder) as log:
        assert f"{log.digest_at(5):016x}" == summary["digest"]
    lines("model", "save", "--state-dir", folder, "--out", out)
    with np.load(out) as reported:
        assert not np.array_equal(flat, np.concatenate([reported["weight"].reshape(-1), reported["bias"]]))


def test_torch_loads_the_saved_model_and_computes_the_reported_accuracy(
    trained: tuple[Path, dict[str, Any]], lines: Lines, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    folder, summary = trained
    lines("model", "save", "--state-dir", folder, "--out", tmp_path / "m.pt")
    module = torch.nn.Linear(64, 10)
    module.load_state_dict(torch.load(tmp_path / "m.pt", weights_only=True), strict=True)
    from gradwire.worker.data import load

    data = load("digits")
    with torch.no_grad():
        logits = module(torch.from_numpy(data.x_test.copy()))
    accuracy = (logits.argmax(1).numpy() == np.asarray(data.y_test)).mean()
    assert accuracy == pytest.approx(summary["metrics"]["accuracy"])


def test_own_task_needs_its_code_only_to_be_evaluated(
    lines: Lines, refusal: Callable[..., str], tmp_path: Path
) -> None:
    config = RunConfig(task=TASK, codec="cross_polytope(repeats=40)", workers=2, rounds=5, seed=4)
    summary, _ = run_hosts_with_code(config, tmp_path / "run")
    out = tmp_path / "m.npz"
    saved = lines("model", "save", "--state-dir", tmp_path / "run", "--out", out)
    assert saved == [f"saved {out}: 4 arrays, 17 values, after round 5"]
    with np.load(out) as arrays:
        assert {name: (arrays[name].dtype.name, arrays[name].shape) for name in arrays.files} == {
            "linear.weight": ("float32", (2, 3)), "tied.weight": ("float32", (2, 3)),
            "linear.bias": ("float16", (2,)), "norm.running_mean": ("float32", (3,)),
        }  # fmt: skip
        assert np.array_equal(arrays["linear.weight"], arrays["tied.weight"])
    words = ["model", "evaluate", "--state-dir", tmp_path / "run"]
    assert "if you trust it, pass --allow-task tests.system.laid_out:make" in refusal(*words)
    found = json.loads("".join(lines(*words, "--allow-task", *ALLOWED, "--json")))
    assert found["metrics"] == summary["metrics"]


def run_hosts_with_code(config: RunConfig, folder: Path) -> Any:
    from tests.system.harness import run_script

    async def script(run: Any, group: Any) -> None:
        group.create_task(run.work("process-0", (0, 1), allow_import=ALLOWED))

    return run_script(config, folder, script)


# ---- info ----------------------------------------------------------------------------------------------------


def test_info_of_a_run_and_of_a_file(
    trained: tuple[Path, dict[str, Any]], lines: Lines, tmp_path: Path
) -> None:
    folder, summary = trained
    about = json.loads("".join(lines("model", "info", folder, "--json")))
    assert (about["round"], about["rounds"], about["best"]) == (6, 6, summary["best"]["round"])
    assert about["arrays"][0] == {
        "name": "weight", "aliases": [], "shape": [10, 64], "dtype": "float32", "role": "trained",
    }  # fmt: skip
    out = tmp_path / "m.safetensors"
    lines("model", "save", "--state-dir", folder, "--out", out)
    shown = "\n".join(lines("model", "info", out))
    assert (
        "task: softmax(digits)\n" in shown and "round: 6\n" in shown and "weight  10 × 64  float32" in shown
    )
    assert lines("model", "info", folder)[-2].split() == ["weight", "10", "×", "64", "float32", "trained"]


# ---- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--round", "7"], "round 7 is not there yet"),
        (["--round", "-1"], "round is '-1', expected a number of rounds, last or best"),
        (["--iterate", "mean"], "iterate is 'mean', expected reported or last"),
        (["--out", "m.bin"], "m.bin ends in .bin, expected .safetensors, .npz, .pt"),
        (["--out", "."], ". ends in nothing, expected .safetensors"),
        (["--out", "none/m.npz"], "cannot write none/m.npz: its folder does not exist, make it first"),
        (["--state-dir", "."], ". holds no run log: expected run.db in it, check the path"),
    ],
)
def test_save_refuses_in_one_line(
    words: list[str],
    message: str,
    trained: tuple[Path, dict[str, Any]],
    refusal: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal("model", "save", "--state-dir", trained[0], "--out", "m.npz", *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "pass --state-dir for a run's model, or --model for one in a file"),
        (["--state-dir", "a", "--model", "b.npz"], "pass --state-dir for a run's model"),
        (["--model", "b.npz"], "--model needs --task"),
        (["--model", "b.npz", "--task", "softmax(digits)"], "cannot read b.npz"),
    ],
)
def test_evaluate_refuses_in_one_line(words: list[str], message: str, refusal: Callable[..., str]) -> None:
    assert message in refusal("model", "evaluate", *words)


def test_model_of_another_task_is_refused(
    trained: tuple[Path, dict[str, Any]], refusal: Callable[..., str], lines: Lines, tmp_path: Path
) -> None:
    folder, _ = trained
    other = ["--task", "mlp(digits, hidden=3)"]
    assert "the task's model is not the run's: " in refusal(
        "model", "evaluate", "--state-dir", folder, *other
    )
    out = tmp_path / "m.npz"
    lines("model", "save", "--state-dir", folder, "--out", out)
    assert refusal("model", "evaluate", "--model", out, *other).startswith(f"{out}: 0.weight is missing")


def test_linear_model_is_what_its_tests_take_it_for() -> None:
    task = LinearModel(2, 0)
    assert task.layout.dim == task.initial().size == 11
