"""`gradwire report`: runs from folders, summaries and documents, and what cannot be shown."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import SpecError
from gradwire.common.system.results import to_json
from gradwire.common.training.config import RunConfig
from gradwire.deploy.cli import call
from gradwire.deploy.in_process.run import train
from gradwire.deploy.report.document import Chart, Document, Table
from gradwire.deploy.report.run_page import run_document
from gradwire.deploy.report.shown_run import ShownRun
from gradwire.deploy.report.sources import documents_of
from gradwire.deploy.report.stored import stored_run
from gradwire.server.log.run_log import RunLog
from gradwire.worker.privacy.spending import spending_of
from tests.deploy.report.samples import DOCUMENT
from tests.server.log_victim import of_version_1, of_version_2, of_version_3
from tests.system.harness import run_hosts

CONFIG = RunConfig(
    task="softmax(digits)",
    codec="cross_polytope(repeats=20)",
    optimizer="sgd(lr=0.1)",
    rounds=12,
    evaluate_every=4,
)
PRIVATE = replace(
    CONFIG, codec="private(rr(2.0), cross_polytope)", max_epsilon=60.0, delta=1e-5, report_metrics=True
)
HOSTS = [(0, 1), (2, 3)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `one` and `two`, `one.json`, and `private`."""
    folder = tmp_path_factory.mktemp("runs")
    summary = run_hosts(CONFIG, folder / "one", HOSTS)[0]
    (folder / "one.json").write_text(to_json(summary))
    train(replace(CONFIG, codec="float32"), processes=2, state_dir=folder / "two")
    train(PRIVATE, processes=2, state_dir=folder / "private")
    return folder


def charts(document: Document) -> dict[str, Chart]:
    return {p.title: p for section in document.sections for p in section.parts if isinstance(p, Chart)}


def tables(document: Document) -> dict[str, Table]:
    return {p.title: p for section in document.sections for p in section.parts if isinstance(p, Table)}


