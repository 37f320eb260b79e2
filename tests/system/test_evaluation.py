"""Evaluation at every site, over real connections: what a run reports of its final model, whoever comes and leaves."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import registry
from gradwire.common.training.config import RunConfig
from gradwire.deploy.run.report import closing_lines
from gradwire.server.export import BEST, export_model
from gradwire.server.log.run_log import RunLog
from gradwire.server.progress import ProgressFormat, reporter
from gradwire.server.summary import failed_check
from gradwire.worker.privacy import Limits
from gradwire.worker.site import Site
from gradwire.worker.tasks import Gradient, build_task
from tests.common.codecs.toys import PrivateToy
from tests.system.fault_injection import run_with_two_servers
from tests.system.harness import TIMEOUT, Run, cancel, run_hosts, run_script, whole_run

TRAINED, HELD_OUT = (60, 40, 90), (10, 25, 70)
CONFIG = RunConfig(
    task="softmax(file, features=3, classes=2)", codec="float32", workers=3, rounds=12, optimizer="sgd(lr=0.5)",
    evaluate_every=3, digest_every=1,
)  # fmt: skip
SHARED = replace(CONFIG, task="least_squares(samples=32, dim=12)", optimizer="sgd(lr=0.1)")


def write(path: Path, rows: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    y = (x @ [1.0, -1.0, 0.5 * (seed % 3)] + rng.normal(size=rows) > 0).astype(int)
    lines = [",".join([*(f"{v:.5f}" for v in row), str(c)]) for row, c in zip(x, y, strict=True)]
    path.write_text("\n".join(["a,b,c,y", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, Site]:
    """Three sites whose training and test files differ."""
    made = {}
    for k in range(3):
        train = write(tmp_path / f"train-{k}.csv", TRAINED[k], seed=k)
        test = write(tmp_path / f"test-{k}.csv", HELD_OUT[k], seed=10 + k)
        made[f"site-{k}"] = Site(data=train, options={"test": str(test)})
    return made


def without_test(site: Site) -> Site:
    return replace(site, options={})


def measured(
    folder: Path, config: RunConfig, sites: Mapping[str, Site], round_: int
) -> dict[str, dict[str, float]]:
    """What each site measures of the run's model after so many rounds, computed from the log without a run."""
    with closing(RunLog.open(folder)) as log:
        params = export_model(log, round_).params.copy()
    seeded = {name: replace(site, seed=config.seed) for name, site in sites.items()}
    return {
        name: build_task(config.task, workers=3, seed=config.seed, site=site).evaluate(params)
        for name, site in seeded.items()
    }


def weighted(by_site: Mapping[str, Mapping[str, float]], metric: str, sizes: Mapping[str, int]) -> float:
    total = sum(sizes[name] for name in by_site)
    return float(sum(Fraction(values[metric]) * sizes[name] for name, values in by_site.items()) / total)


SIZES = {f"site-{k}": HELD_OUT[k] for k in range(3)}


