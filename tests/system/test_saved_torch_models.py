"""A plain torch module loads what a run has saved, strictly, and computes the accuracy that the run reported."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.common.training.layout import Layout
from gradwire.common.weights.forms import weight_file
from gradwire.common.weights.start import Start
from gradwire.deploy.evaluation import evaluate_run
from gradwire.deploy.models import read_run, read_start, save
from gradwire.worker.site import Site
from tests.system import torch_problems
from tests.system.harness import Run, run_script
from tests.system.torch_problems import PLACE, torch

NAMES = ["batch_norm", "tied", "frozen_backbone", "half"]


def train(name: str, folder: Path, start: Start | None = None, **changes: Any) -> dict[str, Any]:
    target = f"{PLACE}:{name}"
    settings = {"codec": "float32", "workers": 2, "rounds": 6, "evaluate_every": 2, "partition": "iid"}
    config = RunConfig(task=f"torch({target}, batch=16)", **{**settings, **changes})  # type: ignore[arg-type]

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for worker in (0, 1):
            group.create_task(run.work(f"p{worker}", (worker,), allow_import=frozenset({target})))

    return run_script(config, folder, script, start=start)[0]


def plain(name: str, path: Path) -> tuple[Any, float, float]:
    """The factory's module with the file's arrays, its loss and accuracy on the test data: no gradwire in it."""
    problem = getattr(torch_problems, name)(0)
    if path.suffix == ".pt":
        state = torch.load(path, weights_only=True)
    else:
        state = pytest.importorskip("safetensors.torch").load_file(path)
    module = problem.module
    module.load_state_dict(state, strict=True)
    module.eval()
    return module, *measured(problem, module)


def measured(problem: Any, module: Any) -> tuple[float, float]:
    x, y = problem.test
    with torch.no_grad():
        outputs = module(x)
    return problem.loss(outputs, y).item(), (outputs.argmax(1) == y).double().mean().item()


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, train(request.param, folder)


def seeded_problem(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The data of the factory as a worker of seed 0 had them."""
    from gradwire.worker.tasks import build_task

    built = build_task(
        f"torch({PLACE}:{name}, batch=16)", workers=1, seed=0, allow_import=[f"{PLACE}:{name}"]
    )
    problem = built.task._problem  # type: ignore[attr-defined]
    monkeypatch.setattr(torch_problems, name, lambda seed: problem)


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_accuracy_is_the_reported_one(
    ending: str, trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, folder, summary = trained
    out = tmp_path / f"m{ending}"
    save(read_run(folder), out)
    seeded_problem(monkeypatch, name)
    _, loss, accuracy = plain(name, out)
    assert accuracy == pytest.approx(summary["metrics"]["accuracy"], abs=1e-12)
    # The module computes in bfloat16, and the run in batches.
    exact = 1e-6 if name != "half" else 1e-2
    assert loss == pytest.approx(summary["metrics"]["test_loss"], rel=exact)


def test_evaluation_here_is_the_reported_one(trained: Any) -> None:
    name, folder, summary = trained
    for row in summary["history"]:
        if row["round"] % 2:
            continue
        found = evaluate_run(read_run(folder, str(row["round"])), Site(), [f"{PLACE}:{name}"])
        assert dict(found.metrics) == {key: row[key] for key in ("test_loss", "accuracy")}


def test_pretrained_torch_weights_begin_a_run(trained: Any, tmp_path: Path) -> None:
    """A state dict that torch wrote: round 0 of the run is that model."""
    name, folder, _ = trained
    save(read_run(folder), tmp_path / "m.pt")
    state = torch.load(tmp_path / "m.pt", weights_only=True)
    for key, tensor in state.items():
        if key.endswith("num_batches_tracked"):
            tensor += 17
    torch.save({f"module.{key}": tensor for key, tensor in state.items()}, tmp_path / "pretrained.pt")
    train(name, tmp_path / "run", rounds=1, start=read_start(tmp_path / "pretrained.pt"))
    begun = read_run(tmp_path / "run", "0").arrays()
    given = weight_file(tmp_path / "m.pt").read()
    counts = {key for key in given if key.endswith("num_batches_tracked")}
    assert {k: a.data for k, a in begun.items() if k not in counts} == {
        k: a.data for k, a in given.items() if k not in counts
    }


def test_layout_is_in_the_log(trained: Any) -> None:
    name, folder, _ = trained
    layout = read_run(folder).layout
    assert isinstance(layout, Layout)
    assert bool(layout.averaged) is (name == "batch_norm")
    assert any(array.aliases for array in layout.arrays) is (name == "tied")
    assert any(array.name == "0.weight" for array in layout.constants) is (name == "frozen_backbone")
    assert {array.dtype for array in layout.arrays} >= ({"bfloat16"} if name == "half" else {"float32"})
