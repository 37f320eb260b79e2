"""A downlink with a state at the server, coins and a body of its own trains over the wire, through a killed server."""

import asyncio
from pathlib import Path
from typing import Any

from gradwire.common.training.config import RunConfig
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from tests.common.downlinks.toy import registered
from tests.system.harness import Run

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=20)",
    downlink="remembered(keep=12)",
    workers=3,
    rounds=20,
    digest_every=1,
)


def test_replicas_follow_a_server_that_remembers_and_restarts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("gradwire.server.fold.SNAPSHOT_FLOOR", 600)
    monkeypatch.setattr("gradwire.server.fold.SNAPSHOT_FACTOR", 0)

    async def main() -> dict[str, Any]:
        passed = asyncio.Event()
        run = Run(CONFIG, tmp_path, lambda event: passed.set() if event.get("round") == 8 else None)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            mortal = asyncio.create_task(run.serve())
            for i in range(3):
                group.create_task(run.work(f"process-{i}", (i,)))
            await passed.wait()
            mortal.cancel()
            await asyncio.wait([mortal])
            server = group.create_task(Run(CONFIG, tmp_path).serve(await run.address))
        return server.result()

    with registered():
        summary = asyncio.run(main())
        assert summary["downlink_mode"] == "remembered(keep=12)"
        assert summary["replicas_agree"] and summary["replicas_checked"] == 3
        assert summary["predicted_equals_measured"] and summary["resyncs"] == 0
        assert summary["history"][-1]["distance"] < summary["history"][0]["distance"] / 2
        with RunLog.open(tmp_path) as log:
            again = Fold(log)
            assert (log.latest_snapshot() or (0,))[0] > 0
            assert f"{again.model.digest:016x}" == summary["digest"]
            assert again.started.state["memory"].any()
