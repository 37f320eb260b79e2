"""Whole runs of joined programs: the exact mean of all sites, and a program's freedom around its loop."""

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradwire
from gradwire.common.errors import ConfigError
from tests.join.scripts import Script
from tests.join.serving import Server, own
from tests.join.site_steps import mean_model

SITE = """
from tests.join.site_steps import SIZE, steps
model = {"a": np.zeros(2, np.float32), "b": np.zeros(SIZE - 2, np.float32)}
tensors = list(model.values())
with joined(gradwire.join(ADDRESS, model, worker=SITE, name=f"site-{SITE}", every=SITE + 1)) as run:
    for batch, (step, examples) in zip(run.batches([0]), steps(SITE)):
        model["a"] -= step[:2]
        model["b"] -= step[2:]
        run.step(loss=float(SITE), examples=examples)
assert run.finished and run.round == run.rounds
assert [id(t) for t in tensors] == [id(t) for t in model.values()]
held = run.model()
note("end", model=[*model["a"].tolist(), *model["b"].tolist()], held=[*held["a"].tolist(), *held["b"].tolist()],
     summary=run.summary)
"""  # fmt: skip


@pytest.mark.parametrize("weighting", ["examples", pytest.param("equal", marks=pytest.mark.slow)])
def test_the_model_is_the_exact_mean_of_all_sites(tmp_path: Path, weighting: str) -> None:
    config = own(rounds=7, workers=3, weighting=weighting)
    with Server(tmp_path / "run", config) as server, contextlib.ExitStack() as stack:
        text = [f"SITE = {site}\n{SITE}" for site in range(3)]
        sites = [stack.enter_context(Script(each, server.address)) for each in text]
        ends = [site.wait("end") for site in sites]
        assert [site.end() for site in sites] == [0, 0, 0]
        assert [site.printed() for site in sites] == ["", "", ""]  # standard output is the program's
        summary = server.summary()
    expected = mean_model(3, 7, weighted=weighting == "examples").tolist()
    for end in ends:
        assert end["model"] == end["held"] == expected
        assert end["summary"]["finished"] and end["summary"]["uplink"]["messages"] == 7
    assert summary["replicas_agree"] and summary["replicas_checked"] == 3 and summary["restarted"] == {}
    assert summary["predicted_equals_measured"]
    sent = sum(end["summary"]["uplink"]["message_bytes"] for end in ends)
    assert sent == summary["uplink"]["message_bytes"]


def zeros() -> dict[str, Any]:
    return {"w": np.zeros(2, np.float32)}


def test_one_process_joins_one_run_at_a_time(tmp_path: Path) -> None:
    with Server(tmp_path / "run", own(rounds=3)) as server:
        with gradwire.join(server.address, zeros(), name="alice", progress=False) as run:
            says = f"this process has joined the run at {server.address}: leave it first, or join from another process"
            with pytest.raises(ConfigError, match=says):
                gradwire.join(server.address, zeros(), progress=False)
            run.step()
        with gradwire.join(server.address, zeros(), name="alice", progress=False) as again:
            assert again.round == 1
            while True:  # the block absorbs what ends this
                again.step()
        assert again.finished and not run.finished
        server.summary()


@pytest.mark.slow
def test_any_thread_may_join_beside_an_event_loop(tmp_path: Path) -> None:
    """As in a notebook, whose cells run inside an event loop; and in a thread that is not the main one."""
    results = []

    def train(address: str) -> None:
        with gradwire.join(address, zeros(), progress=False) as run:
            for _batch in run.batches([0]):
                run.step()
        results.append(run.finished)

    async def cell(address: str) -> None:
        train(address)

    with Server(tmp_path / "one", own(rounds=3)) as server:
        asyncio.run(cell(server.address))
        server.summary()
    with Server(tmp_path / "two", own(rounds=3)) as server:
        thread = threading.Thread(target=train, args=(server.address,))
        thread.start()
        thread.join()
        server.summary()
    assert results == [True, True]


@pytest.mark.slow
def test_progress_is_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Server(tmp_path / "run", own(rounds=3)) as server:
        with gradwire.join(server.address, zeros(), name="alice", progress=True) as run:
            for _batch in run.batches([0]):
                run.step(loss=0.25)
        server.summary()
    output = capfd.readouterr()
    lines = output.err.splitlines()
    assert output.out == "" and lines[0] == "gradwire: joined as alice with worker 0"
    assert lines[-1].startswith("gradwire: alice: round 3 of 3 · loss 0.25 · ")


def test_the_metrics_of_a_site_are_those_of_the_runs_model(tmp_path: Path) -> None:
    """``evaluate`` is called when it is due and at the end, while the model is the run's."""
    model, seen = zeros(), []

    def evaluate() -> tuple[dict[str, float], int]:
        seen.append(float(model["w"][0]))
        return {"height": float(model["w"][0])}, 10

    with Server(tmp_path / "run", own(rounds=5, evaluate_every=2)) as server:
        with gradwire.join(server.address, model, evaluate=evaluate, progress=False) as run:
            for _batch in run.batches([0]):
                model["w"] += 1
                run.step()
        summary = server.summary()
    assert seen == [0, 2, 4, 5] and summary["metrics"] == {"height": 5.0}
    assert [e["metrics"] for e in server.events if e["event"] == "metrics"] == [
        {"height": value} for value in (0.0, 2.0, 4.0, 5.0)
    ]
    assert (model["w"] == 5).all()


def test_a_module_trains_with_a_wire_process(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.05)
    inputs = torch.randn(64, 3)
    targets = inputs.sum(1, keepdim=True)
    losses = []
    with Server(tmp_path / "run", own(rounds=20)) as server:
        with gradwire.join(server.address, module, every=4, progress=False) as run:
            for batch in run.batches(torch.arange(64).split(16)):
                optimizer.zero_grad()
                loss = (module(inputs[batch]) - targets[batch]).square().mean()
                loss.backward()
                optimizer.step()
                run.step(loss=loss, examples=len(batch))
                losses.append(float(loss.detach()))
        summary = server.summary()
    assert len(losses) == 80 and summary["loss"] < losses[0] / 4 and summary["replicas_agree"]
    fresh = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
    fresh.load_state_dict(run.model(), strict=True)
    assert torch.equal(fresh[0].weight, module[0].weight)
    assert torch.equal(fresh[1].running_var, module[1].running_var)
