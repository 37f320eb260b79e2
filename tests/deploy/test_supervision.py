"""What `gradwire run` does when its processes end, or are ended; with fakes for the server and the workers."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from gradwire.common.training.config import RunConfig
from gradwire.deploy.options import RunOptions
from gradwire.deploy.run.launch import launch, server_arguments
from gradwire.server.log.run_log import RunLog
from tests.deploy.stage import command, program, stage
from tests.grids import rest_slow


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where runs put what they do not keep."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_a_run_that_goes_well(tmp_path: Path, temporary: Path) -> None:
    with stage("nothing", "--json", str(tmp_path / "out.json")) as run:
        assert run.end() == 0
        run.assert_nobody_left()
    text = "".join(run.lines)
    assert "4 workers in 2 processes" in text
    assert "round 3/3  loss 0.5  accuracy 0.9  up 8 bit per worker" in text
    assert "replicas agree: yes (digest 00ff, 2 of 2 checked)" in text
    summary = json.loads((tmp_path / "out.json").read_text())
    assert summary["digest"] == "00ff" and summary["restarts"] == {}
    assert set(tmp_path.iterdir()) == {temporary, tmp_path / "out.json"} and not list(temporary.iterdir())


def test_json_stands_alone_on_standard_output() -> None:
    done = subprocess.run(command("nothing", "--json", "-"), capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["digest"] == "00ff"
    assert "replicas agree: yes" in done.stderr


@pytest.mark.slow
def test_state_is_kept_on_demand(temporary: Path) -> None:
    with stage("nothing", "--keep-state") as run:
        assert run.end() == 0
    (folder,) = temporary.iterdir()
    assert f"the run is kept in {folder}\n" in run.lines and (folder / "starts").is_file()


def test_the_server_is_given_what_differs_from_the_defaults(tmp_path: Path) -> None:
    config = RunConfig(task="mlp(digits)", optimizer="sgd(lr=0.5)", evaluate_every=3, report_metrics=True)
    assert server_arguments(config, RunOptions(), tmp_path) == (
        "--task=mlp(digits)", "--optimizer=sgd(lr=0.5)", "--report-metrics", "--evaluate-every=3", "--state-dir",
        str(tmp_path),
    )  # fmt: skip


def test_a_resumed_run_opens_its_log_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RunLog.create(tmp_path, RunConfig(task="mlp(digits)"), bytes(16)).close()
    opened: list[Path] = []
    once = RunLog.open

    def counted(folder: Path) -> RunLog:
        opened.append(folder)
        return once(folder)

    monkeypatch.setattr(RunLog, "open", counted)
    assert launch({}, RunOptions(state_dir=tmp_path, processes=2), program("nothing")) == 0
    assert opened == [tmp_path]


@pytest.mark.slow
def test_workers_share_ids_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # the user's own choice stands
    with stage("nothing") as run:
        assert run.end() == 0
    text = "".join(run.lines)
    assert "worker-0: hosts 0-1 with 7 threads" in text and "worker-1: hosts 2-3 with 7 threads" in text


def test_a_killed_worker_is_started_again(tmp_path: Path) -> None:
    with stage("first worker comes back", "--json", str(tmp_path / "out.json")) as run:
        run.read_until("server: worker-0 joined")
        os.kill(run.children["worker-0"][0], signal.SIGKILL)
        assert run.end() == 0
        run.assert_nobody_left()
    text = "".join(run.lines)
    assert "worker-0 was killed by SIGKILL: restarting it (1 of 3)" in text
    assert "interruptions survived: worker-0 restarted 1 time" in text
    assert len(run.children["worker-0"]) == 2
    assert json.loads((tmp_path / "out.json").read_text())["restarts"] == {"worker-0": 1}


@pytest.mark.parametrize("number", rest_slow([signal.SIGKILL, signal.SIGTERM]))
def test_a_killed_server_goes_on_at_the_same_port(number: signal.Signals, tmp_path: Path) -> None:
    # The fake workers know one address alone: the run ends only if the second server listens there.
    with stage("server is killed", "--state-dir", str(tmp_path / "run")) as run:
        run.await_children()
        os.kill(run.children["server"][0], number)
        assert run.end() == 0
        run.assert_nobody_left()
    text = "".join(run.lines)
    assert f"server was killed by {number.name}: restarting it (1 of 3)" in text
    assert "resuming after round 1" in text
    assert (tmp_path / "run" / "starts").read_text() == "2"


@pytest.mark.slow
def test_a_server_that_is_killed_before_its_summary_sees_the_workers_again() -> None:
    with stage("server is killed at the end") as run:
        run.read_until("all workers are done")
        os.kill(run.children["server"][0], signal.SIGKILL)
        assert run.end() == 0
        run.assert_nobody_left()
    assert {name: len(ids) for name, ids in run.children.items()} == {
        "server": 2,
        "worker-0": 2,
        "worker-1": 2,
    }
    assert any("replicas agree: yes" in line for line in run.lines)


@pytest.mark.slow
def test_a_run_that_is_over_needs_no_workers() -> None:
    with stage("run is over") as run:
        assert run.end() == 0
        run.assert_nobody_left()
    assert set(run.children) == {"server"} and any("replicas agree: yes" in line for line in run.lines)


@pytest.mark.slow
def test_a_worker_that_comes_after_the_end_is_stopped() -> None:
    with stage("worker is late") as run:
        assert run.end() == 0
        run.assert_nobody_left()
    assert any("worker-0 came too late for the run: stopping it" in line for line in run.lines)


@pytest.mark.slow
def test_what_is_killed_again_and_again_ends_the_run() -> None:
    with stage("worker is killed at once") as run:
        assert run.end() == 1
        run.assert_nobody_left()
    assert len(run.children["worker-0"]) == 4
    assert run.lines[-1] == "gradwire: worker-0 was killed by SIGKILL 4 times; is there enough memory?\n"


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    rest_slow(
        [
            ("worker gives up", 2, "gradwire: worker-0: no such data: fetch it"),
            ("no summary", 1, "gradwire: the server exited without a summary"),
            ("server refuses", 2, "gradwire: this folder holds another run: pass another --state-dir"),
            ("worker crashes", 1, "gradwire: worker-0 exited with code 1"),
            ("bytes differ", 1, "gradwire: bytes differ: do not trust this run"),
            ("replicas differ", 1, "gradwire: replicas differ: do not trust this run"),
        ],
        2,
    ),
)
def test_a_child_that_gives_up_ends_the_run(fault: str, code: int, message: str) -> None:
    with stage(fault) as run:
        assert run.end() == code
        run.assert_nobody_left()
    assert run.lines[-1] == f"{message}\n"


@pytest.mark.slow
def test_a_crash_shows_its_last_lines() -> None:
    with stage("worker crashes") as run:
        run.end()
    assert run.lines[-2] == "  RuntimeError: a bug\n"


@pytest.mark.slow
def test_a_failed_check_still_writes_the_summary(tmp_path: Path) -> None:
    with stage("replicas differ", "--json", str(tmp_path / "out.json")) as run:
        assert run.end() == 1
    assert json.loads((tmp_path / "out.json").read_text())["replicas_agree"] is False
    assert any("replicas agree: NO" in line for line in run.lines)


@pytest.mark.parametrize(
    ("number", "code"), rest_slow([(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
)
def test_a_signal_stops_everything(number: signal.Signals, code: int, temporary: Path) -> None:
    with stage("run has no end") as run:
        run.await_children()
        run.process.send_signal(number)
        assert run.end() == code
        run.assert_nobody_left()
    assert run.lines[-1] == f"gradwire: stopped by {number.name}\n"
    assert not list(temporary.iterdir())


def test_a_stopped_run_says_how_it_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "starts").write_text("1")  # the fake server takes up at round 1
    with stage("run has no end", "--state-dir", str(folder), "--allow-task", "mine:Median") as run:
        run.await_children()
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
    assert run.lines[-1] == (
        "gradwire: stopped by SIGINT after round 1 of 100; "
        f"`gradwire run --state-dir {folder} --processes 2 --allow-task mine:Median` resumes it\n"
    )


@pytest.mark.slow
def test_a_stopped_run_whose_folder_is_kept_goes_on_there(temporary: Path) -> None:
    with stage("run has no end", "--keep-state") as run:
        run.await_children()
        os.kill(run.children["server"][0], signal.SIGKILL)  # the next one takes up at round 1
        run.read_until("resuming after round 1")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
    (folder,) = temporary.iterdir()
    assert run.lines[-1].endswith(
        f"after round 1 of 100; `gradwire run --state-dir {folder} --processes 2` resumes it\n"
    )


@pytest.mark.slow
def test_a_second_signal_does_not_wait() -> None:
    with stage("run has no end") as run:
        run.await_children()
        os.kill(run.children["server"][0], signal.SIGSTOP)  # it cannot answer the first
        run.process.send_signal(signal.SIGINT)
        run.read_until("stopping")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 130
        run.assert_nobody_left()


def test_children_do_not_outlive_a_killed_parent() -> None:
    with stage("run has no end") as run:
        run.await_children()
        run.process.kill()
        run.assert_nobody_left()
        assert run.process.wait() == -signal.SIGKILL
