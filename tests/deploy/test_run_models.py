"""`gradwire run --save`, `--init` and `--rounds`, with its real server and workers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig
from gradwire.deploy.options import RunOptions
from gradwire.deploy.run.launch import launch, server_arguments

WORDS = [
    "--task",
    "softmax(digits)",
    "--codec",
    "cross_polytope(repeats=50)",
    "--workers",
    "2",
    "--processes",
    "1",
]


def gradwire(*words: object, code: int = 0) -> list[str]:
    command = [sys.executable, "-m", "gradwire.deploy.cli", "run", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return (done.stdout if code == 0 else done.stderr).splitlines()


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


@pytest.mark.slow
def test_run_saves_continues_and_starts_another(tmp_path: Path) -> None:
    folder, out = tmp_path / "run", tmp_path / "m.npz"
    said = gradwire(*WORDS, "--rounds", 4, "--state-dir", folder, "--save", out)
    assert said[-1] == f"saved {out}: 2 arrays, 650 values, after round 4"
    assert "4 of 4" in (folder / "README.txt").read_text(encoding="utf-8")
    grown = gradwire("--state-dir", folder, "--rounds", 9, "--save", out, "--json", tmp_path / "grown.json")
    assert grown[-1].endswith("after round 9") and "resuming after round 4" in grown
    steady = tmp_path / "steady.json"
    gradwire(*WORDS, "--rounds", 9, "--json", steady)
    digests = [json.loads(path.read_text())["digest"] for path in (tmp_path / "grown.json", steady)]
    assert digests[0] == digests[1]
    (refusal,) = gradwire("--state-dir", folder, "--rounds", 8, code=2)
    assert "holds another run (its rounds is 9, given was 8)" in refusal
    again = tmp_path / "again.npz"
    gradwire(*WORDS, "--rounds", 1, "--lr", 1e-30, "--init", out, "--save", again)
    for name, array in arrays(out).items():  # the rate moves no parameter but those that are zero
        assert np.allclose(arrays(again)[name], array, rtol=0, atol=1e-25)


@pytest.mark.slow
def test_start_of_another_model_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", weight=np.zeros((10, 64), np.float32), bias=np.zeros(11, np.float32))
    words = [*WORDS, "--rounds", 2, "--state-dir", tmp_path / "run"]
    lines = gradwire(*words, "--init", tmp_path / "m.npz", code=2)
    expected = (
        f"gradwire: --init {tmp_path / 'm.npz'}: bias has the shape [11], the run's model has [10] there"
    )
    assert lines == [expected]
    np.savez(tmp_path / "m.npz", weight=np.zeros((10, 64), np.float32), bias=np.zeros(10, np.float32))
    gradwire(*words, "--init", tmp_path / "m.npz")
    (line,) = gradwire(*words, "--init", tmp_path / "run", code=2)
    assert line.endswith("has begun: leave --init out to go on, or pass another --state-dir")


@pytest.mark.slow
def test_best_model_is_saved_where_it_is_kept(tmp_path: Path) -> None:
    out, js = tmp_path / "m.npz", tmp_path / "out.json"
    words = [*WORDS, "--rounds", 6, "--evaluate-every", 2, "--save", out, "--json", js]
    said = gradwire(*words, "--keep-best", "test_loss:min")
    best = json.loads(js.read_text())["best"]
    where = f"saved {out}: 2 arrays, 650 values, after round {best['round']}, the best by test_loss"
    assert said[-1] == f"{where} ({best['value']:.4g})"
    said = gradwire(*words, "--keep-best", "f1")
    assert said[-1].endswith("after round 6, the last: no evaluation had f1")
    assert any("not f1: no best model is kept" in line for line in said)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save": Path("m.bin")}, "m.bin ends in .bin"),
        ({"save": Path("none/m.npz")}, "its folder does not exist"),
        ({"init": Path("none.npz")}, "cannot read none.npz"),
    ],
)
def test_files_are_checked_before_anything_starts(options: dict[str, Path], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        launch({"task": "softmax(digits)"}, RunOptions(**options), ("no such program",))  # type: ignore[arg-type]


def test_server_is_given_the_start(tmp_path: Path) -> None:
    options = RunOptions(init=Path("m.npz"))
    assert "--init m.npz" in " ".join(server_arguments(RunConfig(task="mlp(digits)"), options, tmp_path))
