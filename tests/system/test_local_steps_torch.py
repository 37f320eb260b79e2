"""Local steps of a torch module over the wire: statistics that travel or stay, restarts, and a plain PyTorch loop."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.training.config import RunConfig
from gradwire.common.training.local import parse_local
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.worker.site import Site
from gradwire.worker.tasks import build_task
from gradwire.worker.updates import LocalUpdate
from tests.system.fault_injection import killed_and_rejoining, run_with_two_servers
from tests.system.harness import run_script, simulate

torch = pytest.importorskip("torch")
from gradwire.worker.tasks.torch import TorchProblem  # noqa: E402

TARGET = f"{__name__}:make"
ADAMW = "local(steps=3, optimizer=adamw(lr=0.01), clip=1.0, inner=kept)"
CONFIG = RunConfig(
    task=f"torch({TARGET}, batch=8)",
    codec="cross_polytope(repeats=20)",
    local=ADAMW,
    optimizer="nesterov(lr=0.5, momentum=0.5)",
    partition="iid",
    workers=3,
    rounds=6,
    digest_every=1,
)


def network() -> Any:
    """Without random layers: torch's generator is one for all threads, of which each is a worker process here."""
    return torch.nn.Sequential(
        torch.nn.Linear(5, 8, bias=False), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    )


def make(seed: int) -> Any:
    points = torch.randn(96, 5, generator=torch.Generator().manual_seed(1))
    return TorchProblem(network(), torch.nn.functional.cross_entropy, (points, points[:, :3].argmax(dim=1)))


@pytest.mark.parametrize("buffers", ["averaged", "local"])
def test_restarts_end_in_the_same_digest(buffers: str, tmp_path: Path) -> None:
    config = replace(CONFIG, task=f"torch({TARGET}, batch=8, buffers={buffers})")
    expected = f"{simulate(config, [TARGET]).digest:016x}"
    script = killed_and_rejoining(after=2, allow_import=[TARGET])
    summary, _ = run_script(config, tmp_path / "worker", script)
    assert summary["digest"] == expected and summary["replicas_agree"]
    assert (tmp_path / "worker" / "killed" / "record-2").exists()
    summary, _ = run_with_two_servers(config, tmp_path / "server", after=2, allow_import=[TARGET])
    assert summary["digest"] == expected and summary["replicas_agree"]


def test_buffers_that_stay_are_remembered_without_local_steps(tmp_path: Path) -> None:
    config = replace(CONFIG, task=f"torch({TARGET}, batch=8, buffers=local)", local="", rounds=4)
    script = killed_and_rejoining(after=1, allow_import=[TARGET])
    summary, _ = run_script(config, tmp_path, script)
    assert summary["digest"] == f"{simulate(config, [TARGET]).digest:016x}"
    assert (tmp_path / "killed" / "record-2").exists()


def test_nothing_is_written_of_a_plain_torch_run(tmp_path: Path) -> None:
    config = replace(CONFIG, local="", rounds=2)
    run_script(config, tmp_path, killed_and_rejoining(after=0, allow_import=[TARGET]))
    assert not list(tmp_path.glob("*/record-*"))


def test_one_worker_follows_plain_pytorch() -> None:
    """Without quantization and with an outer rate of 1, one worker trains as PyTorch does, statistics included."""
    site = Site(workers=(0,), seed=0)
    task = build_task(CONFIG.task, workers=1, seed=0, site=site, allow_import=[TARGET])
    source = LocalUpdate(task, parse_local(ADAMW))
    model = Model(task.initial(), parse_optimizer("sgd(lr=1.0)"), averaged=task.layout.averaged)
    x = torch.nn.Parameter(torch.tensor(task.initial()[: task.layout.trained]))
    running = torch.tensor(task.initial()[task.layout.trained :])
    plain = torch.optim.AdamW([x], lr=0.01, weight_decay=0.01)
    for t in range(4):
        update = source.update(model, round=t, worker=0).value
        for step in range(3 * t, 3 * (t + 1)):
            value = task.gradient(torch.cat([x.detach(), running]), round=step, worker=0).value
            x.grad = value[: len(x)].clone()
            torch.nn.utils.clip_grad_norm_([x], 1.0)
            plain.step()
            running = running - value[len(x) :]
        model.apply(update.numpy())
    np.testing.assert_allclose(model.params, torch.cat([x.detach(), running]).numpy(), rtol=1e-4, atol=1e-5)
