"""Runs without a connection: what they end with, count and refuse is what runs over gRPC do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.downlinks import downlinks
from gradwire.common.errors import ConfigError, NotFiniteError, TaskError
from gradwire.common.training.config import RunConfig
from gradwire.deploy.in_process.run import train
from gradwire.deploy.run.placement import worker_ranges
from tests.common.downlinks.toy import registered
from tests.system.harness import simulate, whole_run

BASE = RunConfig(
    task="least_squares(samples=64, dim=24)", workers=4, rounds=7, digest_every=2, evaluate_every=3
)
# Clocks, and what only a connection has.
APART = {"seconds", "rounds_per_second", "tcp"}
CONNECTION = ("tcp", "interface")


def comparable(summary: dict[str, Any]) -> dict[str, Any]:
    ways = {
        way: {layer: n for layer, n in summary[way].items() if not layer.startswith(CONNECTION)}
        for way in ("uplink", "downlink")
    }
    timeline = {name: column for name, column in summary["timeline"].items() if name not in APART}
    return (
        {name: value for name, value in summary.items() if name not in APART} | ways | {"timeline": timeline}
    )


def over_grpc(config: RunConfig, folder: Path, processes: int) -> dict[str, Any]:
    return comparable(whole_run(config, folder, [tuple(r) for r in worker_ranges(config.workers, processes)]))


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("downlink", [*sorted(downlinks()), "auto"])
@pytest.mark.parametrize("codec", ["cross_polytope(repeats=20)", "float32", "top_signs(3)", "qsgd(levels=3)"])
def test_it_is_the_run_over_grpc(codec: str, downlink: str, processes: int, tmp_path: Path) -> None:
    config = replace(BASE, codec=codec, downlink=downlink)
    trained = train(config, processes=processes)
    assert comparable(trained.summary) == over_grpc(config, tmp_path, processes)
    np.testing.assert_array_equal(trained.params, simulate(config).params)


def test_so_is_a_downlink_with_a_memory(tmp_path: Path) -> None:
    with registered():
        # All 24 coordinates: the toy draws fewer by the operating system.
        config = replace(BASE, codec="cross_polytope(repeats=20)", downlink="remembered(keep=24)")
        assert comparable(train(config, processes=3).summary) == over_grpc(config, tmp_path, 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"weighting": "examples"},
        {"feedback": "error", "codec": "top_k(3)"},
        {"local": "local(steps=3)", "codec": "drive"},
        {"cohort": 2},
        {"task": "softmax(digits)", "partition": "shards(2)", "optimizer": "adam(lr=0.01)"},
        {"task": f"synthetic(dim={300_001})", "codec": "float32", "rounds": 2},  # messages of several pieces
    ],
    ids=",".join,
)
def test_so_is_every_kind_of_run(settings: dict[str, Any], tmp_path: Path) -> None:
    config = replace(BASE, **settings)
    assert comparable(train(config, processes=2).summary) == over_grpc(config, tmp_path, 2)


def test_a_private_run_counts_the_same_bytes(tmp_path: Path) -> None:
    config = replace(BASE, codec="private(rr(2.0), cross_polytope)", rounds=3)
    here, there = comparable(train(config).summary), over_grpc(config, tmp_path, 1)
    for name in ("uplink", "downlink", "predicted", "privacy", "history"):
        assert here[name] == there[name], name


def test_a_budget_needs_a_folder_and_is_kept_in_it(tmp_path: Path) -> None:
    config = replace(BASE, codec="private(rr(2.0), cross_polytope)", rounds=3, max_epsilon=6.0)
    with pytest.raises(ConfigError, match="ledger"):
        train(config)
    assert train(config, state_dir=tmp_path).summary["rounds"] == 3
    assert (tmp_path / "worker-0" / "privacy.db").exists()


def test_it_goes_on_from_its_folder(tmp_path: Path) -> None:
    whole = train(BASE)
    train(replace(BASE, rounds=4), state_dir=tmp_path)
    assert train(BASE, state_dir=tmp_path).summary["digest"] == whole.summary["digest"]


def test_a_task_that_fails_ends_it() -> None:
    with pytest.raises(TaskError, match="samples"):
        train(replace(BASE, task="least_squares(samples=2, dim=3)"))


def test_a_run_that_diverges_ends_with_the_reason() -> None:
    with pytest.raises(NotFiniteError, match="learning rate"):
        train(replace(BASE, codec="float32", optimizer="sgd(lr=1e30)"))
