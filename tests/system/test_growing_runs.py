"""A run that is continued to more rounds ends as one that had them from the start, bit for bit."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import ConfigError
from gradwire.common.training.config import RunConfig
from gradwire.server.log.run_log import RunLog
from gradwire.server.serving import Interrupted, open_log
from gradwire.server.shutdown import all_checked
from tests.system.harness import Run, cancel, run_script, simulate, whole_run

CONFIG = RunConfig(
    task="softmax(digits, batch=16)",
    codec="cross_polytope(repeats=40)",
    workers=3,
    rounds=6,
    evaluate_every=4,
)
HOSTS = [(0,), (1, 2)]
KINDS: list[dict[str, Any]] = [
    {"optimizer": "sgd(lr=0.3, momentum=0.9)"},
    {"codec": "top_k(20)", "feedback": "error"},
    {"optimizer": "averaged(sgd(lr=0.3, schedule=inverse_sqrt))", "downlink": "sum"},
    {"local": "local(steps=3, optimizer=sgd(lr=0.1, momentum=0.9), inner=kept)"},
    {"local": "local(steps=3, optimizer=sgd(lr=0.1), scaffold=true)"},
]


@pytest.mark.parametrize(
    "changes", KINDS, ids=[",".join(changes) + str(i) for i, changes in enumerate(KINDS)]
)
def test_grown_run_is_the_longer_run(changes: dict[str, Any], tmp_path: Path) -> None:
    config = replace(CONFIG, **changes)
    longer = replace(config, rounds=15)
    whole_run(config, tmp_path / "run", HOSTS)
    grown = whole_run(longer, tmp_path / "run", HOSTS)
    steady = whole_run(longer, tmp_path / "steady", HOSTS)
    assert grown["digest"] == steady["digest"] == f"{simulate(longer).digest:016x}"
    assert grown["rounds"] == 15 and grown["replicas_agree"] and grown["predicted_equals_measured"]
    assert [row for row in grown["history"] if row["round"] != 6] == [
        row for row in steady["history"] if row["round"] != 6
    ]
    assert grown["uplink"]["payload_bits"] == steady["uplink"]["payload_bits"], "both parts are counted"
    with RunLog.open(tmp_path / "run") as log, RunLog.open(tmp_path / "steady") as other:
        assert log.config == other.config == longer
        assert list(log.read(0, 15)) == list(other.read(0, 15))


def test_unfinished_run_grows_too(tmp_path: Path) -> None:
    longer = replace(CONFIG, rounds=12)

    async def killed_after_three(run: Run, group: asyncio.TaskGroup) -> None:
        workers = [group.create_task(run.work(f"process-{i}", ids)) for i, ids in enumerate(HOSTS)]
        await run.committed(2)
        for task in workers:
            await cancel(task)
        with run.signals:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(ExceptionGroup) as caught:
        run_script(replace(CONFIG, rounds=10), tmp_path / "run", killed_after_three)
    assert caught.group_contains(Interrupted)
    summary = whole_run(longer, tmp_path / "run", HOSTS)
    assert summary["digest"] == f"{simulate(longer).digest:016x}" and summary["rounds"] == 12


def test_digests_of_the_first_end_do_not_count(tmp_path: Path) -> None:
    whole_run(CONFIG, tmp_path, HOSTS)
    with RunLog.open(tmp_path) as log:
        assert all_checked(log) and log.get("done process-0") is not None
    with open_log(tmp_path, replace(CONFIG, rounds=7)) as log:
        assert not log.finished and log.get("done process-0") is log.get("done process-1") is None
        assert log.get("tally") is not None, "bytes and seconds go on"
    with RunLog.open(tmp_path) as log:
        assert log.config.rounds == 7 and not all_checked(log)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 5}, "its rounds is 6, given was 5"),
        ({"rounds": 9, "seed": 1}, "its rounds is 6, given was 9"),
        ({"optimizer": "sgd(lr=0.2)"}, "its optimizer is sgd"),
    ],
)
def test_other_changes_are_refused_and_change_nothing(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    whole_run(CONFIG, tmp_path, HOSTS)
    with pytest.raises(ConfigError, match=message):
        open_log(tmp_path, replace(CONFIG, **changes))
    with RunLog.open(tmp_path) as log:
        assert log.config == CONFIG and all_checked(log)
