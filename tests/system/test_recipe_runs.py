"""Each recipe of docs/recipes.md, its flags as the table has them: whole runs against plain NumPy, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from tests.common.training import plain_workers
from tests.docs.pages import table
from tests.grids import rest_slow
from tests.system.harness import Run, run_script
from tests.worker.toy_tasks import Logistic

TARGET = f"{__name__}:make"
WORKERS, ROUNDS = 3, 3
RECIPES = {row[0]: row for row in table("recipes", "## Algorithms")}


def make(workers: int) -> Logistic:
    return Logistic(workers)


def config_of(recipe: str) -> RunConfig:
    _, local, optimizer, _, _ = (cell.strip("`") for cell in RECIPES[recipe])
    return RunConfig(
        task=f"custom({TARGET})",
        codec="float32",
        local=local,
        optimizer=optimizer,
        workers=WORKERS,
        rounds=ROUNDS,
        digest_every=1,
    )


def plain(recipe: str) -> list[np.ndarray]:
    task = make(WORKERS)

    def gradient(x: np.ndarray, step: int, worker: int) -> np.ndarray:
        return task.gradient(x, round=step, worker=worker).value

    return list(plain_workers.run(recipe, gradient, task.initial(), workers=WORKERS, rounds=ROUNDS))


def loss(x: np.ndarray) -> float:
    """The mean over all samples of all workers."""
    task = make(WORKERS)
    return float(np.logaddexp(0, -task.y * (task.x @ x)).mean())


def test_every_recipe_has_a_plain_worker() -> None:
    assert RECIPES.keys() == plain_workers.WORKERS.keys()


@pytest.mark.parametrize("recipe", rest_slow(["SCAFFOLD", *sorted(RECIPES.keys() - {"SCAFFOLD"})]))
def test_whole_run_is_the_plain_one_bit_for_bit(recipe: str, tmp_path: Path) -> None:
    models = plain(recipe)

    async def script(run: Run, group: Any) -> None:
        group.create_task(run.work("one", (0, 2), allow_import=[TARGET]))
        group.create_task(run.work("two", (1,), allow_import=[TARGET]))

    summary, _ = run_script(config_of(recipe), tmp_path, script)
    assert summary["digest"] == f"{digest_of(models[-1]):016x}"
    assert summary["replicas_agree"]
    assert len({model.tobytes() for model in models}) == ROUNDS


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_descends(recipe: str) -> None:
    assert loss(plain(recipe)[-1]) < loss(make(WORKERS).initial())
