"""`gradwire run --report`: written when the run is over, finished or not, and checked before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gradwire.deploy.cli import call
from gradwire.deploy.exit_codes import BUDGET_SPENT, FAILED
from tests.deploy.stage import stage

WORDS = ["run", "--task", "softmax(digits)", "--codec", "cross_polytope(repeats=20)", "--processes", "2"]


@pytest.mark.slow
def test_a_finished_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page, summary = tmp_path / "page.html", tmp_path / "summary.json"
    words = [
        "--rounds",
        "6",
        "--json",
        str(summary),
        "--report",
        str(page),
        "--state-dir",
        str(tmp_path / "digits"),
    ]
    assert call([*WORDS, *words]) == 0
    assert f"report: {page}" in capfd.readouterr().out
    written, found = page.read_text(), json.loads(summary.read_text())
    assert "<h1>Run digits</h1>" in written and "finished" not in written
    assert found["digest"] in written and f"{found['uplink']['tcp_bytes']:,}" in written


@pytest.mark.slow
def test_a_run_that_ends_early_is_shown_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    words = [
        "run",
        "--task",
        "softmax(digits)",
        "--codec",
        "private(rr(1.0), cross_polytope)",
        "--processes",
        "1",
    ]
    words += ["--rounds", "20", "--max-epsilon", "3", "--report-metrics", "--report", str(page)]
    assert call(words) == BUDGET_SPENT
    written = page.read_text()
    assert "<h1>Run page</h1>" in written, "a temporary folder has no name of its own"
    assert "not finished: 3 are done" in written
    assert "page ended early: " in written and "privacy budget" in written
    assert "Epsilon spent by round" in written


@pytest.mark.slow
def test_a_run_that_never_began_has_no_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    task = "least_squares(samples=2, dim=3)"
    assert call(["run", "--task", task, "--processes", "1", "--report", str(page)]) != 0
    captured = capfd.readouterr()
    assert "no report: " in captured.out and "samples" in captured.err
    assert not page.exists()


def test_a_page_that_cannot_be_written_is_refused_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call([*WORDS, "--report", str(tmp_path / "missing" / "page.html")]) == 2
    captured = capfd.readouterr()
    assert "its folder does not exist" in captured.err and not captured.out


def test_a_finished_run_without_its_page_is_kept(tmp_path: Path) -> None:
    with stage("none", "--report", str(tmp_path / "page.html")) as staged:  # its server writes no log
        said = staged.read_until("the run has finished, but its report is not written: ")
        assert staged.end() == FAILED
    assert "gradwire report /" in said and any("the run is kept in" in line for line in staged.lines)
    assert not (tmp_path / "page.html").exists()
