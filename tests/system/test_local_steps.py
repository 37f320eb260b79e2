"""Local steps over the wire: the bits of the plain fold, with faults too, and not a byte or an epsilon more."""

import asyncio
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.common.codecs import registry
from gradwire.common.errors import LogError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.common.transport.address import parse_address
from gradwire.worker.encoder import EncodedRound, Encoder
from gradwire.worker.process import WorkerOptions, WorkerProcess
from gradwire.worker.tasks import Gradient, build_task
from gradwire.worker.updates import LocalUpdate
from tests.common.codecs.toys import PrivateToy
from tests.grids import rest_slow
from tests.system.fault_injection import (
    PushGate,
    damage_one_replica,
    killed_and_rejoining,
    run_with_two_servers,
)
from tests.system.harness import TIMEOUT, Run, cancel, run_hosts, run_script, simulate, whole_run
from tests.system.test_layouts import DIM, STATISTICS, Task, layout_of

H = 3
TARGET = f"{__name__}:make"
CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="float32",
    local=f"local(steps={H}, optimizer=sgd(lr=0.02))",
    workers=3,
    rounds=8,
    digest_every=1,
)
KEPT = "optimizer=sgd(lr=0.02, momentum=0.9), inner=kept"
RECIPES = {
    "FedAvg": CONFIG,
    "kept and feedback": replace(
        CONFIG, local=f"local(steps={H}, {KEPT})", codec="top_k(k=3)", feedback="error"
    ),
    "FedProx": replace(CONFIG, local=f"local(steps={H}, optimizer=sgd(lr=0.02), prox=0.5, clip=1.0)"),
    "SCAFFOLD": replace(CONFIG, local=f"local(steps={H}, optimizer=sgd(lr=0.02), scaffold=true)"),
    "SCAFFOLD, few bits": replace(
        CONFIG,
        local=f"local(steps={H}, optimizer=sgd(lr=0.02), scaffold=true)",
        codec="cross_polytope(repeats=9)",
        optimizer="sgd(lr=0.5)",
    ),
    "DiLoCo": replace(
        CONFIG,
        local=f"local(steps={H}, optimizer=adamw(lr=0.01, schedule=warmup(5, cosine(24))), inner=kept)",
        optimizer="nesterov(lr=0.7, momentum=0.9)",
        codec="cross_polytope(repeats=9)",
    ),
    "FedAdam": replace(CONFIG, optimizer="adam(lr=0.05, eps=0.001, bias_correction=false, initial=1e-6)"),
    "server momentum": replace(CONFIG, optimizer="sgd(lr=0.7, momentum=0.5)", weighting="examples"),
}
every_recipe = pytest.mark.parametrize(
    "config", rest_slow([pytest.param(config, id=name) for name, config in RECIPES.items()], quick=2)
)


def check(summary: dict[str, Any], config: RunConfig) -> None:
    assert summary["digest"] == f"{simulate(config).digest:016x}"
    assert summary["replicas_agree"] and summary["predicted_equals_measured"]


@pytest.mark.parametrize("config", RECIPES.values(), ids=RECIPES)
def test_run_ends_with_the_bits_of_the_fold(config: RunConfig, tmp_path: Path) -> None:
    summary = whole_run(config, tmp_path, [(0, 2), (1,)])
    check(summary, config)
    assert summary["history"][0]["loss"] is not None


def test_model_is_that_of_plain_fedavg(tmp_path: Path) -> None:
    """The model is what a few lines of NumPy make of the same gradients."""
    task = build_task(CONFIG.task, workers=3, seed=0)
    w = task.initial()
    for t in range(CONFIG.rounds):
        drifts = []
        for i in range(3):
            x = w.copy()
            for h in range(H):
                x -= np.float32(0.02) * task.gradient(x, round=t * H + h, worker=i).value.astype(np.float32)
            drifts.append((w - x).astype(np.float64))
        w = w - (sum(drifts) / 3).astype(np.float32)
    model = simulate(CONFIG)
    assert model.params.tobytes() == w.tobytes()
    check(whole_run(CONFIG, tmp_path, [(0,), (1,), (2,)]), CONFIG)


# ---- faults -------------------------------------------------------------------------------------------------


@every_recipe
def test_killed_worker_rejoins(config: RunConfig, tmp_path: Path) -> None:
    summary, _ = run_script(config, tmp_path, killed_and_rejoining(after=3))
    check(summary, config)
    assert summary["reconnects"] == 1 and (tmp_path / "killed" / "record-2").exists()


@every_recipe
def test_killed_server_resumes(config: RunConfig, tmp_path: Path) -> None:
    summary, run = run_with_two_servers(config, tmp_path, after=3)
    check(summary, config)
    assert run.events[0]["round"] > 3


