"""``gradwire paper``: what it lists, writes, repeats and refuses."""

import json
from pathlib import Path

import pytest

from gradwire.bench.papers import experiment
from gradwire.bench.papers.experiment import experiments
from gradwire.deploy.cli import call
from gradwire.deploy.report.document import Document
from tests.bench.papers.toy import Toy


class Another(Toy):
    name = "another"


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Toy]:
    """Two experiments in place of the real ones; each has a folder of its own."""
    toys: list[Toy] = []
    for kind in (Toy, Another):
        (tmp_path / kind.name).mkdir()
        toys.append(kind(tmp_path / kind.name))
    experiments()  # all real ones are imported before they are hidden
    monkeypatch.setattr(experiment, "_EXPERIMENTS", {toy.name: toy for toy in toys})
    return toys


def test_the_list(toys: list[Toy], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["paper"]) == 0
    assert "Means of draws" in capsys.readouterr().out
    assert call(["paper", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["toy"] == {"source": "nowhere", "title": "Means of draws"}


def test_a_rerun_writes_the_same_file(
    toys: list[Toy], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []
    for name in ("a", "b"):
        assert call(["paper", "toy", "--out", str(tmp_path / name)]) == 0
        written.append((tmp_path / name / "toy.json").read_bytes())
        for file in toys[0].folder.iterdir():
            file.unlink()
    assert written[0] == written[1]
    document = Document.from_json(json.loads(written[0]))
    assert document.facts["scale"] == "quick" and len(document.data) == 4
    assert not list((tmp_path / "a" / ".partial").iterdir())
    out = capsys.readouterr()
    assert "Means" in out.out and "4 of 4" in out.err


def test_one_that_fails_does_not_keep_others_from_being_measured(
    toys: list[Toy], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toys[0].folder / "fail-2").touch()
    assert call(["paper", "all", "--out", str(tmp_path / "out")]) == 1
    assert (tmp_path / "out" / "another.json").exists() and not (tmp_path / "out" / "toy.json").exists()
    assert "1 of 2 could not be measured: toy: seed 2 is refused" in capsys.readouterr().err
    (toys[0].folder / "fail-2").unlink()
    assert call(["paper", "toy", "--out", str(tmp_path / "out")]) == 0  # only what was missing


def test_what_cannot_be_written_is_refused_first(
    toys: list[Toy], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert call(["paper", "toy", "--out", str(tmp_path / "file")]) == 2
    assert not list(toys[0].folder.iterdir())
    assert call(["paper", "tou"]) == 2
    assert "did you mean toy?" in capsys.readouterr().err