def text_of(summary: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The line of the outcome, of the server and of `gradwire run`."""
    capsys.readouterr()
    reporter(ProgressFormat.LINES)({"event": "finished", "summary": summary})
    return [capsys.readouterr().out.splitlines()[0], closing_lines({**summary, "restarts": {}})[0]]


def start(run: Run, group: asyncio.TaskGroup, sites: Mapping[str, Site]) -> list[asyncio.Task[None]]:
    return [
        group.create_task(run.work(name, (k,), site=site)) for k, (name, site) in enumerate(sites.items())
    ]


def test_outcome_is_the_mean_over_the_sites_weighted_by_size(
    sites: dict[str, Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        start(run, group, sites)

    summary, run = run_script(CONFIG, tmp_path / "run", script)
    by_site = measured(tmp_path / "run", CONFIG, sites, 12)
    assert len({tuple(values.values()) for values in by_site.values()}) == 3
    for metric in ("accuracy", "test_loss"):
        values = [by_site[name][metric] for name in sites]
        assert summary["metrics"][metric] == weighted(by_site, metric, SIZES)
        assert (summary["metrics_min"][metric], summary["metrics_max"][metric]) == (min(values), max(values))
    assert summary["sites"] == {
        name: {"examples": SIZES[name], "metrics": by_site[name], "round": 12} for name in sites
    }
    assert summary["metrics_weighting"] == "size" and summary["metrics_round"] == 12
    rows = [row for row in summary["history"] if "sites" in row]
    assert [row["round"] for row in rows] == [0, 3, 6, 9, 12]
    assert [e["round"] for e in run.events if e["event"] == "metrics"] == [0, 3, 6, 9, 12]
    earlier = measured(tmp_path / "run", CONFIG, sites, 6)
    assert rows[2]["accuracy"] == weighted(earlier, "accuracy", SIZES)
    assert {name: site["metrics"] for name, site in rows[2]["sites"].items()} == earlier
    low, high = (f"{summary[f'metrics_{end}']['accuracy']:.4g}" for end in ("min", "max"))
    for line in text_of(summary, capsys):
        assert (
            f"accuracy {summary['metrics']['accuracy']:.4g} ({low} to {high})" in line and "3 sites" in line
        )
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as db:
        assert db.execute("SELECT count(*) FROM metrics").fetchone() == (13,)


@pytest.mark.usefixtures("short_wait")
def test_site_that_leaves_midway_is_not_in_the_outcome(
    sites: dict[str, Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        first = asyncio.create_task(run.work("site-0", (0,), site=sites["site-0"]))
        group.create_task(run.work("site-1", (1,), site=sites["site-1"]))
        group.create_task(run.work("site-2", (2,), site=sites["site-2"]))
        await run.committed(6)
        await cancel(first)

    config = replace(CONFIG, quorum=2, deadline=1000.0, rounds=150)
    summary, run = run_script(config, tmp_path / "run", script)
    stayed = {name: site for name, site in sites.items() if name != "site-0"}
    by_site = measured(tmp_path / "run", config, stayed, 150)
    assert summary["metrics"]["accuracy"] == weighted(by_site, "accuracy", SIZES)
    assert (summary["sites_evaluated"], summary["sites_evaluating"]) == (2, 3)
    assert summary["sites"]["site-0"]["round"] < 150 and summary["sites"]["site-1"]["round"] == 150
    assert all("2 of 3 sites" in line for line in text_of(summary, capsys))
    assert not any("was not evaluated" in e.get("message", "") for e in run.events)


@pytest.mark.usefixtures("short_wait")
def test_evaluation_of_a_site_that_left_long_ago_is_not_the_outcome(
    sites: dict[str, Site], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        first = asyncio.create_task(run.work("site-0", (0,), site=sites["site-0"]))
        for k in (1, 2):
            group.create_task(run.work(f"site-{k}", (k,), site=without_test(sites[f"site-{k}"])))
        await run.seen("metrics")
        await run.committed(10)
        await cancel(first)

    config = replace(CONFIG, quorum=2, deadline=1000.0, rounds=150, evaluate_every=5)
    summary, run = run_script(config, tmp_path / "run", script)
    last = summary["metrics_round"]
    assert summary["metrics"] == {} and 5 <= last < 150
    assert summary["last_metrics"] == measured(tmp_path / "run", config, {"a": sites["site-0"]}, last)["a"]
    (warning,) = [event["message"] for event in run.events if event["event"] == "warning"]
    assert warning == (
        f"the final model was not evaluated: the last evaluation, by site-0, was after round {last} of 150"
    )
    words = f"last evaluated after round {last} of 150: test_loss"
    assert all(words in line for line in text_of(summary, capsys))


def test_sites_without_test_data_report_nothing(sites: dict[str, Site], tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        start(run, group, {**sites, "site-0": without_test(sites["site-0"])})

    summary, _ = run_script(CONFIG, tmp_path / "run", script)
    assert set(summary["sites"]) == {"site-1", "site-2"} and summary["sites_evaluating"] == 2


@pytest.mark.usefixtures("short_wait")
def test_another_process_evaluates_common_data_once_the_first_has_left(tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        first = asyncio.create_task(run.work("first", (0,)))
        for k in (1, 2):
            group.create_task(run.work(f"process-{k}", (k,)))
        await run.committed(6)
        await cancel(first)

    config = replace(SHARED, quorum=2, deadline=1000.0, rounds=60)
    summary, run = run_script(config, tmp_path, script)
    with closing(RunLog.open(tmp_path)) as log:
        final = export_model(log).params.copy()
    assert summary["metrics"] == build_task(config.task, workers=3, seed=config.seed).evaluate(final)
    assert summary["sites"] == {} and summary["sites_evaluating"] == 0
    rounds = [event["round"] for event in run.events if event["event"] == "metrics"]
    assert rounds == sorted(set(rounds)) and len(rounds) >= 15


def test_common_data_are_evaluated_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gradwire.worker.reports import Reports

    evaluate, calls = Reports.evaluate, []

    def counted(self: Reports, model: Any) -> Any:
        calls.append(model.round)
        return evaluate(self, model)

    monkeypatch.setattr(Reports, "evaluate", counted)
    run_hosts(SHARED, tmp_path, [(2,), (0,), (1,)])
    assert calls == [0, 3, 6, 9, 12]


def test_restarted_server_keeps_the_evaluations_of_the_sites(sites: dict[str, Site], tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for k in range(3):
            group.create_task(run.work(f"process-{k}", (k,), site=OWN))

    # The harness gives all processes one site: three equal ones.
    OWN = sites["site-0"]
    undisturbed, _ = run_script(CONFIG, tmp_path / "undisturbed", script)
    summary, _ = run_with_two_servers(CONFIG, tmp_path / "run", after=7, site=OWN)
    assert summary["history"] == undisturbed["history"] and len(summary["history"][6]["sites"]) == 3
    names = ("metrics", "metrics_min", "metrics_max", "sites", "sites_evaluated", "sites_evaluating")
    assert all(summary[name] == undisturbed[name] for name in names)
    again = whole_run(CONFIG, tmp_path / "run", [])
    assert all(again[name] == undisturbed[name] for name in names)


def test_best_model_is_that_of_the_mean_over_the_sites(sites: dict[str, Site], tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        start(run, group, sites)

    config = replace(CONFIG, keep_best="test_loss:min", optimizer="sgd(lr=3.0)", rounds=20, evaluate_every=1)
    summary, _ = run_script(config, tmp_path / "run", script)
    means = {
        round_: weighted(measured(tmp_path / "run", config, sites, round_), "test_loss", SIZES)
        for round_ in range(21)
    }
    best = min(means, key=lambda round_: (means[round_], round_))
    assert summary["best"] == {"metric": "test_loss", "round": best, "value": means[best]}
    with closing(RunLog.open(tmp_path / "run")) as log:
        assert export_model(log, BEST).params.tobytes() == export_model(log, best).params.tobytes()


# ---- processes of their own ----------------------------------------------------------------------------------

CLI = [sys.executable, "-m", "gradwire.deploy.cli"]


@pytest.mark.slow
def test_sites_in_processes_of_their_own_of_which_one_is_killed(
    sites: dict[str, Site], tmp_path: Path
) -> None:
    serve = [
        *CLI, "server", "--listen", "127.0.0.1:0", "--progress", "json", "--state-dir", str(tmp_path / "run"), "--task",
        CONFIG.task, "--codec", "float32", "--workers", "3", "--rounds", "2000", "--quorum", "2", "--deadline", "60",
        "--evaluate-every", "10",
    ]  # fmt: skip
    with ExitStack() as stack:
        server = stack.enter_context(subprocess.Popen(serve, stdout=subprocess.PIPE, text=True))
        stack.callback(server.kill)
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["address"]
        started = []
        for k, (name, site) in enumerate(sites.items()):
            own = ["--data", str(site.data), "--option", f"test={site.options['test']}"]
            words = [*CLI, "worker", "--server", address, "--name", name, "--workers", str(k), *own]
            started.append(stack.enter_context(subprocess.Popen(words)))
            stack.callback(started[-1].kill)
        events = []
        for line in server.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "metrics" and events[-1]["round"] == 10:
                started[0].kill()
        assert [worker.wait(TIMEOUT) for worker in started[1:]] == [0, 0] and server.wait(TIMEOUT) == 0
    summary = events[-1]["summary"]
    stayed = {name: sites[name] for name in ("site-1", "site-2")}
    by_site = measured(tmp_path / "run", CONFIG, stayed, 2000)
    assert summary["metrics"]["accuracy"] == weighted(by_site, "accuracy", SIZES)
    assert {name: site["metrics"] for name, site in summary["sites"].items() if name in stayed} == by_site
    assert 10 <= summary["sites"]["site-0"]["round"] < 2000
    assert (summary["sites_evaluated"], summary["sites_evaluating"]) == (2, 3)


# ---- sizes that are not known --------------------------------------------------------------------------------


class Own:
    """A task of the user's own, which measures its own worker's number; it says its size, or not."""

    dim = 3

    def __init__(self, site: Site, sizes: Mapping[str, int | None]) -> None:
        self.number = float(site.workers[0])
        self.size = sizes.get(site.name)

    def initial(self) -> np.ndarray:
        return np.zeros(3, np.float32)

    def gradient(self, params: np.ndarray, *, round: int, worker: int) -> Gradient:
        return Gradient(params - np.float32(worker), None, 1)

    def evaluate(self, params: np.ndarray) -> dict[str, float]:
        return {"number": self.number}

    def evaluation_size(self) -> int | None:
        return self.size


def sized(site: Site) -> Own:
    return Own(site, {"process-0": 1, "process-1": 2, "process-2": 5})


def wild(site: Site) -> Own:
    own = sized(site)
    own.number = math.nan if site.name == "process-1" else own.number
    return own


def silent(site: Site) -> Own:
    """One site says that it evaluates, and measures nothing."""
    own = sized(site)
    if site.name == "process-2":
        own.evaluate = lambda params: {}  # type: ignore[method-assign]
    return own


def unsized(site: Site) -> Own:
    return Own(site, {"process-0": 1, "process-1": None, "process-2": 0})


@pytest.mark.parametrize(
    ("factory", "mean", "weighting", "count"), [("sized", 12 / 8, "size", 3), ("unsized", 0.5, "equal", 2)]
)
def test_custom_tasks_weigh_by_the_size_that_they_say(
    factory: str, mean: float, weighting: str, count: int, tmp_path: Path
) -> None:
    """Of `unsized`, one site does not know its size, and one has no held-out data."""
    target = f"{__name__}:{factory}"

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for k in range(3):
            group.create_task(run.work(f"process-{k}", (k,), allow_import=[target]))

    summary, _ = run_script(replace(CONFIG, task=f"custom({target})"), tmp_path, script)
    assert summary["metrics"] == {"number": mean} and summary["metrics_weighting"] == weighting
    assert summary["sites_evaluated"] == summary["sites_evaluating"] == count


def test_evaluations_are_settled_though_a_site_never_reports(tmp_path: Path) -> None:
    """The last one when the run ends, the others when the next one begins."""
    target = f"{__name__}:silent"

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for k in range(3):
            group.create_task(run.work(f"process-{k}", (k,), allow_import=[target]))

    config = replace(CONFIG, task=f"custom({target})", keep_best="number:min")
    summary, run = run_script(config, tmp_path, script)
    settled = [event for event in run.events if event["event"] == "metrics"]
    assert [event["round"] for event in settled] == [0, 3, 6, 9, 12]
    assert {event["metrics"]["number"] for event in settled} == {2 / 3}
    assert summary["best"] == {"metric": "number", "round": 0, "value": 2 / 3}
    assert (summary["sites_evaluated"], summary["sites_evaluating"]) == (2, 3)


def test_measure_that_is_not_a_number_fails_the_run_and_names_the_site(tmp_path: Path) -> None:
    target = f"{__name__}:wild"

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for k in range(3):
            group.create_task(run.work(f"process-{k}", (k,), allow_import=[target]))

    summary, _ = run_script(replace(CONFIG, task=f"custom({target})"), tmp_path, script)
    assert math.isnan(summary["metrics"]["number"]) and summary["sites"]["process-2"]["metrics"] == {
        "number": 2.0
    }
    error = failed_check(summary)
    assert error is not None and "a number that is not a finite number at process-1:" in str(error)


# ---- private runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opted", [False, True])
def test_private_sites_report_what_their_owners_and_the_server_allow(
    opted: bool, sites: dict[str, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three owners allow it: the mean is over two; no numbers of samples are sent."""
    monkeypatch.setitem(registry._REGISTRY._classes, "private_toy", PrivateToy)

    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        for k, (name, site) in enumerate(sites.items()):
            group.create_task(run.work(name, (k,), site=site, limits=Limits(report_metrics=k > 0)))

    config = replace(CONFIG, codec="private_toy", report_metrics=opted)
    summary, run = run_script(config, tmp_path / "run", script)
    allowed = {name: site for name, site in sites.items() if name != "site-0"}
    by_site = measured(tmp_path / "run", config, allowed, 12)
    assert summary["metrics"]["accuracy"] == weighted(by_site, "accuracy", dict.fromkeys(allowed, 1))
    assert summary["metrics_weighting"] == "equal" and summary["sites_evaluating"] == 2
    shown = {name: {"examples": None, "metrics": values, "round": 12} for name, values in by_site.items()}
    assert summary["sites"] == (shown if opted else {})
    with closing(RunLog.open(tmp_path / "run")) as log:
        kept = log.metrics()[12]["sites"]
    assert kept == {name: {"examples": None, "metrics": by_site[name]} if opted else {} for name in kept}
    assert set(kept) == set(allowed)
    written = str([run.events, summary["history"]])
    assert all((str(values["test_loss"]) in written) is opted for values in by_site.values())
