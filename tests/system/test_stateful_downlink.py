"""A downlink with a state at the server, coins and a body of its own trains over the wire, through a killed server."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.common.transport import protocol
from gradwire.proto import wire_pb2
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from tests.common.downlinks.toy import registered
from tests.system.fault_injection import run_with_two_servers
from tests.system.harness import TIMEOUT, Run
from tests.system.raw_worker import RawWorker

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=20)",
    downlink="remembered(keep=12)",
    workers=3,
    rounds=20,
    digest_every=1,
)


def test_a_process_that_rejoins_is_told_of_the_same_run(tmp_path: Path) -> None:
    """Else it would discard its replica. Once the model is known, the server has the downlink's defaults too."""
    config = replace(CONFIG, downlink="remembered", workers=1)

    async def main() -> list[wire_pb2.Run]:
        run, told = Run(config, tmp_path), []
        async with asyncio.timeout(TIMEOUT):
            server = asyncio.create_task(run.serve())
            for _ in range(2):
                asking, taking_part = RawWorker(await run.address), RawWorker(await run.address)
                await asking.send(join=wire_pb2.Join(protocol=protocol.PROTOCOL, process="p", count=1))
                told.append((await asking.receive()).welcome.run)
                await taking_part.join(config, "p", (0,))
                await asking.close()
                await taking_part.close()
            server.cancel()
            await asyncio.wait([server])
        return told

    with registered():
        first, second = asyncio.run(main())
        assert first == second and first.downlink.name == "remembered"


def test_replicas_follow_a_stateful_downlink_through_a_killed_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradwire.server.fold.SNAPSHOT_FLOOR", 600)
    monkeypatch.setattr("gradwire.server.fold.SNAPSHOT_FACTOR", 0)

    with registered():
        summary, _ = run_with_two_servers(CONFIG, tmp_path, after=8)
        assert summary["downlink_mode"] == "remembered(keep=12)"
        assert summary["replicas_agree"] and summary["replicas_checked"] == 3
        assert summary["predicted_equals_measured"] and summary["resyncs"] == 0
        assert summary["history"][-1]["distance"] < summary["history"][0]["distance"] / 2
        with RunLog.open(tmp_path) as log:
            again = Fold(log)
            assert (log.latest_snapshot() or (0,))[0] > 0
            assert f"{again.model.digest:016x}" == summary["digest"]
            assert again.started.state["memory"].any()