@every_recipe
def test_diverged_replica_computes_the_round_again(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_one_replica(monkeypatch, 3)
    summary, _ = run_hosts(config, tmp_path, [(0,), (1,), (2,)])
    check(summary, config)
    assert summary["resyncs"] == 1


def test_killed_worker_sends_the_same_bytes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: PushGate
) -> None:
    """It is killed after its push, which the server has not taken yet; nothing is computed twice."""
    config, sent, computed = RECIPES["kept and feedback"], [], []
    encode, compute, pushed = Encoder.encode, LocalUpdate.update, threading.Event()

    def counted(self: LocalUpdate, model: Model, *, round: int, worker: int) -> Gradient:
        computed.append((worker, round))
        return compute(self, model, round=round, worker=worker)

    def noted(
        self: Encoder, model: Model, round_: int, workers: Collection[int] | None = None
    ) -> EncodedRound:
        encoded = encode(self, model, round_, workers)
        if self.workers == (2,) and round_ == 3:
            sent.append(encoded)
            pushed.set()
        return encoded

    monkeypatch.setattr(LocalUpdate, "update", counted)
    monkeypatch.setattr(Encoder, "encode", noted)
    gate.hold(3)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("steady", (0, 1)))
        killed = asyncio.create_task(run.work("killed", (2,)))
        await asyncio.to_thread(pushed.wait, TIMEOUT)
        await cancel(killed)
        group.create_task(run.work("killed", (2,)))
        await run.seen("left")
        gate.release()

    summary, _ = run_script(config, tmp_path, script)
    assert len(sent) == 2 and sent[0] == sent[1] and len(sent[0].losses) == 1
    assert sorted(computed) == [(w, t) for w in range(3) for t in range(config.rounds)]
    check(summary, config)


class Remembering(Task):
    """Has statistics that travel, and a buffer that stays with each worker and shifts its gradients."""

    def __init__(self) -> None:
        super().__init__(layout_of())
        self.buffers: dict[int, NDArray[np.float32]] = {}

    def worker_state(self, worker: int) -> dict[str, NDArray[np.float32]]:
        return {"seen": self.buffers[worker]} if worker in self.buffers else {}

    def restore_worker_state(self, worker: int, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.buffers.pop(worker, None)
        if arrays:
            self.buffers[worker] = arrays["seen"]

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        gradient = super().gradient(params, round=round, worker=worker)
        seen = np.float32(0.5) * self.buffers.get(worker, np.zeros(DIM, np.float32)) + gradient.value
        self.buffers[worker] = seen
        seen[-STATISTICS:] = 0
        return Gradient(gradient.value + np.float32(0.1) * seen, gradient.loss, 1)


def make(workers: int, seed: int) -> Task:
    return Remembering()


@pytest.mark.parametrize("local", ["", f"local(steps={H}, {KEPT})"], ids=["gradient", "local"])
@pytest.mark.parametrize("codec", ["cross_polytope(repeats=4)", "float32"])
def test_task_with_statistics_and_buffers(local: str, codec: str, tmp_path: Path) -> None:
    config = replace(CONFIG, task=f"custom({TARGET})", local=local, codec=codec, optimizer="sgd(lr=0.5)")
    expected = f"{simulate(config, [TARGET]).digest:016x}"
    script = killed_and_rejoining(after=3, allow_import=[TARGET])
    summary, _ = run_script(config, tmp_path / "worker", script)
    assert summary["digest"] == expected and summary["replicas_agree"]
    summary, _ = run_with_two_servers(config, tmp_path / "server", after=3, allow_import=[TARGET])
    assert summary["digest"] == expected and summary["replicas_agree"]


def test_record_of_another_run_is_refused(tmp_path: Path) -> None:
    whole_run(CONFIG, tmp_path / "one", [(0, 1, 2)])

    async def main() -> None:
        run = Run(CONFIG, tmp_path / "two")
        (tmp_path / "two").mkdir()
        (tmp_path / "one" / "process-0").rename(tmp_path / "two" / "process-0")
        async with asyncio.timeout(TIMEOUT):
            server = asyncio.create_task(run.serve())
            with pytest.raises(
                LogError, match=r"record-0 is of the run \w+, not of \w+: remove it if that run"
            ):
                await run.work("process-0", (0, 1, 2))
            await cancel(server)

    asyncio.run(main())


# ---- what it costs ------------------------------------------------------------------------------------------


def test_scaffold_costs_no_bytes(tmp_path: Path) -> None:
    costs = []
    for name in ("FedAvg", "SCAFFOLD"):
        summary = whole_run(RECIPES[name], tmp_path / name, [(0,), (1, 2)])
        costs.append([summary[way]["payload_bits"] for way in ("uplink", "downlink")])
    assert costs[0] == costs[1]


def test_private_run_costs_the_same_epsilon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._REGISTRY._classes, "private_toy", PrivateToy)
    spent = {}
    for name, local in (("none", ""), *((name, RECIPES[name].local) for name in ("FedAvg", "SCAFFOLD"))):
        config = replace(CONFIG, codec="private_toy", local=local)
        summary, _ = run_script(config, tmp_path / name, killed_and_rejoining(after=3))
        assert summary["replicas_agree"] and summary["predicted_equals_measured"]
        spent[name] = summary["privacy"]["spent"]["pure"]
    assert len(set(spent.values())) == 1


def test_bytes_of_records_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr("gradwire.worker.process.log.info", lines.append)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        address = parse_address(await run.address)
        options = WorkerOptions(
            address, "one", workers=(0, 1, 2), retry_for=TIMEOUT, state_dir=tmp_path / "w"
        )
        group.create_task(WorkerProcess(options, lines.append).run())

    run_script(CONFIG, tmp_path / "run", script)
    size = sum(path.stat().st_size for path in (tmp_path / "w").glob("record-*"))
    (line,) = (line for line in lines if "records" in line)
    written = int(line.removeprefix("wrote ").split()[0].replace(",", ""))
    assert abs(written - size) < 32 and size > 3 * 4 * 24
