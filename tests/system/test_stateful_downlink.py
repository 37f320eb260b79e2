"""A downlink with a state at the server, coins and a body of its own trains over the wire, through a killed server."""

from pathlib import Path

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.server.fold import Fold
from gradwire.server.log.run_log import RunLog
from tests.common.downlinks.toy import registered
from tests.system.fault_injection import run_with_two_servers

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=20)",
    downlink="remembered(keep=12)",
    workers=3,
    rounds=20,
    digest_every=1,
)


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