def shown(*targets: Path) -> Document:
    (document,) = documents_of(targets)
    return document


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert call(["report", *words]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.count("\n") == 1
    return captured.err


# ---- where runs come from ----------------------------------------------------------------------------------


def test_a_folder_has_what_the_summary_says(runs: Path) -> None:
    summary = json.loads((runs / "one.json").read_text())
    found = json.loads(to_json(stored_run(runs / "one", "one").summary))
    layout, layout_found = summary.pop("layout"), found.pop("layout")
    assert layout["fingerprint"] == layout_found["fingerprint"]
    tcp, tcp_found = summary.pop("tcp"), found.pop("tcp")
    assert tcp["complete"] == tcp_found["complete"]
    for way in ("uplink", "downlink"):
        measured = {layer: n for layer, n in summary.pop(way).items() if not layer.startswith("interface")}
        assert found.pop(way) == measured
    assert found == {name: summary[name] for name in found}


def test_its_page_is_that_of_the_summary(runs: Path) -> None:
    folder, summary = shown(runs / "one"), shown(runs / "one.json")
    assert charts(folder) == charts(summary)
    assert {"run id", "written by", "layout"} <= folder.facts.keys()
    assert ["digest every", "10"] in tables(folder)["Settings"].rows


def test_nothing_in_the_folder_changes(runs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    documents_of([runs / "one", runs / "private"])
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_an_unfinished_run_is_shown_as_far_as_it_is(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    with RunLog.open(tmp_path / "one") as log:
        log.extend(50)
    document = shown(tmp_path / "one")
    assert "not finished: 12 are done" in document.about
    rows = {row[0]: row[1] for row in tables(document)["Checks and interruptions"].rows}
    assert rows["replicas agree"] == "not finished"
    assert rows["digest of the last model"] is not None


def test_a_run_of_an_earlier_release_is_spread_over_its_rounds(runs: Path) -> None:
    summary = json.loads((runs / "one.json").read_text())
    del summary["timeline"]
    chart = charts(run_document([ShownRun("old", summary, 12)]))["Training loss by uplink bytes"]
    total = summary["uplink"]["message_bytes"]
    assert list(chart.series[0].x) == pytest.approx([total * r / 12 for r in range(12)])
    assert "old" in chart.note and not charts(shown(runs / "one"))["Training loss by uplink bytes"].note


# ---- what is shown -----------------------------------------------------------------------------------------


def test_curves_by_round_bytes_and_time(runs: Path) -> None:
    summary = json.loads((runs / "one.json").read_text())
    found, timeline = charts(shown(runs / "one")), summary["timeline"]
    losses = [row["loss"] for row in summary["history"] if row["loss"] is not None]
    for title, x in (
        ("Training loss by round", timeline["round"]),
        ("Training loss by uplink bytes", timeline["uplink_bytes"]),
        ("Training loss by time", timeline["seconds"]),
    ):
        (series,) = found[title].series
        assert list(series.y) == losses and list(series.x) == pytest.approx(x[:-1])
    both = [a + b for a, b in zip(timeline["uplink_bytes"], timeline["downlink_bytes"], strict=True)]
    (series,) = found["Accuracy by bytes in both directions"].series
    assert list(series.x) == [both[r] for r in (0, 4, 8, 12)]
    assert both[-1] == sum(summary[way]["message_bytes"] for way in ("uplink", "downlink"))


def test_several_runs_share_their_charts(runs: Path) -> None:
    document = shown(runs / "one", runs / "two", runs / "one")
    for title, chart in charts(document).items():
        if "Epsilon" not in title:
            assert [series.name for series in chart.series] == ["one", "two", "one (2)"], title
    assert charts(document)["Training loss by uplink bytes"].log_x, "float32 has 40 times the bytes"
    differ = tables(document)["Settings that differ"]
    assert differ.rows[0] == ["codec", f"`{CONFIG.codec}`", "`float32`", f"`{CONFIG.codec}`"]
    assert [row[0] for row in tables(document)["Runs"].rows] == ["one", "two", "one (2)"]


def test_the_bytes_of_every_layer(runs: Path) -> None:
    summary = json.loads((runs / "one.json").read_text())
    document = shown(runs / "one")
    rows = {(row[0], row[1]): row[2:] for row in tables(document)["Byte counts"].rows}
    bits, messages = summary["uplink"]["payload_bits"], CONFIG.rounds * CONFIG.workers
    assert rows["uplink", "payload bits"] == [bits, bits, summary["payload_bits_per_push"]]
    sent = summary["uplink"]["tcp_bytes"]
    assert rows["uplink", "TCP bytes"] == [None, sent, sent / messages]
    assert ("uplink", "interface bytes") not in rows, "the run stayed within its machine"
    chart = charts(document)["Uplink per worker and round"]
    assert chart.categories == ["payload bits / 8", "payload bytes", "message bytes", "TCP bytes"]
    predicted, measured = chart.series
    assert predicted.y[:3] == measured.y[:3] and predicted.y[3] is None
    assert measured.y[0] == summary["payload_bits_per_push"] / 8


def test_interfaces_are_shown_where_they_carried_the_run(runs: Path) -> None:
    summary = json.loads((runs / "one.json").read_text())
    summary["uplink"]["interface_bytes"] = 10 * summary["uplink"]["tcp_bytes"]
    rows = tables(run_document([ShownRun("r", summary, 12)]))["Byte counts"].rows
    assert [row[1] for row in rows if row[0] == "uplink"][-1] == "interface bytes"


def test_privacy_by_process(runs: Path) -> None:
    document = shown(runs / "private")
    spent = tables(document)["What each process has spent, by its ledger"]
    assert [row[:4] for row in spent.rows] == [["worker-0", 2, 12, 2.0], ["worker-1", 2, 12, 2.0]]
    assert all(row[-1] == 24.0 for row in spent.rows)
    curve = charts(document)["Epsilon spent by round"]
    sums, budget = curve.series[0], curve.series[-1]
    assert sums.y[-1] == 24.0 and list(budget.y) == [60.0, 60.0] and budget.style == "dashed"
    assert "Privacy" not in [section.title for section in shown(runs / "one").sections]


def test_the_ledger_is_read_without_its_lock(runs: Path, tmp_path: Path) -> None:
    run_id = bytes.fromhex(stored_run(runs / "private", "p").run_id)
    found = spending_of(runs / "private" / "worker-0", run_id)
    assert found is not None and (found.workers, found.pushes, found.lifetime.pure) == (2, 12, 24.0)
    assert spending_of(runs / "private" / "worker-0", b"another") is None
    assert spending_of(tmp_path, run_id) is None and not list(tmp_path.iterdir())


def test_sites_that_evaluate_for_themselves() -> None:
    def site(value: float) -> dict[str, Any]:
        return {"examples": 10, "metrics": {"accuracy": value}}

    history: list[dict[str, Any]] = [
        {
            "round": r, "loss": 1.0, "accuracy": 0.5 + r / 100,
            "metrics_min": {"accuracy": 0.4}, "metrics_max": {"accuracy": 0.6},
            "sites": {"alice": site(0.4), "<b>": site(0.6 + r / 100)},
        }
        for r in (0, 5, 10)
    ]  # fmt: skip
    counts = {"payload_bits": 80, "payload_bytes": 10, "message_bytes": 20}
    summary = {
        "rounds": 10, "workers": 2, "task": "t", "codec": "c", "uplink": counts, "downlink": counts, "history": history,
    }  # fmt: skip
    document = run_document([ShownRun("r", summary, 10)])
    by_site = charts(document)["Accuracy by site"]
    assert {series.name: list(series.y) for series in by_site.series} == {
        "alice": [0.4] * 3,
        "<b>": pytest.approx([0.6, 0.65, 0.7]),
    }
    (mean,) = charts(document)["Accuracy by round"].series
    assert list(mean.low) == [0.4] * 3 and list(mean.high) == [0.6] * 3
    assert tables(document)["Newest evaluation of each site"].rows[1] == ["<b>", 10, 10, pytest.approx(0.7)]


def test_a_codec_that_is_not_here_is_no_hindrance(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(spec: str, dim: int) -> None:
        raise SpecError(f"unknown codec {spec}")

    known = shown(runs / "one")
    monkeypatch.setattr("gradwire.deploy.report.stored.parse", unknown)
    assert charts(shown(runs / "one")) == charts(known)
    assert ["payload bits per push", "—"] in tables(shown(runs / "one"))["Settings"].rows


def test_failures_and_restarts_are_said(runs: Path) -> None:
    run = stored_run(runs / "one", "one")
    summary = {**run.summary, "restarts": {"worker-1": 2}, "resyncs": 1, "late": 3, "replicas_agree": False}
    document = run_document([replace(run, summary=summary, failure="a replica differs")])
    assert document.sections[0].parts[0] == "one ended early: a replica differs"
    rows = {
        row[0].split(":")[0].split(",")[0]: row[1]
        for row in tables(document)["Checks and interruptions"].rows
    }
    assert rows["restarts of processes"] == "worker-1: 2 times"
    assert (rows["resyncs"], rows["late pushes"]) == (1, 3) and str(rows["replicas agree"]).startswith("NO")


# ---- the command -------------------------------------------------------------------------------------------


def test_it_writes_one_page(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "document.json").write_text(to_json(DOCUMENT.to_json()))
    out = tmp_path / "page.html"
    words = [str(runs / "one"), str(tmp_path / "document.json"), str(runs / "two"), "--out", str(out)]
    assert call(["report", *words]) == 0
    assert capsys.readouterr().out == f"written: {out}\n"
    written = out.read_text()
    assert written.startswith("<!doctype html>") and written.endswith("</html>\n")
    assert "<h1>2 reports</h1>" in written and "Runs one, two" in written
    assert re.findall("<script", written) == []


def test_without_out_it_writes_report_html(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["report", str(runs / "one")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert "<h1>Run one</h1>" in (tmp_path / "report.html").read_text()


def test_json_is_a_document_that_can_be_shown(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(["report", str(runs / "one"), "--json"]) == 0
    one = capsys.readouterr().out
    assert not list(tmp_path.iterdir()), "with --json no page is asked for"
    assert Document.from_json(json.loads(one)).data["one"]["summary"]["rounds"] == 12
    (tmp_path / "d.json").write_text(one)
    assert call(["report", "d.json", str(runs / "two"), "--json"]) == 0
    both = capsys.readouterr().out
    (tmp_path / "both.json").write_text(both)
    assert [document.title for document in documents_of([tmp_path / "both.json"])] == ["Run two", "Run one"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ('{"rounds": 3}', "is no summary"),
        ("[]", "is no summary"),
        ("[[1]]", "is no summary"),
        ('"text"', "is no summary"),
        ("[" * 100_000, "nested too deeply"),
        ('{"gradwire-document": 99}', "this is no document of version"),
        ('{"gradwire-document": 1, "title": "t"}', "is damaged"),
        (
            '{"gradwire-document": 1, "title": 3, "about": "", "sections": [], "facts": {}, "data": null}',
            "is damaged",
        ),
    ],
)
def test_files_that_are_nothing_to_show(
    content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.json").write_text(content)
    out = tmp_path / "page.html"
    assert said in refused([str(tmp_path / "file.json"), "--out", str(out)], capsys)
    assert not out.exists()


def test_a_damaged_summary(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((runs / "one.json").read_text())
    for name, value in (
        ("history", [{"loss": 1.0}]),
        ("rounds", "many"),
        ("uplink", 3),
        ("timeline", {"round": ["a"]}),
    ):
        (tmp_path / "bad.json").write_text(json.dumps({**summary, name: value}))
        assert "bad.json is damaged" in refused([str(tmp_path / "bad.json")], capsys), name


def test_targets_that_are_none(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run in" in refused([str(tmp_path)], capsys)
    assert "there is no " in refused([str(tmp_path / "missing")], capsys)
    out = ["--out", str(tmp_path / "missing" / "page.html")]
    assert "its folder does not exist" in refused([str(runs / "one"), *out], capsys)
    path = str(runs / "one.json")
    assert "is to be read" in refused([path, "--out", path], capsys)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    assert "is not JSON" in refused([str(tmp_path / "bytes.json")], capsys)


def test_a_folder_that_a_server_uses_is_read_as_far_as_it_is(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    with RunLog.open(tmp_path / "one") as log:
        log.extend(50)
        assert "12 are done" in shown(tmp_path / "one").about


@pytest.mark.parametrize("make", [of_version_2, of_version_3])
def test_logs_of_earlier_versions(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "old")
    document = shown(tmp_path / "old")
    assert document.title == "Run old" and charts(document)


def test_a_log_of_the_first_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_version_1(tmp_path / "old")
    assert "continue its run once" in refused([str(tmp_path / "old")], capsys)


def test_a_run_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunLog.create(tmp_path / "new", CONFIG, b"0123456789abcdef").close()
    assert "has no model yet" in refused([str(tmp_path / "new")], capsys)
