"""Experiments are measured once, go on where they stopped, and give the same numbers again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradwire.bench.papers.experiment import Experiment, experiments, find
from gradwire.bench.papers.partial import PartialResults, key_of
from gradwire.bench.papers.runner import measure_all
from gradwire.common.errors import ConfigError, TaskError
from tests.bench.papers.toy import Toy

ROOT = Path(__file__).parents[3]


def measured(toy: Toy, path: Path, *, full: bool = False) -> tuple[list[object], list[int]]:
    steps: list[int] = []
    with PartialResults(path, toy.fingerprint(full=full)) as stored:
        results = measure_all(
            toy, stored, full=full, jobs=2, step=lambda done, of, params: steps.append(done)
        )
    return [each.result for each in results], steps


def times(toy: Toy) -> dict[int, int]:
    """How often each seed was measured."""
    return {int(path.name[-1]): path.stat().st_size for path in toy.folder.glob("measured-*")}


def test_results_come_in_the_order_of_the_cases_and_are_the_same_again(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        runs.append(measured(Toy(tmp_path / name), tmp_path / f"{name}.jsonl"))
    assert runs[0] == runs[1]
    results, steps = runs[0]
    assert steps == [1, 2, 3, 4]
    assert results[0] == {"mean": results[0]["mean"], "infinite": None, "pair": [1, 2], "threads": "1"}  # type: ignore[index]
    assert len({json.dumps(r) for r in results}) == 4


def test_what_failed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    (tmp_path / "fail-3").touch()
    with pytest.raises(TaskError, match="seed 3 is refused"):
        measured(toy, tmp_path / "partial")
    (tmp_path / "fail-3").unlink()
    with PartialResults(tmp_path / "partial", toy.fingerprint(full=False)) as stored:
        before = {json.loads(key)["seed"] for key in stored.results}
    results, steps = measured(toy, tmp_path / "partial")
    assert len(results) == 4 and len(steps) == 4 - len(before)
    assert all(times(toy)[seed] == 1 for seed in before)


def test_what_is_refused_at_once_leaves_no_file(tmp_path: Path) -> None:
    for seed in range(4):
        (tmp_path / f"fail-{seed}").touch()
    with pytest.raises(TaskError, match="is refused"):
        measured(Toy(tmp_path), tmp_path / "partial")
    assert not (tmp_path / "partial").exists()


def test_a_killed_process_is_named(tmp_path: Path) -> None:
    (tmp_path / "kill-0").touch()
    with pytest.raises(TaskError, match="was killed"):
        measured(Toy(tmp_path), tmp_path / "partial")


def write_on(descriptor: int) -> None:
    while True:
        os.write(descriptor, bytes(4096))


def test_no_case_is_measured_on_when_the_command_was_killed(tmp_path: Path) -> None:
    """The case reads a FIFO as long as somebody writes; once nobody reads it, the process is gone."""
    fifo = tmp_path / "wait-0"
    os.mkfifo(fifo)
    command = subprocess.Popen([sys.executable, "-m", "tests.bench.papers.toy", str(tmp_path)], cwd=ROOT)
    writer = os.open(fifo, os.O_WRONLY)  # returns when the case has come there
    command.kill()
    command.wait()
    with pytest.raises(BrokenPipeError):
        write_on(writer)
    os.close(writer)


def test_a_torn_line_is_measured_again(tmp_path: Path) -> None:
    toy, path = Toy(tmp_path), tmp_path / "partial"
    whole, _ = measured(toy, path)
    text = path.read_text()
    path.write_text(text[:-20])
    torn = json.loads(json.loads(text.splitlines()[-1])["key"])["seed"]
    assert measured(toy, path)[0] == whole
    assert times(toy) == {seed: 1 + (seed == torn) for seed in range(4)}


def test_results_of_another_scale_or_release_are_not_mixed_in(tmp_path: Path) -> None:
    with PartialResults(tmp_path / "partial", "one") as stored:
        stored.add("key", 1)
    with PartialResults(tmp_path / "partial", "two") as stored:
        assert not stored.results
    toy = Toy(tmp_path)
    assert toy.fingerprint(full=True) != toy.fingerprint(full=False)


@pytest.mark.parametrize("name", sorted(experiments()))
def test_every_experiment_has_cases_of_its_own(name: str) -> None:
    experiment = find(name)
    for full in (False, True):
        cases = experiment.cases(full=full)
        assert cases and len({key_of(case) for case in cases}) == len(cases)
        assert all(json.loads(json.dumps(dict(case))) == dict(case) for case in cases)
    assert experiment.title and experiment.source


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(ConfigError, match="no figure or table 'figure-9'"):
        find("figure-9")
    assert issubclass(Toy, Experiment)
