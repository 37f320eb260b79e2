"""Sites with files of their own: all rows are used, weights are sizes, and the optimum is that of all data."""

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import GradwireError
from gradwire.common.training.config import RunConfig
from gradwire.server.fold import Fold
from gradwire.server.serving import open_log
from gradwire.worker.data.own import first_schema, to_toml
from gradwire.worker.site import Site
from tests.system.harness import Run, run_script

ROWS = (100, 900)
CONFIG = RunConfig(
    task="logistic(file, l2=0.1)", codec="float32", workers=2, rounds=250, optimizer="sgd(lr=1.0)", evaluate_every=0
)  # fmt: skip


def problem(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sites differ: what the label depends on has another sign at each."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    slope = np.array([1.0, -1.0, 0.5]) * (1 if seed else -1)
    return x, (x @ slope + 0.5 * rng.normal(size=rows) > 0).astype(int)


def write(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        ",".join([*(f"{value:.5f}" for value in row), str(label)]) for row, label in zip(x, y, strict=True)
    ]
    path.write_text("\n".join(["a,b,c,y", *lines]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, rows in enumerate(ROWS):
        write(tmp_path / f"site-{number}" / "train.csv", *problem(rows, seed=number))
    schema = first_schema(tmp_path / "site-1" / "train.csv").schema
    schema = replace(schema, offsets=(0.0,) * 3, scales=(1.0,) * 3)
    (tmp_path / "schema.toml").write_text(to_toml(schema))
    return tmp_path


def site_of(folder: Path, number: int) -> Site:
    return Site(data=folder / f"site-{number}" / "train.csv", schema=folder / "schema.toml")


def distances(config: RunConfig, folder: Path) -> tuple[float, float, dict[str, Any]]:
    """How far a run's model is from the optima of the size-weighted and of the equally weighted objective."""

    async def script(run: Run, group: Any) -> None:
        for number in range(2):
            group.create_task(run.work(f"process-{number}", (number,), site=site_of(folder, number)))

    summary, run = run_script(config, folder / config.weighting, script)
    model = final_params(run)
    data = [problem(rows, seed=number) for number, rows in enumerate(ROWS)]
    by_size, equal = (optimum(data, weights) for weights in ([0.1, 0.9], [0.5, 0.5]))
    assert np.linalg.norm(by_size - equal) > 0.3
    return float(np.linalg.norm(model - by_size)), float(np.linalg.norm(model - equal)), summary


def final_params(run: Run) -> np.ndarray:
    """The model of a finished run, from its log."""
    with closing(open_log(run.directory, run.config)) as log:
        return Fold(log).model.params.copy()


def optimum(data: list[tuple[np.ndarray, np.ndarray]], weights: list[float]) -> np.ndarray:
    """By Newton's method in float64, of what the files hold."""
    theta = np.zeros(3)
    for _ in range(30):
        slope, curvature = 0.1 * theta, 0.1 * np.eye(3)
        for (x, y), weight in zip(data, weights, strict=True):
            x, signs = np.round(x, 5), 2 * y - 1
            p = 1 / (1 + np.exp(signs * (x @ theta)))
            slope -= weight * (p * signs) @ x / len(x)
            curvature += weight * (x * (p * (1 - p))[:, None]).T @ x / len(x)
        theta -= np.linalg.solve(curvature, slope)
    return theta


@pytest.mark.parametrize("weighting", ["size", "examples", "equal"])
def test_the_optimum_is_that_of_the_weighted_objective(folder: Path, weighting: str) -> None:
    to_size, to_equal, summary = distances(replace(CONFIG, weighting=weighting), folder)
    assert (to_equal if weighting == "equal" else to_size) < 1e-3
    assert (to_size if weighting == "equal" else to_equal) > 0.3
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]


def test_size_is_of_the_training_set_whatever_the_batch(folder: Path) -> None:
    """With batches of 50 at both sites, examples would weigh them alike."""
    config = replace(CONFIG, task="logistic(file, l2=0.1, batch=50)", optimizer="sgd(lr=0.05)", rounds=400)
    to_size, to_equal, _ = distances(replace(config, weighting="size"), folder)
    assert to_size < 0.5 * to_equal
    to_size, to_equal, _ = distances(replace(config, weighting="examples"), folder)
    assert to_equal < 0.5 * to_size


@pytest.mark.slow
def test_gradwire_run_with_three_files(tmp_path: Path) -> None:
    """From nothing: three CSV files, a schema made by the command, one run."""
    for number, rows in enumerate((100, 300, 600)):
        write(tmp_path / f"site-{number}" / "train.csv", *problem(rows, seed=5 + number))
        write(tmp_path / f"site-{number}" / "test.csv", *problem(100, seed=50 + number))

    def gradwire(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gradwire.deploy.start", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)

    assert gradwire("data", "schema", "site-0/train.csv").returncode == 0
    words = ["run", "--task", "softmax(file)", "--data", "site-{process}/train.csv", "--schema", "schema.toml",
             "--option", "test=site-{process}/test.csv", "--workers", "3", "--codec", "float32", "--lr", "1.0",
             "--weighting", "size", "--rounds", "40", "--json", "out.json"]  # fmt: skip
    done = gradwire(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out.json").read_text())
    assert summary["metrics"]["accuracy"] > 0.8 and summary["replicas_agree"]
    assert [site["examples"] for site in summary["sites"].values()] == [100, 100, 100]
    assert "3 sites" in done.stdout
    # One site's file has a label that no other has: the run says where, and ends.
    with (tmp_path / "site-2" / "train.csv").open("a") as file:
        file.write("1,2,3,perhaps\n")
    done = gradwire(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "site-2/train.csv, line 602: the label y is 'perhaps', expected one of 0, 1" in done.stderr


def test_sites_with_different_schemas_do_not_train_together(folder: Path) -> None:
    """The second site scales a column otherwise: its worker names the line, and the first goes on waiting."""
    other = (folder / "schema.toml").read_text().replace('"b", offset = 0.0', '"b", offset = 0.5')
    (folder / "other.toml").write_text(other)
    errors: list[str] = []

    async def script(run: Run, group: Any) -> None:
        group.create_task(run.work("process-0", (0,), site=site_of(folder, 0)))
        await run.joined("process-0")
        try:
            await run.work("process-1", (1,), site=replace(site_of(folder, 1), schema=folder / "other.toml"))
        except GradwireError as error:
            errors.append(str(error))
        await run.work("process-1", (1,), site=site_of(folder, 1))

    summary, _ = run_script(replace(CONFIG, rounds=3), folder / "run", script)
    assert summary["replicas_agree"]
    (error,) = errors
    assert """'feature "b" offset 0.5 scale 1.0' here, 'feature "b" offset 0.0 scale 1.0' there""" in error
