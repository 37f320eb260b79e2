"""The supervisor in this process: limits in time, what a killed process is, what children inherit."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from gradwire.deploy.processes import child as child_module
from gradwire.deploy.processes.child import Child
from gradwire.deploy.processes.cores import cores, worker_environment
from gradwire.deploy.processes.events import (
    Event,
    Exited,
    OutputLine,
    StopRequested,
    inbox_with_signals,
    killing_signal,
)
from gradwire.deploy.processes.outcome import Outcome, RunEnded, raise_if_stopped
from gradwire.deploy.processes.plan import Limits, Plan, Worker
from gradwire.deploy.processes.supervisor import Supervisor
from gradwire.deploy.run.placement import worker_ranges
from tests.deploy.stage import PATIENCE, program

# On a loaded machine those that are about to end have not yet either.
STOPPED = re.compile(
    r"the run is over and (server, )?worker-0(, worker-1)? said nothing for \d+ s: stopping$"
)


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


def supervise(
    fault: str, folder: Path, display: Recorder | None = None, spare: int = 0, **limits: Any
) -> Outcome:
    with inbox_with_signals() as inbox:
        workers = tuple(
            Worker(
                Child(f"worker-{i}", inbox, program(fault), worker_environment(2)),
                ("--name", f"worker-{i}", "--workers", ids, "--retry-for", "9"),
                hosted=2,
            )
            for i, ids in enumerate(("0-1", "2-3"))
        )
        arguments = ("--state-dir", str(folder / "run"))
        plan = Plan(Child("server", inbox, program(fault)), arguments, workers, spare=spare)
        return Supervisor(plan, inbox, display or Recorder(), Limits(**limits)).run()


def test_the_display_sees_every_event(tmp_path: Path) -> None:
    display = Recorder()
    outcome = supervise("nothing", tmp_path, display)
    expected = ["listening", "joined", "joined", "round", "round", "round", "metrics", "finished"]
    assert display.events == expected and display.notes == []
    assert outcome.failure is None and outcome.summary is not None and outcome.restarts == {}


def test_a_worker_that_stays_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    display = Recorder()
    outcome = supervise("worker stays", tmp_path, display, ending=0.1)
    assert outcome.summary is not None and outcome.failure is None, "its result is known, and verified"
    assert STOPPED.fullmatch(display.notes[-1]) and not children()


@pytest.mark.parametrize("spare", [2, 3])
def test_a_run_goes_on_without_a_worker_whose_budget_is_spent(tmp_path: Path, spare: int) -> None:
    display = Recorder()
    outcome = supervise("budget is spent", tmp_path, display, spare)
    assert outcome.failure is None and outcome.summary is not None
    assert display.notes == [
        "worker-0: the privacy budget of epsilon 1 does not pay for another push; the run goes on without it"
    ]


@pytest.mark.parametrize("spare", [0, 1])
def test_a_run_that_needs_a_worker_whose_budget_is_spent_ends(tmp_path: Path, spare: int) -> None:
    outcome = supervise("budget is spent", tmp_path, spare=spare)
    assert outcome.failure is not None and outcome.failure.code == 3
    assert str(outcome.failure) == "worker-0: the privacy budget of epsilon 1 does not pay for another push"


@pytest.mark.parametrize("grace", [0.1, 0.0])
def test_a_child_that_ignores_sigterm_is_killed(grace: float, tmp_path: Path) -> None:
    outcome = supervise("deaf worker stays", tmp_path, ending=0.1, grace=grace)
    assert outcome.summary is not None and outcome.failure is None
    assert not children()


def test_without_restarts_the_first_kill_ends_the_run(tmp_path: Path) -> None:
    outcome = supervise("worker is killed at once", tmp_path, restarts=0)
    assert str(outcome.failure) == "worker-0 was killed by SIGKILL; is there enough memory?"
    assert outcome.restarts == {}


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
    with inbox_with_signals() as inbox:
        signal.raise_signal(signal.SIGTERM)
    assert inbox.get(timeout=PATIENCE) == StopRequested(signal.SIGTERM)
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_a_signal_is_noticed_before_any_child_runs() -> None:
    inbox: SimpleQueue[Event] = SimpleQueue()
    raise_if_stopped(inbox)
    inbox.put(StopRequested(signal.SIGTERM))
    with pytest.raises(RunEnded, match="stopped by SIGTERM") as caught:
        raise_if_stopped(inbox)
    assert caught.value.code == 143


def test_a_background_job_is_not_hung_up() -> None:
    program = (
        "import signal; from gradwire.deploy.processes.events import inbox_with_signals\n"
        "with inbox_with_signals(): assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
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
    assert killing_signal(code) is by


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "5")
    environment = worker_environment(1)
    assert environment["OMP_NUM_THREADS"] == str(cores()) and environment["OPENBLAS_NUM_THREADS"] == "5"
    assert worker_environment(10 * cores())["OMP_NUM_THREADS"] == "1"


def test_an_end_comes_after_the_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "DRAIN_SECONDS", PATIENCE)
    inbox: SimpleQueue[Event] = SimpleQueue()
    child = Child("talker", inbox, (sys.executable, "-c"))
    child.start(("import sys; print('out'); sys.exit('error')",))
    said = [inbox.get(timeout=PATIENCE), inbox.get(timeout=PATIENCE)]
    assert all(isinstance(event, OutputLine) for event in said)
    assert inbox.get(timeout=PATIENCE) == Exited(child, 1)
    assert list(child.last_lines) == ["error"]


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "DRAIN_SECONDS", 0.1)
    inbox: SimpleQueue[Event] = SimpleQueue()
    child = Child("parent", inbox, (sys.executable, "-c"))
    linger = "import signal; signal.pause()"
    leave = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '{linger}']).pid)"
    child.start((leave,))
    # Its only line may be read after its end where the machine is loaded: 0.1 s is all that is waited for it.
    events = [inbox.get(timeout=PATIENCE), inbox.get(timeout=PATIENCE)]
    (said,) = (event for event in events if isinstance(event, OutputLine))
    os.kill(int(said.line), signal.SIGKILL)
    assert Exited(child, 0) in events


@pytest.mark.parametrize(("workers", "processes"), [(1, 1), (4, 4), (7, 2), (10, 3), (100, 7)])
def test_worker_ranges_are_contiguous_and_even(workers: int, processes: int) -> None:
    ranges = worker_ranges(workers, processes)
    sizes = set(map(len, ranges))
    assert [i for ids in ranges for i in ids] == list(range(workers)) and len(ranges) == processes
    assert max(sizes) - min(sizes) <= 1
