"""Runs whose numbers leave float32: one clear error, never a summary that looks like success."""

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gradwire.common.arrays.update import Sparse
from gradwire.common.codecs import parse
from gradwire.common.errors import NotFiniteError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.model import Model
from gradwire.common.training.optimizers import parse_optimizer
from gradwire.deploy import cli
from gradwire.proto import wire_pb2
from gradwire.server.log.run_log import RunLog
from gradwire.server.summary import failed_check
from tests.grids import rest_slow
from tests.system.harness import TIMEOUT, Run
from tests.system.raw_worker import RawWorker, refused_by

DIM = 12
CONFIG = RunConfig(
    task=f"least_squares(samples=32, dim={DIM})", codec="cross_polytope(repeats=3)", workers=2, rounds=3
)
BEYOND = np.array([3.2e38], "<f4").tobytes() + bytes(2)  # a finite gain whose estimate is beyond float32


def model(values: Any, spec: str = "sgd(lr=1.0)") -> Model:
    return Model(np.array(values, np.float32), parse_optimizer(spec))


@pytest.mark.parametrize("optimizer", ["sgd(lr=1.0)", "sgd(lr=1.0, momentum=0.9)", "averaged(sgd(lr=1.0))"])
@pytest.mark.parametrize("sparse", [True, False])
def test_step_beyond_float32_is_an_error(optimizer: str, sparse: bool) -> None:
    folded = model([3e38, 0.0, 1.0], optimizer)
    dense = np.array([-3e38, 0.0, 0.0], np.float32)
    update = Sparse(3, np.array([0], np.int64), dense[:1]) if sparse else dense
    with pytest.raises(NotFiniteError, match=r"round 0: the parameters are no longer finite .* smaller --lr"):
        folded.apply(update)


def test_large_finite_values_are_no_error() -> None:
    folded = model([3e38, 0.0])
    folded.apply(np.array([1e38, -3e38], np.float32))
    assert folded.round == 1 and np.isfinite(folded.params).all()


@pytest.mark.parametrize("wild", [math.nan, math.inf])
def test_replaced_model_must_be_finite(wild: float) -> None:
    folded = model([1.0, 2.0])
    with pytest.raises(NotFiniteError):
        folded.replace(np.array([0.0, wild], np.float32))
    assert folded.round == 0 and folded.params.tolist() == [1.0, 2.0]


def test_mean_beyond_float32_is_an_error() -> None:
    codec = parse(CONFIG.codec, DIM)
    total = codec.accumulator()
    total.add(BEYOND)
    with pytest.raises(NotFiniteError, match="cross_polytope: the mean of the payloads is beyond float32"):
        total.mean()


def test_error_names_the_worker_and_nothing_is_logged(tmp_path: Path) -> None:
    good = parse(CONFIG.codec, DIM).encode(np.ones(DIM), np.random.default_rng(0))

    async def main() -> tuple[grpc.StatusCode, str]:
        run = Run(CONFIG, tmp_path)
        async with asyncio.timeout(TIMEOUT):
            server = asyncio.create_task(run.serve())
            honest, bad = RawWorker(await run.address), RawWorker(await run.address)
            joining = asyncio.create_task(honest.join(CONFIG, "honest", (0,)))
            await bad.join(CONFIG, "bad", (1,))
            await joining
            await honest.send(push=wire_pb2.Push(round=0, payloads=good))
            await bad.send(push=wire_pb2.Push(round=0, payloads=BEYOND))
            refused = await bad.refused()
            with pytest.raises(NotFiniteError, match="round 0, worker 1: cross_polytope"):
                await server
            for worker in (honest, bad):
                await worker.close()
        return refused

    code, details = asyncio.run(main())
    assert code is grpc.StatusCode.FAILED_PRECONDITION and details.startswith(
        "the run has ended: round 0, worker 1"
    )
    with RunLog.open(tmp_path) as log:
        assert log.next_round == 0


@pytest.mark.parametrize("codec", rest_slow(["cross_polytope(repeats=5)", "float32"]))
def test_too_large_learning_rate_is_one_line_and_exit_code_1(
    codec: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--task", "synthetic(dim=7)", "--codec", codec, "--lr", "3e38", "--workers", "2"]
    assert cli.call([*words, "--processes", "1", "--json", str(tmp_path / "out.json")]) == 1
    error = capfd.readouterr().err
    assert (
        error.startswith("gradwire: ")
        and ": the parameters" in error
        and error.endswith("begin anew with a smaller --lr\n")
    )
    assert error.count("\n") == 1 and not (tmp_path / "out.json").exists()


SUMMARY = {"predicted_equals_measured": True, "replicas_agree": True, "replicas_differ": False, "loss": 0.5}


def test_run_with_non_finite_metrics_fails() -> None:
    assert failed_check({**SUMMARY, "metrics": {"accuracy": 0.5}}) is None
    assert failed_check({**SUMMARY, "loss": None, "metrics": {}}) is None
    for wild in (math.nan, math.inf):
        error = failed_check({**SUMMARY, "metrics": {"accuracy": 0.5, "test_loss": wild}})
        assert isinstance(error, NotFiniteError) and "test_loss" in str(error)


WILD = """
import numpy as np
from gradwire.worker.tasks import Gradient

class Wild:
    dim = 3
    def initial(self): return np.zeros(3, np.float32)
    def gradient(self, params, *, round, worker): return Gradient(np.ones(3), 0.5, 1)
    def evaluate(self, params): return {"ratio": float("nan"), "norm": float(np.linalg.norm(params))}

def make(workers, seed): return Wild()
"""


def test_summary_with_non_finite_metrics_is_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_users_wild.py").write_text(WILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    target, out = "a_users_wild:make", tmp_path / "out.json"
    words = ["run", "--task", f"custom({target})", "--allow-task", target, "--workers", "2", "--rounds", "4"]
    assert cli.call([*words, "--processes", "1", "--json", str(out)]) == 1
    assert "ended with a ratio that is not a finite number" in capfd.readouterr().err
    summary = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert summary["metrics"]["ratio"] is None and summary["metrics"]["norm"] > 0


@pytest.mark.parametrize("wild", [math.nan, math.inf])
def test_non_finite_initial_model_is_refused(wild: float, tmp_path: Path) -> None:
    async def upload(worker: RawWorker) -> None:
        assert await worker.greet(CONFIG, "bad", (0,), initial=np.full(DIM, wild, np.float32)) == "upload"
        await worker.send(initial=wire_pb2.Snapshot(state=worker.params.tobytes()))

    code, details = refused_by(replace(CONFIG, workers=1), tmp_path, upload)
    assert code is grpc.StatusCode.INVALID_ARGUMENT and "not finite" in details
