"""Whole runs: all replicas end with the bits of the plain fold, and bytes are as predicted."""

from dataclasses import replace
from pathlib import Path

import pytest

from gradwire.common.training.config import RunConfig
from tests.system.harness import simulate, whole_run

BASE = RunConfig(
    task="least_squares(samples=64, dim=24)", workers=4, rounds=7, digest_every=2, evaluate_every=3
)
HOSTS = [(0,), (1, 2), (3,)]


@pytest.mark.parametrize("downlink", ["log", "sum", "model", "auto"])
@pytest.mark.parametrize(
    "codec", ["cross_polytope(repeats=20)", "float32", "simq(repeats=5, gain=bound(9.0))"]
)
def test_downlink_gives_the_bits_of_the_plain_fold(codec: str, downlink: str, tmp_path: Path) -> None:
    config = replace(BASE, codec=codec, downlink=downlink)
    summary = whole_run(config, tmp_path, HOSTS)
    assert summary["digest"] == f"{simulate(config).digest:016x}"
    assert summary["replicas_agree"] and summary["replicas_checked"] == len(HOSTS)
    assert summary["predicted_equals_measured"]
    assert summary["uplink"]["payload_bits"] == 7 * 4 * summary["payload_bits_per_push"]
    assert [row["round"] for row in summary["history"]] == list(range(8))
    assert summary["history"][-1]["distance"] < summary["history"][0]["distance"]


def test_bits_do_not_depend_on_worker_placement(tmp_path: Path) -> None:
    config = replace(BASE, weighting="examples")
    digests = {
        whole_run(config, tmp_path / str(len(hosts)), hosts)["digest"]
        for hosts in ([(0, 1, 2, 3)], [(3, 2), (0, 1)], [(0,), (1,), (2,), (3,)])
    }
    assert digests == {f"{simulate(config).digest:016x}"}


def test_the_summary_has_what_the_run_was_asked(tmp_path: Path) -> None:
    plain = whole_run(replace(BASE, rounds=1), tmp_path / "plain", HOSTS)
    assert (plain["local"], plain["weighting"], plain["partition"]) == (None, "equal", None)
    assert plain["layout"]["trained"] == {"arrays": 1, "numbers": 24} and "averaged" not in plain["layout"]
    config = RunConfig(
        task="softmax(digits)",
        workers=4,
        rounds=1,
        local="local(steps=2)",
        weighting="size",
        partition="shards(2)",
    )
    asked = whole_run(config, tmp_path / "asked", [(0, 1, 2, 3)])
    assert asked["local"].startswith("local(steps=2, ")
    assert (asked["weighting"], asked["partition"]) == ("size", "shards(2)")
    assert asked["layout"]["trained"] == {"arrays": 2, "numbers": 650}


def test_messages_of_several_pieces(tmp_path: Path) -> None:
    config = RunConfig(task="synthetic(dim=300_001)".replace("_", ""), codec="float32", workers=2, rounds=2)
    for downlink in ("model", "sum", "log"):
        summary = whole_run(replace(config, downlink=downlink), tmp_path / downlink, [(0, 1)])
        assert summary["predicted_equals_measured"] and summary["replicas_agree"]
        assert summary["uplink"]["payload_bytes"] == 2 * 2 * 4 * 300_001
        assert summary["digest"] == f"{simulate(config).digest:016x}"


def test_tcp_bytes_cover_the_messages(tmp_path: Path) -> None:
    summary = whole_run(replace(BASE, rounds=30), tmp_path, [(0, 1, 2, 3)])
    for direction in ("uplink", "downlink"):
        bytes_ = summary[direction]
        assert bytes_["message_bytes"] < bytes_["tcp_bytes"] < bytes_["message_bytes"] + 31 * 120
