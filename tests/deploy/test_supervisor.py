"""The supervisor in this process: limits in time, what a killed process is, what children inherit."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gradwire.deploy.run import processes
from gradwire.deploy.run.placement import worker_ranges
from gradwire.deploy.run.processes import (
    Child,
    Ended,
    Event,
    Said,
    Signalled,
    cores,
    environment_for,
    killer,
    signals_into,
)
from gradwire.deploy.run.supervisor import Outcome, Plan, Supervisor
from tests.deploy.stage import PATIENCE, program


class Recorder:
    """A display that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.notes: list[str] = []

    def show(self, event: Mapping[str, Any]) -> None:
        self.events.append(event["event"])

    def note(self, text: str) -> None:
        self.notes.append(text)

    def log(self, name: str, line: str) -> None:
        pass

    def tick(self) -> None:
        pass


def supervise(fault: str, folder: Path, display: Recorder | None = None, **limits: Any) -> Outcome:
    workers = tuple(
        ("--name", f"worker-{i}", "--workers", ids, "--retry-for", "9")
        for i, ids in enumerate(("0-1", "2-3"))
    )
    plan = Plan(("--state-dir", str(folder / "run")), workers, program(fault), **limits)
    return Supervisor(plan, display or Recorder()).run()


def test_the_display_sees_every_event(tmp_path: Path) -> None:
    display = Recorder()
    outcome = supervise("nothing", tmp_path, display)
    expected = ["listening", "joined", "joined", "round", "round", "round", "metrics", "finished"]
    assert display.events == expected and display.notes == []
    assert outcome.failure is None and outcome.summary is not None and outcome.restarts == {}


def test_a_worker_that_stays_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    outcome = supervise("worker stays", tmp_path, ending=0.1)
    assert outcome.summary is not None and outcome.failure is not None
    assert outcome.failure.message.endswith("worker-0 did not end within 0.1 s")


@pytest.mark.parametrize("spare", [2, 3])
def test_a_run_goes_on_without_a_worker_whose_budget_is_spent(tmp_path: Path, spare: int) -> None:
    display = Recorder()
    outcome = supervise("budget is spent", tmp_path, display, hosted=(2, 2), spare=spare)
    assert outcome.failure is None and outcome.summary is not None
    assert display.notes == [
        "worker-0: the privacy budget of epsilon 1 does not pay for another push; the run goes on without it"
    ]


@pytest.mark.parametrize("plan", [{"hosted": (2, 2), "spare": 1}, {}])
def test_a_run_that_needs_a_worker_whose_budget_is_spent_ends(tmp_path: Path, plan: dict[str, Any]) -> None:
    outcome = supervise("budget is spent", tmp_path, **plan)
    assert outcome.failure is not None and outcome.failure.code == 3
    assert (
        outcome.failure.message == "worker-0: the privacy budget of epsilon 1 does not pay for another push"
    )


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    outcome = supervise("deaf worker stays", tmp_path, ending=0.1, grace=0.1)
    assert outcome.failure is not None and "worker-0 did not end" in outcome.failure.message


def test_a_failing_display_leaves_nobody_behind(tmp_path: Path) -> None:
    class Broken(Recorder):
        def show(self, event: Mapping[str, Any]) -> None:
            if event["event"] == "joined":
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        supervise("run has no end", tmp_path, Broken())
    assert not children()


def children() -> set[int]:
    """Child processes of this one, read where Linux keeps them."""
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    }


def test_signal_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    inbox: SimpleQueue[Event] = SimpleQueue()
    with signals_into(inbox):
        signal.raise_signal(signal.SIGTERM)
    assert inbox.get(timeout=PATIENCE) == Signalled(signal.SIGTERM)
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_a_background_job_is_not_hung_up() -> None:
    program = (
        "import signal; from queue import SimpleQueue; from gradwire.deploy.run.processes import signals_into\n"
        "with signals_into(SimpleQueue()): assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
    )
    nohup = ["nohup", sys.executable, "-c", program]
    assert subprocess.run(nohup, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("code", "by"),
    [
        (0, None), (1, None), (2, None), (127, None), (-9, signal.SIGKILL), (-11, signal.SIGSEGV),
        (130, signal.SIGINT), (143, signal.SIGTERM), (137, None),
    ],
)  # fmt: skip
def test_what_killed_a_process(code: int, by: signal.Signals | None) -> None:
    assert killer(code) is by


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "5")
    environment = environment_for(1)
    assert environment["OMP_NUM_THREADS"] == str(cores()) and environment["OPENBLAS_NUM_THREADS"] == "5"
    assert environment_for(10 * cores())["OMP_NUM_THREADS"] == "1"


def test_an_end_comes_after_the_last_words() -> None:
    inbox: SimpleQueue[Event] = SimpleQueue()
    child = Child("talker", inbox)
    child.start((sys.executable, "-c", "import sys; print('out'); sys.exit('error')"))
    said = [inbox.get(timeout=PATIENCE), inbox.get(timeout=PATIENCE)]
    assert all(isinstance(event, Said) for event in said)
    assert inbox.get(timeout=PATIENCE) == Ended(child, 1)
    assert list(child.last_lines) == ["error"]


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LAST_WORDS", 0.1)
    inbox: SimpleQueue[Event] = SimpleQueue()
    child = Child("parent", inbox)
    linger = "import signal; signal.pause()"
    leave = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '{linger}']).pid)"
    child.start((sys.executable, "-c", leave))
    said = inbox.get(timeout=PATIENCE)
    assert isinstance(said, Said)
    try:
        assert inbox.get(timeout=PATIENCE) == Ended(child, 0)
    finally:
        os.kill(int(said.line), signal.SIGKILL)


@pytest.mark.parametrize(("workers", "processes"), [(1, 1), (4, 4), (7, 2), (10, 3), (100, 7)])
def test_worker_ranges_are_contiguous_and_even(workers: int, processes: int) -> None:
    ranges = worker_ranges(workers, processes)
    sizes = set(map(len, ranges))
    assert [i for ids in ranges for i in ids] == list(range(workers)) and len(ranges) == processes
    assert max(sizes) - min(sizes) <= 1
