"""A worker that was written from the documents alone trains against a real server."""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.training.config import RunConfig
from tests.docs.test_log_format_page import audit
from tests.system.cohorts import cohorts, records_of
from tests.system.harness import Run

WORKER = Path(__file__).parent / "foreign_worker.py"
CODECS = {
    "float32": "float32",
    "cross_polytope(repeats=4)": "cross_polytope(repeats=4, gain=exact, coding=tuple, scale=1.0)",
}
DIM, ROUNDS, RESYNC_AT = 40, 40, 6


async def foreign_run(
    config: RunConfig, folder: Path, canonical: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The server's summary, and what the worker printed."""
    run = Run(config, folder)
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        server = group.create_task(run.serve())
        words = [sys.executable, str(WORKER), await run.address, canonical, str(DIM), str(RESYNC_AT)]
        words.append(str(config.workers))
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        printed, _ = await process.communicate()
        if process.returncode:
            server.cancel()
    assert process.returncode == 0
    return server.result(), json.loads(printed)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("downlink", ["log", "sum", "model"])
def test_foreign_worker_trains(downlink: str, codec: str, tmp_path: Path) -> None:
    config = RunConfig(
        task=f"synthetic(dim={DIM})", codec=codec, optimizer="sgd(lr=0.01, momentum=0.9)", workers=2, rounds=ROUNDS,
        downlink=downlink, digest_every=3,
    )  # fmt: skip
    summary, worker = asyncio.run(foreign_run(config, tmp_path, CODECS[codec]))
    assert worker["status"] == "OK"
    assert worker["seen"] == {
        "welcome": 1, "upload": 1, "open": 2, "entry": ROUNDS, "snapshot": 1, "finish": 1,
        "evaluate": 1,
    }  # fmt: skip
    assert summary["resyncs"] == 1 and summary["replicas_agree"] and summary["replicas_checked"] == 1
    assert summary["predicted_equals_measured"] and summary["streams_checked"] == summary["streams"] == 1
    assert worker["digest"] == summary["digest"] == audit(tmp_path)
    losses = [point["loss"] for point in summary["history"] if point["loss"] is not None]
    assert losses[-1] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("downlink", ["log", "sum", "model"])
def test_foreign_worker_pushes_for_its_workers_that_are_drawn(downlink: str, tmp_path: Path) -> None:
    config = RunConfig(
        task=f"synthetic(dim={DIM})", codec="float32", optimizer="sgd(lr=0.01, momentum=0.9)", workers=5, cohort=2,
        rounds=ROUNDS, downlink=downlink, digest_every=3,
    )  # fmt: skip
    summary, worker = asyncio.run(foreign_run(config, tmp_path, "float32"))
    assert worker["status"] == "OK" and worker["seen"]["entry"] == ROUNDS
    assert summary["predicted_equals_measured"] and summary["replicas_agree"] and summary["resyncs"] == 1
    assert worker["digest"] == summary["digest"] == audit(tmp_path)
    assert [record.workers for record in records_of(tmp_path)] == cohorts(config)


def test_foreign_worker_imports_nothing_but_the_messages() -> None:
    nodes = ast.walk(ast.parse(WORKER.read_text(encoding="utf-8")))
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name for name in found if name and name.startswith("gradwire")} == {"gradwire.proto"}
